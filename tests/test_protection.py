"""Table 1 of van der Meij and Finke, term by term."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble.models import protection
from ensemble.models.column.pedogenesis import metals_in_solution
from ensemble.models.hydraulics import water_content, wosten_retention


def test_table_1_limits(x64):
    assert protection.clay_modifier(jnp.asarray(0.0), jnp.asarray(3.0)) == pytest.approx(0.8, abs=1e-12)
    assert protection.clay_modifier(jnp.asarray(3.0), jnp.asarray(0.0)) == pytest.approx(1.0, abs=1e-12)
    assert protection.clay_modifier(jnp.asarray(0.0), jnp.asarray(0.0)) == 1.0
    assert protection.mooh_modifier(jnp.asarray(0.0)) == 1.0
    assert protection.mooh_modifier(jnp.asarray(0.0446)) == pytest.approx(0.8, abs=2e-4)
    assert protection.mooh_modifier(jnp.asarray(1.0)) == pytest.approx(0.8, abs=1e-12)
    assert protection.aggregation_modifier(jnp.asarray(1.0), jnp.asarray(0.0)) == pytest.approx(0.8, abs=1e-12)
    assert protection.aggregation_modifier(jnp.asarray(0.0), jnp.asarray(1.0)) == pytest.approx(0.8, abs=1e-12)
    # the loess's 9.9 % calcite alone would hardly protect: it is the bases that it holds
    assert protection.aggregation_modifier(jnp.asarray(0.0), jnp.asarray(0.099)) == pytest.approx(0.9802, abs=1e-12)
    assert protection.pore_modifier(jnp.asarray(0.4), jnp.asarray(0.4)) == pytest.approx(0.8, abs=1e-12)
    assert protection.pore_modifier(jnp.asarray(0.4), jnp.asarray(0.0)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("organic", "topsoil", "expected"),
    [(0.5, 1.0, 0.8938), (1.0, 1.0, 0.8909), (2.0, 1.0, 0.8856), (4.0, 1.0, 0.8765), (6.0, 1.0, 0.8689),
     (0.5, 0.0, 0.888), (4.0, 0.0, 0.871)],
)  # fmt: skip
def test_pores_of_loess(x64, organic, topsoil, expected):
    """16 % clay, 67 % silt, 1.22 g cm-3: modifier worked out by hand from Wosten et al. (1999)."""
    curve = wosten_retention(*(jnp.asarray(v) for v in (16.0, 67.0, organic, 1.22, topsoil)))
    modifier = protection.pore_modifier(water_content(curve, 20.0), water_content(curve, 600.0))
    assert float(modifier) == pytest.approx(expected, abs=6e-4)


def test_the_strongest_applies_and_the_smooth_minimum_stays_close(x64):
    rng = np.random.default_rng(3)
    modifiers = [jnp.asarray(v) for v in rng.uniform(0.8, 1.0, (4, 500))]
    exact = protection.strongest(modifiers)
    np.testing.assert_array_equal(exact, np.min(modifiers, axis=0))
    assert float(protection.strongest([])) == 1.0
    for width in (0.01, 0.001):
        smooth = protection.strongest(modifiers, width)
        assert np.all(smooth >= exact - 1e-15)
        assert np.max(smooth - exact) <= width * np.log(4.0) + 1e-15
    # equal modifiers share the gradient; the exact minimum would give it to one
    slopes = jax.grad(lambda d: protection.strongest(list(d), 0.01))(jnp.full(4, 0.9))
    np.testing.assert_allclose(slopes, 0.25, rtol=1e-12)


def test_metals_rise_as_bases_are_lost(x64):
    metals = metals_in_solution(jnp.linspace(0.0, 1.0, 11))
    assert np.all(np.diff(metals) < 0.0)
    # gibbsite alone at pH 5: log Al = 8.04 - 15
    assert float(metals_in_solution(jnp.asarray(0.25))) == pytest.approx(1e3 * 10.0**-6.96, rel=1e-6)
