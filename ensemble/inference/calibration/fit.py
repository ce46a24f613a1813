"""A calibration from start to end: modes, draws, diagnostics, and what the draws predict."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from ensemble.config.calibration import Calibrate
from ensemble.inference.calibration.diagnostics import Diagnostics, diagnose
from ensemble.inference.calibration.importance import LeftOut, smooth
from ensemble.inference.calibration.modes import Modes, find_modes
from ensemble.inference.calibration.predictive import posterior_predictive, prior_predictive
from ensemble.inference.calibration.problem import Problem
from ensemble.inference.calibration.sampling import Draws, laplace, nuts
from ensemble.keys import stream_number

PRIOR_DRAWS = 1000
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
        values: parameter values by label, (chains, draws) or (chains, draws, groups).
        predicted: the model at every row, (chains, draws, rows).
        replicated: predictions with measurement and model error, given the fitted rows where a row is held out.
        log_likelihood: of each fitted row given the others, (chains, draws, fitted rows).
        left_out: predictive density of rows, dates and plots left out, as in
            :class:`~ensemble.inference.calibration.predictive.Predictive`.
        prior: prior draws by label, (1, draws) or (1, draws, groups).
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
    left_out: dict[str, LeftOut]
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


def calibrate(problem: Problem, settings: Calibrate, seed: int, quiet: bool = True) -> Fit:
    """Fit a calibration. Call it under ``jax.enable_x64(True)``.

    Args:
        problem: from :func:`~ensemble.inference.calibration.problem.make_problem`.
        settings: the key `calibrate` of its study.
        seed: of starts, chains and replicates.
        quiet: show no progress.
    """
    size = problem.parameters.size
    modes = find_modes(problem.potential, size, settings.starts, _stream(seed, "starts"), quiet)
    draws, k = _draw(problem, modes, settings, seed, quiet)
    scores = np.asarray(jax.jit(jax.vmap(jax.vmap(problem.straighten)))(draws.coordinates)[0])
    diagnostics = None
    if settings.method == "nuts":
        energy, diverging = draws.statistics["energy"], draws.statistics["diverging"]
        lp = -draws.statistics["potential_energy"]
        diagnostics = diagnose(problem.parameters.names, scores, lp, energy, diverging)
    return _fit(problem, modes, draws, scores, diagnostics, k, seed, quiet)


def _stream(seed: int, name: str) -> int:
    return (seed * 0x9E3779B1 + stream_number(name)) % 2**31


def _draw(problem: Problem, modes: Modes, settings: Calibrate, seed: int, quiet: bool) -> tuple[Draws, float | None]:
    if settings.method == "nuts":
        chosen = settings.chains, settings.warmup, settings.draws, settings.target_accept
        return nuts(problem.potential, modes, *chosen, _stream(seed, "chains"), quiet), None
    draws, weights = laplace(modes, problem.potential, settings.chains, settings.draws, _stream(seed, "chains"))
    return draws, float(smooth(weights.ravel())[1])


def _fit(
    problem: Problem,
    modes: Modes,
    draws: Draws,
    scores: np.ndarray,
    diagnostics: Diagnostics | None,
    k: float | None,
    seed: int,
    quiet: bool,
) -> Fit:
    """The draws with everything that follows from them."""
    chains, length, size = scores.shape
    after = posterior_predictive(problem, scores.reshape(-1, size), _stream(seed, "replicates"), quiet)
    prior, expected = prior_predictive(problem, PRIOR_DRAWS, _stream(seed, "prior"), quiet)

    def by_chain(array: np.ndarray) -> np.ndarray:
        return array.reshape(chains, length, *array.shape[1:])

    return Fit(
        problem,
        modes,
        scores,
        draws.statistics,
        diagnostics,
        k,
        {name: by_chain(value) for name, value in after.values.items()},
        by_chain(after.predicted),
        by_chain(after.replicated),
        by_chain(after.log_likelihood),
        after.left_out,
        {name: value[None] for name, value in prior.items()},
        expected[None],
    )
