"""What the report needs to know about a finished run, and how to look things up in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.report.numbers import fitted

DAYS_PER_YEAR = 365.2425
# At most this many records are drawn; longer series are thinned by whole years.
DRAWN_RECORDS = 320
# At most this many scenarios, and sites, are drawn in full.
DRAWN_SCENARIOS, DRAWN_SITES = 6, 4


@dataclass(frozen=True)
class Tornado:
    """First-order effects on the main output at the last record.

    Args:
        labels: inputs.
        effects: change by one standard deviation of each, shape (inputs, scenarios, sites), in its unit.
    """

    labels: tuple[str, ...]
    effects: np.ndarray


@dataclass(frozen=True)
class Results:
    """A finished run, as the report sees it.

    Args:
        main: name of the main output.
        statistics: group ``/statistics``: ``<output>_mean`` and so on, see
            :func:`ensemble.summary.statistics_dataset`.
        members: group ``/members``, dims (member, scenario, site, ...) with ``failed`` (member, site), its sites in
            the order of ``statistics``; ``None`` where members were not kept.
        measured: name of the main output with measurement error, where there are observations.
        observations: rows (scenario, site, time, record, variable, value, error) of the main output.
        skill, groups: results of :func:`~ensemble.summary.skill.observation_skill` and ``group_skill``.
        titles: what scenarios are called in figures, by name.
        sites: sites shown in full (default: the first).
        cells: sites are cells of a raster.
        pools: outputs that add up to a total, from the slowest to the fastest.
        tornado: first-order effects.
        delta_sd: first-order standard deviation of the main output, shape of its mean.
        delta_leaves_out: uncertain inputs that the gradients do not cover.
        failures: one row a failed pair: member, site, reason and its inputs.
        facts, provenance: rows of two texts.
        files: input files, rows (name, SHA-256).
        reproduce: commands.
        limits: sentences.
        title, footer: of the page.
        sampled: members differ by draws; otherwise inputs were set and nothing has an interval.
    """

    main: str
    statistics: xr.Dataset
    members: xr.Dataset | None = None
    measured: str | None = None
    observations: pd.DataFrame = field(default_factory=pd.DataFrame)
    skill: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    cells: bool = False
    pools: tuple[str, ...] = ()
    tornado: Tornado | None = None
    delta_sd: np.ndarray | None = None
    delta_leaves_out: tuple[str, ...] = ()
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    facts: tuple[tuple[str, str], ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    reproduce: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    title: str = ""
    footer: str = ""
    sampled: bool = True

    @cached_property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios."""
        return tuple(str(name) for name in self.statistics["scenario"].values)

    @cached_property
    def all_sites(self) -> tuple[str, ...]:
        """Names of the sites."""
        return tuple(str(name) for name in self.statistics["site"].values)

    def place(self, site: str) -> int:
        """Position of a site among :attr:`all_sites`; no index of very many names is made for the few that are shown."""
        return self.all_sites.index(site)

    @cached_property
    def shown_sites(self) -> tuple[str, ...]:
        """Sites that are drawn in full: those asked for, or the first, that have members left."""
        used = self.statistics["members_used"].values
        left = [site for site, number in zip(self.all_sites, used, strict=True) if number > 0]
        wanted = [site for site in self.sites if site in left]
        return tuple(wanted or left)[:DRAWN_SITES]

    @cached_property
    def shown_scenarios(self) -> tuple[str, ...]:
        """Scenarios that are drawn in full."""
        return self.scenarios[:DRAWN_SCENARIOS]

    @cached_property
    def unit(self) -> str:
        """Unit of the main output, as people write it."""
        attributes = self.statistics[f"{self.main}_mean"].attrs
        return attributes.get("display_units", attributes.get("units", "1"))

    @cached_property
    def noun(self) -> str:
        """The main output with its layer: ``soil organic carbon, 0-23 cm``."""
        name = str(self.statistics[f"{self.main}_mean"].attrs.get("long_name", self.main))
        return ", ".join(part for part in (name, self.layer) if part)

    @cached_property
    def layer(self) -> str:
        """The layer of soil: its bounds where sites share them, or the value chosen on an extra axis."""
        if "layer_depth_bounds" in self.statistics:
            bounds = np.unique(self.statistics["layer_depth_bounds"].values.reshape(-1, 2), axis=0)
            return f"{bounds[0, 0]:g}–{bounds[0, 1]:g} cm" if len(bounds) == 1 else "the whole layer of each site"
        return ", ".join(
            f"{dim} {float(self.statistics[dim].values[0]):g} {self.statistics[dim].attrs.get('units', '')}".strip()
            for dim in self._extra(f"{self.main}_mean")
        )

    def _extra(self, variable: str) -> list[str]:
        known = {"quantile", "scenario", "site", "time", "member"}
        dims = [str(dim) for dim in self.statistics[variable].dims]
        return [dim for dim in dims if dim not in known and not dim.endswith("_threshold")]

    def title_of(self, scenario: str) -> str:
        """Name of a scenario in figures."""
        return self.titles.get(scenario) or scenario.replace("_", " ")

    def panel_title(self, scenario: str, site: str, letters: int | None = None) -> str:
        """Heading of a panel: only what differs on the page; in so many letters the name of the scenario is cut."""
        place = f", {site}" if len(self.all_sites) > 1 else ""
        arm = self.title_of(scenario) if len(self.scenarios) > 1 else ""
        if letters is not None:
            arm = fitted(arm, max(letters - len(place), 1))
        return f"{arm}{place}".removeprefix(", ")

    def statistic(self, output: str, what: str, scenario: str, site: str) -> np.ndarray:
        """A statistic of one scenario and site: (time,), (quantile, time), or without time for a formula."""
        name = f"{output}_{what}"
        chosen = self.statistics[name].isel(site=self.place(site)).sel(scenario=scenario)
        return chosen.isel(dict.fromkeys(self._extra(name), 0)).values

    def at_end(self, output: str, what: str, scenario: str, site: str) -> np.ndarray:
        """A statistic at the last record."""
        values = self.statistic(output, what, scenario, site)
        return values[..., -1] if self.has_time(output) else values

    def has_time(self, output: str | None = None) -> bool:
        """Whether an output (the main one) has a time axis."""
        return "time" in self.statistics[f"{output or self.main}_mean"].dims

    def has(self, output: str, what: str) -> bool:
        """Whether a statistic is there."""
        return f"{output}_{what}" in self.statistics

    @cached_property
    def years(self) -> np.ndarray:
        """Time as decimal years."""
        return decimal_years(self.statistics["time"].values)

    @cached_property
    def drawn(self) -> np.ndarray:
        """Records that are drawn: all, or as many as fit, counted back from the last in whole years."""
        total = len(self.years)
        stride = -(-total // DRAWN_RECORDS)
        if stride > 1:
            per_year = max(1, round(1.0 / max(float(np.median(np.diff(self.years))), 1e-9)))
            stride = -(-stride // per_year) * per_year if per_year > 1 else stride
        return np.arange((total - 1) % stride, total, stride)

    @cached_property
    def moment(self) -> str:
        """When the last record ends, in words; empty for a formula."""
        if not self.has_time():
            return ""
        last = self.statistics["time"].values[-1]
        if np.issubdtype(np.asarray(last).dtype, np.datetime64):
            text = str(last.astype("datetime64[D]"))
            year, month, _ = text.rsplit("-", 2)
            return f"at the end of {year}" if month == "12" else f"on {text}"
        return f"after {float(last):g} years"

    def when(self, time: float) -> str:
        """A time of an observation in words: the end of a calendar year, or a decimal year."""
        calendar = self.has_time() and np.issubdtype(self.statistics["time"].dtype, np.datetime64)
        return f"end of {time - 1:.0f}" if calendar and float(time).is_integer() else f"{time:.2f}"

    @cached_property
    def period(self) -> str:
        """First and last year of the records; their number for a run without a calendar."""
        times = self.statistics["time"].values
        if np.issubdtype(times.dtype, np.datetime64):
            first, last = (str(times[i].astype("datetime64[Y]")) for i in (0, -1))
            return first if first == last else f"{first} to {last}"
        return f"{float(times[-1]):g} years"

    @cached_property
    def at(self) -> str:
        """:attr:`moment` with a space before it, to go on a sentence; empty for a formula."""
        return f" {self.moment}" if self.moment else ""

    @cached_property
    def time_label(self) -> str:
        """Label of a time axis; calendar years need none."""
        calendar = np.issubdtype(self.statistics["time"].dtype, np.datetime64)
        return "" if calendar else "years since the start"

    @cached_property
    def alone(self) -> bool:
        """Whether one member is all there is."""
        return int(self.statistics["members_used"].max()) == 1

    @cached_property
    def bands(self) -> list[tuple[float, int, int]]:
        """Central bands among the quantiles, (level, index of the lower, of the upper), the widest first.

        One member alone has none: its quantiles are all itself.
        """
        if self.alone:
            return []
        levels = (
            np.asarray(self.statistics["quantile"].values, float) if "quantile" in self.statistics else np.array([])
        )
        found = []
        for low, level in enumerate(levels):
            high = np.flatnonzero(np.isclose(levels, 1.0 - level))
            if level < 0.5 and high.size:
                found.append((float(np.round(1.0 - 2.0 * level, 10)), low, int(high[0])))
        return sorted(found, reverse=True)

    @cached_property
    def median_index(self) -> int | None:
        """Index of the median among the quantiles."""
        if "quantile" not in self.statistics:
            return None
        found = np.flatnonzero(np.isclose(self.statistics["quantile"].values, 0.5))
        return int(found[0]) if found.size else None

    def end_values(self, scenario: str, site: str) -> np.ndarray | None:
        """Every member of the main output at the last record, float64, NaN where it failed; ``None`` if not kept."""
        if self.members is None or self.main not in self.members:
            return None
        chosen = self.members[self.main].isel(site=self.place(site)).sel(scenario=scenario)
        values = chosen.isel({str(d): -1 if d == "time" else 0 for d in chosen.dims if d != "member"}).values
        if "failed" not in self.members:
            return values.astype(np.float64)
        failed = self.members["failed"].isel(site=self.place(site)).values > 0
        return np.where(failed, np.nan, values.astype(np.float64))

    def end_members(self, scenario: str, site: str) -> np.ndarray | None:
        """Those of :meth:`end_values` that did not fail."""
        values = self.end_values(scenario, site)
        return None if values is None else values[np.isfinite(values)]

    def used(self, site: str) -> int:
        """Members that succeeded at a site."""
        return int(self.statistics["members_used"].isel(site=self.place(site)))


def decimal_years(times: np.ndarray) -> np.ndarray:
    """Dates as decimal years, so that 31 December 1998 is 1999.0 less a day; numbers stay as they are."""
    if not np.issubdtype(times.dtype, np.datetime64):
        return times.astype(float)
    years = times.astype("datetime64[Y]")
    days = (times.astype("datetime64[D]") - years.astype("datetime64[D]")).astype(float)
    return years.astype(int) + 1970 + days / DAYS_PER_YEAR


def rows_where(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows whose columns have these values; a column that is not there holds everywhere."""
    keep = np.ones(len(table), bool)
    for name, value in wanted.items():
        if name in table:
            keep &= (table[name] == value).to_numpy()
    return table.iloc[np.flatnonzero(keep)]


def number_inside(table: pd.DataFrame, level: int) -> int:
    """Observations inside the predictive band of a level in percent."""
    return int(table[f"inside_predictive_{level}"].to_numpy().sum())
