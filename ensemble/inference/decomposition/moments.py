"""Sums of a pick-freeze sample by scramble: everything its estimators and intervals need, in one pass.

Every estimator of a variance share is a function of the means of the blocks and of the mean products of
some pairs of blocks. Sums are kept apart by scramble, because rows of one scramble are not independent but
scrambles are; they are taken about a shift near the mean, in float64, for all output columns at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_FAILED = 0.01
# Columns that are transposed and multiplied at a time: bounds memory, not results.
COLUMNS = 16


class Layout(NamedTuple):
    """Which block of a row plays which part.

    Args:
        a, b: the blocks that keep every group and none.
        others: for every group g, the block that redraws g alone.
        alone: for every group g, the block that keeps g alone; empty where the design has none.
        pairs: pairs of blocks (p, 2) whose products are summed.
        dependent: whether a correlation crosses groups.
    """

    a: int
    b: int
    others: tuple[int, ...]
    alone: tuple[int, ...]
    pairs: np.ndarray
    dependent: bool

    def pair(self, one: int, other: int) -> int:
        """Position of a pair of blocks in ``pairs``."""
        return int(np.flatnonzero((self.pairs == sorted((one, other))).all(1))[0])


class Moments(NamedTuple):
    """Sums over rows, with a leading axis of scrambles or of jackknife samples, or none.

    Args:
        count: rows, (..., outputs).
        total: sums of every block, (..., blocks, outputs).
        product: sums of products of every pair of blocks, (..., pairs, outputs).
    """

    count: np.ndarray
    total: np.ndarray
    product: np.ndarray

    def pooled(self) -> Moments:
        """Summed over scrambles."""
        return Moments(*(part.sum(0) for part in self))

    def without_each(self) -> Moments:
        """Leaving out one scramble at a time, (scrambles, ...)."""
        return Moments(*(part.sum(0) - part for part in self))


def layout_of(blocks: Sequence[Sequence[int]], dependent: bool) -> Layout:
    """Roles of the blocks of a design, each given by the positions of the groups it keeps."""
    place = {frozenset(kept): k for k, kept in enumerate(blocks)}
    every = frozenset(range(max(map(len, blocks))))
    a, b = place[every], place[frozenset()]
    others = tuple(place[every - {g}] for g in sorted(every))
    alone = tuple(place[frozenset({g})] for g in sorted(every) if frozenset({g}) in place)
    pairs = [(k, k) for k in range(len(blocks))] + [(a, b)]
    pairs += [(end, block) for end in (a, b) for block in (*others, *alone)]
    pairs += [(one, other) for i, one in enumerate(alone) for j, other in enumerate(others) if i != j]
    unique = dict.fromkeys(tuple(sorted(pair)) for pair in pairs)
    return Layout(a, b, others, alone, np.array(list(unique)), dependent)


def usable_rows(y: np.ndarray, blocks: int, places: np.ndarray, max_failed: float = MAX_FAILED) -> np.ndarray:
    """Rows of blocks without a failed member, (rows, outputs) booleans.

    Args:
        y: outputs (members, outputs), row by row; a failed member is not finite.
        blocks: members in a row.
        places: (outputs,) the site of every column; a failure at a site drops the row at that site.
        max_failed: largest share of dropped rows.

    Raises:
        ValueError: more rows than that are dropped.
    """
    fine = np.all(np.isfinite(y).reshape(-1, blocks, y.shape[1]), axis=1, keepdims=True)[:, 0]
    for place in np.unique(places):
        fine[:, places == place] = fine[:, places == place].all(1, keepdims=True)
    dropped = float(1.0 - fine.mean(0).min(initial=1.0))
    if dropped > max_failed:
        raise ValueError(
            f"{100 * dropped:.2g} % of the rows hold a failed member, so the shares would be biased; "
            f"allowed: at most {100 * max_failed:g} %"
        )
    return fine


def collect(y: np.ndarray, fine: np.ndarray, layout: Layout, shift: np.ndarray) -> Moments:
    """Sums of one scramble.

    Args:
        y: outputs (rows, blocks, outputs).
        fine: usable rows (rows, outputs).
        layout: roles of the blocks.
        shift: (outputs,) subtracted from the outputs.
    """
    total = np.empty(y.shape[1:])
    product = np.empty((len(layout.pairs), y.shape[2]))
    for start in range(0, y.shape[2], COLUMNS):
        part = slice(start, start + COLUMNS)
        sample = np.moveaxis(y[:, :, part], -1, 0).astype(np.float64, order="C") - shift[part, None, None]
        sample[~fine[:, part].T] = 0.0
        gram = sample.transpose(0, 2, 1) @ sample
        total[:, part] = sample.sum(1).T
        product[:, part] = gram[:, layout.pairs[:, 0], layout.pairs[:, 1]].T
    return Moments(fine.sum(0).astype(np.float64), total, product)


def stack(parts: Sequence[Moments]) -> Moments:
    """Sums of all scrambles, with the scrambles as leading axis."""
    return Moments(*(np.stack(part) for part in zip(*parts, strict=True)))
