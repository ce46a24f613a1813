"""Simulation-based calibration: whether the machinery finds the posterior, told from data whose truth is known.

Parameters are drawn from the prior, data from the parameters, and the posterior of each data set is sampled by the
same likelihood, coordinates and sampler as a real one. The truth is then one more draw of its posterior, so that its
rank among the draws is uniform, for every parameter and for functions of parameters and data. Sources: Talts et al.
(2018), arXiv 1804.06788; Modrak et al. (2025), Bayesian Analysis 20, on test quantities that use the data; Sailynoja,
Bürkner and Vehtari (2022), Statistics and Computing 32, 32, on simultaneous bands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS
from scipy import stats

from ensemble.execute.progress import progress
from ensemble.inference.calibration.modes import inverse_curvature, minimise
from ensemble.inference.calibration.parameters import common
from ensemble.inference.calibration.predictive import replicate
from ensemble.inference.calibration.problem import Problem, Values

# Data sets that are fitted side by side.
LANES = 50
LEVEL = 0.99
_BAND_DRAWS = 20_000
# Test quantities besides the parameters: log density of the data, and the mean of the model over the fitted rows.
OF_ALL = ("log_likelihood", "mean_prediction")


@dataclass(frozen=True)
class Effort:
    """How each data set is sampled.

    Args:
        warmup: steps that adapt the sampler.
        draws: draws whose number is the largest rank.
        thin: steps from one draw to the next, so that draws are nearly independent.
        target_accept: acceptance rate that the step size aims at.
        depth: largest depth of a trajectory's tree.
    """

    warmup: int = 100
    draws: int = 99
    thin: int = 3
    target_accept: float = 0.8
    depth: int = 4


@dataclass(frozen=True)
class Ranks:
    """Ranks of the truth among the draws of its posterior.

    Args:
        names: test quantities: every parameter, the log likelihood of the data, and the mean prediction.
        ranks: from 0 to ``draws``, (data sets, quantities).
        draws: number of draws of each posterior.
    """

    names: tuple[str, ...]
    ranks: np.ndarray
    draws: int

    def departures(self, level: float = LEVEL) -> np.ndarray:
        """Largest departure of each quantity's ECDF from the diagonal, as a multiple of the simultaneous band."""
        grid, low, high = (end[:-1, None] for end in band(len(self.ranks), len(self.names), self.draws, level))
        found = ecdf(self.ranks, self.draws)[:-1]  # the last point is 1 always
        return np.maximum((found - grid) / (high - grid), (grid - found) / (grid - low)).max(axis=0)

    def outside(self, level: float = LEVEL) -> tuple[str, ...]:
        """Quantities whose ECDF leaves the band."""
        return tuple(name for name, size in zip(self.names, self.departures(level), strict=True) if size > 1.0)


def ecdf(ranks: np.ndarray, draws: int) -> np.ndarray:
    """Share of ranks below each of 1, ..., draws + 1, shape (draws + 1, quantities)."""
    return (ranks[:, None, :] < np.arange(1, draws + 2)[:, None]).mean(axis=0)


@lru_cache(maxsize=32)
def band(count: int, quantities: int, draws: int, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simultaneous band of the ECDFs of uniform ranks, over all points and all quantities.

    Pointwise binomial intervals are widened until a share ``level`` of simulated sets of independent quantities lies
    inside of them everywhere (quantities that depend on each other stay inside more often).

    Args:
        count: data sets.
        quantities: number of test quantities.
        draws: draws of each posterior; ranks are 0 to draws.

    Returns:
        The diagonal, and lower and upper end, (draws + 1,) each.
    """
    grid = np.arange(1, draws + 2) / (draws + 1)
    rng = np.random.default_rng(0)
    tail = np.minimum(
        stats.binom.cdf(np.arange(count + 1)[:, None], count, grid[:-1]),
        stats.binom.sf(np.arange(count + 1)[:, None] - 1, count, grid[:-1]),
    )
    one = np.array([1.0 / (draws + 1)] * (draws + 1))
    worst = np.empty(_BAND_DRAWS)
    for k in range(_BAND_DRAWS):  # the smallest tail probability of one quantity's ECDF
        below = np.cumsum(rng.multinomial(count, one))[:-1]
        worst[k] = tail[below, np.arange(draws)].min()
    gamma = np.quantile(worst, 1.0 - level ** (1.0 / quantities))  # all quantities inside together
    low = stats.binom.ppf(gamma, count, grid) / count
    high = stats.binom.isf(gamma, count, grid) / count
    return grid, low, high


def simulate(problem: Problem, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters from the prior and data from them: scores (count, size) and measured values (count, rows)."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        first, second = jax.random.split(key)
        scores = jax.random.normal(first, (problem.parameters.size,))
        values = problem.parameters.values(scores)
        return scores, replicate(problem, problem.predict(values), values, second)

    scores, data = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=LANES))(
        jax.random.split(jax.random.key(seed), count)
    )
    return np.asarray(scores), np.asarray(data)


def with_data(problem: Problem, values: Any) -> Problem:
    """The same calibration of other measured values, (rows,); they may be traced."""
    return replace(problem, errors=replace(problem.errors, values=values))


def value_names(problem: Problem) -> tuple[str, ...]:
    """Names of the parameter values: ``label``, ``label_common``, or ``label[group]``."""
    parameters, names = problem.parameters, []
    shapes = jax.eval_shape(parameters.values, jnp.zeros(parameters.size))
    for entry in parameters.entries:
        names += [common(entry.label)] if entry.spread else []
        several = bool(shapes[entry.label].shape)
        names += [f"{entry.label}[{group}]" for group in parameters.groups[entry.axis]] if several else [entry.label]
    return tuple(names)


def quantities(problem: Problem, values: Values, others: Mapping[str, Callable[[Values], jax.Array]]) -> jax.Array:
    """Test quantities of parameter values and the data of a problem, in the order of their names.

    They are functions of values, not of scores: an inference with another prior has other scores for the same values.
    """
    parts = []
    for entry in problem.parameters.entries:
        parts += [values[common(entry.label)]] if entry.spread else []
        parts.append(values[entry.label])
    rows, errors, predicted = problem.training, problem.errors, problem.predict(values)
    level = jnp.where(errors.is_log, jnp.log(jnp.maximum(predicted, 1e-30)), predicted)[rows].mean()
    parts += [problem.log_likelihood_at(values), level, *(function(values) for function in others.values())]
    return jnp.concatenate([jnp.ravel(part) for part in parts])


def rank_truth(
    problem: Problem,
    scores: np.ndarray,
    data: np.ndarray,
    effort: Effort,
    seed: int,
    inference: Callable[[jax.Array], Problem] | None = None,
    cases: np.ndarray | None = None,
    others: Mapping[str, Callable[[Values], jax.Array]] | None = None,
    quiet: bool = True,
) -> Ranks:
    """Sample the posterior of each data set and rank its truth; one program for all data sets.

    Args:
        problem: what the data were simulated from.
        scores, data: from :func:`simulate`.
        effort: of the sampler.
        seed: of the sampler.
        inference: the calibration under test where it is not the same (a planted fault), from a row of ``cases``.
        cases: what differs between data sets, (data sets, any); traced, so that all cases are one program.
        others: more test quantities, functions of the parameter values.
        quiet: show no progress.
    """
    if inference is None or cases is None:
        inference, cases = lambda _: problem, np.zeros((len(scores), 0))

    others = others or {}

    def one(truth: jax.Array, data: jax.Array, case: jax.Array, key: jax.Array) -> jax.Array:
        here = with_data(inference(case), data)
        coordinates = _sample(here.potential, truth.size, effort, key)
        drawn = jax.vmap(lambda c: here.parameters.values(here.straighten(c)[0]))(coordinates)
        true = problem.parameters.values(truth)
        # truth and draws in one call: a factorisation for the truth alone could run beside those of the sampler, and
        # each wait for the other (`errors.white_log_density`)
        every = jax.tree.map(lambda one, many: jnp.concatenate([one[None], many]), true, drawn)
        found = jax.vmap(lambda values: quantities(with_data(problem, data), values, others))(every)
        return (found[1:] < found[0]).sum(axis=0)

    count = len(scores)
    keys = jax.random.split(jax.random.key(seed), count)
    program = jax.jit(jax.vmap(one))
    ranks = []
    with progress("simulated data", count, 0, "data sets", quiet) as advance:
        for begin in range(0, count, LANES):
            chosen = np.minimum(np.arange(begin, begin + LANES), count - 1)  # the last block is filled up
            items = (jnp.asarray(array[chosen]) for array in (scores, data, cases, keys))
            ranks.append(np.asarray(program(*items))[: count - begin])
            advance(len(ranks[-1]))
    return Ranks((*value_names(problem), *OF_ALL, *others), np.concatenate(ranks), effort.draws)


def _sample(potential: Callable[[jax.Array], jax.Array], size: int, effort: Effort, key: jax.Array) -> jax.Array:
    """Thinned draws of one posterior, (draws, size): the same steps as a real calibration, one chain."""
    centre, _, _ = minimise(potential, jnp.zeros(size))
    factor = jnp.linalg.cholesky(inverse_curvature(potential, centre))
    kernel = NUTS(
        potential_fn=lambda y: potential(centre + factor @ y),
        adapt_mass_matrix=False,  # the coordinates are white at the mode
        target_accept_prob=effort.target_accept,
        max_tree_depth=effort.depth,
    )
    first, second = jax.random.split(key)
    state = kernel.init(second, effort.warmup, jax.random.normal(first, (size,)), (), {})
    steps = effort.warmup + effort.draws * effort.thin

    def step(state: Any, _: None) -> tuple[Any, jax.Array]:
        state = kernel.sample(state, (), {})
        return state, state.z

    _, path = jax.lax.scan(step, state, None, length=steps)
    return centre + path[effort.warmup + effort.thin - 1 :: effort.thin] @ factor.T
