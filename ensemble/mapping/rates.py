"""Stocks and rates of scenarios per pixel, with the uncertainty that FAO GSOCseq states and what it hides.

Rates follow the GSOCseq technical specifications (Eqs 2.1, 2.2): absolute rates are against the stock at t0, relative
rates against business as usual at the end. Uncertainty is half of the 95 % interval over the mean (Eq. 12.1), from
paired draws; beside it stands the one of two extreme runs (Eqs 12.3, 12.4, 12.7), combined for rates as if the two
stocks had independent errors (Eq. 12.2). Scripts of the manual divide by the sum of the stocks where Eq. 12.2 divides
by their difference, which makes the uncertainty of a rate small; it is given as a third number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
LIMITS = (0.025, 0.975)


class Spread(NamedTuple):
    """A quantity over members, each of the shape of a map.

    Args:
        mean, sd: over members.
        lower, upper: 2.5 and 97.5 percentiles.
        uncertainty: half of their distance over the absolute mean, percent; NaN where the mean is 0.
        probability_gain: share of members above 0.
    """

    mean: Floats
    sd: Floats
    lower: Floats
    upper: Floats
    uncertainty: Floats
    probability_gain: Floats


def spread(values: ArrayLike) -> Spread:
    """Statistics over the members ``(member, ...)``; members that are NaN are left out."""
    value = np.asarray(values, float)
    number = np.isfinite(value).sum(axis=0)
    held = np.where(number > 1, 1.0, np.nan)
    filled = np.where(number > 1, value, 0.0)  # cells without members stay out of the warnings of an empty mean
    mean, sd = np.nanmean(filled, axis=0), np.nanstd(filled, axis=0, ddof=1)
    low, high = np.nanquantile(filled, LIMITS, axis=0)
    gain = (filled > 0).sum(axis=0) / np.maximum(number, 1)
    return Spread(*(held * part for part in (mean, sd, low, high, percent(high - low, mean), gain)))


def percent(width: ArrayLike, mean: ArrayLike) -> Floats:
    """``100 width / (2 |mean|)`` (GSOCseq Eqs 12.1, 12.7); NaN where the mean is 0."""
    centre = np.abs(np.asarray(mean, float))
    return np.where(
        centre > 0, 100 * np.abs(np.asarray(width, float)) / (2 * np.where(centre > 0, centre, 1.0)), np.nan
    )


class CornerUncertainty(NamedTuple):
    """Percent uncertainty of a difference of two stocks from extreme runs: by Eq. 12.2, and as the scripts have it."""

    manual: Floats
    script: Floats


def corner_uncertainty(
    first: ArrayLike, second: ArrayLike, first_percent: ArrayLike, second_percent: ArrayLike
) -> CornerUncertainty:
    """Uncertainty of ``first - second`` with independent errors (GSOCseq Eq. 12.2).

    Args:
        first, second: stocks of the central run, any common shape.
        first_percent, second_percent: their uncertainty, percent.

    Returns:
        ``sqrt((U1 X1)^2 + (U2 X2)^2)`` over ``|X1 - X2|`` and over ``|X1 + X2|``; NaN where that is 0.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    error = np.hypot(np.asarray(first_percent, float) * a, np.asarray(second_percent, float) * b)

    def over(divisor: Floats) -> Floats:
        return np.where(divisor > 0, error / np.where(divisor > 0, divisor, 1.0), np.nan)

    return CornerUncertainty(over(np.abs(a - b)), over(np.abs(a + b)))
