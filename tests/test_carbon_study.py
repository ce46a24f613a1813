"""Carbon studies from file to report: the Chinese budget, the made-up grid, the forecast of emissions."""

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.config import InputError
from ensemble.indicators import gini, global_moran, grid_weights, linear_trend, nearest_weights
from ensemble.inputs.geodesy import geocentric
from ensemble.models.emissions import FACTORS
from ensemble.pipeline import load_plan, run_plan
from ensemble.pipeline.indicators import weights_of
from ensemble.store import open_store

CONFIGS = Path(__file__).parents[1] / "configs"
DATA = CONFIGS / "data"


def finished(folder, study, *overrides):
    plan = load_plan(CONFIGS / study, overrides, None, None)
    return run_plan(plan, folder / "store.zarr", quiet=True), open_store(folder / "store.zarr")


@pytest.fixture(scope="module")
def china(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("china"), "china_budget.yaml", "design.members=1024", "decompose.rows=256")


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("grid"), "land_sink_grid.yaml", "design.members=32", "decompose.rows=16")


def table_1():
    with (DATA / "china_provinces.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "site"}


# ---- the Chinese budget


def test_the_typed_table_adds_up_to_its_printed_totals():
    printed = {
        "ipcc_1997": 2935.8, "ceads_1997": 3090.5, "ipcc_2010": 8366.4, "ceads_2010": 8150.3, "ipcc_2017": 9866.0,
        "ceads_2017": 9456.4, "ceads_mean": 6304.9, "ipcc_mean": 6494.1,
    }  # fmt: skip
    columns = table_1()
    assert all(len(column) == 30 for column in columns.values())
    for name, total in printed.items():
        # The mean column of the IPCC account misses its printed total by 0.2; all others meet theirs.
        assert abs(columns[name].sum() - total) < (0.25 if name == "ipcc_mean" else 0.06), name


def test_china_budget_has_the_levels_of_the_paper_inside_its_intervals(china):
    statistics = china[1].dataset("statistics")
    low, high = statistics["carbon_neutral_capacity_quantile"].sel(site="site", quantile=[0.05, 0.95]).values
    mean = statistics["carbon_neutral_capacity_mean"].sel(site="site").values
    arms = list(statistics["scenario"].values)
    # 61.0 Tg less than claim 2's 5.66 Pg: half of the members use the IPCC account, which is 3 % larger.
    assert low[arms.index("mean")] < -5660 < high[arms.index("mean")]
    assert low[arms.index("y2017")] < -8645 < high[arms.index("y2017")]
    np.testing.assert_allclose(mean[arms.index("mean")], 0.166e3 * 44 / 12 + 36.7 - 0.5 * (6304.9 + 6494.3), rtol=0.01)


def test_the_emission_factor_dominates_and_shares_add_up(china):
    shares = china[1].dataset("decomposition")
    first = shares["carbon_neutral_capacity_first_order"].sel(site="site")
    assert set(shares["parameter"].values) == {"account", "emission_factor", "activity", "nep", "weathering"}
    np.testing.assert_allclose(first.sum("parameter"), 1.0, atol=0.06)
    assert (first.sel(parameter="emission_factor") > 0.6).all()
    report = china[0].report.read_text()
    assert "Error budget" in report and "sum of maxima (linear)" in report


def test_one_national_score_and_thirty_provincial_ones_agree(china, tmp_path):
    _, store = finished(tmp_path, "china_provinces.yaml", "design.members=1024")
    provinces = store.dataset("members")["total_emissions"].sum("site")
    nation = china[1].dataset("members")["total_emissions"].isel(site=0)
    np.testing.assert_allclose(provinces.mean("member"), nation.mean("member"), rtol=0.01)
    np.testing.assert_allclose(provinces.std("member"), nation.std("member"), rtol=0.05)


# ---- the grid: indicators of every member


def test_indicators_of_the_store_are_those_of_its_members(grid):
    members, found = grid[1].dataset("members"), grid[1].dataset("indicators")
    sink = members["ecosystem_sink"].transpose("member", "scenario", "site", "time").values
    np.testing.assert_allclose(found["trend_slope"], linear_trend(sink).slope, rtol=1e-4, atol=1e-4)
    mean = sink.astype(float).mean(-1)
    np.testing.assert_allclose(found["inequality_normalised"], gini(mean).normalised, rtol=1e-4)
    with (DATA / "made_up_grid.csv").open() as lines:
        where = [(float(row["longitude"]), float(row["latitude"])) for row in csv.DictReader(lines)]
    weights = nearest_weights(geocentric(*np.array(where).T), 4).by_row()
    np.testing.assert_allclose(found["clustering_statistic"], global_moran(mean, weights).statistic, rtol=1e-4)
    slopes = found["trend_slope"]
    np.testing.assert_allclose(found["trend_slope_mean"], slopes.mean("member"), rtol=1e-4, atol=1e-5)
    assert found["change_forward"].dims == ("member", "scenario", "site", "time")
    page = grid[0].report.read_text()
    assert "Trends, clusters and inequality" in page and "Error budget" in page


def test_borders_from_a_file_are_the_neighbours_of_the_grid(tmp_path):
    places = [f"r{row + 1}c{column + 1}" for row in range(5) for column in range(5)]
    pairs = [(i, i + 1) for i in range(25) if i % 5 < 4] + [(i, i + 5) for i in range(20)]
    borders = tmp_path / "borders.csv"
    borders.write_text("first,second\n" + "\n".join(f"{places[i]},{places[j]}" for i, j in pairs))
    override = f"indicators.clustering.weights={{rule: contiguity, borders: {borders}}}"
    plan = load_plan(CONFIGS / "land_sink_grid.yaml", (override,), None, None)
    found = weights_of(plan, "clustering", plan.study.record.indicators["clustering"])
    np.testing.assert_allclose(found.matrix.toarray(), grid_weights(5, 5, "rook").by_row().matrix.toarray())


def test_climate_errors_are_alike_in_space(grid):
    drawn = grid[1].dataset("inputs")["precipitation"].values
    near = np.corrcoef(np.log(drawn[:, 0]), np.log(drawn[:, 1]))[0, 1]
    assert near > 0.25
    totals = grid[1].dataset("totals")["sd"].isel(scenario=0).sel({"class": "all"})
    assert float(totals.sel(assumption="independent")) < float(totals.sel(assumption="modelled"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("indicators.memory.output=soc", "there is no output 'soc' in this study"),
        ("inputs.forcing=short", "6 steps are too few for a Hurst exponent"),
        ("indicators.clusters.weights.radius=20", "25 of 25 places have no neighbour"),
        ("indicators.clustering.weights.neighbours=25", "25 neighbours are not possible among 25 places"),
        ("outputs.variables=[nep]", "there is no output 'carbon_neutral_capacity' in this study"),
        ("indicators.trend.kind=moran", "moran needs weights"),
        ("inputs.precipitation=300", r"site r\dc\d: precipitation is 300 mm in every month, 3600 mm a year in all"),
    ],
)
def test_impossible_indicators_are_refused_before_the_run(override, words, tmp_path):
    if override.endswith("short"):
        lines = (DATA / "made_up_grid_drivers.csv").read_text().splitlines()
        (tmp_path / "short.csv").write_text("\n".join([lines[0], *(x for x in lines[1:] if x.split(",")[1] < "2003")]))
        override = f"inputs.forcing={tmp_path / 'short.csv'}"
    with pytest.raises(InputError, match=words):
        load_plan(CONFIGS / "land_sink_grid.yaml", (override,), None, None)


# ---- the forecast of emissions


def run(*arguments):
    return CliRunner().invoke(app, ["forecast-emissions", *map(str, arguments)])


def test_forecast_command_writes_intervals_and_flags(tmp_path):
    out = tmp_path / "forecast.csv"
    paths = DATA / "made_up_emission_paths.csv"
    found = run(DATA / "made_up_emissions.csv", paths, "--networks", "2", "--together", "region", "--out", out)
    assert found.exit_code == 0, found.output
    assert "rows of one region together" in found.output and "extrapolate" in found.output
    with out.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 86 and {row["scenario"] for row in rows} == {"A2", "B1"}
    flagged = [row for row in rows if row["extrapolated"] == "1"]
    assert all((row["outside"] != "") == (row["extrapolated"] == "1") for row in rows)
    assert {row["scenario"] for row in flagged if row["year"] == "2060"} == {"A2", "B1"}
    assert all(float(row["q05"]) < float(row["q50"]) < float(row["q95"]) for row in rows)


def test_forecast_command_names_what_is_wrong(tmp_path):
    history = DATA / "made_up_emissions.csv"
    (tmp_path / "paths.csv").write_text("scenario,year,population\nA2,2030,1\n")
    found = run(history, tmp_path / "paths.csv", "--out", tmp_path / "f.csv")
    assert found.exit_code == 2 and "the column 'urbanisation' is missing" in found.output
    found = run(history, DATA / "made_up_emission_paths.csv", "--hidden", "8,x", "--out", tmp_path / "f.csv")
    assert found.exit_code == 2 and "hidden [8, 0] is not allowed" in found.output


# ---- fuels into the budget


def test_fuels_can_be_the_emissions_of_the_budget(tmp_path):
    burnt = [3500, 400, 80, 900, 60, 50, 10, 110, 30, 160, 30, 40, 200, 20]
    (tmp_path / "fuels.yaml").write_text(f"""\
model: carbon_budget
precision: float64
inputs: {{nep: {{value: 0.166, units: Pg C}}, emissions: {{model: fuel_emissions}}, consumption: {burnt}}}
uncertain:
  solid_factor: {{distribution: lognormal, median: 1, cv: 0.1}}
design: {{members: 64}}
""")
    run_plan(load_plan(tmp_path / "fuels.yaml", (), None, None), tmp_path / "store.zarr", quiet=True)
    store = open_store(tmp_path / "store.zarr")
    emitted = store.dataset("members")["total_emissions"].isel(scenario=0, site=0)
    by_hand = np.array(burnt) @ [np.prod(factors) * 1e-3 * 44 / 12 for factors in FACTORS["china"].values()]
    solid = np.array(burnt[:2]) @ [np.prod(FACTORS["china"][fuel]) * 1e-3 * 44 / 12 for fuel in ("coal", "coke")]
    factor = store.dataset("inputs")["solid_factor"]
    np.testing.assert_allclose(emitted, by_hand + solid * (factor - 1), rtol=1e-6)
