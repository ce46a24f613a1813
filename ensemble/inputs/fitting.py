"""The parent curve whose cut form has the stated mean, spread or quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from ensemble.inputs.parents import PARENTS, Parent
from ensemble.inputs.solving import solve
from ensemble.inputs.statement import Statement, pick
from ensemble.inputs.truncation import Truncated

# A parent with less than this outside of its limits cannot be told from an uncut one in float64.
_NEGLIGIBLE = 1e-14

# Largest mismatch between the stated and the solved numbers, relative to the spread.
_ACCEPTED = 1e-8

# Sets solved side by side; bounds the memory where every pixel has numbers of its own.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class _Problem:
    """Distinct statements side by side; every array ends in the axis ``sets``."""

    parent: Parent
    form: tuple[str, ...]
    numbers: Mapping[str, np.ndarray]
    scores: np.ndarray
    quantiles: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def take(self, chosen: np.ndarray) -> _Problem:
        """Some of the sets."""
        return replace(
            self,
            numbers={key: value[chosen] for key, value in self.numbers.items()},
            quantiles=self.quantiles[:, chosen],
            lower=self.lower[chosen],
            upper=self.upper[chosen],
        )

    def law(self, theta: np.ndarray) -> Truncated:
        """The cut curve at these coordinates."""
        return Truncated(self.parent.generic, self.parent.args(theta, self.numbers), self.lower, self.upper)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """First coordinates, as if nothing were cut, and the unit of a step in each of them."""
        if self.form == ("quantiles",):
            theta = self.parent.from_quantiles(special.ndtr(self.scores), self.quantiles, self.numbers)
            spread = (self.quantiles[-1] - self.quantiles[0]) / (self.scores[-1] - self.scores[0])
        else:
            centre = self.numbers[self.form[0]]
            spread = self.numbers["sd"] if self.form[1] == "sd" else self.numbers["cv"] * np.abs(centre)
            assert self.parent.from_moments is not None
            theta = self.parent.from_moments(centre, spread, self.numbers)
        unit = np.ones_like(theta)
        if self.parent.located:
            unit[0] = spread
        return theta, unit

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """Mismatch with what was stated: in spreads, and in logarithms of the spread."""
        law = self.law(theta)
        if self.form == ("quantiles",):
            return special.ndtri(law.cdf(self.quantiles)) - self.scores[:, None]
        mean, sd = law.mean_sd()
        centre = mean if self.form[0] == "mean" else law.quantile(np.array([[0.5]]), np.array([[0.5]]))[0]
        wanted = self.numbers[self.form[0]]
        if self.form[1] == "sd":
            spread = self.numbers["sd"]
            return np.array([(centre - wanted) / spread, np.log(sd / spread)])
        spread = self.numbers["cv"] * np.abs(wanted)
        return np.array([(centre - wanted) / spread, np.log(sd / np.abs(mean) / self.numbers["cv"])])


def fit(statement: Statement) -> Truncated:
    """The cut curve that has the stated numbers; each distinct set of numbers is solved once.

    Raises:
        ValueError: no curve of this family between these limits has them.
    """
    shape = statement.shape
    rows = [*statement.numbers.values(), statement.lower, statement.upper, *statement.quantiles]
    flat = np.array([np.broadcast_to(row, shape).ravel() for row in rows])
    sets, first, back = np.unique(flat, axis=1, return_index=True, return_inverse=True)
    count = len(statement.numbers)
    problem = _Problem(
        PARENTS[statement.family.name],
        statement.form,
        dict(zip(statement.numbers, sets, strict=False)),
        special.ndtri(statement.probabilities),
        sets[count + 2 :],
        sets[count],
        sets[count + 1],
    )
    theta, mismatch = _fit_sets(problem)
    if not (mismatch <= _ACCEPTED).all():
        failed = int(first[np.argmin(mismatch <= _ACCEPTED)])
        raise ValueError(_unattainable(statement, failed if shape else None))
    numbers = {key: np.broadcast_to(value, shape) for key, value in statement.numbers.items()}
    args = problem.parent.args(theta[:, back.ravel()].reshape(-1, *shape), numbers)
    law = Truncated(problem.parent.generic, args, statement.lower, statement.upper)
    if problem.parent.closed:
        _check_closed(statement, law)
    return law


def _fit_sets(problem: _Problem) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates ``(k, sets)`` and the mismatch that is left ``(sets,)``."""
    if problem.parent.closed:
        problem = replace(
            problem, lower=np.full_like(problem.lower, -np.inf), upper=np.full_like(problem.upper, np.inf)
        )
    with np.errstate(all="ignore"):
        theta, unit = problem.start()
        below, above, _ = problem.law(theta).tails
        done = np.isfinite(theta).all(0) & (below + above <= _NEGLIGIBLE) & (problem.form[0] in problem.parent.exact)
        theta = np.where(np.isfinite(theta), theta, 0.0)
        mismatch = np.zeros(theta.shape[1])
        todo = np.flatnonzero(~done)
        for start in range(0, len(todo), _BLOCK):
            block = todo[start : start + _BLOCK]
            part = problem.take(block)
            theta[:, block], mismatch[block] = solve(
                lambda at, chosen, part=part: part.take(chosen).residual(at), theta[:, block], unit[:, block]
            )
    return theta, mismatch


def _check_closed(statement: Statement, law: Truncated) -> None:
    """A uniform stated by its spread must end inside the limits: cut, it would have another spread."""
    first, last = law.parent.support(*law.args)
    slack = 1e-9 * (last - first)
    outside = np.asarray((first < law.lower - slack) | (last > law.upper + slack))
    if outside.any():
        site = int(np.argmax(outside)) if outside.ndim else None
        raise ValueError(
            f"{_subject(statement, site)}: it would reach from {pick(first, site):g} to {pick(last, site):g}"
        )


def _subject(statement: Statement, site: int | None) -> str:
    where = "" if site is None else f" at site number {site + 1}"
    return (
        f"no {statement.family.name} distribution between {pick(statement.lower, site):g} and "
        f"{pick(statement.upper, site):g} has {statement.describe(site)}{where}"
    )


def _unattainable(statement: Statement, site: int | None) -> str:
    """The sentence for numbers that no cut curve has, with the limit where it is known."""
    sentence = _subject(statement, site)
    low, high = pick(statement.lower, site), pick(statement.upper, site)
    if PARENTS[statement.family.name].generic == "norm" and statement.form[0] == "mean":
        largest = _largest_normal_sd(pick(statement.numbers["mean"], site), low, high)
        return f"{sentence}; with this mean its sd stays below {largest:.4g}"
    return sentence


def _largest_normal_sd(mean: float, low: float, high: float) -> float:
    """Least upper bound of the sd of a normal cut to ``[low, high]`` with this mean.

    A cut normal has log-density a x + b x^2 with b < 0. At a given mean its variance grows with b, so the
    bound is reached at b = 0: an exponential cut at the limits.
    """
    if np.isinf(low) or np.isinf(high):
        return abs(mean - (high if np.isinf(low) else low))
    share = (mean - low) / (high - low)

    def mean_of(rate: float) -> float:
        return 0.5 + rate / 12.0 if abs(rate) < 1e-4 else 1.0 / -np.expm1(-rate) - 1.0 / rate

    bound = 2.0 / min(share, 1.0 - share)
    with np.errstate(over="ignore"):
        rate = optimize.root_scalar(lambda a: mean_of(a) - share, bracket=(-bound, bound)).root
    half = min(abs(rate) / 2.0, 350.0)
    variance = 1.0 / 12.0 if abs(rate) < 1e-3 else 1.0 / rate**2 - 1.0 / (4.0 * np.sinh(half) ** 2)
    return (high - low) * float(np.sqrt(variance))
