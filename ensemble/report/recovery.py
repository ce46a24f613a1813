"""Report section of recovery: years until a stock has come back, against what was missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble.report.content import Figure, Panel, Section, Table
from ensemble.report.drawing import INK, TITLE, colour, draw, swatch
from ensemble.report.numbers import fitted, interval, number, signed

DEFICIT, SURPLUS, LEAST = colour(0), colour(1), 3


class Points(NamedTuple):
    """Scenarios of one output at the first site, each of shape (scenarios,).

    Args:
        difference: median over members of the stock less the reference's, t C/ha.
        years: median over members until it has closed; missing where it has not in half of the members.
    """

    difference: np.ndarray
    years: np.ndarray

    @property
    def line(self) -> tuple[float, float, float] | None:
        """Slope (years per t), intercept (years) and R2 over scenarios that recover; ``None`` for fewer than three."""
        known = np.isfinite(self.years)
        size, years = np.abs(self.difference[known]), self.years[known]
        if known.sum() < LEAST or np.ptp(size) == 0.0 or np.ptp(years) == 0.0:
            return None
        slope, intercept = np.polyfit(size, years, 1)
        return float(slope), float(intercept), float(np.corrcoef(size, years)[0, 1] ** 2)


def recovery_section(data: xr.Dataset, titles: Mapping[str, str]) -> Section:
    """Figure and table of recovery times.

    Args:
        data: the group ``recovery``.
        titles: what scenarios are called.
    """
    outputs, span = (
        [str(name) for name in np.atleast_1d(data.attrs["outputs"])],
        data.attrs["end"] - data.attrs["start"],
    )
    here = data.isel(site=0)
    found = {name: _points(here, name, span) for name in outputs}
    nouns = {name: str(data[f"{name}_years"].attrs["long_name"]).split(": years")[0] for name in outputs}
    panels = tuple(_panel(i, nouns[name], points, span) for i, (name, points) in enumerate(found.items()))
    lines = " ".join(_sentence(nouns[name], points) for name, points in found.items())
    lead = f"Until a stock is within {data.attrs['within']:g} t C/ha of its reference in the same year, from the end of {data.attrs['start']:,}. {lines}"
    legend = (
        (swatch("point", DEFICIT), "deficit"),
        (swatch("point", SURPLUS), "surplus"),
        (swatch("outside", INK), f"not within the {span:,} years of the run, in no line"),
    )
    several = "Median over members." if data.sizes["member"] > 1 else ""
    caption = f"One point a scenario. {several} Line: least squares over the scenarios that recover."
    rows = tuple(_row(here, name, nouns[name], str(arm), titles) for name in outputs for arm in data["scenario"].values)
    level = ", 90 % of members" if data.sizes["member"] > 1 else ""
    table = Table(("stock", "scenario", "reference", f"difference (t C/ha{level})", f"years{level}", "recovered"), rows,
                  "At the first site; a negative difference is a deficit.", folded=True)  # fmt: skip
    return Section("Recovery", lead, figures=(Figure(panels, caption, legend),), tables=(table,))


def _points(here: xr.Dataset, name: str, span: int) -> Points:
    """Medians; a member that never recovers counts as later than the run's end."""
    times = here[f"{name}_years"].values
    failed = np.isnan(here[f"{name}_difference"].values)
    late = np.where(np.isnan(times), np.inf, times)
    middle = np.nanmedian(np.where(failed, np.nan, late), axis=0)
    difference = np.nanmedian(here[f"{name}_difference"].values, axis=0)
    return Points(difference, np.where(middle <= span, middle, np.nan))


def _sentence(noun: str, points: Points) -> str:
    line = points.line
    if line is None:
        return f"{noun.capitalize()}: fewer than {LEAST} scenarios recover, so there is no line."
    return f"{noun.capitalize()}: {number(line[0])} years a t C/ha (R2 {line[2]:.2f}, {int(np.isfinite(points.years).sum())} of {points.years.size} scenarios)."


def _panel(place: int, noun: str, points: Points, span: int) -> Panel:
    size, known = np.abs(points.difference), np.isfinite(points.years)
    shades = np.where(points.difference < 0.0, DEFICIT, SURPLUS)
    top = span if not known.all() else float(points.years.max())

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.scatter(size[known], points.years[known], c=shades[known], s=30, zorder=3)
        axes.scatter(size[~known], np.full((~known).sum(), top), marker="D", s=36, facecolors="white",
                     edgecolors=shades[~known], linewidths=1.6, zorder=3, clip_on=False)  # fmt: skip
        if points.line is not None:
            slope, intercept, _ = points.line
            ends = np.asarray([size[known].min(), size[known].max()])
            axes.plot(ends, intercept + slope * ends, color=INK, linewidth=1.2)
        axes.set_xlim(0, 1.08 * max(float(size.max()), 1e-9))
        axes.set_ylim(0, 1.07 * max(top, 1.0))  # room for marks at the top
        axes.set_xlabel("size of the difference, t C/ha")
        axes.set_ylabel("years")
        axes.set_title(fitted(noun, TITLE))

    return draw(f"recovery-{place}", _sentence(noun, points), paint)


def _row(here: xr.Dataset, name: str, noun: str, arm: str, titles: Mapping[str, str]) -> tuple[str, ...]:
    gaps, times = (here[f"{name}_{part}"].sel(scenario=arm).values for part in ("difference", "years"))
    sound = np.isfinite(gaps)
    gaps, times = gaps[sound], times[sound]
    reference = dict(pair.split(": ", 1) for pair in np.atleast_1d(here.attrs["references"]))[arm]
    known = times[np.isfinite(times)]
    spread = len(gaps) > 1
    difference = interval(*np.quantile(gaps, [0.05, 0.95])) if spread else signed(float(gaps[0])) if len(gaps) else "–"
    taken = "–" if not len(known) else interval(*np.quantile(known, [0.05, 0.95])) if spread else f"{known[0]:,.0f}"
    share = f"{len(known)} of {len(times)}" if spread else "yes" if len(known) else "no"
    return (noun, titles.get(arm, arm), titles.get(reference, reference), difference, taken, share)
