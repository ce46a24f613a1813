"""Figures of totals and credits. Position, width and shape carry them as well as colour, so they read in grey."""

from __future__ import annotations

from textwrap import fill

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from scipy.stats import norm

from ensemble.report.content import Figure
from ensemble.report.drawing import FAINT, INK, colour, draw, tint
from ensemble.report.numbers import fitted, number

MARKS = {"independent": ("o", 0), "modelled": ("s", 1), "dependent": ("^", 2)}
WORDS = {"independent": "independent", "modelled": "as modelled", "dependent": "fully dependent"}
SHOWN_CLASSES = 12
SITE_MARKS = ("o", "s", "^", "D", "v", "X", "P", "<", "*")


def totals_figure(totals: xr.Dataset) -> Figure:
    """Standard deviation of each class's total under the three assumptions, percent of the mean, first scenario."""
    data = totals.isel(scenario=0)
    names = [str(name) for name in data["class"].values]
    classes = names[:-1] if len(names) > 2 else []  # one class is the same as all
    shown = names[-1:] + classes[:SHOWN_CLASSES]
    values = {
        kind: np.array(
            [
                100 * float(data["sd"].sel({"class": n, "assumption": kind}) / abs(data["mean"].sel({"class": n})))
                for n in shown
            ]
        )
        for kind in MARKS
    }
    rows = np.arange(len(shown), dtype=float)[::-1]

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.hlines(rows, values["independent"], values["dependent"], color="#c3c9d0", linewidth=1.2)
        for kind, (mark, index) in MARKS.items():
            axes.plot(
                values[kind],
                rows,
                mark,
                color=colour(index),
                markersize=7 if kind == "modelled" else 6,
                label=WORDS[kind],
                fillstyle="full" if kind == "modelled" else "none",
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yticks(rows, [fill(fitted("all classes" if name == "all" else name, 36), 18) for name in shown])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("standard deviation, % of the total")
        figure.legend(
            frameon=False,
            fontsize=10.5,
            loc="outside upper center",
            ncols=3,
            handletextpad=0.1,
            columnspacing=0.8,
        )

    alt = "; ".join(
        f"{n}: " + ", ".join(f"{WORDS[k]} {number(float(values[k][i]))} %" for k in MARKS) for i, n in enumerate(shown)
    )
    left_out = len(classes) + 1 - len(shown)
    text = (
        f"Standard deviation of the total of {totals.attrs['output']} of each class as a percentage of that total, with errors of "
        f"sites independent, as modelled and fully dependent; {totals.attrs['members']:,} members, logarithmic axis."
    )
    text += f" {left_out} classes are not drawn." if left_out else ""
    return Figure((draw("totals", alt, paint, height=125 + 34 * len(shown)),), text)


def credits_figure(credits: xr.Dataset) -> Figure:
    """Probability of exceedance with the credited quantile, and the waterfall from gross to net."""
    mean, error, credited = (float(credits[name]) for name in ("mean", "standard_error", "credited"))
    draws = np.sort(credits["change_by_draw"].values)
    exceeded = 100 * (1 - (np.arange(draws.size) + 0.5) / draws.size)
    reach = 3.2 * max(error, float(draws.std()), 1e-12)
    grid = np.linspace(mean - reach, mean + reach, 161)
    level = 100 * float(norm.sf((credited - mean) / error)) if error > 0 else 100.0

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.plot(draws, exceeded, color=FAINT, linewidth=1.3, linestyle=(0, (4, 2)), label="model error alone (draws)")
        axes.plot(
            grid,
            100 * norm.sf((grid - mean) / max(error, 1e-12)),
            color=colour(0),
            linewidth=2.2,
            label="with sampling error",
        )
        axes.vlines([mean, credited], 0, [50, level], color=[FAINT, INK], linewidth=[1.0, 1.6])
        axes.plot([credited], [level], "o", color=INK, markersize=7)
        axes.annotate(
            f"credited\n{number(credited, error)}",
            (credited, level),
            (-8, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            color=INK,
        )
        axes.annotate(f"mean {number(mean, error)}", (mean, 50), (7, 4), textcoords="offset points", color=FAINT)
        axes.set_ylim(0, 100)
        axes.set_xlim(float(grid[0]), float(grid[-1]))
        axes.set_xlabel("change, project minus baseline, t CO2e/ha")
        axes.set_ylabel("probability of at least this, %")
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.legend(frameon=False, fontsize=10, loc="upper right")

    alt = f"Probability of exceedance of the change: mean {number(mean, error)}, credited {number(credited, error)} t CO2e/ha at {level:.1f} %."
    text = (
        f"Left: probability that the change of the whole project is at least as large ({credits.attrs['draws']:,} draws at "
        f"{credits.attrs['points']} points; solid: normal curve of the estimate, model and sampling error), with the credited amount at "
        f"{level:.1f} %. Right: from the gross change to the net amount, whole project and period, t CO2e."
    )
    return Figure((draw("credits-exceedance", alt, paint), _waterfall(credits)), text)


def _waterfall(credits: xr.Dataset):  # noqa: ANN202
    steps = [str(step) for step in credits["step"].values]
    change, left = credits["step_change"].values, credits["step_left"].values
    base = np.where(np.isin(steps, ["gross", "net"]), 0.0, left - change)
    height = np.where(np.isin(steps, ["gross", "net"]), left, change)
    places = np.arange(len(steps), dtype=float)

    def paint(figure: Drawing, axes: Axes) -> None:
        whole = np.isin(steps, ["gross", "net"])
        shades = [colour(0) if w else tint(colour(1), 0.75) for w in whole]
        bars = axes.bar(places, height, bottom=base, color=shades, width=0.66, linewidth=0)
        for bar, w in zip(bars, whole, strict=True):
            bar.set_hatch("" if w else "///")
        axes.hlines(left[:-1], places[:-1] + 0.33, places[1:] - 0.33, color=FAINT, linewidth=0.9)
        span = float(np.ptp([0.0, *left])) or 1.0
        for x, y, value in zip(places, np.maximum(base, base + height), height, strict=True):
            axes.text(
                x,
                y + 0.015 * span,
                number(float(value), span / 100),
                ha="center",
                va="bottom",
                fontsize=10.5,
                color=INK,
            )
        axes.axhline(0, color=INK, linewidth=0.9)
        axes.set_xticks(places, steps)
        axes.set_ylabel("t CO2e")
        axes.margins(y=0.12)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.ticklabel_format(axis="y", useOffset=False, style="plain")

    parts = ", ".join(f"{step} {number(float(c))}" for step, c in zip(steps, height, strict=True))
    return draw("credits-waterfall", f"Waterfall, t CO2e: {parts}.", paint)


def sweep_figure(sweeps: xr.Dataset) -> Figure:
    """What an output does along each swept input, one line a site (Figure 5 of Zhou et al. 2023)."""
    panels, sites = [], [str(site) for site in sweeps["site"].values]
    styles = ("-", (0, (5, 2)), (0, (1, 1.4)))
    for name in sweeps.attrs["inputs"]:
        levels, response = sweeps[f"{name}_level"].values, sweeps[f"{name}_response"].values

        def paint(figure: Drawing, axes: Axes, name: str = name, levels=levels, response=response) -> None:  # noqa: ANN001
            for index, site in enumerate(sites):
                axes.plot(
                    levels,
                    response[:, index],
                    color=colour(index),
                    linestyle=styles[index // 3 % 3],
                    linewidth=1.8,
                    marker=SITE_MARKS[index % len(SITE_MARKS)],
                    markevery=(0, max(1, len(levels) // 6)),
                    markersize=5,
                    label=fitted(site, 16),
                )
            if response.min() < 0 < response.max():
                axes.axhline(0, color=INK, linewidth=0.8)
            unit = sweeps[f"{name}_level"].attrs["units"]
            what = sweeps[f"{name}_level"].attrs["long_name"] + ("" if unit == "1" else f", {unit}")
            axes.set_xlabel(fill(what, 36))
            axes.set_ylabel(sweeps.attrs["unit"])
            axes.grid(axis="y")
            if name == sweeps.attrs["inputs"][0]:
                axes.legend(frameon=False, fontsize=9.5, ncols=2, handlelength=2.4, columnspacing=0.8)

        ends = ", ".join(
            f"{site} {number(float(response[0, i]))} to {number(float(response[-1, i]))}"
            for i, site in enumerate(sites)
        )
        panels.append(
            draw(f"sweep-{name}".replace("_", "-"), f"{sweeps.attrs['what']} along {name}: {ends}.", paint, height=320)
        )
    text = f"{sweeps.attrs['what']}, {sweeps.attrs['unit']}, when one input is set and the others stay at their base; {len(sites)} of {sweeps.attrs['sites']} sites, scenario “{sweeps.attrs['scenario']}”. Nothing is drawn at random, so there is no interval."
    return Figure(tuple(panels), text)
