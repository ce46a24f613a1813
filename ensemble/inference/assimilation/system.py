"""What rows share, given the parameters, as one linear Gaussian system in time: the same errors as a calibration's.

Given the parameters a calibration's likelihood is one multivariate normal over all rows
(:mod:`~ensemble.inference.calibration.errors`). Here it is written as a state that moves from date to date: deviations
of the pools from the noise-free run, courses of the model error, and errors of measurement that several dates share. The
Kalman filter of :mod:`~ensemble.inference.calibration.kalman` then takes in one date after the other, and its evidence is
the calibration's likelihood. Errors that only rows of one date share stay in the covariance of that date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import block_diag

from ensemble.inference.calibration.errors import LOG_2PI, Part
from ensemble.inference.calibration.kalman import Dates, State, interval_noise
from ensemble.inference.calibration.problem import Problem
from ensemble.models.linear import Affine

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Shared:
    """One element of the state besides the pools: a number or course of one group of rows.

    Args:
        part: number of the error among the parts of the error model.
        rows: 1 for the rows of the group, shape (rows,).
        kind: ``static``, ``walk`` or ``ar1``.
    """

    part: int
    rows: np.ndarray
    kind: str


@dataclass(frozen=True)
class System:
    """The rows of a problem by date, and the state that links the dates.

    Args:
        problem: rows, errors and model.
        times: dates in years, rising, (dates,).
        slots: numbers of the rows at each date, filled up with -1, (dates, width).
        shared: elements of the state after those of the pools.
        pairs, pools: number of (scenario, site) pairs and of pools that get noise; 0 pools without.
    """

    problem: Problem
    times: np.ndarray
    slots: np.ndarray
    shared: tuple[Shared, ...]
    pairs: int
    pools: int

    @property
    def size(self) -> int:
        """Length of the state."""
        return self.pairs * self.pools + len(self.shared)

    @property
    def of_model(self) -> np.ndarray:
        """Which elements of the state are the model's error (the others belong to measurements), (size,)."""
        own = [entry.part >= len(self.problem.errors.sources) for entry in self.shared]
        return np.array([True] * (self.pairs * self.pools) + own, bool)

    def start(self, values: Values) -> State:
        """Knowledge of the state when the run starts."""
        variance = [0.0] * (self.pairs * self.pools) + [float(e.kind != "walk") for e in self.shared]
        return State(jnp.zeros(self.size), jnp.diag(jnp.asarray(variance)))

    def dates(self, values: Values) -> tuple[Dates, jax.Array]:
        """The system at some parameter values, leading axis dates; and the model at every row, shape (rows,).

        A free place of a date observes nothing: its density is that of 0 under N(0, 1).
        """
        problem = self.problem
        predicted = problem.predict(values)
        parts = problem.errors.parts(predicted, values)
        matrix, noise = self._motion(values, parts)
        observe = jnp.concatenate([self.loadings(values, predicted, parts), jnp.zeros((1, self.size))])[self.slots]
        residual = jnp.append(problem.errors.residual(predicted), 0.0)[self.slots]
        motion = Affine(matrix, jnp.zeros(matrix.shape[:2]))
        error = self._error(values, parts)
        return Dates(motion, noise, observe, jnp.zeros_like(residual), error, residual), predicted

    def log_densities(self, densities: jax.Array) -> jax.Array:
        """Log density of the measured values of each date from the filter's densities, both (dates,)."""
        errors, free = self.problem.errors, (self.slots < 0).sum(axis=1)
        logs = np.where(errors.is_log, np.log(np.where(errors.is_log, errors.values, 1.0)), 0.0)
        jacobian = np.append(logs, 0.0)[self.slots].sum(axis=1)
        return densities + 0.5 * LOG_2PI * free - jacobian

    def _motion(self, values: Values, parts: tuple[Part, ...]) -> tuple[jax.Array, jax.Array]:
        years = np.diff(np.concatenate([[0.0], self.times - self._start]))
        decay, added = [], []
        for entry in self.shared:
            lag = jnp.asarray(years)
            kept = jnp.exp(-lag / parts[entry.part].timescale) if entry.kind == "ar1" else jnp.ones_like(lag)
            decay.append(kept)
            added.append(lag if entry.kind == "walk" else 1.0 - kept**2)
        count = len(years)
        kept = jnp.stack(decay, axis=1) if decay else jnp.zeros((count, 0))
        grown = jnp.stack(added, axis=1) if added else jnp.zeros((count, 0))
        if not self.pools:
            return jax.vmap(jnp.diag)(kept), jax.vmap(jnp.diag)(grown)
        maps, noise = self.pool_motion(values)
        return (
            jax.vmap(lambda a, b: block_diag(*a, jnp.diag(b)))(maps, kept),
            jax.vmap(lambda a, b: block_diag(*a, jnp.diag(b)))(noise, grown),
        )

    def pool_motion(self, values: Values) -> tuple[jax.Array, jax.Array]:
        """What the time before each date does to deviations of the pools, and the noise it adds.

        Returns:
            Two arrays (dates, pairs, pools, pools). Dates of one record are one moment to the pools.
        """
        course = self.problem.pools
        assert course is not None
        maps, start, _ = course.build(values)
        years, rate = jnp.asarray(course.years), course.rate(values)
        noise = jax.vmap(lambda maps, start: interval_noise(maps, start, years, rate))(maps, start)
        where = self.records_of_dates
        new = np.append(True, np.diff(where) > 0)
        steady = jnp.eye(self.pools)
        matrix = jnp.where(new[:, None, None, None], maps.matrix[:, where].swapaxes(0, 1), steady)
        return matrix, jnp.where(new[:, None, None, None], noise[:, where].swapaxes(0, 1), 0.0)

    @property
    def records_of_dates(self) -> np.ndarray:
        """Interval of the pools that ends at each date, (dates,)."""
        assert self.problem.pools is not None
        records = self.problem.rows["record"].to_numpy(int)[self.slots[:, 0]]
        return np.searchsorted(self.problem.pools.records, records)

    @property
    def _start(self) -> float:
        return float(self.problem.rows["time"].to_numpy(float)[0] - self.problem.errors.years[0])

    def loadings(self, values: Values, predicted: jax.Array, parts: tuple[Part, ...]) -> jax.Array:
        """What each element of the state adds to the residual of each row, (rows, size)."""
        columns = [jnp.asarray(entry.rows) * parts[entry.part].weight for entry in self.shared]
        shared = jnp.stack(columns, axis=1) if columns else jnp.zeros((len(predicted), 0))
        if not self.pools:
            return shared
        assert self.problem.pools is not None
        observe = self.problem.pools.build(values)[2]
        pair = np.equal.outer(self.problem.rows["pair"].to_numpy(int), np.arange(self.pairs))
        is_log = self.problem.errors.is_log
        scale = jnp.where(is_log, 1.0 / jnp.where(is_log, predicted, 1.0), 1.0)
        pools = (jnp.asarray(pair)[:, :, None] * observe).reshape(len(predicted), -1) * scale[:, None]
        return jnp.concatenate([pools, shared], axis=1)

    def _error(self, values: Values, parts: tuple[Part, ...]) -> jax.Array:
        slots, width = self.slots, self.slots.shape[1]
        own = jnp.append(self.problem.errors.own_variance(values), 1.0)[slots]
        total = jax.vmap(jnp.diag)(own)
        for number, part in enumerate(parts):
            if part.kind == "static":
                inside = self.within_date(number)
                weight = jnp.append(part.weight, 0.0)[slots]
                total = total + jnp.asarray(inside) * weight[:, :, None] * weight[:, None, :]
        return total.reshape(len(slots), width, width)

    def within_date(self, part: int) -> np.ndarray:
        """Which rows of a date share a measurement error that no other date has, (dates, width, width)."""
        together = self.problem.errors.sources[part].together.copy()
        for entry in self.shared:
            if entry.part == part:
                together[entry.rows > 0] = 0.0
        padded = np.pad(together, ((0, 1), (0, 1)))
        return padded[self.slots[:, :, None], self.slots[:, None, :]]


def make_system(problem: Problem) -> System:
    """Sort the rows of a problem by date and find what links the dates.

    Raises:
        ValueError: a row lies below a detection limit, which has no Gaussian density.
    """
    errors, times = problem.errors, problem.rows["time"].to_numpy(float)
    if errors.below.any():
        row = int(np.flatnonzero(errors.below)[0])
        where = f"{problem.rows['site'].iloc[row]} in {times[row]:g}"
        raise ValueError(
            f"the measurement at {where} is below a detection limit; a filter takes values only, `ensemble calibrate` takes both"
        )
    dates = np.unique(times)
    by_date = [np.flatnonzero(times == date) for date in dates]
    width = max(len(rows) for rows in by_date)
    slots = np.array([np.pad(rows, (0, width - len(rows)), constant_values=-1) for rows in by_date])
    shared = [
        Shared(number, rows, "static")
        for number, source in enumerate(errors.sources)
        for rows in _groups(source.together)
        if len(np.unique(times[rows > 0])) > 1
    ]
    for kind, together in (("walk", errors.walk), ("ar1", errors.ar1)):
        if together is not None:
            shared += [Shared(len(errors.sources), rows, kind) for rows in _groups(together)]
    pools = 0 if problem.pools is None else len(problem.pools.names)
    return System(problem, dates, slots, tuple(shared), int(problem.rows["pair"].to_numpy(int).max()) + 1, pools)


def _groups(together: np.ndarray) -> list[np.ndarray]:
    """Rows of each group of a relation, as masks of floats; rows related to none are left out."""
    first = np.where(np.diag(together) > 0, together.argmax(axis=1), -1)
    return [(first == k).astype(float) for k in dict.fromkeys(first[first >= 0].tolist())]
