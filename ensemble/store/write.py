"""Write a store: create or resume it, fill its tiles, add its reduced groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr

from ensemble.errors import StoreRefused
from ensemble.provenance import Platform, Provenance, checksum, describe_differences, numbers_that_matter
from ensemble.store.create import (
    ROOT_KEYS,
    append_dataset,
    array_paths,
    clear_group,
    create_stage,
    create_store,
    make_group,
    own_keys,
    rebuild_record,
    refuse_path,
    variable_digest,
    write_dataset,
)
from ensemble.store.files import LocalFolder
from ensemble.store.integrity import repair_metadata
from ensemble.store.ledger import (
    BrokenRecord,
    Entries,
    Entry,
    GroupRecord,
    array_digest,
    now,
    read_record,
    record_key,
    write_record,
)
from ensemble.store.lock import WriterLock
from ensemble.store.place import Place, folder_at, place
from ensemble.store.read import Store
from ensemble.store.template import Stage


class StoreWriter(Store):
    """A store that is written; see :func:`open_writer` and :func:`open_worker`."""

    def write_tile(self, stage: str, tile: int, arrays: Mapping[str, Any]) -> bool:
        """Write one tile and enter it in the ledger; safe to repeat, and in any order and process.

        Args:
            stage, tile: which.
            arrays: by path, the numbers of each array that the tile owns, in the shape of its region; arrays
                that another tile owns are ignored. NaN is stored in its one standard form.

        Returns:
            Whether it was written; ``False`` if it was finished already with the same bytes.

        Raises:
            ValueError: an array is missing, unknown, or of another shape or type.
            StoreRefused: the tile was finished with other bytes, or a file cannot be written.
            StoreFull: the disk is full.
        """
        record = self.stage(stage)
        owned = record.owned(tile)
        values = {path: self._region_values(stage, tile, path, arrays) for path in owned}
        unknown = [path for path in arrays if path not in record.arrays]
        if unknown:
            raise ValueError(f"stage {stage} has no array {unknown[0]}; it has {', '.join(record.arrays)}")
        entries = Entries(self.folder, record)
        digests = {path: array_digest(path, values[path]) for path in owned}
        if self._is_written(entries, tile, digests):
            return False
        for path in owned:
            with self.folder.explained(path, values[path].nbytes):
                record.open(self.folder, path, write=True)[record.selection(path, tile)] = values[path]
        flags = record.layout["flags"]
        failed = int(np.count_nonzero(values[flags])) if flags in values else 0
        entries.put(tile, Entry(record.tiling.pairs(tile), failed, now(), digests))
        return True

    def _is_written(self, entries: Entries, tile: int, digests: Mapping[str, bytes]) -> bool:
        try:
            entry = entries.get(tile)
        except ValueError:  # a damaged entry is replaced
            return False
        if entry is None:
            return False
        if entry.digests != dict(digests):
            changed = next(path for path in digests if entry.digests.get(path) != digests[path])
            raise StoreRefused(
                f"{changed} of tile {tile} was finished in {self.path} with other numbers; "
                "two runs of one study on one platform never differ, so something besides the study has changed"
            )
        return True

    def _region_values(self, stage: str, tile: int, path: str, arrays: Mapping[str, Any]) -> np.ndarray:
        record = self.stage(stage)
        if path not in arrays:
            raise ValueError(f"tile {tile} of stage {stage} lacks array {path}")
        values, layout = np.asarray(arrays[path]), record.layout["arrays"][path]
        ranges = (r.indices(n) for r, n in zip(record.selection(path, tile), layout["shape"], strict=True))
        shape = tuple(stop - start for start, stop, _ in ranges)
        if values.shape != shape or values.dtype != np.dtype(layout["dtype"]):
            raise ValueError(
                f"{path} of tile {tile} is {values.dtype}{values.shape}; a whole tile is {layout['dtype']}{shape}"
            )
        if values.dtype.kind == "f" and (nan := np.isnan(values)).any():
            values = np.where(nan, values.dtype.type(np.nan), values)
        return np.ascontiguousarray(values)

    def write_group(
        self,
        name: str,
        data: xr.Dataset | Iterable[xr.Dataset],
        attrs: Mapping[str, Any] | None = None,
        along: str | None = None,
    ) -> None:
        """Write or replace a reduced group; a kill on the way leaves it unfinished, never half of it.

        Args:
            name: path of the group, ``"statistics"``; groups below it stay.
            data: its variables, lazy or not; or blocks of them, each written before the next is asked for.
            attrs: its attributes, besides those of ``data``.
            along: the dimension that blocks follow each other along; what lacks it is that of the first block.

        Raises:
            StoreRefused: a stage fills this group, or it cannot be written.
            ValueError: the name has a dot.
        """
        if "." in name:
            raise ValueError(f"group {name} has a dot in its name")
        for stage in self.stages:
            if name in self.stage(stage).groups:
                raise StoreRefused(f"group {name} of {self.path} is filled by stage {stage}")
        self.drop_group(name)
        make_group(self.folder, name, {})
        blocks = iter([data] if isinstance(data, xr.Dataset) else data)
        write_dataset(self.folder, name, next(blocks).assign_attrs(attrs or {}))
        for block in blocks:
            append_dataset(self.folder, name, block, str(along))
        digests = [variable_digest(self.folder, path) for path in array_paths(self.folder, name)]
        keys = own_keys(self.folder, name)
        checksums = {key: checksum(self.folder.read(key)) for key in keys}
        digest = array_digest(name, np.frombuffer(b"".join(sorted(digests)), np.uint8)).hex()
        write_record(self.folder, GroupRecord(name, checksums, digest, now()))

    def drop_group(self, name: str) -> None:
        """Remove a reduced group, or what a kill left of one; its entry in the ledger goes first."""
        self.folder.remove(f"{record_key(name)}/zarr.json")
        self.folder.remove(record_key(name))
        clear_group(self.folder, name)

    def add_stage(self, stage: Stage, main: bool = False) -> None:
        """Make a stage unless it is there; a half-made one, or one whose record is lost, is made again.

        Args:
            stage: what it holds.
            main: whether its record keeps the metadata of the whole store.

        Raises:
            StoreRefused: the store has a stage of this name with other tiles or arrays.
        """
        also = ROOT_KEYS if main else ()
        try:
            record = read_record(self.folder, stage.name)
        except BrokenRecord:
            rebuild_record(self.folder, stage, also)
        else:
            if record is None:
                create_stage(self.folder, stage, also)
        found, asked = dict(self.stage(stage.name).layout), stage.describe()
        if found != asked:
            changed = describe_differences(found, asked)
            raise StoreRefused(
                f"stage {stage.name} of {self.path} has another layout ({changed}); choose another store"
            )

    def lengthen_stage(self, stage: Stage, attrs: Mapping[str, Any]) -> None:
        """Make the main stage longer along its first tiled axis; the tiles that are there stay as they are.

        The new record comes first and its metadata follow from it, so a kill on the way leaves the old length or
        one that the next :func:`open_writer` completes.

        Args:
            stage: the same stage with more blocks of its first axis.
            attrs: root attributes that the length changes.

        Raises:
            StoreRefused: it differs in more than that, or the old length is not whole blocks.
        """
        old, axis = self.stage(stage.name), next(iter(stage.tiling.blocks))
        have, want = old.tiling.shape[axis], stage.tiling.shape[axis]
        same = old.tiling.blocks == dict(stage.tiling.blocks) and list(old.arrays) == sorted(
            a.path for a in stage.arrays
        )
        if not same or have % stage.tiling.blocks[axis] or want < have:
            raise StoreRefused(f"stage {stage.name} of {self.path} cannot grow from {have} to {want} along {axis}")
        root = {**self.attrs, **attrs, "tiling": stage.tiling.as_dict()}
        with TemporaryDirectory() as scratch:
            folder = LocalFolder(Path(scratch))
            make_group(folder, "", root)
            make_group(folder, "ledger", json.loads(old.files["ledger/zarr.json"])["attributes"])
            record = create_stage(folder, stage, ROOT_KEYS)
        write_record(self.folder, record)
        repair_metadata(self.folder)
        self._known.pop(stage.name)
        self.attrs = root


@contextmanager
def open_writer(
    path: Place | str, provenance: Provenance, stages: Sequence[Stage], attrs: Mapping[str, Any] | None = None
) -> Iterator[StoreWriter]:
    """Create a store, or open it to go on, as its only writer.

    Damaged metadata are put back from the ledger and leftovers of a killed run are swept.

    Args:
        path: its folder.
        provenance: study, input files, seed and platform; an existing store must have the same.
        stages: what it holds; the first is the main one. Stages that an existing store lacks are added.
        attrs: other root attributes (``title, source, history, license, Conventions``).

    Raises:
        StoreRefused: see the message: not a store, another study, platform or format, another writer.
        StoreFull: the disk is full.
        Damaged: metadata are damaged beyond repair.
    """
    path = place(path)
    _refuse(path, provenance)
    with WriterLock(path):
        if _refuse(path, provenance):
            folder_at(path).sweep()
            repair_metadata(folder_at(path))
        else:
            create_store(path, provenance, stages, attrs or {})
        store = StoreWriter(path)
        for index, stage in enumerate(stages):
            store.add_stage(stage, main=index == 0)
        del stages, stage  # the coordinates of very many sites are not held while tiles are written
        yield store


def _refuse(path: Place, provenance: Provenance) -> bool:
    """Refuse what cannot be written by this study, before anything is; returns whether there is a store."""
    refuse_path(path)
    if folder_at(path).is_empty():
        return False
    store = Store(path)
    refuse_other_study(store, provenance)
    refuse_other_platform(store, provenance.platform)
    return True


def open_worker(path: Place | str, platform: Platform) -> StoreWriter:
    """Open an existing store to write tiles beside other workers; it takes no lock.

    Raises:
        StoreRefused: there is no store, or its platform is another.
    """
    store = StoreWriter(path)
    refuse_other_platform(store, platform)
    return store


def open_shared(
    path: Place | str, provenance: Provenance, stages: Callable[[], Sequence[Stage]], attrs: Mapping[str, Any]
) -> StoreWriter:
    """Open a store to write tiles beside other workers, or make it; it takes no lock.

    A store gets its name in one step, so of several workers that make it at once one succeeds and the others
    find it.

    Args:
        path: its folder.
        provenance: as in :func:`open_writer`.
        stages: gives what it holds; asked for only where the store has to be made.
        attrs: as in :func:`open_writer`.

    Raises:
        StoreRefused, StoreFull, Damaged: as :func:`open_writer`.
    """
    path = place(path)
    if not _refuse(path, provenance):
        described = stages()
        try:
            create_store(path, provenance, described, attrs)
        except (OSError, StoreRefused):  # another worker was first
            if "ledger" not in folder_at(path).children():
                raise
    _refuse(path, provenance)
    return StoreWriter(path)


def refuse_other_study(store: Store, provenance: Provenance) -> None:
    """Refuse a store that another study, other input files or another seed made, naming what differs.

    Raises:
        StoreRefused: they differ.
    """
    if store.attrs["study_digest"] == provenance.digest:
        return
    found = {"study": numbers_that_matter(store.attrs["study"]), "inputs": store.attrs["inputs"]}
    asked = {"study": numbers_that_matter(provenance.study), "inputs": dict(provenance.inputs)}
    changed = describe_differences(found["study"], asked["study"])
    changed = changed or describe_differences(found, asked) or f"seed: {store.attrs['seed']} -> {provenance.seed}"
    raise StoreRefused(f"{store.path} was made by another study ({changed}); choose another store or remove it")


def refuse_other_platform(store: Store, platform: Platform) -> None:
    """Refuse to write where the last bits would differ from those that are there, naming what differs.

    Raises:
        StoreRefused: they would.
    """
    if store.attrs["platform"] != platform.as_dict():
        changed = describe_differences(store.attrs["platform"], platform.as_dict())
        raise StoreRefused(
            f"{store.path} was begun on another platform ({changed}), where the last bits of the numbers differ; "
            "go on there, or choose another store"
        )
