"""Derivative-based screening: an upper bound of every total effect from gradients alone.

With z the normal score of an independent input, Poincare's inequality for the normal distribution gives
S_T <= E[(df/dz)^2] / Var(f), with equality for a function linear in z (Sobol & Kucherenko 2009, doi
10.1016/j.matcom.2009.01.023; Lamboni et al. 2013, doi 10.1016/j.matcom.2013.02.002). Scores serve every
distribution: dz is the input's own derivative times the slope of its quantile function.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble.inference.decomposition.intervals import Estimate
from ensemble.summary.replicates import jackknife, student

STEP = 1e-4


def score_slopes(from_score: Callable[[np.ndarray], np.ndarray], z: np.ndarray) -> np.ndarray:
    """Slope dx/dz (n,) of an input's quantile function in its normal score ``z`` (n,), by central differences."""
    return (from_score(z + STEP) - from_score(z - STEP)) / (2.0 * STEP)


def total_effect_bounds(gradients: np.ndarray, outputs: np.ndarray, scramble: np.ndarray) -> Estimate:
    """Upper bounds of the total effects of independent inputs, with 95 % intervals, (inputs, columns).

    Args:
        gradients: (n, inputs, columns) derivatives of the outputs in the inputs' normal scores.
        outputs: (n, columns).
        scramble: (n,) scramble of every member.

    Raises:
        ValueError: an input on which derivatives do not exist (not finite), or outputs that do not vary.
    """
    if not (np.isfinite(gradients).all() and np.isfinite(outputs).all()):
        raise ValueError("derivatives are not finite at some members, so there is no bound; use the shares instead")
    centred = np.asarray(outputs, np.float64) - outputs.mean(0, dtype=np.float64)
    names, numbers = np.unique(scramble, return_inverse=True)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.stack([values[numbers == s].sum(0, dtype=np.float64) for s in range(len(names))])

    square, first, second = sums(np.asarray(gradients, np.float64) ** 2), sums(centred), sums(centred**2)
    count = sums(np.ones(len(centred)))[:, None]
    if not (second.sum(0) > 0.0).any():
        raise ValueError("no output varies between the members, so shares of its variance are 0/0")

    parts = (square, first, second, count)
    value = _ratio(*(part.sum(0) for part in parts))
    replicates = _ratio(*(part.sum(0) - part for part in parts))
    return Estimate(value, student(len(names)) * jackknife(replicates), replicates)


def _ratio(squares: np.ndarray, first: np.ndarray, second: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean squared gradient over variance, (..., inputs, columns)."""
    variance = second / count - (first / count) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            np.where(variance > 0.0, 1.0, np.nan)[..., None, :] * squares / count[..., None, :] / variance[..., None, :]
        )
