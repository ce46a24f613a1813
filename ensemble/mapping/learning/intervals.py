"""Intervals of single places from cross-validated residuals, and how often intervals hold what they should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def cv_plus(
    predictions: Sequence[ArrayLike], folds: ArrayLike, residuals: ArrayLike, coverage: float
) -> tuple[Floats, Floats]:
    """CV+ interval of exchangeable places (Barber et al. 2021, Ann. Stat. 49, doi 10.1214/20-AOS1965).

    Each sample moves the prediction of the model that did not see it by its absolute residual, down and up. Coverage
    is at least ``2 coverage - 1`` whatever the truth, and close to ``coverage`` in practice; it holds for places drawn
    as the samples were, so not for a region away from them, and says nothing of totals.

    Args:
        predictions: of each fold's model, ``(pixel,)``.
        folds: ``(sample,)``.
        residuals: ``(sample,)`` cross-validated.
        coverage: such as 0.9.
    """
    centre = np.stack([np.asarray(p, float) for p in predictions])[np.asarray(folds)]
    miss = np.abs(np.asarray(residuals, float))[:, None]
    count = len(miss)
    low = int(np.floor((1 - coverage) * (count + 1))) - 1
    high = int(np.ceil(coverage * (count + 1))) - 1
    lower = np.sort(centre - miss, axis=0)[low] if low >= 0 else np.full(centre.shape[1], -np.inf)
    upper = np.sort(centre + miss, axis=0)[high] if high < count else np.full(centre.shape[1], np.inf)
    return lower, upper


def covered(realisations: ArrayLike, truth: ArrayLike, coverage: float) -> NDArray[np.bool_]:
    """Whether the central interval of realisations ``(draw, ...)`` holds the truth ``(...)``."""
    tail = (1 - coverage) / 2
    low, high = np.quantile(np.asarray(realisations, float), [tail, 1 - tail], axis=0)
    value = np.asarray(truth, float)
    return (value >= low) & (value <= high)
