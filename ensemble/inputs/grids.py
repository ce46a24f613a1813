"""Rasters as sites: the valid cells of a grid, one site each, with every layer as a column of the site table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ensemble.errors import InputError
from ensemble.inputs.geodesy import cell_areas
from ensemble.inputs.tables import Table

Floats = NDArray[np.floating[Any]]

# Values that stand for "no data" in many files without being declared, and the share of cells that betrays one.
SPIKES = (-32768.0, -32767.0, -9999.0, -999.0, -99.0, 255.0, 32767.0, 65535.0, 0.0)
SPIKE_SHARE = 0.10
AREA = "area_ha"
# What the axes of a grid are called.
AXES = {"y": ("y", "lat", "latitude", "northing"), "x": ("x", "lon", "longitude", "easting")}


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid and which of its cells are sites.

    Args:
        shape: cells ``(y, x)``.
        crs: coordinate reference system as WKT.
        transform: ``(x0, dx, y0, dy)``: outer corner of the first cell and steps, in the unit of the CRS; dy is
            negative where rows run from north to south.
        projected: whether that unit is a length.
        metres: length of a unit of a projected CRS, m; 1 for degrees.
        rows, columns: ``(site,)`` cell of each site, int32.
    """

    shape: tuple[int, int]
    crs: str
    transform: tuple[float, float, float, float]
    projected: bool
    metres: float
    rows: NDArray[np.integer[Any]]
    columns: NDArray[np.integer[Any]]

    @property
    def cell_km(self) -> tuple[float, float]:
        """Width and height of a cell of a projected grid, km."""
        return abs(self.transform[1]) * self.metres / 1000, abs(self.transform[3]) * self.metres / 1000

    @property
    def axes(self) -> tuple[Floats, Floats]:
        """Centres of the rows (y) and columns (x), in the unit of the CRS."""
        x0, dx, y0, dy = self.transform
        return y0 + dy * (np.arange(self.shape[0]) + 0.5), x0 + dx * (np.arange(self.shape[1]) + 0.5)

    def areas(self) -> Floats:
        """Area of each site's cell, ha: on the ellipsoid for degrees, width times height where projected."""
        if self.projected:
            return np.full(len(self.rows), self.cell_km[0] * self.cell_km[1] * 100)
        _, dx, y0, dy = self.transform
        return cell_areas(y0 + dy * np.arange(self.shape[0] + 1), dx)[self.rows] * 100

    @property
    def places(self) -> tuple[str, ...]:
        """Columns that say where the sites are and how large, besides the layers."""
        return ("x_km", "y_km", AREA) if self.projected else ("longitude", "latitude", AREA)

    def place(self, name: str) -> Floats:
        """One of :attr:`places` at the sites, ``(site,)``, in km, degrees or ha."""
        if name == AREA:
            return self.areas()
        across = name in ("x_km", "longitude")
        centres = self.axes[across][self.columns if across else self.rows]
        return centres * self.metres / 1000 if self.projected else centres

    def paint(self, values: Floats, fill: float = np.nan) -> Floats:
        """Values of sites ``(..., site)`` on the whole grid ``(..., y, x)``."""
        values = np.asarray(values)
        painted = np.full((*values.shape[:-1], *self.shape), fill, dtype=np.result_type(values.dtype, type(fill)))
        painted[..., self.rows, self.columns] = values
        return painted


@dataclass(frozen=True, eq=False)
class CellNames(Sequence[str]):
    """Names of cells, ``r12c7``, made as they are asked for: as text they would be the largest part of a map.

    Args:
        rows, columns: ``(site,)`` cell of each site.
    """

    rows: NDArray[np.integer[Any]]
    columns: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> CellNames: ...
    def __getitem__(self, index: int | slice) -> str | CellNames:
        if isinstance(index, slice):
            return CellNames(self.rows[index], self.columns[index])
        return f"r{self.rows[index]}c{self.columns[index]}"

    def __iter__(self) -> Iterator[str]:
        return (f"r{y}c{x}" for y, x in zip(self.rows, self.columns, strict=True))


@dataclass(frozen=True, eq=False)
class Packed:
    """Numbers of a layer as its file stores them, which takes a few bytes a site, and what they stand for.

    Args:
        stored: ``(site,)``, in the file's own type.
        scale, offset: of the file.
        factor: of the study, on top of them.
    """

    stored: NDArray[Any]
    scale: float
    offset: float
    factor: float

    def numbers(self) -> Floats:
        """The numbers, float64."""
        return (self.stored.astype(np.float64) * self.scale + self.offset) * self.factor


@dataclass(frozen=True)
class GridTable(Table):
    """A site table whose numbers come from rasters.

    Args:
        grid: where the sites are.
        layers: the layers at the sites.
        names: of the classes of layers, by layer.
    """

    grid: Grid = None  # type: ignore[assignment]
    layers: Mapping[str, Packed] = None  # type: ignore[assignment]
    names: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def numbers(self, name: str, blank: float | None = None) -> np.ndarray:
        """A layer, or the place of the sites, worked out anew each time: nobody keeps what a run needs once."""
        self.require([name])
        return self.grid.place(name) if name in self.grid.places else self.layers[name].numbers()

    def rows(self, chosen: np.ndarray) -> GridTable:
        """The table of some sites alone, by their numbers."""
        grid = replace(self.grid, rows=self.grid.rows[chosen], columns=self.grid.columns[chosen])
        layers = {name: replace(layer, stored=layer.stored[chosen]) for name, layer in self.layers.items()}
        return replace(self, lines=self.lines[chosen], grid=grid, layers=layers)

    def text(self, name: str) -> list[str]:
        """A layer as text: names of its classes, or whole numbers without a point, as class codes are written."""
        known = {float(number): text for number, text in self.names.get(name, {}).items()}
        values, place = np.unique(self.numbers(name), return_inverse=True)
        texts = [known.get(float(value), f"{value:g}") for value in values]
        return [texts[index] for index in place]

    def error(self, row: int, column: str, message: str) -> InputError:
        """The error that names a cell."""
        y, x = int(self.grid.rows[row]), int(self.grid.columns[row])
        return InputError(f"{column}: row {y}, column {x} of the grid: {message}", self.file)


@dataclass(frozen=True)
class Layer:
    """Where one layer of a grid comes from.

    Args:
        name: name of its column.
        file: GeoTIFF, NetCDF or Zarr.
        variable: of a NetCDF or Zarr file.
        band: of a GeoTIFF, from 1.
        scale: factor on the stored numbers (SoilGrids: 0.1 for clay in g/kg to %), on top of the file's own.
        nodata: stored number that means no data, where the file does not declare it.
        zero_is_data: a frequent 0 is a value, not missing data.
        names: what whole numbers of a layer of classes stand for.
    """

    name: str
    file: Path
    variable: str | None = None
    band: int = 1
    scale: float = 1.0
    nodata: float | None = None
    zero_is_data: bool = False
    names: Mapping[int, str] = field(default_factory=dict)


def read_grid(layers: Sequence[Layer]) -> GridTable:
    """Layers on one grid as a site table: a cell is a site where every layer has a value.

    Besides the layers the table has ``longitude`` and ``latitude`` or ``x_km`` and ``y_km``, and ``area_ha``.

    Raises:
        InputError: a file cannot be read, has no CRS or another grid than the first, holds what looks like
            undeclared missing data, or no cell has a value in all layers.
    """
    first: tuple[Any, ...] | None = None
    bands, valid = {}, np.array(True)
    for layer in layers:
        bands[layer.name], known, place = _read_layer(layer)
        if first is not None and not same_place(place, first):
            raise InputError(
                f"this layer has another grid or CRS than {layers[0].file.name}; bring both to one grid", layer.file
            )
        first = first or place
        valid = valid & known
    assert first is not None
    if not valid.any():
        raise InputError("no cell has a value in all layers", layers[0].file)
    rows, columns = (index.astype(np.int32) for index in np.nonzero(valid))
    shape, crs, transform, projected, metres = first
    grid = Grid(shape, crs, transform, projected, metres, rows, columns)
    packed = {name: replace(band, stored=band.stored[valid]) for name, band in bands.items()}
    names = {layer.name: layer.names for layer in layers if layer.names}
    columns_of = {name: [] for name in (*packed, *grid.places)}
    return GridTable(layers[0].file, columns_of, np.broadcast_to(0, len(rows)), grid=grid, layers=packed, names=names)


def same_place(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two grids from :func:`place_of` are one: corners apart by less than 1 % of a cell, one CRS."""
    if one[0] != other[0] or not _same_crs(one[1], other[1]):
        return False
    for cells, here in ((one[0][1], 0), (one[0][0], 2)):
        start, step = (abs(one[2][k] - other[2][k]) for k in (here, here + 1))
        if start + cells * step > 0.01 * abs(one[2][here + 1]):
            return False
    return True


def _same_crs(one: str, other: str) -> bool:
    """Whether two CRS in WKT are one, however they are written; degrees on one ellipsoid are one for cells of a map."""
    if one == other:
        return True
    from pyproj import CRS

    first, second = CRS.from_wkt(one), CRS.from_wkt(other)
    bodies = [crs.ellipsoid for crs in (first, second) if crs.is_geographic and crs.ellipsoid is not None]
    if len(bodies) == 2:
        sizes = [(body.semi_major_metre, body.inverse_flattening) for body in bodies]
        return bool(np.allclose(*sizes, rtol=1e-6))
    return first.equals(second, ignore_axis_order=True)


def _oriented(band: Any, file: Path) -> Any:
    """A raster with axes named y and x, rows from north to south and columns from west to east.

    Raises:
        InputError: it has no such axes, or their steps differ.
    """
    found = {str(dim).lower(): str(dim) for dim in band.dims}
    for axis, names in AXES.items():
        known = [found[name] for name in names if name in found]
        if not known:
            listed = ", ".join(map(str, band.dims))
            raise InputError(f"the raster has no axis {axis} ({', '.join(names[1:])}); found: {listed}", file)
        band = band.rename({known[0]: axis}) if known[0] != axis else band
    for axis in AXES:
        steps = np.diff(band[axis].values.astype(float)) if axis in band.coords else np.array([])
        if steps.size and not np.allclose(steps, steps.mean(), rtol=0.01, atol=0):
            raise InputError(f"steps along {axis} differ; resample the raster to a regular grid", file)
        if steps.size and (steps[0] > 0) != (axis == "x"):
            turned = _turned(band.rio.transform(), axis, band.sizes[axis])
            band = band.isel({axis: slice(None, None, -1)}).rio.write_transform(turned)
    return band


def _turned(affine: Any, axis: str, cells: int) -> Any:
    """The transform of a grid whose rows or columns were put in the opposite order."""
    a, b, c, d, e, f = affine[:6]
    whole = (a, b, c, d, -e, f + e * cells) if axis == "y" else (-a, b, c + a * cells, d, e, f)
    return type(affine)(*whole)


@contextmanager
def open_raster(file: Path, variable: str | None) -> Iterator[Any]:
    """A raster as a lazy array as it is stored, with its CRS; axes besides y and x as the file has them.

    Raises:
        InputError: it is not there, cannot be read, or has no such variable.
    """
    try:
        import rioxarray
        import xarray as xr
    except ImportError:
        raise InputError(
            'reading rasters needs the extra packages of pip install "soc-ensemble[raster]"', file
        ) from None
    if not file.exists():
        raise InputError("the file does not exist", file)
    try:
        if variable is None:
            opened = rioxarray.open_rasterio(file, mask_and_scale=False)
            assert isinstance(opened, xr.DataArray)
            with opened:
                yield _oriented(opened, file)
            return
        how: dict[str, Any] = {"engine": "zarr", "consolidated": False} if file.is_dir() else {}
        with xr.open_dataset(file, mask_and_scale=False, decode_coords="all", **how) as data:
            if variable not in data:
                raise InputError(f"there is no variable '{variable}'; found: {', '.join(map(str, data))}", file)
            yield _oriented(data[variable], file)
    except (OSError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the raster cannot be read: {error}", file) from None


def _read_layer(layer: Layer) -> tuple[Packed, NDArray[np.bool_], tuple[Any, ...]]:
    """One layer as it is stored, ``(y, x)``, where it has a value, and where it lies."""
    with open_raster(layer.file, layer.variable) as opened:
        one = opened.isel(band=layer.band - 1) if layer.variable is None else opened.squeeze(drop=True)
        band = one.load()
        known = np.isfinite(decode_band(band, layer))
        refuse_spike(band, layer)
        return Packed(np.asarray(band.values), *_coding(band), layer.scale), known, place_of(band, layer)


def _missing(band: Any, stored: Floats, layer: Layer) -> NDArray[np.bool_]:
    attributes = {**band.encoding, **band.attrs}
    declared = [band.rio.nodata, attributes.get("_FillValue"), attributes.get("missing_value"), layer.nodata]
    numbers = [float(np.ravel(value)[0]) for value in declared if value is not None]
    return ~np.isfinite(stored) | np.isin(stored, [n for n in numbers if np.isfinite(n)])


def decode_band(band: Any, layer: Layer) -> Floats:
    """Numbers of a grid with missing data as NaN and scale factors applied."""
    stored = np.asarray(band.values, np.float64)
    scale, offset = _coding(band)
    return np.where(_missing(band, stored, layer), np.nan, (stored * scale + offset) * layer.scale)


def _coding(band: Any) -> tuple[float, float]:
    """Scale factor and offset that the file declares."""
    attributes = {**band.encoding, **band.attrs}
    return float(attributes.get("scale_factor", 1.0)), float(attributes.get("add_offset", 0.0))


def refuse_spike(band: Any, layer: Layer) -> None:
    """Refuse a frequent number at the edge of the values that looks like undeclared missing data.

    Raises:
        InputError: there is one.
    """
    stored = np.asarray(band.values, np.float64)
    missing = _missing(band, stored, layer)
    values, cells = stored[~missing], missing.size
    for spike in SPIKES:
        share = float((values == spike).sum()) / cells
        if share < SPIKE_SHARE or (spike == 0.0 and layer.zero_is_data):
            continue
        edge = spike in (values.min(), values.max())
        if edge and len(np.unique(values)) > 20:
            extra = ", or zero_is_data: true" if spike == 0 else ""
            raise InputError(
                f"{100 * share:.0f} % of the cells of '{layer.name}' are {spike:g}, which looks like missing data that the "
                f"file does not declare; give nodata: {spike:g}{extra}",
                layer.file,
            )


def place_of(band: Any, layer: Layer) -> tuple[Any, ...]:
    """Where a grid lies: shape (y, x), CRS as WKT, transform, whether it is projected, metres of its unit.

    Raises:
        InputError: it has no CRS or is rotated.
    """
    if band.rio.crs is None:
        raise InputError("the raster has no coordinate reference system; write one into the file", layer.file)
    affine = band.rio.transform()
    if affine.b or affine.d:
        raise InputError("the raster is rotated; resample it to a grid whose rows run east", layer.file)
    crs = band.rio.crs
    metres = float(crs.linear_units_factor[1]) if crs.is_projected else 1.0
    shape = (band.sizes[band.rio.y_dim], band.sizes[band.rio.x_dim])
    return shape, crs.to_wkt(), (affine.c, affine.a, affine.f, affine.e), bool(crs.is_projected), metres
