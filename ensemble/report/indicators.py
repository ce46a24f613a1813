"""Report section of trends, persistence, clustering and inequality, each as a distribution over members."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ensemble.report.content import Section, Table
from ensemble.report.numbers import interval, number, percent

LISTED_SITES = 30
SUMMARIES = ("_mean", "_sd", "_above_zero", "_quantile")


def indicators_section(data: xr.Dataset, titles: Mapping[str, str] | None = None) -> Section:
    """Statistics of the whole map, statistics of each site, and the change points of the sequential test."""
    titles = dict(titles or {})
    names = [str(name) for name in data.data_vars if not str(name).endswith(SUMMARIES)]
    levels = tuple(_nearest(data, level) for level in (0.05, 0.5, 0.95))
    whole, single, changes, notes = [], [], [], []
    for name in names:
        if note := data[name].attrs.get("without_memory"):
            notes.append(f"{name.replace('_', ' ')}: {note}")
        for arm in data["scenario"].values:
            title = titles.get(str(arm), str(arm))
            if "time" in data[name].dims:
                changes += _change_rows(data, name, str(arm), title)
            elif "site" in data[name].dims:
                single += _value_rows(data, name, str(arm), title, levels)
            else:
                whole += _value_rows(data, name, str(arm), title, levels)
    level = float(data["quantile"].values[levels[2]] - data["quantile"].values[levels[0]])
    header = ("indicator", "scenario", "site", "median", f"{100 * level:.0f} % of members", "members above 0")
    caption = "Sequential Mann-Kendall: share of members whose two curves cross inside their 95 % bounds in the step that ends then; steps above 5 % of members."
    tables = (
        Table(header, tuple(whole), "Over all sites."),
        Table(header, tuple(single), f"At each site, the first {LISTED_SITES}.", folded=True),
        Table(("change of", "scenario", "site", "step", "members"), tuple(changes), caption, folded=True),
    )
    lead = "Every member has its own value of each statistic; the spread is what the study's uncertainty does to it."
    kept = tuple(table for table in tables if table.rows)
    return Section("Trends, clusters and inequality", lead, tables=kept, notes=tuple(notes))


def _nearest(data: xr.Dataset, level: float) -> int:
    return int(np.argmin(np.abs(data["quantile"].values - level)))


def _sites(data: xr.Dataset, name: str) -> list[str | None]:
    if "site" not in data[name].dims:
        return [None]
    return [str(site) for site in data["site"].values[:LISTED_SITES]]


def _value_rows(data: xr.Dataset, name: str, arm: str, title: str, levels: tuple[int, ...]) -> list[tuple[str, ...]]:
    rows = []
    for site in _sites(data, name):
        here = data.sel(scenario=arm) if site is None else data.sel(scenario=arm, site=site)
        low, middle, high = (float(here[f"{name}_quantile"].values[k]) for k in levels)
        scale = (high - low) / 4 if high > low else None
        share = float(here[f"{name}_above_zero"])
        label = name.replace("_", " ")
        rows.append((label, title, site or "all", number(middle, scale), interval(low, high), percent(share)))
    return rows


def _change_rows(data: xr.Dataset, name: str, arm: str, title: str) -> list[tuple[str, ...]]:
    if not name.endswith("_changed"):
        return []
    rows = []
    for site in _sites(data, name):
        share = data[f"{name}_mean"].sel(scenario=arm, site=site).values
        for step in np.flatnonzero(share > 0.05):
            when = str(data["time"].values[step])[:4]
            label = name.removesuffix("_changed").replace("_", " ")
            rows.append((label, title, str(site), when, percent(float(share[step]))))
    return rows
