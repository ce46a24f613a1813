"""Section about the forecast and the observations: fan charts, coverage, and the misfit said plainly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ensemble.report.content import Remark, Section, Table
from ensemble.report.contrast import contrast_figure
from ensemble.report.fan import fan_figure
from ensemble.report.numbers import interval, number, plural, signed
from ensemble.report.results import Results, number_inside, rows_where

LISTED_GROUPS, LISTED_OBSERVATIONS, REMARKED = 40, 400, 12
NOTES = (
    "The probability behind each sentence comes from the ensemble: every member with measurement error is taken for the "
    "truth once, so what the observations of one plot share is allowed for.",
    "CRPS is the fair continuous ranked probability score of the predictive members: the mean distance to the observation "
    "less half the spread, in the unit of the output; 0 is perfect.",
)


def forecast_section(results: Results) -> Section:
    """Fan charts against observations, coverage, and the misfit in words, the worst first."""
    if results.groups is None or results.groups.empty:
        return Section("Forecast", "There are no observations to compare with.", figures=(fan_figure(results),))
    rows = [dict(row) for row in results.groups.to_dict("records")]
    rows.sort(key=lambda row: not _is_misfit(row))
    remarks = tuple(
        Remark("bad" if _is_misfit(row) else "good", f"{group_name(results, row)}: {row['sentence']}")
        for row in rows[:REMARKED]
    )
    figures = [fan_figure(results)]
    contrast = contrast_figure(results)
    if contrast is not None:
        figures.append(contrast)
    lead = f"{_coverage_words(results)} The ensemble was not fitted to them."
    tables = (_coverage_table(results), _observation_table(results))
    return Section("Forecast and observations", lead, remarks, tuple(figures), tables, NOTES)


def _is_misfit(row: Mapping[Any, Any]) -> bool:
    return "misfit" in row["sentence"]


def group_name(results: Results, row: Mapping[Any, Any]) -> str:
    """What a row of observations is about: scenario (or two, for a difference) and site, where there are several."""
    parts = []
    if row.get("reference"):
        parts.append(f"{results.title_of(row['arm'])} minus {results.title_of(row['reference'])}")
    elif len(results.scenarios) > 1:
        parts.append(results.title_of(row["scenario"]))
    parts += [str(row["site"])] if len(results.all_sites) > 1 else []
    return ", ".join(parts) or results.noun


def _coverage_words(results: Results) -> str:
    assert results.skill is not None
    table = results.skill
    plain = rows_where(table, reference="")
    text = _counted(plain, "observation")
    if len(plain) < len(table):
        text += " " + _counted(table.drop(index=plain.index), "measured difference")
    return text


def _counted(table: pd.DataFrame, what: str) -> str:
    inside, half = number_inside(table, 90), number_inside(table, 50)
    total = len(table)
    return (
        f"Of {plural(total, what)}, {inside} lie inside the 90 % predictive band ({0.9 * total:.0f} expected) "
        f"and {half} inside the 50 % band ({0.5 * total:.0f} expected)."
    )


def _coverage_table(results: Results) -> Table:
    assert results.groups is not None
    header = (
        "group", "n", "in 50 % predictive", "in 90 % predictive", "in 50 % parameter", "in 90 % parameter",
        f"bias, {results.unit}", f"RMSE, {results.unit}", f"CRPS, {results.unit}",
    )  # fmt: skip
    rows = []
    for row in results.groups.to_dict("records")[:LISTED_GROUPS]:
        counts = [f"{row[f'inside_{kind}_{level}']}" for kind in ("predictive", "parameter") for level in (50, 90)]
        numbers = [signed(row["bias"]), number(row["rmse"]), number(row["crps"])]
        rows.append((group_name(results, row), str(row["n"]), *counts, *numbers))
    text = (
        "How many of n observations lie inside the central bands; half and nine tenths of them are expected in the "
        "predictive ones. Bias is forecast mean minus observation."
    )
    return Table(header, tuple(rows), text)


def _observation_table(results: Results) -> Table:
    assert results.skill is not None
    several = len(results.scenarios) > 1 or len(results.all_sites) > 1
    names = ("time", "observed", "sd of its error", "forecast mean", "90 % predictive", "inside")
    rows = []
    for row in results.skill.to_dict("records")[:LISTED_OBSERVATIONS]:
        scale = row["error"]
        band = interval(row["predictive_low_90"], row["predictive_high_90"], scale)
        inside = "yes" if row["inside_predictive_90"] else "no"
        values = (number(row["value"], scale), number(scale), number(row["mean"], scale))
        rows.append(
            (*((group_name(results, row),) if several else ()), results.when(row["time"]), *values, band, inside)
        )
    return Table(
        (*(("group",) if several else ()), *names), tuple(rows), f"Every observation, {results.unit}", folded=True
    )
