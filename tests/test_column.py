"""The soil column: conservation, reduction to RothC, equilibrium, gradients, wrong input."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.models.base import BuildSettings, resolve
from ensemble.models.column.transport import erosion_events
from ensemble.models.members_last import members_last
from ensemble.models.records.column import COLUMN

# Length of the short runs: one length, so that runs with the same options share a compiled program.
YEARS = 60
NAMES = ("erosion", "drainage", "production_factor", "acidity")
TEMPERATURE = 10.0 - 12.0 * np.cos(2.0 * np.pi * np.arange(12) / 12.0)
DEMAND = 800.0 / 12.0 * (1.0 - 0.9 * np.cos(2.0 * np.pi * np.arange(12) / 12.0))


def values(years, layers=20, **given):
    """Inputs of a dry grassland on loess; ``given`` replaces defaults."""
    found = {"temperature": TEMPERATURE, "precipitation": np.full(12, 50.0), "potential_evapotranspiration": DEMAND,
             "drainage": 90.0, "production_factor": 0.7, **given}  # fmt: skip
    shapes = {(): (), ("time",): (years,), ("month",): (12,), ("depth",): (layers,)}
    for spec in COLUMN.inputs:
        if spec.default is not None:
            found[spec.name] = np.broadcast_to(found.get(spec.name, spec.default), shapes[spec.dims])
    return {name: jnp.asarray(value, float) for name, value in found.items()}


@cache
def model(**options):
    return jax.jit(COLUMN.simulator(BuildSettings({**COLUMN.default_options(), **options})))


def management(years):
    """Everything that can happen to a column, within a few decades."""
    half = np.arange(years) >= years // 2
    return {
        "forest": 1.0, "crop": half, "harvest": 0.3 * half, "plough_depth": 18.0 * half, "erosion": 4.0 * ~half,
        "deposition": 1.0 * half, "lime": 0.188 * (np.arange(years) % 10 == 0), "base_addition": 0.05 * half,
        "clay_addition": 2.5 * (np.arange(years) == 3), "mineral_addition": 15.0 * (np.arange(years) == 3), "clay_weathering": 1e-4,
    }  # fmt: skip


@pytest.mark.parametrize(("decay", "erosion"), [("annual", "event"), ("monthly", "continuous")])
def test_everything_is_conserved(x64, decay, erosion):
    """Carbon, calcite and bases, from the outputs alone and from the sum of the yearly imbalances."""
    out = model(decay=decay, erosion=erosion)(values(YEARS, **management(YEARS)))
    assert float(out["balance"]) < 1e-12
    arrived, left = float(out["carbon_input"].sum()), float((out["co2"] + out["soc_lost"]).sum())
    assert abs(arrived - left - float(out["soc"][-1])) < 1e-10 * arrived
    assert float(out["soc_lost"].sum()) > 1.0 and np.all(out["calcite_leached"] > 0.0)


def test_float32_closes_its_budget_too():
    out = model()(values(YEARS, **management(YEARS)))
    assert out["soc"].dtype == jnp.float32
    assert float(out["balance"]) < 1e-5


def rothc_by_hand(years, monthly_input, temperature, clay, ratio):
    """RothC's monthly arithmetic in plain Python, soil always moist and covered."""
    rates = np.array([10.0, 0.3, 0.66, 0.02])
    x = 1.67 * (1.85 + 1.60 * np.exp(-0.0786 * clay))
    pools, stocks = np.zeros(4), []
    for _ in range(years):
        for t in temperature:
            factor = 0.6 * 47.91 / (1.0 + np.exp(106.06 / (t + 18.27)))
            lost = (pools * -np.expm1(-rates * factor / 12.0)).sum()
            pools = pools * np.exp(-rates * factor / 12.0)
            pools[2:] += np.array([0.46, 0.54]) * lost / (x + 1.0)
            pools[:2] += monthly_input * np.array([ratio, 1.0]) / (1.0 + ratio)
        stocks.append(pools.sum())
    return np.array(stocks)


def test_one_layer_without_mixing_is_rothc(x64):
    given = {"temperature": np.linspace(3.0, 20.0, 12), "precipitation": np.full(12, 100.0), "bioturbation": 0.0,
             "damping_depth": np.inf, "decay_depth": np.inf, "net_primary_production": 3.0, "production_factor": 1.0,
             "potential_evapotranspiration": np.zeros(12), "bioturbation_depth": 23.0}  # fmt: skip
    options = {"layers": (23.0,), "mechanism": "none", "decay": "monthly", "productivity": "given"}
    ours = model(**options)(values(60, 1, **given))["soc"]
    theirs = rothc_by_hand(60, 3.0 / 12.0, given["temperature"], 16.0, 0.67)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_equilibrium_is_where_running_leads(x64):
    """Protection held (clay minerals do not change), no events: the solve stays where it is put."""
    options = {"mechanism": "clay", "initial": "equilibrium"}
    out = model(**options)(values(YEARS, forest=1.0))
    np.testing.assert_allclose(out["soc_profile"], out["soc_profile"][:, :1] * np.ones(YEARS), rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", ["none", "clay"])
def test_twenty_thousand_years_lead_to_the_equilibrium(x64, mechanism):
    start = model(mechanism=mechanism, initial="equilibrium")(values(1, forest=1.0))["soc"][0]
    end = model(mechanism=mechanism)(values(20_000, forest=1.0))["soc"][-1]
    assert float(end) == pytest.approx(float(start), rel=1e-8)


def test_protection_lengthens_turnover_by_its_inverse(x64):
    """Without mixing the stock at equilibrium is 1/d times the unprotected one; the paper's most is 25 %."""
    run = model(mechanism="clay", initial="equilibrium")
    protected, bare = (run(values(YEARS, bioturbation=0.0, clay_1_1_share=k))["soc"][0] for k in (0.0, 1.0))
    assert float(protected / bare) == pytest.approx(1.25, rel=1e-10)


def test_no_erosion_is_erosion_at_rate_zero(x64):
    event, continuous = (model(erosion=e, decay=d)(values(YEARS))["soc"]
                         for e, d in (("event", "monthly"), ("continuous", "monthly")))  # fmt: skip
    np.testing.assert_array_equal(event, continuous)


def test_bases_beyond_the_exchange_sites_drain(x64):
    """Ground rock year after year: no site holds more than it can, so protection stays within Table 1."""
    years = 300
    given = values(
        years, base_addition=np.full(years, 0.5), lime=np.full(years, 0.1), plough_depth=np.full(years, 20.0)
    )
    found = model()(given)
    assert 0.9 < found["base_saturation_profile"].max() <= 1.0 + 1e-12
    assert found["protection_profile"].min() >= 0.8 - 1e-12
    assert float(found["balance"]) < 1e-12


def test_mechanism_profile_names_what_protects(x64):
    out = model()(values(YEARS, calcite=0.0, base_saturation_least=0.1))
    assert set(np.unique(out["mechanism_profile"])) <= {1.0, 4.0}
    assert np.all(out["calcite_profile"] == 0.0)
    assert np.all(model()(values(YEARS))["mechanism_profile"] == 3.0)


@pytest.fixture(scope="module")
def gradients():
    """Final stock of eroding years as a function of changes of NAMES, its gradient forward and in reverse."""
    with jax.enable_x64(True):
        inputs = values(YEARS, erosion=0.5, calcite=0.0005, acidity=2.0)
        simulate = COLUMN.simulator(
            BuildSettings(
                {**COLUMN.default_options(), "erosion": "continuous", "mechanism": "aggregation"}, 1, ("soc",)
            )
        )

        def final(change):
            return simulate({**inputs, **{n: inputs[n] + c for n, c in zip(NAMES, change, strict=True)}})["soc"][-1]

        scale = np.asarray([float(np.max(inputs[name])) for name in NAMES])
        run, zero = jax.jit(final), jnp.zeros(len(NAMES))
        steps = 1e-6 * np.diag(scale)
        differences = [(run(step) - run(-step)) / (2.0 * step.sum()) for step in steps]
        return np.asarray(differences), jax.jit(jax.jacfwd(final))(zero), jax.jit(jax.grad(final))(zero)


def test_gradient_is_the_finite_difference(x64, gradients):
    """Drainage, acidity and erosion act through pedogenesis; before the year a layer loses its last calcite."""
    differences, forward, backward = gradients
    assert np.all(np.abs(differences) > 1e-6)
    np.testing.assert_allclose(forward, differences, rtol=3e-5, atol=1e-7)
    np.testing.assert_allclose(backward, forward, rtol=1e-9, atol=1e-12)


def test_event_erosion_has_no_gradient_in_its_rate(x64):
    slope = jax.jacfwd(lambda rate: erosion_events(rate, 5.0))(jnp.full(60, 0.2))
    assert np.all(slope == 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "allowed"), [(0.0, 0.01), (0.05, 0.01), (0.5, 0.01), (5.0, 0.02)])
def test_layers_half_as_thick_change_little(x64, rate, allowed):
    coarse, fine = (
        model(layers=(100.0 / n,) * n)(values(1999, n, erosion=rate, crop=1.0, plough_depth=20.0))["soc"][-1]
        for n in (20, 40)
    )
    assert float(fine) == pytest.approx(float(coarse), rel=allowed)


@pytest.mark.slow
def test_half_the_mixing_step_changes_little(x64):
    whole, half = (model(mixing_steps=n)(values(2000, forest=1.0))["soc"][-1] for n in (1, 2))
    assert float(half) == pytest.approx(float(whole), rel=1e-3)


def test_uniform_and_given_profiles(x64):
    layers, thickness = (5.0, 15.0, 30.0, 50.0), np.array([5.0, 15.0, 30.0, 50.0])
    uniform = model(initial="uniform", layers=layers)(values(YEARS, 4, initial_stock=80.0))
    given = model(initial="given", layers=layers)(values(YEARS, 4, initial_soc=0.8 * thickness))
    np.testing.assert_allclose(uniform["soc_profile"], given["soc_profile"], rtol=1e-12)
    gained = float((given["carbon_input"] - given["co2"])[0])
    assert float(given["soc"][0]) == pytest.approx(80.0 + gained, rel=1e-12)


def test_a_given_profile_under_a_first_year_without_input(x64):
    """No equilibrium gives the proportions: the carbon is there, and what is left of it after decay is BIO and HUM."""
    options = {"initial": "uniform", "layers": (5.0, 20.0, 75.0), "mechanism": "none"}
    out = model(**options)(values(YEARS, 3, initial_stock=60.0, harvest=1.0, bioturbation=0.0))
    assert float(out["soc"][0] + out["co2"][0]) == pytest.approx(60.0, rel=1e-12)
    # the slowest mode decays on its own: the same part of a layer every year
    kept = np.asarray(out["soc_profile"][:, 1:] / out["soc_profile"][:, :-1])
    np.testing.assert_allclose(kept, kept[:, :1] * np.ones(YEARS - 1), rtol=1e-10)


def by_hand(stock, window, begins):
    return [np.mean(stock[max(begins[t], t + 1 - window[t]) : t + 1]) for t in range(len(stock))]


def test_smoothed_stocks_are_means_between_events_in_each_phase(x64):
    """5 mm a year takes 5 cm every ten years, 10 mm every five; a phase begins where a rate or the land use changes."""
    half = np.arange(YEARS) >= YEARS // 2
    given = {"erosion": np.where(half, 10.0, 5.0), "crop": 1.0 * (np.arange(YEARS) >= 45), "harvest": 0.3}
    out = model(layers=(5.0, 20.0, 75.0))(values(YEARS, 3, **given))
    window, begins = np.where(half, 5, 10), np.where(np.arange(YEARS) >= 45, 45, np.where(half, 30, 0))
    for name in ("soc", "soc_0_25", "soc_25_75", "soc_25_100"):
        np.testing.assert_allclose(out[f"{name}_smoothed"], by_hand(np.asarray(out[name]), window, begins), rtol=1e-11)
    assert np.ptp(out["soc"][35:45]) > 3.0 * np.ptp(out["soc_smoothed"][35:45])
    raw = model(erosion="continuous", layers=(5.0, 20.0, 75.0))(values(YEARS, 3, **given))
    np.testing.assert_array_equal(raw["soc_smoothed"], raw["soc"])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"layers": ((0.0, 5.0), (4.0, 10.0))}, "overlaps"),
        ({}, {"layers": ((0.0, 5.0), (6.0, 10.0))}, "leaves a gap"),
        ({}, {"layers": ((1.0, 5.0),)}, "start at the surface"),
        ({}, {"layers": (5.0, -5.0)}, "layer 2 has no thickness"),
        ({}, {"event_depth": 100.0}, "would empty the column"),
        ({"plough_depth": 120.0}, {}, "plough_depth is 120 cm"),
        ({"erosion": 80.0}, {}, "erosion reaches 8 cm"),
        ({"erosion": 49.0}, {"event_depth": 3.0}, "can complete 2 events of 3 cm"),
        ({"calcite": 1.2}, {}, "calcite is 1.2"),
        ({"silt": 80.0}, {}, "sum to 113 %"),
    ],
)
def test_wrong_input_is_refused(x64, change, options, said):
    with pytest.raises(ValueError, match=said):
        resolve(COLUMN.check)({**COLUMN.default_options(), **options}, values(3, **change))


STUDY = """\
model: column
options: {layers: [5, 5, 90], event_depth: 3}
inputs:
  period: {start: 1, end: 20}
  temperature: {value: 9}
  precipitation: {value: 60}
  potential_evapotranspiration: {value: 50}
  plough_depth: {schedule: [{value: 0}, {years: [4], value: 20}]}
scenarios:
  kept: {}
  eroded:
    inputs:
      erosion: 2
outputs: {variables: [soc]}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("erosion: 2", "erosion: 49", "study.yaml:13: scenarios.eroded.inputs.erosion: erosion reaches 4.9 cm"),
        ("value: 20", "value: 120", "study.yaml:8: inputs.plough_depth: plough_depth is 120 cm"),
        ("event_depth: 3", "event_depth: 100", "study.yaml:2: options.event_depth: an erosion event of 100 cm"),
        (
            "layers: [5, 5, 90]",
            "layers: [[0, 5], [6, 100]]",
            "study.yaml:2: options.layers: layer 2 starts at 6 cm and leaves",
        ),
        ("erosion: 2", "silt: 80", "study.yaml:13: scenarios.eroded.inputs.silt: clay, silt and sand sum to 113 %"),
        ("years: [4]", "years: [4, 30]", "study.yaml:8: inputs.plough_depth.schedule: rule 2 names the year 30"),
    ],
)
def test_wrong_input_names_its_place_in_the_study(tmp_path, old, new, said):
    assert old in STUDY
    (tmp_path / "study.yaml").write_text(STUDY.replace(old, new))
    result = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "r.zarr")])
    assert result.exit_code == 2 and said in result.output.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_members_on_the_last_axis_are_members_one_by_one(x64):
    """What propagation does: two levels of mapping, shared inputs left alone, members last inside."""
    options = {**COLUMN.default_options(), "initial": "equilibrium", "layers": (5.0, 10.0, 25.0)}
    simulate = COLUMN.simulator(BuildSettings(options))
    given = values(12, 3, erosion=4.0, crop=1.0, plough_depth=8.0, lime=0.2)
    drainage, harvest = jnp.asarray([40.0, 90.0, 300.0]), jnp.asarray([0.0, 0.6])

    def one(run, water, taken):
        return run({**given, "drainage": water, "harvest": jnp.full(12, taken)})

    def all_of(run):
        inner = jax.vmap(lambda water, taken: one(run, water, taken), (None, 0))
        return jax.jit(jax.vmap(inner, (0, None)))(drainage, harvest)

    ours, theirs = all_of(members_last(simulate)), all_of(simulate)
    assert set(ours) == set(theirs) and ours["soc_profile"].shape == (3, 2, 3, 12)
    for name, value in ours.items():
        if name != "balance":
            np.testing.assert_allclose(value, theirs[name], rtol=1e-12, atol=1e-12, err_msg=name)
    assert float(ours["balance"].max()) < 1e-12
