"""Weather of the past in a study: whole years resampled, or one realization a member, alike at all sites."""

import numpy as np
import pytest
from test_propagate import SITES, members_of
from toy_models import STUDY, write_toy

from ensemble.config import load_study
from ensemble.errors import InputError
from ensemble.plan import make_plan

NOISE = "weather: {input: plant_carbon, as: factor, distribution: lognormal, cv: 0.5, autocorrelation: 0.3}"
LEVELS = {2001: 0.1, 2002: 0.2, 2003: 0.4, 2004: 0.8}


def plan_of(folder, entry, history):
    (folder / "sites.csv").write_text(SITES)
    (folder / "history.csv").write_text(history)
    text = STUDY.replace(NOISE, f"weather: {entry}").replace("model:", "sites: sites.csv\nmodel:")
    text = text.replace("  decay_rate: {distribution: lognormal, median: 0.05, cv: 0.3}\n", "")
    text = text.replace(
        "  start: {input: initial_carbon, as: factor, distribution: lognormal, median: 1, cv: 0.1, per: site}\n", ""
    )
    return make_plan(load_study(write_toy(folder, text)))


def years(levels=LEVELS):
    rows = [f"{year},{month},{level}" for year, level in levels.items() for month in range(1, 13)]
    return "\n".join(["year,month,plant_carbon", *rows]) + "\n"


def gains(soc):
    """Plant carbon that arrived in each year, from the stock and the known decay."""
    kept = np.exp(-0.05 / 12)
    before = np.concatenate([np.full((*soc.shape[:-1], 1), 50.0), soc[..., :-1]], axis=-1)
    return (soc - before * kept**12) * (1 - kept) / (1 - kept**12)


def test_whole_years_are_resampled_alike_everywhere(tmp_path):
    soc, failed = members_of(plan_of(tmp_path, "{weather: years, file: history.csv}", years()))
    assert not failed.any()
    arrived = gains(soc[:, 0, 0])
    nearest = np.array(list(LEVELS.values()))[np.abs(arrived[..., None] - list(LEVELS.values())).argmin(-1)]
    np.testing.assert_allclose(arrived, nearest, rtol=2e-2)
    shares = [(nearest == level).mean() for level in LEVELS.values()]
    assert max(shares) < 0.4 and min(shares) > 0.1
    np.testing.assert_array_equal(soc[:, :, 0], soc[:, :, 2])  # coherent across sites
    np.testing.assert_array_equal(soc[:, 0], soc[:, 1])  # and scenarios


def test_blocks_keep_neighbours_together(tmp_path):
    soc, _ = members_of(plan_of(tmp_path, "{weather: years, file: history.csv, block: 4}", years()))
    arrived = gains(soc[:, 0, 0])
    ratio = arrived[:, 1:4] / arrived[:, :3]
    np.testing.assert_allclose(np.minimum(np.abs(ratio - 2), np.abs(ratio - 0.125)), 0, atol=0.1)


def test_a_realization_is_taken_whole(tmp_path):
    rows = [f"{name},{year},{month},{level}" for name, level in (("dry", 0.1), ("wet", 0.4)) for year in range(2000, 2005)
            for month in range(1, 13)]  # fmt: skip
    history = "\n".join(["realization,year,month,plant_carbon", *rows]) + "\n"
    soc, _ = members_of(plan_of(tmp_path, "{weather: realization, file: history.csv}", history))
    arrived = gains(soc[:, 0, 0])
    assert np.ptp(arrived, axis=1).max() < 0.02
    assert 0.3 < (arrived[:, 0] > 0.25).mean() < 0.7


@pytest.mark.parametrize(
    ("entry", "history", "words"),
    [
        ("{weather: years, file: history.csv, block: 9}", years(), "9 years do not fit into a history of 4"),
        ("{weather: years, file: history.csv}", years().replace("2002,3,0.2\n", ""), "whole years"),
        ("{weather: years, file: history.csv}", years().replace("plant_carbon", "rain"), "no column is a driver"),
        ("{weather: years, file: history.csv}", years().replace("2002,3,0.2", "2002,3,-1"), "history.csv:16"),
        ("{weather: realization, file: history.csv}", years(), "the column 'realization' is missing"),
    ],
)
def test_a_wrong_history_is_refused(tmp_path, entry, history, words):
    with pytest.raises(InputError, match=words):
        plan_of(tmp_path, entry, history)
