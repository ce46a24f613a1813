"""Criteria: fixed before anything is fitted, and checked by `ensemble assess` against exactly those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.errors import InputError, StoreRefused
from ensemble.pipeline.comparison import OBSERVATIONS
from ensemble.plan import Plan
from ensemble.store import Store, open_store
from ensemble.store.place import Place, is_there
from ensemble.twin.criteria import Verdict, binding, history_lines, judge, register_criteria
from ensemble.twin.journal import Journal, journal_folder
from ensemble.twin.twin import open_twin

STATISTICS, CHECKS = "statistics", "calibration_checks"


def fix_criteria(plan: Plan, where: Place) -> None:
    """Note the criteria of a study beside its store; to be called before anything is computed or fitted.

    Raises:
        Damaged: the journal is not what was written.
    """
    journal = Journal(journal_folder(where))
    register_criteria(journal, plan.study.record.criteria, results_at(where, journal))


def results_at(where: Place, journal: Journal) -> tuple[str, ...]:
    """Results that exist already: criteria that are written now were not fixed before them."""
    store = open_store(where) if is_there(where) else None
    found = [name for name in (STATISTICS, CHECKS) if store is not None and store.has_group(name)]
    return (*found, *(["twin"] if journal.of_kind("step") else []))


@dataclass(frozen=True)
class Assessment:
    """What was found.

    Args:
        passed: whether every criterion holds.
        lines: one sentence a line.
    """

    passed: bool
    lines: tuple[str, ...]


def assess_store(path: Place) -> Assessment:
    """Check what a store and its twin found against the criteria that were fixed for them.

    Raises:
        InputError: no criteria were fixed.
        StoreRefused: there is neither a store nor a twin.
    """
    journal = Journal(journal_folder(path))
    found = binding(journal)
    if found is None:
        if not is_there(path):
            raise StoreRefused(f"there is neither a store nor a twin at {path}")
        raise InputError(f"no criteria were fixed for {path}; write `criteria` in its study before it is run or fitted")
    criteria, entry = found
    verdicts = judge(criteria, _tables(path))
    history = history_lines(journal)
    fixed_first = not entry.data["results"]
    lines = [_line(verdict) for verdict in verdicts]
    passed = all(v.passed for v in verdicts) and fixed_first and bool(verdicts)
    failed = sum(not v.passed for v in verdicts)
    lines.append(
        f"{len(verdicts) - failed} of {len(verdicts)} hold, by the criteria of digest {entry.data['digest'][:12]}"
    )
    if not fixed_first:
        lines.append(
            "the criteria were written when there were results already: they were not fixed beforehand, so nothing passes"
        )
    return Assessment(passed, (*lines, *history))


def _line(verdict: Verdict) -> str:
    mark = "pass" if verdict.passed else "FAIL"
    value = "nothing to check it with" if not verdict.rows else f"{verdict.value:.4g} from {verdict.rows} measurements"
    return f"{mark}  {verdict.name} ({verdict.group}): {verdict.measure} {verdict.limit}; found {value}"


def _tables(path: Place) -> dict[str, pd.DataFrame]:
    """Measurements with their forecasts, by what a criterion is of."""
    tables: dict[str, pd.DataFrame] = {}
    if is_there(path):
        store = open_store(path)
        if store.has_group(OBSERVATIONS):
            tables["run"] = run_rows(store)
        if store.has_group(CHECKS):
            tables["calibration"] = calibration_rows(store)
    twin = open_twin(journal_folder(path))
    if twin.begins:
        tables["twin"] = twin.one_step()
    return tables


def run_rows(store: Store) -> pd.DataFrame:
    """Measurements of a run with predictive quantiles ``q05, q25, q75, q95``; differences between arms are left out."""
    table = store.dataset(OBSERVATIONS).to_dataframe().reset_index(drop=True)
    table = table.loc[(table["reference"].astype(str) == "").to_numpy()].reset_index(drop=True)
    names = {
        "predictive_low_90": "q05",
        "predictive_low_50": "q25",
        "predictive_high_50": "q75",
        "predictive_high_90": "q95",
    }
    return table.rename(columns=names)


def calibration_rows(store: Store) -> pd.DataFrame:
    """Held-out measurements of a calibration, forecast by its posterior: the median, quantiles and CRPS."""
    data = store.dataset(CHECKS).load()
    held = held_out_values(data)
    bands = dict(zip(data["quantile"].values.tolist(), data["predictive_quantile"].values, strict=True))
    columns = {name: data[name].values[held].astype(str) for name in ("scenario", "site", "variable")}
    columns |= {name: data[name].values[held].astype(float) for name in ("value", "crps")}
    columns |= {f"q{100 * p:02.0f}": bands[p][held] for p in (0.05, 0.25, 0.75, 0.95)}
    return pd.DataFrame({**columns, "mean": bands[0.5][held]})


def held_out_values(checks: xr.Dataset) -> np.ndarray:
    """Numbers of the held-out rows of a calibration that hold a value, not a limit of detection."""
    return np.flatnonzero((checks["held_out"].values > 0) & (checks["below_detection"].values == 0))


__all__ = [
    "CHECKS",
    "OBSERVATIONS",
    "STATISTICS",
    "Assessment",
    "assess_store",
    "fix_criteria",
    "held_out_values",
    "results_at",
    "run_rows",
]
