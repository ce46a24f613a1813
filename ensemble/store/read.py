"""Read a store: the ledger decides what is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from ensemble.errors import Damaged, StoreRefused
from ensemble.provenance import checksum, study_digest
from ensemble.store.create import STORE_FORMAT
from ensemble.store.ledger import (
    BrokenRecord,
    Entries,
    Entry,
    GroupRecord,
    StageRecord,
    array_digest,
    read_record,
    record_names,
)
from ensemble.store.place import Folder, Place, folder_at, place
from ensemble.store.template import TILE, Tiling, fill_value

Unfinished = Literal["refuse", "mask"]


class Store:
    """A store that is read. Nothing is loaded before it is asked for.

    Args:
        path: where it lies: a folder, or an address such as ``s3://bucket/name.zarr``.

    Raises:
        StoreRefused: there is none, it is not a store, or another version of the format made it.
    """

    def __init__(self, path: Place | str) -> None:
        self.path = place(path)
        self.folder = folder_at(self.path)
        self.attrs: dict[str, Any] = root_attributes(self.folder)
        self._known: dict[str, StageRecord] = {}

    @property
    def stages(self) -> list[str]:
        """Names of the stages, sorted."""
        return sorted(name for name, record in self._records().items() if isinstance(record, StageRecord))

    @property
    def reduced_groups(self) -> list[str]:
        """Names of the reduced groups that are complete, sorted."""
        return sorted(name for name, record in self._records().items() if isinstance(record, GroupRecord))

    def _records(self) -> dict[str, StageRecord | GroupRecord]:
        records = {}
        for name in record_names(self.folder):
            try:
                record = read_record(self.folder, name)
            except BrokenRecord:
                continue  # verify names it; to everybody else it is not there
            if record is not None:
                records[name] = record
        return records

    def stage(self, name: str) -> StageRecord:
        """The record of a stage.

        Raises:
            StoreRefused: there is none.
            Damaged: it is damaged beyond repair.
        """
        if name in self._known:
            return self._known[name]
        try:
            record = read_record(self.folder, name)
        except BrokenRecord as error:
            raise Damaged(f"{self.path}: {error}, in both its copies") from None
        if not isinstance(record, StageRecord):
            raise StoreRefused(f"{self.path} has no stage {name}; it has {', '.join(self.stages) or 'none'}")
        self._known[name] = record
        return record

    def tiling(self, stage: str = "members") -> Tiling:
        """The tiles of a stage."""
        return self.stage(stage).tiling

    def entries(self, stage: str = "members") -> dict[int, Entry]:
        """Every finished tile of a stage; a damaged entry does not count."""
        return {tile: entry for tile, entry in Entries(self.folder, self.stage(stage)).all() if entry is not None}

    def finished_tiles(self, stage: str = "members") -> list[int]:
        """Numbers of the finished tiles, ascending."""
        return sorted(self.entries(stage))

    def missing_tiles(self, stage: str = "members") -> list[int]:
        """Numbers of the tiles still to be computed, ascending."""
        finished = self.entries(stage)
        return [tile for tile in range(self.tiling(stage).count) if tile not in finished]

    def has_tile(self, stage: str, tile: int) -> bool:
        """Whether a tile is finished; reads its one entry."""
        try:
            return Entries(self.folder, self.stage(stage)).get(tile) is not None
        except BrokenRecord:
            return False

    def has_group(self, name: str) -> bool:
        """Whether a reduced group is complete."""
        return name in self.reduced_groups

    def read_tile(self, stage: str, tile: int, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Arrays of a finished tile, checked against their digest.

        Args:
            stage, tile: which.
            names: paths of arrays; ``None`` for all that the tile owns.

        Returns:
            By path, the region of each array, shapes as in the template.

        Raises:
            StoreRefused: the tile is not finished, or there is no such array.
            Damaged: an array of the tile is not what was written.
        """
        record = self.stage(stage)
        entry = Entries(self.folder, record).get(tile)
        if entry is None:
            raise StoreRefused(f"tile {tile} of {stage} in {self.path} is not finished")
        arrays = {}
        for name in names if names is not None else entry.digests:
            if name not in entry.digests:
                raise StoreRefused(f"tile {tile} of {stage} in {self.path} has no array {name}")
            arrays[name] = read_checked(self.folder, record, entry, tile, name)
        return arrays

    def dataset(
        self,
        group: str,
        unfinished: Unfinished = "refuse",
        chunks: Mapping[str, int] | None = None,
        without: Sequence[str] = (),
    ) -> xr.Dataset:
        """A group as a lazy dataset.

        Args:
            group: path of the group, ``"members"``, ``"statistics"``.
            unfinished: what to do where tiles are missing: refuse, or mask (floats become NaN, integers
                their fill value, and the variable ``finished`` says where there are numbers).
            chunks: size of the Dask chunks by axis, ``{}`` for one a tile; ``None`` reads without Dask.
            without: variables and coordinates to leave out: the names of very many sites take long to read.

        Raises:
            StoreRefused: there is no such group, or it is not finished.
            Damaged: its metadata or coordinates are not what was written.
        """
        record = self._owner(group)
        self._check_metadata(record, group)
        owner = record if isinstance(record, StageRecord) else None
        data = xr.open_dataset(
            self.folder.zarr(),  # pyright: ignore[reportArgumentType]  (xarray takes any Zarr store)
            engine="zarr",
            group=group,
            consolidated=False,
            drop_variables=list(without),
            chunks=dict(chunks or {}) if chunks is not None or unfinished == "mask" else None,
            decode_times=xr.coders.CFDatetimeCoder(time_unit="s"),
            decode_timedelta=False,
        )
        tiled = owner is not None and any(path.rpartition("/")[0] == group for path in owner.arrays)
        missing = self.missing_tiles(owner.name) if owner is not None and tiled else []
        if owner is None or not missing:
            return data
        if unfinished == "refuse":
            done = owner.tiling.count - len(missing)
            raise StoreRefused(
                f"{group} of {self.path} is not finished: {done} of {owner.tiling.count} tiles are there; "
                "run the study again to complete it"
            )
        return _mask(data, owner, missing)

    def _owner(self, group: str) -> StageRecord | GroupRecord:
        """The record of the stage that fills a group, or of the reduced group itself."""
        records = self._records()
        for record in records.values():
            if isinstance(record, StageRecord) and group in record.groups:
                return record
        if group not in records:
            raise StoreRefused(f"{self.path} has no finished group {group}; it has {', '.join(self.groups())}")
        return records[group]

    def _check_metadata(self, record: StageRecord | GroupRecord, group: str) -> None:
        """Refuse to decode by damaged metadata."""
        expected = record.files if isinstance(record, StageRecord) else record.checksums
        for key in expected:
            if not key.startswith(f"{group}/"):
                continue
            if isinstance(record, StageRecord):
                sound = self.folder.read(key) == record.files[key]
            else:
                sound = not key.endswith("zarr.json") or checksum(self.folder.read(key)) == record.checksums[key]
            if not sound:
                raise Damaged(f"{self.path / key} is damaged; run `ensemble verify {self.path}`, then the study again")

    def groups(self) -> list[str]:
        """Paths of every group that a stage fills or that is complete, sorted."""
        names = set(self.reduced_groups)
        for stage in self.stages:
            names |= set(self.stage(stage).groups)
        return sorted(names)

    def tree(self, unfinished: Unfinished = "refuse", chunks: Mapping[str, int] | None = None) -> xr.DataTree:
        """Every group but the ledger as one lazy tree; arguments as in :meth:`dataset`."""
        datasets: dict[str, xr.Dataset] = {group: self.dataset(group, unfinished, chunks) for group in self.groups()}
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs=self.attrs), **datasets})

    def digest(self) -> str:
        """Digest of the bytes of every finished array: equal for an undisturbed and a resumed run.

        Coordinates, finished tiles and reduced groups count; attributes and times of writing do not.
        """
        total = hashlib.sha256()
        for name, record in sorted(self._records().items()):
            total.update(f"{name} {record.digest}\n".encode())
            if isinstance(record, StageRecord):
                for tile, entry in sorted(self.entries(name).items()):
                    for path, digest in sorted(entry.digests.items()):
                        total.update(f"{tile} {path} ".encode() + digest)
        return total.hexdigest()


def open_store(path: Place | str) -> Store:
    """Open a store for reading.

    Raises:
        StoreRefused: there is none, it is not a store, or another version of the format made it.
    """
    return Store(path)


def root_attributes(folder: Folder) -> dict[str, Any]:
    """Root attributes of a store, from the ledger's copy where the file itself is damaged.

    Raises:
        StoreRefused: there is no store, or another version of the format made it.
        Damaged: they are damaged, and so is every copy.
    """
    path = folder.root
    if not folder.exists():
        raise StoreRefused(f"there is no store {path}")
    if folder.is_file():
        raise StoreRefused(f"{path} is a file, not a store")
    trusted = _trusted_root(folder)
    try:
        attrs = json.loads(trusted or folder.read("zarr.json") or b"")["attributes"]
    except (ValueError, KeyError, TypeError):
        if record_names(folder):
            raise Damaged(f"{path}/zarr.json is damaged, and so are its copies in the ledger") from None
        raise StoreRefused(f"{path} is not a store of ensemble") from None
    if not isinstance(attrs, dict) or "format" not in attrs or "study_digest" not in attrs:
        raise StoreRefused(f"{path} is not a store of ensemble")
    if attrs["format"] != STORE_FORMAT:
        raise StoreRefused(
            f"{path} has format {attrs['format']} (written by ensemble {attrs.get('versions', {}).get('ensemble', '?')})"
            f"; this version reads format {STORE_FORMAT}"
        )
    if trusted is None and attrs["study_digest"] != study_digest(attrs["study"], attrs["inputs"], attrs["seed"]):
        raise Damaged(f"{path}/zarr.json is damaged, and so are its copies in the ledger")
    return attrs


def _trusted_root(folder: Folder) -> bytes | None:
    for name in record_names(folder):
        try:
            record = read_record(folder, name)
        except BrokenRecord:
            continue
        if isinstance(record, StageRecord) and "zarr.json" in record.files:
            return record.files["zarr.json"]
    return None


def read_checked(folder: Folder, record: StageRecord, entry: Entry, tile: int, array: str) -> np.ndarray:
    """One array of a finished tile.

    Raises:
        Damaged: it cannot be decoded, or is not what was written; one sentence names array, tile and file.
    """
    opened = record.open(folder, array)
    try:
        values = np.asarray(opened[record.selection(array, tile)])
        problem = None if array_digest(array, values) == entry.digests[array] else "does not agree with its digest"
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # a damaged byte can raise anything inside a decoder
        values, problem = np.empty(0), f"cannot be decoded ({type(error).__name__})"
    if problem is None:
        return values
    file = shard_key(record, array, tile)
    if folder.read(file) is None:
        problem = "is missing"
    raise Damaged(f"{array}, tile {tile} of {record.name} is damaged: {folder.root / file} {problem}")


def shard_key(record: StageRecord, array: str, tile: int) -> str:
    """Key of the one file that a tile writes of an array."""
    block = {**record.tiling.block(tile), TILE: tile}
    return "/".join([array, "c", *(str(block.get(name, 0)) for name in record.dims(array))])


def _mask(data: xr.Dataset, record: StageRecord, missing: Sequence[int]) -> xr.Dataset:
    """Hide what unfinished tiles hold; adds ``finished`` over the tiled axes."""
    tiling = record.tiling
    grid = np.ones(tiling.count, bool)
    grid[list(missing)] = False
    blocks = xr.DataArray(grid.reshape(tiling.grid), dims=tuple(tiling.blocks))
    index = {n: xr.DataArray(np.arange(tiling.shape[n]) // b, dims=n) for n, b in tiling.blocks.items()}
    finished = blocks.isel(index)
    by_tile = xr.DataArray(grid, dims=TILE)
    tiled = {path.rpartition("/")[2]: path for path in record.arrays}

    def hide(name: str, variable: xr.DataArray) -> xr.DataArray:
        if name not in tiled:
            return variable
        absent = {n: 0 for n in tiling.blocks if n not in variable.dims}
        there = by_tile if TILE in variable.dims else finished.isel(absent, drop=True)
        return variable.where(there, fill_value(variable.dtype)).transpose(*variable.dims)

    masked = data.assign({name: hide(str(name), variable) for name, variable in data.data_vars.items()})
    return masked.assign(finished=finished.assign_attrs(long_name="whether the numbers are final"))
