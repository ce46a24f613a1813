"""Maps of a raster study: statistics painted back on their grid, as GeoTIFF and as CF Zarr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from ensemble.errors import StoreRefused
from ensemble.store import Store

KINDS = ("mean", "sd", "quantile", "zone", "uncertainty", "probability_gain")
# Maps of `sequestration` under the names that FAO GSOCseq asks for; {} is the scenario.
GSOCSEQ = {
    "initial_stock_mean": "T0_Map",
    "final_stock_mean": "finalSOC_{}_Map",
    "absolute_rate_mean": "ASR_{}_Map",
    "relative_rate_mean": "RSR_{}_Map",
    "initial_stock_uncertainty": "T0_UncertaintyMap",
    "final_stock_uncertainty": "{}_UncertaintyMap",
    "absolute_rate_uncertainty": "ASR_{}_UncertaintyMap",
    "relative_rate_uncertainty": "RSR_{}_UncertaintyMap",
}


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
    maps = grid_maps(_of_sites(store))
    folder.mkdir(parents=True, exist_ok=True)
    maps.to_zarr(folder / "maps.zarr", mode="w", zarr_format=3, consolidated=False)
    return [
        folder / "maps.zarr",
        *(_write_geotiff(maps, layer, folder / f"{name}.tif") for name, layer in _layers(maps)),
    ]


def write_gsocseq(store: Store, folder: Path) -> list[Path]:
    """Write the GeoTIFFs of a national GSOCseq product: stocks, rates and their uncertainty (%), by FAO's names.

    Names are ``STORE_GSOCseq_ASR_SCENARIO_Map030.tif``, the last digits the depth in cm; scenarios in capitals.

    Raises:
        StoreRefused: the study has no ``sequestration``, or as :func:`write_maps`.
    """
    if not store.has_group("sequestration"):
        raise StoreRefused("the study has no sequestration; give sequestration: {usual: SCENARIO, start: YEAR}")
    statistics, rates = _of_sites(store), store.dataset("sequestration")
    maps = grid_maps(statistics)
    depth = np.unique(statistics["layer_depth"].values * 2) if "layer_depth" in statistics.coords else np.array([])
    ending = f"{depth[0]:03.0f}.tif" if len(depth) == 1 else ".tif"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, pattern in GSOCSEQ.items():
        for arm in [str(a) for a in rates["scenario"].values] if "scenario" in rates[name].dims else [""]:
            if name.startswith("relative") and arm == rates.attrs["usual"]:
                continue
            layer = maps[name].sel(scenario=arm) if arm else maps[name]
            file = folder / f"{store.path.stem}_GSOCseq_{pattern.format(arm.upper())}{ending}"
            files.append(_write_geotiff(maps, layer, file))
    return files


def _of_sites(store: Store) -> xr.Dataset:
    """Every statistic by site, with the cells of the grid.

    Raises:
        StoreRefused: the packages for rasters are not installed.
    """
    try:
        import rioxarray  # noqa: F401
    except ImportError:
        raise StoreRefused('writing maps needs the extra packages of pip install "soc-ensemble[raster]"') from None
    found = store.dataset("statistics")
    if store.has_group("zones"):
        found = found.assign(zone=store.dataset("zones")["zone"].astype(float))
    if store.has_group("sequestration"):
        found = found.assign(dict(store.dataset("sequestration").data_vars))
    if "grid_row" not in found.coords:
        places = store.dataset("members").coords
        found = found.assign_coords({n: places[n] for n in ("grid_row", "grid_column", "crs") if n in places})
    return found.load()


def _write_geotiff(maps: xr.Dataset, layer: xr.DataArray, file: Path) -> Path:
    plain = xr.DataArray(layer.values.astype("float32"), {"y": maps["y"], "x": maps["x"]}, ("y", "x"))
    plain = plain.rio.write_crs(maps["crs"].attrs["crs_wkt"]).rio.write_nodata(np.nan)
    plain.rio.to_raster(file, compress="deflate")
    return file


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
        if "scenario" not in variable.dims:
            yield name, variable
            continue
        for scenario in variable["scenario"].values:
            arm = variable.sel(scenario=scenario, drop=True)
            stem = name if maps.sizes["scenario"] == 1 else f"{name}_{scenario}"
            if "quantile" not in arm.dims:
                yield stem, arm
                continue
            for level in arm["quantile"].values:
                yield f"{stem}_{100 * float(level):g}", arm.sel(quantile=level, drop=True)
