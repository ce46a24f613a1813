"""One way to take in a date and to look ahead, whatever the method: particles, ensemble smoother or ensemble filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ensemble.config.calibration import Calibrate
from ensemble.config.twin import Twin
from ensemble.inference.assimilation.batches import over_particles
from ensemble.inference.assimilation.ensemble_kalman import analysis, es_mda
from ensemble.inference.assimilation.evidence import date_densities
from ensemble.inference.assimilation.futures import draw_states, make_known, make_layers, only
from ensemble.inference.assimilation.grid import grid_rows, origin_of_rows
from ensemble.inference.assimilation.localisation import make_taper
from ensemble.inference.assimilation.particles import Mover, Particles, Step, absorb, systematic
from ensemble.inference.assimilation.system import System, make_system
from ensemble.inference.calibration.problem import Problem, make_problem
from ensemble.keys import stream_number
from ensemble.plan import Plan

# Particles whose system is evaluated in one step.
_BATCH = 32


class Belief(NamedTuple):
    """What is known after a date.

    Args:
        names: of the scores.
        scores: independent prior scores, (particles, size).
        log_weights: normalised, (particles,).
        state: of the system, for the ensemble filter alone, (particles, state size) or (particles, 0).
    """

    names: tuple[str, ...]
    scores: np.ndarray
    log_weights: np.ndarray
    state: np.ndarray


class Forecast(NamedTuple):
    """Draws of what comes after a date.

    Args:
        rows: what is forecast, one row a column of ``layers``.
        layers: (4, draws, rows), see :mod:`~ensemble.inference.assimilation.futures`.
        parameters: values of the draws by name, (draws,) or (draws, sites).
        now: pools today by draw: mean and sd given the parameters, (draws, pairs, pools); ``None`` without noise on them.
    """

    rows: pd.DataFrame
    layers: np.ndarray
    parameters: dict[str, np.ndarray]
    now: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Engine:
    """Takes in the dates of a table of measurements one after the other.

    Args:
        problem: of the measured rows.
        system: of the measured rows, then the rows of the forecast.
        settings: the key `twin`.
        seed: of everything drawn.
        mover: densities of the dates, and moves.
        known: from scores and the number of a date to what is known there.
        layers: from scores, state mean, state draw, date and key to the layers of every row.
        member: a member of the ensemble filter, from one date to the next.
        values: parameter values by name, from scores (particles, size).
        taper: localisation of rows by their numbers (-1 for none), or ``None``.
    """

    problem: Problem
    system: System
    settings: Twin
    seed: int
    mover: Mover
    known: Callable[..., Any]
    layers: Callable[..., Any]
    member: Callable[..., Any]
    values: Callable[[jax.Array], dict[str, jax.Array]]
    taper: Callable[[np.ndarray], tuple[jax.Array, jax.Array]] | None

    @property
    def dates(self) -> np.ndarray:
        """Dates of the measurements, years, rising."""
        return np.unique(self.problem.rows["time"].to_numpy(float))

    def rows_of(self, date: int) -> np.ndarray:
        """Numbers of the rows of a date."""
        return np.flatnonzero(self.problem.rows["time"].to_numpy(float) == self.dates[date])

    def _key(self, what: str, date: int) -> jax.Array:
        """Key of a step: the same however the measurements arrived."""
        key = jax.random.fold_in(jax.random.key(self.seed), stream_number(f"twin {what}"))
        return key if date < 0 else jax.random.fold_in(key, round(float(self.dates[date]) * 365.25) % 2**31)

    def begin(self) -> Belief:
        """The prior."""
        names, count = self.problem.parameters.names, self.settings.particles
        columns = [self._prior(name) for name in names]
        scores = np.stack(columns, axis=1)
        state = np.zeros((count, 0))
        if self.settings.method == "enkf":
            start = self.system.start(self.problem.parameters.values(jnp.asarray(scores[0])))
            root = np.sqrt(np.diagonal(np.asarray(start.covariance)))
            state = root * np.asarray(jax.random.normal(self._key("state", -1), (count, self.system.size)))
        return Belief(names, scores, np.full(count, -np.log(count)), state)

    def _prior(self, name: str) -> np.ndarray:
        return np.asarray(jax.random.normal(self._key(f"prior of {name}", -1), (self.settings.particles,)))

    def fitted_to(self, belief: Belief) -> Belief:
        """A belief with the parameters of this problem: those of sites that are new have their prior."""
        if belief.names == self.problem.parameters.names:
            return belief
        have = dict(zip(belief.names, belief.scores.T, strict=True))
        columns = [have.get(name, self._prior(name)) for name in self.problem.parameters.names]
        return belief._replace(names=self.problem.parameters.names, scores=np.stack(columns, axis=1))

    def absorb(self, belief: Belief, date: int) -> tuple[Belief, Step]:
        """Knowledge after one more date."""
        if self.settings.method == "smc":
            particles = Particles(belief.scores, belief.log_weights)
            after, done = absorb(particles, self.mover, date, self._key("moves", date))
            return belief._replace(scores=after.scores, log_weights=after.log_weights), done
        after = self._smoothed(date) if self.settings.method == "es_mda" else self._filtered(belief, date)
        gained = _gaussian_information(belief.scores, after.scores)
        return after, Step(float("nan"), gained, float(len(after.scores)), 1, 0, float("nan"), float("nan"))

    def _smoothed(self, date: int) -> Belief:
        """All dates up to one, from the prior."""
        start, problem = self.begin(), self.problem
        rows = np.flatnonzero(problem.rows["time"].to_numpy(float) <= self.dates[date])
        errors = problem.errors.rows(rows)

        def one(scores: jax.Array) -> tuple[jax.Array, jax.Array]:
            values = problem.parameters.values(scores)
            predicted = problem.predict(values)
            extra = problem.extra(values, predicted)
            extra = None if extra is None else extra[np.ix_(rows, rows)]
            predicted = predicted[rows]
            return -errors.residual(predicted), errors.covariance(predicted, values, extra)

        simulate = jax.jit(lambda scores: over_particles(one, scores, _BATCH))
        taper = None if self.taper is None else self.taper(rows)
        measured = jnp.zeros(len(rows))  # predictions are taken relative to the measurements
        key = self._key("perturbations", date)
        found = es_mda(jnp.asarray(start.scores), simulate, measured, key, self.settings.assimilations, taper)
        return start._replace(scores=np.asarray(found))

    def _filtered(self, belief: Belief, date: int) -> Belief:
        """One date by the ensemble filter: scores and state together."""
        system, size = self.system, belief.scores.shape[1]
        here = self._place(date)
        keys = jax.random.split(self._key("noise", date), len(belief.scores))
        scores, state = jnp.asarray(belief.scores), jnp.asarray(belief.state)
        state, predicted, errors = self.member(scores, state, keys, self._place(date - 1), here)
        taper = None
        if self.taper is not None:
            cross, own = self.taper(system.slots[here])
            taper = jnp.concatenate([cross, jnp.ones((system.size, cross.shape[1]))]), own
        measured = jnp.zeros(predicted.shape[1])  # predictions are taken relative to the measurements
        key, both = self._key("perturbations", date), jnp.concatenate([scores, state], axis=1)
        after = np.asarray(analysis(both, predicted, measured, errors, key, self.settings.inflation, taper))
        return belief._replace(scores=after[:, :size], state=after[:, size:])

    def _place(self, date: int) -> int:
        """Number of a date of the measurements among those of the system; -1 for before the first."""
        return -1 if date < 0 else int(np.searchsorted(self.system.times, self.dates[date]))

    def forecast(self, belief: Belief, date: int) -> Forecast:
        """Draws of all rows later than a date (-1: from the prior), within the horizon."""
        count, last = self.settings.forecast_draws, self._place(date)
        chosen = systematic(np.exp(belief.log_weights), 0.5, count)
        scores = jnp.asarray(belief.scores[chosen])
        now = self.known(scores, last)
        mean = drawn = jnp.asarray(belief.state[chosen])
        if self.settings.method != "enkf":
            mean = now.state.mean
            drawn = draw_states(now.state, jax.random.split(self._key("state", date), count))
        keys = jax.random.split(self._key("forecast", date), count)
        layers = np.asarray(self.layers(scores, mean, drawn, keys, last))
        rows, today = self.system.problem.rows, self.dates[date] if date >= 0 else -np.inf
        until = max(today, float(self.dates[0])) + self.settings.horizon
        times, of_grid = rows["time"].to_numpy(float), rows["of_grid"].to_numpy(bool)
        kept = np.flatnonzero((times > today) & ((times <= until + 1e-9) | ~of_grid))
        values = self.values(scores)
        return Forecast(
            rows.iloc[kept].reset_index(drop=True),
            layers[:, :, kept].swapaxes(0, 1),
            {name: np.asarray(value) for name, value in values.items()},
            None if now.pools is None else (np.asarray(now.pools), np.asarray(now.spread)),
        )


def make_engine(plan: Plan, rows: pd.DataFrame, calibrate: Calibrate, settings: Twin, seed: int) -> Engine:
    """The engine of a table of measurements. Call it, and use it, under ``jax.enable_x64(True)``.

    Args:
        plan: the study.
        rows: measurements, as :func:`~ensemble.inputs.observations.read_observations` gives them.
        calibrate: errors of the measurements and of the model; nothing is held out.
        settings: the key `twin`.
        seed: of everything drawn.

    Raises:
        InputError: as :func:`~ensemble.inference.calibration.problem.make_problem`.
        ValueError: the rows cannot be filtered, or a localisation has no places.
    """
    calibrate = calibrate.model_copy(update={"hold_out": {}})
    rows = rows.assign(of_grid=False)
    problem = make_problem(replace(plan, observations=rows), calibrate)
    ahead = grid_rows(plan, rows, settings.continues, settings.horizon).assign(of_grid=True)
    every = pd.concat([rows, ahead], ignore_index=True)
    whole = make_problem(replace(plan, observations=every), calibrate)
    if whole.parameters.names != problem.parameters.names:
        raise ValueError("an arm that continues another has a parameter of its own, of which nothing can be known")
    system, given = make_system(whole), (~every["of_grid"]).to_numpy()
    make_system(problem)
    origin = _origin_of_state(system, origin_of_rows(whole.rows, settings.continues))
    return Engine(
        problem,
        system,
        settings,
        seed,
        Mover(date_densities(problem)),
        make_known(system, given, _BATCH),
        make_layers(system, origin, _BATCH),
        _make_member(system, given),
        jax.jit(jax.vmap(problem.parameters.values)),
        make_taper(plan, problem, settings.localisation) if settings.localisation is not None else None,
    )


def _origin_of_state(system: System, rows: np.ndarray) -> np.ndarray:
    """Element of the state that each element continues, from the rows that rows continue."""
    pair, pools = system.problem.rows["pair"].to_numpy(int), system.pools
    pairs = np.arange(system.pairs)
    pairs[pair] = pair[rows]
    found = [pairs[p] * pools + k for p in range(system.pairs) for k in range(pools)]
    for number, entry in enumerate(system.shared):
        mine = np.flatnonzero(entry.rows)
        target = [k for k, e in enumerate(system.shared) if e.part == entry.part and e.rows[rows[mine[0]]] > 0]
        found.append(system.pairs * pools + (target[0] if target else number))
    return np.array(found, int)


def _make_member(system: System, given: np.ndarray) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """A member of the ensemble filter: its state at a date from that at the date before, what it says, and errors."""

    def one(scores: jax.Array, state: jax.Array, key: jax.Array, before: Any, here: Any) -> tuple[jax.Array, ...]:
        dates = only(system, system.dates(system.problem.parameters.values(scores))[0], given)
        normals = jax.random.normal(key, (len(system.times), system.size))

        def move(state: jax.Array, now: tuple) -> tuple[jax.Array, None]:
            date, normal, number = now
            later = date.maps.matrix @ state + jnp.sqrt(jnp.diagonal(date.noise)) * normal
            return jnp.where((number > before) & (number <= here), later, state), None

        state, _ = jax.lax.scan(move, state, (dates, normals, jnp.arange(len(system.times))))
        date = jax.tree.map(lambda a: a[here], dates)
        return state, date.observe @ state - date.measured, date.error

    return jax.jit(
        lambda scores, state, keys, before, here: over_particles(
            lambda a: one(a[0], a[1], a[2], before, here), (scores, state, keys), _BATCH
        )
    )


def _gaussian_information(before: np.ndarray, after: np.ndarray) -> float:
    """Kullback-Leibler divergence of two Gaussians with the moments of two sets of draws, nats."""
    size = before.shape[1]
    first, second = (np.cov(x.T).reshape(size, size) + 1e-12 * np.eye(size) for x in (before, after))
    shift = np.linalg.solve(first, after.mean(axis=0) - before.mean(axis=0))
    logs = np.linalg.slogdet(first)[1] - np.linalg.slogdet(second)[1]
    spread = np.trace(np.linalg.solve(first, second)) - size
    return float(0.5 * (logs + spread + shift @ (after.mean(axis=0) - before.mean(axis=0))))
