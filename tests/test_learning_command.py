"""Maps learned from samples through the command: members, report, wrong input."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

pytest.importorskip("lightgbm")

from ensemble.cli import app
from ensemble.config import load_study
from ensemble.errors import InputError, SuspiciousInput

STUDY = """
model: saturation
sites: sites.csv
mapping:
  zones: potential_mean
  learn:
    samples: samples.csv
    covariates: [a, b]
    by: kind
    targets:
      soc_concentration: {units: g/kg, above: [14]}
      silt_and_clay: {units: "%"}
      bulk_density: {units: g cm-3}
    trees: {trees: 20, splits: 5, shrinkage: 0.1, minimum_leaf: 5}
    validation: {folds: 5, repeats: 2, coverage: false}
    bootstraps: 3
    realizations: 32
    next_samples: 2
inputs: {depth: 30}
uncertain:
  maps: {realizations: maps.zarr}
  laboratory: {input: soc_concentration, as: factor, distribution: lognormal, median: 1, cv: 0.05}
design: {members: 64}
totals: {output: potential_mean, by: kind}
"""


def write_files(folder, samples=120, sites=25):
    rng = np.random.default_rng(7)
    for name, count in (("samples", samples), ("sites", sites)):
        a, b, x, y = rng.normal(size=(4, count))
        if name == "sites":
            a[:2] = 9.0  # like no sample
        soil = (
            13 + 3 * a + rng.normal(size=count),
            60 + 8 * b + rng.normal(size=count),
            1.3 + 0.05 * rng.normal(size=count),
        )
        rows = zip(range(count), *(100 + 20 * x, 100 + 20 * y), a, b, *soil, ["wood", "field"] * count, strict=False)
        text = "site,x_km,y_km,a,b,soc_concentration,silt_and_clay,bulk_density,kind,area_ha\n"
        text += "".join(
            ",".join(f"{v:.5g}" if isinstance(v, float) else str(v) for v in row) + ",100\n" for row in rows
        )
        (folder / f"{name}.csv").write_text(text)
    (folder / "study.yaml").write_text(STUDY)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    write_files(folder)
    assert run(folder, "map", "study.yaml", "--out", folder / "maps.zarr").exit_code == 0
    return folder


def run(folder, command, study, *more):
    return CliRunner().invoke(app, ["--quiet", command, str(folder / study), *map(str, more)])


def test_maps_become_members(learned):
    store = learned / "maps.zarr"
    drawn = xr.open_zarr(store, group="realizations", consolidated=False)
    assert drawn["soc_concentration"].shape == (32, 25)
    assert run(learned, "run", "study.yaml", "--out", learned / "run.zarr").exit_code == 0
    tree = xr.open_datatree(learned / "run.zarr", engine="zarr", consolidated=False)
    inputs = tree["inputs"].to_dataset()
    numbers = {tuple(row.round(6)) for row in drawn["soc_concentration"].values.astype(float)}
    used = inputs["soc_concentration"].values
    found = {tuple(row.round(6)) for row in used}
    assert found <= numbers and len(found) > 20  # whole realisations, most of the 32 in 64 members
    clay = drawn["silt_and_clay"].values
    first = int(np.argmin(np.abs(drawn["soc_concentration"].values - used[0]).sum(axis=1)))
    np.testing.assert_allclose(inputs["silt_and_clay"].values[0], clay[first], rtol=1e-6)  # all maps of one realisation
    members = tree["members"].to_dataset()
    mass = 0.3 * inputs["bulk_density"].values
    stock = mass * inputs["soc_concentration"].values * inputs["laboratory"].values[:, None]
    np.testing.assert_allclose(members["soc_density"].values[:, 0], stock, rtol=1e-5)
    assert tree["totals"].to_dataset()["sd"].notnull().all()


def test_sites_not_to_be_trusted_are_a_zone_and_counted_in_totals(learned):
    maps = xr.open_zarr(learned / "maps.zarr", group="maps", consolidated=False)
    outside = maps["applicable"].values == 0
    assert outside[:2].all() and not outside.all()
    for layer in ("soc_concentration_zone", "soc_concentration_repeats_zone"):
        np.testing.assert_array_equal(maps[layer].values == 9, outside)
    assert run(learned, "run", "study.yaml", "--out", learned / "run.zarr").exit_code == 0
    tree = xr.open_datatree(learned / "run.zarr", engine="zarr", consolidated=False)
    zones, totals = tree["zones"].to_dataset(), tree["totals"].to_dataset().isel(scenario=0)
    np.testing.assert_array_equal(zones["zone"].values[0] == 9, outside)
    assert float(zones["share"].sel({"class": "outside area of applicability"})[0]) == pytest.approx(
        100 * outside.mean()
    )
    assert list(totals["class"].values[-1:]) == ["all"]
    parts = totals.sel({"class": [f"{side} area of applicability" for side in ("inside", "outside")]})
    np.testing.assert_allclose(parts["area"].values, [100 * (~outside).sum(), 100 * outside.sum()])
    for names in (parts, totals.sel({"class": ["wood", "field"]})):
        assert float(names["mean"].sum()) == pytest.approx(float(totals["mean"][-1]))
    page = (learned / "run.report.html").read_text()
    assert "outside area of applicability" in page and "no zone of the nine" in page
    assert "grey: outside area" in (learned / "maps.report.html").read_text()


def test_maps_that_are_stopped_go_on_to_the_same_realisations(learned):
    command = [sys.executable, "-m", "ensemble", "map", "study.yaml", "--out", "stopped.zarr"]
    process = subprocess.Popen(command, cwd=learned, stderr=subprocess.PIPE, text=True)
    while not (learned / "stopped.zarr").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 3 and "stopped; what is learned is kept in stopped.zarr, run the same command" in said
    assert run(learned, "map", "study.yaml", "--out", learned / "stopped.zarr").exit_code == 0
    found, whole = (
        xr.open_zarr(learned / f"{n}.zarr", group="realizations", consolidated=False) for n in ("stopped", "maps")
    )
    assert all((found[name].values == whole[name].values).all() for name in whole.data_vars)


def test_report_of_maps_is_whole(learned):
    page = (learned / "maps.report.html").read_text()
    for text in ("Skill", "Uncertainty", "Map of soc_concentration", "Where not to trust", "Totals", "Covariates"):
        assert text in page
    answers = xr.open_zarr(learned / "maps.zarr", group="answers", consolidated=False)
    strength = answers["strength"].transpose("target", "class", "rank").values
    assert strength.shape == (3, len(answers["class"]), 1) and list(answers["class"].values) == ["all", "wood", "field"]
    assert ((strength >= 0) & (strength <= 1)).all() and (strength[:, 0] != strength[:, 1]).all()
    assert page.count("<svg") > 15 and "nan" not in page.lower().replace("nanmean", "")


def test_a_study_runs_only_with_its_maps(tmp_path):
    write_files(tmp_path)
    assert run(tmp_path, "validate", "study.yaml").exit_code == 0
    ended = run(tmp_path, "run", "study.yaml", "--out", tmp_path / "run.zarr")
    assert ended.exit_code == 2 and "run `ensemble map" in ended.stderr and not (tmp_path / "run.zarr").exists()


@pytest.mark.filterwarnings("default::ensemble.errors.SuspiciousInput")
def test_classes_of_a_raster_have_its_names_and_every_layer_is_a_geotiff(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    pytest.importorskip("rioxarray")
    pytest.importorskip("h5netcdf")
    write_files(tmp_path)
    table = (tmp_path / "samples.csv").read_text()
    (tmp_path / "samples.csv").write_text(table.replace(",wood,", ",1,"))  # the other half has names
    rng = np.random.default_rng(0)
    layers = {name: (("y", "x"), rng.normal(size=(12, 12))) for name in ("a", "b")}
    layers["kind"] = ("y", "x"), np.tile([[1.0, 2.0]], (12, 6))
    layers["a"][1][0, :3] = np.nan
    grid = xr.Dataset(layers, {"y": 215_000.0 - 20_000 * np.arange(12), "x": -15_000.0 + 20_000 * np.arange(12)})
    grid.rio.write_crs("EPSG:3035").to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    names = {"kind": ", names: {1: wood, 2: field}"}
    rasters = "".join(f"\n    {n}: {{file: grid.nc, variable: {n}{names.get(n, '')}}}" for n in layers)
    study = STUDY.replace("sites: sites.csv", f"sites:\n  rasters:{rasters}").replace(
        "next_samples: 2", "next_samples: 0"
    )
    (tmp_path / "study.yaml").write_text(study)
    done = run(tmp_path, "map", "study.yaml", "--out", tmp_path / "maps.zarr")
    assert done.exit_code == 0 and "3 of 144 cells lack a covariate" in done.stderr
    totals = xr.open_zarr(tmp_path / "maps.zarr", group="map_totals", consolidated=False)
    assert set(totals["class"].values[:2]) == {"wood", "field"}
    skill = xr.open_zarr(tmp_path / "maps.zarr", group="skill", consolidated=False)
    assert list(skill["class"].values) == ["all", "wood", "field"]
    written = CliRunner().invoke(
        app, ["export", str(tmp_path / "maps.zarr"), "--as", "geotiff", "--out", str(tmp_path / "out")]
    )
    assert written.exit_code == 0, written.output
    maps = xr.open_zarr(tmp_path / "maps.zarr", group="maps", consolidated=False)
    layers = {name for name in maps.data_vars if "quantile" not in maps[name].dims}
    assert {file.stem for file in (tmp_path / "out").glob("*.tif")} == layers | {
        f"{name}_quantile_{level}"
        for name in ("soc_concentration", "silt_and_clay", "bulk_density")
        for level in (5, 25, 50, 75, 95)
    }
    for name in ("soc_concentration_zone", "applicable"):
        with rasterio.open(tmp_path / "out" / f"{name}.tif") as file:
            painted = file.read(1)
            assert file.crs.to_epsg() == 3035 and np.isnan(painted[0, :3]).all()
        assert (painted[maps["grid_row"].values, maps["grid_column"].values] == maps[name].values).all()


WRONG = {
    "constant": (("samples", "a", "1"), "is 1 at every sample"),
    "leak": (("covariates: [a, b]", "covariates: [a, b, soc_concentration]"), "is the target 'soc_concentration' in other units"),
    "doubled": (("covariates: [a, b]", "covariates: [a, b, twice]"), "are one quantity"),
    "folds": (("folds: 5", "folds: 200"), "fewer than 200 folds"),
    "leaf": (("minimum_leaf: 5", "minimum_leaf: 40"), "lower minimum_leaf"),
    "log": (("units: g/kg, above", "transform: log, units: g/kg, above"), "a value above 0"),
    "column": (("covariates: [a, b]", "covariates: [a, c]"), "the column 'c' is missing"),
    "average": (("bootstraps: 3", "average: [soc]\n    bootstraps: 3"), "two or more of the targets"),
    "file": (("samples.csv", "no.csv"), "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_sentence(name, tmp_path):
    write_files(tmp_path)
    change, said = WRONG[name]
    lines = [line.split(",") for line in (tmp_path / "samples.csv").read_text().splitlines()]
    if change[0] == "samples":
        for line in lines[1:]:
            line[3] = change[2]
    if name == "log":
        lines[5][5] = "-1"
    lines = [[*line, line[3] if k else "twice"] for k, line in enumerate(lines)]
    (tmp_path / "samples.csv").write_text("\n".join(",".join(line) for line in lines))
    sites = (tmp_path / "sites.csv").read_text().splitlines()
    (tmp_path / "sites.csv").write_text("\n".join([sites[0] + ",twice", *(line + ",0.5" for line in sites[1:])]))
    if change[0] != "samples":
        (tmp_path / "study.yaml").write_text(STUDY.replace(*change))
    ended = run(tmp_path, "map", "study.yaml", "--out", tmp_path / "maps.zarr")
    error = ended.stderr
    assert ended.exit_code == 2
    assert said in error and error.count("error:") == 1 and "Traceback" not in error
    assert not (tmp_path / "maps.zarr").exists()


def test_suspicious_samples_are_named(tmp_path):
    from ensemble.inputs.sources import read_sites
    from ensemble.mapping.learning.samples import read_material

    write_files(tmp_path)
    lines = [line.split(",") for line in (tmp_path / "samples.csv").read_text().splitlines()]
    lines[3][5] = "400"
    lines[7][1:3] = lines[8][1:3]
    for line in lines[1:]:
        line[8] = "field"
    (tmp_path / "samples.csv").write_text("\n".join(",".join(line) for line in lines))
    study = load_study(tmp_path / "study.yaml")
    with pytest.warns(SuspiciousInput):
        found = read_material(study, study.record.mapping.learn, read_sites(study))
    notes = "\n".join(found.notes)
    assert (
        "400 in line 4" in notes
        and "share 1 place (first" in notes
        and "the class wood (52.0 % of the area) has no sample" in notes
    )


def test_samples_off_the_rasters_are_counted(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    pytest.importorskip("h5netcdf")
    assert rioxarray
    from ensemble.inputs.sources import read_sites
    from ensemble.mapping.learning.samples import read_material

    write_files(tmp_path)
    rng = np.random.default_rng(0)
    layers = {name: (("y", "x"), rng.normal(size=(10, 10))) for name in ("a", "b")}
    layers["a"][1][0, :3] = np.nan
    grid = xr.Dataset(layers, {"y": 195_000.0 - 10_000 * np.arange(10), "x": 105_000.0 + 10_000 * np.arange(10)})
    grid.rio.write_crs("EPSG:3035").to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    rasters = "\n  rasters:\n    a: {file: grid.nc, variable: a}\n    b: {file: grid.nc, variable: b}"
    (tmp_path / "study.yaml").write_text(
        STUDY.replace("sites: sites.csv", f"sites:{rasters}").replace("    by: kind\n", "")
    )
    study = load_study(tmp_path / "study.yaml")
    with pytest.warns(SuspiciousInput):
        found = read_material(study, study.record.mapping.learn, read_sites(study))
    assert any("lie outside the rasters" in note for note in found.notes)
    assert "3 of 100 cells lack a covariate and are not mapped" in found.notes
    value = layers["b"][1]
    for km, x in zip(found.samples.km[:20], found.samples.x[:20], strict=True):
        row, column = int((200 - km[1]) // 10), int((km[0] - 100) // 10)
        assert x[1] == pytest.approx(value[row, column])  # the cell the point lies in
    (tmp_path / "study.yaml").write_text(
        STUDY.replace("samples.csv", "far.csv").replace("sites: sites.csv", f"sites:{rasters}")
    )
    (tmp_path / "far.csv").write_text(
        (tmp_path / "samples.csv").read_text().replace("x_km", "y").replace("y_km", "x_km").replace(",y,", ",y_km,")
    )
    table = (tmp_path / "samples.csv").read_text().splitlines()
    (tmp_path / "far.csv").write_text(
        "\n".join([table[0], *(",".join(["s", "9", "9", *line.split(",")[3:]]) for line in table[1:])])
    )
    study = load_study(tmp_path / "study.yaml")
    with pytest.raises(InputError, match="no sample lies inside the rasters"):
        read_material(study, study.record.mapping.learn, read_sites(study))
