"""Snapshots of what was known and forecasts as they were made: files that are written once and named by their content."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble.errors import Damaged
from ensemble.provenance import checksum
from ensemble.store.files import write_file

_SHORT = 20


def save(folder: Path, kind: str, name: str, arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> str:
    """Write arrays and plain notes as one file, whole or not at all.

    Args:
        folder: of the twin.
        kind: ``snapshots`` or ``forecasts``.
        name: digest of what it holds the knowledge of.
        arrays, notes: what is kept.

    Returns:
        SHA-256 of the file's bytes, for the journal.
    """
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    np.savez_compressed(buffer, notes=text, **arrays)  # pyright: ignore[reportArgumentType]
    data = buffer.getvalue()
    write_file(path_of(folder, kind, name), data)
    return checksum(data)


def load(folder: Path, kind: str, name: str, expected: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        Damaged: the file is missing or not what was written.
    """
    path = path_of(folder, kind, name)
    try:
        data = path.read_bytes()
    except OSError:
        raise Damaged(f"{path} is missing") from None
    if checksum(data) != expected:
        raise Damaged(f"{path} is not what was written")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(arrays.pop("notes").tobytes())


def path_of(folder: Path, kind: str, name: str) -> Path:
    """Where a file lies."""
    return folder / kind / f"{name[:_SHORT]}.npz"


def table_arrays(table: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Columns of a table as arrays of numbers and text, which hold no objects."""
    arrays = {name: table[name].to_numpy() for name in columns}
    return {f"row_{name}": a.astype(str) if a.dtype == object else a for name, a in arrays.items()}
