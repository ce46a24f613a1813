"""`calibrate:` in a study, from the file to the posterior, the exit code and the forecast."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from line_study import DATA, FORECAST, STUDY, folder
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.config import InputError
from ensemble.inference.calibration.importance import arviz
from ensemble.inference.calibration.predictive import _given_fitted
from ensemble.inference.calibration.problem import make_problem
from ensemble.pipeline import calibrate_plan, load_plan, run_plan
from ensemble.report.calibration import skill
from ensemble.store import open_store


def closed_form():
    """Mean and covariance of the conjugate posterior."""
    rows = np.array([float(cell) for line in DATA.split()[1:] for cell in line.split(",")]).reshape(-1, 2)
    design = np.column_stack([np.ones(len(rows)), rows[:, 0] - 1999])
    errors = 0.25 * np.eye(len(rows)) + 0.16 * np.equal.outer(rows[:, 0], rows[:, 0])
    weight = np.linalg.inv(errors)
    prior = np.diag([1 / 4, 1])
    covariance = np.linalg.inv(design.T @ weight @ design + prior)
    return covariance @ (design.T @ weight @ rows[:, 1] + prior @ [1, 0]), covariance


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = tmp_path_factory.mktemp("conjugate")
    study = folder(path)
    result = CliRunner().invoke(app, ["calibrate", str(study), "--out", str(path / "fit.zarr")])
    assert result.exit_code == 0, result.output
    for line in (
        "starts: 16/16 ended",
        "warm-up: 300/300 steps",
        "sampling: 600/600 steps",
        "predictions: 2,400/2,400",
    ):
        assert line in result.stderr
    return path, result.stdout


def groups(path):
    tree = xr.open_datatree(path / "fit.zarr" / "calibration", engine="zarr", consolidated=False)
    return arviz.InferenceData.from_datatree(tree) if arviz.__version__.startswith("0.") else tree


def test_a_conjugate_model_is_recovered_through_the_command(fitted):
    path, said = fitted
    assert said.startswith("The posterior may be used")
    assert "conditional on a perfect model" in said
    data = groups(path)
    posterior = data["posterior"]
    draws = np.stack([posterior[name].values.ravel() for name in ("start", "slope")])
    mean, covariance = closed_form()
    sd = np.sqrt(np.diag(covariance))
    error = sd / np.sqrt(1000.0)  # at least 1,000 effective draws
    assert (np.abs(draws.mean(axis=1) - mean) < 4 * error).all()
    np.testing.assert_allclose(draws.std(axis=1), sd, rtol=0.08)
    assert np.corrcoef(draws)[0, 1] == pytest.approx(covariance[0, 1] / np.prod(sd), abs=0.05)
    assert data["posterior_predictive"]["value"].dims == ("chain", "draw", "observation")
    assert data["sample_stats"]["diverging"].sum() == 0
    assert float(arviz.ess(posterior)["slope"]) > 400
    page = (path / "fit.calibration.html").read_text()
    assert set(re.findall(r"(\w+) against (\w+): correlation", page)) == {("start", "slope")}


def test_a_forecast_keeps_the_joint_posterior(fitted):
    path, _ = fitted
    (path / "forecast.yaml").write_text(FORECAST)
    plan = load_plan(path / "forecast.yaml", (), None, None)
    run_plan(plan, path / "forecast.zarr", quiet=True)
    drawn = xr.open_zarr(path / "forecast.zarr", group="inputs", consolidated=False)
    posterior = groups(path)["posterior"]
    pairs = {(a, b) for a, b in zip(posterior["start"].values.ravel(), posterior["slope"].values.ravel(), strict=True)}
    assert {(a, b) for a, b in zip(drawn["start"].values, drawn["slope"].values, strict=True)} <= pairs
    _, covariance = closed_form()
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert np.corrcoef(drawn["start"], drawn["slope"])[0, 1] == pytest.approx(correlation, abs=0.05)
    shares = xr.open_zarr(path / "forecast.zarr", group="decomposition", consolidated=False)
    assert shares["parameter"].values.tolist() == ["posterior", "push"]


def test_a_failed_fit_is_kept_marked_and_refused_downstream(tmp_path):
    study = folder(tmp_path, STUDY.replace("warmup: 300", "warmup: 20").replace("draws: 600", "draws: 20"))
    result = CliRunner().invoke(app, ["calibrate", str(study), "--out", str(tmp_path / "fit.zarr")])
    assert result.exit_code == 4
    assert "must not be used" in result.output and "effective sample size" in result.output
    (tmp_path / "forecast.yaml").write_text(FORECAST)
    with pytest.raises(InputError, match="failed its diagnostics and must not be used"):
        load_plan(tmp_path / "forecast.yaml", (), None, None)
    load_plan(tmp_path / "forecast.yaml", ("uncertain.posterior={posterior: fit.zarr, unchecked: true}",), None, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shared_by: [time]", "shared_by: [weather]", "errors.date: the observations have no column 'weather'"),
        ("likelihood: normal", "likelihood: lognormal, hold_out: {site: [nowhere]}", "no observation has site nowhere"),
        ("absolute: 0.4", "absolute: -0.4", "absolute"),
        ("absolute: 0.4", "absolute: {distribution: lognormal, median: -1, cv: 1}", "calibrate.errors.date.absolute: "),
        ("normal, mean: 0, sd: 1", "discrete, values: [0, 1]", "no density; a calibration needs continuous priors"),
        ("variable: level", "variable: soc", "there is no output 'soc'"),
        ("error: {absolute: 0.5}", "error: {absolute: 0}", "absolute"),
    ],
)
def test_wrong_calibrations_are_refused_in_one_sentence(tmp_path, old, new, message):
    if new.startswith("likelihood"):
        new = new.replace(", ", "\n  ")
    text = STUDY.replace(old, new)
    study = folder(tmp_path, text)
    with pytest.raises(InputError, match=message):
        calibrate_plan(load_plan(study, (), None, None), tmp_path / "fit.zarr")


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("", "2050,1", r"data.csv:9: time: 2050 lies outside the run, 2000 to 2009"),
        ("", "2000,1.4", r"data.csv:9: value: the row repeats line 2; each measurement is given once"),
        ("", "never,1", r"data.csv:9: time: 'never' is not a year"),
        (",site", "2003,1,elsewhere", r"data.csv:9: site: there is no site 'elsewhere'; allowed: site"),
        (",variable", "2003,1,soc", r"data.csv:9: variable: there is no output 'soc'; allowed: level"),
        (",error", "2003,1,-0.5", r"data.csv:9: error: -0.5 is not allowed; a standard deviation above 0 is needed"),
        ("", "2003,", r"data.csv:9: value: the cell is empty; a number is needed"),
    ],
)
def test_wrong_observations_are_refused_by_the_command(tmp_path, header, row, message):
    fill = {",site": ",site", ",variable": ",level", ",error": ",0.5"}.get(header, "")
    lines = DATA.splitlines()
    text = "\n".join([lines[0] + header, *(line + fill for line in lines[1:]), row]) + "\n"
    study = folder(tmp_path, data=text)
    result = CliRunner().invoke(app, ["calibrate", str(study), "--out", str(tmp_path / "fit.zarr")])
    assert result.exit_code == 2
    assert re.search(message, result.output), result.output
    assert not (tmp_path / "fit.zarr").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("error: {absolute: 0.5}", "units: t C/ha, error: {absolute: 0.5}", "level: unit 't C/ha' is not allowed here"),
        ("shared_by: [time]", "shared_by: [weather]", "errors.date: the observations have no column 'weather'"),
        (
            "shared_by: [time]",
            "variable: soc",
            "calibrate.errors.date.variable: no observation is of 'soc'; allowed: level",
        ),
        ("likelihood: normal", "likelihood: {soc: normal}", "calibrate.likelihood.soc: no observation is of 'soc'"),
        (
            "  draws",
            "  vary: {push: {spread: 1}}\n  draws",
            "vary.push: there is no such number under uncertain; allowed:",
        ),
        (
            "  draws",
            "  vary: {slope: {by: scenario, spread: {distribution: lognormal, median: 1, cv: 1}}}\n  draws",
            "vary.slope.by: there is one scenario alone, so nothing can vary between them",
        ),
        (
            STUDY[STUDY.index("uncertain") : STUDY.index("observations")],
            "",
            "calibrate: nothing is free: give the numbers",
        ),
    ],
)
def test_nothing_is_written_of_a_calibration_that_cannot_be(tmp_path, old, new, message):
    study = folder(tmp_path, STUDY.replace(old, new))
    result = CliRunner().invoke(app, ["calibrate", str(study), "--out", str(tmp_path / "fit.zarr")])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "fit.zarr").exists()


def test_units_of_a_netcdf_table_are_its_own(tmp_path):
    study = folder(tmp_path, STUDY.replace("data.csv", "data.nc").replace(", error: {absolute: 0.5}", ""))
    for value, error, message in (
        ("kg", "kg", "data.nc:1: value: level: unit 'kg' is not allowed here"),
        ("1", "%", "data.nc:1: error: its unit '%' is not that of value, '1'"),
    ):
        columns = {"value": ("time", [1.4, 2.8], {"units": value}), "error": ("time", [0.5, 0.5], {"units": error})}
        xr.Dataset(columns, {"time": [2000, 2004]}).to_netcdf(tmp_path / "data.nc")
        with pytest.raises(InputError, match=re.escape(message)):
            load_plan(study, (), None, None)


def test_held_out_rows_are_predicted_given_the_fitted_ones(tmp_path):
    data = "time,value,below_detection\n2000,1.4,\n2004,2.8,\n2005,3.9,\n2008,6.1,true\n2009,5.9,\n"
    held = STUDY.replace(
        "  warmup", "  model_error: {kind: random_walk, sd: 0.2}\n  hold_out: {time: ['2006.0']}\n  warmup"
    )
    study = folder(tmp_path, held, data)
    with jax.enable_x64(True):
        plan = load_plan(study, (), None, None)
        problem = make_problem(plan, plan.study.record.calibrate)
        values = problem.parameters.values(jnp.asarray([0.2, 0.5]))
        predicted = problem.predict(values)
        keys = jax.random.split(jax.random.key(1), 40_000)
        drawn, precision, pulled = jax.vmap(lambda key: _given_fitted(problem, predicted, values, key))(keys)
        covariance = np.asarray(problem.errors.covariance(predicted, values))
        residual = np.asarray(problem.errors.residual(predicted))
        predicted, drawn, precision, pulled = (np.asarray(a) for a in (predicted, drawn, precision, pulled))
    fitted, rest = [0, 1, 4], [2]
    inverse = np.linalg.inv(covariance[np.ix_(fitted, fitted)])
    np.testing.assert_allclose(precision[0], inverse, rtol=1e-8)
    np.testing.assert_allclose(pulled[0], inverse @ residual[fitted], rtol=1e-8)
    gain = covariance[np.ix_(rest, fitted)] @ inverse
    mean = float(predicted[2] + (gain @ residual[fitted])[0])
    variance = float((covariance[np.ix_(rest, rest)] - gain @ covariance[np.ix_(fitted, rest)])[0, 0])
    assert abs(mean - float(predicted[2])) > 0.1
    assert float(drawn[:, 2].mean()) == pytest.approx(mean, abs=4 * np.sqrt(variance / len(keys)))
    assert float(drawn[:, 2].var()) == pytest.approx(variance, rel=4 * np.sqrt(2 / len(keys)))
    others = [0, 1, 3, 4]  # new errors of every kind, below the limit or not
    expected = covariance[np.ix_(others, others)]
    own = np.diag(expected)
    assert (np.abs(drawn[:, others].mean(axis=0) - predicted[others]) < 4 * np.sqrt(own / len(keys))).all()
    noise = np.sqrt((np.outer(own, own) + expected**2) / len(keys))  # Monte Carlo error of a covariance
    assert (np.abs(np.cov(drawn[:, others].T) - expected) < 4 * noise).all()


def test_fewer_observations_than_parameters_are_said(tmp_path):
    study = folder(
        tmp_path,
        STUDY.replace("  warmup: 300", "  method: laplace"),
        "time,value\n2004,3\n",
    )
    result = calibrate_plan(load_plan(study, (), None, None), tmp_path / "fit.zarr")
    assert any("1 observation informs 2 free parameters" in line for line in result.lines)
    assert any("Gaussian approximation at the mode" in line for line in result.lines)


def test_columns_of_the_table_reach_the_errors(tmp_path):
    data = "time,value,method,below_detection\n2000,1.4,old,\n2004,2.8,old,false\n2008,6.1,new,true\n"
    study = folder(tmp_path, STUDY.replace("shared_by: [time]", "shared_by: [method]"), data)
    with jax.enable_x64(True):
        plan = load_plan(study, (), None, None)
        problem = make_problem(plan, plan.study.record.calibrate)
    together = problem.errors.sources[0].together
    np.testing.assert_array_equal(together, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert problem.errors.below.tolist() == [False, False, True]
    folder(tmp_path, data="time,value,below_detection\n2000,1.4,perhaps\n")
    with pytest.raises(InputError, match="'perhaps' is not allowed"):
        load_plan(study, (), None, None)


def test_a_limit_of_detection_is_no_value_that_scores(tmp_path):
    data = "time,value,below_detection\n2000,1.4,\n2004,2.8,\n2005,3.9,\n2008,60,true\n2009,5.9,\n"
    study = folder(tmp_path, STUDY.replace("  warmup: 300", "  method: laplace"), data)
    plan = load_plan(study, (), None, None)
    calibrate_plan(plan, tmp_path / "fit.zarr")
    checks = open_store(tmp_path / "fit.zarr").dataset("calibration_checks").load()
    table = skill(checks)
    assert table["n"].tolist() == [4, 4] and (table["rmse"] < 5).all()  # 60 is far from anything
    page = (tmp_path / "fit.calibration.html").read_text()
    assert "below this limit, not scored" in page and "lie outside of all" not in page
    assert page.count(">fitted<") == 1  # of one site, its row and that of all are the same
    run_plan(plan, tmp_path / "run.zarr", quiet=True)
    assert open_store(tmp_path / "run.zarr").dataset("observations")["value"].values.tolist() == [1.4, 2.8, 3.9, 5.9]
