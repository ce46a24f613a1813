"""A calibration from start to end: modes, draws, diagnostics, and what the draws predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.config.calibration import Calibrate
from ensemble.inference.calibration.diagnostics import Diagnostics, diagnose
from ensemble.inference.calibration.importance import LeftOut, leave_out, left_out_density, smooth
from ensemble.inference.calibration.modes import Modes, find_modes
from ensemble.inference.calibration.problem import Problem, make_problem
from ensemble.inference.calibration.sampling import Draws, laplace, nuts
from ensemble.keys import stream_number
from ensemble.plan import Plan

PRIOR_DRAWS = 1000
# Draws evaluated in one step when predictions are made.
_BATCH = 64
# Pareto k-hat above which the Gaussian at the mode is not a fit.
LARGEST_K = 0.7


@dataclass(frozen=True)
class Fit:
    """A posterior and what is known about it.

    Args:
        problem: what was fitted.
        modes: the search for modes.
        scores: draws as independent prior scores, (chains, draws, size).
        statistics: of the sampler's steps, (chains, draws) each.
        diagnostics: of NUTS; ``None`` for the Gaussian approximation.
        approximation_k: Pareto k-hat of the approximation's weights to the posterior; ``None`` for NUTS.
        values: parameter values by label, (chains, draws) or (chains, draws, sites).
        predicted: the model at every row, (chains, draws, rows).
        replicated: predictions with measurement and model error, given the fitted rows where a row is held out.
        log_likelihood: of each fitted row given the others, (chains, draws, fitted rows).
        by_date, by_site: the same for groups of rows that share a date or a site; ``None`` where all rows are one.
        prior: prior draws by label, (1, draws) or (1, draws, sites).
        prior_replicated: measurements of every row that the prior expects, (1, draws, rows).
    """

    problem: Problem
    modes: Modes
    scores: np.ndarray
    statistics: dict[str, np.ndarray]
    diagnostics: Diagnostics | None
    approximation_k: float | None
    values: dict[str, np.ndarray]
    predicted: np.ndarray
    replicated: np.ndarray
    log_likelihood: np.ndarray
    by_date: LeftOut | None
    by_site: LeftOut | None
    prior: dict[str, np.ndarray]
    prior_replicated: np.ndarray

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the draws must not be used; empty where they may."""
        if self.diagnostics is not None:
            return self.diagnostics.problems
        assert self.approximation_k is not None
        if self.approximation_k <= LARGEST_K:
            return ()
        return (
            f"the Gaussian approximation has a Pareto k-hat of {self.approximation_k:.2g}; allowed: up to {LARGEST_K:g}",
        )


def calibrate(plan: Plan, settings: Calibrate, seed: int) -> Fit:
    """Fit a study. Call it under ``jax.enable_x64(True)``.

    Args:
        plan: the study.
        settings: its key `calibrate`.
        seed: of starts, chains and replicates.

    Raises:
        InputError: as :func:`~ensemble.inference.calibration.problem.make_problem`.
    """
    problem = make_problem(plan, settings)
    size = problem.parameters.size
    modes = find_modes(problem.potential, size, settings.starts, _stream(seed, "starts"))
    draws, k = _draw(problem, modes, settings, seed)
    scores = np.asarray(jax.jit(jax.vmap(jax.vmap(problem.straighten)))(draws.coordinates)[0])
    diagnostics = None
    if settings.method == "nuts":
        energy, diverging = draws.statistics["energy"], draws.statistics["diverging"]
        lp = -draws.statistics["potential_energy"]
        diagnostics = diagnose(problem.parameters.names, scores, lp, energy, diverging)
    return _predicted(problem, modes, draws, scores, diagnostics, k, seed)


def _stream(seed: int, name: str) -> int:
    return (seed * 0x9E3779B1 + stream_number(name)) % 2**31


def _draw(problem: Problem, modes: Modes, settings: Calibrate, seed: int) -> tuple[Draws, float | None]:
    if settings.method == "nuts":
        chosen = settings.chains, settings.warmup, settings.draws, settings.target_accept
        return nuts(problem.potential, modes, *chosen, _stream(seed, "chains")), None
    draws, weights = laplace(modes, problem.potential, settings.chains, settings.draws, _stream(seed, "chains"))
    return draws, float(smooth(weights.ravel())[1])


def _predicted(
    problem: Problem,
    modes: Modes,
    draws: Draws,
    scores: np.ndarray,
    diagnostics: Diagnostics | None,
    k: float | None,
    seed: int,
) -> Fit:
    chains, length, size = scores.shape
    fitted = problem.rows.iloc[problem.training]
    dates, sites = (_groups(fitted[name].to_numpy()) for name in ("time", "site"))
    singles = tuple(np.array([k]) for k in range(len(fitted)))

    def one(scores: jax.Array, key: jax.Array) -> dict[str, Any]:
        values = problem.parameters.values(scores)
        predicted = problem.predict(values)
        mine, extra = problem.errors.rows(problem.training), problem.extra(values, predicted)
        extra = None if extra is None else extra[np.ix_(problem.training, problem.training)]
        found = {
            "values": values,
            "predicted": predicted,
            "replicated": replicate(problem, predicted, values, key),
            "rows": left_out_density(mine, predicted[problem.training], values, singles, extra),
        }
        for name, groups in (("dates", dates), ("sites", sites)):
            if len(groups) > 1:
                found[name] = left_out_density(mine, predicted[problem.training], values, groups, extra)
        return found

    keys = jax.random.split(jax.random.key(_stream(seed, "replicates")), chains * length)
    found = jax.jit(lambda a: jax.lax.map(lambda b: one(*b), a, batch_size=_BATCH))((scores.reshape(-1, size), keys))
    found = jax.tree.map(np.asarray, found)

    def by_chain(array: np.ndarray) -> np.ndarray:
        return array.reshape(chains, length, *array.shape[1:])

    names = {"dates": fitted["time"], "sites": fitted["site"]}
    left = {
        name: leave_out(found[name], tuple(str(value) for value in dict.fromkeys(names[name])))
        if name in found
        else None
        for name in ("dates", "sites")
    }
    prior_values, expected = _prior_predictive(problem, size, seed)
    return Fit(
        problem,
        modes,
        scores,
        draws.statistics,
        diagnostics,
        k,
        {name: by_chain(value) for name, value in found["values"].items()},
        by_chain(found["predicted"]),
        by_chain(found["replicated"]),
        by_chain(found["rows"]),
        left["dates"],
        left["sites"],
        prior_values,
        expected,
    )


def _prior_predictive(problem: Problem, size: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Inputs (1, draws, ...) and new measurements of every row (1, draws, rows) before any measurement is used."""

    def one(scores: jax.Array, key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        values = problem.parameters.values(scores)
        return values, replicate(problem, problem.predict(values), values, key, given_fitted=False)

    scores = jax.random.normal(jax.random.key(_stream(seed, "prior")), (PRIOR_DRAWS, size))
    keys = jax.random.split(jax.random.key(_stream(seed, "prior replicates")), PRIOR_DRAWS)
    found = jax.jit(lambda a: jax.lax.map(lambda b: one(*b), a, batch_size=_BATCH))((scores, keys))
    return jax.tree.map(lambda value: np.asarray(value)[None], found)


def _groups(values: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.flatnonzero(values == value) for value in dict.fromkeys(values.tolist()))


def replicate(
    problem: Problem, predicted: jax.Array, values: dict[str, jax.Array], key: jax.Array, given_fitted: bool = True
) -> jax.Array:
    """New measurements of every row, with all errors: a draw of the posterior predictive, shape (rows,).

    Fitted rows get new errors of every kind. Held-out rows get errors given those of the fitted rows, so that a plot
    whose earlier dates were fitted keeps what is known of its own error; not so with ``given_fitted`` false (prior).
    """
    errors, fitted = problem.errors, problem.training
    held = np.setdiff1d(np.arange(len(problem.rows)), fitted)
    covariance = errors.covariance(predicted, values, problem.extra(values, predicted))
    jitter = 1e-12 * jnp.diagonal(covariance).mean()
    first, second = jax.random.split(key)
    factor = jnp.linalg.cholesky(covariance + jitter * jnp.eye(len(predicted)))
    noise = factor @ jax.random.normal(first, predicted.shape)
    if len(held) and given_fitted:
        inner, cross = covariance[np.ix_(fitted, fitted)], covariance[np.ix_(held, fitted)]
        gain = jnp.linalg.solve(inner, cross.T).T
        left = covariance[np.ix_(held, held)] - gain @ cross.T
        root = jnp.linalg.cholesky(left + jitter * jnp.eye(len(held)))
        given = gain @ errors.residual(predicted)[fitted] + root @ jax.random.normal(second, (len(held),))
        noise = noise.at[held].set(given)
    return jnp.where(errors.is_log, predicted * jnp.exp(noise), predicted + noise)
