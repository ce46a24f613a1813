"""Make the made-up rasters of configs/gsocseq.yaml: no place on Earth, no measurement in them.

Eighty cells of 0.1 degree, wetter and cooler to the north, crops on the plain and grass on the hills: carbon stock and
its relative error, clay, land use, region and DPM/RPM as GeoTIFFs, plant cover of twelve months, and forty years of
monthly temperature, rain and evapotranspiration with a slow warming.

    python configs/data/make_gsocseq.py
"""

from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import from_origin

FOLDER = Path(__file__).parent / "gsocseq"
ROWS, COLUMNS, STEP, WEST, NORTH = 8, 10, 0.1, 12.0, 45.0
YEARS = range(1981, 2021)
CROPS, GRASS = 2, 3


def main() -> None:
    """Write every raster."""
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(2040)
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    north, hills = 1 - row / (ROWS - 1), np.clip(column / (COLUMNS - 1) + 0.15 * np.sin(row), 0, 1)
    grass = hills > 0.55
    clay = np.round(28 - 14 * hills + rng.normal(0, 2, grass.shape))
    soc = np.round(38 + 16 * north + 22 * grass + 0.4 * clay + rng.normal(0, 3, grass.shape), 1)
    soc[-1, 0] = -9999  # a lake
    layers = {
        "soc": soc,
        "soc_cv": np.round(0.08 + 0.05 * hills, 3),
        "clay": clay,
        "land_use": np.where(grass, GRASS, CROPS),
        "region": np.where(row < ROWS // 2, 1, 2),
        "dpm_rpm": np.where(grass, 0.67, 1.44),
    }
    for name, values in layers.items():
        write(name, values[None].astype("float32"))
    covered = np.array([0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0])[:, None, None]
    write("cover", np.where(grass, 1, covered).astype("float32"))
    climate(rng, north, hills).to_netcdf(FOLDER / "climate.nc", engine="scipy")


def climate(rng: np.random.Generator, north: np.ndarray, hills: np.ndarray) -> xr.Dataset:
    """Forty years of months, stored as tenths in 16 bits."""
    months = np.arange(12 * len(YEARS))
    season = -np.cos(2 * np.pi * (months % 12 - 0.5) / 12)[:, None, None]
    weather = rng.normal(0, 1, (months.size, 2))[:, :, None, None]
    warm = 13 - 2.5 * north - 3 * hills + 10 * season + 0.03 * (months[:, None, None] / 12) + weather[:, 0]
    rain = (52 + 22 * north + 18 * hills) * np.exp(-0.25 * season + 0.35 * weather[:, 1])
    demand = np.maximum(5.2 * warm * (0.75 + 0.35 * season), 4)
    y, x = NORTH - STEP * (np.arange(ROWS) + 0.5), WEST + STEP * (np.arange(COLUMNS) + 0.5)
    times = np.datetime64(f"{YEARS[0]}-01", "M") + months
    packed = {"dtype": "int16", "scale_factor": 0.1, "_FillValue": np.int16(-32768)}
    data = xr.Dataset(coords={"time": times.astype("datetime64[ns]"), "y": y, "x": x})
    for name, values, units in (("tmp", warm, "degC"), ("pre", rain, "mm"), ("pet", demand, "mm")):
        data[name] = (("time", "y", "x"), values, {"units": units, "grid_mapping": "crs"})
        data[name].encoding = packed
    data["crs"] = ((), np.int32(0), {"crs_wkt": rasterio.crs.CRS.from_epsg(4326).to_wkt()})
    data.attrs["comment"] = "made up by configs/data/make_gsocseq.py: no place on Earth"
    return data


def write(name: str, bands: np.ndarray) -> None:
    """One GeoTIFF."""
    profile = {"driver": "GTiff", "height": ROWS, "width": COLUMNS, "count": len(bands), "dtype": "float32"}
    where = {"crs": "EPSG:4326", "transform": from_origin(WEST, NORTH, STEP, STEP), "nodata": -9999}
    with rasterio.open(FOLDER / f"{name}.tif", "w", **profile, **where, compress="deflate") as file:
        file.write(bands)


if __name__ == "__main__":
    main()
