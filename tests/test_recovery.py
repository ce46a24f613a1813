"""Recovery: years until a stock reaches its reference again, from a study to the report."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.config import load_study
from ensemble.pipeline.recovery import years_to_close
from ensemble.report.recovery import recovery_section
from ensemble.store import open_store

STUDY = """\
model: column
precision: float64
options: {layers: [5, 20, 75], initial: uniform}
inputs:
  period: {start: 1, end: 400}
  temperature: {value: [0, 1, 4, 8, 13, 17, 19, 18, 14, 9, 4, 1]}
  precipitation: {value: 60}
  potential_evapotranspiration: {value: 50}
  initial_stock: 60
scenarios:
  meadow: {}
  fallow: {inputs: {harvest: {schedule: [{value: 0}, {from: 2, to: 20, value: 1}]}}}
  mown: {inputs: {harvest: {schedule: [{value: 0}, {from: 2, to: 20, value: 0.5}]}}}
  cut: {inputs: {harvest: {schedule: [{value: 0}, {from: 2, to: 20, value: 0.2}]}}}
  ruined: {inputs: {harvest: 1}}
recovery:
  start: 20
  within: 0.5
  outputs: [soc, soc_0_25]
  references: {fallow: meadow, mown: meadow, cut: meadow, ruined: meadow}
outputs: {variables: [soc, soc_0_25]}
"""


def test_years_count_from_the_first_record_that_is_close():
    years = np.arange(2000, 2005)
    gaps = np.array([[-9.0, -4.0, -1.0, -2.0, 0.0], [0.5, 3.0, 3.0, 3.0, 3.0], [9.0, 8.0, 7.0, 6.0, 5.0]])
    np.testing.assert_array_equal(years_to_close(gaps, years, 1.0), [2.0, 0.0, np.nan])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recovery")
    (folder / "study.yaml").write_text(STUDY)
    result = CliRunner().invoke(app, ["run", str(folder / "study.yaml"), "--out", str(folder / "r.zarr")])
    assert result.exit_code == 0, result.output
    return folder


def test_times_are_those_of_the_stocks(folder):
    """Worked out here from the yearly stocks that the run keeps."""
    store = open_store(folder / "r.zarr")
    found = store.dataset("recovery").load().isel(member=0, site=0)
    stocks = store.dataset("members").load().isel(member=0, site=0)
    for output in ("soc", "soc_0_25"):
        for arm in ("fallow", "mown", "cut", "ruined"):
            gap = (stocks[output].sel(scenario=arm) - stocks[output].sel(scenario="meadow")).values[19:]
            expected = next((k for k, g in enumerate(gap) if abs(g) <= 0.5), np.nan)
            np.testing.assert_equal(float(found[f"{output}_years"].sel(scenario=arm)), float(expected))
            assert float(found[f"{output}_difference"].sel(scenario=arm)) == pytest.approx(gap[0], abs=1e-4)
    times = found["soc_years"].sel(scenario=["cut", "mown", "fallow"]).values
    assert np.all(np.diff(times) > 0.0) and np.isnan(found["soc_years"].sel(scenario="ruined"))


def test_the_report_shows_them(folder):
    page = (folder / "r.report.html").read_text()
    assert "<h2" in page and "Recovery" in page and "years a t C/ha" in page and "3 of 4 scenarios" in page
    assert "not within the 380 years of the run" in page


def test_the_line_is_least_squares_over_scenarios_that_recover():
    dims, arms = ("member", "scenario", "site"), ["a", "b", "c", "d"]
    gaps, times = np.array([-10.0, -20.0, -30.0, -40.0]), np.array([100.0, 180.0, 260.0, np.nan])
    data = xr.Dataset(
        {"soc_difference": (dims, gaps[None, :, None]),
         "soc_years": (dims, times[None, :, None], {"long_name": "carbon: years until"})},
        {"member": [0], "scenario": arms, "site": ["here"]},
        {"start": 0, "end": 300, "within": 1.0, "outputs": ["soc"], "references": [f"{a}: wild" for a in arms]},
    )  # fmt: skip
    section = recovery_section(data, {"a": "field"})
    assert "8.0 years a t C/ha (R2 1.00, 3 of 4 scenarios)" in section.lead
    assert section.tables[0].rows[0][:3] == ("carbon", "field", "wild") and section.tables[0].rows[0][4:] == (
        "100",
        "yes",
    )
    assert section.tables[0].rows[3][-2:] == ("–", "no")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fallow: meadow,", "fallow: forest,", "'forest' is not a scenario"),
        ("fallow: meadow,", "fallow: fallow,", "'fallow' is its own reference"),
        ("start: 20", "start: 400", "start is 400; allowed: 1 to 399"),
        ("outputs: [soc, soc_0_25]\n  ref", "outputs: [soc, co2]\n  ref", "'co2' is not a stock"),
        ("within: 0.5", "within: 0", "within"),
    ],
)
def test_wrong_recovery_is_refused(tmp_path, old, new, said):
    assert old in STUDY
    (tmp_path / "study.yaml").write_text(STUDY.replace(old, new))
    result = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "r.zarr")])
    assert result.exit_code == 2 and said in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_loess_rocks_differ_between_bioclimates_in_nothing_but_climate():
    """A rock releases its bases equally fast in both bioclimates of the shipped study, and is added alike."""
    study = load_study(Path(__file__).parents[1] / "configs" / "loess_recovery.yaml").record
    climate = {"temperature", "precipitation", "drainage", "production_factor", "forest"}
    for rock in ("ash", "anorthite", "calcite", "montmorillonite", "goethite", "e0_abandoned"):
        dry, wet = ({name: given for name, given in study.scenarios[f"{c}_{rock}"].inputs.items() if name not in climate}
                    for c in ("dry", "wet"))  # fmt: skip
        assert dry == wet, rock
