"""Pools through time: means that add up to the mean of the total."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Drawing

from ensemble.report.content import Figure, Panel
from ensemble.report.drawing import TITLE, colour, draw, time_axis
from ensemble.report.numbers import fitted, number
from ensemble.report.results import Results

# A pool thinner than this part of the axis is named in the legend only.
THIN = 0.045


def pools_figure(results: Results) -> Figure:
    """One panel a scenario, at the first shown site."""
    site = results.shown_sites[0]
    stacks = {
        s: np.stack([results.statistic(p, "mean", s, site)[results.drawn] for p in results.pools])
        for s in results.shown_scenarios
    }
    top = 1.05 * max(float(np.nanmax(stack.sum(axis=0))) for stack in stacks.values())
    shades = [to_hex(colormaps["cividis"](x)) for x in np.linspace(0.05, 0.92, len(results.pools))]
    panels = tuple(_panel(results, scenario, site, stack, shades, top) for scenario, stack in stacks.items())
    names = [_name(results, pool) for pool in results.pools]
    legend = tuple(
        (
            f'<svg class="swatch" viewBox="0 0 24 14" aria-hidden="true"><rect x="1" y="2" width="22" height="10" fill="{shade}"/></svg>',
            name,
        )
        for shade, name in zip(shades, names, strict=True)
    )
    caption = f"Means over members, {results.unit}; they add up to the mean total. The lowest area is the slowest pool."
    return Figure(panels, caption, legend[::-1])


def _name(results: Results, pool: str) -> str:
    return str(results.statistics[f"{pool}_mean"].attrs.get("long_name", pool))


def _panel(results: Results, scenario: str, site: str, stack: np.ndarray, shades: list[str], top: float) -> Panel:
    years, title = results.years[results.drawn], results.panel_title(scenario, site, TITLE)
    arm = results.scenarios.index(scenario)

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.stackplot(years, stack, colors=shades, edgecolor="white", linewidth=0.8)
        middle = np.cumsum(stack[:, -1]) - stack[:, -1] / 2.0
        for place, (height, thick) in enumerate(zip(middle, stack[:, -1], strict=True)):
            if thick > THIN * top:
                ink = "white" if place < len(shades) / 2 else "#1c2430"
                axes.annotate(results.pools[place].upper(), (years[-1], height), (-6, 0), textcoords="offset points",
                              ha="right", va="center", color=ink, size=11.5, weight="bold")  # fmt: skip
        time_axis(axes, years, results.time_label, margin=0.0)
        axes.set_ylim(0, top)
        axes.set_title(fitted(title, TITLE), color=colour(arm), pad=20 if title else 6)
        axes.text(0, 1.015, results.unit, transform=axes.transAxes, fontsize=11.5, color="#5b6472", va="bottom")

    parts = ", ".join(
        f"{pool} {number(float(v), top / 20)}" for pool, v in zip(results.pools, stack[:, -1], strict=True)
    )
    return draw(f"pools-{arm}", f"Pools{results.at}{', ' + title if title else ''}, {results.unit}: {parts}.", paint)
