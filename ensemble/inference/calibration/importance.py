"""Importance weights with Pareto-smoothed tails, and what they are for: left-out rows and power-scaled priors.

Vehtari et al. (2024), JMLR 25(72); Vehtari, Gelman and Gabry (2017), Statistics and Computing 27, 1413-1432;
Bürkner, Gabry and Vehtari (2021), Computational Statistics 36, 1243-1261; Kallioinen et al. (2024), Statistics and
Computing 34, 57.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ensemble.inference.calibration.errors import LOG_2PI, ErrorModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ArviZ announces its next major version on import
    import arviz

# Powers to which prior and likelihood are raised, as in Kallioinen et al.
_POWERS = (0.8, 1.25)


class LeftOut(NamedTuple):
    """Expected log predictive density of groups of rows that are left out.

    Args:
        elpd: of each group, (groups,).
        k: Pareto k-hat of each, (groups,); above 0.7 the number is not to be relied on.
        names: of the groups.
    """

    elpd: np.ndarray
    k: np.ndarray
    names: tuple[str, ...]

    @property
    def total(self) -> float:
        """Sum over the groups."""
        return float(self.elpd.sum())

    @property
    def standard_error(self) -> float:
        """Standard error of the sum, from the spread between groups."""
        return float(np.sqrt(len(self.elpd) * self.elpd.var(ddof=1))) if len(self.elpd) > 1 else float("nan")


def smooth(log_ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised log weights with Pareto-smoothed tails, and k-hat.

    Args:
        log_ratios: shape (..., draws).

    Returns:
        Log weights of the same shape, whose exponentials sum to 1 over the draws, and k-hat of shape (...).
    """
    weights, k = _psislw()(np.array(log_ratios, dtype=float))
    return np.asarray(weights), np.asarray(k)


def _psislw() -> Callable[[np.ndarray], tuple[Any, Any]]:
    """Pareto smoothing of ArviZ; since version 1 it lies in another package and takes minus the log ratios."""
    if hasattr(arviz, "psislw"):
        return arviz.psislw
    moved = importlib.import_module("arviz_stats.base").array_stats.psislw
    return lambda log_ratios: moved(-log_ratios)


def left_out_density(
    errors: ErrorModel, precision: jax.Array, pulled: jax.Array, groups: tuple[np.ndarray, ...]
) -> jax.Array:
    """Log density of each group of rows given all other rows and the parameters, shape (groups,).

    In a multivariate normal with precision P and residual r, a group G given the rest has the covariance
    ``inv(P_GG)`` and the residual ``inv(P_GG) (P r)_G``; where no error is shared this is the density of the rows.

    Args:
        errors: of the rows.
        precision: inverse of the covariance of the residuals, (rows, rows).
        pulled: precision times residual, (rows,).
        groups: numbers of the rows of each group.
    """
    logs = np.where(errors.is_log, np.log(np.abs(np.where(errors.is_log, errors.values, 1.0))), 0.0)
    if all(len(rows) == 1 for rows in groups):
        alone = np.array([rows[0] for rows in groups])
        own = jnp.diagonal(precision)[alone]
        return 0.5 * (jnp.log(own) - LOG_2PI - pulled[alone] ** 2 / own) - logs[alone]
    masks = np.array([np.isin(np.arange(len(logs)), rows) for rows in groups]).astype(float)

    def density(mask: jax.Array) -> jax.Array:
        factor = jnp.linalg.cholesky(precision * jnp.outer(mask, mask) + jnp.diag(1.0 - mask))
        white = solve_triangular(factor, mask * pulled, lower=True)
        return jnp.log(jnp.diagonal(factor)).sum() - 0.5 * (white @ white + mask.sum() * LOG_2PI) - mask @ logs

    return jax.lax.map(density, jnp.asarray(masks))


def leave_out(log_densities: np.ndarray, names: tuple[str, ...]) -> LeftOut:
    """PSIS estimate of the predictive density of groups left out.

    Args:
        log_densities: of each group given the other rows, for each draw of the full posterior, (draws, groups).
        names: of the groups.
    """
    weights, k = smooth(-log_densities.T)
    elpd = np.logaddexp.reduce(weights + log_densities.T, axis=1)
    return LeftOut(elpd, np.atleast_1d(k), names)


def power_sensitivity(scores: np.ndarray, log_density: np.ndarray) -> np.ndarray:
    """How far each marginal moves when a density is raised to a power near 1: the power-scaling sensitivity.

    Args:
        scores: draws, (draws, parameters).
        log_density: log prior or log likelihood of each draw, (draws,).

    Returns:
        Mean distance per doubling of the power, (parameters,); above 0.05 counts as sensitive.
    """
    total = np.zeros(scores.shape[1])
    for power in _POWERS:
        weights = np.exp(smooth((power - 1.0) * log_density)[0])
        moved = np.array([_distance(column, weights) for column in scores.T])
        total += moved / abs(np.log2(power))
    return total / len(_POWERS)


def _distance(draws: np.ndarray, weights: np.ndarray) -> float:
    """Square root of the symmetric cumulative Jensen-Shannon divergence, normalised, of weighted and plain draws."""
    order = np.argsort(draws)
    x, w = draws[order], weights[order]
    steps = np.diff(x)
    plain, moved = np.arange(1, len(x)) / len(x), np.cumsum(w)[:-1]

    def divergence(p: np.ndarray, q: np.ndarray) -> float:
        inside = p > 0.0
        logs = np.where(inside, p * np.log2(np.where(inside, p, 1.0) / np.where(inside, (p + q) / 2.0, 1.0)), 0.0)
        return float((steps * (logs + (q - p) / (2.0 * np.log(2.0)))).sum())

    below = divergence(plain, moved) + divergence(moved, plain)
    above = divergence(1.0 - plain, 1.0 - moved) + divergence(1.0 - moved, 1.0 - plain)
    bound = 2.0 * steps.sum()
    return float(np.sqrt(max(below + above, 0.0) / bound)) if bound > 0.0 else 0.0
