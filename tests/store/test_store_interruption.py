"""Interruption: killed, shared and contended stores end with the bytes of an undisturbed run."""

import multiprocessing
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from store_writers import PROVENANCE, hold, make_stage, run, run_slowly, stamps, tile_of, whole, work

from ensemble.errors import StoreRefused
from ensemble.store import open_store, open_writer, store_status, verify_store

# A clean server that has not loaded JAX forks the writers quickly.
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")


@pytest.fixture(scope="module", autouse=True)
def _server():
    """Start the server of processes with the writers loaded; it reads PYTHONPATH only once."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.platform != "win32":
            patch.setenv("PYTHONPATH", str(Path(__file__).parent))
            PROCESSES.set_forkserver_preload(["store_writers"])
        warm = PROCESSES.Process(target=int)
        warm.start()
        warm.join()


def test_data_are_on_disk_before_the_ledger_says_so(path, monkeypatch):
    stage, steps = make_stage(), []
    full, replaced = whole(stage), type(path).replace
    with open_writer(path, PROVENANCE, [stage]) as store:
        monkeypatch.setattr(os, "fsync", lambda handle: steps.append(("flush", os.readlink(f"/proc/self/fd/{handle}"))))
        monkeypatch.setattr(type(path), "replace", lambda p, to: (steps.append(("name", str(to))), replaced(p, to))[1])
        if not os.path.isdir("/proc/self/fd"):
            pytest.skip("needs /proc to name an open file")
        store.write_tile("members", 0, tile_of(stage, full, 0))
    named = [what for how, what in steps if how == "name"]
    assert named[-1] == str(path / "ledger/members/entries/c/0/0")
    for name in named:
        at = steps.index(("name", name))
        assert steps[at - 1][0] == "flush" and name.rpartition("/")[2] in steps[at - 1][1]  # the file, before its name
        assert ("flush", name.rpartition("/")[0]) in steps[at:]  # its folder, after
    entry = steps.index(("name", named[-1]))
    assert max(steps.index(("name", name)) for name in named[:-1]) < entry


def test_killed_at_random_moments_and_resumed(tmp_path):
    stage = make_stage(members=200, blocks=(8, 2))
    undisturbed = run(tmp_path / "undisturbed.zarr", stage)
    path, moments, kept, kills = tmp_path / "killed.zarr", random.Random(5), {}, 0
    while kills < 12:
        process = PROCESSES.Process(target=run_slowly, args=(str(path),))
        process.start()
        process.join(0.25 + moments.random() * 0.45)
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        if path.exists():
            store = open_store(path)
            done = store.finished_tiles()
            found = {t: stamps(path, f"members/soc/c/{t // 2}/0/{t % 2}/0") for t in done}
            assert all(found.get(tile) == stamp for tile, stamp in kept.items()), "a finished tile was written again"
            kept = found
            if "statistics" in store.reduced_groups:  # begin again from a store with its tiles but one
                with open_writer(path, PROVENANCE, [stage]) as writer:
                    writer.drop_group("statistics")
                (path / "ledger/members/entries/c/7/0").unlink()
                kept.pop(7)
    assert run(path, stage) == undisturbed
    assert verify_store(path) == []
    assert not [p for p in tmp_path.rglob("*.partial") if p.is_file()]
    assert not list(tmp_path.glob(".*.partial"))


def test_two_workers_at_the_same_tiles_leave_the_same_bytes(tmp_path):
    expected = run(tmp_path / "alone.zarr")
    path = tmp_path / "shared.zarr"
    with open_writer(path, PROVENANCE, [make_stage()]):
        pass
    barrier = PROCESSES.Barrier(3)
    orders = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 4, 0]]
    workers = [PROCESSES.Process(target=work, args=(str(path), order, barrier)) for order in orders]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert verify_store(path) == []
    assert run(path) == expected


def test_a_second_writer_is_refused_and_a_reader_is_not(path):
    held, release = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(str(path), held, release))
    process.start()
    assert held.wait(60)
    sentence = f"is being written by process {process.pid} on "
    with pytest.raises(StoreRefused, match=sentence), open_writer(path, PROVENANCE, [make_stage()]):
        pass
    with pytest.raises(StoreRefused, match=sentence):
        verify_store(path)
    assert verify_store(path, strike=False) == []
    assert store_status(path).writer["pid"] == process.pid
    process.kill()  # the lock dies with its holder
    process.join()
    assert store_status(path).writer is None
    run(path)


def test_leftovers_are_swept_but_not_those_of_a_living_process(path):
    run(path)
    folder = path / "members/soc/c/0/0/0"
    host = __import__("ensemble.store.files", fromlist=["host_name"]).host_name()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = folder / f".0.{host}.{dead.pid}.3.partial"
    living = folder / f".0.{host}.{os.getppid()}.3.partial"
    other = folder / ".0.elsewhere.1.3.partial"
    stale = folder / ".0.elsewhere.1.4.partial"
    half = path.parent / f".{path.name}.{host}.{dead.pid}.0.partial"
    note = path.parent / f"..{path.name}.writer.{host}.{dead.pid}.0.partial"
    for file in (leftover, living, other, stale, note):
        file.write_bytes(b"half")
    os.utime(stale, (0, 0))
    half.mkdir()
    run(path)
    assert [file.exists() for file in (leftover, living, other, stale)] == [False, True, True, False]
    assert not note.exists()
    (path / "..").resolve()
    run(path.with_name("other.zarr"))
    assert half.exists()  # belongs to a store that is there; swept when that is made again
    assert verify_store(path) == []
