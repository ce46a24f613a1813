"""Measurements in a NetCDF file, as the same table that a CSV file gives.

Variables along one axis (CF's discrete sampling geometry: one entry a measurement) and variables on a grid (site by
time) are both taken apart into rows; a cell whose ``value`` is missing is no measurement.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.errors import InputError
from ensemble.inputs.tables import Table

SUFFIXES = (".nc", ".nc4", ".h5")


def read_dataset_table(file: Path, blamed: InputError) -> Table:
    """Read a NetCDF file as a table of text, one row a measurement; lines count the entries from 1.

    Args:
        file: the file.
        blamed: error to raise where it does not exist.

    Raises:
        InputError: the file is missing, unreadable or empty, or has no entry with a value.
    """
    if not file.is_file():
        raise blamed
    try:
        with xr.open_dataset(file) as data:
            data = data.load()
    except (OSError, ValueError) as error:
        raise InputError(f"the file cannot be read as NetCDF: {str(error).splitlines()[0]}", file) from None
    frame = data.to_dataframe().reset_index() if data.sizes else data.to_pandas().to_frame().T
    held = [name for name in ("value", "concentration") if name in frame]
    if held:
        frame = frame[frame[held].notna().any(axis=1)]
    if frame.empty:
        raise InputError("the file holds no measurement", file)
    columns = {str(name): _text(pd.Series(frame[name])) for name in frame}
    units = {str(name): str(data[name].attrs["units"]) for name in data.variables if "units" in data[name].attrs}
    return Table(file, columns, np.asarray(frame.index, int) + 1, units)


def _text(column: pd.Series) -> list[str]:
    if pd.api.types.is_datetime64_any_dtype(column):
        return [str(date)[:10] for date in column.dt.strftime("%Y-%m-%d")]
    cells = [cell.decode() if isinstance(cell, bytes) else cell for cell in column]
    return ["" if pd.isna(cell) else f"{cell!s}" for cell in cells]
