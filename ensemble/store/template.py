"""The shape of a store before anything is computed: tiles, arrays and coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

# The dimension of arrays that hold one entry a tile, such as the moments of its members.
TILE = "tile"
# A chunk inside a shard is at most this many bytes, so that one series is read without the whole tile.
CHUNK_BYTES = 16 * 2**20
# and spans at most this many members
CHUNK_MEMBERS = 10_000


@dataclass(frozen=True)
class Tiling:
    """How axes are cut into tiles; tiles are numbered in row-major order of the axes named in ``blocks``.

    Args:
        blocks: length of a block of each tiled axis, ``{"member": 4096, "site": 64}``; the last may be short.
        shape: full length of each of these axes.

    Raises:
        ValueError: the axes differ, or a length is below 1.
    """

    blocks: Mapping[str, int]
    shape: Mapping[str, int]

    def __post_init__(self) -> None:
        if list(self.blocks) != list(self.shape):
            raise ValueError(f"blocks and shape name different axes: {list(self.blocks)} and {list(self.shape)}")
        for name, length in (*self.blocks.items(), *self.shape.items()):
            if length < 1:
                raise ValueError(f"axis {name} has length {length}; allowed: 1 and more")

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(math.ceil(self.shape[name] / block) for name, block in self.blocks.items())

    @property
    def count(self) -> int:
        """Number of tiles."""
        return math.prod(self.grid)

    def block(self, tile: int) -> dict[str, int]:
        """Number of the block of each axis that a tile covers.

        Raises:
            ValueError: there is no such tile.
        """
        if not 0 <= tile < self.count:
            raise ValueError(f"there is no tile {tile}; allowed: 0 to {self.count - 1}")
        return dict(zip(self.blocks, (int(i) for i in np.unravel_index(tile, self.grid)), strict=True))

    def region(self, tile: int) -> dict[str, slice]:
        """The slice of each tiled axis that a tile covers, and of ``tile`` itself."""
        starts = {name: index * self.blocks[name] for name, index in self.block(tile).items()}
        ends = {name: min(start + self.blocks[name], self.shape[name]) for name, start in starts.items()}
        return {name: slice(starts[name], ends[name]) for name in starts} | {TILE: slice(tile, tile + 1)}

    def pairs(self, tile: int) -> int:
        """Number of (member, site) pairs in a tile: the product of its lengths."""
        region = self.region(tile)
        return math.prod(region[name].stop - region[name].start for name in self.blocks)

    def owns(self, tile: int, dims: tuple[str, ...]) -> bool:
        """Whether a tile writes an array with these dimensions.

        Along a tiled axis that the array lacks only block 0 does, so that every number has one writer.
        """
        if TILE in dims:
            return True
        return all(index == 0 for name, index in self.block(tile).items() if name not in dims)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Plain data, as it is stored."""
        return {"blocks": dict(self.blocks), "shape": dict(self.shape)}


def fill_value(dtype: Any) -> Any:
    """What is read where nothing was written: NaN; -1 or the largest value of an integer; false."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.nan
    if kind.kind == "u":
        return int(np.iinfo(kind).max)
    return -1 if kind.kind == "i" else False


@dataclass(frozen=True)
class ArrayTemplate:
    """One array that tiles fill.

    Args:
        path: group and name, ``"members/soc"``.
        dims: names of its axes, in order.
        shape: their lengths.
        dtype: type of its numbers.
        attrs: CF attributes (``units``, ``long_name`` ...).
        chunks: lengths of a chunk inside a shard, each a divisor of the tile's; ``None`` chooses.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str = "float32"
    attrs: Mapping[str, Any] = field(default_factory=dict)
    chunks: tuple[int, ...] | None = None

    @property
    def group(self) -> str:
        """Path of the group it lies in."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name in that group."""
        return self.path.rpartition("/")[2]

    def shards(self, tiling: Tiling) -> tuple[int, ...]:
        """Lengths of a shard: the region of one tile."""
        blocks = {**tiling.blocks, TILE: 1}
        return tuple(min(blocks.get(name, length), length) for name, length in zip(self.dims, self.shape, strict=True))

    def inner_chunks(self, tiling: Tiling) -> tuple[int, ...]:
        """Lengths of a chunk inside a shard.

        Raises:
            ValueError: a given length does not divide the shard's.
        """
        shards = self.shards(tiling)
        if self.chunks is None:
            return _choose_chunks(self.dims, shards, np.dtype(self.dtype).itemsize, tuple(tiling.blocks))
        if any(shard % chunk for shard, chunk in zip(shards, self.chunks, strict=True)):
            raise ValueError(f"chunks {self.chunks} of {self.path} do not divide its shard {shards}")
        return self.chunks

    def check(self, tiling: Tiling) -> None:
        """Refuse an array that does not fit the tiling.

        Raises:
            ValueError: no group, lengths that differ from the tiling's, or chunks that do not divide a shard.
        """
        if not self.group:
            raise ValueError(f"array {self.path} lies in no group")
        full = {**tiling.shape, TILE: tiling.count}
        for name, length in zip(self.dims, self.shape, strict=True):
            if full.get(name, length) != length:
                raise ValueError(f"axis {name} of {self.path} has length {length}; its tiles cover {full[name]}")
        self.inner_chunks(tiling)


def _choose_chunks(
    dims: tuple[str, ...], shards: tuple[int, ...], itemsize: int, tiled: tuple[str, ...]
) -> tuple[int, ...]:
    """Whole series of up to 10,000 members; other tiled axes, then the rest, are cut until the bytes fit."""
    chunks = [
        _divisor(length, CHUNK_MEMBERS) if name == "member" else length
        for name, length in zip(dims, shards, strict=True)
    ]
    last = ("member", "time")
    others = [name for name in dims if name not in last]
    order = [n for n in others if n in tiled] + [n for n in others if n not in tiled] + [n for n in last if n in dims]
    for axis in map(dims.index, order):
        size = math.prod(chunks) * itemsize
        if size > CHUNK_BYTES:
            chunks[axis] = _divisor(chunks[axis], max(1, chunks[axis] * CHUNK_BYTES // size))
    return tuple(chunks)


def _divisor(length: int, limit: int) -> int:
    """The largest divisor of ``length`` up to ``limit``; ``length`` itself where all are far smaller."""
    if length <= limit:
        return length
    divisors = (d for i in range(1, math.isqrt(length) + 1) if length % i == 0 for d in (i, length // i))
    best = max(d for d in divisors if d <= limit)
    return best if 8 * best >= limit else length


@dataclass(frozen=True)
class Stage:
    """What one stage of a study writes, tile by tile.

    Args:
        name: name in the ledger and path of its main group: ``"members"``, ``"decomposition/members"``.
        tiling: its tiles.
        arrays: what each tile fills.
        coordinates: by group, coordinates and other variables that are known before anything is computed.
        attrs: by group, its attributes.
        flags: path of the integer array with the reason code of each failed pair (0: succeeded).
    """

    name: str
    tiling: Tiling
    arrays: tuple[ArrayTemplate, ...]
    coordinates: Mapping[str, xr.Dataset] = field(default_factory=dict)
    attrs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    flags: str | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group it writes, sorted."""
        return tuple(sorted({*(a.group for a in self.arrays), *self.coordinates, *self.attrs}))

    def check(self) -> None:
        """Refuse a stage that contradicts itself.

        Raises:
            ValueError: an array does not fit the tiling, a path is used twice, the name has a dot, or the flags are not an array.
        """
        if "." in self.name:
            raise ValueError(f"stage {self.name} has a dot in its name")
        paths = [array.path for array in self.arrays]
        paths += [f"{group}/{name}" for group, data in self.coordinates.items() for name in data.variables]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"{path} is written twice by stage {self.name}")
        if self.flags is not None and self.flags not in paths:
            raise ValueError(f"stage {self.name} has no array {self.flags}")
        for array in self.arrays:
            array.check(self.tiling)

    def describe(self) -> dict[str, Any]:
        """Plain data, as it is stored and compared."""
        return {
            "tiling": self.tiling.as_dict(),
            "arrays": {a.path: {"dims": list(a.dims), "shape": list(a.shape), "dtype": a.dtype} for a in self.arrays},
            "flags": self.flags,
            "groups": list(self.groups),
        }
