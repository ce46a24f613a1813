"""Studies whose sites have places: tables of points, rasters, errors that are alike in space."""

import re
from pathlib import Path

import numpy as np
import pytest

from ensemble.config import load_study
from ensemble.errors import InputError
from ensemble.inputs.grids import Layer, read_grid
from ensemble.plan import make_plan
from ensemble.propagate import propagate

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("rioxarray")


def write_raster(
    path: Path, values, crs="EPSG:32632", nodata=-9999, step=1000.0, origin=(500_000.0, 5_500_000.0), **more
):
    from rasterio.transform import from_origin

    array = np.asarray(values)
    profile = {"driver": "GTiff", "height": array.shape[0], "width": array.shape[1], "count": 1, "dtype": array.dtype}
    with rasterio.open(
        path, "w", **profile, crs=crs, nodata=nodata, transform=from_origin(*origin, step, step), **more
    ) as file:
        file.write(array, 1)
    return path


PAGE = Path(__file__).parents[1] / "docs" / "stocks.md"
SOC = np.arange(48, dtype="int16").reshape(6, 8) * 10 + 300
SOC[0, 0] = -9999

RASTER_STUDY = """\
model: falloon_iom
sites:
  rasters:
    soc: {file: soc.tif, scale: 0.1}
    sd: sd.tif
inputs:
  soc_measured: {column: soc}
uncertain:
  map_error: {input: soc_measured, as: offset, distribution: normal, mean: 0, sd: sd, per: site}
  shared: {input: soc_measured, as: factor, distribution: lognormal, median: 1, cv: 0.05}
fields:
  map_error: {range: 3, nugget: 0.1}
design: {members: 256, seed: 3}
"""


@pytest.fixture
def raster_study(tmp_path):
    write_raster(tmp_path / "soc.tif", SOC)
    write_raster(tmp_path / "sd.tif", np.full((6, 8), 5.0, "float32"))
    file = tmp_path / "study.yaml"
    file.write_text(RASTER_STUDY)
    return file


def test_cells_of_a_raster_are_sites(raster_study):
    plan = make_plan(load_study(raster_study))
    assert len(plan.sites) == 47
    assert plan.sites[0] == "r0c1"
    np.testing.assert_allclose(plan.base.values["soc_measured"][0], SOC[SOC != -9999] / 10)
    table = plan.base.sites.table
    np.testing.assert_allclose(table.numbers("area_ha"), 100.0)
    assert table.numbers("x_km")[0] == pytest.approx(501.5)
    assert any(
        "map_error: alike in space, exponential, range parameter 3 km" in note for note in plan.uncertainty.notes
    )


def test_errors_of_cells_are_alike_in_space_and_the_same_in_any_block(raster_study):
    plan = make_plan(load_study(raster_study, ["design.members=4096"]))
    members, sites = np.arange(4096), np.arange(47)
    errors = plan.draws(members, sites)["map_error"]
    assert errors.std() == pytest.approx(5, rel=0.03)
    correlation = np.corrcoef(errors.T)
    assert correlation[0, 1] == pytest.approx(0.9 * np.exp(-1 / 3), abs=0.03)
    assert correlation[0, 6] == pytest.approx(0.9 * np.exp(-6 / 3), abs=0.05)
    part = make_plan(load_study(raster_study, ["design.members=4096"])).draws(members[500:520], sites[30:40])[
        "map_error"
    ]
    np.testing.assert_array_equal(part, errors[500:520, 30:40])


def test_a_raster_study_runs(raster_study):
    plan = make_plan(load_study(raster_study, ["store.tile.sites=10"]))
    iom = np.concatenate([result.outputs["iom"] for result in propagate(plan, range(plan.tiling.count))], axis=2)
    central = 0.049 * (SOC[SOC != -9999] / 10.0) ** 1.139
    np.testing.assert_allclose(iom[:, 0].mean(axis=0), central, rtol=0.05)


POINTS = """\
model: falloon_iom
sites: sites.csv
inputs: {soc_measured: {column: soc}}
uncertain:
  laboratory: {input: soc_measured, as: factor, distribution: lognormal, median: 1, cv: 0.1, per: site}
  core: {input: soc_measured, as: offset, distribution: normal, mean: 0, sd: 2, per: site}
correlation:
  - {between: [laboratory, core], value: 0.6}
fields:
  laboratory: {range: 30}
  core: {range: 30, model: matern}
design: {members: 2048, seed: 1}
"""


@pytest.fixture
def point_study(tmp_path):
    (tmp_path / "sites.csv").write_text("site,longitude,latitude,soc\nA,5.0,50.0,40\nB,5.2,50.0,50\nC,9.0,52.0,60\n")
    file = tmp_path / "study.yaml"
    file.write_text(POINTS)
    return file


def test_sites_in_a_table_are_alike_by_their_distance(point_study):
    drawn = make_plan(load_study(point_study)).draws(np.arange(2048), np.arange(3))
    scores = {name: np.argsort(np.argsort(values, axis=0), axis=0) for name, values in drawn.items()}
    near, far = (np.corrcoef(scores["laboratory"][:, [0, k]].T)[0, 1] for k in (1, 2))
    assert near == pytest.approx(6 / np.pi * np.arcsin(np.exp(-14.34 / 30) / 2), abs=0.05)
    assert far == pytest.approx(0.0, abs=0.06)
    between = [np.corrcoef(scores["laboratory"][:, k], scores["core"][:, k])[0, 1] for k in range(3)]
    np.testing.assert_allclose(between, 0.6, atol=0.06)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  laboratory: {range: 30}",
            "  laboratry: {range: 30}",
            "'laboratry' is not an entry of uncertain with per: site",
        ),
        ("range: 30}", "range: -3}", "study.yaml:10: fields.laboratory.range: -3"),
        ("sites: sites.csv", "sites: bare.csv", "sites need places: columns longitude and latitude"),
    ],
)
def test_wrong_fields_are_refused(point_study, old, new, message):
    (point_study.parent / "bare.csv").write_text("site,soc\nA,40\nB,50\n")
    point_study.write_text(POINTS.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        make_plan(load_study(point_study))


# --- reading rasters ---------------------------------------------------------------------------------------------


def test_netcdf_and_zarr_scale_factors_and_fill_values(tmp_path):
    import xarray as xr

    values = np.array([[100, 200], [300, -32768]], "int16")
    data = xr.Dataset(
        {"soc": (("y", "x"), values, {"scale_factor": 0.5, "add_offset": 1.0, "_FillValue": np.int16(-32768)})},
        {"y": [50.5, 49.5], "x": [5.5, 6.5]},
    ).rio.write_crs("EPSG:4326")
    data.to_netcdf(tmp_path / "soc.nc", engine="h5netcdf")
    data.to_zarr(tmp_path / "soc.zarr", zarr_format=3, consolidated=False)
    for name in ("soc.nc", "soc.zarr"):
        table = read_grid([Layer("soc", tmp_path / name, "soc")])
        np.testing.assert_allclose(table.numbers("soc"), [51, 101, 151])
        np.testing.assert_allclose(table.numbers("latitude"), [50.5, 50.5, 49.5])
        assert table.numbers("area_ha").sum() == pytest.approx(3 * 111.2 * 71.5 * 100, rel=0.02)


def north_up_and_climate(folder, latitudes, names=("lat", "lon")):
    """A GeoTIFF, and a NetCDF of the same numbers as climate centres write them: axes lat and lon, a CF grid mapping."""
    import xarray as xr

    values = np.random.default_rng(0).uniform(20, 80, (4, 5)).astype("float32")
    write_raster(folder / "soc.tif", values, crs="EPSG:4326", step=1 / 12, origin=(5.0, 50.0))
    places = {names[0]: latitudes.astype("float32"), names[1]: (5 + (np.arange(5) + 0.5) / 12).astype("float32")}
    rows = np.argsort(-latitudes)
    data = xr.Dataset({"tmp": (names, values[np.argsort(rows)], {"grid_mapping": "crs"})}, places)
    sphere = {"semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563}
    data["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude", **sphere})
    data.to_netcdf(folder / "tmp.nc", engine="h5netcdf")
    return [Layer("soc", folder / "soc.tif"), Layer("tmp", folder / "tmp.nc", "tmp")]


@pytest.mark.parametrize("north_first", [True, False])
def test_a_file_that_runs_from_south_to_north_is_the_same_grid(tmp_path, north_first):
    latitudes = 50 - (np.arange(4) + 0.5) / 12
    table = read_grid(north_up_and_climate(tmp_path, latitudes if north_first else latitudes[::-1]))
    np.testing.assert_array_equal(table.numbers("tmp"), table.numbers("soc"))
    assert table.numbers("latitude")[0] == pytest.approx(latitudes[0])


@pytest.mark.parametrize(
    ("steps", "names", "message"),
    [
        ([0.5, 1.5, 2.5, 4.0], ("lat", "lon"), "steps along y differ"),
        ([0.5, 1.5, 2.5, 3.5], ("row", "lon"), "the raster has no axis y .lat, latitude, northing.; found: row, lon"),
        ([1.0, 2.0, 3.0, 4.0], ("lat", "lon"), "another grid or CRS than soc.tif"),
    ],
)
def test_grids_that_are_none_or_others_are_refused(tmp_path, steps, names, message):
    layers = north_up_and_climate(tmp_path, 50 - np.array(steps) / 12, names)
    with pytest.raises(InputError, match=message):
        read_grid(layers)


def test_a_soilgrids_tile_gives_a_distribution_for_each_cell(tmp_path):
    """The study of docs/stocks.md on a made-up tile in the layout of SoilGrids: mean, Q0.05, Q0.5, Q0.95 of soc in dg/kg."""
    rng = np.random.default_rng(0)
    median = rng.integers(80, 300, (5, 5)).astype("int16")
    layers = {"mean": 1.07, "Q0.05": 0.5, "Q0.5": 1.0, "Q0.95": 2.0}
    for name, factor in layers.items():
        write_raster(tmp_path / f"soc_0-30cm_{name}.tif", (median * factor).astype("int16"), nodata=-32768)
    (shown,) = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "Q0.05" in text]
    more = "inputs:\n  bulk_density: 1.3\n  depth: 30\n"
    (tmp_path / "study.yaml").write_text("model: stock\ndesign: {members: 4096}\n" + shown.replace("inputs:\n", more))
    plan = make_plan(load_study(tmp_path / "study.yaml"))
    np.testing.assert_allclose(plan.base.values["soc_concentration"][0], (median * 1.07).astype("int16").ravel() * 0.1)
    drawn = plan.draws(np.arange(4096), np.arange(25))["soc_concentration"]
    for level, factor in ((0.05, 0.5), (0.5, 1.0), (0.95, 2.0)):
        wanted = (median * factor).astype("int16").ravel() * 0.1
        np.testing.assert_allclose(np.quantile(drawn, level, axis=0), wanted, rtol=0.04)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": None}, "no coordinate reference system"),
        ({"step": 500.0}, "another grid or CRS than soc.tif"),
        ({"crs": "EPSG:32633"}, "another grid or CRS than soc.tif"),
        ({"nodata": None, "values": np.where(np.arange(48).reshape(6, 8) % 4 == 0, -32768, SOC).astype("int16")}, "25 % of the cells of 'sd' are -32768"),
        ({"nodata": None, "values": np.where(np.arange(48).reshape(6, 8) % 4 == 0, 0, SOC + 1).clip(0).astype("int16")}, "zero_is_data: true"),
        ({"values": np.full((6, 8), -9999, "int16")}, "no cell has a value in all layers"),
    ],
)  # fmt: skip
def test_wrong_rasters_are_refused(tmp_path, change, message):
    write_raster(tmp_path / "soc.tif", SOC)
    more = {"values": np.full((6, 8), 5, "int16"), **change}
    write_raster(tmp_path / "sd.tif", more.pop("values"), **more)
    with pytest.raises(InputError, match=message):
        read_grid([Layer("soc", tmp_path / "soc.tif"), Layer("sd", tmp_path / "sd.tif")])


def test_an_error_of_zero_is_named_by_its_cell(raster_study):
    error = np.full((6, 8), 5.0, "float32")
    error[2, 3] = 0.0
    write_raster(raster_study.parent / "sd.tif", error)
    with pytest.raises(InputError, match="sd: row 2, column 3 of the grid: 0 is not allowed as the sd of"):
        make_plan(load_study(raster_study))


def test_a_real_tile_has_the_area_of_its_cells(shared):
    """Sanderman et al. (2017): carbon stock of Britain and Ireland at 10 km, about 10 x 6 km a cell at 53 N."""
    table = read_grid([Layer("soc", shared / "data" / "whrc_tile" / "uk_ie_SOCS_0_30cm_year_2010AD_10km.tif")])
    assert len(table.numbers("soc")) == pytest.approx(0.34 * 120 * 162, rel=0.01)
    assert table.numbers("area_ha").sum() / 1e2 == pytest.approx(350_000, rel=0.1)
