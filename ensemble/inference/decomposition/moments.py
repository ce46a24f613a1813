"""Sums of a pick-freeze sample by scramble: everything its estimators and intervals need, in one pass.

Every estimator of a variance share is a function of the means of the blocks and of the mean products of
some pairs of blocks. Sums are kept apart by scramble, because rows of one scramble are not independent but
scrambles are; they are taken about the mean, in float64, for all output columns at once and a block of rows at
a time, so that the outputs of all members are never needed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Columns that are transposed and multiplied at a time, and bytes of outputs that are held: bounds of memory, not
# of results.
COLUMNS = 16
BLOCK_BYTES = 8 * 2**20


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

    def plus(self, other: Moments) -> Moments:
        """Sums of both."""
        return Moments(*(a + b for a, b in zip(self, other, strict=True)))

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


def rows_at_once(members: int, columns: int, replicates: int) -> int:
    """Rows of ``members`` members and ``columns`` outputs that are held at a time: whole rounds of scrambles."""
    return max(1, BLOCK_BYTES // (8 * members * columns * replicates)) * replicates


def collect(y: np.ndarray, usable: np.ndarray, layout: Layout, shift: np.ndarray, replicates: int) -> Moments:
    """Sums of some rows by scramble, (scrambles, ...).

    Args:
        y: outputs (rows, blocks, outputs); rows are dealt to the scrambles in turn, whole rounds of them.
        usable: rows (rows, outputs) that count.
        layout: roles of the blocks.
        shift: (outputs,) subtracted from the outputs.
        replicates: number of scrambles.
    """
    blocks, outputs = y.shape[1:]
    total = np.empty((replicates, blocks, outputs))
    product = np.empty((replicates, len(layout.pairs), outputs))
    for start in range(0, outputs, COLUMNS):
        part = slice(start, start + COLUMNS)
        sample = np.where(usable[:, None, part], y[:, :, part] - shift[part], 0.0)
        sample = sample.reshape(-1, replicates, blocks, sample.shape[2]).transpose(1, 3, 0, 2).copy()
        gram = sample.transpose(0, 1, 3, 2) @ sample
        total[..., part] = sample.sum(2).transpose(0, 2, 1)
        product[..., part] = gram[..., layout.pairs[:, 0], layout.pairs[:, 1]].transpose(0, 2, 1)
    count = usable.reshape(-1, replicates, outputs).sum(0, dtype=np.float64)
    return Moments(count, total, product)
