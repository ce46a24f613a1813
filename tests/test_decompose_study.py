"""`decompose:` in a study, from the file to the store and the report."""

import numpy as np
import pytest
from studies import write_study
from toy_models import MODEL_FILE, STUDY

from ensemble.config import InputError
from ensemble.pipeline import decompose_plan, load_plan, run_plan
from ensemble.pipeline.decomposition_lines import decomposition_lines
from ensemble.store import open_store

NOISY = STUDY.replace(
    "design: {members: 128, seed: 3}", "design: {members: 32, seed: 3}\ndecompose: {rows: 64, second_order: true}"
)
LINEAR = """\
model: my_model.py:DECAY
precision: float64
inputs:
  period: {start: 2000, end: 2004}
  plant_carbon: 0
  initial_carbon: 50
  decay_rate: 0.05
uncertain:
  carbon: {input: initial_carbon, distribution: normal, mean: 50, sd: 4}
  factor: {input: initial_carbon, as: factor, distribution: uniform, minimum: 0.8, maximum: 1.2}
  decay_rate: {distribution: lognormal, median: 0.05, cv: 0.3}
design: {members: 32, seed: 3}
outputs: {variables: [soc]}
decompose: {rows: 128, second_order: true}
"""


def study(folder, text):
    write_study(folder)
    (folder / "my_model.py").write_text(MODEL_FILE)
    file = folder / "study.yaml"
    file.write_text(text)
    return file


def plan_of(folder, text, *overrides):
    return load_plan(study(folder, text), overrides, None, None)


def shares_of_product(year, cv=0.3):
    """Closed form for soc = carbon * factor * exp(-rate * year): squared means and second moments multiply."""
    sigma = np.sqrt(np.log1p(cv**2))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    left = np.exp(-0.05 * np.exp(sigma * nodes) * year)
    means = np.array([50.0, 1.0, weights @ left])
    squares = np.array([50.0**2 + 4.0**2, 1.0 + 0.4**2 / 12.0, weights @ left**2])
    spread = squares / means**2 - 1.0
    whole = np.prod(1.0 + spread) - 1.0
    return spread / whole, spread * np.prod(1.0 + spread) / (1.0 + spread) / whole


def test_a_study_is_decomposed_as_in_closed_form(tmp_path):
    plan = plan_of(tmp_path, LINEAR)
    result = run_plan(plan, tmp_path / "a.zarr", quiet=True)
    data = open_store(tmp_path / "a.zarr").dataset("decomposition").load()
    assert data["parameter"].values.tolist() == ["carbon", "factor", "decay_rate"]
    assert data["soc_variance"].attrs["units"].endswith("2")
    for year in (1, 5):
        first, total = shares_of_product(year)
        here = data.isel(time=year - 1, site=0, scenario=0)
        np.testing.assert_allclose(here["soc_first_order"], first, atol=1e-4)
        np.testing.assert_allclose(here["soc_total"], total, atol=1e-4)
        np.testing.assert_allclose(here["soc_shapley"].sum(), 1.0, atol=1e-9)
        np.testing.assert_allclose(here["soc_pick_freeze_total"], total, atol=1e-3)
    interaction = data["soc_interaction"].isel(time=-1, site=0, scenario=0).values
    np.testing.assert_allclose(np.nansum(np.tril(interaction)), 1.0 - first.sum(), atol=1e-3)
    text = result.report.read_text()
    assert "What drives the answer" in text
    assert "What to measure next" in text


def test_a_decomposition_has_its_own_members_and_is_not_done_twice(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, NOISY)
    run_plan(plan, tmp_path / "a.zarr", quiet=True)
    store = open_store(tmp_path / "a.zarr")
    assert store.stages == ["decomposition/members", "members"]
    members = store.dataset("decomposition/members")
    blocks = 2 * 3 + 2
    assert members.sizes["member"] == 64 * blocks
    assert store.dataset("members").sizes["member"] == 32
    data = store.dataset("decomposition")
    assert members.attrs["design_digest"] == data.attrs["design_digest"]
    assert np.atleast_1d(data.attrs["series"]).tolist() == ["start", "weather"]
    assert data["soc_total"].dims == ("parameter", "scenario", "site", "time")
    total = data["soc_total"].isel(scenario=0, site=0)
    assert float(total.sel(parameter="start").isel(time=0)) > 0.8
    assert float(total.sel(parameter="start").isel(time=-1)) > 0.2
    assert float(total.sel(parameter="weather").isel(time=-1)) > 1e-3
    digest = store.digest()
    monkeypatch.setattr("ensemble.pipeline.decomposition_members.propagate", lambda *_: pytest.fail("computed again"))
    run_plan(plan, tmp_path / "a.zarr", quiet=True)
    assert open_store(tmp_path / "a.zarr").digest() == digest


def test_rows_double_until_the_tolerance_holds_and_no_row_is_made_twice(tmp_path, monkeypatch):
    from ensemble.pipeline import decomposition_members

    made = []
    propagate = decomposition_members.propagate

    def counted(plan, tiles):
        made.append((plan.design.first_row, plan.design.rows))
        return propagate(plan, tiles)

    monkeypatch.setattr(decomposition_members, "propagate", counted)
    text = LINEAR.replace(
        "rows: 128, second_order: true", "rows: 16, surrogate: false, tolerance: 0.02, max_rows: 4096"
    )
    decompose_plan(plan_of(tmp_path, text), tmp_path / "a.zarr", quiet=True)
    data = open_store(tmp_path / "a.zarr").dataset("decomposition")
    assert data.attrs["rows"] > 16
    assert data.attrs["widest_half_width"] <= 0.02 or data.attrs["rows"] == 4096
    assert made[0] == (0, 16)
    assert all(first == rows for first, rows in made[1:])
    assert sum(rows for _, rows in made) == data.attrs["rows"]


REGION = """\
model: my_model.py:DECAY
precision: float64
sites: plots.csv
inputs:
  period: {start: 2000, end: 2001}
  plant_carbon: 0
  initial_carbon: 50
  decay_rate: 0.05
uncertain:
  laboratory: {input: initial_carbon, as: offset, distribution: normal, mean: 0, sd: 2}
  plots: {input: initial_carbon, as: offset, per: site, distribution: normal, mean: 0, sd: 4}
design: {members: 512, seed: 3}
outputs: {variables: [soc]}
decompose: {rows: 4096}
totals: {area: area_ha, by: farm}
"""


def test_the_total_of_a_region_has_shares_of_its_own(tmp_path):
    """An error that sites share weighs (sum A)^2 in the total, errors of their own sum A^2."""
    areas = np.array([1.0, 2.0, 3.0, 10.0])
    rows = "".join(f"s{k},{area},{farm}\n" for k, (area, farm) in enumerate(zip(areas, "ABBA", strict=True)))
    (tmp_path / "plots.csv").write_text("site,area_ha,farm\n" + rows)
    lines = decompose_plan(plan_of(tmp_path, REGION), tmp_path / "a.zarr", quiet=True)
    assert any("regional total of soc" in line for line in lines)
    page = (tmp_path / "a.report.html").read_text()  # of a study that was never run
    assert "What drives the answer" in page and "What drives the regional total" in page and "sha" in page.lower()
    assert lines[-1] == f"report: {tmp_path / 'a.report.html'}"
    store = open_store(tmp_path / "a.zarr")
    data = store.dataset("decomposition_of_totals").isel(scenario=0, time=-1).load()
    assert data["class"].values.tolist() == ["all sites", "A", "B"]
    kept = np.exp(-0.1)
    for name, chosen in (("all sites", [0, 1, 2, 3]), ("A", [0, 3]), ("B", [1, 2])):
        here, area = data.sel({"class": name}), areas[chosen]
        shared, own = 4.0 * area.sum() ** 2, 16.0 * (area**2).sum()
        exact = np.array([shared, own]) / (shared + own)
        for kind in ("first_order", "total"):
            error = np.abs(here[f"soc_{kind}"].values - exact)
            assert np.all(error < 2.0 * here[f"soc_{kind}_half_width"].values + 1e-4)
            assert np.all(error < 0.02)
        assert float(here["soc_variance"]) == pytest.approx((shared + own) * kept**2, rel=0.03)
    alone = store.dataset("decomposition").isel(scenario=0, time=-1, site=0).load()
    np.testing.assert_allclose(alone["soc_first_order"], [0.2, 0.8], atol=0.02)
    report = run_plan(plan_of(tmp_path, REGION), tmp_path / "a.zarr", quiet=True).report.read_text()
    assert "What drives the regional total" in report
    assert "Error budget of the regional total" in report


FACTORIAL = """\
model: my_model.py:DECAY
inputs:
  period: {start: 2000, end: 2004}
  plant_carbon: 0.2
  initial_carbon: 50
uncertain: {}
design:
  type: factorial
  levels:
    decay_rate: [0.02, 0.05, 0.1]
    options.law: [exponential, linear]
    initial_carbon: [30, 60]
outputs: {variables: [soc]}
decompose: {references: {options.law: linear}, interactions: [[decay_rate, initial_carbon]]}
"""


def test_a_factorial_study_gives_an_anova(tmp_path):
    plan = plan_of(tmp_path, FACTORIAL)
    lines = decompose_plan(plan, tmp_path / "a.zarr", quiet=True)
    assert "eta squared" in (tmp_path / "a.report.html").read_text()
    data = open_store(tmp_path / "a.zarr").dataset("decomposition")
    eta = data["soc_eta_squared"].to_series()
    assert eta.idxmax() == "initial_carbon"
    assert eta["options.law"] < 1e-3
    assert "decay_rate:initial_carbon" in eta.index
    assert "time" in eta.index
    assert data.attrs["clusters"] == 12
    assert data.attrs["rows"] == 60
    assert "options.law[exponential]" in data["coefficient"].values.tolist()
    assert any("type-II ANOVA" in line for line in lines)


def test_the_report_of_a_factorial_study_has_levels_and_no_interval(tmp_path):
    result = run_plan(plan_of(tmp_path, FACTORIAL[: FACTORIAL.index("decompose:")]), tmp_path / "a.zarr", quiet=True)
    page = result.report.read_text()
    assert "90 % interval" not in page and "of 12 members" not in page
    said = result.headline[0]
    assert "over 12 combinations of levels" in said and "decay_rate 0.02" in said and "initial_carbon 60" in said
    soc = open_store(tmp_path / "a.zarr").dataset("members")["soc"].values[:, 0, 0, -1]  # the last input varies fastest
    low, mean, high = (f(soc.reshape(3, 2, 2)[:, :, 1]) for f in (np.min, np.mean, np.max))
    assert f"{mean:.1f} ({low:.1f} to {high:.1f})" in page
    assert "By law" in page and "By decay_rate" in page


def test_screening_is_labelled_and_bounds_the_total_effect(tmp_path):
    text = LINEAR.replace("rows: 128, second_order: true", "rows: 512, screening: [gradient, morris, pawn]")
    decompose_plan(plan_of(tmp_path, text), tmp_path / "a.zarr", quiet=True)
    data = open_store(tmp_path / "a.zarr").dataset("decomposition").isel(site=0, scenario=0, time=-1)
    bound = data["soc_gradient_total_effect_bound"].values
    assert np.all(bound > 0.98 * data["soc_total"].values)
    assert bound[0] < 1.3 * float(data["soc_total"][0])
    assert np.argmax(data["soc_morris_mu_star"].values) == np.argmax(data["soc_total"].values)
    assert np.argmax(data["soc_pawn_median"].values) == np.argmax(data["soc_total"].values)
    assert "screening by morris" in data["soc_morris_mu_star"].attrs["long_name"]


CORRELATED = LINEAR.replace("design:", "correlation:\n  - {between: [carbon, decay_rate], value: 0.5}\ndesign:")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            CORRELATED,
            r"study.yaml:\d+: decompose: 'carbon' and 'decay_rate' are correlated.*indices: shapley or kucherenko",
        ),
        (
            LINEAR.replace("rows: 128", "groups: {soil: [clay]}, rows: 128"),
            "'soil' names 'clay', which is not uncertain",
        ),
        (
            LINEAR.replace("rows: 128", "outputs: [carbon], rows: 128"),
            "there is no output 'carbon' in this study; allowed: soc",
        ),
        (LINEAR.replace("rows: 128", "colour: red, rows: 128"), "colour"),
    ],
)
def test_wrong_decompositions_are_refused_before_anything_is_computed(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        plan_of(tmp_path, text)
    assert not list(tmp_path.glob("*.zarr"))


def test_outputs_that_do_not_vary_are_named(tmp_path):
    idle = "uncertain:\n  leak: {distribution: uniform, minimum: 0.9, maximum: 1.1}\n"
    idle += "  plants: {input: plant_carbon, as: factor, distribution: uniform, minimum: 0.8, maximum: 1.2}\n"
    constant = LINEAR[: LINEAR.index("uncertain:")] + idle + LINEAR[LINEAR.index("design:") :]
    with pytest.raises(InputError, match=r"no output varies between the members, so shares of its variance are 0/0"):
        decompose_plan(plan_of(tmp_path, constant), tmp_path / "a.zarr", quiet=True)
    decompose_plan(plan_of(tmp_path, LINEAR), tmp_path / "b.zarr", quiet=True)
    data = open_store(tmp_path / "b.zarr").dataset("decomposition").load()
    assert "shares of the variance at the end" in decomposition_lines(data)[0]
    without = data.assign(soc_total=np.nan * data["soc_total"])
    assert decomposition_lines(without)[0].endswith(
        "does not vary between members at the end, so it has no shares (0/0)"
    )


def test_correlated_inputs_by_shapley(tmp_path):
    text = CORRELATED.replace("rows: 128, second_order: true", "indices: shapley, rows: 64")
    decompose_plan(plan_of(tmp_path, text), tmp_path / "a.zarr", quiet=True)
    data = open_store(tmp_path / "a.zarr").dataset("decomposition").isel(site=0, scenario=0, time=-1)
    assert float(data["soc_shapley"].sum()) == pytest.approx(1.0, abs=1e-6)
    assert float(data["soc_first_order"].sum()) != pytest.approx(1.0, abs=0.02)
    load_plan(study(tmp_path, CORRELATED.replace("rows: 128", "groups: {soil: [carbon, decay_rate]}")), (), None, None)


def test_discrete_inputs_skip_the_surrogate(tmp_path):
    text = LINEAR.replace(
        "  factor: ", "  law: {input: options.law, distribution: discrete, values: [exponential, linear]}\n  factor: "
    )
    decompose_plan(plan_of(tmp_path, text), tmp_path / "a.zarr", quiet=True)
    data = open_store(tmp_path / "a.zarr").dataset("decomposition")
    assert data.attrs["method"] == "pick-freeze"
    assert any("an input is discrete" in note for note in np.atleast_1d(data.attrs["notes"]))
    assert "soc_shapley" not in data
