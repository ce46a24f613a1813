"""What a linear RothC can and cannot say about credits and the error of the initial stock (Zhou et al. 2023)."""

from pathlib import Path

import numpy as np
import pytest

from ensemble.config import load_study
from ensemble.plan import make_plan
from ensemble.propagate import propagate

CONFIGS = Path(__file__).parents[1] / "configs"


def stocks(name):
    """Stocks of the half-range members, (member, scenario, site, year), and the plan, in nine made-up counties."""
    sites = CONFIGS / "data" / "midwest_nine.csv"
    plan = make_plan(load_study(CONFIGS / f"{name}.yaml", [f"sites={sites}"]))
    return next(propagate(plan, [0])).outputs["soc"], plan


def gains(soc):
    """Gain of the cover crop over the run, (member, site), t C/ha."""
    return soc[:, 1, :, -1] - soc[:, 0, :, -1]


def test_fixed_extra_carbon_gains_the_same_on_any_stock_and_density():
    soc, _ = stocks("midwest_credits_fixed")
    assert soc[:, 0, :, 0].std(axis=0).min() > 5
    assert np.ptp(gains(soc), axis=0).max() < 1e-10
    assert gains(soc).min() > 1


def test_a_percentage_of_inferred_input_gains_in_proportion_to_the_active_stock():
    soc, plan = stocks("midwest_credits_percentage")
    gain, table = gains(soc), plan.base.sites.table
    carbon, density = table.numbers("soc_percent"), table.numbers("bulk_density")
    base, high = carbon * density * 30, (carbon + 0.77) * density * 30
    active = (high - 0.049 * high**1.139) / (base - 0.049 * base**1.139)
    np.testing.assert_allclose(gain[2] / gain[0], active, rtol=1e-10)


def test_declared_feedbacks_let_a_little_of_the_error_through():
    soc, _ = stocks("midwest_credits_feedback")
    gain, change = gains(soc), soc[:, 0, :, -1] - soc[:, 0, :, 0]
    credit, budget = (abs(y[2] - y[1]) / 2 for y in (gain, change))
    assert 1e-3 < credit.mean() / budget.mean() < 0.1
    switched_off = ["inputs.productivity_strength=0", "inputs.pores_strength=0"]
    sites = CONFIGS / "data" / "midwest_nine.csv"
    plan = make_plan(load_study(CONFIGS / "midwest_credits_feedback.yaml", [f"sites={sites}", *switched_off]))
    assert np.ptp(gains(next(propagate(plan, [0])).outputs["soc"]), axis=0).max() < 1e-10


@pytest.mark.parametrize("name", ["midwest_sources", "midwest_sweep", "midwest_uncertainty"])
@pytest.mark.filterwarnings("ignore::ensemble.errors.SuspiciousInput")
def test_the_other_experiments_bind(name):
    plan = make_plan(load_study(CONFIGS / f"{name}.yaml"))
    assert plan.members >= 1
    expected = {"midwest_sources": (410, 4), "midwest_sweep": (9, 1), "midwest_uncertainty": (293, 1)}[name]
    assert (len(plan.sites), len(plan.scenarios)) == expected
