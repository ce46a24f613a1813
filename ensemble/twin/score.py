"""Forecasts against what was measured later: one step ahead exactly, and by lead time from the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ensemble.summary.skill import crps

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Lead times, years, in which archived forecasts are scored: up to each of these.
LEADS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, np.inf)
BINS = 10


def score_rows(ids: Sequence[str], rows: pd.DataFrame, measured: np.ndarray) -> list[dict[str, Any]]:
    """How predictive draws stand to values.

    Args:
        ids: of the rows.
        rows: with scenario, site, variable, time, value and error.
        measured: draws with every error of a measurement, (draws, rows).

    Returns:
        One plain record a row: its keys, ``mean``, quantiles ``q05`` ... ``q95``, ``crps``, ``rank``: the share of
        draws below the value, between 0 and 1, and ``outside``: whether it is among the outer tenth of them.
    """
    value = rows["value"].to_numpy(float)
    score, mean = crps(measured, value), measured.mean(axis=0)
    bands = np.quantile(measured, QUANTILES, axis=0)
    below, equal = (measured < value).sum(axis=0), (measured == value).sum(axis=0)
    count = len(measured) + 1.0
    rank = (below + 0.5 * equal + 0.5) / count
    # of draws and value each is as likely to be any in order: this happens with probability 0.1 or just below it
    outside = np.minimum(below + equal, len(measured) - below) + 1.0 <= 0.05 * count
    found = []
    for k, name in enumerate(ids):
        row = rows.iloc[k]
        record = {"id": name, **{key: str(row[key]) for key in ("scenario", "site", "variable")}}
        record |= {key: float(row[key]) for key in ("time", "value", "error")}
        record |= {"mean": float(mean[k]), "crps": float(score[k]), "rank": float(rank[k])}
        record["outside"] = bool(outside[k])
        record |= {f"q{100 * p:02.0f}": float(bands[q, k]) for q, p in enumerate(QUANTILES)}
        found.append(record)
    return found


def inside(rows: pd.DataFrame, level: int) -> np.ndarray:
    """Whether each value lies in the central band of 50 or 90 %, (rows,)."""
    low, high = {50: ("q25", "q75"), 90: ("q05", "q95")}[level]
    return ((rows["value"] >= rows[low]) & (rows["value"] <= rows[high])).to_numpy(bool)


def archived_at(arrays: Mapping[str, np.ndarray], row: Mapping[str, Any]) -> np.ndarray | None:
    """Predictive draws of an archived forecast for a measurement, linear between its dates draw by draw.

    Args:
        arrays: ``measured`` (draws, columns) with ``row_scenario``, ``row_site``, ``row_variable`` and ``row_time``.
        row: a measurement.

    Returns:
        (draws,), or ``None`` where the forecast does not reach it.
    """
    mine = np.ones(len(arrays["row_time"]), bool)
    for key in ("scenario", "site", "variable"):
        mine &= arrays[f"row_{key}"] == row[key]
    columns = np.flatnonzero(mine)
    if not len(columns):
        return None
    order = columns[np.argsort(arrays["row_time"][columns])]
    times, time = arrays["row_time"][order], row["time"]
    if not times[0] - 1.0 <= time <= times[-1] + 1e-9:
        return None
    k = int(np.clip(np.searchsorted(times, time), 1, len(times) - 1)) if len(times) > 1 else 0
    if k == 0:
        return arrays["measured"][:, order[0]].astype(float)
    part = np.clip((time - times[k - 1]) / (times[k] - times[k - 1]), 0.0, 1.0)
    low, high = (arrays["measured"][:, order[j]].astype(float) for j in (k - 1, k))
    return low + part * (high - low)


def by_lead(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of archived forecasts in classes of lead time.

    Args:
        scores: records of :func:`score_rows` with ``lead``, years.

    Returns:
        Columns lead (text), n, bias, rmse, crps, in_50, in_90.
    """
    found, low = [], 0.0
    for high in LEADS:
        part = scores.loc[((scores["lead"] > low) & (scores["lead"] <= high)).to_numpy()]
        if len(part):
            label = (
                f"up to {high:g} years"
                if low == 0
                else f"{low:g} to {high:g} years"
                if np.isfinite(high)
                else f"over {low:g} years"
            )
            found.append({"lead": label, **summary(part)})
        low = high
    return pd.DataFrame(found)


def summary(rows: pd.DataFrame) -> dict[str, float]:
    """Count, bias, RMSE, mean CRPS and shares inside the central bands."""
    miss = rows["mean"].to_numpy(float) - rows["value"].to_numpy(float)
    return {
        "n": len(rows),
        "bias": float(miss.mean()),
        "rmse": float(np.sqrt((miss**2).mean())),
        "crps": float(rows["crps"].to_numpy(float).mean()),
        "in_50": float(inside(rows, 50).mean()),
        "in_90": float(inside(rows, 90).mean()),
    }


def rank_histogram(rows: pd.DataFrame) -> np.ndarray:
    """How many values fell into each tenth of the predictive distribution, (10,)."""
    return np.histogram(rows["rank"], bins=BINS, range=(0.0, 1.0))[0]
