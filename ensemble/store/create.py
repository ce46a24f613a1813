"""Make the nodes of a store: groups, coordinates, empty arrays, and the record that makes them count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from ensemble.errors import StoreRefused
from ensemble.provenance import Provenance
from ensemble.store.files import LocalFolder
from ensemble.store.ledger import (
    BARE_GROUP,
    Entries,
    StageRecord,
    array_digest,
    now,
    record_key,
    recorded_groups,
    write_record,
)
from ensemble.store.place import Folder, Place, folder_at
from ensemble.store.template import ArrayTemplate, Stage, Tiling, fill_value

# Version of the layout of a store; another one is refused by name.
STORE_FORMAT = 1
ZSTD_LEVEL = 1
# Metadata files of the whole store; the record of its first stage keeps them.
ROOT_KEYS = ("zarr.json", "ledger/zarr.json")


def create_store(path: Place, provenance: Provenance, stages: Sequence[Stage], attrs: Mapping[str, Any]) -> None:
    """Make a store under another name and then give it its own, so that a kill leaves no half of one.

    Raises:
        StoreFull, StoreRefused: the folder cannot be written.
        ValueError: a stage contradicts itself.
    """
    with folder_at(path).drafted(f"{record_key(stages[0].name)}/zarr.json") as folder:
        root = {**attrs, **provenance.as_attributes(), "format": STORE_FORMAT, "tiling": stages[0].tiling.as_dict()}
        make_group(folder, "", root)
        make_group(folder, "ledger", {"long_name": "finished tiles of each stage, with the digest of their bytes"})
        for index, stage in enumerate(stages):
            create_stage(folder, stage, () if index else ROOT_KEYS)


def create_stage(folder: Folder, stage: Stage, also: Sequence[str] = ()) -> StageRecord:
    """Make the groups, coordinates and empty arrays of a stage, then its record, which makes them count.

    What a killed attempt left is removed first.

    Args:
        folder: files of the store.
        stage: what to make.
        also: keys of other metadata files that the stage's record keeps.
    """
    stage.check()
    layout = stage.describe()
    checksums = []
    for group in stage.groups:
        clear_group(folder, group)
        make_group(folder, group, stage.attrs.get(group, {}))
        if group in stage.coordinates:
            write_dataset(folder, group, stage.coordinates[group])
            checksums += [variable_digest(folder, path) for path in array_paths(folder, group)]
    for array in stage.arrays:
        create_array(folder, array, stage.tiling)
    folder.remove(record_folder := f"ledger/{stage.name.replace('/', '.')}")
    Entries.create(folder, stage.name, layout, stage.tiling.count)
    keys = [
        *also,
        f"{record_folder}/entries/zarr.json",
        *(k for group in stage.groups for k in own_keys(folder, group)),
    ]
    files = {key: folder.read(key) or b"" for key in keys}
    digest = array_digest("coordinates", np.frombuffer(b"".join(sorted(checksums)), np.uint8)).hex()
    record = StageRecord(stage.name, layout, files, digest, now())
    write_record(folder, record)
    return record


def rebuild_record(folder: Folder, stage: Stage, also: Sequence[str] = ()) -> None:
    """Make a stage's metadata and record again where all copies of the record are damaged; keeps its tiles.

    Args:
        folder, stage, also: as in :func:`create_stage`.
    """
    with TemporaryDirectory() as scratch:
        record = create_stage(LocalFolder(Path(scratch)), stage)
    for key, data in record.files.items():
        if folder.read(key) != data:
            folder.write(key, data)
    kept = {key: folder.read(key) or b"" for key in also}
    write_record(folder, replace(record, files={**record.files, **kept}))


def make_group(folder: Folder, group: str, attrs: Mapping[str, Any]) -> None:
    """Make a group with attributes, and the plain groups above it that are missing."""
    parts = group.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        key = "/".join(parts[:depth]) + "/zarr.json"
        if folder.read(key) is None:
            folder.write(key, BARE_GROUP)
    if attrs or folder.read(f"{group}/zarr.json") is None:
        zarr.create_group(folder.zarr(write=True), path=group, attributes=dict(attrs), overwrite=False)


def clear_group(folder: Folder, group: str) -> None:
    """Remove a group's own attributes and arrays, damaged ones too; the groups below it stay."""
    below = {part for name in recorded_groups(folder) if (part := _child_of(group, name))}
    for child in folder.children(group):
        if child not in below and not _says(folder, f"{group}/{child}", b'"node_type":"group"'):
            folder.remove(f"{group}/{child}")
    folder.remove(f"{group}/zarr.json")


def _child_of(group: str, path: str) -> str:
    """The name directly below ``group`` on the way to ``path``; empty if the path leads elsewhere."""
    return path[len(group) + 1 :].partition("/")[0] if path.startswith(f"{group}/") else ""


def _says(folder: Folder, path: str, what: bytes) -> bool:
    return what in (folder.read(f"{path}/zarr.json") or b"").translate(None, b" \n")


def array_paths(folder: Folder, group: str) -> list[str]:
    """Paths of a group's own arrays, sorted."""
    children = (f"{group}/{child}" for child in folder.children(group))
    return [path for path in children if _says(folder, path, b'"node_type":"array"')]


def own_keys(folder: Folder, group: str) -> list[str]:
    """Keys of a group's own files: its attributes, and the metadata and chunks of its arrays."""
    return [f"{group}/zarr.json", *(key for path in array_paths(folder, group) for key in folder.keys(path))]


def write_dataset(folder: Folder, group: str, data: xr.Dataset) -> None:
    """Write variables into a group by xarray's CF encoding.

    Text is written as variable-length strings, which have a stable Zarr type.
    """
    data = _storable(data)
    encoding: dict[Any, dict[str, Any]] = {
        n: {"_FillValue": None} for n, v in data.variables.items() if v.dtype.kind in "fiu"
    }
    for name, variable in data.data_vars.items():
        if variable.dtype.kind == "f":
            encoding[name]["fill_value"] = fill_value(variable.dtype)
    _to_zarr(folder, group, data, mode="a", encoding=encoding)


def append_dataset(folder: Folder, group: str, data: xr.Dataset, along: str) -> None:
    """Write more of the variables of a group, behind what is there along a dimension."""
    data = _storable(data)
    data = data.drop_vars([name for name, variable in data.variables.items() if along not in variable.dims])
    _to_zarr(folder, group, data, append_dim=along)


def _storable(data: xr.Dataset) -> xr.Dataset:
    data = data.drop_encoding()
    texts = {name: v.astype(object) for name, v in data.variables.items() if v.dtype.kind == "U"}
    data = data.assign_coords({n: v for n, v in texts.items() if n in data.coords})
    return data.assign({n: v for n, v in texts.items() if n not in data.coords})


def _to_zarr(folder: Folder, group: str, data: xr.Dataset, **how: Any) -> None:
    store: Any = folder.zarr(write=True)  # xarray takes any Zarr store
    with folder.explained():
        data.to_zarr(store, group=group, consolidated=False, zarr_format=3, **how)


def variable_digest(folder: Folder, path: str) -> bytes:
    """Digest of an array as it is stored."""
    return array_digest(path, zarr.open_array(folder.zarr(), path=path, mode="r"))


def create_array(folder: Folder, array: ArrayTemplate, tiling: Tiling) -> None:
    """Make an empty array of whole shards, one a tile."""
    zarr.create_array(
        folder.zarr(write=True),
        name=array.path,
        shape=array.shape,
        shards=array.shards(tiling),
        chunks=array.inner_chunks(tiling),
        dtype=array.dtype,
        fill_value=fill_value(array.dtype),
        # the checksum makes every changed byte show, also one that the decompressor would overlook
        compressors=[BloscCodec(cname="zstd", clevel=ZSTD_LEVEL, shuffle="bitshuffle"), Crc32cCodec()],
        dimension_names=array.dims,
        attributes=dict(array.attrs),
    )


def refuse_path(path: Place) -> None:
    """Refuse a path where no store can be made.

    Raises:
        StoreRefused: it is a file, or a folder with something else in it.
    """
    folder = folder_at(path)
    if folder.is_file():
        raise StoreRefused(f"{path} is a file, not a store; choose another name")
    if not folder.is_empty() and "ledger" not in folder.children() and folder.read("zarr.json") is None:
        raise StoreRefused(f"{path} is a folder with other things in it, not a store; choose another name")
