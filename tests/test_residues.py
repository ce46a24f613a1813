"""Plant carbon from yields."""

import jax
import numpy as np
import pytest

from ensemble.models.base import BuildSettings
from ensemble.models.examples import example_inputs
from ensemble.models.registry import load_model
from ensemble.models.residues import carbon_from_yield

pytestmark = pytest.mark.usefixtures("x64")
RESIDUES = load_model("residues")
# Relative carbon allocation: product, straw, roots, released by roots (Bolinder et al. 2007).
ALLOCATION = {
    "barley": (0.451, 0.400, 0.090, 0.059),
    "oats": (0.319, 0.283, 0.241, 0.157),
    "grain maize": (0.386, 0.387, 0.138, 0.089),
    "soybean": (0.304, 0.455, 0.146, 0.095),
}


@pytest.mark.parametrize("crop", ALLOCATION)
def test_allocation_coefficients(crop):
    """Harvest index, shoot:root and the extra-root factor say the same as the four published coefficients."""
    product, straw, roots, released = ALLOCATION[crop]
    index, ratio = product / (product + straw), (product + straw) / roots
    crop = carbon_from_yield(5.0, 0.85, index, ratio, released / roots, 0.45, 0.0, 1.0)
    grain = 5.0 * 0.85 * 0.45
    assert float(crop.residues) == pytest.approx(grain * straw / product)
    assert float(crop.below_ground) == pytest.approx(grain * (roots + released) / product)


def test_defaults_are_barley():
    product, straw, roots, released = ALLOCATION["barley"]
    defaults = {spec.name: spec.default for spec in RESIDUES.inputs}
    assert defaults["harvest_index"] == pytest.approx(product / (product + straw), abs=5e-4)
    assert defaults["shoot_root_ratio"] == pytest.approx((product + straw) / roots, abs=5e-3)
    assert defaults["extra_root"] == pytest.approx(released / roots, abs=1e-2)


def test_series_follow_yield_and_shares():
    inputs = example_inputs(RESIDUES, years=3)
    inputs["grain_yield"] = np.repeat([4.0, 0.0, 8.0], 12)
    inputs["input_share"] = np.tile([0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0, 0, 0, 0, 0], 3)
    monthly, yearly = (RESIDUES.simulator(BuildSettings({}, steps))(inputs) for steps in (1, 12))
    year = carbon_from_yield(*(inputs[n] for n in (
        "grain_yield", "dry_matter", "harvest_index", "shoot_root_ratio", "extra_root", "carbon_content",
        "residue_removed", "root_share",
    )))  # fmt: skip
    total = (year.residues + year.below_ground)[::12]
    np.testing.assert_allclose(yearly["plant_carbon"], total)
    np.testing.assert_allclose(monthly["plant_carbon"][3:7], total[0] * np.array([0.1, 0.2, 0.3, 0.4]))
    assert yearly["plant_carbon"][1] == 0.0
    constant = RESIDUES.simulator(BuildSettings({}))(inputs | {"grain_yield": np.float64(4.0)})
    np.testing.assert_allclose(constant["plant_carbon"][:12], monthly["plant_carbon"][:12])


def test_removing_straw_leaves_roots():
    inputs = example_inputs(RESIDUES, years=1)
    simulate = jax.jit(RESIDUES.simulator(BuildSettings({}, 12)))
    kept, removed = (simulate(inputs | {"residue_removed": np.float64(part)}) for part in (0.0, 1.0))
    assert float(removed["residue_carbon"][0]) == 0.0
    np.testing.assert_allclose(removed["plant_carbon"], kept["below_ground_carbon"])
