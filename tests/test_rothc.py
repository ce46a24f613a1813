"""RothC without any file: published values, closed forms, gradients, budgets and ways to start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ensemble.models import rothc
from ensemble.models.base import BuildSettings
from ensemble.models.decomposition import Pools, add, co2_ratio, decay, kept_parts, make_kinetics
from ensemble.models.examples import example_inputs
from ensemble.models.initial_pools import equilibrium
from ensemble.models.linear import apply, compose_all, fixed_point, repeat, trajectory
from ensemble.models.modifiers import (
    clay_limits,
    deficits,
    rate_cover,
    rate_moisture,
    rate_temperature,
    recurring_deficit,
    van_genuchten_limits,
)
from ensemble.models.registry import load_model

ROTHC = load_model("rothc")
POOLS = ("dpm", "rpm", "bio", "hum")
# The mean year of the official example input (RothC description, version 2.0.0, 2025): degC, mm, mm.
OFFICIAL_YEAR = {
    "temperature": [3.73, 3.08, 5.49, 7.4, 10.94, 14.4, 16.28, 16.24, 13.78, 9.51, 6.22, 4.09],
    "precipitation": [52.2, 42.9, 35.2, 52, 64.9, 46.3, 63.5, 60.6, 58.8, 63.4, 72.5, 60.9],
    "pan_evaporation": [6.6, 17.3, 40.7, 70.5, 103.5, 117.3, 130.1, 106.9, 61.9, 29.5, 8.8, 3.9],
    "plant_carbon": [0, 0, 0, 0, 0, 0, 0, 1.74, 0, 0, 0, 0],
    "plant_cover": [1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1],
    "manure_carbon": [0.0] * 12,
    "dpm_rpm_ratio": [1.44] * 12,
    "modern_carbon": [100.0] * 12,
}


def official_inputs(years=1):
    series = {name: np.tile(np.asarray(values, float), years + 1) for name, values in OFFICIAL_YEAR.items()}
    return example_inputs(ROTHC, years=years) | series | {"clay": 23.4, "depth": 23.0, "iom": 3.0041}


def settings(steps=1, outputs=(), **options):
    return BuildSettings(ROTHC.default_options() | options, steps, outputs)


def start_of(inputs, **options):
    """State before the first month."""
    chosen = ROTHC.default_options() | options
    return jax.jit(lambda inputs: rothc.initial_state(rothc.prepare(inputs), chosen))(inputs)


def maps_of(inputs, boundaries, **options):
    return jax.jit(lambda inputs: rothc.affine_segments(inputs, settings(**options), boundaries))(inputs)


def run(inputs, steps=1, **options):
    return jax.device_get(jax.jit(ROTHC.simulator(settings(steps, **options)))(inputs))


@pytest.mark.usefixtures("x64")
def test_temperature_factor():
    """Reference values of the official code; a month at exactly -5 degC is not frozen, one just below is."""
    temperature = jnp.array([0.0, 5.0, 10.0, 15.0, 20.0, -5.0, -5.0000001, -18.27, -40.0])
    expected = [0.14387, 0.49713, 1.09904, 1.89845, 2.82149, 0.01619, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(rate_temperature(temperature), expected, atol=5e-6)


@pytest.mark.usefixtures("x64")
def test_moisture_deficit_of_the_description():
    """Table 2 of the RothC description: clay 23.4 %, 23 cm, covered."""
    rain = jnp.array([74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71.0])
    pan = jnp.array([8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8.0])
    limits = clay_limits(jnp.float64(23.4), jnp.float64(23.0))
    deficit = deficits(jnp.float64(0.0), rain - 0.75 * pan, jnp.ones(12), limits)
    expected = [0, 0, 0, 0, -10.25, -27.5, -44.94, -44.94, -38.69, -8.19, 0, 0]
    np.testing.assert_allclose(deficit, expected, atol=6e-3)
    factor = rate_moisture(deficit, limits)
    assert factor[6] == pytest.approx(0.2)
    assert np.all(factor[:5] == 1.0)


@pytest.mark.usefixtures("x64")
def test_cover_between_bare_and_covered_is_the_mean_of_the_area():
    limits = clay_limits(jnp.float64(23.4), jnp.float64(23.0))
    gain = jnp.full(4, -30.0)
    covered, bare, half = (deficits(jnp.float64(0.0), gain, jnp.full(4, part), limits) for part in (1.0, 0.0, 0.5))
    np.testing.assert_allclose(covered[-1], limits.covered)
    np.testing.assert_allclose(bare[-1], limits.bare)
    assert half[0] == 0.5 * (covered[0] + bare[0])
    np.testing.assert_allclose(rate_cover(jnp.array([0.0, 0.5, 1.0])), [1.0, 0.8, 0.6])


@pytest.mark.usefixtures("x64")
def test_deficit_recurs_and_its_gradient_is_exact():
    rain = jnp.asarray(OFFICIAL_YEAR["precipitation"]) * 0.3
    gain, cover = (
        rain - 0.75 * jnp.asarray(OFFICIAL_YEAR["pan_evaporation"]),
        jnp.asarray(OFFICIAL_YEAR["plant_cover"], float),
    )

    def start(clay):
        return recurring_deficit(gain, cover, clay_limits(clay, 23.0))

    many = deficits(jnp.float64(0.0), jnp.tile(gain, 50), jnp.tile(cover, 50), clay_limits(23.4, 23.0))
    assert start(23.4) == many[-1] < 0.0
    slope = (start(23.5) - start(23.3)) / 0.2
    np.testing.assert_allclose(jax.grad(start)(23.4), slope, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(start, (23.4,), (1.0,))[1], slope, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_van_genuchten_limits():
    """Rothamsted example of the dry-land input: deficits at 1, 15 and 1000 bar, mm."""
    limits = van_genuchten_limits(*map(jnp.float64, (23.4, 58.6, 0.94, 1.27, 23.0)), to_thousand_bar=True)
    np.testing.assert_allclose([limits.start, limits.driest, limits.covered], [-37.64, -61.34, -80.05], atol=6e-3)


@pytest.mark.usefixtures("x64")
def test_partition_and_one_month_of_the_description():
    """x(23.4) = 3.51, x(16) = 3.85; a month with abc = 0.3561."""
    np.testing.assert_allclose([co2_ratio(jnp.float64(23.4)), co2_ratio(jnp.float64(16.0))], [3.5142, 3.849], atol=5e-4)
    kinetics = make_kinetics({k: jnp.asarray(v) for k, v in official_inputs().items()})
    pools = Pools(*map(jnp.float64, (0.1533, 4.4852, 0.6671, 25.8576)))
    after, lost = decay(pools, kept_parts(0.3561, kinetics), kinetics)
    np.testing.assert_allclose(after, [0.1140, 4.4455, 0.6651, 25.8551], atol=1e-4)
    np.testing.assert_allclose(pools.total - after.total, kinetics.to_co2 * lost, rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_equilibrium_of_the_official_example():
    """Published to four decimals; the official loop stops 1.4e-4 t C/ha short of the exact equilibrium."""
    start = start_of(official_inputs())
    np.testing.assert_allclose(start.pools, [0.1606, 5.8213, 0.8717, 32.6202], atol=2e-4)
    legacy = start_of(official_inputs(), spinup="legacy")
    np.testing.assert_allclose(legacy.pools, [0.1606, 5.8213, 0.8717, 32.6202], atol=5.1e-5)
    assert 0 < start.pools.total - legacy.pools.total < 1.5e-4


@pytest.mark.usefixtures("x64")
def test_equilibrium_against_the_solve_and_against_a_closed_form():
    inputs = official_inputs()
    annual = compose_all(maps_of(inputs, [0, 12]))
    start = start_of(inputs)
    np.testing.assert_allclose(jnp.stack(start.pools), fixed_point(annual), rtol=1e-12)
    np.testing.assert_allclose(apply(annual, jnp.stack(start.pools)), jnp.stack(start.pools), rtol=1e-13)
    # The same weather every month: what a pool loses is what reaches it, and L = input / (1 - BIO - HUM parts).
    kinetics = make_kinetics({k: jnp.asarray(v) for k, v in inputs.items()})
    plants = Pools(*(jnp.full(12, part) for part in (0.1, 0.07, 0.0, 0.01)))
    found = equilibrium(jnp.full(12, 0.8), plants, kinetics)
    total = 0.18 / (1.0 - kinetics.to_bio - kinetics.to_hum)
    reaching = Pools(0.1, 0.07, kinetics.to_bio * total, kinetics.to_hum * total + 0.01 - kinetics.to_hum * 0.0)
    lost = Pools(*(value / (1.0 - jnp.exp(-0.8 * k)) for value, k in zip(reaching, kinetics.rates, strict=True)))
    # HUM receives its share of the manure directly, so everything that decays is the input times 1 / (1 - parts)
    np.testing.assert_allclose(found, lost, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_run_equals_its_affine_maps():
    inputs = example_inputs(ROTHC, years=5)
    inputs["temperature"] = inputs["temperature"] + np.sin(np.arange(72))
    out = run(inputs)
    at = [0, 7, 24, 31, 60]
    maps = maps_of(inputs, at)
    start = jnp.stack(start_of(inputs).pools)
    expected = np.array([[out[name][month - 1] for name in POOLS] for month in at[1:]])
    np.testing.assert_allclose(trajectory(maps, start), expected, rtol=1e-12)
    np.testing.assert_allclose(apply(compose_all(maps), start), expected[-1], rtol=1e-12)
    rates = out["rate_temperature"] * out["rate_moisture"] * out["rate_cover"]
    np.testing.assert_allclose(
        jax.jit(lambda inputs: rothc.monthly_rates(inputs, settings()))(inputs), rates, rtol=1e-12
    )
    with pytest.raises(ValueError, match=r"\[0, 7, 7\]"):
        rothc.affine_segments(inputs, settings(), [0, 7, 7])


@pytest.mark.usefixtures("x64")
def test_repeated_climate_is_a_repeated_map():
    inputs = official_inputs(years=40)
    for name, value in zip(POOLS, (1.0, 2.0, 0.3, 60.0), strict=True):
        inputs[f"initial_{name}"] = value
    annual = compose_all(maps_of(inputs, [0, 12], spinup="given"))
    out = run(inputs, steps=12, spinup="given")
    by_map = apply(repeat(annual, 40), jnp.array([1.0, 2.0, 0.3, 60.0]))
    np.testing.assert_allclose([out[name][-1] for name in POOLS], by_map, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_yearly_records_summarise_the_months():
    years = 3
    inputs = example_inputs(ROTHC, {"radiocarbon": True}, years)
    inputs["manure_carbon"] = inputs["manure_carbon"] + 0.1
    monthly, yearly = (run(inputs, steps, radiocarbon=True) for steps in (1, 12))
    for spec in ROTHC.outputs:
        if spec.name in monthly and spec.dims:
            by_year = monthly[spec.name].reshape(years, 12)
            expected = {"state": by_year[:, -1], "flux": by_year.sum(1), "rate": by_year.mean(1)}[spec.kind]
            np.testing.assert_allclose(yearly[spec.name], expected, rtol=1e-12, err_msg=spec.name)
    part = run({k: v[:-5] if np.ndim(v) else v for k, v in inputs.items()}, radiocarbon=True)
    np.testing.assert_allclose(part["soc"], monthly["soc"][:-5], rtol=1e-14)
    with pytest.raises(ValueError, match="31 months cannot be cut into records of 12"):
        run({k: v[:-5] if np.ndim(v) else v for k, v in inputs.items()}, 12)
    few = jax.jit(ROTHC.simulator(settings(12, ("soc", "co2"))))(inputs)
    assert {"soc", "co2", "balance"} <= set(few) and "dpm" not in few


def test_the_budget_is_a_real_check(x64, monkeypatch):
    inputs = example_inputs(ROTHC, years=20)
    assert run(inputs, 12)["balance"] < 1e-14

    def leaky(pools, arriving):
        new = add(pools, arriving)
        return new._replace(hum=new.hum * (1.0 - 1e-6))

    monkeypatch.setattr(rothc, "add", leaky)
    assert run(inputs, 12)["balance"] > 1e-5


def test_single_precision():
    """The budget closes to 1e-5 a year and the run agrees with double precision."""
    inputs = example_inputs(ROTHC, {"radiocarbon": True}, years=100)
    single = run({k: np.asarray(v, np.float32) for k, v in inputs.items()}, 12, radiocarbon=True)
    assert {value.dtype for value in single.values()} == {np.dtype(np.float32)}
    with jax.enable_x64(True):
        double = run(inputs, 12, radiocarbon=True)
        carried = run({k: np.asarray(v, np.float32) for k, v in inputs.items()}, 12, radiocarbon=True)
    assert carried["soc"].dtype == np.float32  # double precision being possible does not promote it
    assert single["balance"] < 1e-5
    for name in ("soc", *POOLS, "co2"):
        np.testing.assert_allclose(single[name], double[name], rtol=5e-5, err_msg=name)
    np.testing.assert_allclose(single["delta14c"], double["delta14c"], atol=0.05)


@pytest.mark.usefixtures("x64")
def test_given_pools_and_their_activity():
    options = {"spinup": "given", "radiocarbon": True}
    inputs = example_inputs(ROTHC, options, years=1)
    start = start_of(inputs, **options)
    np.testing.assert_allclose(start.pools, [inputs[f"initial_{name}"] for name in POOLS])
    np.testing.assert_allclose(start.activities, start.pools)


@pytest.mark.usefixtures("x64")
def test_inverse_spinup_meets_the_measured_stock():
    inputs = example_inputs(ROTHC, {"spinup": "inverse"}, years=2)
    inputs["manure_carbon"] = inputs["manure_carbon"] + 0.05
    whole = run(inputs, 12, spinup="inverse")
    np.testing.assert_allclose(whole["soc"], inputs["soc_measured"], rtol=1e-12)  # every month scaled: it stays there
    scaled = inputs | {"plant_carbon": inputs["plant_carbon"] * whole["plant_carbon_scale"]}
    np.testing.assert_allclose(run(scaled, 12)["soc"], whole["soc"], rtol=1e-12)
    first = run(inputs, 12, spinup="inverse", inverse_input="equilibrium_year")
    assert first["plant_carbon_scale"] == whole["plant_carbon_scale"]
    assert np.abs(first["soc"][-1] - inputs["soc_measured"]) > 0.01
    impossible = run(inputs | {"iom": np.float64(40.0)}, 12, spinup="inverse")
    assert impossible["plant_carbon_scale"] < 0.0  # outside its support: such a member fails


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("options", [{"radiocarbon": True}, {"moisture": "van_genuchten_dry", "spinup": "inverse"}])
def test_gradients(options):
    """Whole runs, equilibrium included, forward and reverse against finite differences."""
    inputs = {k: jnp.asarray(v) for k, v in example_inputs(ROTHC, options, years=2).items()}
    simulate = ROTHC.simulator(settings(12, **options))
    names = ("k_rpm", "k_hum", "clay", "iom", "co2_ratio_scale")

    def outputs(values):
        changed = dict(zip(names, values[:5], strict=True)) | {
            "temperature": inputs["temperature"] + values[5],
            "precipitation": inputs["precipitation"] * values[6],
            "plant_carbon": inputs["plant_carbon"] * values[7],
        }
        out = simulate(inputs | changed)
        return jnp.stack(
            [
                out[name]
                for name in ("soc", "bio", "co2", "rate_moisture") + (("delta14c",) if "delta14c" in out else ())
            ]
        )

    point = jnp.stack([*(inputs[name] for name in names), 0.1, 0.97, 1.1])
    check_grads(jax.jit(outputs), (point,), order=1, modes=("fwd", "rev"), atol=2e-3, rtol=2e-3, eps=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_gradients_stay_finite_in_frost(double):
    with jax.enable_x64(double):
        inputs = {k: jnp.asarray(v) for k, v in example_inputs(ROTHC, years=1).items()}
        simulate = ROTHC.simulator(settings(12, ("soc",)))

        def last(january, clay):
            cold = inputs["temperature"].at[jnp.array([0, 12])].set(january)
            return simulate(inputs | {"temperature": cold, "clay": clay})["soc"][-1]

        reverse = jax.jit(jax.grad(last, argnums=(0, 1)))
        forward = jax.jit(jax.jacfwd(last, argnums=(0, 1)))
        for january in (-18.27, -18.2, -18.0, -60.0, -5.0, 3.0):
            one, other = reverse(january, 23.4), forward(january, 23.4)
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
            assert np.isfinite(one).all() and (one[0] == 0.0) == (january < -5.0)
