"""Carbon-budget models: published check values, closed forms, conservation, gradients, wrong input."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ensemble.errors import InputError
from ensemble.inputs.checks import check_values
from ensemble.models.base import BuildSettings
from ensemble.models.carbon_budget import (
    budget_coordinates,
    carbon_to_co2,
    co2_to_carbon,
    heterotrophic_respiration,
    summed_emissions,
)
from ensemble.models.emissions import FACTORS, emissions_by_fuel
from ensemble.models.rain import monthly_rain_check
from ensemble.models.records.carbon import FUELS, LITHOLOGIES, MODELS, WEATHERING_COEFFICIENTS
from ensemble.models.registry import builtin_models
from ensemble.models.weathering import clipped_balance, rock_coefficient, weathering

DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31.0])
pytestmark = pytest.mark.usefixtures("x64")


def defaults(name, **given):
    model = builtin_models()[name]
    values = {spec.name: jnp.asarray(float(spec.default)) for spec in model.inputs if spec.default is not None}
    return values | {key: jnp.asarray(value, float) for key, value in given.items()}


def simulator(name, steps=1, **options):
    model = builtin_models()[name]
    return model.simulator(BuildSettings({**model.default_options(), **options}, steps))


def land_inputs(months=24, seed=0):
    rng = np.random.default_rng(seed)
    season = np.sin(np.arange(months) * 2 * np.pi / 12 - 2)
    return defaults(
        "land_carbon_sink",
        temperature=12 + 12 * season + rng.normal(0, 1, months),
        precipitation=60 + 55 * season + rng.uniform(0, 5, months),
        evapotranspiration=45 + 30 * np.roll(season, 1) + rng.uniform(0, 5, months),
        npp=45 + 44 * season,
        emissions=30 + 10 * np.cos(season),
        emission_factor=1.1,
        carbonate_share=0.3,
        shale_share=0.5,
        sandstone_share=0.2,
    )


# ---- respiration and NEP


def test_respiration_has_the_published_daily_value_and_floor():
    daily = heterotrophic_respiration(10.0, 50.0, 1.0, share=1.0)
    np.testing.assert_allclose(daily, 1.168, atol=5e-4)
    np.testing.assert_allclose(365 * daily, 426, atol=0.5)
    # A dry month at 0 degC still respires 0.22 g a day; very cold desert keeps the exponential's tail only.
    np.testing.assert_allclose(heterotrophic_respiration(0.0, 0.0, 365.0), 37.3, atol=0.05)
    assert 0 < heterotrophic_respiration(-40.0, 0.0) < 0.1


def test_monthly_climate_of_northern_china_respires_as_much_as_measured():
    temperature = np.array([-4, -1, 6, 14, 20, 24, 26, 25, 20, 13, 4, -2.0])
    rain = np.array([3, 6, 9, 20, 33, 70, 180, 160, 50, 25, 9, 3.0])
    total = heterotrophic_respiration(temperature, rain).sum()
    # Mean of Chinese grasslands: 439 g C m-2 a year of soil respiration (Yu et al. 2010).
    assert 0.5 < total / 0.465 / 439 < 1.5
    # The same yearly mean and sum put into the formula at once: what the monthly formula is not for.
    wrong = heterotrophic_respiration(temperature.mean(), rain.sum())
    assert not 0.8 < wrong / (total / 12) < 1.2


def test_month_length_changes_respiration_by_the_days_it_counts():
    values = land_inputs(12)
    thirty = simulator("net_ecosystem_production")(values)["heterotrophic_respiration"]
    calendar = simulator("net_ecosystem_production", month_length="calendar")({**values, "days_in_month": DAYS})
    np.testing.assert_allclose(calendar["heterotrophic_respiration"], thirty * DAYS / 30, rtol=1e-12)


@pytest.mark.parametrize("clip", ["month", "year"])
def test_land_sink_closes_carbon_and_water(clip):
    values = land_inputs(36)
    out = simulator("land_carbon_sink", 12, clip=clip)(values)
    assert all(series.shape == (3,) for series in out.values())
    yearly = {
        name: np.asarray(values[name]).reshape(3, 12).sum(1) for name in ("npp", "precipitation", "evapotranspiration")
    }
    np.testing.assert_allclose(out["nep"] + out["heterotrophic_respiration"], yearly["npp"], rtol=1e-12)
    np.testing.assert_allclose(out["ecosystem_sink"], out["nep"] + out["rock_weathering"], rtol=1e-12)
    emitted = 1.1 * np.asarray(values["emissions"]).reshape(3, 12).sum(1)
    np.testing.assert_allclose(out["fossil_emissions"], emitted, rtol=1e-12)
    np.testing.assert_allclose(out["carbon_neutral_capacity"], out["ecosystem_sink"] - emitted, rtol=1e-12)
    balance = yearly["precipitation"] - yearly["evapotranspiration"]
    np.testing.assert_allclose(out["runoff"] - out["runoff_clipped"], balance, rtol=1e-12)
    mixture = 0.3 * 1.586 + 0.5 * 0.627 + 0.2 * 0.152
    np.testing.assert_allclose(out["rock_weathering"], 0.012 * mixture * out["runoff"], rtol=1e-12)
    np.testing.assert_allclose(out["silicate_weathering"], 0.012 * (mixture - 0.3 * 1.586) * out["runoff"], rtol=1e-12)
    monthly = simulator("land_carbon_sink", clip=clip)(values)
    for name, series in monthly.items():
        np.testing.assert_allclose(np.asarray(series).reshape(3, 12).sum(1), out[name], rtol=1e-12, atol=1e-12)


def test_clipping_months_gives_more_runoff_than_clipping_years_and_counts_itself():
    values = land_inputs(24)
    by_month = simulator("land_carbon_sink", 12, clip="month")(values)
    by_year = simulator("land_carbon_sink", 12, clip="year")(values)
    assert (by_month["runoff"] > by_year["runoff"]).all()
    dry = np.asarray(values["precipitation"] < values["evapotranspiration"]).reshape(2, 12).sum(1)
    np.testing.assert_array_equal(by_month["clipped_steps"], dry)
    desert = {**values, "precipitation": values["precipitation"] * 0.05}
    np.testing.assert_allclose(simulator("land_carbon_sink", 12, clip="year")(desert)["clipped_steps"], 1, rtol=1e-12)


# ---- rock weathering


def test_weathering_has_the_units_of_its_source():
    # 1 mm on 1 km2 is 1e6 L; 1 mmol/L of it are 1e3 mol, 12 kg of carbon.
    np.testing.assert_allclose(weathering(1.0, 1.0), 12e-3, rtol=1e-12)
    # China: 10 Tg C from 9.5e6 km2 at 284 mm needs a mean coefficient of 0.31 mmol/L.
    needed = 10e6 / 9.5e6 / weathering(284.0, 1.0)
    np.testing.assert_allclose(needed, 0.31, atol=0.002)
    assert min(WEATHERING_COEFFICIENTS.values()) < needed < max(WEATHERING_COEFFICIENTS.values())


@pytest.mark.parametrize(("option", "values"), [("shale", (0.627, 0.672)), ("acid_volcanic", (0.222, 0.272))])
def test_published_conflicts_are_structural_choices(option, values):
    given = defaults("rock_weathering", runoff=300.0, **{f"{option}_share": 2.0})
    flux = [float(simulator("rock_weathering", **{option: value})(given)["weathering_flux"]) for value in values]
    np.testing.assert_allclose(flux, [0.012 * 300 * value for value in values], rtol=1e-12)


def test_a_mixture_of_one_rock_is_that_rock_and_weights_are_normalised():
    for name in LITHOLOGIES:
        mixed = simulator("rock_weathering")(defaults("rock_weathering", runoff=100.0, **{f"{name}_share": 3.0}))
        single = simulator("rock_weathering", lithology=name)(defaults("rock_weathering", runoff=100.0))
        for key in ("weathering_flux", "silicate_flux"):
            np.testing.assert_allclose(mixed[key], single[key], rtol=1e-12, atol=1e-15)
    assert np.isnan(simulator("rock_weathering")(defaults("rock_weathering", runoff=1.0))["weathering_flux"])


def test_yearly_balance_clips_and_says_so():
    run = simulator("rock_weathering", runoff="balance", lithology="carbonate")
    wet = run(defaults("rock_weathering", annual_precipitation=900.0, annual_evapotranspiration=600.0))
    dry = run(defaults("rock_weathering", annual_precipitation=100.0, annual_evapotranspiration=130.0))
    np.testing.assert_allclose([wet["runoff_used"], wet["clipped"]], [300, 0])
    np.testing.assert_allclose([dry["runoff_used"], dry["clipped"], dry["weathering_flux"]], [0, 1, 0])
    runoff, deficit = clipped_balance(jnp.array([5.0, 1.0]), jnp.array([2.0, 4.0]))
    np.testing.assert_allclose([runoff, deficit], [[3, 0], [0, 3]])


# ---- fuel emissions and budget


def test_fuel_factors_have_the_published_carbon_per_tonne():
    china, ipcc = FACTORS["china"], FACTORS["ipcc"]
    assert tuple(china) == tuple(ipcc) == FUELS and len(FUELS) == 14
    coal = china["coal"]
    np.testing.assert_allclose(coal.calorific_value * coal.carbon_content * 1e-3, 0.524, atol=5e-4)
    np.testing.assert_allclose(np.prod(coal) * 1e-3, 0.484, atol=5e-4)
    np.testing.assert_allclose(np.prod(ipcc["coal"]) * 1e-3, 0.666, atol=5e-4)
    for fuel in ("gasoline", "kerosene", "diesel", "fuel_oil", "natural_gas"):
        assert abs(china[fuel].carbon_content / ipcc[fuel].carbon_content - 1) < 0.005, fuel


def test_fuel_emissions_sum_and_scale():
    burnt = np.linspace(1, 14, 14)
    for table in ("china", "ipcc"):
        out = simulator("fuel_emissions", factors=table)(defaults("fuel_emissions", consumption=burnt))
        each = emissions_by_fuel(burnt, *map(np.array, zip(*FACTORS[table].values(), strict=True)))
        np.testing.assert_allclose(out["emissions"], each.sum(), rtol=1e-12)
        more = simulator("fuel_emissions", factors=table)(
            defaults("fuel_emissions", consumption=burnt, solid_factor=1.1, gas_factor=0.5, liquid_factor=2.0)
        )
        gas = [2, 3, 4, 5, 12, 13]
        liquid = [6, 7, 8, 9, 10, 11]
        expected = 1.1 * each[:2].sum() + 2 * each[liquid].sum() + 0.5 * each[gas].sum()
        np.testing.assert_allclose(more["emissions"], expected, rtol=1e-12)
    columns = dict(
        zip(("calorific_value", "carbon_content", "oxidation"), np.array([*FACTORS["ipcc"].values()]).T, strict=True)
    )
    given = simulator("fuel_emissions", factors="given")(defaults("fuel_emissions", consumption=burnt, **columns))
    np.testing.assert_allclose(given["emissions"], out["emissions"], rtol=1e-12)


def test_one_score_stands_for_correlated_activity_errors():
    rng = np.random.default_rng(1)
    parts = rng.lognormal(4, 1, 30)
    for rho in (0.0, 0.3, 1.0):
        errors = np.sqrt(rho) * rng.normal(size=(40000, 1)) + np.sqrt(1 - rho) * rng.normal(size=(40000, 30))
        drawn = (parts * (1 + 0.1 * errors)).sum(1)
        sd = summed_emissions(jnp.asarray(parts), 1.0, 0.1, rho, 1.0) - parts.sum()
        np.testing.assert_allclose(drawn.std(), sd, rtol=0.02)
    full = summed_emissions(jnp.asarray(parts), 1.2, 0.1, 1.0, 1.0)
    np.testing.assert_allclose(full, 1.2 * 1.1 * parts.sum(), rtol=1e-12)


def test_budget_identities_and_accounts():
    accounts = {"emissions": [100.0, 50.0], "emissions_second": [120.0, 40.0]}
    given = defaults("carbon_budget", nep=30.0, rock_weathering=3.0, **accounts)
    totals = {"first": 150.0, "second": 160.0, "mean": 155.0}
    for account, total in totals.items():
        out = simulator("carbon_budget", account=account, parts=2)(given)
        np.testing.assert_allclose(out["total_emissions"], total)
        np.testing.assert_allclose(out["carbon_neutral_capacity"], 33.0 - total)
        np.testing.assert_allclose(out["absorbed_share"], 33.0 / total)
    np.testing.assert_allclose(carbon_to_co2(co2_to_carbon(7.0)), 7.0, rtol=1e-15)
    np.testing.assert_allclose(carbon_to_co2(12.0), 44.0, rtol=1e-15)


# ---- the contract: gradients, batching, precision


CASES = {
    "net_ecosystem_production": (lambda: land_inputs(12), {}),
    "land_carbon_sink": (lambda: land_inputs(12), {"clip": "year"}),
    "rock_weathering": (lambda: defaults("rock_weathering", runoff=300.0, shale_share=0.4, carbonate_share=0.6), {}),
    "fuel_emissions": (lambda: defaults("fuel_emissions", consumption=np.linspace(1, 14, 14)), {}),
    "carbon_budget": (
        lambda: defaults("carbon_budget", nep=600.0, emissions=[90.0, 60.0], activity_cv=0.1, activity_score=0.7),
        {"parts": 2},
    ),
}


def test_every_model_has_a_case():
    assert set(CASES) == {model.name for model in MODELS}


@pytest.mark.parametrize("name", CASES)
def test_models_are_differentiable_and_batch(name):
    make, options = CASES[name]
    values, run = make(), simulator(name, **options)

    def total(values):
        return sum(jnp.sum(x) for x in run(values).values())

    check_grads(total, (values,), order=1, modes=("fwd", "rev"), rtol=1e-5)
    at_zero = jax.grad(total)(
        {k: (0 * v if k in ("emissions", "precipitation", "runoff") else v) for k, v in values.items()}
    )
    if name != "carbon_budget":
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(at_zero))
    scale = np.linspace(0.9, 1.1, 5)
    batch = {key: jnp.stack([value * s for s in scale]) for key, value in values.items()}
    mapped = jax.jit(jax.vmap(run))(batch)
    for i in range(5):
        one = run({key: value[i] for key, value in batch.items()})
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-12, atol=1e-12), mapped, one)


@pytest.mark.parametrize("name", CASES)
def test_models_keep_single_precision(name):
    make, options = CASES[name]
    values = make()
    double = simulator(name, **options)(values)
    single = simulator(name, **options)({key: value.astype(jnp.float32) for key, value in values.items()})
    for key, value in single.items():
        assert value.dtype == jnp.float32, key
        np.testing.assert_allclose(value, double[key], rtol=1e-4, atol=1e-3)


# ---- wrong input


@pytest.mark.parametrize(
    ("model", "name", "value", "words"),
    [
        ("land_carbon_sink", "temperature", 288.0, "288 is not possible .* degC; kelvin"),
        ("land_carbon_sink", "precipitation", 3600.0, "an annual sum is about twelve times as large"),
        ("land_carbon_sink", "npp", 5230.0, "MOD17 integers"),
        ("rock_weathering", "runoff", -20.0, "clipped and counted"),
        ("net_ecosystem_production", "npp", 32767.0, "MOD17 integers"),
    ],
)
def test_impossible_numbers_are_refused_with_the_usual_mistake(model, name, value, words):
    spec = next(spec for spec in builtin_models()[model].inputs if spec.name == name)
    with pytest.raises(InputError, match=words):
        check_values(spec, np.array([value]), lambda _, text: InputError(text))


def test_annual_rain_in_the_monthly_formula_is_named():
    spec = next(spec for spec in builtin_models()["land_carbon_sink"].inputs if spec.name == "precipitation")
    with pytest.warns(UserWarning, match="mm a month; an annual sum is about twelve times as large"):
        check_values(spec, np.array([780.0]), lambda _, text: InputError(text))


SEASON = -np.cos(np.arange(12) * 2 * np.pi / 12)


@pytest.mark.parametrize(
    ("temperature", "rain"),
    [(9.0, 300.0), (9.0, 390.0), (-1.0, 200.0), (24.0, 780.0)],
)
def test_an_annual_sum_in_every_month_is_refused_whatever_its_size(temperature, rain):
    values = {"temperature": temperature + 12 * SEASON, "precipitation": np.full(12, rain)}
    with pytest.raises(
        ValueError, match=rf"precipitation is {rain:g} mm in every month, .*an annual sum in every month"
    ):
        monthly_rain_check({}, values)


@pytest.mark.parametrize(
    ("temperature", "rain", "words"),
    [
        (9.0 + 12 * SEASON, np.tile([90.0, 110.0], (12, 1)).T.ravel(), r"the same in all months of a year \(90 mm"),
        (10.0 + 5 * SEASON, 540.0 + 100 * SEASON, "6480 mm a year in all, beside the 589 mm"),
    ],
)
def test_rain_that_only_looks_annual_is_warned_about(temperature, rain, words):
    (said,) = monthly_rain_check({}, {"temperature": temperature, "precipitation": rain})
    assert re.search(words, said)


def test_evapotranspiration_shows_annual_rain_in_a_desert():
    values = {
        "temperature": 16 + 12 * SEASON,
        "precipitation": 70.0 + 5 * SEASON,
        "evapotranspiration": np.full(12, 5.0),
    }
    assert "7.1 % of precipitation" in monthly_rain_check({}, values)[0]


@pytest.mark.parametrize(
    ("temperature", "rain"),
    [
        (9.4 + 7 * SEASON, 58.0 + 7 * SEASON),  # Rothamsted
        (26.0 + 2 * SEASON, 230.0 + 190 * SEASON),  # monsoon, 2,760 mm a year
        (-22.0 + 14 * SEASON, 20.0 + 3 * SEASON),  # polar
        (7.5 + 6 * SEASON, 190.0 + 40 * SEASON),  # Bergen, 2,280 mm
        (25.0 + 8 * SEASON, np.zeros(12)),
        (15.0 + 8 * SEASON, np.array([0.0] * 11 + [9.0])),
    ],
)
def test_real_climates_pass(temperature, rain):
    assert not monthly_rain_check({}, {"temperature": temperature, "precipitation": rain})


def test_a_rock_without_coefficient_is_refused():
    with pytest.raises(ValueError, match=r"lithology 'nd' has no weathering coefficient; allowed: carbonate, shale"):
        rock_coefficient("nd")


def test_a_yearly_balance_needs_whole_years():
    with pytest.raises(ValueError, match=r"whole years of twelve months; 14 months"):
        simulator("land_carbon_sink", clip="year")(land_inputs(14))


@pytest.mark.parametrize("parts", [0, 2.5, True])
def test_parts_is_a_count(parts):
    with pytest.raises(ValueError, match="whole number of 1 or more"):
        budget_coordinates({"parts": parts})


# ---- the audit of docs/papers/china_budget.md, from the printed numbers alone


def test_claims_that_follow_from_printed_numbers():
    sink = carbon_to_co2(166.0) + carbon_to_co2(10.0)
    np.testing.assert_allclose(carbon_to_co2(166.0), 610, rtol=0.005)  # 1
    np.testing.assert_allclose(carbon_to_co2(10.0), 36.7, atol=0.05)  # 2
    np.testing.assert_allclose([5630 / 6304.9, (6304.9 - sink) / 6304.9], 0.9, atol=0.01)  # 3
    np.testing.assert_allclose([-12.5 / 1.4458, -7.3 / (1 - 0.1554)], -8.645, rtol=0.001)  # 13


def test_claims_that_do_not_follow_from_printed_numbers():
    growth = 9456.4 / 3090.5
    np.testing.assert_allclose((growth - 1) / 21, 0.0981, atol=5e-5)  # 6: 21 years have 20 intervals
    np.testing.assert_allclose([(growth - 1) / 20, growth ** (1 / 20) - 1], [0.103, 0.0575], atol=5e-4)
    np.testing.assert_allclose(-13.37 * 30, -401, atol=0.5)  # 7
    np.testing.assert_allclose(2220 + carbon_to_co2(120.0), 2660, rtol=0.001)
    assert 6.14 / carbon_to_co2(10.0) > 0.16  # 8
    assert 25.26 + 12.53 + 7.35 + 5.51 > 25.26 / 0.5356  # 9
    np.testing.assert_allclose([171.5e3 / 6340, 99.0e3 / 11920], [27.05, 8.3], atol=0.02)  # 11, kt per km2
    np.testing.assert_allclose((0.81 / 2.60) ** (1 / 15) - 1, -0.075, atol=5e-4)  # 15
    assert not 0.48 <= 10 <= 1.78  # 17
