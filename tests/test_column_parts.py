"""Parts of the column alone: movement of soil, decay, leaching, temperature at depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from ensemble.models.column.decay import decay_modes, decay_months, decay_year, to_modes
from ensemble.models.column.layers import make_layers
from ensemble.models.column.pedogenesis import CHARGE_OF_CALCITE, Minerals, Weathering, _bind_on_the_way, weather_year
from ensemble.models.column.site import soil_temperature
from ensemble.models.column.transport import add_top, blend, erosion_events, remove_top
from ensemble.models.decomposition import Kinetics, Pools

THICKNESS = np.array([2.5, 5.0, 7.5, 10.0, 25.0])


def content(seed):
    return jnp.asarray(np.random.default_rng(seed).uniform(0.0, 3.0, (5, 3)))


def test_blending_conserves_and_homogenises(x64):
    soil, share, part = content(1), jnp.asarray(THICKNESS / THICKNESS.sum())[:, None], jnp.full((5, 1), 0.3)
    once = blend(soil, part, share)
    np.testing.assert_allclose(once.sum(axis=0), soil.sum(axis=0), rtol=1e-15)
    many = jax.lax.fori_loop(0, 200, lambda _, s: blend(s, part, share), soil)
    np.testing.assert_allclose(many / THICKNESS[:, None], np.ones((5, 1)) * soil.sum(axis=0) / 50.0, rtol=1e-12)


@given(depth=st.floats(0.0, 2.5), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_erosion_and_burial_conserve(depth, seed):
    with jax.enable_x64(True):
        soil, other = content(seed), jnp.asarray([0.1, 0.0, 2.0])
        for move in (lambda: remove_top(soil, jnp.asarray(depth), THICKNESS[:, None], other, 1),
                     lambda: add_top(soil, jnp.asarray(depth), THICKNESS[:, None], other)):  # fmt: skip
            after, left = move()
            np.testing.assert_allclose(after.sum(axis=0) + left, soil.sum(axis=0) + other * depth, rtol=1e-13)
            assert np.all(after >= 0.0)


def test_an_event_of_whole_layers_is_a_shift(x64):
    soil, parent = content(2)[:4], jnp.asarray([0.5, 1.0, 0.0])
    after, left = remove_top(soil, jnp.asarray(10.0), np.full((4, 1), 5.0), parent, 2)
    np.testing.assert_allclose(after[:2], soil[2:4], rtol=1e-15)
    np.testing.assert_allclose(after[2:], np.ones((2, 1)) * parent * 5.0, rtol=1e-15)
    np.testing.assert_allclose(left, soil[:2].sum(axis=0), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_events_come_when_the_paper_has_them(x64, dtype):
    """0.05, 0.5 and 5 mm a year take 5 cm every 1000, 100 and 10 years."""
    rate = np.concatenate([np.full(8000, 0.005), np.full(1900, 0.05), np.full(100, 0.5)]).astype(dtype)
    years = np.flatnonzero(erosion_events(jnp.asarray(rate), 5.0)) + 1
    assert years.tolist() == [*range(1000, 8001, 1000), *range(8100, 9901, 100), *range(9910, 10001, 10)]


def loess(clay=16.0):
    x = 1.67 * (1.85 + 1.60 * np.exp(-0.0786 * clay))
    rates = Pools(*(jnp.asarray(k / 12.0) for k in (10.0, 0.3, 0.66, 0.02)))
    return Kinetics(rates, *(jnp.asarray(v / (x + 1.0)) for v in (0.46, 0.54, x)))


def test_a_year_is_the_matrix_exponential(x64):
    kinetics = loess()
    rates = np.array([10.0, 0.3, 0.66, 0.02])
    made = np.array([0.0, 0.0, float(kinetics.to_bio), float(kinetics.to_hum)])
    matrix = np.outer(made, rates) - np.diag(rates)
    pools, inputs, modifier = np.array([0.1, 5.0, 1.0, 30.0]), np.array([1.0, 2.0, 0.0, 0.3]), 0.37
    block = np.zeros((5, 5))
    block[:4, :4], block[:4, 4] = matrix * modifier, inputs
    expected = expm(block) @ np.append(pools, 1.0)
    modes = decay_modes(kinetics)
    held, come = (Pools(*jnp.asarray(amounts)[:, None]) for amounts in (pools, inputs))
    after, respired = decay_year(held, jnp.asarray([modifier]), to_modes(come, modes), modes)
    np.testing.assert_allclose(np.ravel(after), expected[:4], rtol=1e-12)
    assert float(respired[0]) == pytest.approx(pools.sum() + inputs.sum() - expected[:4].sum(), rel=1e-11)


def test_frozen_soil_keeps_its_carbon(x64):
    modes = decay_modes(loess())
    pools = Pools(*jnp.ones((4, 1)))
    inputs = to_modes(pools, modes)
    after, respired = decay_year(pools, jnp.zeros(1), inputs, modes)
    np.testing.assert_allclose(np.ravel(after), 2.0, rtol=1e-13)
    assert abs(float(respired[0])) < 1e-12
    slope = jax.grad(lambda m: decay_year(pools, m, inputs, modes)[0].total.sum())(jnp.zeros(1))
    assert np.all(np.isfinite(slope)) and np.all(slope < 0.0)


def test_months_and_the_exact_year_agree_as_months_shrink(x64):
    pools, inputs = Pools(*jnp.ones((4, 1))), Pools(*jnp.full((4, 1), 0.5))
    modes = decay_modes(loess())
    exact = decay_year(pools, jnp.asarray([0.4]), to_modes(inputs, modes), modes)[0]
    gaps = []
    for parts in (120, 1200):
        months = jnp.full((parts, 1), 0.4 * 12.0 / parts)
        monthly = decay_months(pools, months, inputs.scaled(1.0 / parts), loess())[0]
        gaps.append(float(np.abs(np.ravel(monthly) - np.ravel(exact)).max()))
    assert gaps[1] < 0.12 * gaps[0] < 0.01


def weathering(**change):
    capacity = jnp.full(6, 5.0)
    base = Weathering(
        *(jnp.asarray(v) for v in (0.04, 0.02)), capacity, *(jnp.asarray(v) for v in (0.9, 0.2, 0.1, 0.01))
    )
    return base._replace(**{name: jnp.asarray(value) for name, value in change.items()})


@given(seed=st.integers(0, 1000), leaching=st.floats(0.0, 3.0), acid=st.floats(0.0, 40.0))
@settings(max_examples=40, deadline=None)
def test_pedogenesis_conserves_and_stays_in_range(seed, leaching, acid):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        before = Minerals(*(jnp.asarray(rng.uniform(0.0, 4.5, 6) * rng.integers(0, 2, 6)) for _ in range(5)))
        after, lost = weather_year(before, weathering(leaching=leaching, acid=acid))
        charge = [float((m.bases + m.weatherable).sum()) for m in (before, after)]
        assert charge[1] == pytest.approx(charge[0] + float(lost.calcite * CHARGE_OF_CALCITE - lost.bases), abs=1e-10)
        assert float(after.calcite.sum() + lost.calcite) == pytest.approx(float(before.calcite.sum()), abs=1e-12)
        clays = [float((m.clay_1_1 + m.clay_2_1).sum()) for m in (before, after)]
        assert clays[1] == pytest.approx(clays[0], abs=1e-12)
        assert all(np.all(row >= -1e-12) for row in after)
        assert np.all(after.bases <= np.maximum(before.bases, 4.5) + 1e-12)


def test_flux_binds_on_its_way_as_in_a_loop(x64):
    rng = np.random.default_rng(5)
    for _ in range(50):
        source, room = rng.uniform(0, 1, 8) * rng.integers(0, 2, 8), rng.uniform(0, 1, 8)
        flux, bound = 0.0, []
        for s, r in zip(source, room, strict=True):
            bound.append(min(flux + s, r))
            flux = flux + s - bound[-1]
        ours, drained = _bind_on_the_way(jnp.asarray(source), jnp.asarray(room))
        np.testing.assert_allclose(ours, bound, atol=1e-14)
        assert float(drained) == pytest.approx(flux, abs=1e-14)


def test_decalcification_takes_as_long_as_the_arithmetic_says(x64):
    """0.01 bar CO2 and 200 mm a year dissolve 41.7 g m-2: 40 cm of loess (48.3 kg m-2) last 1,159 years."""
    per_layer = 0.099 * 12.2 * 5.0
    state = Minerals(jnp.full(8, per_layer), jnp.full(8, 4.5), *(jnp.zeros(8),) * 3)
    rates = weathering(leaching=0.2 * 0.2085, acid=0.0)._replace(capacity=jnp.full(8, 5.0))

    def year(state, _):
        state, _ = weather_year(state, rates)
        return state, state.calcite.sum()

    _, left = jax.lax.scan(year, state, None, length=1200)
    assert int(np.argmax(np.asarray(left) <= 1e-9)) + 1 == pytest.approx(8 * per_layer / 0.0417, abs=1.0)


def test_temperature_wave_at_depth(x64):
    """One harmonic: damped by exp(-z/D), late by z/D; the mean stays."""
    angle = 2.0 * np.pi * np.arange(12) / 12.0
    deep = soil_temperature(
        jnp.asarray(10.0 - 12.0 * np.cos(angle)), jnp.asarray([0.0, 50.0, 200.0]), jnp.asarray(200.0)
    )
    for column, z in enumerate((0.0, 0.25, 1.0)):
        np.testing.assert_allclose(deep[:, column], 10.0 - 12.0 * np.exp(-z) * np.cos(angle - z), atol=1e-12)


def test_layers_by_thickness_and_by_bounds_are_the_same():
    one, two = make_layers((5.0, 10.0, 15.0)), make_layers(((0, 5), (5, 15), (15, 30)))
    np.testing.assert_array_equal(one.bottom, two.bottom)
    np.testing.assert_allclose(one.within(0.0, 10.0), [1.0, 0.5, 0.0])
    assert one.spread(10.0).sum() == pytest.approx(1.0)
