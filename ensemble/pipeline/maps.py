"""Maps of a raster study or learned from samples: layers painted back on their grid, as GeoTIFF and as CF Zarr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask.array
import numpy as np
import xarray as xr
import zarr

from ensemble.errors import StoreRefused
from ensemble.store import Store

LEARNED = "maps"  # group of the store of learned maps; each of its layers is a map
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


def painted(statistics: xr.Dataset, values: np.ndarray, dtype: str = "float64") -> np.ndarray:
    """Values of sites ``(site,)`` on their grid ``(y, x)``, NaN where there is no site."""
    grid = np.full(_shape(statistics), np.nan, dtype)
    grid[statistics["grid_row"].values, statistics["grid_column"].values] = values
    return grid


def _shape(statistics: xr.Dataset) -> tuple[int, ...]:
    return tuple(int(n) for n in statistics["crs"].attrs["grid_shape"])


def _axes(statistics: xr.Dataset) -> dict[str, np.ndarray]:
    """Centres of the rows and columns of the grid."""
    x0, dx, _, y0, _, dy = (float(part) for part in statistics["crs"].attrs["GeoTransform"].split())
    rows, columns = _shape(statistics)
    return {"y": y0 + dy * (np.arange(rows) + 0.5), "x": x0 + dx * (np.arange(columns) + 0.5)}


def _write_grids(statistics: xr.Dataset, path: Path) -> None:
    """Every statistic with axes ``y`` and ``x`` in place of ``site``: an empty store first, then one grid at a time."""
    shape = _shape(statistics)
    of_sites = {str(name): v.transpose(..., "site") for name, v in statistics.data_vars.items() if "site" in v.dims}
    empty = {
        name: (
            (*v.dims[:-1], "y", "x"),
            dask.array.full((*v.shape[:-1], *shape), np.nan, chunks=(*(1,) * (v.ndim - 1), *shape)),
            {**v.attrs, "grid_mapping": "crs"},
        )
        for name, v in of_sites.items()
    }
    kept = {name: coord for name, coord in statistics.coords.items() if "site" not in coord.dims}
    template = xr.Dataset(empty, {**kept, **_axes(statistics)}, statistics.attrs)
    template.to_zarr(path, mode="w", zarr_format=3, consolidated=False, compute=False)
    for name, variable in of_sites.items():
        array = zarr.open_array(path, path=name, mode="r+")
        for index in np.ndindex(*variable.shape[:-1]):
            array[index] = painted(statistics, variable[index].values)


def write_maps(store: Store, folder: Path) -> list[Path]:
    """Write ``maps.zarr`` with every statistic, and a GeoTIFF of mean, sd and quantiles of each output.

    GeoTIFFs hold the end of the run, one file for each output, scenario and statistic; of learned maps, every layer.

    Raises:
        StoreRefused: the store is not of a raster, or the packages for rasters are not installed.
    """
    statistics, kinds = _of_sites(store), ("",) if store.has_group(LEARNED) else KINDS
    folder.mkdir(parents=True, exist_ok=True)
    _write_grids(statistics, folder / "maps.zarr")
    return [
        folder / "maps.zarr",
        *(_write_geotiff(statistics, layer, folder / f"{name}.tif") for name, layer in _layers(statistics, kinds)),
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
    depth = np.unique(statistics["layer_depth"].values * 2) if "layer_depth" in statistics.coords else np.array([])
    ending = f"{depth[0]:03.0f}.tif" if len(depth) == 1 else ".tif"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, pattern in GSOCSEQ.items():
        for arm in [str(a) for a in rates["scenario"].values] if "scenario" in rates[name].dims else [""]:
            if name.startswith("relative") and arm == rates.attrs["usual"]:
                continue
            layer = statistics[name].sel(scenario=arm) if arm else statistics[name]
            file = folder / f"{store.path.stem}_GSOCseq_{pattern.format(arm.upper())}{ending}"
            files.append(_write_geotiff(statistics, layer, file))
    return files


def _of_sites(store: Store) -> xr.Dataset:
    """Every statistic by site, unread, with the cells of the grid.

    Raises:
        StoreRefused: the packages for rasters are not installed, or the sites are no cells of a raster.
    """
    try:
        import rioxarray  # noqa: F401
    except ImportError:
        raise StoreRefused('writing maps needs the extra packages of pip install "soc-ensemble[raster]"') from None

    def opened(group: str) -> xr.Dataset:
        return store.dataset(group, without=("site",))

    found = opened(LEARNED if store.has_group(LEARNED) else "statistics")
    if store.has_group("zones"):
        found = found.assign(zone=opened("zones")["zone"].astype(float))
    if store.has_group("sequestration"):
        found = found.assign(dict(opened("sequestration").data_vars))
    if "grid_row" not in found.coords and store.has_group("members"):
        places = opened("members").coords
        found = found.assign_coords({n: places[n] for n in ("grid_row", "grid_column", "crs") if n in places})
    if "grid_row" not in found.coords:
        raise StoreRefused("maps need sites that are cells of a raster; give sites: {rasters: ...} in the study")
    return found


def _write_geotiff(statistics: xr.Dataset, layer: xr.DataArray, file: Path) -> Path:
    plain = xr.DataArray(painted(statistics, layer.values, "float32"), _axes(statistics), ("y", "x"))
    plain = plain.rio.write_crs(statistics["crs"].attrs["crs_wkt"]).rio.write_nodata(np.nan)
    plain.rio.to_raster(file, compress="deflate")
    return file


def _layers(statistics: xr.Dataset, kinds: tuple[str, ...]) -> Iterator[tuple[str, xr.DataArray]]:
    """Name and values by site of every GeoTIFF: layers whose names end with one of some kinds."""
    for key, variable in statistics.data_vars.items():
        name = str(key)
        if not name.endswith(kinds) or "site" not in variable.dims:
            continue
        variable = variable.isel(time=-1, drop=True) if "time" in variable.dims else variable
        extra = [dim for dim in variable.dims if dim not in ("scenario", "quantile", "site")]
        if extra:
            continue
        for stem, arm in _arms(name, variable):
            if "quantile" not in arm.dims:
                yield stem, arm
                continue
            for level in arm["quantile"].values:
                yield f"{stem}_{100 * float(level):g}", arm.sel(quantile=level, drop=True)


def _arms(name: str, variable: xr.DataArray) -> Iterator[tuple[str, xr.DataArray]]:
    """A variable of every scenario, under a name that says which where there are several."""
    scenarios = variable["scenario"].values if "scenario" in variable.dims else ()
    for scenario in scenarios:
        yield name if len(scenarios) == 1 else f"{name}_{scenario}", variable.sel(scenario=scenario, drop=True)
    if "scenario" not in variable.dims:
        yield name, variable
