"""Members, sites and scenarios: what must not change a number, and what must."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_models
from toy_models import STUDY, write_toy

from ensemble.config import load_study
from ensemble.linearise import linearise
from ensemble.plan import make_plan
from ensemble.propagate import BUDGET_OPEN, NOT_FINITE, OUTSIDE_SUPPORT, propagate

SITES = "site,carbon\nnorth,40\nsouth,60\nwest,80\n"
WITH_SITES = STUDY.replace("model:", "sites: sites.csv\nmodel:").replace("carbon: 50", "carbon: {column: carbon}")


def plan_of(folder, text=STUDY, overrides=()):
    (folder / "sites.csv").write_text(SITES)
    return make_plan(load_study(write_toy(folder, text), overrides))


def members_of(plan, order=None):
    """All outputs of a plan, assembled from its tiles, with failures and draws."""
    tiles = range(plan.tiling.count) if order is None else order
    soc = np.full((plan.members, len(plan.scenarios), len(plan.sites), plan.record_count), np.nan)
    failed = np.zeros((plan.members, len(plan.sites)), dtype=int)
    for result in propagate(plan, tiles):
        tile = result.tile
        rows = slice(tile.first_member, tile.first_member + tile.members)
        columns = slice(tile.first_site, tile.first_site + tile.sites)
        soc[rows, :, columns] = result.outputs["soc"]
        failed[rows, columns] = result.failed
    return soc, failed


def test_order_of_tiles_changes_nothing(tmp_path):
    plan = plan_of(tmp_path, WITH_SITES, ["store.tile.members=32", "store.tile.sites=2"])
    assert plan.tiling.blocks == (4, 2)
    forward, _ = members_of(plan)
    backward, _ = members_of(plan, reversed(range(plan.tiling.count)))
    np.testing.assert_array_equal(forward, backward)


@pytest.mark.parametrize("shape", [(16, 1), (48, 3), (128, 2)])
def test_tile_shape_changes_only_the_last_bits(tmp_path, shape):
    whole, _ = members_of(plan_of(tmp_path, WITH_SITES))
    sets = [f"store.tile.members={shape[0]}", f"store.tile.sites={shape[1]}"]
    cut, _ = members_of(plan_of(tmp_path, WITH_SITES, sets))
    np.testing.assert_allclose(cut, whole, rtol=16 * np.finfo(np.float32).eps)


def test_a_longer_design_only_appends(tmp_path):
    short, _ = members_of(plan_of(tmp_path))
    long, _ = members_of(plan_of(tmp_path, overrides=["design.members=512", "store.tile.members=128"]))
    np.testing.assert_array_equal(long[:128], short)


def test_scenarios_share_every_draw(tmp_path):
    same = STUDY.replace("{inputs: {plant_carbon: 0.3}}", "{inputs: {plant_carbon: 0.2}}")
    soc, _ = members_of(plan_of(tmp_path, same))
    np.testing.assert_array_equal(soc[:, 0], soc[:, 1])


def test_sites_differ_only_where_they_should(tmp_path):
    text = WITH_SITES.replace("{column: carbon}", "50")
    soc, _ = members_of(plan_of(tmp_path, text))
    assert np.abs(np.corrcoef(soc[:, 0, :, 0].T) - np.eye(3))[~np.eye(3, dtype=bool)].max() < 0.4
    shared, _ = members_of(plan_of(tmp_path, text.replace(", per: site", "")))
    np.testing.assert_array_equal(shared[:, :, 0], shared[:, :, 2])


def test_a_new_seed_gives_new_members_and_the_old_one_the_old(tmp_path):
    one, _ = members_of(plan_of(tmp_path, overrides=["design.seed=0"]))
    again, _ = members_of(plan_of(tmp_path, overrides=["design.seed=0"]))
    other, _ = members_of(plan_of(tmp_path, overrides=["design.seed=1"]))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


def test_closed_form(tmp_path):
    """Without noise the pool follows a geometric series."""
    text = STUDY.replace(
        "  weather: {input: plant_carbon, as: factor, distribution: lognormal, cv: 0.5, autocorrelation: 0.3}\n", ""
    )
    plan = plan_of(tmp_path, text, ["precision=float64"])
    soc, _ = members_of(plan)
    draws = plan.draws(np.arange(plan.members), np.arange(1))
    kept = np.exp(-draws["decay_rate"][:, 0] / 12)
    months = 12 * np.arange(1, 6)[:, None]
    expected = 50 * draws["start"][:, 0] * kept**months + 0.2 * (1 - kept**months) / (1 - kept)
    np.testing.assert_allclose(soc[:, 0, 0], expected.T, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("decay_rate: {distribution: normal, mean: 0.05, sd: 500}", NOT_FINITE),
        ("initial: {input: leak, distribution: uniform, minimum: 1.0e+13, maximum: 1.0e+15}", BUDGET_OPEN),
    ],
)
def test_failures_have_reasons(tmp_path, change, reason):
    text = STUDY.replace("decay_rate: {distribution: lognormal, median: 0.05, cv: 0.3}", change)
    _, failed = members_of(plan_of(tmp_path, text))
    assert (failed == reason).any()


def test_leaving_the_support_is_a_failure(tmp_path):
    text = STUDY.replace("model:", "options: {law: linear}\nmodel:").replace(
        "median: 0.05, cv: 0.3", "median: 12, cv: 0.3"
    )
    soc, failed = members_of(plan_of(tmp_path, text, ["outputs.frequency=monthly"]))
    assert set(np.unique(failed)) == {0, OUTSIDE_SUPPORT}
    np.testing.assert_array_equal(failed[:, 0] > 0, (soc < 0).any(axis=(1, 2, 3)))


def test_derived_inputs_are_recomputed_for_every_member(tmp_path):
    text = STUDY.replace("plant_carbon: 0.2", "plant_carbon: {model: my_model.py:YIELD}\n  grain_yield: 0.4")
    text = text.replace("improved: {inputs: {plant_carbon: 0.3}}", "improved: {inputs: {grain_yield: 0.6}}")
    plain, _ = members_of(plan_of(tmp_path))
    derived, _ = members_of(plan_of(tmp_path, text))
    np.testing.assert_allclose(derived, plain, rtol=1e-6)
    uncertain = text.replace(
        "uncertain:", "uncertain:\n  carbon_share: {distribution: uniform, minimum: 0.4, maximum: 0.6}"
    )
    assert members_of(plan_of(tmp_path, uncertain))[0].std(axis=0).min() > derived.std(axis=0).min()


def test_options_can_be_structural_uncertainty(tmp_path):
    text = STUDY.replace(
        "uncertain:", "uncertain:\n  law: {input: options.law, distribution: discrete, values: [exponential, linear]}"
    )
    plan = plan_of(tmp_path, text)
    soc, _ = members_of(plan)
    codes = plan.draws(np.arange(plan.members), np.arange(1))["law"][:, 0].astype(bool)
    assert 0.4 < codes.mean() < 0.6
    for law, chosen in (("exponential", ~codes), ("linear", codes)):
        text_of_law = text.replace("values: [exponential, linear]", f"values: [{law}]")
        np.testing.assert_allclose(soc[chosen], members_of(plan_of(tmp_path, text_of_law))[0][chosen], rtol=1e-6)


def test_one_compilation_for_all_tiles(tmp_path):
    plan = plan_of(tmp_path, overrides=["store.tile.members=16"])
    before = len(toy_models.traces)
    members_of(plan)
    assert len(toy_models.traces) == before + 1


def test_delta_sd_agrees_where_the_model_is_nearly_linear(tmp_path):
    text = STUDY.replace("cv: 0.3}", "cv: 0.03}").replace("cv: 0.1,", "cv: 0.01,").replace("cv: 0.5,", "cv: 1.0e-6,")
    text = text.replace(", per: site", "")  # quasi-random: its sampling error is far below a per cent
    plan = plan_of(tmp_path, text, ["precision=float64", "design.members=1024"])
    soc, _ = members_of(plan)
    flat = linearise(plan)
    moved = flat.jacobian["soc"][:, 0, 0] * flat.sd[:, :1]
    first_order = np.sqrt(np.einsum("it,ij,jt->t", moved, flat.correlation, moved))
    np.testing.assert_allclose(first_order, soc[:, 0, 0].std(axis=0), rtol=0.01)


def test_two_devices_give_the_same_members(tmp_path):
    plan = plan_of(tmp_path, overrides=["store.tile.members=16"])
    here, _ = members_of(plan)
    code = (
        "import sys, numpy as np; sys.path.insert(0, sys.argv[2])\n"
        "import jax; assert len(jax.devices()) == 2\n"
        "from ensemble.config import load_study; from ensemble.plan import make_plan\n"
        "from ensemble.propagate import propagate\n"
        "plan = make_plan(load_study(sys.argv[1], ['store.tile.members=16']))\n"
        "soc = np.concatenate([r.outputs['soc'] for r in propagate(plan, range(plan.tiling.count))])\n"
        "np.save(sys.argv[3], soc)\n"
    )
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    arguments = [str(tmp_path / "study.yaml"), str(Path(__file__).parent), str(tmp_path / "soc.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], env=env, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "soc.npy"), here)


def test_designs_that_set_inputs(tmp_path):
    text = (
        STUDY[: STUDY.index("uncertain:")]
        + "design:\n  type: factorial\n  levels: {decay_rate: [0.02, 0.05], initial_carbon: [40, 50, 60]}\n"
    )
    plan = plan_of(tmp_path, text)
    soc, failed = members_of(plan)
    assert plan.members == 6 and not failed.any()
    kept = np.exp(-0.02 / 12)
    assert soc[2, 0, 0, 0] == pytest.approx(60 * kept**12 + 0.2 * (1 - kept**12) / (1 - kept), rel=1e-5)
    errors = text.replace(
        "type: factorial\n  levels: {decay_rate: [0.02, 0.05], initial_carbon: [40, 50, 60]}",
        "type: half_range\n  errors: {initial_carbon: 10}",
    )
    low, high = members_of(plan_of(tmp_path, errors))[0][1:, 0, 0, 0]
    assert (high - low) / 2 == pytest.approx(10 * np.exp(-0.05), rel=1e-5)
