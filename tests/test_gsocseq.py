"""RothC over a raster: monthly grids as series, the GSOCseq phases, rates with their uncertainty, inventory tables."""

from pathlib import Path

import numpy as np
import pytest
from test_spatial_study import RASTER_STUDY, SOC, write_raster

from ensemble.config import load_study
from ensemble.errors import InputError, StoreRefused
from ensemble.mapping.rates import corner_uncertainty, percent, spread
from ensemble.pipeline import export_store, load_plan, run_plan
from ensemble.plan import make_plan
from ensemble.propagate import propagate
from ensemble.store import open_store

rasterio = pytest.importorskip("rasterio")
xr = pytest.importorskip("xarray")
pytest.importorskip("rioxarray")

CONFIG = Path(__file__).parents[1] / "configs" / "gsocseq.yaml"
DATA = CONFIG.parent / "data" / "gsocseq"
# Four cells in two land uses and both regions of the made-up raster are enough for the arithmetic.
SMALL = ["design.members=64", "store.tile.sites=4"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The configured study on a corner of its raster: 2 x 2 cells, every fourth column, run once."""
    folder = tmp_path_factory.mktemp("gsocseq")
    (folder / "data" / "gsocseq").mkdir(parents=True)
    for file in DATA.glob("*.tif"):
        with rasterio.open(file) as source:
            profile, bands = source.profile, source.read()
        bands, transform = bands[:, 3:5, 3:7:3], profile["transform"] * profile["transform"].translation(3, 3)
        transform = transform * transform.scale(3, 1)
        with rasterio.open(
            folder / "data" / "gsocseq" / file.name, "w", **profile | {"height": 2, "width": 2, "transform": transform}
        ) as out:
            out.write(bands)
    with xr.open_dataset(DATA / "climate.nc", mask_and_scale=False, decode_coords="all") as climate:
        part = climate.isel(y=slice(3, 5), x=slice(3, 7, 3)).load()
    x0, dx = float(part["x"][0]) - 0.05, 0.3
    part = part.assign_coords(x=[x0 + 0.5 * dx, x0 + 1.5 * dx])
    part.to_netcdf(folder / "data" / "gsocseq" / "climate.nc", engine="scipy")
    (folder / "gsocseq.yaml").write_text(CONFIG.read_text())
    plan = load_plan(folder / "gsocseq.yaml", SMALL, None, None)
    run_plan(plan, folder / "gsocseq.zarr", quiet=True)
    return folder, plan


def climate_of(folder):
    with xr.open_dataset(folder / "data" / "gsocseq" / "climate.nc") as climate:
        return climate.load()


def test_series_are_history_then_mean_years(small):
    """Lead: mean year of 1981-2000; 2001-2020 by date; 2021-2040: mean year of 2001-2020 (GSOCseq chapter 5)."""
    folder, plan = small
    data = climate_of(folder)["tmp"].values.reshape(40, 12, 4)
    series = plan.base.values["temperature"][0]
    assert series.shape == (4, 12 + 480)
    np.testing.assert_allclose(series[:, :12].T, data[:20].mean(0), rtol=2e-6)
    np.testing.assert_allclose(series[:, 12:252].T, data[20:].reshape(240, 4), rtol=2e-6)
    for year in (2021, 2040):
        at = 12 + 12 * (year - 2001)
        np.testing.assert_allclose(series[:, at : at + 12].T, data[20:].mean(0), rtol=2e-6)
    cover = plan.base.values["plant_cover"][0]
    assert np.array_equal(cover[:, :12], cover[:, 12:24]) and set(np.unique(cover)) <= {0.0, 1.0}


def test_plant_carbon_follows_productivity_as_the_manual_says(small):
    """Eqs 6.4-6.8 and 6.14 by hand: ratio of Miami NPP to that of the equilibrium year, its mean afterwards, 5 % more."""
    import jax

    from ensemble.models.base import BuildSettings
    from ensemble.models.registry import load_model

    _, plan = small
    values = {name: plan.base.values[name][0][0].astype(float) for name in ("temperature", "precipitation")}
    practice = np.r_[np.zeros(12 + 240), np.ones(240)]
    historic = np.r_[np.ones(12 + 240), np.zeros(240)]
    model = load_model("climate_plant_carbon")
    with jax.enable_x64(True):
        given = {
            "annual_plant_carbon": 3.0,
            "input_share": np.full(492, 1 / 12),
            "practice": practice,
            "historic": historic,
            "practice_gain": 0.05,
        }
        found = np.asarray(
            model.simulator(BuildSettings({}))({k: jax.numpy.asarray(v) for k, v in (values | given).items()})[
                "plant_carbon"
            ]
        )
    heat, rain = values["temperature"].reshape(41, 12).mean(1), values["precipitation"].reshape(41, 12).sum(1)
    npp = np.minimum(3000 / (1 + np.exp(1.315 - 0.119 * heat)), 3000 * (1 - np.exp(-0.000664 * rain)))
    ratio = npp / npp[0]
    expected = 3.0 * np.r_[ratio[:21], np.full(20, ratio[1:21].mean() * 1.05)]
    np.testing.assert_allclose(found.reshape(41, 12).sum(1), expected, rtol=1e-12)


def test_the_warm_up_starts_from_the_mapped_stock_and_arms_part_at_t0(small):
    folder, plan = small
    members = open_store(folder / "gsocseq.zarr").dataset("members")["soc"].values
    assert np.array_equal(members[:, 0, :, :20], members[:, 3, :, :20])  # 2001 to 2020 is history
    assert (members[:, 3, :, -1] != members[:, 0, :, -1]).all()
    rates = open_store(folder / "gsocseq.zarr").dataset("sequestration").load()
    expected = (members[:, :, :, 39] - members[:, :, :, 19]) / 20
    np.testing.assert_allclose(rates["absolute_rate_mean"], expected.mean(0), rtol=1e-5, atol=1e-7)
    gain = (members[:, 2, :, 39] - members[:, 0, :, 39]).astype(float) / 20
    low, high = np.quantile(gain, [0.025, 0.975], axis=0)
    here = rates.sel(scenario="ssm2")
    np.testing.assert_allclose(here["relative_rate_uncertainty"], 100 * (high - low) / (2 * gain.mean(0)), rtol=1e-5)
    weighted = gain @ plan.base.sites.table.numbers("area_ha")
    assert float(here["total_relative_rate_mean"]) == pytest.approx(weighted.mean(), rel=1e-6)


def corner_arms(text, folder):
    """The study with an arm for business as usual and one for 10 % more in each corner, every change written by hand."""
    layers, arms = "", ""
    for name, sign in (("least", -1), ("central", 0), ("most", 1)):
        for layer, change in (("soc", 0.2), ("clay", 0.1)):
            layers += f"    {layer}_{name}: {{file: data/gsocseq/{layer}.tif, scale: {1 + change * sign}}}\n"
        series = ""
        for key, variable, change in (("temperature", "tmp", -0.02), ("precipitation", "pre", 0.05)):
            years = "equilibrium: {start: 1981, end: 2000}, later: {start: 2001, end: 2020}"
            raster = f"{{file: data/gsocseq/climate.nc, variable: {variable}, scale: {1 + change * sign}, {years}}}"
            series += f"      {key}: {{raster: {raster}}}\n"
        for arm, practice in (("bau", 0), ("ssm2", 1)):
            arms += f"  {arm}_{name}:\n    inputs:\n      soc_measured: {{column: soc_{name}}}\n      clay: {{column: clay_{name}}}\n"
            arms += f"{series}      practice_gain: {0.1 + 0.15 * sign}\n"
            arms += f"      practice: {{equilibrium: 0, schedule: [{{to: 2020, value: 0}}, {{from: 2021, value: {practice}}}]}}\n"
    head = text[: text.index("scenarios:")].replace(
        "    clay: data/gsocseq/clay.tif", layers + "    clay: data/gsocseq/clay.tif"
    )
    study = folder / "corners.yaml"
    study.write_text(f"{head}scenarios:\n{arms}outputs: {{variables: [soc]}}\n")
    return study


@pytest.mark.slow
def test_two_corners_are_two_runs_of_the_study(small):
    """The half-width of two extreme runs is that of runs whose inputs are set to the corners by hand."""
    folder, _ = small
    plan = load_plan(corner_arms((folder / "gsocseq.yaml").read_text(), folder), ["precision=float64"], None, None)
    (result,) = propagate(plan, range(plan.tiling.count))
    least, central, most = (result.outputs["soc"][0][2 * k : 2 * k + 2] for k in range(3))
    rates = open_store(folder / "gsocseq.zarr").dataset("sequestration").load().sel(scenario=["bau", "ssm2"])
    expected = 100 * np.abs(most - least)[:, :, -1] / (2 * central[:, :, -1])
    np.testing.assert_allclose(rates["final_stock_corner_uncertainty"], expected, rtol=3e-4)
    first = 100 * np.abs(most - least)[0, :, 19] / (2 * central[0, :, 19])
    np.testing.assert_allclose(rates["initial_stock_corner_uncertainty"], first, rtol=3e-4)
    width = np.hypot(expected[1] * central[1, :, -1], expected[0] * central[0, :, -1])
    gain, total = (central[1] - central[0])[:, -1], (central[1] + central[0])[:, -1]
    np.testing.assert_allclose(rates["relative_rate_corner_uncertainty"][1], width / gain, rtol=5e-3)
    np.testing.assert_allclose(rates["relative_rate_script_uncertainty"][1], width / total, rtol=5e-4)


def test_spread_leaves_failed_members_out_and_needs_no_warning():
    values = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [6.0, np.nan]])
    found = spread(np.where(np.isnan(values), np.nan, values)[:, :1])
    assert found.mean[0] == pytest.approx(3.0) and found.sd[0] == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert found.probability_gain[0] == 1.0
    assert np.isnan(spread(values[:, 1:]).mean).all()
    assert percent(4.0, -10.0) == pytest.approx(20.0) and np.isnan(percent(1.0, 0.0))
    both = corner_uncertainty(11.0, 10.0, 20.0, 20.0)
    assert float(both.manual) == pytest.approx(20 * np.hypot(11, 10)) and float(both.script) == pytest.approx(
        20 * np.hypot(11, 10) / 21
    )


def test_inventory_of_a_study_is_that_of_its_members(small):
    folder, plan = small
    store = open_store(folder / "gsocseq.zarr")
    table = store.dataset("inventory").load()
    soc = store.dataset("members")["soc"].values.astype(float)[:, 0]
    removed = (soc[:, :, 19] - soc[:, :, 18]) * 44 / 12 * plan.base.sites.table.numbers("area_ha")
    total = removed.sum(1)
    assert table["category"].values[-1] == "total" and {"crops", "grass"} >= set(table["category"].values[:-1])
    assert float(table["year_level"][-1]) == pytest.approx(total.mean(), rel=1e-6)
    low, high = np.quantile(total, [0.025, 0.975])
    assert float(table["year_uncertainty"][-1]) == pytest.approx(100 * (high - low) / (2 * abs(total.mean())), rel=1e-6)
    assert float(table["contribution_to_variance"][:-1].sum()) == pytest.approx(100, abs=1e-6)
    (file,) = export_store(folder / "gsocseq.zarr", "inventory", folder / "inventory")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines[0].startswith("category,region,base_level") and len(lines) == 1 + table.sizes["line"]


def test_maps_are_written_by_faos_names(small):
    folder, _ = small
    names = {file.name for file in export_store(folder / "gsocseq.zarr", "gsocseq", folder / "maps")}
    assert names >= {
        "gsocseq_GSOCseq_T0_Map030.tif",
        "gsocseq_GSOCseq_ASR_BAU_Map030.tif",
        "gsocseq_GSOCseq_RSR_SSM3_UncertaintyMap030.tif",
    }
    assert "gsocseq_GSOCseq_RSR_BAU_Map030.tif" not in names
    rates = open_store(folder / "gsocseq.zarr").dataset("sequestration")
    with rasterio.open(folder / "maps" / "gsocseq_GSOCseq_RSR_SSM2_Map030.tif") as file:
        assert file.crs.to_epsg() == 4326
        np.testing.assert_allclose(file.read(1).ravel(), rates["relative_rate_mean"].sel(scenario="ssm2"), rtol=1e-6)


def test_a_study_without_rates_has_no_such_maps(tmp_path):
    write_raster(tmp_path / "soc.tif", SOC)
    write_raster(tmp_path / "sd.tif", np.full((6, 8), 5.0, "float32"))
    (tmp_path / "study.yaml").write_text(RASTER_STUDY)
    run_plan(load_plan(tmp_path / "study.yaml", (), None, 32), tmp_path / "out.zarr", quiet=True)
    for form, missing in (("gsocseq", "no sequestration"), ("inventory", "no inventory")):
        with pytest.raises(StoreRefused, match=missing):
            export_store(tmp_path / "out.zarr", form, tmp_path / "none")


def test_the_report_shows_maps_rates_and_the_inventory(small):
    folder, _ = small
    page = (folder / "gsocseq.report.html").read_text()
    for text in (
        "Sequestration rates",
        "U (%), Eq. 12.2",
        "gain against usual",
        "Inventory",
        "share of variance",
        "standard deviation, % of the total",
    ):
        assert text in page, text


def refused(folder, old, new):
    text = (folder / "gsocseq.yaml").read_text()
    assert old in text
    study = folder / "wrong.yaml"
    study.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_plan(study, SMALL, None, None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("later: {start: 2001, end: 2020}}", "later: {start: 2001, end: 2030}}", "the file has 1981-01 to 2020-12, not all of 2001 to 2030"),
        (", later: {start: 2001, end: 2020}}", "}", "the run needs 2021-01"),
        ("equilibrium: {start: 1981, end: 2000}", "equilibrium: {start: 1900, end: 1910}", "not all of 1900 to 1910"),
        ("variable: tmp", "variable: tas", "there is no variable 'tas'; found: tmp, pre, pet"),
        ("plant_cover: {raster: {file: data/gsocseq/cover.tif}}", "plant_cover: {raster: {file: data/gsocseq/soc.tif}}", "1 months without dates"),
        ("variable: tmp,", "variable: tmp, scale: -90,", "is not possible for mean air temperature"),
        ("depth: 30", "depth: {raster: {file: data/gsocseq/cover.tif}}", "depth is not a monthly series"),
        ("usual: bau", "usual: bua", "'bua' is not a scenario; allowed: bau, ssm1"),
        ("start: 2020", "start: 1999", "the project years 2000 to 2040 need stocks"),
        ("warmth: -0.02", "warmt: -0.02", "there is no entry of uncertain called 'warmt'"),
        ("base: 2005", "base: 2001", "the stocks before and after it of 2001 are needed at the end of 2000"),
        ("region: region}", "region: county}", "the site table has no column 'county'"),
    ],
)  # fmt: skip
def test_wrong_rasters_rates_and_inventories_are_refused(small, old, new, message):
    assert message in refused(small[0], old, new)


def test_a_series_on_another_grid_or_with_holes_is_refused(small, tmp_path):
    folder, _ = small
    data = climate_of(folder)
    data["crs"].attrs["crs_wkt"] = rasterio.crs.CRS.from_epsg(4326).to_wkt()
    shifted = data.assign_coords(x=data["x"] + 0.1)
    shifted.to_netcdf(folder / "data" / "gsocseq" / "shifted.nc", engine="scipy")
    assert "another grid or CRS than the sites" in refused(
        folder, "climate.nc, variable: tmp", "shifted.nc, variable: tmp"
    )
    holes = data.copy(deep=True)
    holes["tmp"][7, 1, 1] = np.nan
    holes.to_netcdf(folder / "data" / "gsocseq" / "holes.nc", engine="scipy")
    message = refused(folder, "climate.nc, variable: tmp", "holes.nc, variable: tmp")
    assert "row 1, column 1 of the grid, 1981-08: there is no value here" in message
    gap = data.isel(time=[*range(100), *range(101, 480)])
    gap.to_netcdf(folder / "data" / "gsocseq" / "gap.nc", engine="scipy")
    assert "the month 1989-06 does not follow" in refused(folder, "climate.nc, variable: tmp", "gap.nc, variable: tmp")


def test_the_configured_study_is_whole():
    plan = make_plan(load_study(CONFIG))
    assert len(plan.sites) == 79 and plan.members == 256
