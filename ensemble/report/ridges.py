"""Distributions at the last record, one above the other, with median and intervals named."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter1d

from ensemble.report.content import Panel
from ensemble.report.drawing import FAINT, INK, draw, tint
from ensemble.report.numbers import fitted, interval, number

GRID_POINTS = 160
LABEL = 46  # letters of a label that fit over a panel
HILL = 0.52  # height of a distribution, in rows
FLAT = 0.003  # part of the highest density below which nothing is drawn


class Layout(NamedTuple):
    """Pixels of a row, and where in it (0 to 1) its label and numbers stand."""

    row: float
    label: float
    numbers: float


WITH_HILL, BARS_ONLY = Layout(112, 0.83, 0.65), Layout(66, 0.66, 0.34)


class Ridge(NamedTuple):
    """One distribution.

    Args:
        label: what it is of.
        shade: colour.
        members: values; ``None`` where only quantiles are known.
        bands: (level, low, high), the widest first.
        centre: median, or mean where no median is known.
        note: said after the interval.
    """

    label: str
    shade: str
    members: np.ndarray | None
    bands: tuple[tuple[float, float, float], ...]
    centre: float
    note: str = ""


def from_members(label: str, shade: str, members: np.ndarray, bands: list[float], note: str = "") -> Ridge:
    """A ridge of members that are at hand."""
    edges = [(level, *np.quantile(members, [0.5 - level / 2, 0.5 + level / 2])) for level in bands]
    return Ridge(
        label, shade, members, tuple((a, float(b), float(c)) for a, b, c in edges), float(np.median(members)), note
    )


def ridge_panel(name: str, ridges: list[Ridge], unit: str, zero: bool = False) -> Panel:
    """A panel of distributions on one axis.

    Args:
        name: unique on the page.
        ridges: from the top.
        unit: label of the axis.
        zero: mark zero, for changes.
    """
    low, high = _range(ridges, zero)
    grid = np.linspace(low, high, GRID_POINTS)
    layout = BARS_ONLY if all(r.members is None for r in ridges) else WITH_HILL
    heights = [None if r.members is None else density(r.members, grid) for r in ridges]

    def paint(figure: Drawing, axes: Axes) -> None:
        for row, (ridge, height) in enumerate(zip(ridges, heights, strict=True)):
            _one(axes, ridge, height, grid, -float(row), layout)
        if zero:
            axes.axvline(0, color=FAINT, linewidth=1.2, linestyle=(0, (1, 2)))
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-len(ridges) + 0.8, 0.95)
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel(unit)

    alt = "; ".join(f"{r.label}: {_words(r)}" for r in ridges) + f" ({unit})."
    return draw(name, alt, paint, height=66 + layout.row * len(ridges))


def density(members: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Density on an even grid, highest point 1: a fine histogram smoothed with Silverman's width (1986, eq. 3.31)."""
    step = grid[1] - grid[0]
    spread = min(float(members.std()), float(np.subtract(*np.quantile(members, [0.75, 0.25]))) / 1.34)
    counts, _ = np.histogram(members, np.append(grid - step / 2, grid[-1] + step / 2))
    smooth = gaussian_filter1d(
        counts.astype(float), max(0.9 * spread * len(members) ** -0.2 / step, 0.3), mode="constant"
    )
    return smooth / max(smooth.max(), 1e-300)


def _range(ridges: list[Ridge], zero: bool) -> tuple[float, float]:
    ends = [edge for r in ridges for edge in _ends(r) if np.isfinite(edge)] + ([0.0] if zero else [])
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _ends(ridge: Ridge) -> tuple[float, ...]:
    if ridge.members is not None and ridge.members.size:
        return tuple(float(v) for v in np.quantile(ridge.members, [0.002, 0.998]))
    return tuple(edge for _, low, high in ridge.bands for edge in (low, high)) or (ridge.centre,)


def _one(axes: Axes, ridge: Ridge, height: np.ndarray | None, grid: np.ndarray, base: float, layout: Layout) -> None:
    if height is not None:
        _hill(axes, ridge, height, grid, base)
    for (_, low, high), width in zip(ridge.bands[:2], (2.2, 5.5), strict=False):
        axes.plot([low, high], [base - 0.07] * 2, color=ridge.shade, linewidth=width, solid_capstyle="butt")
    axes.plot([ridge.centre], [base - 0.07], "o", color="white", markeredgecolor=INK, markersize=6, zorder=5)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    place = {"transform": axes.get_yaxis_transform(), "va": "center", "bbox": box}
    axes.text(0.0, base + layout.label, fitted(ridge.label, LABEL), color=ridge.shade, weight="bold", **place)
    axes.text(
        0.0, base + (layout.numbers if ridge.label else layout.label), _words(ridge), color=INK, size=11.5, **place
    )


def _hill(axes: Axes, ridge: Ridge, height: np.ndarray, grid: np.ndarray, base: float) -> None:
    """Shaded density; the line is left out where there is next to nothing."""
    top = base + HILL * height
    shades = [tint(ridge.shade, share) for share in (0.25, 0.5, 0.8)]
    axes.fill_between(grid, base, top, where=list(height > FLAT), color=shades[0], linewidth=0)
    for (_, low, high), shade in zip(ridge.bands[:2], shades[1:], strict=False):
        inside = list((grid >= low) & (grid <= high))
        axes.fill_between(grid, base, top, where=inside, color=shade, linewidth=0)
    axes.plot(grid, np.where(height > FLAT, top, np.nan), color=ridge.shade, linewidth=1.4)


def _words(ridge: Ridge) -> str:
    if not ridge.bands:
        return number(ridge.centre)
    level, low, high = ridge.bands[0]
    scale = (high - low) / 4.0
    return f"{number(ridge.centre, scale)} ({100 * level:g} %: {interval(low, high)}){ridge.note}"
