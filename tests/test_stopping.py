"""Adaptive stopping: members are doubled until results are known well enough, and nothing else changes."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from test_products import CREDITS, POINTS

from ensemble.errors import InputError
from ensemble.pipeline import load_plan, plan_of_store, run_plan, work_plan
from ensemble.store import Claims, open_store, verify_store

STOP = """\
title: stop
model: stock
sites: sites.csv
inputs:
  soc_concentration: {column: soc}
  bulk_density: 1.3
  depth: 30
uncertain:
  soc_concentration: {as: factor, distribution: lognormal, median: 1, cv: 0.3, per: site}
  bulk_density: {distribution: normal, mean: 1.3, sd: 0.1}
  depth: {distribution: normal, mean: 30, sd: 1}
outputs: {variables: [soc_stock]}
design: {members: 64, seed: 5, stop: {mean: 1, max_members: 4096}}
"""
SITES = "site,soc\nA,12\nB,17\n"


def run(folder, text, name, **more):
    (folder / f"{name}.yaml").write_text(text)
    plan = load_plan(folder / f"{name}.yaml", (), None, None)
    return run_plan(plan, folder / f"{name}.zarr", quiet=True, **more), open_store(folder / f"{name}.zarr")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopping")
    (folder / "sites.csv").write_text(SITES)
    return folder, *run(folder, STOP, "stopped")


def test_members_are_doubled_until_the_mean_is_known(stopped):
    _, result, store = stopped
    statistics = store.dataset("statistics").load()
    reached = float(statistics["soc_stock_mean_standard_error"].max())
    assert result.members in (128, 256, 512, 1024, 2048)
    assert reached <= 1
    assert any("wanted 1" in line and "not reached" not in line for line in result.headline)
    assert store.dataset("members").sizes["member"] == result.members
    # one doubling less was not enough
    half, _ = run(stopped[0], STOP.replace("max_members: 4096", f"max_members: {result.members // 2}"), "half")
    assert half.members == result.members // 2
    assert any(f"not reached at max_members {half.members:,}" in line for line in half.headline)


def test_everything_is_that_of_a_run_with_this_number_from_the_start(stopped):
    folder, result, store = stopped
    text = STOP.replace(
        "{members: 64, seed: 5, stop: {mean: 1, max_members: 4096}}", f"{{members: {result.members}, seed: 5}}"
    )
    _, fixed = run(folder, text + "store: {tile: {members: 64}}\n", "fixed")
    assert fixed.digest() == store.digest()
    assert np.array_equal(fixed.dataset("members")["soc_stock"].values, store.dataset("members")["soc_stock"].values)
    assert verify_store(store.path) == []


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 3])
def test_a_killed_run_grows_to_the_same_store(stopped, tmp_path, after):
    """SIGKILL before the record of the longer stage is written, or before its metadata are; then the same command."""
    folder, result, store = stopped
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from ensemble.pipeline import load_plan, run_plan
        import ensemble.store.write as write
        real, calls = write.write_record, [0]
        def record(folder, entry):
            if entry.name == "members" and calls[0] == {after} // 2:
                if {after} % 2 == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(folder, entry)
                os.kill(os.getpid(), signal.SIGKILL)
            calls[0] += entry.name == "members"
            real(folder, entry)
        write.write_record = record
        run_plan(load_plan("{folder / "stopped.yaml"}", (), None, None), Path("{tmp_path / "out.zarr"}"), quiet=True)
    """)
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, env=os.environ, timeout=300)
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]
    again = run_plan(load_plan(folder / "stopped.yaml", (), None, None), tmp_path / "out.zarr", quiet=True)
    assert again.members == result.members
    assert open_store(tmp_path / "out.zarr").digest() == store.digest()
    assert verify_store(tmp_path / "out.zarr") == []


def test_workers_compute_the_length_that_is_there_and_run_goes_on(stopped, tmp_path):
    folder, result, store = stopped
    path = tmp_path / "out.zarr"
    plan = load_plan(folder / "stopped.yaml", (), None, None)
    assert work_plan(plan, path, Claims(path), quiet=True) == 1
    assert plan_of_store(path).members == 64
    assert run_plan(plan, path, quiet=True).members == result.members
    assert plan_of_store(path).members == result.members
    assert work_plan(plan, path, Claims(path), quiet=True) == 0
    assert open_store(path).digest() == store.digest()


@pytest.mark.slow
def test_members_that_are_not_kept_grow_too(stopped):
    folder, *_ = stopped
    text = (
        STOP.replace("mean: 1, max_members: 4096", "mean: 1, quantiles: 9, max_members: 1024") + "store: {members: drop"
    )
    first, dropped = run(folder, text + "}\n", "dropped")
    fixed = text.replace(", stop: {mean: 1, quantiles: 9, max_members: 1024}", "").replace("64", str(first.members))
    _, same = run(folder, fixed + ", tile: {members: 64}}\n", "dropped_fixed")
    assert first.members > 64
    assert same.digest() == dropped.digest()


@pytest.mark.slow
def test_stop_when_the_credited_amount_is_known(tmp_path):
    (tmp_path / "points.csv").write_text(POINTS)
    text = CREDITS.replace("{members: 64, seed: 2}", "{members: 64, seed: 2, stop: {credited: 0.012}}")
    result, store = run(tmp_path, text, "credits")
    assert result.members > 64
    assert float(store.dataset("credits")["credited_standard_error"]) <= 0.012
    assert any("credited amount" in line for line in result.headline)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{mean: 1, ", "{", "give mean, quantiles or credited"),
        ("{mean: 1", "{credited: 1", "the study has no credits"),
        ("{mean: 1", "{mean: 1, output: sog", "no output 'sog'"),
        ("max_members: 4096", "max_members: 32", "below the members to begin with"),
        ("{members: 64", "{type: monte_carlo, members: 48", "16 x a power of 2"),
        ("seed: 5, stop", "seed: 5, type: sweep, levels: {depth: [10, 20]}, stop", "has a fixed number of members"),
    ],
)
def test_wrong_stops_are_refused(stopped, tmp_path, old, new, message):
    assert old in STOP
    (tmp_path / "sites.csv").write_text(SITES)
    (tmp_path / "study.yaml").write_text(STOP.replace(old, new))
    with pytest.raises(InputError, match=message):
        load_plan(tmp_path / "study.yaml", (), None, None)
