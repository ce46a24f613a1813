"""Criteria fixed beforehand, pruning that must prove itself, and the validation report: through the commands."""

import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.config import load_study
from ensemble.pipeline.pruning import moved_by
from ensemble.twin.journal import Journal, journal_folder
from ensemble.validation.rules import (
    domain_checks,
    duration_check,
    group_checks,
    group_table,
    independence_checks,
    pooled_uncertainty,
)

MODEL = """\
import jax.numpy as jnp
from ensemble import InputSpec, Model, OutputSpec, TimeAxis

def build(settings):
    def simulate(i):
        t = jnp.cumsum(i["drive"])
        return {"stock": i["start"] * jnp.exp(-i["rate"] * t) + i["slight"] + 0.0 * i["clay"]}
    return simulate

def number(name, units="1"):
    return InputSpec(name, units, name)

DECAY = Model(
    name="decay", title="a decay", build=build, time=TimeAxis("year", per_year=1),
    inputs=(number("start"), number("rate"), number("slight"), number("clay", "%"), InputSpec("drive", "1", "drive", dims=("time",))),
    outputs=(OutputSpec("stock", "1", "stock", dims=("time",)),),
)
"""
STUDY = """\
# a comment
model: model.py:DECAY
inputs: {period: {start: 2000, end: 2009}, drive: 1, start: 50, rate: 0.02, slight: 0, clay: {column: clay}}
sites: sites.csv
uncertain:
  start: {distribution: normal, mean: 50, sd: 3}
  rate: {distribution: lognormal, median: 0.02, cv: 0.3}
  slight: {distribution: normal, mean: 0.5, sd: 0.05}
correlation:
  - {between: [start, slight], value: 0}
observations: {file: data.csv, variable: stock}
criteria:
  bias: {measure: bias, at_most: 3}
  bands: {measure: coverage_90, by: [site], at_least: 0.5}
design: {members: 1024, seed: 3}
decompose: {rows: 128, surrogate: false}
"""
SITES = "site,clay,climate_zone,texture,longitude,latitude\nnorth,10,Dfb,loam,10,60\nsouth,30,Cfb,clay,12,45\n"
DATA = """\
site,time,value,error,replicates,practice,crop_group,source,experiment,citation
north,2004,46.5,1,4,tillage,annual C3,SOC,A,Smith 2001
north,2009,41.5,1,4,tillage,annual C3,SOC,A,Smith 2001
south,2004,45.2,1,3,tillage,annual C3,SOC,B,Jones 2005
south,2009,40.6,1,3,tillage,annual C3,SOC,B,Jones 2005
"""


def write(path, text=STUDY, data=DATA, sites=SITES):
    for name, content in (("model.py", MODEL), ("data.csv", data), ("sites.csv", sites), ("study.yaml", text)):
        (path / name).write_text(content)
    return path / "study.yaml"


def command(*arguments):
    return CliRunner().invoke(app, ["--quiet", *map(str, arguments)])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("decay")
    study = write(path)
    result = command("run", study, "--out", path / "out.zarr")
    assert result.exit_code == 0, result.output
    return path / "out.zarr"


def test_criteria_are_fixed_before_and_checked_after(store):
    result = command("assess", store)
    assert result.exit_code == 0, result.output
    assert "pass  bias (all): bias of the run at most 3; found" in result.output
    assert result.output.count("pass  bands") == 2 and "before there were results" in result.output


def test_a_changed_criterion_is_visible_for_ever_and_does_not_bind(store):
    study = store.with_name("study.yaml")
    study.write_text(STUDY.replace("at_most: 3", "at_most: 0.0001"))
    assert command("run", study, "--out", store).exit_code == 0  # no number changes: the store is read
    result = command("assess", store)
    assert result.exit_code == 0 and "at most 3;" in result.output  # those fixed beforehand
    assert "criteria CHANGED" in result.output and "after there were results (statistics)" in result.output
    assert [e.kind for e in Journal(journal_folder(store)).entries] == ["criteria", "criteria"]


def test_criteria_written_afterwards_never_pass(tmp_path):
    text = STUDY[: STUDY.index("criteria:")] + STUDY[STUDY.index("design:") :]
    study = write(
        tmp_path, text.replace("members: 1024", "members: 64").replace("decompose: {rows: 128, surrogate: false}", "")
    )
    out = tmp_path / "out.zarr"
    assert command("run", study, "--out", out).exit_code == 0
    result = command("assess", out)
    assert result.exit_code == 2 and "no criteria were fixed" in result.output
    study.write_text(study.read_text() + "criteria: {easy: {measure: bias, at_most: 1000}}\n")
    assert command("run", study, "--out", out).exit_code == 0
    result = command("assess", out)
    assert result.exit_code == 5 and "they were not fixed beforehand, so nothing passes" in result.output


def test_a_criterion_that_fails_and_one_with_nothing_to_check(tmp_path):
    text = STUDY.replace(
        "bias: {measure: bias, at_most: 3}",
        "crps: {measure: crps, at_most: 0.001}\n  later: {measure: rmse, of: twin, at_most: 9}",
    )
    study = write(
        tmp_path, text.replace("members: 1024", "members: 64").replace("decompose: {rows: 128, surrogate: false}", "")
    )
    assert command("run", study, "--out", tmp_path / "out.zarr").exit_code == 0
    result = command("assess", tmp_path / "out.zarr")
    assert result.exit_code == 5
    assert (
        "FAIL  crps" in result.output and "FAIL  later" in result.output and "nothing to check it with" in result.output
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{measure: bias}", "give at_most, at_least or both"),
        ("{measure: bias, at_least: 3, at_most: 1}", "at_least 3 is above at_most 1"),
        ("{measure: best, at_most: 1}", "'best' is not allowed"),
    ],
)
def test_wrong_criteria_are_refused(tmp_path, text, message):
    study = write(tmp_path, STUDY.replace("{measure: bias, at_most: 3}", text))
    with pytest.raises(ValueError, match=message):
        load_study(study)


def test_prune_fixes_what_does_not_matter_and_proves_it(tmp_path):
    study = write(tmp_path)
    result = command("prune", study, "--out", tmp_path / "prune.zarr")
    assert result.exit_code == 0, result.output
    assert "slight: total effect at most" in result.output and "Wasserstein; allowed: 0.1" in result.output
    smaller = load_study(tmp_path / "study.pruned.yaml").record
    assert list(smaller.uncertain) == ["start", "rate"] and not smaller.correlation
    assert smaller.inputs.sources()["slight"].value == pytest.approx(0.5)  # the median, not the stated 0


def test_prune_refuses_what_moves_the_outputs_or_cannot_be_shown(tmp_path):
    study = write(tmp_path)
    result = command("prune", study, "--out", tmp_path / "a.zarr", "--tolerance", 0.7, "--distance", 0.1)
    assert result.exit_code == 5 and "the outputs moved too far" in result.output
    result = command("prune", study, "--out", tmp_path / "a.zarr", "--distance", 0.0001)
    assert result.exit_code == 5 and "sampling noise alone moves outputs" in result.output
    result = command("prune", study, "--out", tmp_path / "a.zarr", "--tolerance", 1e-9)
    assert result.exit_code == 0 and "nothing is pruned" in result.output
    assert not (tmp_path / "study.pruned.yaml").exists()


def test_distances_of_two_samples_are_those_of_shifted_normals():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20_000, 1)), rng.normal(0.5, 1.0, size=(20_000, 1))
    found = moved_by({"x": a}, {"x": b})
    assert found.wasserstein == pytest.approx(0.5, abs=0.03) and found.mean == pytest.approx(0.5, abs=0.03)
    assert found.kolmogorov == pytest.approx(0.1974, abs=0.015)  # 2 Phi(1/4) - 1
    assert found.sd < 0.02


def test_the_validation_report(store, tmp_path):
    result = command("validate-model", store)
    assert result.exit_code == 5  # no project and no calibration: not shown is not passed
    assert "pass  mean bias over experiments" in result.output and "no project was given" in result.output
    calibration = write(
        made(tmp_path, "fit"),
        CALIBRATE,
        DATA.replace("north", "east").replace("south", "west"),
        SITES.replace("north,10,Dfb,loam,10,60", "east,12,Dfb,loam,20,60")
        .replace("south", "west")
        .replace("12,45", "22,45"),
    )
    assert command("calibrate", calibration, "--out", tmp_path / "fit.zarr").exit_code in (0, 4)
    project = write(
        made(tmp_path, "project"),
        STUDY.replace("end: 2009", "end: 2004").replace("observations: {file: data.csv, variable: stock}", "")
        + "scenarios: {baseline: {}, project: {inputs: {rate: 0.01}}}\n".replace("rate: 0.01", "drive: 0.5"),
    )
    assert (
        command("run", project, "--out", tmp_path / "project.zarr", "--members", 64, "--set", "criteria={}").exit_code
        == 0
    )
    result = command(
        "validate-model", store, "--project", tmp_path / "project.zarr", "--calibration", tmp_path / "fit.zarr"
    )
    assert result.exit_code == 5, result.output  # the same numbers were measured at both
    assert "pass  every climate zone of the project" in result.output
    assert "pass  clay of the validation data spans 15 points or more (domain): 20 points" in result.output
    assert "pass  the same model and parameter sets in baseline, project and validation" in result.output
    assert "pass  the project is simulated for no longer than the median experiment" in result.output
    assert "nearest two are" in result.output
    assert "FAIL  no measurement is used twice (measurements): 4 measurements" in result.output
    page = store.with_name("out.validation.html").read_text()
    for text in ("This is no approval by any registry", "second hand", "PMU, n − 1", "Smith 2001", "median duration"):
        assert text in page, text


CALIBRATE = (
    STUDY[: STUDY.index("criteria:")] + "calibrate: {likelihood: normal, method: laplace, draws: 100, chains: 2}\n"
)


def made(path, name):
    (path / name).mkdir()
    return path / name


def test_a_report_where_every_rule_holds_shows_the_parameters_that_were_run(tmp_path):
    away = DATA.replace("north", "east").replace("south", "west")
    for old, new in (("46.5", "46.9"), ("41.5", "42.3"), ("45.2", "46.1"), ("40.6", "41.9")):
        away = away.replace(old, new)
    places = "site,clay,climate_zone,texture,longitude,latitude\neast,12,Dfb,loam,20,60\nwest,30,Cfb,clay,22,45\n"
    fit, here, project = (made(tmp_path, name) for name in ("fit", "here", "project"))
    assert command("calibrate", write(fit, CALIBRATE, away, places), "--out", tmp_path / "fit.zarr").exit_code == 0
    prior = STUDY[STUDY.index("uncertain:") : STUDY.index("observations")]
    text = STUDY.replace(prior, "uncertain:\n  fitted: {posterior: ../fit.zarr}\n").replace(
        "members: 1024", "members: 256"
    )
    text = text[: text.index("decompose:")]
    assert command("run", write(here, text), "--out", tmp_path / "here.zarr").exit_code == 0
    text = text[: text.index("observations")] + text[text.index("design:") :]
    text = text.replace("end: 2009", "end: 2004") + "scenarios: {baseline: {}, project: {inputs: {drive: 0.5}}}\n"
    assert command("run", write(project, text), "--out", tmp_path / "project.zarr").exit_code == 0
    result = command("validate-model", tmp_path / "here.zarr", "--project", tmp_path / "project.zarr")
    assert result.exit_code == 0 and "FAIL" not in result.output, result.output
    page = (tmp_path / "here.validation.html").read_text()
    assert "posterior fitted" in page and "Every rule that was checked holds." in page
    assert "50 1" not in page and not re.search(r"start</td>\s*<td[^>]*>50<", page)  # not the number that was replaced


def test_pooled_uncertainty_has_two_published_weightings():
    errors, counts = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    assert pooled_uncertainty(errors, counts, "n - 1") == pytest.approx(np.sqrt((2 * 1 + 4 * 4) / 6))
    assert pooled_uncertainty(errors, counts, "n") == pytest.approx(np.sqrt((3 * 1 + 5 * 4) / 8))
    assert np.isnan(pooled_uncertainty(errors, np.ones(2), "n - 1"))


def rows_of(miss, inside=0.95, experiments=4):
    count = len(miss)
    value = np.full(count, 40.0)
    half = np.where(np.arange(count) < inside * count, 99.0, 0.0) + np.abs(miss) * 0.5
    return pd.DataFrame(
        {
            "practice": "p", "crop_group": "c", "source": "s", "experiment": np.arange(count) % experiments, "value": value,
            "error": 1.0, "replicates": 4.0, "mean": value + miss, "low": value + miss - half, "high": value + miss + half,
            "time": np.repeat([2000.0, 2020.0], count // 2),
        }
    )  # fmt: skip


def test_bias_is_the_unweighted_mean_over_experiments():
    miss = np.array([4.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0])  # one of four experiments is off by 4
    table = group_table(rows_of(miss)[:7])  # and has two of seven measurements
    assert table["bias"][0] == pytest.approx(1.0) and table["pmu"][0] == pytest.approx(1.0)
    good, bad = group_checks(group_table(rows_of(miss))), group_checks(group_table(rows_of(miss + 0.2)))
    assert good[0].passed and not bad[0].passed
    few = group_checks(group_table(rows_of(np.tile([1.0, -1.0], 20), inside=0.8)))
    assert not few[1].passed and few[1].found == "80 % of 40"


def test_domain_duration_and_independence():
    validation = pd.DataFrame({"climate_zone": ["Cfb", "Dfb"], "texture": ["loam", "clay"], "clay": [10.0, 24.0]})
    project = pd.DataFrame({"climate_zone": ["Cfb", "Bsk"], "texture": ["loam", "loam"], "clay": [10.0, 20.0]})
    zone, texture, clay = domain_checks(validation, project)
    assert not zone.passed and "missing: Bsk" in zone.found and texture.passed and not clay.passed
    assert duration_check(rows_of(np.zeros(8)), 20.0).passed and not duration_check(rows_of(np.zeros(8)), 21.0).passed
    here = pd.DataFrame(
        {
            "location": ["a"],
            "longitude": [10.0],
            "latitude": [50.0],
            "variable": ["soc"],
            "time": [2001.0],
            "value": [40.0],
        }
    )
    names, places, measurements = independence_checks(here, here)
    assert not names.passed and not places.passed and not measurements.passed
    away = here.assign(location="b", longitude=11.0, value=41.0)
    assert all(check.passed for check in independence_checks(here, away))
