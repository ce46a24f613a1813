"""Make the landscape of configs/mapping.yaml: covariate rasters, land use, and 293 samples of their soil.

The samples of Wang et al. (2026, Catena 110145) are not public. These are made up from the statistics of the paper's
Tables 1 and 2 (`ensemble.mapping.northeast`), so that maps can be compared with a known truth. Run from the project's
root: ``python configs/data/make_northeast.py``. Needs the extras raster and netcdf.
"""

from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401
import xarray as xr

from ensemble.mapping.northeast import AREAS, COVARIATES, TABLE_1, TABLE_2, make_landscape, purposive_sample
from ensemble.mapping.synthetic import make_population

HERE = Path(__file__).parent
SHAPE, CELL, SEED, SAMPLES = (56, 56), 15.9, 3, 293  # 56 x 56 cells of 15.9 km are the paper's 790,605 km2
ALBERS = "+proj=aea +lat_1=25 +lat_2=47 +lat_0=0 +lon_0=105 +datum=WGS84 +units=m +no_defs"
CORNER = (1_050_000.0, 4_500_000.0)  # west and south edge, m
UNITS = {"elevation": "m", "SG": "degree", "SA": "degree", "MAT": "degC", "MAP": "mm", "NPP": "1e-4 kg C m-2"}
NOTE = "made up from Tables 1 and 2 of Wang et al. (2026), Catena 110145; no measurement"


def main() -> None:
    """Write made_up_northeast.nc and made_up_northeast_samples.csv."""
    kept = {name: moments for name, moments in TABLE_1.items() if name != "SOCpE"}
    pairs = {pair: value for pair, value in TABLE_2.items() if "SOCpE" not in pair}
    land = make_landscape(make_population(kept, pairs), SHAPE, CELL, SEED)
    layers = dict(zip(COVARIATES, land.covariates.T, strict=True)) | {"land_use": land.land_use + 1.0}
    truth = land.soil(np.arange(len(land.place)), SEED + 1)
    layers |= {f"true_{name}": values for name, values in truth.items()}
    metres = CELL * 1000
    axes = {
        "y": CORNER[1] + metres * (SHAPE[0] - 0.5 - np.arange(SHAPE[0])),
        "x": CORNER[0] + metres * (np.arange(SHAPE[1]) + 0.5),
    }
    grids = {
        name: (("y", "x"), values.reshape(SHAPE).astype("float32"), {"units": UNITS.get(name, "1"), "comment": NOTE})
        for name, values in layers.items()
    }
    data = xr.Dataset(grids, axes, {"title": NOTE, "land_use": ", ".join(f"{k + 1} {n}" for k, n in enumerate(AREAS))})
    data = data.rio.write_crs(ALBERS)
    for name in grids:
        data[name].encoding["zlib"] = True
    data.to_netcdf(HERE / "made_up_northeast.nc", engine="h5netcdf")
    cells = purposive_sample(land, SAMPLES, SEED)
    soil = land.soil(cells, SEED + 2)
    mass = 0.3 * soil["bulk_density"]  # 30 cm, no stones: kg m-2 for each g/kg
    fine, carbon = soil["silt_and_clay"], soil["soc_concentration"]
    place = land.place[cells] + np.array(CORNER) / 1000
    # The tables of the paper need Eq. 3 under Elustondo's name and Eq. 4 under Hassink's (docs/papers/northeast_china.md).
    columns = {
        "x_km": place[:, 0], "y_km": place[:, 1], **soil,
        "potential_hassink": mass * (9.04 + 0.27 * fine - carbon),
        "potential_elustondo": mass * (4.09 + 0.37 * fine - carbon),
        "land_use": [list(AREAS)[k] for k in land.land_use[cells]],
    }  # fmt: skip
    names = ["sample", *columns]
    rows = [
        ",".join([f"s{k:03d}", *(v if isinstance(v, str) else f"{v:.6g}" for v in row)])
        for k, row in enumerate(zip(*columns.values(), strict=True))
    ]
    text = "\n".join([f"# {NOTE}", ",".join(names), *rows])
    (HERE / "made_up_northeast_samples.csv").write_text(text + "\n")


if __name__ == "__main__":
    main()
