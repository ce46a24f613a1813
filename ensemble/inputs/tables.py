"""CSV tables that remember the line of every row, so that a wrong number can be pointed at."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ensemble.errors import InputError

# Whole numbers up to here are exact in float64.
LARGEST_WHOLE = 2.0**53
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
            reader = csv.reader(stream)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except FileNotFoundError:
        raise blamed or InputError("the file does not exist", file) from None
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 text (byte {error.start})", file) from None
    except (OSError, csv.Error) as error:
        raise InputError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}", file) from None
    rows = [(line, row) for line, row in rows if any(row) and not row[0].startswith("#")]
    if len(rows) < 2:
        raise InputError("the table is empty: a header line and at least one row are needed", file)
    (header_line, header), body = rows[0], rows[1:]
    if len(header) == 1 and ";" in header[0]:
        raise InputError("columns are separated by ';'; allowed: ','", file, header_line)
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"the column '{twice}' appears twice", file, header_line)
    for line, row in body:
        if len(row) != len(header):
            raise InputError(f"the row has {len(row)} cells; the header has {len(header)}", file, line)
    columns = {name: [row[index] for _, row in body] for index, name in enumerate(header)}
    return Table(file, columns, np.array([line for line, _ in body]))
