"""Noise series and weather years: moments, reproducibility, coherence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble.inputs.series import ar1_noise, check_noise
from ensemble.inputs.weather import choose_realization, resample_years, year_sequence
from ensemble.keys import draw_key

MEMBERS, STEPS = 8192, 60


def draw(how, spread, autocorrelation, centre="mean", dtype=jnp.float32):
    make = jax.jit(
        jax.vmap(lambda d: ar1_noise(draw_key(7, "rain", d), STEPS, spread, autocorrelation, how, dtype, centre))
    )
    return np.asarray(make(jnp.arange(MEMBERS)), dtype=float)


@pytest.mark.parametrize("autocorrelation", [-0.5, 0.0, 0.7])
def test_offset_has_stated_moments_in_every_step(autocorrelation):
    noise = draw("offset", 1.5, autocorrelation)
    assert noise.shape == (MEMBERS, STEPS)
    assert abs(noise.mean(0)).max() < 4.5 * 1.5 / np.sqrt(MEMBERS)
    # A sample sd has relative error 1/sqrt(2 n); 4.5 of them over 60 steps.
    assert abs(noise.std(0) / 1.5 - 1.0).max() < 4.5 / np.sqrt(2 * MEMBERS)
    lag1 = [np.corrcoef(noise[:, t], noise[:, t + 1])[0, 1] for t in range(STEPS - 1)]
    assert np.mean(lag1) == pytest.approx(autocorrelation, abs=0.01)
    lag3 = [np.corrcoef(noise[:, t], noise[:, t + 3])[0, 1] for t in range(STEPS - 3)]
    assert np.mean(lag3) == pytest.approx(autocorrelation**3, abs=0.01)


@pytest.mark.parametrize(("cv", "autocorrelation"), [(0.3, 0.6), (0.8, 0.3), (0.5, -0.4)])
@pytest.mark.parametrize("centre", ["mean", "median"])
def test_factor_has_stated_moments(cv, autocorrelation, centre):
    noise = draw("factor", cv, autocorrelation, centre)
    assert (noise > 0.0).all()
    middle = noise.mean() if centre == "mean" else np.median(noise)
    assert middle == pytest.approx(1.0, abs=0.01)
    assert noise.std() / noise.mean() == pytest.approx(cv, rel=0.03)
    pairs = np.stack([noise[:, :-1].ravel(), noise[:, 1:].ravel()])
    assert np.corrcoef(pairs)[0, 1] == pytest.approx(autocorrelation, abs=0.02)


def test_noise_belongs_to_its_key_and_precision(x64):
    keys = [draw_key(7, "rain", d, site) for d, site in ((3, None), (3, None), (4, None), (3, 0), (3, 1))]
    series = [np.asarray(ar1_noise(key, 12, 0.4, 0.5, "factor", jnp.float64)) for key in keys]
    np.testing.assert_array_equal(series[0], series[1])
    assert len({s.tobytes() for s in series}) == 4
    single = ar1_noise(keys[0], 12, 0.4, 0.5, "factor", jnp.float32)
    assert single.dtype == jnp.float32
    assert series[0].dtype == np.float64
    by_month = np.asarray(ar1_noise(keys[0], 12, np.linspace(0.1, 1.2, 12), 0.5, "offset", jnp.float64))
    one = np.asarray(ar1_noise(keys[0], 12, 1.0, 0.5, "offset", jnp.float64))
    np.testing.assert_allclose(by_month, one * np.linspace(0.1, 1.2, 12), rtol=1e-12)


def test_noise_is_differentiable_in_its_spread(x64):
    key = draw_key(1, "t", 0)

    def total(spread, how):
        return ar1_noise(key, 24, spread, 0.6, how, jnp.float64).sum()

    for how in ("offset", "factor"):
        slope = jax.grad(total)(0.5, how)
        step = (total(0.5 + 1e-6, how) - total(0.5 - 1e-6, how)) / 2e-6
        assert slope == pytest.approx(float(step), rel=1e-7)


@pytest.mark.parametrize("block", [1, 3, 5])
def test_resampled_years(block):
    history, years = 11, 40
    sequences = np.asarray(
        jax.vmap(lambda d: year_sequence(draw_key(2, "weather", d), history, years, block))(jnp.arange(4096))
    )
    assert sequences.shape == (4096, years)
    counts = np.stack([np.bincount(column, minlength=history) for column in sequences.T])
    # Every year is equally likely in every place of the run.
    assert abs(counts / 4096 - 1 / history).max() < 5.0 * np.sqrt(1 / history / 4096)
    follows = (np.diff(sequences, axis=1) % history) == 1
    inside = np.arange(1, years) % block != 0
    assert follows[:, inside].all()
    if (~inside).any():
        assert follows[:, ~inside].mean() == pytest.approx(1 / history, abs=0.01)


def test_weather_stays_together_across_variables_and_sites():
    key, table = draw_key(2, "weather", 17), np.arange(9 * 12).reshape(9, 12)
    temperature = resample_years(key, jnp.asarray(table, jnp.float32), 20, 2)
    rain = resample_years(key, jnp.asarray(1000.0 + table, jnp.float32), 20, 2)
    elsewhere = jax.vmap(lambda t: resample_years(key, t, 20, 2))(jnp.stack([jnp.asarray(table)] * 3))
    np.testing.assert_array_equal(rain - temperature, 1000.0)
    np.testing.assert_array_equal(elsewhere[0], elsewhere[2])
    np.testing.assert_array_equal(elsewhere[0], temperature)
    months = np.asarray(temperature).reshape(20, 12)
    assert ((months % 12) == np.arange(12)).all()
    picks = jax.vmap(lambda d: choose_realization(draw_key(2, "gcm", d), jnp.asarray(table)))(jnp.arange(2000))
    share = np.bincount(np.asarray(picks)[:, 0] // 12, minlength=9) / 2000
    assert abs(share - 1 / 9).max() < 5.0 * np.sqrt(1 / 9 / 2000)


def test_weather_does_not_depend_on_the_precision_of_a_stage():
    draws = []
    for double in (False, True):
        with jax.enable_x64(double):
            key, table = draw_key(2, "weather", 5), jnp.arange(13 * 12).reshape(13, 12)
            draws.append((np.asarray(year_sequence(key, 13, 50, 3)), np.asarray(choose_realization(key, table))))
    for single, double in zip(*draws, strict=True):
        np.testing.assert_array_equal(single, double)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("offset", 0.0, 0.5), "spread 0 is not allowed"),
        (("offset", 1.0, 1.0), "allowed: -1 to 1"),
        (("factor", 1.0, -0.6), "allowed: -0.5 to 1"),
        (
            ("offset", 5.0, 0.1, (0.0, 120.0), (0.0, np.inf)),
            "take the driver to -30, outside of 0 to inf; use a factor",
        ),
        (("factor", 0.5, 0.1, (0.0, 1.0), (0.0, 1.0)), "outside of 0 to 1; use less spread"),
    ],
)
def test_wrong_noise_gets_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_noise(*arguments)


def test_possible_noise_passes():
    assert check_noise("factor", 0.3, 0.4, (0.0, 120.0), (0.0, np.inf)) is None
    assert check_noise("offset", 1.0, 0.4, (-5.0, 20.0), (-60.0, 60.0)) is None
