"""Workers that share a store: any number of them, in any order, end with the bytes of one run."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from toy_models import compiled_once, write_toy

from ensemble.errors import StoreRefused
from ensemble.pipeline import load_plan, plan_of_store, run_plan, work_plan
from ensemble.store import Claims, open_store, read_claims
from ensemble.store.place import beside

HERE = Path(__file__).parent
OVERRIDES = ["store.tile.members=16", "design.members=256"]
DROPPED = [*OVERRIDES, "store.members=drop"]


def plan_in(folder, overrides=OVERRIDES):
    return load_plan(write_toy(folder), overrides, None, None)


def test_any_number_of_workers_ends_with_the_bytes_of_one_run(tmp_path):
    arguments = [str(write_toy(tmp_path)), str(tmp_path), json.dumps(DROPPED), json.dumps([1, 2, 4])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    environment |= compiled_once(tmp_path)
    done = subprocess.run(
        [sys.executable, str(HERE / "many_workers.py"), *arguments],
        env=environment, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    report = json.loads(done.stdout.splitlines()[-1])
    for number, store in report["stores"].items():
        assert store["digest"] == report["local"], number
        assert store["missing"] == 0
        assert sum(store["counts"]) >= 16  # a tile may be computed twice, never less than once
    assert not list(tmp_path.glob("*.claims"))


def test_the_study_comes_from_the_store(tmp_path):
    plan, store = plan_in(tmp_path), tmp_path / "out.zarr"
    run_plan(plan, tmp_path / "local.zarr", quiet=True)
    work_plan(plan, store, Claims(store), quiet=True)
    (tmp_path / "study.yaml").write_text("no study any more")
    again = plan_of_store(store)
    assert again.study.resolved() == plan.study.resolved()
    run_plan(again, store, quiet=True)
    assert open_store(store).digest() == open_store(tmp_path / "local.zarr").digest()


def test_a_worker_of_another_study_or_platform_is_refused(tmp_path, monkeypatch):
    small = ["design.members=64"]
    plan, store = plan_in(tmp_path, small), tmp_path / "out.zarr"
    work_plan(plan, store, Claims(store), quiet=True)
    with pytest.raises(StoreRefused, match=r"design.seed: 3 -> 4"):
        work_plan(plan_in(tmp_path, [*small, "design.seed=4"]), store, Claims(store), quiet=True)
    monkeypatch.setattr("ensemble.provenance.instruction_set", lambda: "abacus")
    with pytest.raises(StoreRefused, match=r"begun on another platform \(instructions: \w+ -> abacus\)"):
        work_plan(plan, store, Claims(store), quiet=True)


def test_sigterm_gives_the_claims_back(tmp_path):
    study, store = write_toy(tmp_path), tmp_path / "out.zarr"
    settings = ["--set", "store.tile.members=16", "--set", "design.members=65536"]
    command = [sys.executable, "-c", "from ensemble.cli import main; main()", "work", str(store), "--study", str(study)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    worker = subprocess.Popen([*command, *settings], stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + 120
    while not (store.is_dir() and len(open_store(store).entries("members")) > 2) and time.monotonic() < end:
        time.sleep(0.2)
    assert read_claims(store)
    started = time.monotonic()
    worker.terminate()
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 3 and "run the same command to go on" in errors
    assert time.monotonic() - started < 10
    assert not read_claims(store)


def test_without_a_store_or_a_note_the_message_says_what_to_add(tmp_path):
    with pytest.raises(StoreRefused, match="add --study FILE to begin it"):
        plan_of_store(tmp_path / "nothing.zarr")
    plan, store = plan_in(tmp_path, ["design.members=64"]), tmp_path / "out.zarr"
    work_plan(plan, store, Claims(store), quiet=True)
    beside(store, "study").unlink()
    with pytest.raises(StoreRefused, match="add --study FILE"):
        plan_of_store(store)


class TestClaims:
    def take(self, claims, tiles):
        return list(claims.take("members", tiles, lambda tile: tile == 9))

    def test_a_tile_is_given_once_and_a_finished_one_never(self, tmp_path):
        first, second = Claims(tmp_path / "s.zarr"), Claims(tmp_path / "s.zarr")
        assert self.take(first, [1, 2, 9]) == [1, 2]
        assert self.take(second, [1, 2, 3, 9]) == [3]
        first.release("members", 1)
        assert self.take(second, [1, 2]) == [1]
        second.release_all()
        assert [c.tile for c in read_claims(tmp_path / "s.zarr")["members"]] == [2]

    def test_no_claim_is_made_after_the_last_was_given_back(self, tmp_path):
        for attempt in range(40):
            store = tmp_path / f"{attempt}.zarr"
            claims = Claims(store)
            worker = threading.Thread(target=self.take, args=(claims, range(10, 100_000)), daemon=True)
            worker.start()
            while len(claims.held) < 3:
                time.sleep(0.0001)
            claims.release_all()
            assert not read_claims(store)
            worker.join(0.005)
            assert worker.is_alive() and not read_claims(store)

    @pytest.mark.parametrize("how", ["old", "dead", "requeued", "half-written"])
    def test_a_void_claim_is_taken_over(self, tmp_path, how, monkeypatch):
        store = tmp_path / "s.zarr"
        owner, claims = Claims(store), Claims(store, take_over=60.0)
        assert self.take(owner, [5]) == [5]
        (key,) = owner.held
        path = owner.folder.root / key
        note = json.loads(path.read_text())
        assert self.take(claims, [5]) == []
        if how == "dead":
            child = subprocess.Popen([sys.executable, "-c", ""])
            child.wait()
            path.write_text(json.dumps(note | {"pid": child.pid}))
        elif how == "requeued":
            monkeypatch.setenv("SLURM_JOB_ID", "12")
            path.write_text(json.dumps(note | {"pid": os.getppid(), "job": "12"}))
        else:
            path.write_text(json.dumps(note | {"host": "elsewhere"}) if how == "old" else '{"ho')
            assert self.take(claims, [5]) == []
            old = time.time() - 61
            os.utime(path, (old, old))
        assert self.take(claims, [5]) == [5]
