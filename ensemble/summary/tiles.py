"""From tiles to one summary. The order in which tiles were computed never matters: they are merged by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

import numpy as np

from ensemble.summary.histogram import Bins
from ensemble.summary.moments import Summary, merge_pair, tile_moments

Summaries = dict[str, Summary]


def summarise_tile(
    outputs: Mapping[str, np.ndarray],
    failed: np.ndarray,
    replicate: np.ndarray,
    replicates: int,
    above: Mapping[str, Sequence[float]] | None = None,
    bins: Mapping[str, Bins] | None = None,
) -> Summaries:
    """Summary of every output of a tile.

    Args:
        outputs: by name, shape (members, scenarios, sites, *dims).
        failed: shape (members, sites), 0 where the pair succeeded in every scenario.
        replicate: replicate of each member, shape (members,).
        replicates: number of replicates of the design.
        above: by output, thresholds whose exceedance is counted.
        bins: by output, bins of its histogram over exactly these sites; outputs without bins get none.

    Raises:
        ValueError: the shapes do not fit, or a replicate is out of range.
    """
    above, bins = above or {}, bins or {}
    return {
        name: tile_moments(values, failed, replicate, replicates, tuple(above.get(name, ())), bins.get(name))
        for name, values in outputs.items()
    }


def merge(tiles: Iterable[int], read: Callable[[int], Mapping[str, Summary]]) -> Summaries:
    """Summary of all members of the same sites, from tiles that may have come in any order.

    Args:
        tiles: numbers of the tiles, in any order.
        read: gives the summaries of a tile; called once a tile, in ascending order, and nothing but the running
            result is held.

    Raises:
        ValueError: no tile, or the same tile twice.
    """
    numbers = sorted(tiles)
    if not numbers or len(set(numbers)) != len(numbers):
        raise ValueError(f"tiles {numbers} cannot be merged; give each tile once, and at least one")
    return reduce(_merge_all, (dict(read(number)) for number in numbers))


def _merge_all(one: Summaries, other: Mapping[str, Summary]) -> Summaries:
    return {name: merge_pair(summary, other[name]) for name, summary in one.items()}


def join_sites(blocks: Sequence[Mapping[str, Summary]]) -> Summaries:
    """Summaries of several blocks of sites, side by side in the given order."""
    axes = Summary(count=1, failed=0, mean=2, m2=2, minimum=1, maximum=1, above=3, histogram=1)  # type: ignore[arg-type]
    return {
        name: Summary(*(np.concatenate([b[name][i] for b in blocks], axis=int(axes[i])) for i in range(len(axes))))
        for name in blocks[0]
    }
