"""Exact quantiles over members that are at hand, with standard errors from the replicates of the design.

The standard error follows Woodruff (1952, doi 10.1080/01621459.1952.10483443): the share of members that do not
exceed the quantile has a standard error, from the replicates and never below one member; carried back through the
quantile function it is an error of the quantile. The spread of the replicates' own quantiles would be too small
for scrambled Sobol points, whose replicates share the places of their strata.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ensemble.summary.histogram import Quantiles
from ensemble.summary.moments import align, check_shapes
from ensemble.summary.replicates import jackknife

# Largest piece of members read at once.
BLOCK_BYTES = 32 * 2**20


def exact_quantiles(
    values: np.ndarray, failed: np.ndarray, replicate: np.ndarray, replicates: int, levels: tuple[float, ...]
) -> Quantiles:
    """Quantiles of a block that holds all members of its sites.

    Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996, doi 10.1080/00031305.1996.10473566).
    An interval is ``value -+ t * standard error`` with Student's t of one degree of freedom less than there are
    replicates. Needs about three times the memory of the block.

    Args:
        values: shape (members, scenarios, sites, *dims), float32 or float64.
        failed: shape (members, sites); pairs that are not 0 are left out of every scenario.
        replicate: replicate of each member, shape (members,).
        replicates: number of replicates.
        levels: probabilities between 0 and 1.

    Raises:
        ValueError: the shapes do not fit, or a replicate is out of range.
    """
    check_shapes(values, failed, replicate, replicates)
    used = failed == 0
    kept = values if used.all() else np.where(align(used, values.ndim, axis=2), values, np.nan)
    ordered = np.sort(np.moveaxis(kept, 0, -1), axis=-1)  # NaN goes last
    groups = [np.flatnonzero(replicate == index) for index in range(replicates)]
    counts = np.stack([used[rows].sum(axis=0) for rows in groups])
    members = align(counts.sum(axis=0), values.ndim - 1)
    value = np.stack([_read(ordered, members, np.asarray(level)) for level in levels])
    slack = np.stack([_share_error(kept, groups, counts, at) for at in value])
    error = np.stack([_carried_back(ordered, members, level, s) for level, s in zip(levels, slack, strict=True)])
    return Quantiles(np.asarray(levels), value, error, None)


def _read(ordered: np.ndarray, members: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Quantile of each cell from its sorted members (last axis), by a level for all cells or one a cell."""
    cells = ordered.shape[:-1]
    rank = np.broadcast_to(level * np.maximum(members - 1, 0), cells)
    lower = np.floor(np.where(np.isfinite(rank), rank, 0.0)).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(members - 1, 0))
    below = np.take_along_axis(ordered, lower[..., None], axis=-1)[..., 0].astype(np.float64)
    over = np.take_along_axis(ordered, upper[..., None], axis=-1)[..., 0].astype(np.float64)
    return np.where(members > 0, below + (rank - lower) * (over - below), np.nan)


def _share_error(kept: np.ndarray, groups: list[np.ndarray], counts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Standard error of the share of members that do not exceed a value, shape (scenarios, sites, *dims)."""
    inside = np.stack([(kept[rows] <= at).sum(axis=0) for rows in groups])
    number = align(counts, inside.ndim, axis=2)
    rest = number.sum(axis=0) - number
    share = (inside.sum(axis=0) - inside) / np.where(rest > 0, rest, np.nan)
    return np.maximum(jackknife(share, number > 0), 1.0 / np.maximum(number.sum(axis=0), 1))


def _carried_back(ordered: np.ndarray, members: np.ndarray, level: float, slack: np.ndarray) -> np.ndarray:
    """Error of a quantile from the error ``slack`` of its share: times the mean slope of the quantile function.

    The slope is taken over at least the error that independent members would have, as neighbouring members of a
    Sobol design lie too unevenly for less.
    """
    reach = np.maximum(slack, math.sqrt(level * (1.0 - level)) / np.sqrt(np.maximum(members, 1)))
    low, high = np.maximum(level - reach, 0.0), np.minimum(level + reach, 1.0)
    return slack * (_read(ordered, members, high) - _read(ordered, members, low)) / (high - low)


def stored_quantiles(
    array: Any,
    failed: Any,
    replicate: np.ndarray,
    replicates: int,
    levels: tuple[float, ...],
    block_bytes: int = BLOCK_BYTES,
) -> Quantiles:
    """:func:`exact_quantiles` of members that lie in a store, read in blocks of sites, then of the last axis.

    Args:
        array: anything with ``shape``, ``dtype`` and NumPy slicing (a Zarr array), (members, scenarios, sites, *dims).
        failed: the same with shape (members, sites); read in the same blocks.
        block_bytes: about the most bytes read at once; every block holds all members.

    Other arguments as in :func:`exact_quantiles`.
    """
    members, scenarios, sites, *dims = array.shape
    per_site = members * scenarios * math.prod(dims) * np.dtype(array.dtype).itemsize
    step = max(1, min(sites, int(block_bytes // max(per_site, 1))))
    pieces = max(1, math.ceil(per_site * step / block_bytes))
    width = max(1, math.ceil(dims[-1] / pieces)) if dims else 1
    value = np.full((len(levels), scenarios, sites, *dims), np.nan)
    error = np.full(value.shape, np.nan)
    ends = [(..., slice(at, at + width)) for at in range(0, dims[-1], width)] if dims else [(...,)]
    for first in range(0, sites, step):
        here = slice(first, first + step)
        flags = np.asarray(failed[:, here])
        for end in ends:
            place = (slice(None), slice(None), here, *end)
            part = exact_quantiles(np.asarray(array[place]), flags, replicate, replicates, levels)
            value[place], error[place] = part.value, part.standard_error
    return Quantiles(np.asarray(levels), value, error, None)
