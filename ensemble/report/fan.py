"""Fan charts: bands of the ensemble through time, against observations with their errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from ensemble.report.content import Figure, Panel
from ensemble.report.drawing import INK, TITLE, colour, draw, swatch, time_axis, tint
from ensemble.report.numbers import count, fitted, number, plural
from ensemble.report.results import Results, number_inside, rows_where

# What remains of a scenario's colour: predictive bands lightest, parameter bands from the widest to the narrowest.
PREDICTIVE, PARAMETER = 0.16, (0.42, 0.72)


def fan_figure(results: Results) -> Figure:
    """One panel a scenario and shown site, all with the same axes."""
    pairs = [(a, s) for s in results.shown_sites for a in results.shown_scenarios]
    limits = _limits(results, pairs)
    panels = tuple(_panel(results, scenario, site, limits) for scenario, site in pairs)
    return Figure(panels, _caption(results), _legend(results))


def _shade(results: Results, scenario: str) -> str:
    return colour(results.scenarios.index(scenario))


def _band(
    results: Results, output: str, scenario: str, site: str, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    values = results.statistic(output, "quantile", scenario, site)[:, results.drawn]
    return values[low], values[high]


def _observed(results: Results, scenario: str, site: str) -> pd.DataFrame:
    table = results.skill if results.skill is not None else results.observations
    if table is None or table.empty:
        return pd.DataFrame()
    return rows_where(table, scenario=scenario, site=site, variable=results.main)


def _limits(results: Results, pairs: list[tuple[str, str]]) -> tuple[float, float]:
    """Limits of the value axis that all panels share."""
    values = [results.statistic(results.main, "mean", *pair) for pair in pairs]
    for _, low, high in results.bands[:1]:
        shown = results.measured if results.measured and results.has(results.measured, "quantile") else results.main
        values += [np.concatenate(_band(results, shown, *pair, low, high)) for pair in pairs]
    for pair in pairs:
        table = _observed(results, *pair)
        if len(table):
            values += [(table["value"] + table["error"]).to_numpy(), (table["value"] - table["error"]).to_numpy()]
    every = np.concatenate([part[np.isfinite(part)] for part in values])
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    low = 0.0 if 0 <= low < 0.4 * high else low - 0.05 * (high - low)
    return low, max(high + 0.04 * (high - low), low + 1e-9)


def _panel(results: Results, scenario: str, site: str, limits: tuple[float, float]) -> Panel:
    shade, years = _shade(results, scenario), results.years[results.drawn]
    title = results.panel_title(scenario, site, TITLE)

    def paint(figure: Drawing, axes: Axes) -> None:
        _bands(results, axes, scenario, site, shade)
        line = _centre(results, scenario, site)
        axes.plot(years, line, color=tint(shade, 1.0), linewidth=2.0)
        draw_points(axes, _observed(results, scenario, site))
        axes.set_ylim(*limits)
        time_axis(axes, years, results.time_label)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_title(fitted(title, TITLE), color=shade, pad=20 if title else 6)
        axes.text(0, 1.015, results.unit, transform=axes.transAxes, fontsize=11.5, color="#5b6472", va="bottom")

    name = f"fan-{results.scenarios.index(scenario)}-{results.place(site)}"
    return draw(name, _alt(results, scenario, site), paint)


def _bands(results: Results, axes: Axes, scenario: str, site: str, shade: str) -> None:
    years = results.years[results.drawn]
    if results.measured and results.has(results.measured, "quantile"):
        for place, (_, low, high) in enumerate(results.bands[:2]):
            edges = _band(results, results.measured, scenario, site, low, high)
            if place == 0:
                axes.fill_between(years, *edges, color=tint(shade, PREDICTIVE), linewidth=0)
            else:
                for edge in edges:
                    axes.plot(years, edge, color=tint(shade, 0.75), linewidth=1.0, linestyle=(0, (4, 2.4)))
    for place, (_, low, high) in enumerate(results.bands[:2]):
        edges = _band(results, results.main, scenario, site, low, high)
        axes.fill_between(years, *edges, color=tint(shade, PARAMETER[place]), linewidth=0)


def _centre(results: Results, scenario: str, site: str) -> np.ndarray:
    if results.median_index is None:
        return results.statistic(results.main, "mean", scenario, site)[results.drawn]
    return results.statistic(results.main, "quantile", scenario, site)[results.median_index, results.drawn]


def draw_points(axes: Axes, table: pd.DataFrame) -> None:
    """Observations with one standard deviation; those outside the 90 % predictive band are open diamonds."""
    if table.empty:
        return
    known = "inside_predictive_90" in table
    inside = table["inside_predictive_90"].to_numpy(bool) if known else np.ones(len(table), bool)
    for rows, marker, face, size in ((table[inside], "o", INK, 5.0), (table[~inside], "D", "white", 5.8)):
        if len(rows):
            axes.errorbar(
                rows["time"], rows["value"], yerr=rows["error"], fmt=marker, color=INK, markerfacecolor=face,
                markersize=size, markeredgewidth=1.5, elinewidth=1.2, capsize=0, zorder=5,
            )  # fmt: skip


def _alt(results: Results, scenario: str, site: str) -> str:
    line, years = _centre(results, scenario, site), results.years[results.drawn]
    width = float(results.at_end(results.main, "sd", scenario, site))
    what = "median" if results.median_index is not None else "mean"
    text = (
        f"{results.panel_title(scenario, site) or results.noun}: {what} {number(line[0], width)} {results.unit} at "
        f"{years[0]:.0f} and {number(line[-1], width)} {results.unit} at {years[-1]:.0f}"
    )
    table = _observed(results, scenario, site)
    if len(table) and "inside_predictive_90" in table:
        text += f"; {number_inside(table, 90)} of {len(table)} observations inside the 90 % predictive band"
    return text + "."


def _legend(results: Results) -> tuple[tuple[str, str], ...]:
    shade = "#4a5563"
    entries = [(swatch("line", shade), "median" if results.median_index is not None else "mean")]
    for place, (level, _, _) in reversed(list(enumerate(results.bands[:2]))):
        entries.append((swatch("band", tint(shade, PARAMETER[place])), f"{100 * level:g} % parameter band"))
    if results.measured and results.has(results.measured, "quantile"):
        for place, (level, _, _) in reversed(list(enumerate(results.bands[:2]))):
            sign = swatch("band", tint(shade, PREDICTIVE)) if place == 0 else swatch("outline", tint(shade, 0.75))
            entries.append((sign, f"{100 * level:g} % predictive band"))
    table = results.skill if results.skill is not None else results.observations
    if table is not None and len(table):
        entries.append((swatch("point", INK), "observation ± 1 standard deviation"))
        plain = rows_where(table, reference="")
        if "inside_predictive_90" in plain and number_inside(plain, 90) < len(plain):
            entries.append((swatch("outside", INK), "outside the 90 % predictive band"))
    return tuple(entries)


def _caption(results: Results) -> str:
    members = min(results.used(site) for site in results.shown_sites)
    text = f"{results.noun[:1].upper()}{results.noun[1:]}, {results.unit}."
    if results.bands:
        text += f" Central bands over {plural(members, 'member')}."
        text += " Parameter bands hold what the stated uncertainty of inputs and parameters says about the true value."
    else:
        text += " One member." if results.alone else f" Medians over {plural(members, 'member')}."
    if results.measured:
        text += " Predictive bands add the error of one measurement: compare an observation with these."
    hidden = len(results.scenarios) * len(results.all_sites) - len(results.shown_scenarios) * len(results.shown_sites)
    return text + (f" {count(hidden)} more combinations of scenario and site are in the store." if hidden else "")
