"""Paired differences between scenarios through time, against measured differences.

What two scenarios share cancels in their difference, so it shows a misfit that wide bands around each would hide.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from ensemble.report.content import Figure, Panel
from ensemble.report.drawing import FAINT, INK, TITLE, colour, draw, swatch, time_axis, tint
from ensemble.report.fan import PARAMETER, PREDICTIVE, draw_points
from ensemble.report.numbers import count, fitted, signed
from ensemble.report.results import Results, number_inside, rows_where

# Bands through time are drawn from at most this many members, the first ones (whole replicates).
DRAWN_MEMBERS = 8192


def contrast_figure(results: Results) -> Figure | None:
    """One panel a scenario that was measured beside the first one, at the first shown site; ``None`` where none was."""
    site, table = results.shown_sites[0], results.skill
    if table is None or "reference" not in table or results.members is None:
        return None
    table = rows_where(table, reference=results.scenarios[0], site=site, variable=results.main)
    measured = {arm: rows for arm in results.shown_scenarios if len(rows := rows_where(table, arm=arm))}
    if not measured:
        return None
    bands = {arm: _bands(results, arm, site) for arm in measured}
    limits = _limits(bands, table)
    panels = tuple(_panel(results, arm, bands[arm], rows, limits) for arm, rows in measured.items())
    members = min(results.used(site), DRAWN_MEMBERS)
    caption = (
        f"Difference of {results.noun} from “{results.title_of(results.scenarios[0])}”, member by member, {results.unit}: central bands "
        f"over {count(members)} members, 90 % predictive interval (errors of both measurements added) where it was measured."
    )
    shade = "#4a5563"
    levels = reversed(list(enumerate(results.bands[:2])))
    legend = (
        (swatch("line", shade), "median"),
        *(
            (swatch("band", tint(shade, PARAMETER[i])), f"{100 * level:g} % parameter band")
            for i, (level, _, _) in levels
        ),
        (swatch("band", tint(shade, PREDICTIVE)), "90 % predictive interval"),
        (swatch("point", INK), "measured difference ± 1 standard deviation"),
        (swatch("outside", INK), "outside the 90 % predictive interval"),
    )
    return Figure(panels, caption, legend)


def _bands(results: Results, arm: str, site: str) -> np.ndarray:
    """Quantiles of the paired difference at the drawn records, shape (2 * bands + 1, records), the median last."""
    assert results.members is not None
    both = results.members[results.main].isel(member=slice(DRAWN_MEMBERS), time=results.drawn, site=results.place(site))
    both = both.isel({str(dim): 0 for dim in both.dims if dim not in ("member", "scenario", "time")})
    one, other = (both.sel(scenario=name).transpose("member", "time").values for name in (arm, results.scenarios[0]))
    change = one.astype(np.float64) - other
    levels = [p for level, _, _ in results.bands[:2] for p in (0.5 - level / 2, 0.5 + level / 2)]
    return np.quantile(change[np.isfinite(change).all(axis=1)], [*levels, 0.5], axis=0)


def _limits(bands: dict[str, np.ndarray], table: pd.DataFrame) -> tuple[float, float]:
    columns = (
        table["predictive_low_90"],
        table["predictive_high_90"],
        table["value"] + table["error"],
        table["value"] - table["error"],
    )
    every = np.concatenate([*(np.ravel(b) for b in bands.values()), *(c.to_numpy(float) for c in columns), [0.0]])
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _panel(results: Results, arm: str, bands: np.ndarray, table: pd.DataFrame, limits: tuple[float, float]) -> Panel:
    shade, years = colour(results.scenarios.index(arm)), results.years[results.drawn]
    title = results.title_of(arm)
    label = f"{results.unit} more than {results.title_of(results.scenarios[0])}"

    def paint(figure: Drawing, axes: Axes) -> None:
        low, high = table["predictive_low_90"], table["predictive_high_90"]
        axes.vlines(table["time"], low, high, color=tint(shade, PREDICTIVE + 0.06), linewidth=9)
        for place in range(len(results.bands[:2])):
            edges = bands[2 * place], bands[2 * place + 1]
            axes.fill_between(years, *edges, color=tint(shade, PARAMETER[place]), linewidth=0)
        axes.plot(years, bands[-1], color=shade, linewidth=2)
        axes.axhline(0, color=FAINT, linewidth=1)
        draw_points(axes, table)
        axes.set_ylim(*limits)
        time_axis(axes, years, results.time_label)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_title(fitted(title, TITLE), color=shade, pad=20)
        axes.text(0, 1.015, fitted(label, TITLE + 8), transform=axes.transAxes, fontsize=11.5, color=FAINT, va="bottom")

    spread = float(bands[-1].max() - bands[-1].min()) / 20
    inside = number_inside(table, 90)
    alt = (
        f"{title}, {label}: median {signed(float(bands[-1, 0]), spread)} {results.unit} at first, {signed(float(bands[-1, -1]), spread)} "
        f"at the end; {inside} of {len(table)} measured differences inside the 90 % predictive interval."
    )
    return draw(f"contrast-{results.scenarios.index(arm)}", alt, paint)
