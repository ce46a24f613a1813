"""Each mistake gets one sentence that names file, line, key, value and what is allowed; nothing is written."""

import warnings

import pytest
from studies import FORCING_HEAD, TEXT, forcing_rows, write_forcing, write_study

from ensemble.config import load_study
from ensemble.errors import InputError, SuspiciousInput
from ensemble.plan import make_plan


def plan_of(folder, text=TEXT, **kwargs):
    study = write_study(folder, text, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SuspiciousInput)
        return make_plan(load_study(study))


# What is changed in the study, where the mistake is said to be, and words that must be in the sentence.
MISTAKES = {
    "unknown key": ("design: {members: 64", "design: {smapler: 64", "study.yaml:17", ["smapler", "allowed"]),
    "close key": ("title: test", "titel: test", "study.yaml:1", ["did you mean 'title'"]),
    "close key of an entry": ("mean: 23.4, sd: 2", "mean: 23.4, sdd: 2", "study.yaml:9", ["did you mean 'sd'", "quantiles"]),
    "key of a raster": ("model: rothc", "model: rothc\nsites: {rasters: {soc: {fil: a.tif}}}", "study.yaml:3", ["did you mean 'file'", "zero_is_data"]),
    "number of a raster": ("model: rothc", "model: rothc\nsites: {rasters: {soc: {file: a.tif, scale: tenth}}}", "study.yaml:3", ["rasters.soc.scale", "'tenth'"]),
    "wrong type": ("members: 64", "members: many", "study.yaml:17", ["'many'", "design.members"]),
    "duplicate key": ("title: test\n", "title: test\ntitle: again\n", "study.yaml:2", ["title"]),
    "missing file": ("forcing: forcing.csv", "forcing: nowhere.csv", "study.yaml:4", ["nowhere.csv", "does not exist"]),
    "unknown model": ("model: rothc", "model: rothk", "study.yaml:2", ["rothk", "rothc"]),
    "unknown input": ("  depth: 23", "  depht: 23", "study.yaml:6", ["depht", "did you mean 'depth'"]),
    "missing input": ("  depth: 23\n", "", "study.yaml:3", ["inputs.depth", "required"]),
    "clay as fraction": ("{value: 23.4, units: \"%\"}", "0.234", "study.yaml:5", ["0.234", "clay", "%"]),
    "clay above 100": ("{value: 23.4, units: \"%\"}", "234", "study.yaml:5", ["234", "0", "100"]),
    "text for a number": ("  depth: 23", "  depth: deep", "study.yaml:6", ["'deep'", "a number"]),
    "tile of 100": ("design:", "store: {tile: {members: 100}}\ndesign:", "study.yaml:17", ["100", "multiple of 16"]),
    "wrong unit": ('units: "%"', "units: cm", "study.yaml:5", ["'cm'", "allowed"]),
    "impossible correlation": ("value: 0.3", "value: 1.3", "study.yaml:12", ["1.3"]),
    "correlation of nothing": ("between: [clay, plant_carbon]", "between: [clay, sand]", "study.yaml:12", ["sand"]),
    "excluded support": ("mean: 23.4, sd: 2", "mean: 23.4, sd: 2, lower: 150", "study.yaml:9", ["clay"]),
    "unattainable": ("mean: 23.4, sd: 2", "mean: 150, sd: 2", "study.yaml:9", ["150"]),
    "no such output": ("[soc, co2]", "[soc, co3]", "study.yaml:19", ["co3", "co2"]),
    "no such option": ("model: rothc", "model: rothc\noptions: {spin: 3}", "study.yaml:3", ["spin", "spinup"]),
    "wrong option": ("model: rothc", "model: rothc\noptions: {spinup: magic}", "study.yaml:3", ["magic", "analytic"]),
    "not yaml": ("title: test", "title: [test", "study.yaml", ["YAML"]),
    "unknown family": ("distribution: normal", "distribution: gauss", "study.yaml:9", ["gauss", "normal"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_study(name, tmp_path):
    old, new, place, words = MISTAKES[name]
    assert old in TEXT
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, TEXT.replace(old, new))
    sentence = str(caught.value)
    assert place in sentence, sentence
    assert "\n" not in sentence
    for word in words:
        assert word in sentence, sentence


def test_a_missing_input_that_is_a_column_of_the_sites_is_shown_how_to_say_so(tmp_path):
    (tmp_path / "sites.csv").write_text("site,depth\nnorth,23\n")
    with pytest.raises(
        InputError, match=r"required .*; for the column of the table of sites write depth: {column: depth}"
    ):
        plan_of(tmp_path, TEXT.replace("model: rothc", "model: rothc\nsites: sites.csv").replace("  depth: 23\n", ""))


def change(row, column, value):
    """A forcing table with one cell changed; rows are counted from the first data row."""
    rows = forcing_rows()
    rows[row][FORCING_HEAD.split(",").index(column)] = value
    return rows


TABLES = {
    "negative rain": (change(14, "precipitation", -5), "forcing.csv:16", ["precipitation", "-5"]),
    "temperature in K": (change(14, "temperature", 283.15), "forcing.csv:16", ["temperature", "283.15", "K"]),
    "NaN": (change(14, "temperature", "nan"), "forcing.csv:16", ["temperature"]),
    "text": (change(14, "temperature", "warm"), "forcing.csv:16", ["temperature", "'warm'", "number"]),
    "gap": (forcing_rows()[:20] + forcing_rows()[21:], "forcing.csv:22", ["gap"]),
    "duplicate month": (forcing_rows()[:20] + forcing_rows()[19:], "forcing.csv:22", ["repeats"]),
    "unordered": ([*forcing_rows()[:20], forcing_rows()[21], forcing_rows()[20], *forcing_rows()[22:]], "forcing.csv:22", ["gap"]),
    "short spin-up year": (forcing_rows()[:7], "forcing.csv", ["7 rows", "12"]),
    "month 13": (change(14, "month", 13), "forcing.csv:16", ["month", "13"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_mistake_in_the_forcing(name, tmp_path):
    rows, place, words = TABLES[name]
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, rows=rows)
    for word in (place, *words):
        assert word in str(caught.value), str(caught.value)


def test_a_missing_column_is_named(tmp_path):
    study = write_study(tmp_path)
    rows = [row[:3] + row[4:] for row in forcing_rows()]
    write_forcing(tmp_path / "forcing.csv", rows, FORCING_HEAD.replace("precipitation,", ""))
    with pytest.raises(InputError, match=r"forcing.csv:1: the column 'precipitation' is missing"):
        make_plan(load_study(study))


OBSERVATIONS = {
    "outside the run": ("time,value\n9,40\n", "observations.csv:2", ["9", "outside"]),
    "twice": ("time,value\n1,40\n1,40\n", "observations.csv:3", ["line 2"]),
    "zero error": ("time,value,error\n1,40,-1\n", "observations.csv:2", ["error"]),
    "no such variable": ("time,value,variable\n1,40,soil\n", "observations.csv:2", ["soil", "soc"]),
    "no such site": ("time,value,site\n1,40,elsewhere\n", "observations.csv:2", ["elsewhere"]),
}


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_mistake_in_the_observations(name, tmp_path):
    text, place, words = OBSERVATIONS[name]
    without = TEXT.replace("  error: {relative: 0.07}\n", "") if "error" in text else TEXT
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, without, observations=text)
    for word in (place, *words):
        assert word in str(caught.value), str(caught.value)


def test_an_impossible_matrix_offers_the_nearest(tmp_path):
    text = TEXT.replace(
        "uncertain:\n",
        "uncertain:\n  depth: {as: factor, distribution: lognormal, median: 1, cv: 0.1}\n",
    ).replace(
        "  - {between: [clay, plant_carbon], value: 0.3}",
        "  - {between: [clay, plant_carbon], value: 0.9}\n"
        "  - {between: [clay, depth], value: 0.9}\n"
        "  - {between: [plant_carbon, depth], value: -0.9}",
    )
    with pytest.raises(InputError, match="nearest"):
        plan_of(tmp_path, text)


def test_suspicious_input_warns_once_and_goes_on(tmp_path):
    study = write_study(tmp_path, rows=change(14, "pan_evaporation", -2))
    with pytest.warns(SuspiciousInput, match=r"forcing.csv:16: pan_evaporation: -2 is unusual") as caught:
        make_plan(load_study(study))
    assert len([w for w in caught if "pan_evaporation" in str(w.message)]) == 1


def test_overrides(tmp_path):
    study = write_study(tmp_path)
    assert load_study(study, ["inputs.depth=30"]).record.inputs.sources()["depth"].value == 30
    assert load_study(study, ["inputs.iom=1e-3"]).record.inputs.sources()["iom"].value == 1e-3
    assert load_study(study, seed=9, members=128).record.design.members == 128
    with pytest.raises(InputError, match="no effect"):
        load_study(study, ["inputs.clay=20"])
    with pytest.raises(InputError, match="smapler"):
        load_study(study, ["design.smapler=3"])
    with pytest.raises(InputError, match="key=value"):
        load_study(study, ["design.members"])


def test_a_number_set_on_an_input_keeps_its_unit(tmp_path):
    text = TEXT.replace("  depth: 23", "  depth: {value: 230, units: mm}")
    plan = make_plan(load_study(write_study(tmp_path, text), ["inputs.depth=300"]))
    assert plan.base.values["depth"].item() == pytest.approx(30)
