"""Intervals from independent scrambles, and a test of agreement over all outputs at once.

Numerators and variance are pooled over scrambles before the ratio, which keeps its bias of the order of one
over all rows; the jackknife over scrambles then gives the interval (:mod:`ensemble.summary.replicates`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ensemble.inference.decomposition.moments import Moments
from ensemble.summary.replicates import jackknife, student

LEVEL = 0.95
# Rows per scramble from which the interval's coverage has been shown to be nominal.
SHOWN_ROWS = 256
SIGN_FLIPS = 2000
COLUMNS = 256
# Difference between two shares that nobody would act on, however sure it is.
NEGLIGIBLE = 1e-4


class Estimate(NamedTuple):
    """Values with 95 % intervals ``value +- half_width``, any shape.

    Args:
        value: estimate from all scrambles.
        half_width: of the 95 % interval.
        replicates: jackknife estimates, one scramble (or fold) left out each, leading axis.
    """

    value: np.ndarray
    half_width: np.ndarray
    replicates: np.ndarray

    @property
    def standard_error(self) -> np.ndarray:
        """Jackknife standard error."""
        return jackknife(self.replicates)


def estimate(moments: Moments, statistic: Callable[[Moments], np.ndarray]) -> Estimate:
    """A function of pooled sums with its interval from scrambles."""
    replicates = statistic(moments.without_each())
    return Estimate(statistic(moments.pooled()), student(len(replicates)) * jackknife(replicates), replicates)


def disagreement(one: Estimate, other: Estimate, seed: int = 0) -> tuple[float, float]:
    """Largest studentised difference of two sets of estimates, and what chance alone would exceed 1 time in 20.

    The differences of all outputs are judged together: the critical value is that of the maximum, found by
    flipping the signs of whole scrambles of ``other``, which keeps the dependence between outputs (Romano &
    Wolf 2005, doi 10.1198/016214504000000539).

    Returns:
        Largest ``(|difference| - NEGLIGIBLE) / standard error`` and its critical value.
    """
    deviations = other.replicates.mean(0) - other.replicates
    deviations = deviations.reshape(len(deviations), -1)
    scale = np.sqrt((deviations**2).sum(0))
    usable = np.isfinite(scale) & (scale > 0.0) & np.isfinite(one.value).ravel()
    if not usable.any():
        return 0.0, np.inf
    m, unit = len(deviations), deviations[:, usable] / scale[usable]
    flips = np.random.default_rng(seed).choice([-1.0, 1.0], size=(SIGN_FLIPS, m))
    largest = np.zeros(len(flips))
    for start in range(0, unit.shape[1], COLUMNS):
        sums = np.abs(flips @ unit[:, start : start + COLUMNS])
        largest = np.maximum(largest, (sums * np.sqrt((m - 1.0) / np.maximum(m - sums**2, 1e-12))).max(1))
    critical = float(np.quantile(largest, LEVEL))
    error = np.hypot(one.standard_error, other.standard_error).ravel()[usable]
    gap = np.maximum(np.abs(one.value - other.value).ravel()[usable] - NEGLIGIBLE, 0.0)
    return float(np.max(gap / error)), critical
