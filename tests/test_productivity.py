"""Net primary production against worked values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble.models.productivity import PRODUCTIVITY, miami, nceas, schuur


def test_worked_values(x64):
    """Miami at 600 mm and 11 degC is limited by water, at 1000 mm and 10 degC by heat (0.45 C in dry matter)."""
    at = jnp.asarray
    assert float(miami(at(11.0), at(600.0))) == pytest.approx(4.44, abs=0.01)
    assert float(miami(at(10.0), at(1000.0))) == pytest.approx(6.33, abs=0.02)
    assert float(schuur(at(25.0), at(600.0))) == pytest.approx(0.005215 * 600**1.12363 / np.exp(0.000459532 * 600))
    assert float(nceas(at(25.0), at(600.0))) == pytest.approx(0.00551 * 600**1.055 / np.exp(0.000306 * 600))


@pytest.mark.parametrize("name", sorted(PRODUCTIVITY))
def test_grows_with_heat_and_water_and_is_safe_in_the_desert(x64, name):
    model = PRODUCTIVITY[name]
    heat = jnp.linspace(-20.0, 25.0, 40)
    assert np.all(np.diff(jax.vmap(lambda t: model(t, jnp.asarray(900.0)))(heat)) >= 0.0)
    assert np.all(np.diff(jax.vmap(lambda p: model(jnp.asarray(15.0), p))(jnp.linspace(0.0, 1500.0, 40))) >= 0.0)
    assert float(model(jnp.asarray(15.0), jnp.asarray(0.0))) == 0.0
    slope = jax.grad(lambda p: model(jnp.asarray(15.0), p))(0.0)
    assert np.isfinite(slope)
