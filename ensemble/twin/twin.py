"""The history of a twin, read from its journal: lines, measurements, steps, scores, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble.twin.alarm import Watch, watch
from ensemble.twin.archive import load
from ensemble.twin.journal import Entry, Journal
from ensemble.twin.ledger import Row, valid_rows
from ensemble.twin.score import archived_at, score_rows


@dataclass(frozen=True)
class Twin:
    """A twin as its journal tells it.

    Args:
        folder: beside the store.
        entries: of the journal, in order.
    """

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def begins(self) -> list[Entry]:
        """Entries that began a line."""
        return [entry for entry in self.entries if entry.kind == "begin"]

    @property
    def rows(self) -> dict[str, Row]:
        """Measurements that count, by id."""
        return valid_rows([entry for entry in self.entries if entry.kind == "received"])

    def steps(self, line: int | None = None) -> list[Entry]:
        """Dates that a line took in, in the order of the journal (default: the last line)."""
        line = len(self.begins) if line is None else line
        return [entry for entry in self.entries if entry.kind == "step" and entry.data["line"] == line]

    def standing(self) -> list[Entry]:
        """Steps of the last line that what is known now rests on, in the order of their dates: a replay replaces others."""
        known = {round(float(row["time"]), 6) for row in self.rows.values()}
        last = {entry.data["date"]: entry for entry in self.steps()}
        return [entry for date, entry in sorted(last.items()) if round(date, 6) in known]

    def by_digest(self, line: int | None = None) -> dict[str, Entry]:
        """Steps of a line by the digest of what they know."""
        return {entry.data["digest"]: entry for entry in self.steps(line)}

    def step(self, number: int) -> Entry:
        """A step by its number in the journal.

        Raises:
            KeyError: the entry is none.
        """
        for entry in self.entries:
            if entry.number == number and entry.kind == "step":
                return entry
        raise KeyError(number)

    def snapshot(self, entry: Entry) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What was known after a step: ``scores``, ``log_weights``, ``state``; and notes.

        Raises:
            Damaged: the file is not what was written.
        """
        return load(self.folder, "snapshots", entry.data["digest"], entry.data["snapshot"])

    def forecast(self, entry: Entry) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The forecast that was archived after a step; as :meth:`snapshot`."""
        return load(self.folder, "forecasts", entry.data["digest"], entry.data["forecast"])

    def one_step(self, line: int | None = None) -> pd.DataFrame:
        """One-step scores of the measurements that count, each from when it first came, in the order of time."""
        rows, found = self.rows, {}
        for entry in self.steps(line):
            for record in entry.data["scores"]:
                row = rows.get(record["id"])
                if row is not None and row["value"] == record["value"]:
                    found.setdefault(record["id"], record)
        table = pd.DataFrame(list(found.values()))
        return table if table.empty else table.sort_values(["time", "id"], kind="stable").reset_index(drop=True)

    def archived(self, line: int | None = None) -> pd.DataFrame:
        """Scores of every archived forecast for every later measurement that counts, with ``lead`` in years."""
        rows = self.rows
        table = pd.DataFrame([{"id": name, **row} for name, row in rows.items()])
        found: list[dict[str, Any]] = []
        seen: set[float] = set()
        if table.empty:
            return table
        for entry in self.steps(line):
            made = float(entry.data["date"])
            if made in seen:  # made again after late data: the first forecast is the one that was made in time
                continue
            seen.add(made)
            arrays, _ = self.forecast(entry)
            draws, which = [], []
            for number in np.flatnonzero(table["time"].to_numpy(float) > made):
                drawn = archived_at(arrays, table.iloc[int(number)].to_dict())
                if drawn is not None:
                    draws.append(drawn)
                    which.append(int(number))
            if which:
                later = table.iloc[which]
                for record in score_rows(list(later["id"]), later, np.stack(draws, axis=1)):
                    found.append({**record, "made": made, "lead": record["time"] - made})
        return pd.DataFrame(found)

    def watches(self, false_alarms: float) -> list[Watch]:
        """The drift alarm of every series of the last line."""
        scores = self.one_step()
        return [] if scores.empty else watch(scores, false_alarms)


def open_twin(folder: Path) -> Twin:
    """Read a twin.

    Raises:
        Damaged, StoreRefused: see :class:`~ensemble.twin.journal.Journal`.
    """
    return Twin(folder, tuple(Journal(folder).entries))


def line_of(entry: Entry) -> Mapping[str, Any]:
    """What a line was begun with."""
    return entry.data
