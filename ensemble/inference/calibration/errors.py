"""What separates a measurement from the model: one Gaussian with all errors, shared or not, integrated out.

On the scale of the likelihood (logarithms, or the values themselves) every error is Gaussian given its standard
deviation: the error stated for each row, errors that rows share (plots, dates, methods, bulk density), and the
model's own error along time. Their sum is one multivariate normal, so no effect is ever sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.linalg import solve_triangular
from jax.scipy.stats import norm

from ensemble.config.calibration import PARTS, Calibrate, ErrorSource
from ensemble.inputs.observations import below_detection
from ensemble.inputs.stock_parts import part_column

LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Source:
    """One error that rows share.

    Args:
        label: name of its standard deviation.
        relative: whether the standard deviation is a fraction.
        together: 1 where two rows have the same error, shape (rows, rows).
        fixed: the standard deviation where it is a number, else ``None`` for a free parameter.
        stated: its standard deviation for each row, on the scale of the likelihood, where the table states it, (rows,).
    """

    label: str
    relative: bool
    together: np.ndarray
    fixed: float | None
    stated: np.ndarray | None = None


class Part(NamedTuple):
    """One error that rows share: a number that stays, or a course along time, times the weight of each row.

    Args:
        kind: ``static``, ``walk`` (variance 1 a year) or ``ar1`` (variance 1).
        together: 1 where two rows have the same number or course, shape (rows, rows).
        weight: shape (rows,).
        timescale: of ``ar1``, years.
    """

    kind: Literal["static", "walk", "ar1"]
    together: np.ndarray
    weight: jax.Array
    timescale: Any = None

    def correlation(self, years: np.ndarray) -> jax.Array:
        """Covariance of the numbers or courses that rows have, before their weights, (rows, rows).

        Args:
            years: time of each row since the start of the run.
        """
        if self.kind == "walk":
            return jnp.asarray(self.together * np.minimum.outer(years, years))
        if self.kind == "ar1":
            lag = jnp.asarray(np.abs(np.subtract.outer(years, years)))
            return jnp.asarray(self.together) * jnp.exp(-lag / self.timescale)
        return jnp.asarray(self.together)


@dataclass(frozen=True)
class ErrorModel:
    """All errors of the rows of a table.

    Args:
        values: measured values, shape (rows,); they may be traced, so that one program serves many data sets.
        own: standard deviation of each row's own error, on the scale of the likelihood.
        is_log: rows whose errors multiply (lognormal), shape (rows,).
        below: rows that lie below a detection limit, which is their value.
        years: time of each row since the start of the run, years.
        sources: errors that rows share.
        scale: factor on the stated errors: a number, or ``None`` for the free parameter ``error_scale``.
        walk, ar1: rows that share one course of the model error, shape (rows, rows), else ``None``.
        fixed: standard deviation and timescale of the model error where they are numbers.
    """

    values: Any
    own: np.ndarray
    is_log: np.ndarray
    below: np.ndarray
    years: np.ndarray
    sources: tuple[Source, ...]
    scale: float | None
    walk: np.ndarray | None
    ar1: np.ndarray | None
    fixed: Mapping[str, float]

    @property
    def seen(self) -> np.ndarray:
        """Numbers of the rows that are not below a detection limit."""
        return np.flatnonzero(~self.below)

    def residual(self, predicted: jax.Array) -> jax.Array:
        """Measured less predicted on the scale of the likelihood, shape (rows,)."""
        positive = jnp.where(self.is_log, predicted, 1.0)
        safe = jnp.where(positive > 0.0, positive, 1e-30)
        logs = jnp.log(jnp.where(self.is_log, self.values, 1.0)) - jnp.log(safe)
        return jnp.where(self.is_log, logs, jnp.asarray(self.values) - predicted)

    def covariance(self, predicted: jax.Array, spreads: Mapping[str, Any], extra: jax.Array | None = None) -> jax.Array:
        """Covariance of the residuals, shape (rows, rows).

        Args:
            predicted: the model at the rows, shape (rows,).
            spreads: free standard deviations by label.
            extra: covariance of other model error, relative to the predictions on log rows.

        The predictions enter at least times 0, which XLA keeps: a factorisation of the covariance then waits for one in
        the model, and in the gradient the model's waits for it (see :func:`white_log_density`).
        """
        total = jnp.diag(self.own_variance(spreads) + 0.0 * predicted)
        for part in self.parts(predicted, spreads):
            total = total + part.correlation(self.years) * jnp.outer(part.weight, part.weight)
        return total if extra is None else total + extra

    def own_variance(self, spreads: Mapping[str, Any]) -> jax.Array:
        """Variance of the error stated for each row, which no other row shares, shape (rows,)."""
        scale = spreads["error_scale"] if self.scale is None else self.scale
        return (scale * jnp.asarray(self.own)) ** 2

    def parts(self, predicted: jax.Array, spreads: Mapping[str, Any]) -> tuple[Part, ...]:
        """Every error that rows share: of the measurements first, then the model's own along time.

        Args:
            predicted, spreads: as for :meth:`covariance`.
        """
        values = {**self.fixed, **spreads}
        unit = jnp.where(self.is_log, 1.0, predicted)  # a relative error on the scale of the likelihood
        size = jnp.where(self.is_log, 1.0 / _nonzero(jnp.abs(predicted)), 1.0)  # an absolute one
        found = []
        for source in self.sources:
            sd = spreads[source.label] if source.fixed is None else source.fixed
            weight = (unit if source.relative else size) * sd if source.stated is None else jnp.asarray(source.stated)
            found.append(Part("static", source.together, weight))
        if self.walk is not None:
            found.append(Part("walk", self.walk, values["model_error"] * unit))
        if self.ar1 is not None:
            timescale = values["model_error_timescale"]
            found.append(Part("ar1", self.ar1, values["model_error"] * unit, timescale))
        return tuple(found)

    def log_likelihood(
        self, predicted: jax.Array, spreads: Mapping[str, Any], extra: jax.Array | None = None
    ) -> jax.Array:
        """Logarithm of the density of the measured values, a scalar.

        Rows below a detection limit add the logarithm of the probability of lying there given the rows that were
        seen; of several such rows each is taken alone, which is exact where they share no error.
        """
        residual, covariance = self.residual(predicted), self.covariance(predicted, spreads, extra)
        if not self.below.any():
            return gaussian_log_density(residual, covariance) - self.log_jacobian
        seen, below = self.seen, np.flatnonzero(self.below)
        factor = jnp.linalg.cholesky(covariance[np.ix_(seen, seen)])
        columns = jnp.concatenate([residual[seen][:, None], covariance[np.ix_(seen, below)]], axis=1)
        white = solve_triangular(factor, columns, lower=True)  # one call: see `white_log_density`
        cross = white[:, 1:]
        left = jnp.diagonal(covariance)[below] - (cross**2).sum(axis=0)
        hidden = norm.logcdf((residual[below] - cross.T @ white[:, 0]) / jnp.sqrt(left)).sum()
        return white_log_density(white[:, 0], factor) + hidden - self.log_jacobian

    @property
    def log_jacobian(self) -> jax.Array:
        """Sum of the logarithms of the log rows: turns the density of logarithms into one of values."""
        return jnp.log(jnp.asarray(self.values)[np.flatnonzero(self.is_log & ~self.below)]).sum()

    def rows(self, chosen: np.ndarray) -> ErrorModel:
        """The errors of some rows alone."""
        square = np.ix_(chosen, chosen)
        sources = tuple(
            replace(s, together=s.together[square], stated=None if s.stated is None else s.stated[chosen])
            for s in self.sources
        )
        walk, ar1 = (None if part is None else part[square] for part in (self.walk, self.ar1))
        return replace(
            self,
            values=self.values[chosen],
            own=self.own[chosen],
            is_log=self.is_log[chosen],
            below=self.below[chosen],
            years=self.years[chosen],
            sources=sources,
            walk=walk,
            ar1=ar1,
        )

    @property
    def independent(self) -> bool:
        """Whether no two rows share an error, so that rows are conditionally independent."""
        shared = [s.together for s in self.sources] + [m for m in (self.walk, self.ar1) if m is not None]
        return all(np.array_equal(mask, np.diag(np.diag(mask))) for mask in shared)


@jax.custom_jvp
def gaussian_log_density(residual: jax.Array, covariance: jax.Array) -> jax.Array:
    """Log density of N(0, covariance) at a residual of shape (n,), by Cholesky's factor.

    Its derivative is the closed form, ``-a`` and ``(a a' - inv(C)) / 2`` with ``a = inv(C) r``: half the work of the
    derivative of a factorisation.
    """
    factor = jnp.linalg.cholesky(covariance)
    return white_log_density(solve_triangular(factor, residual, lower=True), factor)


@gaussian_log_density.defjvp
def _(primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    residual, covariance = primals
    factor = jnp.linalg.cholesky(covariance)
    columns = jnp.concatenate([residual[:, None], jnp.eye(residual.size, dtype=residual.dtype)], axis=1)
    solved = solve_triangular(factor, columns, lower=True)
    white, inverse = solved[:, 0], solved[:, 1:]
    pull = inverse.T @ white
    slope = 0.5 * (jnp.outer(pull, pull) - inverse.T @ inverse)
    return white_log_density(white, factor), (slope * tangents[1]).sum() - pull @ tangents[0]


def white_log_density(white: jax.Array, factor: jax.Array) -> jax.Array:
    """Log density of N(0, L L') at a residual of which ``white = inv(L) residual`` is known, a scalar.

    A program here never has two factorisations or solves that do not wait for each other: mapped over draws each is a
    batch that jaxlib spreads over its threads and waits for, and where each thread waits for one, all wait for ever
    (seen with jaxlib 0.10.2 on two cores).
    """
    return -0.5 * (white @ white + white.size * LOG_2PI) - jnp.log(jnp.diagonal(factor)).sum()


def make_error_model(rows: pd.DataFrame, settings: Calibrate, start: float) -> ErrorModel:
    """The errors that a study states for its table.

    Args:
        rows: observations with columns variable, value, error, time and those that errors are shared by; a row whose
            column ``below_detection`` is true holds its detection limit as value.
        settings: the key `calibrate`.
        start: first year of the run.

    Raises:
        ValueError: a shared error names a column that the table lacks, or a lognormal value is not above 0.
    """
    choice = settings.likelihood
    kinds = [choice if isinstance(choice, str) else choice.get(name, "lognormal") for name in rows["variable"]]
    is_log = np.array([kind == "lognormal" for kind in kinds])
    values = rows["value"].to_numpy(float)
    if (values[is_log] <= 0).any():
        wrong = values[is_log & (values <= 0)][0]
        raise ValueError(f"the value {wrong:g} is not above 0, as lognormal errors need; use likelihood: normal")
    error, parts = rows["error"].to_numpy(float), _parts(rows)
    unit = np.where(is_log, 1.0, values)
    sources = tuple(_source(rows, f"error_{name}", entry, parts, unit) for name, entry in settings.errors.items())
    claimed = [entry.of for entry in settings.errors.values() if entry.of is not None]
    if "pedotransfer" in parts and "pedotransfer" not in claimed:  # a density never measured is one number of a site
        entry = ErrorSource(of="pedotransfer", shared_by=["scenario", "site"])
        sources, claimed = (
            (*sources, _source(rows, "error_pedotransfer", entry, parts, unit)),
            [*claimed, "pedotransfer"],
        )
    shared = sum(parts[name] ** 2 for name in claimed) * values**2 if claimed else 0.0
    stated = np.sqrt(np.maximum(error**2 - shared, 0.0))
    own = np.where(is_log, np.sqrt(np.log1p((stated / _nonzero(values)) ** 2)), stated)
    model, walk, ar1, fixed = settings.model_error, None, None, {}
    if model is not None:
        course = _together(rows, model.shared_by, "model_error")
        walk = course if model.kind == "random_walk" else None
        ar1 = course if model.kind == "ar1" else None
        given = {"model_error": _number(model.sd), "model_error_timescale": _number(model.timescale)}
        fixed = {name: value for name, value in given.items() if value is not None}
    scale = 1.0 if settings.error_scale is None else _number(settings.error_scale)
    below = below_detection(rows)
    years = rows["time"].to_numpy(float) - start
    return ErrorModel(values, own, is_log, below, years, sources, scale, walk, ar1, fixed)


def _parts(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Relative standard deviation of each row by each part of a composed stock that has an error."""
    found = {name: rows[part_column(name)].to_numpy(float) for name in PARTS if part_column(name) in rows}
    return {name: relative for name, relative in found.items() if (relative > 0).any()}


def _source(
    rows: pd.DataFrame, label: str, entry: ErrorSource, parts: Mapping[str, np.ndarray], unit: np.ndarray
) -> Source:
    """One error; ``unit`` takes a relative standard deviation to the scale of the likelihood, shape (rows,)."""
    what = label.replace("error_", "errors.", 1)
    together = _together(rows, entry.shared_by, what) if entry.shared_by else np.eye(len(rows))
    if entry.variable is not None:
        chosen = (rows["variable"] == entry.variable).to_numpy(float)
        together = together * np.outer(chosen, chosen)
    if entry.of is None:
        spread = entry.relative if entry.relative is not None else entry.absolute
        return Source(label, entry.relative is not None, together, _number(spread))
    if entry.of not in parts:
        raise ValueError(f"{what}: no measurement has an error of {entry.of}; see parts under observations")
    return Source(label, True, together, 1.0, np.sqrt(np.log1p(parts[entry.of] ** 2)) * unit)


def _number(spread: Any) -> float | None:
    return None if spread is None or isinstance(spread, Mapping) else float(spread)


def _nonzero(values: Any) -> Any:
    return (
        jnp.where(values == 0.0, 1.0, values) if isinstance(values, jax.Array) else np.where(values == 0, 1.0, values)
    )


def _together(rows: pd.DataFrame, columns: Sequence[str], what: str) -> np.ndarray:
    for name in columns:
        if name not in rows:
            raise ValueError(f"{what}: the observations have no column '{name}'; allowed: {', '.join(rows.columns)}")
    wanted = list(dict.fromkeys([*columns, "variable"]))  # outputs of different kind share no error
    group = rows.groupby(wanted, sort=False, dropna=False).ngroup().to_numpy()
    return np.equal.outer(group, group).astype(float)
