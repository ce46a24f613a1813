"""How well predictions meet observations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


class Skill(NamedTuple):
    """Scores of predictions.

    Args:
        r2: share of the variance explained, 1 - SSE / SST; negative where the mean would do better.
        r2_pearson: the square of Pearson's correlation, which forgives bias and scale.
        pearson: Pearson's correlation (what Eq. 9 of Wang et al. 2026 prints under the name R2).
        rmse: root mean squared error, in the unit of the target.
        mae: mean absolute error, in the unit of the target.
        concordance: Lin's concordance correlation (1989, Biometrics 45, doi 10.2307/2532051).
        bias: mean of predicted minus observed, in the unit of the target.
    """

    r2: float
    r2_pearson: float
    pearson: float
    rmse: float
    mae: float
    concordance: float
    bias: float


def skill(observed: ArrayLike, predicted: ArrayLike) -> Skill:
    """Scores of predictions ``(n,)`` against observations ``(n,)``; NaN where fewer than two differ."""
    a, b = np.asarray(observed, float), np.asarray(predicted, float)
    error = b - a
    total = float(((a - a.mean()) ** 2).sum())
    spread = float(a.std() * b.std())
    r = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else np.nan
    agreement = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return Skill(
        1 - float((error**2).sum()) / total if total > 0 else np.nan,
        r * r,
        r,
        float(np.sqrt((error**2).mean())),
        float(np.abs(error).mean()),
        2 * r * spread / agreement if agreement > 0 else np.nan,
        float(error.mean()),
    )


def five_numbers_and_mean(values: ArrayLike) -> Floats:
    """Minimum, first quartile, median, mean, third quartile and maximum over the first axis, ``(6, ...)``."""
    value = np.asarray(values, float)
    low, first, median, third, high = np.quantile(value, [0, 0.25, 0.5, 0.75, 1], axis=0)
    return np.stack([low, first, median, value.mean(axis=0), third, high])


FIVE_NUMBERS = ("minimum", "first quartile", "median", "mean", "third quartile", "maximum")
