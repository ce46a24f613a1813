"""What draws predict: the model at every row, new measurements, and rows left out; for the posterior and the prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ensemble.execute.progress import progress
from ensemble.inference.calibration.importance import LeftOut, leave_out, left_out_density
from ensemble.inference.calibration.problem import Problem

# Draws evaluated in one step, and steps of one compiled program between two reports of progress.
_BATCH, _STEPS = 64, 8
# Groups of rows that are left out together, and what each is called where there is one group alone.
GROUPS = ("date", "plot")


class Predictive(NamedTuple):
    """Predictions of posterior draws, leading axis draws.

    Args:
        values: parameter values by label, (draws,) or (draws, groups).
        predicted: the model at every row, (draws, rows).
        replicated: predictions with measurement and model error, given the fitted rows where a row is held out.
        log_likelihood: of each fitted row that was seen, given the others, (draws, fitted rows).
        left_out: rows left out one by one (``row``, where rows share no error), by ``date`` and by ``plot`` (scenario
            and site), where there are several.
    """

    values: dict[str, np.ndarray]
    predicted: np.ndarray
    replicated: np.ndarray
    log_likelihood: np.ndarray
    left_out: dict[str, LeftOut]


def posterior_predictive(problem: Problem, scores: np.ndarray, seed: int, quiet: bool = True) -> Predictive:
    """Everything that is computed from draws of the posterior, in one compiled program.

    Args:
        problem: what was fitted.
        scores: draws, (draws, size).
        seed: of the replicates.
        quiet: show no progress.
    """
    used = seen_rows(problem)
    groups = _groups(problem, used)

    together = (*groups["date"][0], *groups["plot"][0])

    def one(scores: jax.Array, key: jax.Array) -> dict[str, Any]:
        noise, place = jax.random.split(key)
        values = problem.parameters.values(scores)
        predicted = problem.predict(values)
        replicated, precision, pulled = _given_fitted(problem, predicted, values, noise)
        errors = problem.errors.rows(used)
        dates, plots = jnp.split(left_out_density(errors, precision, pulled, together), [len(groups["date"][0])])
        rows = left_out_density(errors, precision, pulled, groups["row"][0])
        return {
            "values": {**values, **problem.parameters.in_new_groups(scores, place)},
            "predicted": predicted,
            "replicated": replicated,
            "left": {"row": rows, "date": dates, "plot": plots},
        }

    found = _over_draws(one, scores, seed, "predictions", quiet)
    left = {name: leave_out(found["left"][name], groups[name][1]) for name in GROUPS if len(groups[name][0]) > 1}
    if problem.errors.rows(used).independent:
        left["row"] = leave_out(found["left"]["row"], groups["row"][1])
    return Predictive(found["values"], found["predicted"], found["replicated"], found["left"]["row"], left)


def prior_predictive(
    problem: Problem, draws: int, seed: int, quiet: bool = True
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Prior draws by label, (draws,) or (draws, groups), and measurements of every row that they expect, (draws, rows)."""

    def one(scores: jax.Array, key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
        noise, place = jax.random.split(key)
        values = problem.parameters.values(scores)
        expected = replicate(problem, problem.predict(values), values, noise)
        return {**values, **problem.parameters.in_new_groups(scores, place)}, expected

    first, second = jax.random.split(jax.random.key(seed))
    scores = jax.random.normal(first, (draws, problem.parameters.size))
    seed = int(jax.random.randint(second, (), 0, 2**31 - 1, "int32"))
    return _over_draws(one, scores, seed, "prior predictions", quiet)


def seen_rows(problem: Problem) -> np.ndarray:
    """Numbers of the fitted rows that are not below a detection limit."""
    return problem.training[~problem.errors.below[problem.training]]


def _over_draws(one: Callable[[jax.Array, jax.Array], Any], scores: Any, seed: int, title: str, quiet: bool) -> Any:
    """A function of each draw's scores and key, leading axis draws; the last block is filled up with the first draw."""
    count = len(scores)
    block = min(_BATCH * _STEPS, count)
    filled = np.arange(-(-count // block) * block)
    filled[count:] = 0
    items = jnp.asarray(scores)[filled], jax.random.split(jax.random.key(seed), count)[filled]
    program = jax.jit(lambda scores, keys: jax.lax.map(lambda item: one(*item), (scores, keys), batch_size=_BATCH))
    parts = []
    with progress(title, count, 0, "draws", quiet) as advance:
        for begin in range(0, count, block):
            part = program(*(item[begin : begin + block] for item in items))
            parts.append(jax.tree.map(np.asarray, part))
            advance(min(block, count - begin))
    return jax.tree.map(lambda *blocks: np.concatenate(blocks)[:count], *parts)


def _groups(problem: Problem, used: np.ndarray) -> dict[str, tuple[tuple[np.ndarray, ...], tuple[str, ...]]]:
    """Rows (by their place among those used) that are left out together, and the names of the groups."""
    rows = problem.rows.iloc[used]
    plot = rows["site"].astype(str)
    if rows["scenario"].nunique() > 1:
        plot = rows["scenario"].astype(str) + (", " + plot if rows["site"].nunique() > 1 else "")
    time = rows["time"].astype(str)
    keys = {"row": plot + ", " + rows["variable"].astype(str) + ", " + time, "date": time, "plot": plot}
    found = {"row": (tuple(np.array([k]) for k in range(len(rows))), tuple(keys["row"]))}
    for name in GROUPS:
        names = tuple(dict.fromkeys(keys[name]))
        found[name] = tuple(np.flatnonzero(keys[name].to_numpy() == value) for value in names), names
    return found


def replicate(problem: Problem, predicted: jax.Array, values: dict[str, jax.Array], key: jax.Array) -> jax.Array:
    """New measurements of every row, with new errors of every kind, shape (rows,)."""
    order, factor = _factor(problem, predicted, values)
    noise = jnp.zeros_like(predicted).at[order].set(factor @ jax.random.normal(key, predicted.shape))
    return _measured(problem, predicted, noise)


def _given_fitted(
    problem: Problem, predicted: jax.Array, values: dict[str, jax.Array], key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A draw of the posterior predictive (rows,), and for the fitted rows that were seen the precision of their
    residuals and its product with them.

    Fitted rows get new errors of every kind. Held-out rows get errors given those of the fitted rows, so that a plot
    whose earlier dates were fitted keeps what is known of its own error. With the fitted rows first, one factor of the
    covariance holds all of it: its first block factors theirs, and the rows below are the held-out ones given them.
    """
    order, factor = _factor(problem, predicted, values)
    fitted, held = len(seen_rows(problem)), len(problem.rows) - len(problem.training)
    residual = problem.errors.residual(predicted)[order[:fitted]]
    solved = solve_triangular(
        factor[:fitted, :fitted], jnp.concatenate([residual[:, None], jnp.eye(fitted)], axis=1), lower=True
    )
    white, inverse = solved[:, 0], solved[:, 1:]
    first, second = jax.random.split(key)
    noise = factor @ jax.random.normal(first, predicted.shape)
    rows = slice(fitted, fitted + held)
    given = factor[rows, :fitted] @ white + factor[rows, rows] @ jax.random.normal(second, (held,))
    noise = jnp.zeros_like(predicted).at[order].set(noise.at[rows].set(given))
    return _measured(problem, predicted, noise), inverse.T @ inverse, inverse.T @ white


def _factor(problem: Problem, predicted: jax.Array, values: dict[str, jax.Array]) -> tuple[np.ndarray, jax.Array]:
    """Order of the rows (fitted and seen, held out, below detection), and Cholesky's factor of their covariance."""
    fitted, held = seen_rows(problem), np.setdiff1d(np.arange(len(problem.rows)), problem.training)
    order = np.concatenate([fitted, held, np.setdiff1d(problem.training, fitted)])
    covariance = problem.errors.covariance(predicted, values, problem.extra(values, predicted))[np.ix_(order, order)]
    jitter = 1e-12 * jnp.diagonal(covariance).mean()
    return order, jnp.linalg.cholesky(covariance + jitter * jnp.eye(len(order)))


def _measured(problem: Problem, predicted: jax.Array, noise: jax.Array) -> jax.Array:
    return jnp.where(problem.errors.is_log, predicted * jnp.exp(noise), predicted + noise)
