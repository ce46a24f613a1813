"""Uncertain numbers: a distribution from what is known about it, exact after truncation.

Mean, median, sd, cv and quantiles describe the *final* distribution, after it has been cut at the limits;
the parent curve is solved for. Cutting is by the renormalised inverse (:mod:`ensemble.inputs.truncation`),
never by clipping, and whatever was cut off is said in :attr:`Distribution.note`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from ensemble.inputs.fitting import fit
from ensemble.inputs.parents import PARENTS
from ensemble.inputs.statement import LARGEST, Statement, read_statement
from ensemble.inputs.tabulated import Atoms, Knots, sample_knots
from ensemble.inputs.truncation import Truncated

# Probability below which a cut is not worth a word: less than one member in a million.
WORTH_SAYING = 1e-6

# Beyond these, nearly all probability is within rounding of an end, or moments leave double precision.
_LEAST_BETA, _LEAST_GAMMA, _WIDEST_LOGNORMAL = 0.35, 1e-3, 20.0


@dataclass(frozen=True, eq=False)
class Distribution:
    """A distribution of one number, or of one number a site.

    Args:
        family: name in :data:`ensemble.inputs.families.FAMILIES`.
        law: the numerics: a truncated curve, atoms, or an interpolated sample.
        note: one sentence for the user where limits cut something off; empty otherwise.
    """

    family: str
    law: Truncated | Atoms | Knots
    note: str = ""

    def ppf(self, u: Any) -> np.ndarray:
        """Quantile function.

        Args:
            u: probabilities in the open interval (0, 1). Any shape for parameters shared by all sites; the
                last axis is ``sites`` (or 1) where the parameters differ by site.

        Returns:
            Float64 values of ``u``'s shape broadcast against ``(sites,)``; the names of a discrete
            distribution of names.
        """
        u = np.asarray(u, dtype=float)
        return self.law.quantile(u, 1.0 - u)

    def from_score(self, z: Any) -> np.ndarray:
        """Value at the standard normal score ``z``: exact in both tails; shapes as in :meth:`ppf`."""
        z = np.asarray(z, dtype=float)
        return self.law.quantile(special.ndtr(z), special.ndtr(-z))

    def at(self, sites: Any) -> Distribution:
        """The distribution at some sites (indices ``(n,)``); itself where all sites share one."""
        return replace(self, law=self.law.at(np.asarray(sites))) if isinstance(self.law, Truncated) else self

    def codes(self, u: Any) -> np.ndarray:
        """Position in :attr:`values` of each draw of a discrete distribution, integers of ``u``'s shape.

        Raises:
            ValueError: the distribution is not a list of values.
        """
        if not isinstance(self.law, Atoms):
            raise ValueError(f"a {self.family} distribution has no list of values")
        return self.law.codes(np.asarray(u, dtype=float))

    def cdf(self, x: Any) -> np.ndarray:
        """Probability of at most ``x`` (a code, for a discrete distribution of names); broadcasts like ppf."""
        return self.law.cdf(np.asarray(x, dtype=float))

    @cached_property
    def _mean_sd(self) -> tuple[np.ndarray, np.ndarray]:
        return self.law.mean_sd()

    @property
    def mean(self) -> np.ndarray:
        """Mean, ``()`` or ``(sites,)``; NaN for names."""
        return self._mean_sd[0]

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation, ``()`` or ``(sites,)``; NaN for names."""
        return self._mean_sd[1]

    @property
    def median(self) -> np.ndarray:
        """Median, ``()`` or ``(sites,)``."""
        return self.ppf(0.5)

    @property
    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value, ``()`` or ``(sites,)`` each (first and last code of names)."""
        return self.law.bounds

    @property
    def discrete(self) -> bool:
        """Whether it takes listed values only."""
        return isinstance(self.law, Atoms)

    @property
    def values(self) -> tuple[Any, ...]:
        """The listed values of a discrete distribution, in the order of its quantile function; else empty."""
        return tuple(self.law.labels.tolist()) if isinstance(self.law, Atoms) else ()

    @property
    def shape(self) -> tuple[int, ...]:
        """``()``, or ``(sites,)`` where the parameters differ by site."""
        return self.law.shape if isinstance(self.law, Truncated) else ()


def make_distribution(spec: Mapping[str, Any], support: tuple[Any, Any] = (-np.inf, np.inf)) -> Distribution:
    """The distribution that a study states.

    Args:
        spec: ``distribution`` (a family) and the keys of :data:`ensemble.inputs.families.PARAMETERS` that
            state it. Numbers may be arrays of shape ``(sites,)``; the curve is then solved once for each
            distinct set of them.
        support: physical limits of the quantity, numbers or ``(sites,)``; the stated ``lower`` and
            ``upper`` narrow them.

    Raises:
        ValueError: unknown family or key, contradicting numbers, a shape that the family cannot take
            between its limits, a beta that is little more than its two ends, or limits that exclude the whole distribution; one sentence each.
    """
    statement = read_statement(spec, support)
    if statement.family.name == "discrete":
        return _discrete(statement)
    if statement.family.name == "empirical":
        return _empirical(statement)
    native = statement.form[0] in ("minimum", "alpha", "shape")
    law = _native(statement) if native else fit(statement)
    _check_extreme(law)
    return Distribution(statement.family.name, law, _note(statement, law, native))


def _native(statement: Statement) -> Truncated:
    """The stated curve, cut."""
    parent = PARENTS[statement.family.name]
    assert parent.native is not None
    args = parent.native(statement.numbers)
    law = Truncated(parent.generic, args, statement.lower, statement.upper)
    first, last = law.bounds
    if np.any(first >= last) or np.any(law.tails[2] <= 0.0):
        ends = law.parent.support(*args)
        raise ValueError(_excluded(statement, float(np.min(ends[0])), float(np.max(ends[1]))))
    return law


def _check_extreme(law: Truncated) -> None:
    """Refuse shapes that double precision cannot carry."""
    if law.generic == "beta" and np.any(law.args[0] + law.args[1] < _LEAST_BETA):
        raise ValueError(
            f"this beta distribution (alpha + beta = {np.min(law.args[0] + law.args[1]):.2g}) is little more than its two "
            f"ends; allowed: {_LEAST_BETA:g} or more, else give the ends as a discrete distribution"
        )
    if law.generic == "gamma" and np.any(law.args[0] < _LEAST_GAMMA):
        raise ValueError(
            f"this gamma distribution (shape {np.min(law.args[0]):.2g}) is too skewed; allowed: shape {_LEAST_GAMMA:g} or more"
        )
    if law.generic == "lognorm" and np.any(law.args[0] > _WIDEST_LOGNORMAL):
        raise ValueError(
            f"this lognormal distribution (sd of its logarithm {np.max(law.args[0]):.3g}) is too wide; "
            f"allowed: up to {_WIDEST_LOGNORMAL:g}"
        )


def _excluded(statement: Statement, first: float, last: float) -> str:
    low, high = _limits(statement)
    return (
        f"the limits {low:g} to {high:g} exclude the whole {statement.family.name} distribution ({first:g} to {last:g})"
    )


def _note(statement: Statement, law: Truncated, native: bool) -> str:
    """What the limits cut off, in one sentence; empty where it is less than one member in a million."""
    below, above, _ = law.tails
    cut = np.max(np.asarray(below + above))
    if cut <= WORTH_SAYING:
        return ""
    up_to = "up to " if law.shape else ""
    if native:
        return _cut_note(statement, float(cut), up_to)
    low, high = _limits(statement)
    return (
        f"cut to {low:g} to {high:g}, which removes {up_to}{100.0 * cut:.3g} % of the uncut {statement.family.name} curve; "
        f"the stated numbers hold for the final distribution"
    )


def _discrete(statement: Statement) -> Distribution:
    """Listed values: numbers in rising order, names in the order they were written."""
    values = list(statement.table["values"])
    if not values:
        raise ValueError("values is empty; allowed: at least one value")
    if len(set(map(str, values))) < len(values):
        raise ValueError(f"values {values} name one value twice")
    weights = np.asarray(statement.table.get("probabilities", np.full(len(values), 1.0 / len(values))), dtype=float)
    if len(weights) != len(values):
        raise ValueError(f"{len(weights)} probabilities do not fit {len(values)} values")
    if not (weights > 0.0).all() or abs(weights.sum() - 1.0) > 1e-6:
        raise ValueError(f"probabilities {weights.tolist()} are not allowed; allowed: above 0, with a sum of 1")
    if any(isinstance(value, str | bool) for value in values):
        return Distribution("discrete", Atoms(np.array(values, dtype=object), weights / weights.sum()))
    numbers = _sample(values)
    return _atoms(statement, numbers, weights / weights.sum())


def _atoms(statement: Statement, numbers: np.ndarray, weights: np.ndarray) -> Distribution:
    order = np.argsort(numbers, kind="stable")
    numbers, weights = numbers[order], weights[order]
    low, high = _limits(statement)
    inside = (numbers >= low) & (numbers <= high)
    if not inside.any():
        raise ValueError(_excluded(statement, numbers[0], numbers[-1]))
    cut = weights[~inside].sum()
    return Distribution(
        statement.family.name,
        Atoms(numbers[inside], weights[inside] / weights[inside].sum()),
        _cut_note(statement, cut),
    )


def _limits(statement: Statement) -> tuple[float, float]:
    """The limits that hold at every site."""
    return float(np.max(statement.lower)), float(np.min(statement.upper))


def _cut_note(statement: Statement, cut: float, up_to: str = "") -> str:
    low, high = _limits(statement)
    return (
        f"{up_to}{100.0 * cut:.3g} % of the {statement.family.name} distribution lies outside {low:g} to {high:g}; "
        f"it is cut and renormalised"
        if cut > WORTH_SAYING
        else ""
    )


def _sample(values: Any) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError("values must be numbers") from None
    wrong = numbers[~(np.abs(numbers) <= LARGEST)]
    if wrong.size:
        raise ValueError(f"values contain {wrong.flat[0]:g}; allowed: finite numbers up to {LARGEST:g} in size")
    return numbers


def _empirical(statement: Statement) -> Distribution:
    """A sample: its interpolated quantile function, or its values resampled with equal probability."""
    values, method = _sample(statement.table["values"]), statement.table.get("method", "interpolate")
    if method not in ("interpolate", "resample"):
        raise ValueError(f"method '{method}' is not allowed; allowed: interpolate, resample")
    if values.ndim != 1 or len(np.unique(values)) < 2:
        raise ValueError("an empirical distribution needs one column of at least two different values")
    if method == "resample":
        return _atoms(statement, values, np.full(len(values), 1.0 / len(values)))
    low, high = _limits(statement)
    overlap = min(values.max(), high) - max(values.min(), low)
    if overlap <= WORTH_SAYING * np.ptp(values):
        raise ValueError(_excluded(statement, values.min(), values.max()))
    knots, cut = sample_knots(values, low, high)
    return Distribution("empirical", knots, _cut_note(statement, cut))
