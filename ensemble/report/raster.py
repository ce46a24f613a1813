"""Maps of sites that are cells of a grid or places of a table, with a scale and numbered marks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Drawing
from matplotlib.image import AxesImage

from ensemble.mapping.zoning import OUTSIDE
from ensemble.report.content import Panel
from ensemble.report.drawing import draw
from ensemble.report.mapped import UNTRUSTED, ZONE_COLOURS, coarsened, is_grid, on_grid
from ensemble.report.mapped import zone_panel as grid_zone_panel
from ensemble.report.numbers import interval

WIDTH, HEIGHT = 330, 300


def map_panel(
    name: str,
    title: str,
    places: xr.Dataset,
    values: np.ndarray,
    unit: str,
    palette: str = "viridis",
    limits: tuple[float, float] | None = None,
    marks: np.ndarray | None = None,
) -> Panel:
    """One map.

    Args:
        name: of the panel, unique on the page.
        title: over the map.
        places: has ``grid_row``, ``grid_column`` and ``crs``, or ``x_km`` and ``y_km``, or ``longitude`` and
            ``latitude``, on the dimension ``site``.
        values: ``(site,)``, NaN where there is none.
        unit: of the values.
        palette: name of a Matplotlib colour map.
        limits: of the scale; those of the values if ``None``.
        marks: ``(mark,)`` numbers of sites that are marked and numbered in order.
    """
    known = values[np.isfinite(values)]
    span = limits or ((float(known.min()), float(known.max())) if known.size else (0.0, 1.0))

    def paint(figure: Drawing, axes: Axes) -> None:
        shown = _paint(axes, places, values, palette, span, marks)
        bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.set_label(unit)
        axes.set_title(title)

    return draw(name, f"Map of {title.lower()}: {interval(*span)} {unit}.", paint, WIDTH, HEIGHT)


def zone_panel(name: str, title: str, places: xr.Dataset, zones: np.ndarray) -> Panel:
    """Zones of potential against uncertainty, ``(site,)`` codes 0 to 8, 9 not to be trusted, -1 for none."""
    if is_grid(places):
        return grid_zone_panel(places, zones, name, title)
    values = np.where(zones < 0, np.nan, zones)

    def paint(figure: Drawing, axes: Axes) -> None:
        _paint(axes, places, values, ListedColormap(ZONE_COLOURS), (-0.5, UNTRUSTED + 0.5), None)
        axes.set_title(title)
        key = axes.inset_axes((1.06, 0.1, 0.3, 0.3))
        nine = ListedColormap(ZONE_COLOURS[:UNTRUSTED])
        key.imshow(np.arange(9).reshape(3, 3), cmap=nine, vmin=-0.5, vmax=8.5, origin="lower")
        key.set_xticks([0, 2], ["low", "high"])
        key.set_yticks([0, 2], ["low", "high"])
        key.set_xlabel("mean")
        key.set_ylabel("uncertainty")
        if (zones == UNTRUSTED).any():
            key.set_title(f"grey: {OUTSIDE}".replace(" of", "\nof"), fontsize=9)

    share = 100 * float((zones == 2).sum()) / max(int((zones >= 0).sum()), 1)
    return draw(
        name, f"{title}: {share:.0f} % of the sites are of high mean and low uncertainty.", paint, WIDTH + 60, HEIGHT
    )


def _paint(
    axes: Axes,
    places: xr.Dataset,
    values: np.ndarray,
    palette: str | ListedColormap,
    span: tuple[float, float],
    marks: Sequence[int] | np.ndarray | None,
) -> AxesImage | PathCollection:
    look = {"cmap": palette, "vmin": span[0], "vmax": span[1]}
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if is_grid(places):
        grid, block = coarsened(on_grid(places, values))
        step = float(places["crs"].attrs["GeoTransform"].split()[5])
        shown = axes.imshow(grid, origin="upper" if step < 0 else "lower", interpolation="nearest", **look)  # type: ignore[arg-type]
        x, y = (places[name].values / block for name in ("grid_column", "grid_row"))
    else:
        x, y = (places[n].values for n in (("x_km", "y_km") if "x_km" in places.coords else ("longitude", "latitude")))
        shown = axes.scatter(x, y, c=values, s=8, linewidths=0, **look)  # type: ignore[arg-type]
        axes.set_aspect("equal" if "x_km" in places.coords else "auto")
    for rank, site in enumerate(marks if marks is not None else (), start=1):
        axes.plot(x[site], y[site], marker="o", markersize=9, color="#ffffff", markeredgecolor="#1c2430")
        axes.text(x[site], y[site], str(rank), ha="center", va="center", fontsize=7)
    return shown
