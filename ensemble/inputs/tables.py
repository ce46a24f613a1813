"""CSV tables that remember the line of every row, so that a wrong number can be pointed at."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.errors import InputError

# Whole numbers up to here are exact in float64.
LARGEST_WHOLE = 2.0**53
# Cells of a column that are looked up to share memory.
SHARED_CELLS = 4096
MISSING = ("", "na", "nan", "null", "none", "-", ".")


@dataclass(frozen=True)
class Table:
    """A CSV file as text columns.

    Args:
        file: the file.
        columns: text of each column, one entry a row.
        lines: line number of each row, shape (rows,).
        units: unit of a column, where the file itself names it (NetCDF).
    """

    file: Path
    columns: Mapping[str, list[str]]
    lines: np.ndarray
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def error(self, row: int, column: str, message: str) -> InputError:
        """The error that names this cell's file, line and column."""
        return InputError(f"{column}: {message}", self.file, int(self.lines[row]))

    def require(self, names: Sequence[str]) -> None:
        """Refuse a table that lacks one of these columns."""
        for name in names:
            if name not in self.columns:
                raise InputError(f"the column '{name}' is missing; found: {', '.join(self.columns)}", self.file, 1)

    def rows(self, chosen: np.ndarray) -> Table:
        """The table of some rows alone, by their numbers."""
        columns = {name: [cells[row] for row in chosen] for name, cells in self.columns.items()}
        return replace(self, columns=columns, lines=self.lines[chosen])

    def text(self, name: str) -> list[str]:
        """A column as text.

        Raises:
            InputError: the column is missing.
        """
        self.require([name])
        return self.columns[name]

    def numbers(self, name: str, blank: float | None = None) -> np.ndarray:
        """A column as float64, shape (rows,).

        Args:
            name: column.
            blank: value of an empty cell; ``None`` refuses it.

        Raises:
            InputError: the column is missing, or a cell is not a finite number.
        """
        return self._parse(name, float, "a number", blank)

    def integers(self, name: str) -> np.ndarray:
        """A column of whole numbers as int64, shape (rows,)."""
        return self._parse(name, _whole, "a whole number", None).astype(np.int64)

    def _parse(self, name: str, kind: Callable[[str], float], wanted: str, blank: float | None) -> np.ndarray:
        values = np.empty(len(self))
        for row, cell in enumerate(self.text(name)):
            if cell.lower() in MISSING:
                if blank is None:
                    raise self.error(row, name, f"the cell is empty; {wanted} is needed")
                values[row] = blank
                continue
            try:
                values[row] = kind(cell)
            except ValueError:
                raise self.error(row, name, f"'{cell}' is not {wanted}") from None
            if not np.isfinite(values[row]):
                raise self.error(row, name, f"'{cell}' is not a finite number")
        return values


def _whole(cell: str) -> float:
    value = float(cell)
    if not value.is_integer() or abs(value) > LARGEST_WHOLE:
        raise ValueError
    return value


def read_table(file: Path, blamed: InputError | None = None) -> Table:
    """Read a CSV table with a header; lines that begin with ``#`` are comments.

    Args:
        file: the file.
        blamed: error to raise instead where the file does not exist (it names the key of the study).

    Raises:
        InputError: the file is missing, unreadable, empty, or a row has another number of cells.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            return _read_rows(file, csv.reader(stream))
    except FileNotFoundError:
        raise blamed or InputError("the file does not exist", file) from None
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 text (byte {error.start})", file) from None
    except (OSError, csv.Error) as error:
        raise InputError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}", file) from None


def _read_rows(file: Path, reader: Any) -> Table:
    """The table of a CSV reader, row by row, so that a long one is held once; equal cells of a column share memory."""
    header: list[str] = []
    columns: list[list[str]] = []
    known: list[dict[str, str]] = []
    lines: list[int] = []
    for cells in reader:
        row, line = [cell.strip() for cell in cells], reader.line_num
        if not any(row) or row[0].startswith("#"):
            continue
        if not header:
            header, columns, known = row, [[] for _ in row], [{} for _ in row]
            _check_header(file, header, line)
            continue
        if len(row) != len(header):
            raise InputError(f"the row has {len(row)} cells; the header has {len(header)}", file, line)
        lines.append(line)
        for cell, column, seen in zip(row, columns, known, strict=True):
            if len(seen) < SHARED_CELLS:
                seen.setdefault(cell, cell)
            one: str = seen[cell] if cell in seen else cell  # noqa: SIM401 - `get` is typed as optional
            column.append(one)
    if not lines:
        raise InputError("the table is empty: a header line and at least one row are needed", file)
    return Table(file, dict(zip(header, columns, strict=True)), np.array(lines))


def _check_header(file: Path, header: list[str], line: int) -> None:
    if len(header) == 1 and ";" in header[0]:
        raise InputError("columns are separated by ';'; allowed: ','", file, line)
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"the column '{twice}' appears twice", file, line)
