"""Linear trend and the sequential Mann-Kendall test, for all members at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from ensemble.indicators.checks import Floats, read_values


class LinearTrend(NamedTuple):
    """Least-squares line through a series; every array has the shape of the batch.

    Args:
        slope: change a step.
        intercept: value at step 0, one before the first (steps are numbered from 1).
        standard_error: of the slope, for independent residuals.
        p_value: two-sided, of no slope, for independent normal residuals.
    """

    slope: Floats
    intercept: Floats
    standard_error: Floats
    p_value: Floats


def linear_trend(values: ArrayLike) -> LinearTrend:
    """Ordinary least squares on the steps 1 to n (Zhang et al. 2022, equation 9).

    Args:
        values: shape (..., n), one value a step, n of 3 or more.

    Raises:
        ValueError: the series is too short or not finite.
    """
    series = read_values(values, 3, "a linear trend", "steps")
    n = series.shape[-1]
    centred = np.arange(1, n + 1) - (n + 1) / 2
    spread = float(centred @ centred)
    mean = series.mean(axis=-1)
    slope = (series - mean[..., None]) @ centred / spread
    residuals = series - mean[..., None] - slope[..., None] * centred
    error = np.sqrt((residuals**2).sum(axis=-1) / (n - 2) / spread)
    ratio = np.divide(np.abs(slope), error, out=np.full_like(slope, np.inf), where=error > 0)
    p_value = np.where((error > 0) | (slope != 0), 2 * student.sf(ratio, n - 2), 1.0)
    return LinearTrend(slope, mean - slope * (n + 1) / 2, error, p_value)


class SequentialMannKendall(NamedTuple):
    """The two curves of the sequential test.

    Args:
        forward: UF, shape (..., n); 0 at the first step.
        backward: UB, shape (..., n); 0 at the last step.
        bound: both lie within +-bound without a trend (1.96 at 95 %).
        crossing: shape (..., n - 1); where the curves cross between step i and i + 1 inside the bounds, the
            position of the crossing in steps from the first (i + a fraction), else NaN.
    """

    forward: Floats
    backward: Floats
    bound: float
    crossing: Floats

    @property
    def changes(self) -> np.ndarray:
        """Whether a change point lies between two steps, bool, shape (..., n - 1)."""
        return ~np.isnan(self.crossing)


def sequential_mann_kendall(values: ArrayLike, confidence: float = 0.95) -> SequentialMannKendall:
    """Sequential Mann-Kendall test (Sneyers 1990, WMO Technical Note 143).

    ``s_k`` counts, up to step k, the pairs in which the later value is larger; without a trend its mean is
    ``k (k - 1) / 4`` and its variance ``k (k - 1)(2 k + 5) / 72``. UF is ``s_k`` in units of its standard
    deviation, UB is minus the same curve of the reversed series, read backwards. Equal values count as not
    larger, so a series with many ties leans downwards.

    Args:
        values: shape (..., n), n of 4 or more.
        confidence: two-sided level of the bounds, between 0 and 1.

    Raises:
        ValueError: the series is too short or not finite, or the level is not between 0 and 1.
    """
    series = read_values(values, 4, "the sequential Mann-Kendall test", "steps")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence:g} is not allowed; allowed: between 0 and 1")
    bound = float(norm.ppf(0.5 + confidence / 2))
    forward = _standard_score(series)
    backward = -_standard_score(series[..., ::-1])[..., ::-1]
    return SequentialMannKendall(forward, backward, bound, _crossings(forward, backward, bound))


def _standard_score(series: Floats) -> Floats:
    n = series.shape[-1]
    larger = np.zeros_like(series)
    for k in range(1, n):
        larger[..., k] = (series[..., k : k + 1] > series[..., :k]).sum(axis=-1)
    s = np.cumsum(larger, axis=-1)
    k = np.arange(1, n + 1)
    sd = np.sqrt(k * (k - 1) * (2 * k + 5) / 72)
    return np.divide(s - k * (k - 1) / 4, sd, out=np.zeros_like(s), where=sd > 0)


def _crossings(forward: Floats, backward: Floats, bound: float) -> Floats:
    gap = forward - backward
    left, right = gap[..., :-1], gap[..., 1:]
    # A gap that closes exactly at a step belongs to the interval that ends there, so that it counts once.
    crosses = (left != 0) & (left * right <= 0)
    part = np.divide(left, left - right, out=np.zeros_like(left), where=crosses)
    height = forward[..., :-1] + part * np.diff(forward, axis=-1)
    inside = crosses & (np.abs(height) < bound)
    return np.where(inside, np.arange(gap.shape[-1] - 1) + part, np.nan)
