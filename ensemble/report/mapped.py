"""Maps of a raster study: a quantity over its cells, and the zones.

In grey, lightness carries a quantity; zones have lightness for the mean and a texture for the standard deviation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch

from ensemble.mapping.zoning import OUTSIDE
from ensemble.report.content import Figure, Panel
from ensemble.report.drawing import INK, WIDTH, draw
from ensemble.report.numbers import interval

# A map is drawn from at most this many rows and columns; larger ones are averaged over blocks of cells.
DRAWN_CELLS = 400
# Rows of the palette: low, medium, high uncertainty (hue and texture); columns: low, medium, high potential (lightness);
# the last is outside the area of applicability of a learned map.
ZONE_COLOURS = (
    "#d9e8f5", "#7fb2d9", "#0b4f8a", "#e9e3d3", "#bda66b", "#6b5200", "#f3dcea", "#cf84b3", "#7a0f55", "#9aa0a6",
)  # fmt: skip
HATCHES = ("", "...", "////")
MARKS = ("#4a5560", "#2b333b", "#ffffff")  # of a texture on low, medium and high potential
HOTSPOT, UNTRUSTED = 2, 9  # codes of zones
TEXTURE = 640, 8  # pixels of the longer side of a map of zones, and the period of its texture


def is_grid(data: xr.Dataset) -> bool:
    """Whether the sites of a dataset are cells of a raster."""
    return "grid_row" in data.coords and "crs" in data.coords


def on_grid(data: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Values of sites ``(site,)`` on their grid ``(y, x)``, NaN where there is no site."""
    painted = np.full(tuple(int(n) for n in data["crs"].attrs["grid_shape"]), np.nan)
    painted[data["grid_row"].values, data["grid_column"].values] = values
    return painted


def map_panel(data: xr.Dataset, values: np.ndarray, name: str, title: str, unit: str) -> Panel:
    """One map with its scale; a black line where the quantity changes its sign.

    Args:
        data: with the cells of the sites.
        values: ``(site,)``.
        name: unique on the page.
        title, unit: of the panel.
    """
    grid, step = coarsened(on_grid(data, values))
    known = grid[np.isfinite(grid)]

    def paint(figure: Drawing, axes: Axes) -> None:
        limits = np.quantile(known, [0.02, 0.98]) if known.size else (0.0, 1.0)
        low, high = (
            (float(limits[0]), float(limits[1]))
            if limits[1] > limits[0]
            else (float(limits[0]) - 1, float(limits[0]) + 1)
        )
        image = axes.imshow(
            grid, cmap="viridis", vmin=low, vmax=high, interpolation="nearest", **_extent(data, grid, step)
        )
        if known.size and known.min() < 0 < known.max() and min(grid.shape) > 1:
            axes.contour(
                np.nan_to_num(grid),
                [0.0],
                colors="black",
                linewidths=1.1,
                origin="upper",
                extent=_extent(data, grid, step)["extent"],
            )
        bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.85, pad=0.02)
        bar.set_label(unit, color=INK)
        _frame(axes, data, title)

    span = interval(float(known.min()), float(known.max())) if known.size else "no values"
    return draw(name, f"Map of {title}: {span} {unit}.", paint, height=_height(data))


def zone_panel(data: xr.Dataset, zones: np.ndarray, name: str, title: str) -> Panel:
    """Map of zones (``(site,)`` codes 0-8, 9 not to be trusted, -1 none); the hotspots have a black outline."""
    grid = on_grid(data, np.where(zones >= 0, zones, np.nan).astype(float))
    step = -(-max(grid.shape) // DRAWN_CELLS)
    grid = grid[::step, ::step]

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.imshow(_textured(grid), interpolation="nearest", **_extent(data, grid, step))
        hot = (grid == HOTSPOT).astype(float)
        if hot.any() and min(grid.shape) > 1:
            axes.contour(
                hot, [0.5], colors="black", linewidths=1.4, origin="upper", extent=_extent(data, grid, step)["extent"]
            )
        names = [f"{p} / {u}" for u in ("low", "medium", "high") for p in ("low", "medium", "high")]
        signs = [_sign(code, text) for code, text in enumerate(names)]
        grey = f" (grey: {OUTSIDE})" if (grid == UNTRUSTED).any() else ""
        figure.legend(
            handles=signs,
            ncols=3,
            fontsize=10.5,
            frameon=False,
            loc="outside lower center",
            title=f"mean / sd{grey}",
            title_fontsize=10.5,
            handlelength=1.8,
            handleheight=1.1,
            columnspacing=1.0,
        )
        _frame(axes, data, title)

    share = 100 * float((grid == HOTSPOT).sum()) / max(1, int(np.isfinite(grid).sum()))
    return draw(
        name,
        f"Map of zones, {title}: {share:.0f} % of cells have a high mean and a low sd.",
        paint,
        height=_height(data) + 80,
    )


def _sign(code: int, text: str) -> Patch:
    """A zone in the legend."""
    shade, mark = ZONE_COLOURS[code], MARKS[code % 3]
    with rc_context({"hatch.color": mark}):
        return Patch(facecolor=shade, edgecolor=mark, linewidth=0.5, hatch=HATCHES[code // 3], label=text)


def _textured(grid: np.ndarray) -> np.ndarray:
    """Zones ``(y, x)`` as a picture ``(y, x, 4)``: dots where the sd is medium, stripes where it is high."""
    size, period = TEXTURE
    each = max(1, size // max(grid.shape))
    codes = np.repeat(np.repeat(grid, each, axis=0), each, axis=1)
    known = np.isfinite(codes)
    zone = np.where(known, codes, 0).astype(int)
    picture = to_rgba_array(ZONE_COLOURS)[zone]
    y, x = np.indices(codes.shape)
    dots, stripes = (x % period < 2) & (y % period < 2), (x + y) % period < 2
    mark = known & np.where(zone // 3 == 2, stripes, (zone // 3 == 1) & dots)
    picture[mark] = to_rgba_array(MARKS)[zone[mark] % 3]
    picture[..., 3] = known
    return picture


def coarsened(grid: np.ndarray) -> tuple[np.ndarray, int]:
    """A grid averaged over blocks of cells until it has few enough, and how many cells wide a block is."""
    step = -(-max(grid.shape) // DRAWN_CELLS)
    if step == 1:
        return grid, 1
    rows, columns = (-(-n // step) * step for n in grid.shape)
    whole = np.full((rows, columns), np.nan)
    whole[: grid.shape[0], : grid.shape[1]] = grid
    blocks = whole.reshape(rows // step, step, columns // step, step)
    count = np.isfinite(blocks).sum(axis=(1, 3))
    return np.where(count > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(count, 1), np.nan), step


def _transform(data: xr.Dataset) -> tuple[float, float, float, float]:
    x0, dx, _, y0, _, dy = (float(part) for part in data["crs"].attrs["GeoTransform"].split())
    return x0, dx, y0, dy


def _extent(data: xr.Dataset, grid: np.ndarray, step: int) -> dict[str, Any]:
    x0, dx, y0, dy = _transform(data)
    right, bottom = x0 + dx * step * grid.shape[1], y0 + dy * step * grid.shape[0]
    return {"extent": (x0, right, bottom, y0), "aspect": _aspect(data)}


def _aspect(data: xr.Dataset) -> float:
    """Height of a unit of y over the width of one of x: degrees get narrower towards the poles."""
    if "latitude" not in data.coords:
        return 1.0
    return float(1.0 / np.cos(np.radians(np.mean(data["latitude"].values))))


def _height(data: xr.Dataset) -> float:
    rows, columns = (int(n) for n in data["crs"].attrs["grid_shape"])
    _, dx, _, dy = _transform(data)
    shape = abs(dy) * rows / (abs(dx) * columns) * _aspect(data)
    return float(np.clip(0.72 * WIDTH * shape + 70, 190, 420))


def _frame(axes: Axes, data: xr.Dataset, title: str) -> None:
    degrees = "latitude" in data.coords
    axes.set_xlabel("longitude" if degrees else "x, unit of the CRS")
    axes.set_ylabel("latitude" if degrees else "y")
    axes.locator_params(nbins=5)
    axes.set_title(title)


def maps_figure(data: xr.Dataset, output: str, noun: str, unit: str, arm: str, zones: np.ndarray | None) -> Figure:
    """Mean and standard deviation of an output at the end of one scenario, and its zones where there are some.

    Args:
        data: ``/statistics`` with the cells of the sites.
        output, noun, unit: what is drawn, in words.
        arm: scenario.
        zones: ``(site,)`` codes, or ``None``.
    """
    chosen = data.sel(scenario=arm)
    fields = {kind: chosen[f"{output}_{kind}"] for kind in ("mean", "sd")}
    fields = {kind: field.isel(time=-1) if "time" in field.dims else field for kind, field in fields.items()}
    fields = {kind: field for kind, field in fields.items() if np.isfinite(field.values).any()}  # one member has no sd
    titles = {"mean": "mean", "sd": "standard deviation"}
    panels = [map_panel(data, field.values, f"map-{kind}", titles[kind], unit) for kind, field in fields.items()]
    if zones is not None:
        panels.append(zone_panel(data, zones, "map-zones", "zones"))
    members = int(data["members_used"].max())
    text = (
        f"{noun[:1].upper()}{noun[1:]}, {unit}, scenario “{arm}”, over {members:,} members; {len(data['site']):,} cells, scales from the "
        "2nd to the 98th percentile of the cells."
    )
    if "sd" in fields:
        relative = 100 * float(np.nanmedian(fields["sd"].values / np.abs(fields["mean"].values)))
        text += f" The median standard deviation is {relative:.0f} % of the mean."
    if zones is not None:
        text += " Zones compare mean and sd of each cell with those of the whole map; hotspots (high mean, low sd) are outlined; cells with a medium sd are dotted, with a high one hatched."
    return Figure(tuple(panels), text)
