"""Histograms of members that are not kept, and quantiles read from them with a stated bound of the error.

Each cell (scenario, site, time, ...) has its own equal bins, chosen once from a pilot of the first members, so
that histograms of different tiles can be added.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

# The pilot's range is widened by this part of itself on either side: members outside go to the two end bins.
WIDEN = 0.5
# This many numbers are binned at once, to keep temporary arrays small: all members of some sites, if they fit.
BLOCK_NUMBERS = 500_000
# Stands for the width of a bin that has none, so that only the pilot's own value falls into it.
NO_WIDTH = 1e-200


class Bins(NamedTuple):
    """Equal bins of each cell.

    Args:
        low: lower end of the first bin, shape (scenarios, sites, *dims), float64.
        width: width of each bin, same shape; 0 where the pilot did not vary.
        number: number of bins.
    """

    low: np.ndarray
    width: np.ndarray
    number: int

    def at(self, sites: slice) -> Bins:
        """Those of some sites."""
        return Bins(self.low[:, sites], self.width[:, sites], self.number)


class Quantiles(NamedTuple):
    """Quantiles over members.

    Args:
        levels: probabilities, shape (levels,).
        value: shape (levels, scenarios, sites, *dims); NaN where no member is left.
        standard_error: Monte Carlo standard error, same shape.
        bin_error: bound of the error that binning adds, same shape; ``None`` where quantiles are exact.
    """

    levels: np.ndarray
    value: np.ndarray
    standard_error: np.ndarray
    bin_error: np.ndarray | None


def pilot_bins(values: np.ndarray, failed: np.ndarray, number: int = 512) -> Bins:
    """Bins for all members of an output from the first of them.

    Args:
        values: shape (members, scenarios, sites, *dims).
        failed: shape (members, sites).
        number: bins of each cell.

    Raises:
        ValueError: fewer than one bin.
    """
    if number < 1:
        raise ValueError(f"{number} bins are not allowed; allowed: 1 or more")
    used = _over_cells(failed == 0, values.ndim)
    low = np.where(used, values, np.inf).min(axis=0).astype(np.float64)
    high = np.where(used, values, -np.inf).max(axis=0).astype(np.float64)
    low, high = np.where(low > high, 0.0, low), np.where(low > high, 0.0, high)  # every pilot member failed
    span = high - low
    return Bins(low - WIDEN * span, (1.0 + 2.0 * WIDEN) * span / number, number)


def tile_histogram(values: np.ndarray, failed: np.ndarray, bins: Bins | None) -> np.ndarray:
    """Members in each bin, shape (scenarios, sites, *dims, bins + 2); the ends are under- and overflow.

    Args:
        values: shape (members, scenarios, sites, *dims).
        failed: shape (members, sites); pairs that are not 0 are left out.
        bins: ``None`` gives a last axis of length 0.
    """
    cells = values.shape[1:]
    if bins is None:
        return np.zeros((*cells, 0), np.int64)
    counts = np.zeros((*cells, bins.number + 2), np.int64)
    scenarios, sites, *dims = cells
    of_site = max(1, scenarios * math.prod(dims))
    columns = max(1, BLOCK_NUMBERS // (of_site * max(1, len(values))))
    rows = max(1, BLOCK_NUMBERS // (of_site * columns))
    for first in range(0, sites, columns):
        here = slice(first, first + columns)
        for start in range(0, len(values), rows):
            block = slice(start, start + rows)
            counts[:, here] += _counted(values[block, :, here], failed[block, here] == 0, bins.at(here))
    return counts


def _counted(values: np.ndarray, used: np.ndarray, bins: Bins) -> np.ndarray:
    """:func:`tile_histogram` of a block that is small enough for temporary arrays."""
    cells, slots = values.shape[1:], bins.number + 2
    place = _slots(values, used, bins) + slots * np.arange(math.prod(cells)).reshape(cells)
    chosen = place if used.all() else place[np.broadcast_to(_over_cells(used, place.ndim), place.shape)]
    return np.bincount(chosen.ravel(), minlength=math.prod(cells) * slots).reshape(*cells, slots)


def _over_cells(used: np.ndarray, ndim: int) -> np.ndarray:
    """(members, sites) as (members, 1, sites, 1, ...)."""
    return used.reshape(used.shape[0], 1, used.shape[1], *(1,) * (ndim - 3))


def _slots(values: np.ndarray, used: np.ndarray, bins: Bins) -> np.ndarray:
    """Slot of each value: 0 is underflow, 1 the first bin, ``number + 1`` overflow; anything where not used."""
    per_unit = 1.0 / np.where(bins.width > 0, bins.width, NO_WIDTH)
    if not used.all():
        values = np.where(_over_cells(used, values.ndim), values, bins.low)
    scaled = values - bins.low
    scaled *= per_unit
    scaled += 1.0
    return np.clip(scaled, 0.0, bins.number + 1.0, out=scaled).astype(np.int64)


def histogram_quantiles(
    histogram: np.ndarray, bins: Bins, minimum: np.ndarray, maximum: np.ndarray, levels: tuple[float, ...]
) -> Quantiles:
    """Quantiles by linear interpolation inside the bin that holds them.

    The smallest value that at least a share p of the members does not exceed lies in the same bin, so the error
    is at most that bin's width, which is returned. The standard error takes members as independent: half the
    distance between the quantiles at p -+ sqrt(p (1 - p) / n) (Woodruff 1952, doi 10.1080/01621459.1952.10483443);
    scrambled Sobol points do better as a rule.

    Args:
        histogram: shape (scenarios, sites, *dims, bins + 2).
        bins: the bins it was made with.
        minimum, maximum: of all members, shape (scenarios, sites, *dims); they close the end bins.
        levels: probabilities between 0 and 1.
    """
    members = histogram.sum(axis=-1)
    cumulative = histogram.cumsum(axis=-1)
    value, error, bound = [], [], []
    for level in levels:
        slack = np.sqrt(level * (1.0 - level) / np.maximum(members, 1))
        at, width = _read(histogram, cumulative, bins, minimum, maximum, np.full(members.shape, level))
        below, _ = _read(histogram, cumulative, bins, minimum, maximum, np.maximum(level - slack, 0.0))
        over, _ = _read(histogram, cumulative, bins, minimum, maximum, np.minimum(level + slack, 1.0))
        value.append(at)
        error.append((over - below) / 2.0)
        bound.append(width)
    return Quantiles(np.asarray(levels), np.stack(value), np.stack(error), np.stack(bound))


def _read(
    histogram: np.ndarray,
    cumulative: np.ndarray,
    bins: Bins,
    minimum: np.ndarray,
    maximum: np.ndarray,
    level: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Quantile of a level (one a cell), and the width of its bin, cut at the smallest and largest member."""
    members = cumulative[..., -1]
    rank = np.clip(np.ceil(level * members), 1, np.maximum(members, 1))
    slot = (cumulative < rank[..., None]).sum(axis=-1).clip(max=bins.number + 1)
    inside = np.take_along_axis(histogram, slot[..., None], axis=-1)[..., 0]
    before = np.take_along_axis(cumulative, slot[..., None], axis=-1)[..., 0] - inside
    left = np.where(slot == 0, minimum, bins.low + (slot - 1) * bins.width)
    right = np.where(slot == bins.number + 1, maximum, bins.low + slot * bins.width)
    left, right = np.maximum(left, minimum), np.minimum(right, maximum)
    empty = members == 0
    left, right = np.where(empty, np.nan, left), np.where(empty, np.nan, right)
    part = np.clip((level * members - before) / np.maximum(inside, 1), 0.0, 1.0)
    return left + part * (right - left), right - left
