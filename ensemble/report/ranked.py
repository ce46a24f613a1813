"""Many sites at a glance: every site's mean and interval, in order of the mean."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from ensemble.report.content import Figure, Panel
from ensemble.report.drawing import colour, draw, tint
from ensemble.report.numbers import count, interval
from ensemble.report.results import Results

DRAWN_RANKS = 200


def ranked_figure(results: Results) -> Figure:
    """One panel a scenario, all sites that have members left, same axis."""
    limits = _limits(results)
    panels = tuple(_panel(results, arm, limits) for arm in results.shown_scenarios)
    text = f"Mean (line){results.at}, {results.unit}, of each of {count(len(results.all_sites))} sites, in order of the mean"
    if results.bands:
        text += f"; shaded, each site's own central {100 * results.bands[0][0]:g} % interval over members"
    return Figure(panels, text + ".")


def _limits(results: Results) -> tuple[float, float]:
    """Smallest and largest number of all panels; read one statistic at a time."""
    low, high = np.inf, -np.inf
    for arm in results.shown_scenarios:
        for what in ("mean", "quantile") if results.bands else ("mean",):
            values = site_values(results, what, arm)
            known = np.isfinite(values)
            low = min(low, float(values.min(where=known, initial=np.inf)))
            high = max(high, float(values.max(where=known, initial=-np.inf)))
    return (low, high) if low <= high else (0.0, 1.0)


def site_values(results: Results, what: str, scenario: str) -> np.ndarray:
    """A statistic at the last record for all sites, shape (sites,) or (quantiles, sites)."""
    chosen = results.statistics[f"{results.main}_{what}"].sel(scenario=scenario)
    drop = {str(d): -1 if d == "time" else 0 for d in chosen.dims if d not in ("site", "quantile")}
    return chosen.isel(drop).values


def _panel(results: Results, scenario: str, limits: tuple[float, float]) -> Panel:
    mean = site_values(results, "mean", scenario)
    order = np.argsort(np.where(np.isfinite(mean), mean, np.inf), kind="stable")[: int(np.isfinite(mean).sum())]
    order = (
        order[np.unique(np.linspace(0, len(order) - 1, min(len(order), DRAWN_RANKS)).round().astype(int))]
        if len(order)
        else order
    )
    quantiles = site_values(results, "quantile", scenario)[:, order] if results.bands else None
    ranks, arm = np.linspace(0, 100, len(order)), results.scenarios.index(scenario)
    shade = colour(arm)

    def paint(figure: Drawing, axes: Axes) -> None:
        if quantiles is not None and len(order):
            _, low, high = results.bands[0]
            axes.fill_between(ranks, quantiles[low], quantiles[high], color=tint(shade, 0.35), linewidth=0)
        axes.plot(ranks, mean[order], color=shade, linewidth=2)
        axes.set_ylim(*limits)
        axes.set_xlim(0, 100)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("% of sites with a lower mean")
        axes.set_title(results.title_of(scenario) if len(results.scenarios) > 1 else "", color=shade, pad=18)
        axes.text(0, 1.015, results.unit, transform=axes.transAxes, fontsize=11.5, color="#5b6472", va="bottom")

    known = mean[np.isfinite(mean)]
    span = interval(float(known.min()), float(known.max())) if known.size else "none"
    return draw(f"ranked-{arm}", f"Site means, {results.title_of(scenario)}: {span} {results.unit}.", paint)
