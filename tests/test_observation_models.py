"""Observations as soil scientists make them: stocks by their parts, fractions, fluxes, radiocarbon, groups, NetCDF."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ensemble.config import InputError
from ensemble.config.given import Pedotransfer
from ensemble.inference.calibration.problem import make_problem
from ensemble.models.base import BuildSettings
from ensemble.models.examples import example_inputs
from ensemble.models.registry import builtin_models
from ensemble.pipeline import load_plan

CLIMATE = """\
  temperature: [3, 3, 5, 8, 11, 14, 16, 16, 13, 10, 6, 4]
  precipitation: 55
  pan_evaporation: [8, 10, 30, 52, 80, 95, 104, 96, 69, 36, 16, 8]
  plant_carbon: 0.15
  plant_cover: 1
  dpm_rpm_ratio: 1.44
"""
STUDY = f"""\
model: rothc
precision: float64
sites: sites.csv
inputs:
  period: {{start: 2000, end: 2004}}
  clay: 23
  depth: 30
  iom: 3
{CLIMATE}uncertain:
  k_hum: {{distribution: lognormal, median: 0.02, cv: 0.3}}
  plant_carbon: {{as: factor, distribution: lognormal, median: 1, cv: 0.3}}
observations:
  file: data.csv
  variable: soc
  parts:
    concentration: {{units: "%", error: {{relative: 0.03}}}}
    bulk_density: {{error: {{relative: 0.05}}}}
    depth: {{error: {{absolute: 1.5}}}}
    coarse_fragments: {{error: {{absolute: 4}}}}
    pedotransfer: {{}}
calibrate:
  errors:
    density: {{of: bulk_density, shared_by: [site]}}
    laboratory: {{relative: 0.02, shared_by: [method]}}
"""
DATA = """\
site,time,concentration,bulk_density,depth,coarse_fragments,method
a,2001,1.20,1.30,30,5,tinsley
a,2003,1.15,1.35,30,5,combustion
b,2001,1.40,,30,,tinsley
b,2003,1.45,,30,10,combustion
"""


def folder(path, study=STUDY, data=DATA):
    (path / "sites.csv").write_text("site\na\nb\n")
    (path / "data.csv").write_text(data)
    (path / "study.yaml").write_text(study)
    return path / "study.yaml"


def problem_of(path):
    plan = load_plan(path, (), None, None)
    return make_problem(plan, plan.study.record.calibrate)


def test_a_stock_is_the_product_of_its_parts_and_each_part_keeps_its_error(tmp_path, x64):
    problem = problem_of(folder(tmp_path))
    law = Pedotransfer()
    density = np.array([1.30, 1.35, *(law.intercept + law.slope * np.sqrt([1.40, 1.45]))])
    stones = np.array([0.05, 0.05, 0.0, 0.10])
    stock = np.array([1.20, 1.15, 1.40, 1.45]) * density * 30 * (1 - stones)  # % x g cm-3 x cm is t/ha
    np.testing.assert_allclose(problem.rows["value"], stock, rtol=1e-12)
    parts = {
        "own": np.hypot(np.hypot(0.03, 1.5 / 30), 0.04 / (1 - stones)),
        "core": np.array([0.05, 0.05, 0.0, 0.0]),
        "missing": np.array([0.0, 0.0, *(law.sd / density[2:])]),
    }
    own, core, missing = (np.sqrt(np.log1p(part**2)) for part in parts.values())
    same_site = np.equal.outer([0, 0, 1, 1], [0, 0, 1, 1])
    same_method = np.equal.outer([0, 1, 0, 1], [0, 1, 0, 1])
    expected = np.diag(own**2) + same_site * (np.outer(core, core) + np.outer(missing, missing)) + 0.02**2 * same_method
    found = problem.errors.covariance(jnp.asarray(stock), problem.parameters.values(jnp.zeros(2)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    total = np.sqrt(parts["own"] ** 2 + parts["core"] ** 2 + parts["missing"] ** 2) * stock
    np.testing.assert_allclose(problem.rows["error"], total, rtol=1e-12)


def test_the_regression_of_bulk_density_is_what_the_data_say(shared):
    table = pd.read_csv(shared / "data/dsp4sh/dsp4sh_horizons_trimmed.csv")
    table = table[(table["SOC_pct"] > 0) & table["Bulk_Density"].notna()]
    design = np.column_stack([np.ones(len(table)), np.sqrt(table["SOC_pct"])])
    (intercept, slope), residuals, *_ = np.linalg.lstsq(design, table["Bulk_Density"], rcond=None)
    law = Pedotransfer()
    assert len(table) == 1359
    assert intercept == pytest.approx(law.intercept, abs=5e-4)
    assert slope == pytest.approx(law.slope, abs=5e-4)
    assert np.sqrt(residuals[0] / (len(table) - 2)) == pytest.approx(law.sd, abs=5e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a,2001,1.20", "a,2001,12.0e2", r"data.csv:2: concentration: 12000 g/kg is not allowed; allowed: 0 to 600"),
        ("a,2001,1.20,1.30", "a,2001,1.20,1300", r"bulk_density: 1300 g cm-3 is not allowed; allowed: 0.05 to 2.65"),
        ("a,2001,1.20", "a,2001,", "concentration: the cell is empty"),
        (",1.30,30,", ",1.30,20,", "a measurement at a is of 20 cm and the model's soil is 30 cm deep"),
    ],
)
def test_impossible_parts_are_refused(tmp_path, x64, old, new, message):
    assert old in DATA
    with pytest.raises(InputError, match=message):
        problem_of(folder(tmp_path, data=DATA.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    pedotransfer: {}\n", "", "data.csv:4: bulk_density: the cell is empty"),
        ('units: "%"', "units: cm", "study.yaml:.* unit 'cm' is not allowed here"),
        ('{units: "%", error: {relative: 0.03}}', "{}", "measurement errors of concentration are missing"),
        ("of: bulk_density", "of: stones", "of"),
        ("{of: bulk_density, shared_by: [site]}", "{of: bulk_density, relative: 0.1}", "exactly one of"),
        ("  errors:\n", "  vary: {k_hum: {by: time, spread: {distribution: lognormal, median: 1, cv: 1}}}\n  errors:\n",
         "'time' differs between rows of one scenario and site"),
        ("  errors:\n", "  vary: {k_bio: {spread: {distribution: lognormal, median: 1, cv: 1}}}\n  errors:\n",
         "no such number under uncertain; allowed: k_hum, plant_carbon"),
        ("  errors:\n", "  vary: {k_hum: {spread: 0.3}}\n  errors:\n", "a spread that is learnt needs a distribution"),
    ],
)  # fmt: skip
def test_wrong_statements_are_refused(tmp_path, x64, old, new, message):
    assert old in STUDY
    with pytest.raises(InputError, match=message):
        problem_of(folder(tmp_path, STUDY.replace(old, new)))


def test_a_netcdf_file_says_the_same_as_a_table(tmp_path, x64):
    expected = problem_of(folder(tmp_path)).rows
    table = pd.read_csv(tmp_path / "data.csv")
    data = xr.Dataset.from_dataframe(table.rename_axis("observation"))
    data.to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    found = problem_of(folder(tmp_path, STUDY.replace("data.csv", "data.nc"))).rows
    pd.testing.assert_frame_equal(found.drop(columns="observation"), expected, check_dtype=False)


def test_a_gridded_netcdf_file_is_taken_apart_in_its_own_unit(tmp_path, x64):
    value = np.array([[4.1, np.nan, 4.0], [4.4, 4.3, 4.2]])
    dates = pd.to_datetime(["2000-12-15", "2002-12-15", "2004-12-15"])
    data = xr.Dataset(
        {"value": (("site", "time"), value, {"units": "kg C m-2"})}, {"site": ["a", "b"], "time": dates}
    )  # fmt: skip
    data.to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    a, b = STUDY.index("  parts:"), STUDY.index("calibrate:")
    study = STUDY[:a].replace("data.csv", "data.nc") + "  error: {relative: 0.05}\ncalibrate: {}\n"
    assert b > a
    rows = problem_of(folder(tmp_path, study)).rows
    assert rows["value"].tolist() == pytest.approx([41.0, 40.0, 44.0, 43.0, 42.0])
    assert rows["site"].tolist() == ["a", "a", "b", "b", "b"]
    assert rows["time"].tolist() == pytest.approx([2001.0, 2005.0, 2001.0, 2003.0, 2005.0])
    (tmp_path / "data.nc").write_bytes(b"no NetCDF")
    with pytest.raises(InputError, match="cannot be read as NetCDF"):
        problem_of(tmp_path / "study.yaml")


STREAMS = """\
calibrate:
  likelihood: {delta14c: normal}
  errors: {respiration: {relative: 0.1, variable: co2, shared_by: [site]}}
"""
STREAM_DATA = """\
site,time,variable,value,error
a,2001,soc,40,2
a,2003,soc,39,2
a,2003,co2,1500,200
a,2003,delta14c,-20,8
b,2002,pom,5,0.5
b,2002,maom,30,2
b,2002,iom,3.1,0.3
"""


def test_flux_radiocarbon_and_fractions_are_streams_of_one_likelihood(tmp_path, x64):
    a = STUDY.index("observations:")
    study = STUDY[:a].replace("sites: sites.csv", "sites: sites.csv\noptions: {radiocarbon: true, fractions: true}")
    study += "observations: {file: data.csv, units: {co2: kg C/ha}}\n" + STREAMS
    study = study.replace("uncertain:", "  modern_carbon: 105\nuncertain:", 1)
    problem = problem_of(folder(tmp_path, study, STREAM_DATA))
    values = problem.parameters.values(jnp.asarray([0.5, -0.3]))
    found = np.asarray(problem.predict(values))
    model = builtin_models()["rothc"]
    names = ("soc", "co2", "delta14c", "pom", "maom", "iom")
    settings = BuildSettings(model.default_options() | {"radiocarbon": True, "fractions": True}, 12, names)
    plan = load_plan(tmp_path / "study.yaml", (), None, None)
    inputs = {name: jnp.asarray(array[0, 0]) for name, array in plan.base.values.items()}
    inputs |= {"k_hum": values["k_hum"], "plant_carbon": inputs["plant_carbon"] * values["plant_carbon"]}
    run = model.simulator(settings)(inputs)
    places = [("soc", 1), ("soc", 3), ("co2", 3), ("delta14c", 3), ("pom", 2), ("maom", 2), ("iom", 2)]
    np.testing.assert_allclose(found, [run[name][year] for name, year in places], rtol=1e-10)
    assert found[4] + found[5] + found[6] == pytest.approx(float(run["soc"][2]), rel=1e-12)
    assert problem.rows["value"].tolist() == pytest.approx([40, 39, 1.5, -20, 5, 30, 3.1])
    assert problem.errors.is_log.tolist() == [True, True, True, False, True, True, True]
    gradient = jax.grad(problem.log_likelihood)(jnp.zeros(2))
    assert np.isfinite(gradient).all() and (np.abs(gradient) > 0).all()


def test_measured_fractions_are_the_pools_of_the_start(x64):
    model = builtin_models()["rothc"]
    options = {"spinup": "fractions", "fractions": True}
    inputs = example_inputs(model, options, years=1)
    settings = BuildSettings(model.default_options() | options, 1, ("dpm", "rpm", "bio", "hum", "pom", "maom", "soc"))
    at_rest = model.simulator(BuildSettings(model.default_options(), 1, ("dpm", "rpm", "bio", "hum")))
    equilibrium = at_rest(example_inputs(model, years=1))
    rest = {name: equilibrium[name][-1] for name in ("dpm", "rpm", "bio", "hum")}
    inputs |= {
        "pom_measured": np.asarray(rest["dpm"] + rest["rpm"]), "maom_measured": np.asarray(rest["bio"] + rest["hum"])
    }  # fmt: skip
    run = model.simulator(settings)(inputs)
    for name in ("dpm", "rpm", "bio", "hum"):  # fractions of an equilibrium stay in equilibrium
        assert float(run[name][-1]) == pytest.approx(float(rest[name]), rel=1e-9)


def test_groups_vary_around_a_common_value_by_a_learnt_spread(tmp_path, x64):
    vary = "  vary: {plant_carbon: {by: method, spread: {distribution: lognormal, median: 0.5, cv: 0.5}}}\n"
    data = DATA.replace("combustion", "tinsley").replace("b,2001,1.40,,30,,tinsley", "b,2001,1.40,,30,,soil_team")
    data = data.replace("10,tinsley", "10,soil_team")
    problem = problem_of(folder(tmp_path, STUDY.replace("  errors:\n", f"{vary}  errors:\n"), data))
    parameters = problem.parameters
    assert parameters.names == (
        "k_hum", "plant_carbon", "plant_carbon[tinsley]", "plant_carbon[soil_team]", "plant_carbon_spread",
    )  # fmt: skip
    scores = jnp.asarray([0.1, 0.4, 1.0, -2.0, 0.7])
    values = parameters.values(scores)
    sigma = np.sqrt(np.log1p(0.3**2))
    spread = 0.5 * np.exp(np.sqrt(np.log1p(0.25)) * 0.7)
    assert float(values["plant_carbon_spread"]) == pytest.approx(spread)
    np.testing.assert_allclose(values["plant_carbon"], np.exp(sigma * (0.4 + spread * np.array([1.0, -2.0]))))
    assert float(values["plant_carbon_common"]) == pytest.approx(np.exp(sigma * 0.4))
    changed = problem.predict(parameters.values(scores.at[2].set(2.0))) / problem.predict(values)
    assert (np.asarray(changed) > 1.001).tolist() == [True, True, False, False]  # site a alone
    new = jax.vmap(lambda key: parameters.in_new_groups(scores, key)["plant_carbon_new"])(
        jax.random.split(jax.random.key(0), 4000)
    )
    assert float(jnp.log(new).std()) == pytest.approx(sigma * spread, rel=0.05)
