"""Simulation-based calibration: the band, the command, and (slow) 1,000 data sets and the planted faults."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from line_study import folder
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.inference.calibration.simulated import Effort, Ranks, band

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_the_band_is_left_by_one_set_of_quantities_in_a_hundred():
    rng, names = np.random.default_rng(1), tuple("abcd")
    outside = [bool(Ranks(names, rng.integers(0, 50, (200, 4)), 49).outside()) for _ in range(400)]
    assert sum(outside) <= 11  # 99.9 % of binomial(400, 0.01) is at most 11
    _, low, high = band(200, 4, 49, 0.5)
    wide = band(200, 4, 49, 0.99)
    assert (wide[1] <= low).all() and (wide[2] >= high).all()


def test_ranks_of_a_wrong_posterior_leave_the_band():
    rng = np.random.default_rng(2)
    truth, draws = rng.normal(size=(1000, 1)), rng.normal(size=(1000, 99))
    for wrong in (0.8 * draws, draws + 0.2, np.abs(draws)):
        ranks = (wrong < truth).sum(axis=1)[:, None]
        assert Ranks(("x",), ranks, 99).outside() == ("x",)


def test_a_study_is_checked_by_the_command(tmp_path):
    study = folder(tmp_path)
    result = CliRunner().invoke(
        app, ["calibrate", str(study), "--simulations", "100", "--out", str(tmp_path / "o.zarr")]
    )
    assert result.exit_code == 0, result.output
    assert "ranks of all 4 quantities are uniform" in result.output
    assert (tmp_path / "o.simulated.html").stat().st_size > 10_000
    assert not (tmp_path / "o.zarr").exists()


@pytest.mark.slow
def test_a_thousand_simulated_data_sets_and_the_planted_faults(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    benchmark = importlib.import_module("simulated_calibration")
    found = benchmark.run(1000, benchmark.FAULT_SETS, Effort())
    good = found.pop("as it is")
    assert len(good.ranks) == 1000 and len(good.names) == 15
    assert not good.outside()
    assert len(found) >= 10
    assert all(ranks.outside() for ranks in found.values())
