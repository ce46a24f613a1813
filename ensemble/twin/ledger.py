"""Which measurements count: every row that arrived, once, after revisions and withdrawals.

Rules. A row is known by its ``id``; without one it is known by scenario, site, output, time and all its other texts
(method, laboratory, replicate, ...). A row that is known and the same is a duplicate and changes nothing. A row that is
known and differs must say ``revised`` in the column ``status``; one that is to be taken back says ``withdrawn``. Anything
else is refused, so that no number changes silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from ensemble.errors import InputError
from ensemble.inputs.tables import Table
from ensemble.provenance import digest_of
from ensemble.twin.journal import Entry

MEASURED, REVISED, WITHDRAWN = "measured", "revised", "withdrawn"
# Columns that say how a row arrived and not what it is.
_ASIDE = ("id", "status", "units")
_NUMBERS = ("time", "record", "value", "error")

Row = dict[str, Any]


@dataclass(frozen=True)
class Received:
    """What a table brought.

    Args:
        new, revised: rows by id.
        withdrawn, duplicates: ids.
    """

    new: dict[str, Row]
    revised: dict[str, Row]
    withdrawn: tuple[str, ...]
    duplicates: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.new or self.revised or self.withdrawn)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as it is kept."""
        return {
            "new": self.new,
            "revised": self.revised,
            "withdrawn": list(self.withdrawn),
            "duplicates": list(self.duplicates),
        }


def valid_rows(entries: Sequence[Entry]) -> dict[str, Row]:
    """Rows that count after entries of the kind ``received``, by id, in the order of their arrival."""
    found: dict[str, Row] = {}
    for entry in entries:
        found.update(entry.data["new"])
        found.update(entry.data["revised"])
        for name in entry.data["withdrawn"]:
            found.pop(name, None)
    return found


def status_of(table: Table) -> list[str]:
    """Status of every row.

    Raises:
        InputError: a status that is none.
    """
    cells = table.columns.get("status", [""] * len(table))
    found = [cell.lower() or MEASURED for cell in cells]
    for row, cell in enumerate(found):
        if cell not in (MEASURED, REVISED, WITHDRAWN):
            raise table.error(row, "status", f"'{cell}' is not allowed; allowed: {MEASURED}, {REVISED}, {WITHDRAWN}")
    return found


def receive(known: Mapping[str, Row], table: Table, rows: pd.DataFrame) -> Received:
    """Sort what a table brings by the rules.

    Args:
        known: rows that count already.
        table: as it was written.
        rows: its measurements, one for each row that is not withdrawn, in order.

    Raises:
        InputError: a row breaks a rule; file, line and what is allowed are named.
    """
    status = status_of(table)
    kept = [number for number, what in enumerate(status) if what != WITHDRAWN]
    contents = [_content(row) for row in rows.to_dict("records")]
    names = _names(table, kept, contents)
    new: dict[str, Row] = {}
    revised: dict[str, Row] = {}
    duplicates: list[str] = []
    for number, name, content in zip(kept, names, contents, strict=True):
        if name in new or name in revised:
            if content not in (new.get(name), revised.get(name)):
                raise table.error(number, "id", f"'{name}' appears twice with different contents")
            duplicates.append(name)
        elif known.get(name) == content:
            duplicates.append(name)
        elif status[number] == REVISED:
            if name not in known:
                raise table.error(
                    number, "status", f"there is no measurement '{name}' to revise; {_known(known, name)}"
                )
            revised[name] = content
        elif name in known:
            raise table.error(number, "value", _differs(name, known[name], content))
        else:
            new[name] = content
    return Received(new, revised, _withdrawn(known, table, status), tuple(duplicates))


def _withdrawn(known: Mapping[str, Row], table: Table, status: Sequence[str]) -> tuple[str, ...]:
    found = []
    for number in (n for n, what in enumerate(status) if what == WITHDRAWN):
        name = table.columns["id"][number] if "id" in table.columns else ""
        if not name:
            raise table.error(number, "id", "a row that is withdrawn needs the id of a measurement")
        if name in known:
            found.append(name)
        elif name not in found:
            raise table.error(number, "id", f"there is no measurement '{name}' to withdraw; {_known(known, name)}")
    return tuple(dict.fromkeys(found))


def _known(known: Mapping[str, Row], name: str) -> str:
    """The ids that are most like one that is not known."""
    alike = get_close_matches(name, known, n=3, cutoff=0.0)
    return f"most like it: {', '.join(alike)}" if alike else "none has been taken in"


def _names(table: Table, kept: Sequence[int], contents: Sequence[Row]) -> list[str]:
    """Id of every row: as written, or made of what it is; replicates in one table are counted."""
    given = table.columns.get("id", [""] * len(table))
    found, seen = [], {}
    for number, content in zip(kept, contents, strict=True):
        name = given[number]
        if not name:
            parts = [content[key] for key in ("scenario", "site", "variable")] + [f"{content['time']:.10g}"]
            parts += [
                f"{key}={content[key]}"
                for key in sorted(content)
                if key not in (*_NUMBERS, "scenario", "site", "variable")
            ]
            name = "/".join(str(part) for part in parts)
            seen[name] = seen.get(name, 0) + 1
            name = name if seen[name] == 1 else f"{name}#{seen[name]}"
        found.append(name)
    return found


def _content(row: Mapping[Any, Any]) -> Row:
    """What a row is, as plain data."""
    found: Row = {}
    for key, value in row.items():
        if key in _ASIDE:
            continue
        if isinstance(value, np.bool_ | bool):
            found[str(key)] = bool(value)
        elif isinstance(value, np.integer | int):
            found[str(key)] = int(value)
        elif isinstance(value, np.floating | float):
            found[str(key)] = float(value) if np.isfinite(value) else None
        else:
            found[str(key)] = str(value)
    return found


def _differs(name: str, old: Row, new: Row) -> str:
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    parts = [f"{key} {_shown(old.get(key))} -> {_shown(new.get(key))}" for key in changed]
    return (
        f"'{name}' was taken in before and differs ({', '.join(parts)}); "
        f"write {REVISED} in a column status, or give the row an id of its own"
    )


def table_of(rows: Mapping[str, Row]) -> pd.DataFrame:
    """Rows as a table with their ids, in the order of time, then of id: the order of arrival does not matter."""
    ordered = sorted(rows.items(), key=lambda item: (item[1]["time"], item[0]))
    columns = dict.fromkeys(column for _, row in ordered for column in row)
    return pd.DataFrame(
        [{"id": name} | {column: _or_blank(column, row.get(column)) for column in columns} for name, row in ordered]
    )


def _or_blank(column: str, value: Any) -> Any:
    """A value, or what stands for one that a row does not have."""
    if column in _NUMBERS:
        return np.nan if value is None else value
    return (False if column == "below_detection" else "") if value is None else value


def _shown(value: object) -> str:
    """As short as it was written: a derived error has more digits than anybody stated."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def cumulative_digests(line: str, table: pd.DataFrame) -> list[tuple[float, str]]:
    """Every date with a digest of the line and of all rows up to it: it names what is known after the date."""
    found, before = [], line
    for time, rows in table.groupby("time", sort=True):
        contents = [_content(row) | {"id": row["id"]} for row in rows.to_dict("records")]
        before = digest_of({"before": before, "rows": contents})
        found.append((float(time), before))  # type: ignore[arg-type]
    return found


__all__ = [
    "InputError", "Received", "Row", "cumulative_digests", "receive", "status_of", "table_of", "valid_rows",
]  # fmt: skip
