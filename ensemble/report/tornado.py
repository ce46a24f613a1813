"""First-order tornado: what one standard deviation of each input does to the answer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from ensemble.report.content import Figure, Panel
from ensemble.report.drawing import FAINT, INK, TITLE, colour, draw, swatch, tint
from ensemble.report.numbers import fitted, number, signed
from ensemble.report.results import Results

SHOWN_INPUTS = 10


def tornado_figure(results: Results) -> Figure:
    """One panel a scenario, at the first shown site, with the same inputs in the same order and the same axis."""
    assert results.tornado is not None
    site = results.shown_sites[0]
    place = results.place(site)
    arms = [results.scenarios.index(name) for name in results.shown_scenarios]
    effects = results.tornado.effects[:, arms, place]
    order = np.argsort(-np.abs(effects).max(axis=1), kind="stable")[:SHOWN_INPUTS]
    reach = float(np.abs(effects).max()) or 1.0
    panels = tuple(
        _panel(results, arm, site, [results.tornado.labels[i] for i in order], effects[order, column], reach)
        for column, arm in enumerate(arms)
    )
    left_out = len(results.tornado.labels) - len(order)
    caption = (
        f"Change of {results.noun}{results.at} when one input rises by one standard deviation and the others stay, "
        f"{results.unit}, from the model's own gradient at the central values. Marginal effects: correlation between inputs "
        "is left out."
    )
    caption += f" The {left_out} smallest of {len(results.tornado.labels)} inputs are not drawn." if left_out else ""
    caption += f" Site {site}." if len(results.all_sites) > 1 else ""
    legend = (
        (swatch("band", "#4a5563"), "input one standard deviation higher"),
        (swatch("band", tint("#4a5563", 0.3)), "lower"),
    )
    return Figure(panels, caption, legend)


def _panel(results: Results, arm: int, site: str, labels: list[str], effects: np.ndarray, reach: float) -> Panel:
    shade, rows = colour(arm), -np.arange(len(labels), dtype=float)
    title = results.panel_title(results.scenarios[arm], site, TITLE) if len(results.scenarios) > 1 else ""
    scale = reach / 4.0

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.barh(rows, -effects, height=0.34, color=tint(shade, 0.3), linewidth=0)
        axes.barh(rows, effects, height=0.34, color=shade, linewidth=0)
        for row, label, effect in zip(rows, labels, effects, strict=True):
            axes.text(-1.2 * reach, row + 0.37, label, color=INK, va="center", size=11.5)
            axes.text(
                1.2 * reach, row + 0.37, signed(float(effect), scale), color=FAINT, ha="right", va="center", size=11.5
            )
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlim(-1.2 * reach, 1.2 * reach)
        axes.set_ylim(-len(labels) + 0.6, 0.8)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(results.unit)
        axes.set_title(fitted(title, TITLE), color=shade)

    listed = ", ".join(f"{label} {signed(float(effect), scale)}" for label, effect in zip(labels, effects, strict=True))
    alt = f"First-order effects{' in ' + title if title else ''}, {results.unit} per standard deviation: {listed}."
    return draw(f"tornado-{arm}", alt, paint, height=76 + 35 * len(labels))


def largest(results: Results, scenario: str, site: str) -> str:
    """The two largest effects in words."""
    assert results.tornado is not None
    effects = results.tornado.effects[:, results.scenarios.index(scenario), results.place(site)]
    order = np.argsort(-np.abs(effects))[:2]
    scale = float(np.abs(effects).max()) / 4.0
    parts = [f"{results.tornado.labels[i]} (± {number(abs(float(effects[i])), scale)})" for i in order]
    return " and ".join(parts)
