"""Report sections of sequestration rates and of the inventory table."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.report.content import Figure, Remark, Section, Table
from ensemble.report.mapped import is_grid, map_panel
from ensemble.report.numbers import MISSING, interval, number

MAPPED = (
    ("relative_rate_mean", "gain against usual", "t C/ha/yr"),
    ("relative_rate_uncertainty", "its uncertainty", "% (half of 95 % / mean)"),
    ("absolute_rate_probability_gain", "probability of a gain since t0", "probability"),
)


def rates_section(rates: xr.Dataset, places: xr.Dataset, titles: dict[str, str]) -> Section:
    """Stocks and rates of every scenario with their uncertainty, three ways, and maps of the last scenario.

    Args:
        rates: the group ``sequestration``.
        places: a dataset whose coordinates say where the sites are.
        titles: what scenarios are called.
    """
    usual, arms = rates.attrs["usual"], [str(arm) for arm in rates["scenario"].values]
    others = [arm for arm in arms if arm != usual]
    rows = tuple(_row(rates, arm, titles.get(arm, arm)) for arm in arms)
    lead = (
        f"From the end of {rates.attrs['t0']} to the end of {rates.attrs['end']}, {rates.attrs['members']:,} members. "
    )
    if others:
        best = rates.sel(scenario=others[-1])
        lead += (
            f"“{titles.get(others[-1], others[-1])}” gains {number(_median(best['relative_rate_mean']))} t C/ha/yr against “{titles.get(usual, usual)}” "
            f"(median over sites) with an uncertainty of {number(_median(best['relative_rate_uncertainty']))} % from paired draws."
        )
    header = (
        "scenario",
        "stock at the end (t C/ha)",
        "absolute rate (t C/ha/yr)",
        "U (%)",
        "relative rate (t C/ha/yr)",
        "U (%), paired draws",
        "U (%), Eq. 12.2",
        "U (%), scripts",
    )
    text = (
        "Medians over sites. U is half of the 95 % interval over the mean (GSOCseq Eq. 12.1). The last two columns come from two extreme runs: by "
        "Eq. 12.2, which takes the scenarios as independent, and as the manual's scripts have it, which divide by the sum of the two stocks."
    )
    remarks = (
        ()
        if "relative_rate_corner_uncertainty" not in rates or not others
        else (_remark(rates.sel(scenario=others[-1])),)
    )
    tables = (Table(header, rows, text), *_region(rates, titles))
    figures, notes = _maps(rates, places, others, titles), (rates.attrs["references"],)
    return Section("Sequestration rates", lead, remarks, figures, tables, notes, answer=True)


def _median(values: xr.DataArray) -> float:
    known = values.values[np.isfinite(values.values)]
    return float(np.median(known)) if known.size else float("nan")


def _row(rates: xr.Dataset, arm: str, title: str) -> tuple[str, ...]:
    here = rates.sel(scenario=arm)
    names = (
        "final_stock_mean", "absolute_rate_mean", "absolute_rate_uncertainty", "relative_rate_mean",
        "relative_rate_uncertainty", "relative_rate_corner_uncertainty", "relative_rate_script_uncertainty",
    )  # fmt: skip
    usual = arm == rates.attrs["usual"]
    shown = [
        MISSING if name not in here or (usual and name.startswith("relative")) else number(_median(here[name]))
        for name in names
    ]
    return (title, *shown)


def _remark(here: xr.Dataset) -> Remark:
    paired, manual, script = (_median(here[f"relative_rate_{kind}uncertainty"]) for kind in ("", "corner_", "script_"))
    return Remark(
        "plain",
        f"Two extreme runs are no interval with a stated coverage. For the gain against usual they give {number(manual)} % where paired "
        f"draws give {number(paired)} %, because what both scenarios share cancels in their difference; dividing by the sum of the stocks "
        f"instead gives {number(script)} %, which is the uncertainty of a stock and not of a rate.",
    )


def _region(rates: xr.Dataset, titles: dict[str, str]) -> tuple[Table, ...]:
    if "total_absolute_rate_mean" not in rates:
        return ()
    rows = []
    for arm in (str(a) for a in rates["scenario"].values):
        here = rates.sel(scenario=arm)
        cells = []
        for kind in ("absolute", "relative"):
            low, high = (float(here[f"total_{kind}_rate_{end}"]) for end in ("lower", "upper"))
            scale = (high - low) / 4
            known = scale > 0
            cells += [
                number(float(here[f"total_{kind}_rate_mean"]), scale if known else None) if known else MISSING,
                interval(low, high) if known else MISSING,
            ]
        rows.append((titles.get(arm, arm), *cells))
    header = ("scenario", "absolute (t C/yr)", "95 % interval", "relative (t C/yr)", "95 % interval ")
    text = f"All sites together, {number(rates.attrs['area_ha'])} ha, from joint draws: errors that sites share do not average out."
    return (Table(header, tuple(rows), text),)


def _maps(rates: xr.Dataset, places: xr.Dataset, others: list[str], titles: dict[str, str]) -> tuple[Figure, ...]:
    if not is_grid(places) or not others:
        return ()
    here = rates.sel(scenario=others[-1])
    panels = tuple(
        map_panel(places, here[name].values, f"rates-{k}", title, unit) for k, (name, title, unit) in enumerate(MAPPED)
    )
    text = (
        f"“{titles.get(others[-1], others[-1])}”, {rates.attrs['t0']}-{rates.attrs['end']}, {rates.attrs['members']:,} members, {len(here['site'])} "
        "cells; scales from the 2nd to the 98th percentile of the cells, a black line where a rate changes its sign."
    )
    return (Figure(panels, text),)


def inventory_section(inventory: xr.Dataset) -> Section:
    """Level and trend uncertainty by category and region, approaches 1 and 2 side by side."""
    lines = [{str(n): inventory[n].values[k] for n in inventory.data_vars} for k in range(inventory.sizes["line"])]
    unit, base, year = (inventory.attrs[key] for key in ("units_of_level", "base", "year"))
    total = lines[-1]
    lead = (
        f"{inventory.attrs['what']}, scenario “{inventory.attrs['scenario']}”: {number(float(total['year_level']))} {unit} in {year} "
        f"with an uncertainty of {total['year_uncertainty']:.0f} % (approach 2); errors of {base} and {year} are correlated by "
        f"{total['year_to_year_correlation']:.2f}."
    )
    tables = (_levels(lines, unit, base, year, inventory.attrs["members"]), _trends(lines, unit))
    return Section("Inventory", lead, tables=tables, notes=(inventory.attrs["references"],), answer=True)


def _line(line: dict[str, Any]) -> str:
    return f"{line['category']}, {line['region']}"


def _levels(lines: list[dict[str, Any]], unit: str, base: int, year: int, members: int) -> Table:
    rows = tuple(
        (
            _line(line),
            *(cell for when in ("base", "year") for cell in (
                number(float(line[f"{when}_level"])),
                f"{line[f'{when}_uncertainty']:.0f}",
                f"{line[f'{when}_uncertainty_approach_1']:.0f}", f"{line[f'{when}_uncertainty_simple']:.0f}",
            )),
            number(float(line["contribution_to_variance"]), 5.0),
            "yes" if line["approach_1_holds"] else "no",
        )
        for line in lines
    )  # fmt: skip
    header = (
        "category, region", f"{base} ({unit})", "U, approach 2 (%)", "1 (%)", "1, independent (%)",
        f"{year} ({unit})", "U, approach 2 (%) ", "1 (%) ", "1, independent (%) ", f"share of variance {year} (%)", "approach 1 holds",
    )  # fmt: skip
    text = (
        f"Levels. U is half of the 95 % interval over the mean; {members:,} members. Approach 1 from the standard deviations of the "
        "draws, and as the guidelines have it for independent lines (products and sums of percentages); it holds where U is at most 30 % and "
        "the draws are nearly symmetric."
    )
    return Table(header, rows, text)


def _trends(lines: list[dict[str, Any]], unit: str) -> Table:
    rows = []
    for line in lines:
        known = not line["base_near_zero"]
        ends = [
            interval(line[f"trend_lower{kind}"], line[f"trend_upper{kind}"]) if known else MISSING
            for kind in ("", "_approach_1", "_independent_years")
        ]
        rows.append((
            _line(line), f"{line['year_to_year_correlation']:.2f}", number(float(line["difference"])),
            interval(line["difference_lower"], line["difference_upper"]),
            number(float(line["trend"])) if known else MISSING, *ends,
        ))  # fmt: skip
    header = (
        "category, region", "correlation of years", f"difference ({unit})", "95 % interval", "trend (%)",
        "95 %, approach 2", "95 %, approach 1", "95 %, independent years",
    )  # fmt: skip
    text = (
        "Trend. Approach 1 with the year-to-year correlation of the draws, and as if both years had independent errors. A trend in percent is "
        "left out where the base year may be 0. `ensemble export STORE --as inventory` writes both tables as CSV."
    )
    return Table(header, tuple(rows), text)
