"""The shape of the unit of work: a block of members by a block of sites."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# A tile is about this many floating-point operations (some seconds of one core), and at most this many bytes
# of outputs and sums; both are constants so that a study always gets the same tiles on the same kind of machine.
TILE_OPERATIONS = 6.0e9
TILE_BYTES = 192 * 2**20
# Bins of the histogram of each number whose members are not kept.
HISTOGRAM_BINS = 512
# Members in one step of the compiled loop: enough to fill vectors, few enough for the cache. Where every member draws
# a series of its own, the series of a batch are what has to fit: about this many bytes each.
BATCH = 1024
SERIES_BYTES = 2 * 2**20
# The same on other devices, which want many members at once.
DEVICE_BATCH = 4096


@dataclass(frozen=True)
class Tile:
    """One tile, with the indices it computes (padded to the fixed shape) and how many of them are real.

    Args:
        index: number of the tile.
        first_member, members: first member and number of members.
        first_site, sites: first site and number of sites.
        padded_members, padded_sites: indices to compute; the last real one repeats.
    """

    index: int
    first_member: int
    members: int
    first_site: int
    sites: int
    padded_members: np.ndarray
    padded_sites: np.ndarray


@dataclass(frozen=True)
class Tiling:
    """How an ensemble is cut into tiles; tile number = member block x site blocks + site block.

    Args:
        members, sites: size of the ensemble.
        tile_members, tile_sites: shape of a tile.
    """

    members: int
    sites: int
    tile_members: int
    tile_sites: int

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of member blocks and of site blocks."""
        return math.ceil(self.members / self.tile_members), math.ceil(self.sites / self.tile_sites)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.blocks[0] * self.blocks[1]

    def tile(self, index: int) -> Tile:
        """The tile of a number."""
        member_block, site_block = divmod(index, self.blocks[1])
        first_member, first_site = member_block * self.tile_members, site_block * self.tile_sites
        members = min(self.tile_members, self.members - first_member)
        sites = min(self.tile_sites, self.sites - first_site)
        return Tile(
            index,
            first_member,
            members,
            first_site,
            sites,
            np.minimum(first_member + np.arange(self.tile_members), self.members - 1),
            np.minimum(first_site + np.arange(self.tile_sites), self.sites - 1),
        )


def choose_tiling(
    members: int,
    sites: int,
    operations: float,
    output_bytes: float,
    tile_members: int | None = None,
    tile_sites: int | None = None,
    site_bytes: float = 0.0,
) -> Tiling:
    """The tiling of an ensemble.

    Args:
        members, sites: size of the ensemble.
        operations: floating-point operations of one member at one site, all scenarios.
        output_bytes: bytes of output of one member at one site, all scenarios.
        tile_members, tile_sites: shape asked for by the study.
        site_bytes: bytes of the sums that a tile keeps of one site, however many members it has.
    """
    pairs = max(1.0, min(TILE_OPERATIONS / operations, TILE_BYTES / max(output_bytes, 1.0)))
    if tile_members is None:
        tile_members = _whole_batches(min(members, max(1, int(pairs))))
    if tile_sites is None:
        fitting = TILE_BYTES / max(tile_members * output_bytes + site_bytes, 1.0)
        tile_sites = max(1, min(sites, int(pairs / tile_members), int(fitting)))
    return Tiling(members, sites, min(tile_members, _whole_batches(members)), min(tile_sites, sites))


def choose_batch(tile_members: int, series_bytes: int = 0) -> int:
    """Members in one step of the compiled loop; divides ``tile_members`` where that is not far from the best size.

    Args:
        tile_members: members in a tile.
        series_bytes: bytes of a series that each member draws for itself; 0 for none.
    """
    best = min(BATCH, 1 << max(4, (SERIES_BYTES // series_bytes).bit_length() - 1)) if series_bytes else BATCH
    best = min(best, tile_members)
    return next((size for size in range(best, best // 4, -1) if tile_members % size == 0), best)


def _whole_batches(members: int) -> int:
    """At least ``members`` up to one batch, whole batches beyond; small ensembles stay small."""
    if members < 16:
        return members
    if members <= BATCH:
        return 16 * math.ceil(members / 16)
    return BATCH * (members // BATCH)
