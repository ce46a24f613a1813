"""IPCC inventory: uncertainty of the level and of the trend, by category and region, approaches 1 and 2.

Uncertainty is half of the 95 % interval over the mean, in percent, as inventories state it. Approach 1
propagates standard deviations to first order; approach 2 reads percentiles off joint draws. Approach 1
holds for small, symmetric, known correlations; rows say where it does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    """Change from the base year in percent of it, with 95 % limits in percentage points; NaN where the base is 0."""

    percent: float
    lower: float
    upper: float


class Difference(NamedTuple):
    """Change from the base year in the unit of the level, with 95 % limits."""

    mean: float
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
        base_simple, year_simple: percent uncertainty by the guidelines' approach 1 alone: the line's own, combined with that
            of its area as a product, and for the total the sum of lines that are independent.
        difference: approach 2 in the unit of the level, for lines whose base is near 0.
        base_near_zero: the base year's 95 % interval holds 0, so a trend in percent of it means nothing.
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
    difference: Difference
    base_near_zero: bool
    base_simple: float = math.nan
    year_simple: float = math.nan


def inventory_table(
    categories: list[tuple[str, str]], base: ArrayLike, year: ArrayLike, area: ArrayLike | None = None
) -> tuple[InventoryRow, ...]:
    """Inventory table from joint draws of two years.

    Args:
        categories: (category, region) of each line.
        base, year: ``(draw, line)`` level in the base and the reporting year, draws joint over lines and years.
        area: ``(draw, line)`` factor of the error of each line's area, the same in both years; none if ``None``.

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
    simple = _simple(first, area), _simple(last, area)
    if area is not None:
        first, last = first * np.asarray(area, float), last * np.asarray(area, float)
    sums = first.sum(axis=1), last.sum(axis=1)
    variance = float(sums[1].var(ddof=1))
    rows = []
    for column, (category, region) in enumerate(categories):
        share = float(np.cov(last[:, column], sums[1])[0, 1])
        part = 100 * share / variance if variance > 0 else math.nan
        row = _row(category, region, first[:, column], last[:, column], part)
        rows.append(replace(row, base_simple=simple[0][column], year_simple=simple[1][column]))
    total = [combined_sum(draws.mean(axis=0), each) for draws, each in zip((first, last), simple, strict=True)]
    return (*rows, replace(_row("total", "all", *sums, 100.0), base_simple=total[0], year_simple=total[1]))


def _simple(draws: np.ndarray, area: ArrayLike | None) -> list[float]:
    """Approach 1 of each line: percent uncertainty of the level per area, times that of the area."""
    factors = np.ones_like(draws) if area is None else np.asarray(area, float)
    columns = range(draws.shape[1])
    return [combined_product([_approach_1(x[:, k]).uncertainty for x in (draws, factors)]) for k in columns]


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
        Difference(levels[1].mean - levels[0].mean, *(float(q) for q in np.quantile(year - base, [0.025, 0.975]))),
        levels[0].lower <= 0 <= levels[0].upper,
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
    if (first == 0).any():
        return Trend(math.nan, math.nan, math.nan)
    each = 100 * (last - first) / first
    low, high = np.quantile(each, [0.025, 0.975])
    return Trend(100 * float(last.mean() - first.mean()) / float(first.mean()), float(low), float(high))


def approach_1_trend(base: Level, year: Level, correlation: float) -> Trend:
    """Approach 1 trend, to first order, for any year-to-year correlation of the errors.

    With ``T = 100 (y / b - 1)`` the variance is ``(100 / b)^2 (s_y^2 + (y/b)^2 s_b^2 - 2 (y/b) r s_b s_y)``.
    Correlation 1 is the guidelines' case of an emission factor shared by both years (their type A
    sensitivity), 0 that of activity data collected anew (type B).
    """
    if base.mean == 0:
        return Trend(math.nan, math.nan, math.nan)
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
