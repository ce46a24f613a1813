"""How the forecasts of a twin did: one step ahead, by lead time, the rank histogram, and the drift alarm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble.inputs.calendar import instant
from ensemble.report.content import Figure, Panel, Remark, Section, Table
from ensemble.report.drawing import FAINT, colour, draw
from ensemble.report.numbers import number, percent, plural, signed
from ensemble.twin.alarm import Watch
from ensemble.twin.score import BINS, by_lead, rank_histogram, summary

HEADER = ("n", "bias", "RMSE", "CRPS", "in 50 %", "in 90 %")


def score_section(one_step: pd.DataFrame, archived: pd.DataFrame) -> Section:
    """Scores of forecasts that were archived when they were made.

    Args:
        one_step: every measurement against the forecast from the date before it.
        archived: every measurement against all earlier forecasts, with ``lead``.
    """
    if one_step.empty:
        return Section("Score", "No forecast has met a measurement yet.")
    tables = [_series_table(one_step)]
    if len(archived):
        rows = tuple((str(row["lead"]), *_cells(row)) for row in by_lead(archived).to_dict("records"))
        tables.append(
            Table(("lead time", *HEADER), rows, "Forecasts as they were archived, by how long before the measurement.")
        )
    found = summary(one_step)
    lead = (
        f"One step ahead, {found['in_90'] * found['n']:.0f} of {plural(len(one_step), 'measurement')} lie inside the 90 % band "
        f"({0.9 * found['n']:.0f} expected) and {found['in_50'] * found['n']:.0f} inside the 50 % band."
    )
    caption = "Where measurements fell in their predictive distribution one step ahead; flat is right, a hump is too wide a forecast, a bowl too narrow a one."
    return Section("Score", lead, figures=(Figure((_ranks(one_step),), caption),), tables=tuple(tables))


def _cells(row: dict) -> tuple[str, ...]:
    numbers = (signed(row["bias"]), number(row["rmse"]), number(row["crps"]))
    return str(row["n"]), *numbers, percent(row["in_50"]), percent(row["in_90"])


def _series_table(one_step: pd.DataFrame) -> Table:
    rows = [
        (", ".join(map(str, key)), *_cells(summary(part)))  # type: ignore[arg-type]
        for key, part in one_step.groupby(["scenario", "site", "variable"], sort=False)
    ]
    rows.append(("all", *_cells(summary(one_step))))
    return Table(("series", *HEADER), tuple(rows), "One step ahead, by series; bias is forecast less measurement.")


def _ranks(one_step: pd.DataFrame) -> Panel:
    counts = rank_histogram(one_step)

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.92 / BINS, color=colour(0))
        axes.axhline(counts.sum() / BINS, color=FAINT, linewidth=1.0, linestyle="--")
        axes.set_xlabel("rank of the measurement among the draws")
        axes.set_xlim(0, 1)

    return draw("twin-ranks", f"rank histogram, counts {', '.join(map(str, counts))}", paint)


def watch_section(watches: Sequence[Watch], false_alarms: float) -> Section:
    """The drift alarm of every series."""
    rows = tuple(
        (w.name, str(w.count), str(w.outside), number(w.evidence), number(w.largest), number(w.limit),
         f"since {instant(w.since)}" if w.alarm else "no")
        for w in watches
    )  # fmt: skip
    remarks = tuple(
        Remark(
            "bad",
            f"{w.name}: {w.outside} of {w.count} values lie outside their 90 % bands; forecasts of this series are not to be trusted.",
        )
        for w in watches
        if w.alarm
    )
    lead = f"An alarm means that a series left its bands too often; a sound twin ever raises one with probability below {false_alarms:.0%}."
    note = (
        "If the forecasts are right the evidence is a test martingale from 1, so it ever reaches the limit (number of series / rate of false "
        "alarms) with at most that probability, however often one looks (Ville's inequality)."
    )
    header = ("series", "values", "outside 90 %", "evidence", "largest", "limit", "alarm")
    return Section(
        "Drift alarm",
        lead,
        remarks,
        tables=(Table(header, rows, "Evidence against the forecasts one step ahead."),),
        notes=(note,),
    )
