"""The emission forecast: its formula, its held-out error and coverage on a known truth, its flags."""

import jax
import numpy as np
import pytest

from ensemble.inference.forecast_network import (
    DRIVERS,
    Layer,
    NetworkSettings,
    apply_network,
    fit_forecast,
    forecast,
    grow_drivers,
    new_network,
)

# Made-up: twelve regions, twenty years, seven drivers, and emissions from a formula that is known here.
NOISE = 0.05
SETTINGS = NetworkSettings(hidden=(8,), networks=8, steps=600)


def made_up(seed=0, regions=12, years=20):
    rng = np.random.default_rng(seed)
    year = np.arange(years)
    start = rng.lognormal(0, 0.25, (regions, 1, 7))
    growth = np.array([0.005, 0.02, 0.06, -0.01, -0.03, 0.03, -0.01]) + rng.normal(0, 0.004, (regions, 1, 7))
    drivers = start * np.exp(growth * year[None, :, None]) * rng.lognormal(0, 0.03, (regions, years, 7))
    return drivers.reshape(-1, 7), np.repeat(np.arange(regions), years)


def truth(x):
    return 40 * x[..., 5] ** 0.8 * x[..., 6] ** 0.5 + 8 * x[..., 3] * np.sqrt(x[..., 2]) + 5 * x[..., 0]


def measured(x, seed):
    clean = truth(x)
    return clean + NOISE * clean.std() * np.random.default_rng(seed).normal(size=clean.shape)


def split(seed):
    """Rows to train on, and rows of the same regions kept away from training."""
    x, region = made_up(seed)
    y = measured(x, seed + 100)
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[80:], order[:80]
    return x[train], y[train], region[train], x[test], y[test]


@pytest.fixture(scope="module")
def fits():
    return [fit_forecast(*split(seed)[:2], SETTINGS) for seed in range(4)]


@pytest.fixture(scope="module")
def fitted(fits):
    return fits[0]


def test_network_is_equations_5_and_6():
    rng = np.random.default_rng(2)
    network = new_network(jax.random.key(3), (7, 5, 4, 8, 6, 1))
    network = tuple(Layer(w, t + rng.normal(0, 0.3, t.shape).astype(np.float32)) for w, t in network)
    x = rng.normal(size=(9, 7)).astype(np.float32)
    out = x
    for layer in network[:-1]:
        out = np.maximum(out @ np.asarray(layer.weights) - np.asarray(layer.thresholds), 0)
    out = out @ np.asarray(network[-1].weights) - np.asarray(network[-1].thresholds)
    np.testing.assert_allclose(apply_network(network, x), out[:, 0], rtol=2e-5, atol=2e-5)
    assert [layer.weights.shape for layer in network] == [(7, 5), (5, 4), (4, 8), (8, 6), (6, 1)]
    assert len(DRIVERS) == 7


def test_held_out_error_is_that_of_new_rows(fits):
    new, held = [], []
    for seed, fit in enumerate(fits):
        x, y = split(seed)[3:]
        new.append(np.mean((y - forecast(fit, x).mean) ** 2))
        held.append(fit.held_out.rmse**2)
        assert fit.held_out.r_squared > 0.98
    # All networks together do somewhat better than those of the one fold that held a row out.
    assert 0.7 < np.sqrt(np.mean(new) / np.mean(held)) < 1.1
    assert np.sqrt(np.mean(held)) > NOISE * truth(made_up()[0]).std()


def test_intervals_cover_new_measurements_at_least_as_often_as_they_say(fits):
    covered = []
    for seed, fit in enumerate(fits):
        x, y = split(seed)[3:]
        found = forecast(fit, x, (0.05, 0.25, 0.75, 0.95)).quantiles
        covered.append([(y >= found[0]) & (y <= found[3]), (y >= found[1]) & (y <= found[2])])
    wide, narrow = np.mean(covered, axis=(0, 2))
    # 320 new measurements: two standard errors are 3 % of 90 % and 6 % of 50 %; the method errs to the wide side.
    assert 0.87 < wide < 0.98
    assert 0.44 < narrow < 0.68


def test_every_year_outside_the_training_range_is_flagged(fitted):
    x = split(0)[0]
    last = np.median(x, axis=0)
    rates = np.zeros((2, 40, 7))
    rates[0, :, 5], rates[1, :, 5] = 0.03, -0.02
    rates[:, :, 2] = 0.05
    path = grow_drivers(last, rates)
    found = forecast(fitted, path)
    expected = (path < fitted.lowest) | (path > fitted.highest)
    np.testing.assert_array_equal(found.outside, expected)
    np.testing.assert_array_equal(found.extrapolated, expected.any(-1))
    assert found.extrapolated[:, -1].all() and not found.extrapolated[:, 0].any()
    assert found.quantiles.shape == (3, 2, 40) and found.mean.shape == found.network_sd.shape == (2, 40)
    # Networks disagree more where no data held them together.
    assert (found.network_sd[:, -1] > 2 * found.network_sd[:, 0]).all()


def test_held_out_regions_are_harder_than_held_out_rows(fitted):
    x, y, region = split(0)[:3]
    grouped = fit_forecast(x, y, SETTINGS, groups=region)
    for r in np.unique(region):
        assert len(np.unique(grouped.fold[region == r])) == 1
    assert grouped.held_out.rmse > fitted.held_out.rmse


@pytest.mark.slow
def test_the_printed_layers_train_and_silent_networks_are_left_out():
    x, _ = made_up()
    found = fit_forecast(x, measured(x, 1), NetworkSettings(networks=4, steps=400))
    assert found.alive.shape == (5, 4) and found.alive.any(axis=1).all()
    assert found.held_out.r_squared > 0.9


def test_scenarios_grow_step_by_step():
    path = grow_drivers([2.0, 10.0], [[0.1, 0.0], [0.1, -0.5]])
    np.testing.assert_allclose(path, [[2.2, 10], [2.42, 5]])


X, _REGION = made_up()
Y = truth(X)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: forecast(f, X[:, :6]), "6 drivers are given; the networks were trained on 7"),
        (lambda f: forecast(f, np.full((2, 7), np.nan)), "a driver is not finite"),
        (lambda f: fit_forecast(X, Y[:5]), r"needed: \(rows, drivers\) and \(rows,\)"),
        (lambda f: fit_forecast(X, np.full(len(X), 3.0)), "the target is the same in every row"),
        (lambda f: fit_forecast(X * [1, 1, 0, 1, 1, 1, 1], Y), "driver 3 is the same in every row"),
        (lambda f: fit_forecast(X, Y, NetworkSettings(hidden=())), r"hidden \[\] is not allowed"),
        (lambda f: fit_forecast(X[:4], Y[:4]), "4 groups are too few for 5 folds"),
        (lambda f: fit_forecast(X, Y, NetworkSettings(folds=1)), "1 folds of 12 networks are not allowed"),
        (lambda f: grow_drivers([1.0, 1.0], [[-1.0, 0.0]]), "growth rate of -1 is not allowed"),
    ],
)
def test_wrong_input_is_one_sentence(fitted, call, words):
    with pytest.raises(ValueError, match=words):
        call(fitted)
