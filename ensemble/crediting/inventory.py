"""IPCC inventory: uncertainty of the level and of the trend, by category and region, approaches 1 and 2.

Uncertainty is half of the 95 % interval over the mean, in percent, as inventories state it. Approach 1
propagates standard deviations to first order; approach 2 reads percentiles off joint draws. Approach 1
holds for small, symmetric, known correlations; rows say where it does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

Z95 = float(norm.ppf(0.975))
LARGEST_APPROACH_1 = 30.0  # percent; above it approach 1 is outside its own conditions


def combined_product(percentages: ArrayLike) -> float:
    """Approach 1 for a product of independent factors, ``sqrt(sum U_i^2)``, percent."""
    return float(np.sqrt((np.asarray(percentages, float) ** 2).sum()))


def combined_sum(values: ArrayLike, percentages: ArrayLike) -> float:
    """Approach 1 for a sum of independent terms, ``sqrt(sum (U_i x_i)^2) / |sum x_i|``, percent.

    Args:
        values: ``(term,)`` x_i.
        percentages: ``(term,)`` U_i of each.
    """
    value = np.asarray(values, float)
    total = float(value.sum())
    error = float(np.sqrt(((np.asarray(percentages, float) * value) ** 2).sum()))
    return math.inf if total == 0 else error / abs(total)


class Level(NamedTuple):
    """A year's level: mean, percent uncertainty and 95 % limits."""

    mean: float
    uncertainty: float
    lower: float
    upper: float


class Trend(NamedTuple):
    """Change from the base year in percent of it, with 95 % limits in percentage points."""

    percent: float
    lower: float
    upper: float


@dataclass(frozen=True)
class InventoryRow:
    """One line of the inventory table.

    Args:
        category, region: of the line; ``total`` for the sum of all.
        base, year: levels in the base year and the reporting year, by draws (approach 2).
        base_1, year_1: the same by approach 1.
        contribution: share of the variance of the reporting year's total that this line holds, percent
            (its covariance with the total over the total's variance).
        correlation: of base and reporting year over draws.
        trend: approach 2.
        trend_1: approach 1 with that year-to-year correlation.
        trend_independent: approach 1 if the two years had independent errors.
        approach_1_holds: both uncertainties are at most 30 % and the draws are nearly symmetric.
    """

    category: str
    region: str
    base: Level
    year: Level
    base_1: Level
    year_1: Level
    contribution: float
    correlation: float
    trend: Trend
    trend_1: Trend
    trend_independent: Trend
    approach_1_holds: bool


def inventory_table(categories: list[tuple[str, str]], base: ArrayLike, year: ArrayLike) -> tuple[InventoryRow, ...]:
    """Inventory table from joint draws of two years.

    Args:
        categories: (category, region) of each line.
        base, year: ``(draw, line)`` level in the base and the reporting year, draws joint over lines and years.

    Returns:
        A row for each line and one for the total, each with both approaches.

    Raises:
        ValueError: a line named twice, or shapes that do not match.
    """
    first, last = np.asarray(base, float), np.asarray(year, float)
    if first.shape != last.shape or first.shape[1:] != (len(categories),):
        raise ValueError(f"need (draw, {len(categories)}) draws of both years, got {first.shape} and {last.shape}")
    for line in categories:
        if categories.count(line) > 1:
            raise ValueError(f"category {line[0]} of region {line[1]} is listed twice")
    sums = first.sum(axis=1), last.sum(axis=1)
    variance = float(sums[1].var(ddof=1))
    rows = []
    for column, (category, region) in enumerate(categories):
        share = float(np.cov(last[:, column], sums[1])[0, 1])
        rows.append(_row(category, region, first[:, column], last[:, column], 100 * share / variance))
    return (*rows, _row("total", "all", *sums, 100.0))


def _row(category: str, region: str, base: np.ndarray, year: np.ndarray, contribution: float) -> InventoryRow:
    spread = min(base.std(), year.std())
    correlation = float(np.corrcoef(base, year)[0, 1]) if spread > 0 else 0.0
    levels = [level_of_draws(draws) for draws in (base, year)]
    simple = [_approach_1(draws) for draws in (base, year)]
    symmetric = all(abs(_skewness(draws)) < 0.5 for draws in (base, year))
    return InventoryRow(
        category, region, levels[0], levels[1], simple[0], simple[1], contribution, correlation,
        trend_of_draws(base, year),
        approach_1_trend(simple[0], simple[1], correlation),
        approach_1_trend(simple[0], simple[1], 0.0),
        symmetric and max(simple[0].uncertainty, simple[1].uncertainty) <= LARGEST_APPROACH_1,
    )  # fmt: skip


def level_of_draws(draws: ArrayLike) -> Level:
    """Approach 2 level: mean, half-width of the 2.5 to 97.5 percentile interval over the mean, and the limits."""
    value = np.asarray(draws, float)
    mean, (low, high) = float(value.mean()), np.quantile(value, [0.025, 0.975])
    return Level(mean, math.inf if mean == 0 else 100 * float(high - low) / (2 * abs(mean)), float(low), float(high))


def _approach_1(draws: np.ndarray) -> Level:
    mean, half = float(draws.mean()), Z95 * float(draws.std(ddof=1))
    return Level(mean, math.inf if mean == 0 else 100 * half / abs(mean), mean - half, mean + half)


def trend_of_draws(base: ArrayLike, year: ArrayLike) -> Trend:
    """Approach 2 trend: ``100 (year - base) / base`` of the means, with percentiles over joint draws."""
    first, last = np.asarray(base, float), np.asarray(year, float)
    each = 100 * (last - first) / first
    low, high = np.quantile(each, [0.025, 0.975])
    return Trend(100 * float(last.mean() - first.mean()) / float(first.mean()), float(low), float(high))


def approach_1_trend(base: Level, year: Level, correlation: float) -> Trend:
    """Approach 1 trend, to first order, for any year-to-year correlation of the errors.

    With ``T = 100 (y / b - 1)`` the variance is ``(100 / b)^2 (s_y^2 + (y/b)^2 s_b^2 - 2 (y/b) r s_b s_y)``.
    Correlation 1 is the guidelines' case of an emission factor shared by both years (their type A
    sensitivity), 0 that of activity data collected anew (type B).
    """
    s_base, s_year = ((level.upper - level.lower) / (2 * Z95) for level in (base, year))
    ratio = year.mean / base.mean
    variance = s_year**2 + (ratio * s_base) ** 2 - 2 * ratio * correlation * s_base * s_year
    half = Z95 * 100 / abs(base.mean) * math.sqrt(max(variance, 0.0))
    percent = 100 * (ratio - 1)
    return Trend(percent, percent - half, percent + half)


def _skewness(draws: np.ndarray) -> float:
    centred = draws - draws.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return 0.0 if spread == 0 else float((centred**3).mean()) / spread**3
