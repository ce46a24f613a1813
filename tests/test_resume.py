"""Nothing is lost: a run that was killed goes on to the same bytes, and keeps what was finished."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from toy_models import STUDY, compiled_once, write_toy

from ensemble.errors import Stopped, StoreRefused
from ensemble.pipeline import load_plan, run_plan
from ensemble.pipeline.reporting import results_of
from ensemble.store import open_store, verify_store

HERE = Path(__file__).parent
SMALL_TILES = ["store.tile.members=16", "design.members=512"]


def run(study, store, *overrides):
    return run_plan(load_plan(study, overrides, None, None), store, quiet=True)


@pytest.mark.parametrize("members", ["keep", "drop"])
def test_killed_at_random_moments(tmp_path, members):
    study = write_toy(tmp_path)
    overrides = json.dumps([*SMALL_TILES, f"store.members={members}"])
    arguments = [str(study), str(tmp_path), overrides, "10", "7"]
    environment = os.environ | {"PYTHONPATH": str(HERE)} | compiled_once(tmp_path)
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_and_resume.py"), *arguments],
        env=environment, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    report = json.loads(done.stdout.splitlines()[-1])
    for store in report["stores"]:
        assert store["digest"] == report["digest"]
        assert store["lost"] == 0
    assert sum(store["killed"] for store in report["stores"]) == 10
    assert sum(store["kept"] for store in report["stores"]) > 0


def test_a_finished_store_is_not_touched(tmp_path):
    study, store = write_toy(tmp_path), tmp_path / "out.zarr"
    run(study, store)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    run(study, store)
    assert before == {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}


def test_another_study_is_refused(tmp_path):
    study, store = write_toy(tmp_path), tmp_path / "out.zarr"
    run(study, store)
    with pytest.raises(StoreRefused, match=r"design.seed: 3 -> 4"):
        run(study, store, "design.seed=4")


def test_damage_is_named_and_repaired(tmp_path):
    study, store = write_toy(tmp_path), tmp_path / "out.zarr"
    run(study, store, *SMALL_TILES)
    digest = open_store(store).digest()
    chunk = next(path for path in (store / "members" / "soc" / "c" / "3").rglob("*") if path.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 255
    chunk.write_bytes(bytes(data))
    assert any("members/soc" in str(d) and "tile 3" in str(d) for d in verify_store(store))
    run(study, store, *SMALL_TILES)
    assert not verify_store(store)
    assert open_store(store).digest() == digest


def test_plain_xarray_reads_it(tmp_path):
    study, store = write_toy(tmp_path), tmp_path / "out.zarr"
    run(study, store, "outputs.above={soc: [50.0]}")
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert tree.attrs["history"] == f"ensemble run {study.name} --set 'outputs.above={{soc: [50.0]}}'"
    soc = tree["members"]["soc"]
    assert soc.dims == ("member", "scenario", "site", "time")
    assert soc.attrs["units"] == "t ha-1" and "time: point" in soc.attrs["cell_methods"]
    assert str(soc.time.values[0])[:10] == "2000-12-31"
    np.testing.assert_allclose(tree["statistics"]["soc_mean"], soc.mean("member"), rtol=1e-6)


def test_too_many_failures_stop_the_run(tmp_path):
    text = write_toy(tmp_path).read_text()
    broken = text.replace(
        "decay_rate: {distribution: lognormal, median: 0.05, cv: 0.3}",
        "decay_rate: {distribution: normal, mean: 0.05, sd: 5000}",
    )
    (tmp_path / "study.yaml").write_text(broken)
    with pytest.raises(Stopped, match=r"members failed; most often an output is not finite"):
        run(tmp_path / "study.yaml", tmp_path / "out.zarr")
    result = run(tmp_path / "study.yaml", tmp_path / "tolerant.zarr", "execution.max_failed=1")
    assert result.failed > 0
    statistics = open_store(tmp_path / "tolerant.zarr").dataset("statistics")
    assert np.isfinite(statistics.soc_mean).all()
    assert int(statistics.members_failed.sum()) == result.failed
    store = open_store(tmp_path / "tolerant.zarr")
    members, inputs, listed = store.dataset("members"), store.dataset("inputs"), results_of(store).failures
    rows, sites = (places[:50] for places in np.nonzero(members.failed.values))
    assert len(rows) == len(listed) == 50 and listed.reason.str.contains("output").all()
    np.testing.assert_array_equal(listed.member, rows)
    np.testing.assert_array_equal(listed.decay_rate, inputs.decay_rate.values[rows])
    np.testing.assert_array_equal(listed.start, inputs.start.values[rows, sites])


def test_statistics_do_not_depend_on_keeping_members(tmp_path):
    study = write_toy(tmp_path)
    run(study, tmp_path / "kept.zarr", "design.members=2048", "outputs.above={soc: [50.0]}")
    run(study, tmp_path / "dropped.zarr", "design.members=2048", "outputs.above={soc: [50.0]}", "store.members=drop")
    kept, dropped = (open_store(tmp_path / f"{name}.zarr").dataset("statistics") for name in ("kept", "dropped"))
    for name in ("soc_mean", "soc_sd", "soc_mean_standard_error", "soc_probability_above"):
        np.testing.assert_array_equal(kept[name], dropped[name])
    gap = np.abs(kept.soc_quantile - dropped.soc_quantile)
    assert (gap <= dropped.soc_quantile_bin_error + 1e-9).all()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_a_long_compiled_call_at_once(tmp_path):
    study = write_toy(tmp_path)
    command = [sys.executable, "-c", "from ensemble.cli import main; main()", "run", str(study), "--out", str(tmp_path / "o.zarr"),
               "--set", "design.members=4000000", "--set", "store.members=drop"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True)
    for _ in range(600):
        time.sleep(0.1)
        if (tmp_path / "o.zarr").is_dir():
            break
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert time.monotonic() - started < 10
    assert "run the same command to go on" in errors


@pytest.mark.parametrize("members", ["keep", "drop"])
def test_statistics_in_blocks_of_sites_are_those_of_all_sites_at_once(tmp_path, monkeypatch, members):
    (tmp_path / "sites.csv").write_text("site,carbon\n" + "".join(f"field {i},{40 + i}\n" for i in range(7)))
    text = STUDY.replace("initial_carbon: 50", "initial_carbon: {column: carbon}") + "sites: sites.csv\n"
    study = write_toy(tmp_path, text)
    overrides = ["store.tile.sites=2", "design.members=32", f"store.members={members}", "outputs.above={soc: [50.0]}"]
    run(study, tmp_path / "at_once.zarr", *overrides)
    monkeypatch.setattr("ensemble.pipeline.statistics.BLOCK_BYTES", 1)
    run(study, tmp_path / "in_blocks.zarr", *overrides)
    whole, blocks = (
        open_store(tmp_path / f"{name}.zarr").dataset("statistics").load() for name in ("at_once", "in_blocks")
    )
    assert list(blocks.site.values) == [f"field {i}" for i in range(7)]
    xr.testing.assert_identical(whole, blocks)
    assert not verify_store(tmp_path / "in_blocks.zarr")
