"""Rows of a forecast: every measured pair, and every arm that branches off it, at the end of each year ahead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ensemble.plan import Plan


def grid_rows(plan: Plan, rows: pd.DataFrame, continues: Mapping[str, str], horizon: float) -> pd.DataFrame:
    """Rows to be forecast, as measurements that have not been made.

    Each is like the last measurement of its pair and output: the same method and laboratory, and an error of that size.

    Args:
        plan: the study.
        rows: measurements.
        continues: scenario that branches off: measured scenario.
        horizon: years after the last measurement.

    Returns:
        The columns of ``rows``, and ``like``: the number of the row that each is like.
    """
    calendar = plan.base.calendar
    assert calendar is not None
    ends = calendar.record_years(plan.steps_per_record)
    times = rows["time"].to_numpy(float)
    first, last = times.min(), times.max() + horizon
    whole = np.unique(
        [int(np.argmin(np.abs(ends - year))) for year in np.arange(np.ceil(ends[0]), np.floor(ends[-1]) + 1)]
    )
    records = np.array([r for r in whole if first - 1.0 <= ends[r] <= last + 0.5], int)
    parts = []
    latest = rows.assign(like=np.arange(len(rows))).sort_values("time", kind="stable")
    for _, row in latest.groupby(["scenario", "site", "variable"], sort=False).tail(1).iterrows():
        arms = [row["scenario"], *(arm for arm, origin in continues.items() if origin == row["scenario"])]
        for arm in arms:
            part = pd.DataFrame([row] * len(records)).reset_index(drop=True)
            parts.append(part.assign(scenario=arm, time=ends[records], record=records))
    return pd.concat(parts, ignore_index=True)


def origin_of_rows(rows: pd.DataFrame, continues: Mapping[str, str]) -> np.ndarray:
    """Number of the row that each row of a branching arm continues, itself for all others, (rows,)."""
    keys = ["scenario", "site", "variable", "time"]
    place = {tuple(key): number for number, key in enumerate(rows[keys].itertuples(index=False, name=None))}
    found = np.arange(len(rows))
    for number, key in enumerate(rows[keys].itertuples(index=False, name=None)):
        if key[0] in continues:
            found[number] = place[(continues[key[0]], *key[1:])]
    return found
