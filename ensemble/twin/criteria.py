"""Criteria that are fixed before anything is fitted, and stay visible when they change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ensemble.config.twin import Criterion
from ensemble.provenance import digest_of
from ensemble.summary.skill import LEVELS
from ensemble.twin.journal import Entry, Journal

KIND = "criteria"


def register_criteria(journal: Journal, criteria: Mapping[str, Criterion], results: tuple[str, ...]) -> Entry | None:
    """Note criteria, unless the last note says the same.

    Args:
        journal: of the store.
        criteria: of the study; nothing is noted where it has none and never had.
        results: what exists in the store already (``statistics``, ``calibration``, ``twin``): criteria noted then were
            not fixed beforehand.

    Returns:
        The entry that holds now.
    """
    stated = {name: criterion.model_dump(mode="json", exclude_none=True) for name, criterion in criteria.items()}
    notes = journal.of_kind(KIND)
    if notes and notes[-1].data["digest"] == digest_of(stated):
        return notes[-1]
    if not stated and not notes:
        return None
    return journal.append(KIND, {"criteria": stated, "digest": digest_of(stated), "results": list(results)})


@dataclass(frozen=True)
class Verdict:
    """One criterion against what was found, in one group.

    Args:
        name, group: which.
        measure, limit: in words.
        value: what was found, nan where there is nothing to check it with.
        rows: measurements behind it.
        passed: whether it holds; never without rows.
    """

    name: str
    group: str
    measure: str
    limit: str
    value: float
    rows: int
    passed: bool


def judge(criteria: Mapping[str, Criterion], tables: Mapping[str, pd.DataFrame]) -> list[Verdict]:
    """Each criterion against the measurements it is about.

    Args:
        criteria: as they were fixed.
        tables: by what a criterion is `of`: rows with scenario, site, variable, value, mean, crps, and the predictive
            quantiles ``q05, q25, q75, q95``.
    """
    found = []
    for name, criterion in criteria.items():
        table = tables.get(criterion.of, pd.DataFrame())
        if len(table) and criterion.variable is not None:
            table = table.loc[(table["variable"] == criterion.variable).to_numpy()]
        if table.empty:
            found.append(_verdict(name, "nothing to check it with", criterion, float("nan"), 0))
            continue
        groups = table.groupby(list(criterion.by), sort=False) if criterion.by else [((), table)]
        for key, rows in groups:
            label = ", ".join(str(part) for part in (key if isinstance(key, tuple) else (key,))) or "all"
            found.append(_verdict(name, label, criterion, measure(criterion.measure, rows), len(rows)))
    return found


def measure(name: str, rows: pd.DataFrame) -> float:
    """Bias (forecast less measurement), RMSE, mean CRPS, or the share of rows inside a central band."""
    value = rows["value"].to_numpy(float)
    miss = rows["mean"].to_numpy(float) - value
    if name == "bias":
        return float(miss.mean())
    if name == "rmse":
        return float(np.sqrt((miss**2).mean()))
    if name == "crps":
        return float(rows["crps"].to_numpy(float).mean())
    level = LEVELS[0] if name == "coverage_50" else LEVELS[1]
    low, high = (rows[f"q{100 * p:02.0f}"].to_numpy(float) for p in (0.5 - level / 2, 0.5 + level / 2))
    return float(((value >= low) & (value <= high)).mean())


def _verdict(name: str, group: str, criterion: Criterion, value: float, rows: int) -> Verdict:
    size = abs(value) if criterion.measure == "bias" else value
    high, low = criterion.at_most, criterion.at_least
    passed = rows > 0 and (high is None or size <= high) and (low is None or size >= low)
    parts = [f"at most {high:g}" if high is not None else "", f"at least {low:g}" if low is not None else ""]
    about = f"{criterion.measure} of the {criterion.of}" + (f", {criterion.variable}" if criterion.variable else "")
    return Verdict(name, group, about, " and ".join(p for p in parts if p), value, rows, passed)


def history_lines(journal: Journal) -> list[str]:
    """When criteria were fixed and changed, one sentence a line."""
    lines = []
    for number, note in enumerate(journal.of_kind(KIND)):
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(note.written))
        what = "fixed" if number == 0 else "CHANGED"
        there = note.data["results"]
        after = f"after there were results ({', '.join(there)})" if there else "before there were results"
        lines.append(f"criteria {what} {when}, {after}; digest {note.data['digest'][:12]}")
    return lines


def binding(journal: Journal) -> tuple[dict[str, Criterion], Any] | None:
    """The criteria that hold, and their entry: the last that were noted before there were results, else the first."""
    notes = journal.of_kind(KIND)
    if not notes:
        return None
    before = [note for note in notes if not note.data["results"]]
    chosen = before[-1] if before else notes[0]
    return {name: Criterion.model_validate(c) for name, c in chosen.data["criteria"].items()}, chosen
