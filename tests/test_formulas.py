"""Formulas of one line, against published values, closed forms and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble.models import linear
from ensemble.models.base import BuildSettings
from ensemble.models.examples import example_inputs
from ensemble.models.hydraulics import water_content, wosten_retention
from ensemble.models.initial_pools import falloon_iom, pedotransfer_pools
from ensemble.models.radiocarbon import delta14c
from ensemble.models.registry import load_model

pytestmark = pytest.mark.usefixtures("x64")


def evaluate(name, inputs, **options):
    model = load_model(name)
    return model.simulator(BuildSettings(model.default_options() | options))(example_inputs(model) | inputs)


def test_stock():
    """30 cm of 13 g/kg at 1.3 g cm-3 without stones: 0.3 m x 1300 kg m-3 x 0.013 = 5.07 kg m-2."""
    layer = {"soc_concentration": 13.0, "bulk_density": 1.3, "depth": 30.0, "coarse_fragments": 0.0}
    assert float(evaluate("stock", layer)["soc_density"]) == pytest.approx(5.07)
    assert float(evaluate("stock", layer)["soc_stock"]) == pytest.approx(50.7)
    assert float(evaluate("stock", layer | {"coarse_fragments": 20.0})["soc_density"]) == pytest.approx(0.8 * 5.07)


def test_saturation():
    """Eqs 3 and 4 of Wang et al.; they cross at 49.5 % fine particles."""
    layer = {"soc_concentration": 13.0, "bulk_density": 1.3, "depth": 30.0, "coarse_fragments": 0.0}
    for fine in (20.0, 67.0):
        printed = evaluate("saturation", layer | {"silt_and_clay": fine})
        assert float(printed["saturation_hassink"]) == pytest.approx(0.39 * (4.09 + 0.37 * fine))
        assert float(printed["saturation_elustondo"]) == pytest.approx(0.39 * (9.04 + 0.27 * fine))
        assert float(printed["potential_hassink"]) == pytest.approx(0.39 * (4.09 + 0.37 * fine - 13.0))
        swapped = evaluate("saturation", layer | {"silt_and_clay": fine}, reading="labels_swapped")
        for name in ("saturation", "potential"):
            assert swapped[f"{name}_hassink"] == printed[f"{name}_elustondo"]
            assert swapped[f"{name}_elustondo"] == printed[f"{name}_hassink"]
        assert swapped["potential_mean"] == printed["potential_mean"]
        each = [float(printed[f"potential_{name}"]) for name in ("hassink", "elustondo")]
        assert float(printed["potential_weighted"]) == pytest.approx((0.75 * each[0] + 0.74 * each[1]) / 1.49)
        alone = evaluate("saturation", layer | {"silt_and_clay": fine, "hassink_share": 0.0})
        assert alone["potential_weighted"] == printed["potential_elustondo"]
    crossing = evaluate("saturation", layer | {"silt_and_clay": 49.5})
    assert float(crossing["saturation_hassink"]) == pytest.approx(float(crossing["saturation_elustondo"]))
    rich = evaluate("saturation", layer | {"silt_and_clay": 10.0, "soc_concentration": 60.0})
    assert float(rich["potential_hassink"]) < 0.0  # above saturation: the sign is kept


def test_inert_carbon_and_pools_of_a_measured_stock():
    """Falloon: 33.8 t C/ha holds 2.70 inert; Weihermueller at 23.4 % clay: 4.41, 26.15 and 0.585 of it."""
    assert float(falloon_iom(33.8)) == pytest.approx(2.70, abs=5e-3)
    assert float(falloon_iom(0.0)) == 0.0
    assert np.isfinite(jax.grad(falloon_iom)(0.0))
    assert float(evaluate("falloon_iom", {"soc_measured": 33.8})["iom"]) == pytest.approx(2.70, abs=5e-3)
    generous = pedotransfer_pools(33.8, 0.0, 23.4)
    np.testing.assert_allclose(generous[1:], [4.41, 0.585, 26.15], rtol=2e-3)
    assert float(generous.total) == pytest.approx(33.8)
    scarce = pedotransfer_pools(33.8, 2.70, 23.4)
    assert float(scarce.dpm) == 0.0
    assert float(scarce.total) == pytest.approx(33.8 - 2.70)
    assert float(scarce.rpm / scarce.hum) == pytest.approx(float(generous.rpm / generous.hum))


def test_retention():
    """The worked example of the continuous functions, and the loess of van der Meij and Finke."""
    example = wosten_retention(25.0, 15.0, 4.5, 1.124447)
    np.testing.assert_allclose(
        [example.saturated, example.alpha, example.n], [0.5098983, 0.05413231, 1.169909], rtol=2e-6
    )
    loess = wosten_retention(16.0, 67.0, 2.0, 1.22)
    np.testing.assert_allclose([loess.saturated, loess.alpha, loess.n], [0.4864, 0.01983, 1.2511], rtol=5e-4)
    np.testing.assert_allclose([water_content(loess, h) for h in (20.0, 600.0)], [0.4609, 0.2635], atol=5e-5)


def test_radiocarbon_limits():
    """Modern carbon is 0 permil; carbon of 50,000 years is -998.02; half as active is one half-life old."""
    assert float(delta14c(jnp.float64(1.0), jnp.float64(1.0), jnp.float64(0.0))) == pytest.approx(0.0)
    assert float(delta14c(jnp.float64(0.0), jnp.float64(0.0), jnp.float64(1.0))) == pytest.approx(-998.02, abs=5e-3)
    half = delta14c(jnp.float64(1.0), jnp.float64(0.5), jnp.float64(0.0))
    assert float(half) == pytest.approx(1000.0 * (np.exp(-5568.0 / 8035.0) - 1.0))


def test_affine_maps():
    rng = np.random.default_rng(3)
    maps = linear.Affine(jnp.asarray(rng.uniform(0, 0.24, (5, 4, 4))), jnp.asarray(rng.uniform(size=(5, 4))))
    start = jnp.asarray(rng.uniform(size=4))
    pools, each = start, []
    for matrix, offset in zip(*maps, strict=True):
        pools = matrix @ pools + offset
        each.append(pools)
    np.testing.assert_allclose(linear.trajectory(maps, start), np.array(each), rtol=1e-13)
    whole = linear.compose_all(maps)
    np.testing.assert_allclose(linear.apply(whole, start), pools, rtol=1e-13)
    settled = linear.fixed_point(whole)
    np.testing.assert_allclose(linear.apply(whole, settled), settled, rtol=1e-13)
    np.testing.assert_allclose(linear.apply(linear.repeat(whole, 200), start), settled, rtol=1e-12)
    three = linear.compose(linear.compose(whole, whole), whole)
    np.testing.assert_allclose(linear.repeat(whole, 3).matrix, three.matrix, rtol=1e-13)
    np.testing.assert_allclose(linear.repeat(whole, 0).matrix, np.eye(4))
    with pytest.raises(ValueError, match="-1 times"):
        linear.repeat(whole, -1)
