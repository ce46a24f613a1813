"""Layers to fixed depth and to equivalent soil mass."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.inputs.profiles import (
    equivalent_mass_stock,
    fine_soil_mass,
    mass_weights,
    organic_carbon,
    spline_means,
    spline_weights,
)

TOPS, BOTTOMS, VALUES = [0, 20, 40, 60], [10, 30, 50, 70], np.array([6.0, 4.0, 3.0, 10.0])


def test_equal_area_spline_agrees_with_mpspline2():
    """R package mpspline2 averages the spline at the upper edge of each centimetre; its readme gives the means."""
    slices = [spline_weights(TOPS, BOTTOMS, [cm, cm + 1e-7]) @ VALUES for cm in range(70)]
    means = [np.mean(slices[a:b]) for a, b in ((0, 5), (5, 15), (15, 30), (30, 60), (60, 70))]
    np.testing.assert_allclose(means, [6.105160, 5.618341, 4.316876, 4.192058, 9.732400], atol=2e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(1, 40), min_size=1, max_size=7),
    st.lists(st.floats(0, 10), min_size=7, max_size=7),
    st.floats(0, 2),
)
def test_spline_rows_sum_to_one_and_keep_the_mass_of_the_whole_profile(thickness, gaps, smoothing):
    edges = np.cumsum([0.0, *(part for pair in zip(thickness, gaps, strict=False) for part in pair)])
    tops, bottoms = edges[:-1:2], edges[1::2]
    targets = np.linspace(tops[0], bottoms[-1], 6)
    np.testing.assert_allclose(spline_weights(tops, bottoms, targets, smoothing).sum(axis=1), 1.0, atol=1e-8)
    exact = np.vstack([spline_weights(tops, bottoms, pair, 0.0) for pair in zip(tops, bottoms, strict=True)])
    np.testing.assert_allclose(exact, np.eye(len(tops)), atol=1e-8)


def test_spline_covariance_is_that_of_a_simulation():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4)) * 0.2
    draws = VALUES + rng.normal(size=(200_000, 4)) @ root.T
    estimate = spline_means(TOPS, BOTTOMS, VALUES, root @ root.T, [0, 5, 15, 30])
    simulated = np.cov((draws @ estimate.weights.T).T)
    np.testing.assert_allclose(simulated, estimate.covariance, atol=0.01 * np.abs(estimate.covariance).max())


def test_one_layer_and_a_uniform_profile():
    assert spline_weights([0], [30], [0, 10]) @ [2.5] == pytest.approx(2.5)
    np.testing.assert_allclose(mass_weights([3900.0], [2000.0]), [[2000 / 3900]])
    masses = np.array([1300.0, 1300.0, 1950.0])
    stocks = masses * 0.013
    for method in ("cubic", "linear"):
        np.testing.assert_allclose(
            equivalent_mass_stock(masses, stocks, [500, 2000, 4550], method), np.array([500, 2000, 4550]) * 0.013
        )


def test_cubic_equivalent_mass_is_the_natural_spline_through_the_cumulative_stocks():
    from scipy.interpolate import CubicSpline

    masses, stocks = np.array([650.0, 1350.0, 2100.0]), np.array([16.0, 22.0, 20.0])
    spline = CubicSpline(np.cumsum([0, *masses]), np.cumsum([0, *stocks]), bc_type="natural")
    targets = [300.0, 1000.0, 3000.0, 4100.0]
    np.testing.assert_allclose(equivalent_mass_stock(masses, stocks, targets), spline(targets), rtol=1e-12)


@pytest.mark.parametrize(
    ("basis", "expected"),
    [("fine_earth", 30 * 1.3 * 0.8 * 100), ("fine_per_total", 3900.0), ("total", (1.3 - 0.2 * 2.65) * 3000)],
)
def test_fine_soil_mass_by_what_the_density_is_of(basis, expected):
    assert fine_soil_mass(1.3, 0.2, 30, basis) == pytest.approx(expected)


def test_organic_carbon_of_organic_matter():
    assert organic_carbon(2.0) == pytest.approx(1.16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: spline_weights([0, 8], [10, 20], [0, 5], name="field K1"),
            r"field K1 has layers that overlap: 0-10 cm and 8-20 cm",
        ),
        (lambda: spline_weights([0, 10], [10, 20], [0, 30]), "says nothing about 0-30 cm"),
        (lambda: spline_weights([5, 10], [10, 20], [0, 15]), "sampled from 5 to 20 cm"),
        (lambda: spline_weights([0], [0], [0, 1]), "bottom is not below its top"),
        (lambda: fine_soil_mass(1.3, 1.0, 30), "from 0 to below 1, got 1"),
        (lambda: fine_soil_mass(1.1, 0.5, 30, "total"), "weigh more than the whole soil"),
        (lambda: mass_weights([1000.0, 900.0], [2000.0]), "outside the core, which holds 1900 Mg/ha"),
        (lambda: organic_carbon(2.0, 0.9), "0.4 to 0.72"),
    ],
)
def test_wrong_profiles_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_silsoe_profiles_keep_the_measured_stock_of_the_whole_core(shared):
    """Measured cores: total carbon does not change when a mass-preserving spline resamples them."""
    table = pd.read_csv(shared / "data" / "silsoe" / "silsoe_soil_organic_carbon.csv")
    assert len(table) > 100
    cores = 0
    for _, core in table.groupby("ID"):
        bottoms = np.cumsum(core["di_cm"].to_numpy(float))
        tops = bottoms - core["di_cm"].to_numpy(float)
        density = core["OCC_g_100g"].to_numpy(float) * core["BD_g_cm3"].to_numpy(float)
        if np.isnan(density).any():
            continue
        limits = np.linspace(0, bottoms[-1], 9)
        resampled = spline_weights(tops, bottoms, limits, 0.0) @ density * np.diff(limits)
        assert resampled.sum() == pytest.approx((density * (bottoms - tops)).sum(), rel=1e-10)
        cores += 1
    assert cores >= 12
