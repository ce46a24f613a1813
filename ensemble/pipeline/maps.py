"""Maps of a raster study: statistics painted back on their grid, as GeoTIFF and as CF Zarr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from ensemble.errors import StoreRefused
from ensemble.store import Store

KINDS = ("mean", "sd", "quantile", "zone")


def grid_maps(statistics: xr.Dataset) -> xr.Dataset:
    """Statistics of a raster study with axes ``y`` and ``x`` in place of ``site``, NaN where there is no site.

    Raises:
        StoreRefused: the sites are no cells of a raster.
    """
    if "grid_row" not in statistics.coords:
        raise StoreRefused("maps need sites that are cells of a raster; give sites: {rasters: ...} in the study")
    rows, columns = statistics["grid_row"].values, statistics["grid_column"].values
    shape = tuple(int(n) for n in statistics["crs"].attrs["grid_shape"])
    x0, dx, _, y0, _, dy = (float(part) for part in statistics["crs"].attrs["GeoTransform"].split())

    def paint(variable: xr.DataArray) -> xr.Variable:
        moved = variable.transpose(..., "site")
        painted = np.full((*moved.shape[:-1], *shape), np.nan)
        painted[..., rows, columns] = moved.values
        return xr.Variable((*moved.dims[:-1], "y", "x"), painted, {**variable.attrs, "grid_mapping": "crs"})

    maps = {name: paint(variable) for name, variable in statistics.data_vars.items() if "site" in variable.dims}
    axes = {"y": y0 + dy * (np.arange(shape[0]) + 0.5), "x": x0 + dx * (np.arange(shape[1]) + 0.5)}
    kept = {name: coord for name, coord in statistics.coords.items() if "site" not in coord.dims}
    return xr.Dataset(maps, {**kept, **axes}, statistics.attrs)


def write_maps(store: Store, folder: Path) -> list[Path]:
    """Write ``maps.zarr`` with every statistic, and a GeoTIFF of mean, sd and quantiles of each output.

    GeoTIFFs hold the end of the run, one file for each output, scenario and statistic.

    Raises:
        StoreRefused: the store is not of a raster, or the packages for rasters are not installed.
    """
    try:
        import rioxarray  # noqa: F401
    except ImportError:
        raise StoreRefused('writing maps needs the extra packages of pip install "soc-ensemble[raster]"') from None
    statistics = store.dataset("statistics")
    if store.has_group("zones"):
        statistics = statistics.assign(zone=store.dataset("zones")["zone"].astype(float))
    if "grid_row" not in statistics.coords:
        places = store.dataset("members").coords
        statistics = statistics.assign_coords({n: places[n] for n in ("grid_row", "grid_column", "crs") if n in places})
    maps = grid_maps(statistics.load())
    folder.mkdir(parents=True, exist_ok=True)
    maps.to_zarr(folder / "maps.zarr", mode="w", zarr_format=3, consolidated=False)
    files = [folder / "maps.zarr"]
    for name, layer in _layers(maps):
        plain = xr.DataArray(layer.values.astype("float32"), {"y": maps["y"], "x": maps["x"]}, ("y", "x"))
        plain = plain.rio.write_crs(maps["crs"].attrs["crs_wkt"]).rio.write_nodata(np.nan)
        plain.rio.to_raster(folder / f"{name}.tif", compress="deflate")
        files.append(folder / f"{name}.tif")
    return files


def _layers(maps: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    """Name and map of every GeoTIFF."""
    for key, variable in maps.data_vars.items():
        name = str(key)
        if not name.endswith(KINDS):
            continue
        variable = variable.isel(time=-1, drop=True) if "time" in variable.dims else variable
        extra = [dim for dim in variable.dims if dim not in ("scenario", "quantile", "y", "x")]
        if extra:
            continue
        for scenario in variable["scenario"].values:
            arm = variable.sel(scenario=scenario, drop=True)
            stem = name if maps.sizes["scenario"] == 1 else f"{name}_{scenario}"
            if "quantile" not in arm.dims:
                yield stem, arm
                continue
            for level in arm["quantile"].values:
                yield f"{stem}_{100 * float(level):g}", arm.sel(quantile=level, drop=True)
