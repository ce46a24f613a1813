"""Hand-over formats: long tables (CSV) and NetCDF files with CF attributes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ensemble.errors import StoreRefused
from ensemble.store.files import partial_path, saying_why
from ensemble.store.read import Store

# Rows of the first axis are read in blocks of about this many numbers.
BLOCK_NUMBERS = 2_000_000


def export_csv(store: Store, folder: Path | str, groups: Sequence[str] | None = None) -> list[Path]:
    """Write groups as long tables: one row for each combination of coordinates, one column a variable.

    Variables with the same axes share a file. Comment lines that start with ``#`` give the source, and the
    unit and meaning of each column. Failed members have empty cells. Files appear when they are complete.

    Args:
        store: a store.
        folder: folder to write to; it is made.
        groups: paths of groups; ``None`` for every finished one.

    Returns:
        The files, one for each group and set of axes.

    Raises:
        StoreRefused: a group is not finished, or the folder cannot be written.
    """
    written = []
    for group in _groups(store, groups):
        data = store.dataset(group)
        for dims in sorted({v.dims for v in data.data_vars.values()}, key=str):
            names = [str(name) for name, v in data.data_vars.items() if v.dims == dims]
            path = Path(folder) / f"{_file_name(group, dims)}.csv"
            _write_whole(path, lambda file, data=data, names=names: _write_table(file, store, data[names]))
            written.append(path)
    return written


def export_netcdf(store: Store, folder: Path | str, groups: Sequence[str] | None = None) -> list[Path]:
    """Write groups as NetCDF-4 files (by h5netcdf), one a group, in the bytes and attributes of the store.

    Args:
        store, folder, groups: as in :func:`export_csv`.

    Returns:
        The files, one a group.

    Raises:
        StoreRefused: a group is not finished, h5netcdf is not installed, or the folder cannot be written.
    """
    try:
        import h5netcdf  # noqa: F401
    except ImportError:
        raise StoreRefused("NetCDF needs the package h5netcdf; install soc-ensemble[netcdf]") from None
    written = []
    for group in _groups(store, groups):
        data = store.dataset(group, chunks={})
        data = data.assign_attrs({**_plain(store.attrs), **_plain(data.attrs)})
        path = Path(folder) / f"{group.replace('/', '_')}.nc"
        _write_whole(path, lambda file, data=data: _write_netcdf(file, data))
        written.append(path)
    return written


def _groups(store: Store, groups: Sequence[str] | None) -> list[str]:
    if groups is not None:
        return list(groups)
    found = store.groups()
    return [group for group in found if len(store.dataset(group).data_vars)]


def _file_name(group: str, dims: tuple[Any, ...]) -> str:
    return "_by_".join([group.replace("/", "_"), "_".join(map(str, dims))]) if dims else group.replace("/", "_")


def _write_whole(path: Path, write: Any) -> None:
    """Write a file under another name and rename it when it is complete."""
    partial = partial_path(path)
    with saying_why(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that NetCDF can hold: nested data become JSON text."""
    return {
        k: v if isinstance(v, str | int | float) and not isinstance(v, bool) else json.dumps(v)
        for k, v in attrs.items()
    }


def _write_netcdf(file: Path, data: xr.Dataset) -> None:
    data = data.drop_encoding()
    attrs = {name: _plain(variable.attrs) for name, variable in data.variables.items()}
    for name, variable in data.variables.items():
        variable.attrs = attrs[name]
    encoding: dict[Any, dict[str, Any]] = {
        name: {"zlib": True, "complevel": 1, "shuffle": True, "_FillValue": np.nan if v.dtype.kind == "f" else None}
        for name, v in data.data_vars.items()
        if v.ndim and v.dtype.kind in "fiu"
    }
    encoding |= {name: {"_FillValue": None} for name, v in data.coords.items() if v.dtype.kind in "fiu"}
    data.to_netcdf(file, engine="h5netcdf", encoding=encoding)


def _write_table(file: Path, store: Store, data: xr.Dataset) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        for line in _comments(store, data):
            stream.write(f"# {line}\n")
        rows = csv.writer(stream)
        dims = [str(dim) for dim in next(iter(data.data_vars.values())).dims]
        rows.writerow([*dims, *map(str, data.data_vars)])
        for block in _blocks(data, dims):
            labels = [_labels(block, dim) for dim in dims]
            grids = np.meshgrid(*(np.arange(len(label)) for label in labels), indexing="ij")
            columns = [label[grid.ravel()] for label, grid in zip(labels, grids, strict=True)]
            columns += [_cells(block[name].values) for name in data.data_vars]
            rows.writerows(zip(*columns, strict=True))


def _comments(store: Store, data: xr.Dataset) -> Iterator[str]:
    for key in ("title", "source", "history", "license"):
        if store.attrs.get(key):
            yield f"{key}: {store.attrs[key]}"
    yield f"study_digest: {store.attrs['study_digest']}"
    for name in (*next(iter(data.data_vars.values())).dims, *data.data_vars):
        attrs = data[name].attrs if name in data.variables else {}
        text = f"{name}: {attrs.get('long_name', '')} [{attrs.get('units', '')}]"
        yield text.replace(" []", "").replace("\n", " ").rstrip(": ")


def _blocks(data: xr.Dataset, dims: Sequence[str]) -> Iterator[xr.Dataset]:
    if not dims:
        yield data
        return
    rows = data.sizes[dims[0]]
    per_row = max(1, sum(v.size for v in data.data_vars.values()) // max(rows, 1))
    step = max(1, BLOCK_NUMBERS // per_row)
    for start in range(0, rows, step):
        yield data.isel({dims[0]: slice(start, start + step)})


def _labels(block: xr.Dataset, dim: str) -> np.ndarray:
    values = block[dim].values
    if values.dtype.kind == "M":
        return np.datetime_as_string(values, unit="D").astype(object)
    return values.astype(object)


def _cells(values: np.ndarray) -> np.ndarray:
    """Shortest text that reads back as the same number; empty for NaN."""
    flat = values.ravel()
    if flat.dtype.kind != "f":
        return flat.astype(object)
    text = flat.astype(str).astype(object)
    text[np.isnan(flat)] = ""
    return text
