"""Totals, credits, draw tables and maps of whole studies."""

import numpy as np
import pytest
from test_spatial_study import RASTER_STUDY, SOC, write_raster

from ensemble.config import load_study
from ensemble.crediting.deductions import deduct, student_factor
from ensemble.crediting.draw_table import paired_changes, read_draw_table
from ensemble.crediting.rules import rule_named
from ensemble.crediting.strata import stratify
from ensemble.crediting.vm0042 import in_co2e, monte_carlo
from ensemble.errors import InputError, StoreRefused
from ensemble.pipeline import export_store, load_plan, run_plan
from ensemble.store import open_store

CLIMATE = """
  temperature: [-5, -3, 3, 10, 16, 21, 23, 22, 18, 11, 4, -2]
  precipitation: [50, 50, 70, 95, 105, 105, 100, 95, 85, 75, 75, 60]
  pan_evaporation: [15, 25, 60, 110, 150, 175, 185, 160, 115, 75, 35, 18]
"""
CREDITS = f"""\
model: rothc
precision: float64
options: {{spinup: inverse, inverse_input: equilibrium_year}}
sites: points.csv
inputs:
  period: {{start: 2000, end: 2006}}
  clay: 22
  depth: 30
  iom: {{model: falloon_iom}}
  soc_measured: {{column: soc}}{CLIMATE}  dpm_rpm_ratio: 1.44
  plant_cover: 0
  plant_carbon: {{equilibrium: 0.3, schedule: [{{value: 0.25}}]}}
scenarios:
  usual: {{}}
  cover:
    inputs:
      plant_carbon: {{equilibrium: 0.3, schedule: [{{to: 2000, value: 0.25}}, {{from: 2001, value: 0.30}}]}}
uncertain:
  soil: {{input: soc_measured, as: factor, distribution: lognormal, median: 1, cv: 0.2, per: site}}
  k_hum: {{distribution: lognormal, median: 0.02, cv: 0.2}}
  plant_carbon: {{as: factor, distribution: lognormal, median: 1, cv: 0.2}}
design: {{members: 64, seed: 2}}
outputs: {{variables: [soc]}}
credits:
  baseline: usual
  project: cover
  start: 2001
  strata: stratum
  areas: {{north: 120, south: 300}}
  leakage: 20
  buffer: 0.15
totals: {{area: hectares, by: stratum}}
"""
POINTS = "site,soc,stratum,hectares\nA,50,north,60\nB,62,north,60\nC,71,south,100\nD,58,south,100\nE,66,south,100\n"


@pytest.fixture(scope="module")
def credit_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("credits")
    (folder / "points.csv").write_text(POINTS)
    (folder / "study.yaml").write_text(CREDITS)
    plan = load_plan(folder / "study.yaml", (), None, None)
    run_plan(plan, folder / "run.zarr", quiet=True)
    return folder


def test_credits_of_a_study_are_those_of_its_draw_table(credit_store):
    """The hand-over table, read back and put through the rule by hand, gives the store's numbers."""
    (file,) = export_store(credit_store / "run.zarr", "draws", credit_store / "out")
    baseline, project, sites = paired_changes(read_draw_table(file))
    assert sites == list("ABCDE")
    strata = stratify(["north", "north", "south", "south", "south"], {"north": 120, "south": 300})
    expected = deduct(in_co2e(monte_carlo(project - baseline, strata)), rule_named("vm0042-2.2"))
    found = open_store(credit_store / "run.zarr").dataset("credits").load()
    assert float(found["credited_total"]) == pytest.approx(expected.credited_total, rel=1e-9)
    assert float(found["deduction"]) == pytest.approx(expected.fraction, rel=1e-9)
    assert float(found["mean"]) > 0
    assert float(found["degrees_of_freedom"]) == 3
    assert float(found["removals"] + found["reductions"]) == pytest.approx(expected.credited_total, rel=1e-9)
    net = float(found["step_left"][-1])
    assert net == pytest.approx(expected.credited_total * 0.85 - 20)
    assert next(iter(found["rule"].values)) == "vm0042-2.2"
    assert 0 < float(found["credited_standard_error"]) < 0.2 * float(found["credited"])


def test_fixed_extra_carbon_does_not_depend_on_the_initial_stock(credit_store):
    """Linear RothC with the same rates: the credit of a site is the same whatever its stock was (1e-10 t C/ha)."""
    members = open_store(credit_store / "run.zarr").dataset("members")["soc"].values
    gain = members[:, 1, :, -1] - members[:, 0, :, -1]
    assert np.ptp(gain, axis=1).max() < 1e-10
    assert gain.std(axis=0).min() > 0.01


LINE = """\
import jax.numpy as jnp
from ensemble import InputSpec, Model, OutputSpec, TimeAxis

def build(settings):
    return lambda inputs: {"soc": inputs["start"] + inputs["slope"] * inputs["effect"] * jnp.cumsum(inputs["practice"])}

LINE = Model(
    name="line", title="stock on a line", build=build, time=TimeAxis("year", per_year=1),
    inputs=(
        InputSpec("start", "t C/ha", "stock", support=(0, 1e4)), InputSpec("slope", "1", "shared by all points"),
        InputSpec("effect", "1", "of a point"), InputSpec("practice", "1", "practice", dims=("time",)),
    ),
    outputs=(OutputSpec("soc", "t C/ha", "stock", dims=("time",)),),
)
"""
LINES = """\
model: line.py:LINE
precision: float64
sites: points.csv
inputs: {period: {start: 2000, end: 2010}, start: 50, slope: 1, effect: {column: effect}, practice: 0}
scenarios:
  usual: {}
  cover: {inputs: {practice: {schedule: [{to: 2000, value: 0}, {from: 2001, value: 0.2}]}}}
uncertain: {slope: {distribution: normal, mean: 1, sd: 0.1}}
design: {members: 256, seed: 2}
credits:
  baseline: usual
  project: cover
  strata: stratum
  areas: {north: 100, south: 300}
  analytical: {sd: 0.5, correlation: 0.8}
  wanted_deduction: 0.05
"""
EFFECTS = {"north": [0.5, 0.9, 1.3], "south": [0.8, 1.0, 1.2, 1.4]}


def test_the_analytical_route_and_the_sample_size_of_a_study_by_hand(tmp_path):
    """A gain of 2 t C/ha times the point's effect, with 10 % of error in all points together."""
    points = [f"{name}{k},{effect},{name}" for name, effects in EFFECTS.items() for k, effect in enumerate(effects)]
    (tmp_path / "points.csv").write_text("\n".join(["site,effect,stratum", *points]) + "\n")
    (tmp_path / "line.py").write_text(LINE)
    (tmp_path / "study.yaml").write_text(LINES)
    run_plan(load_plan(tmp_path / "study.yaml", (), None, None), tmp_path / "run.zarr", quiet=True)
    found = open_store(tmp_path / "run.zarr").dataset("credits").load()
    to_co2, share, counts = 44 / 12, np.array([0.25, 0.75]), np.array([3, 4])
    gains = [2 * to_co2 * np.array(effects) for effects in EFFECTS.values()]
    mean = float(share @ [gain.mean() for gain in gains])
    sd = np.array([gain.std(ddof=1) for gain in gains])
    model = 2 * (0.5 * to_co2) ** 2 * (1 - 0.8) * float((share**2).sum())  # Eqs 61, 64
    variance = float((share**2 * sd**2 / counts).sum()) + model
    assert float(found["mean"]) == pytest.approx(mean, rel=1e-3)
    assert float(found["analytical_standard_error"]) == pytest.approx(np.sqrt(variance), rel=1e-3)
    expected = student_factor(2 / 3, 5) * np.sqrt(variance) / mean
    assert float(found["analytical_deduction"]) == pytest.approx(expected, rel=1e-3)
    assert float(found["analytical_credited_total"]) == pytest.approx(400 * mean * (1 - expected), rel=1e-3)

    def deduction(points):
        error = np.sqrt(((share * sd) ** 2 / points).sum() + float(found["model_variance"]))
        return student_factor(2 / 3, points.sum() - 2) * error / mean

    assert float(found["model_variance"]) == pytest.approx((0.1 * mean) ** 2, rel=0.05)
    assert found["points_now"].values.tolist() == [3, 4]
    wanted = found["wanted_points"].values
    assert deduction(counts) > 0.05 >= deduction(wanted) and deduction(wanted - 1) > 0.05
    assert wanted[1] / wanted[0] == pytest.approx(3 * sd[1] / sd[0], abs=0.5)  # Neyman
    assert float(found.attrs["floor"]) == pytest.approx(student_factor(2 / 3, np.inf) * 0.1, rel=0.02)
    page = (tmp_path / "run.report.html").read_text()
    assert "analytical (Eqs 60-64)" in page and "points needed" in page


def line_store(folder, design):
    """A finished run of the line model at two points with a design that sets inputs."""
    (folder / "points.csv").write_text("site,effect\nA,0.5\nB,1.5\n")
    (folder / "line.py").write_text(LINE)
    (folder / "study.yaml").write_text(LINES[: LINES.index("uncertain:")] + design)
    result = run_plan(load_plan(folder / "study.yaml", (), None, None), folder / "run.zarr", quiet=True)
    return open_store(folder / "run.zarr"), result, (folder / "run.report.html").read_text()


def test_half_ranges_of_a_study_by_hand(tmp_path):
    """start 50 less 60 would be negative: moved to 0, flagged and counted. Nothing is called an interval."""
    design = "design: {type: half_range, errors: {slope: 0.1, start: 60}}\n"
    store, result, page = line_store(tmp_path, design)
    found, effect = store.dataset("half_range").load(), np.array([0.5, 1.5])
    gain = found["gain_half_range"].sel(scenario="cover")
    np.testing.assert_allclose(found["gain_base"].sel(scenario="cover"), 0.2 * effect)
    np.testing.assert_allclose(gain.sel(input="slope"), 0.1 * 0.2 * effect)
    np.testing.assert_allclose(gain.sel(input="start"), 0, atol=1e-12)
    np.testing.assert_allclose(found["value_half_range"].sel(input="start"), (110 - 0) / 2)
    assert found["moved"].values.tolist() == [[False, False], [True, True]]
    assert "start: at 2 sites an error was cut short" in page
    assert "90 % interval" not in page and "Monte Carlo" not in page
    assert (
        "mean yearly gain 0.20 t C/ha/yr, slope ± 0.1 moves it by 0.020 and start ± 60 moves it by 0"
        in result.headline[0]
    )


def test_a_sweep_draws_its_curves(tmp_path):
    store, result, page = line_store(
        tmp_path, "design: {type: sweep, levels: {start: [10, 20], slope: {start: 1, stop: 3, step: 1}}}\n"
    )
    assert store.dataset("members").sizes["member"] == 6
    assert "along slope 1 to 3. Each" in result.headline[0]
    assert 'id="sweep"' in page and "90 % interval" not in page and "bands" not in page
    assert "levels: slope" in page and "start: 1, stop: 3, step: 1" in page


def test_totals_of_a_study_by_class(credit_store):
    totals = open_store(credit_store / "run.zarr").dataset("totals").load()
    members = open_store(credit_store / "run.zarr").dataset("members")["soc"].values[:, :, :, -1]
    north = members[:, 0, :2] @ [60.0, 60.0]
    here = totals.sel({"scenario": "usual", "class": "north"})
    assert float(here["mean"]) == pytest.approx(north.mean())
    assert float(here["sd"].sel(assumption="modelled")) == pytest.approx(north.std(ddof=1))
    sd = totals["sd"].sel({"class": "all"})
    assert (sd.sel(assumption="independent") < 1.15 * sd.sel(assumption="modelled")).all()  # most errors are by site
    assert (sd.sel(assumption="modelled") < sd.sel(assumption="dependent")).all()


def test_the_report_shows_credits_and_totals(credit_store):
    page = (credit_store / "run.report.html").read_text()
    assert "no registry approval" in page
    assert "independent strata" in page
    assert "sd, dependent" in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("project: cover", "project: covr", "'covr' is not a scenario; allowed: usual, cover"),
        ("project: cover", "project: usual", "study.yaml:30: credits.project: 'usual' is the baseline too"),
        ("buffer: 0.15", "beside: [vm0042-9]", "credits.beside: no rule is called 'vm0042-9'"),
        ("south: 300", "sooth: 300", "no area is given for stratum south"),
        ("start: 2001", "start: 2000", "the project years 2000 to 2006 need stocks from the end of 1999"),
        ("buffer: 0.15", "rule: vm0042-9", "no rule is called 'vm0042-9'"),
        ("area: hectares", "area: acres", "the site table has no column 'acres'"),
        ("  areas: {north: 120, south: 300}\n", "", "give strata with areas"),
    ],
)
def test_wrong_credits_and_totals_are_refused(tmp_path, old, new, message):
    assert old in CREDITS
    (tmp_path / "points.csv").write_text(POINTS)
    (tmp_path / "study.yaml").write_text(CREDITS.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_plan(tmp_path / "study.yaml", (), None, None)


def test_a_stratum_with_one_point_is_refused(tmp_path):
    (tmp_path / "points.csv").write_text(POINTS.replace("B,62,north", "B,62,south"))
    (tmp_path / "study.yaml").write_text(CREDITS)
    with pytest.raises(InputError, match="stratum north has 1 sample point"):
        load_plan(tmp_path / "study.yaml", (), None, None)


def test_maps_are_painted_on_their_grid(tmp_path, credit_store):
    rasterio = pytest.importorskip("rasterio")
    write_raster(tmp_path / "soc.tif", SOC)
    write_raster(tmp_path / "sd.tif", np.full((6, 8), 5.0, "float32"))
    (tmp_path / "study.yaml").write_text(RASTER_STUDY + "totals: {}\nmapping: {zones: iom}\n")
    plan = load_plan(tmp_path / "study.yaml", (), None, None)
    said = run_plan(plan, tmp_path / "map.zarr", quiet=True).headline
    assert "47 cells, median " in said[-1] and "typical standard deviation" in said[-1]  # no cell stands for the others
    files = export_store(tmp_path / "map.zarr", "geotiff", tmp_path / "out")
    assert {file.name for file in files} >= {
        "maps.zarr",
        "iom_mean.tif",
        "iom_sd.tif",
        "iom_quantile_5.tif",
        "zone.tif",
    }
    with rasterio.open(tmp_path / "out" / "iom_mean.tif") as file:
        painted = file.read(1)
        assert file.crs.to_epsg() == 32632
        assert file.transform.c == 500_000.0
    assert np.isnan(painted[0, 0])
    members = open_store(tmp_path / "map.zarr").dataset("members")["iom"].values[:, 0]
    np.testing.assert_allclose(painted[SOC != -9999], members.mean(axis=0), rtol=1e-5)
    zones = open_store(tmp_path / "map.zarr").dataset("zones").load()
    assert float(zones["area"].sum()) == pytest.approx(47.0)
    counted = [int((zones["zone"] == code).sum()) for code in range(9)]
    np.testing.assert_allclose(zones["share"].values[0], 100 * np.array(counted) / 47)
    assert "high mean, low uncertainty" in (tmp_path / "map.report.html").read_text()
    totals = open_store(tmp_path / "map.zarr").dataset("totals")
    assert float(totals["area"].sel({"class": "all"})) == 4700.0
    with pytest.raises(StoreRefused, match="cells of a raster"):
        export_store(credit_store / "run.zarr", "geotiff", tmp_path / "none")


def test_an_unknown_form_is_refused(credit_store):
    with pytest.raises(InputError, match="allowed: csv, netcdf, draws, geotiff"):
        export_store(credit_store / "run.zarr", "shapefile")


def test_studies_load(credit_store):
    assert load_study(credit_store / "study.yaml").record.credits is not None
