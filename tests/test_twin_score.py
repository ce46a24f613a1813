"""Scores and the drift alarm of a twin against simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ensemble.twin.alarm import evidence, watch
from ensemble.twin.score import archived_at, by_lead, rank_histogram, score_rows, summary

SERIES, LENGTH = 4_000, 60


def test_the_evidence_is_a_martingale():
    for length in (1, 2, 7, 20):
        counts = np.arange(length + 1)
        last = [evidence(np.repeat([1.0, 0.0], [k, length - k]))[-1] for k in counts]
        assert stats.binom.pmf(counts, length, 0.1) @ last == pytest.approx(1.0, abs=1e-12)


def test_false_alarms_stay_below_their_rate():
    rng = np.random.default_rng(0)
    outside = (rng.random((SERIES, LENGTH)) < 0.1).astype(float)
    alarms = np.mean([evidence(row).max() >= 20 for row in outside])
    assert 0.005 < alarms < 0.05  # below the rate, and the bound is not idle


def test_a_twin_that_is_wrong_is_found():
    rng = np.random.default_rng(1)
    outside = (rng.random((500, LENGTH)) < 0.5).astype(float)
    reached = np.stack([evidence(row) >= 20 for row in outside])
    assert reached.any(axis=1).mean() > 0.99
    assert np.median(reached.argmax(axis=1)) < 12


def rows(count, bias=0.0, seed=2):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "scenario": "a",
            "site": "s",
            "variable": "soc",
            "time": np.arange(count) * 1.0,
            "value": rng.normal(bias, 1, count),
            "error": 1.0,
        }
    )
    return table, rng.normal(size=(800, count))


def test_scores_of_a_sound_and_of_a_biased_forecast():
    table, draws = rows(2000)
    good = pd.DataFrame(score_rows([str(k) for k in range(2000)], table, draws))
    found = summary(good)
    assert found["in_90"] == pytest.approx(0.9, abs=0.025) and found["in_50"] == pytest.approx(0.5, abs=0.04)
    assert found["crps"] == pytest.approx(1 / np.sqrt(np.pi), abs=0.03)
    counts = rank_histogram(good)
    assert counts.sum() == 2000 and (np.abs(counts - 200) < 5 * np.sqrt(180)).all()
    table, draws = rows(40, bias=2.5)
    bad = pd.DataFrame(score_rows([str(k) for k in range(40)], table, draws))
    assert summary(bad)["bias"] == pytest.approx(-2.5, abs=0.5)
    assert rank_histogram(bad)[-1] > 25
    assert good["outside"].mean() == pytest.approx(2 * 40 / 801, abs=0.02)
    (alarm,) = watch(bad, 0.05)
    assert alarm.alarm and alarm.since < 15 and not watch(good.head(40), 0.05)[0].alarm


def test_archived_forecasts_are_read_between_their_dates():
    draws = np.array([[0.0, 10.0, 5.0], [2.0, 20.0, 5.0]])
    arrays = {
        "measured": draws,
        "row_time": np.array([2001.0, 2002.0, 2001.0]),
        "row_scenario": np.array(["a", "a", "b"]),
        "row_site": np.array(["s"] * 3),
        "row_variable": np.array(["soc"] * 3),
    }
    row = {"scenario": "a", "site": "s", "variable": "soc", "time": 2001.25}
    np.testing.assert_allclose(archived_at(arrays, row), [2.5, 6.5])
    assert archived_at(arrays, {**row, "time": 2003.0}) is None
    assert archived_at(arrays, {**row, "site": "t"}) is None


def test_lead_times_are_classes():
    table, draws = rows(30)
    scores = pd.DataFrame(score_rows([str(k) for k in range(30)], table, draws)).assign(
        lead=np.repeat([0.5, 4.0, 60.0], 10)
    )
    found = by_lead(scores)
    assert list(found["lead"]) == ["up to 1 years", "2 to 5 years", "over 50 years"] and list(found["n"]) == [
        10,
        10,
        10,
    ]
