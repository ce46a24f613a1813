"""Counts, means and sums of squares of a tile, and how two of them become one.

Every sum is kept by replicate (one of the independent scrambles of the design), because the spread of the
replicates is what gives a statistic its standard error. All sums are float64, whatever the outputs are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.summary.histogram import Bins, tile_histogram


class Summary(NamedTuple):
    """What is kept of one output over some members; plain arrays, so it can be stored as it is.

    Args:
        count: members used, shape (replicates, sites), int64.
        failed: members left out, shape (sites,), int64.
        mean, m2: mean and sum of squared deviations from it, shape (replicates, scenarios, sites, *dims).
        minimum, maximum: over all members, shape (scenarios, sites, *dims); infinite where count is 0.
        above: members above each threshold, shape (replicates, thresholds, scenarios, sites, *dims), int64.
        histogram: members in each bin with under- and overflow at the ends, shape
            (scenarios, sites, *dims, bins + 2), int64; last axis of length 0 where none was asked for.
    """

    count: np.ndarray
    failed: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    above: np.ndarray
    histogram: np.ndarray


def tile_moments(
    values: np.ndarray,
    failed: np.ndarray,
    replicate: np.ndarray,
    replicates: int,
    above: tuple[float, ...] = (),
    bins: Bins | None = None,
) -> Summary:
    """Summary of one output of one tile, in two passes.

    Args:
        values: shape (members, scenarios, sites, *dims), float32 or float64; may hold anything where failed.
        failed: shape (members, sites); a pair that is not 0 is left out of every scenario.
        replicate: replicate of each member, shape (members,), 0 to ``replicates - 1``.
        replicates: number of replicates.
        above: thresholds whose exceedance is counted (strictly above).
        bins: bins of the histogram; ``None`` for none.

    Raises:
        ValueError: the shapes do not fit, or a replicate is out of range.
    """
    check_shapes(values, failed, replicate, replicates)
    cells = values.shape[1:]
    used = failed == 0
    count = np.zeros((replicates, cells[1]), np.int64)
    mean, m2 = np.zeros((replicates, *cells)), np.zeros((replicates, *cells))
    every = None if used.all() else align(used, values.ndim, axis=2)
    over = np.zeros((replicates, len(above), *cells), np.int64)
    for index in range(replicates):
        rows = np.flatnonzero(replicate == index)
        if rows.size == 0:
            continue
        block, keep = values[rows].astype(np.float64), used[rows]
        count[index] = keep.sum(axis=0)
        mask = None if keep.all() else align(keep, block.ndim, axis=2)
        mean[index], m2[index] = _two_pass(block, mask, align(count[index], block.ndim - 1))
        for place, threshold in enumerate(above):
            over[index, place] = (_masked(block, mask, -np.inf) > threshold).sum(axis=0)
    minimum = _masked(values, every, np.inf).min(axis=0, initial=np.inf).astype(np.float64)
    maximum = _masked(values, every, -np.inf).max(axis=0, initial=-np.inf).astype(np.float64)
    left_out = (~used).sum(axis=0)
    return Summary(count, left_out, mean, m2, minimum, maximum, over, tile_histogram(values, failed, bins))


def check_shapes(values: np.ndarray, failed: np.ndarray, replicate: np.ndarray, replicates: int) -> None:
    """Refuse arrays that do not belong to the same members and sites."""
    members, sites = values.shape[0], values.shape[2]
    if failed.shape != (members, sites) or replicate.shape != (members,):
        raise ValueError(
            f"failed has shape {failed.shape} and replicate {replicate.shape}; "
            f"outputs of shape {values.shape} need {(members, sites)} and {(members,)}"
        )
    if members and not 0 <= int(replicate.min()) <= int(replicate.max()) < replicates:
        raise ValueError(f"replicate {int(replicate.max())} is not allowed; allowed: 0 to {replicates - 1}")


def align(array: np.ndarray, ndim: int, axis: int = 1) -> np.ndarray:
    """Give an array whose last axis is the site its place among ``(..., scenario, site, *dims)``.

    Args:
        array: shape (*lead, sites).
        ndim: number of axes of the result.
        axis: where the site axis goes.
    """
    lead = array.ndim - 1
    shape = (*array.shape[:lead], *(1,) * (axis - lead), array.shape[-1], *(1,) * (ndim - axis - 1))
    return array.reshape(shape)


def _masked(block: np.ndarray, mask: np.ndarray | None, fill: float) -> np.ndarray:
    return block if mask is None else np.where(mask, block, fill)


def _two_pass(block: np.ndarray, mask: np.ndarray | None, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sum of squares about it, with the rounding of the mean taken out of both."""
    divisor = np.maximum(count, 1)
    mean = _masked(block, mask, 0.0).sum(axis=0) / divisor
    deviation = (block if mask is None else np.where(mask, block, mean)) - mean
    rest = deviation.sum(axis=0)
    squares = np.einsum("m...,m...->...", deviation, deviation)
    return mean + rest / divisor, squares - rest**2 / divisor


def merge_pair(one: Summary, other: Summary) -> Summary:
    """Summary of the members of both (Chan, Golub & LeVeque 1983, doi 10.1080/00031305.1983.10483115, eq. 2.1)."""
    count = one.count + other.count
    whole = np.maximum(count, 1)
    ndim = one.mean.ndim
    difference = other.mean - one.mean
    mean = one.mean + difference * align(other.count / whole, ndim, axis=2)
    m2 = one.m2 + other.m2 + difference**2 * align(one.count * other.count / whole, ndim, axis=2)
    return Summary(
        count,
        one.failed + other.failed,
        mean,
        m2,
        np.minimum(one.minimum, other.minimum),
        np.maximum(one.maximum, other.maximum),
        one.above + other.above,
        one.histogram + other.histogram,
    )
