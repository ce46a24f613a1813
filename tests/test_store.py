"""The store: what is read is what was written, whatever happens on the way."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_writers import PLATFORM, PROVENANCE, STUDY, TIMES, hold, make_stage, run, run_slowly, tile_of, whole, work

from ensemble.errors import Damaged, StoreFull, StoreRefused
from ensemble.store import (
    ArrayTemplate,
    Stage,
    Tiling,
    export_csv,
    export_netcdf,
    open_store,
    open_worker,
    open_writer,
    store_status,
    verify_store,
)

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


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    """Flushing is for power cuts, which no test makes; the order of writes is tested by itself."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "field.zarr"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    """A finished store and its digest, to be copied."""
    path = tmp_path_factory.mktemp("pattern") / "field.zarr"
    return path, run(path)


@pytest.fixture
def finished(pattern, path):
    """A finished store of one's own."""
    shutil.copytree(pattern[0], path)
    return path


def files_of(path):
    return sorted(p for p in path.rglob("*") if p.is_file())


def stamps(path, pattern):
    return {p: p.stat().st_mtime_ns for p in path.glob(pattern) if p.is_file()}


# --- tiles ---------------------------------------------------------------------------------------------------------

lengths = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None)
@given(lengths, lengths, lengths)
def test_every_number_has_one_writer(a, b, c):
    tiling = Tiling({"member": a[0], "y": b[0], "x": c[0]}, {"member": a[1], "y": b[1], "x": c[1]})
    for dims in [("member", "y", "x"), ("member", "x"), ("y",), ("tile",), ("time",)]:
        axes = {**tiling.shape, "tile": tiling.count, "time": 3}
        written = np.zeros([axes[d] for d in dims], int)
        for tile in range(tiling.count):
            if tiling.owns(tile, dims):
                written[tuple(tiling.region(tile).get(d, slice(None)) for d in dims)] += 1
        assert (written == 1).all()
    assert sum(tiling.pairs(tile) for tile in range(tiling.count)) == np.prod(list(tiling.shape.values()))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_round_trip_in_any_order(tmp_path, data):
    members, sites = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 5))
    blocks = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 6))
    stage = make_stage(members=members, sites=sites, blocks=blocks)
    full, digests = whole(stage), set()
    for attempt in range(2):
        order = data.draw(st.permutations(range(stage.tiling.count)))
        path = tmp_path / f"{time.time_ns()}-{attempt}.zarr"
        with open_writer(path, PROVENANCE, [stage]) as store:
            for tile in order:
                assert store.write_tile("members", tile, tile_of(stage, full, tile))
                assert not store.write_tile("members", tile, tile_of(stage, full, tile))
            assert store.missing_tiles() == []
        digests.add(store.digest())
    assert len(digests) == 1
    for array in stage.arrays:
        found = open_store(path).dataset(array.group)[array.name]
        assert found.dims == array.dims
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, full[array.path])


def test_a_tile_is_one_whole_shard_of_each_array(path):
    stage = make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage]) as store:
        before = set(files_of(path))
        store.write_tile("members", 3, tile_of(stage, full, 3))
        made = {p.relative_to(path).as_posix() for p in set(files_of(path)) - before}
        # block 1 of members, block 1 of sites: what lacks an axis belongs to other tiles
        expected = {"members/soc/c/1/0/1/0", "members/failed/c/1/1", "inputs/draw/c/1/1", "partial/mean/c/3/0"}
        assert made == {*expected, "ledger/members/entries/c/3/0"}
        good = tile_of(stage, full, 0)
        for wrong, message in [
            ({**good, "members/soc": good["members/soc"][:8]}, r"members/soc of tile 0 is float32\(8, 2, 2, 24\)"),
            ({**good, "inputs/clay": good["inputs/clay"].astype("f4")}, "inputs/clay of tile 0 is float32"),
            ({k: v for k, v in good.items() if k != "inputs/clay"}, "lacks array inputs/clay"),
            ({**good, "members/co2": good["inputs/clay"]}, "has no array members/co2"),
        ]:
            with pytest.raises(ValueError, match=message):
                store.write_tile("members", 0, wrong)
        with pytest.raises(ValueError, match="there is no tile 6; allowed: 0 to 5"):
            store.write_tile("members", 6, good)
        changed = tile_of(stage, full, 3)
        changed["members/soc"] = changed["members/soc"] + 1
        with pytest.raises(StoreRefused, match=r"members/soc of tile 3 was finished .* with other numbers"):
            store.write_tile("members", 3, changed)
        assert store.missing_tiles() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrays": (ArrayTemplate("members/soc", ("member",), (39,)),)}, "has length 39; its tiles cover 40"),
        (
            {"arrays": (ArrayTemplate("members/soc", ("member",), (40,), chunks=(5,)),)},
            r"do not divide its shard \(16,\)",
        ),
        ({"arrays": (ArrayTemplate("soc", ("member",), (40,)),)}, "soc lies in no group"),
        ({"arrays": 2 * (ArrayTemplate("members/failed", ("member",), (40,)),)}, "members/failed is written twice"),
        ({"flags": "members/flag"}, "has no array members/flag"),
        ({"name": "a.b"}, "has a dot in its name"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused(path, change, message):
    with (
        pytest.raises(ValueError, match=message),
        open_writer(path, PROVENANCE, [replace(make_stage(), **{"flags": None, **change})]),
    ):
        pass
    assert not path.exists()
    assert not list(path.parent.glob(".*.partial"))


def test_chunks_of_a_large_tile_hold_whole_series_of_ten_thousand_members():
    tiling = Tiling({"member": 65536, "site": 64}, {"member": 10**6, "site": 1000})
    array = ArrayTemplate("members/soc", ("member", "scenario", "site", "time"), (10**6, 3, 1000, 150))
    chunks = array.inner_chunks(tiling)
    assert chunks == (8192, 3, 1, 150)
    assert all(s % c == 0 for s, c in zip(array.shards(tiling), chunks, strict=True))
    prime = ArrayTemplate("members/soc", ("member", "time"), (20011, 10)).inner_chunks(
        Tiling({"member": 20011}, {"member": 20011})
    )
    assert prime == (20011, 10)


def test_nan_has_one_form_and_other_bits_stay(path):
    stage = make_stage()
    tile = tile_of(stage, whole(stage), 0)
    bits = np.array([0xFFC00000, 0x7FC00001, 0x80000000, 0x7F800000], "u4").view("f4")  # NaNs, -0, infinity
    tile["members/soc"] = np.resize(bits, tile["members/soc"].shape).astype("f4")
    with open_writer(path, PROVENANCE, [stage]) as store:
        store.write_tile("members", 0, tile)
        found = store.read_tile("members", 0)["members/soc"].ravel()[:4].view("u4")
    assert [hex(b) for b in found] == ["0x7fc00000", "0x7fc00000", "0x80000000", "0x7f800000"]


def test_a_tile_in_which_all_failed_is_kept(path):
    stage = make_stage()
    tile = {
        name: np.full_like(v, np.nan if v.dtype.kind == "f" else 1)
        for name, v in tile_of(stage, whole(stage), 0).items()
    }
    with open_writer(path, PROVENANCE, [stage]) as store:
        store.write_tile("members", 0, tile)
    assert verify_store(path) == []
    assert store_status(path).stages[0].pairs_failed == 32
    np.testing.assert_array_equal(open_store(path).read_tile("members", 0)["members/soc"], tile["members/soc"])


# --- reading -------------------------------------------------------------------------------------------------------

YEARS_1_TO_40 = (np.datetime64("0001-01", "M") + np.arange(1, 481)).astype("datetime64[s]") - np.timedelta64(1, "D")
TO_2100 = (np.datetime64("1843", "Y") + np.arange(1, 259)).astype("datetime64[s]") - np.timedelta64(1, "D")


@pytest.mark.parametrize(
    "times", [TIMES, TO_2100, YEARS_1_TO_40, np.arange(0.0, 500.0, 10.0)], ids=["1843", "2100", "1-40", "float"]
)
def test_plain_xarray_reads_the_tree(path, times):
    stage = make_stage(times=times)
    run(path, stage)
    with warnings.catch_warnings():  # xarray looks for consolidated metadata first, and decodes year 1 by cftime
        warnings.simplefilter("ignore")
        tree = xr.open_datatree(path, engine="zarr")
    assert {"/members", "/inputs", "/partial", "/statistics", "/ledger/members"} <= set(tree.groups)
    full, members = whole(stage), tree["members"].to_dataset()
    np.testing.assert_array_equal(members.soc, full["members/soc"])
    assert members.soc.attrs["units"] == "t C/ha"
    assert list(members.site.values) == ["plot 0", "plot 1", "plot 2"]
    assert "latitude" in members.coords
    assert tree.attrs["study"] == STUDY
    assert tree.attrs["tiling"]["blocks"] == {"member": 16, "site": 2}
    read = open_store(path).dataset("members").time
    if times.dtype.kind == "M":
        assert read.dtype == "datetime64[s]"
        assert [str(t)[:10] for t in members.time.values[[0, -1]]] == [str(t)[:10] for t in times[[0, -1]]]
    np.testing.assert_array_equal(read, times)


def test_readers_ask_the_ledger(path):
    stage = make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage]) as store:
        store.write_tile("members", 0, tile_of(stage, full, 0))
        store.write_tile("members", 5, tile_of(stage, full, 5))
        (path / "ledger/members/entries/c/5/0").unlink()  # its bytes are there, but it is not finished
        with pytest.raises(StoreRefused, match=r"members of .* is not finished: 1 of 6 tiles"):
            store.dataset("members")
        with pytest.raises(StoreRefused, match=r"tile 5 of members .* is not finished"):
            store.read_tile("members", 5)
        with pytest.raises(StoreRefused, match="has no finished group statistics; it has inputs, members, partial"):
            store.dataset("statistics")
        with pytest.raises(StoreRefused, match="has no stage forecast; it has members"):
            store.missing_tiles("forecast")
        masked = store.tree("mask")
    finished = np.zeros((40, 3), bool)
    finished[:16, :2] = True
    np.testing.assert_array_equal(masked["members"].finished, finished)
    soc = np.where(finished[:, None, :, None], full["members/soc"], np.nan)
    np.testing.assert_array_equal(masked["members"].soc, soc)
    np.testing.assert_array_equal(masked["members"].failed, np.where(finished, full["members/failed"], 255))
    np.testing.assert_array_equal(masked["inputs"]["clay"], np.where(np.arange(40) < 16, full["inputs/clay"], np.nan))
    np.testing.assert_array_equal(masked["inputs"]["depth"], np.where([1, 1, 0], full["inputs/depth"], np.nan))
    np.testing.assert_array_equal(np.isnan(masked["partial"]["mean"]).all("time"), [0, 1, 1, 1, 1, 1])


def test_stages_have_ledgers_of_their_own_and_groups_lie_above_them(finished):
    other = make_stage("decomposition/members", members=16, prefix="decomposition/", times=np.arange(3.0))
    full = whole(other)
    with open_writer(finished, PROVENANCE, [make_stage()]) as store:
        store.add_stage(other)
        for tile in store.missing_tiles("decomposition/members"):
            store.write_tile("decomposition/members", tile, tile_of(other, full, tile))
        store.write_group("decomposition", xr.Dataset({"total": ("parameter", [0.5])}, {"parameter": ["clay"]}))
        store.write_group("decomposition", xr.Dataset({"total": ("parameter", [0.7])}, {"parameter": ["clay"]}))
        with pytest.raises(StoreRefused, match=r"group members .* is filled by stage members"):
            store.write_group("members", xr.Dataset())
        with pytest.raises(StoreRefused, match=r"another layout \(tiling.blocks.member: 16 -> 8\)"):
            store.add_stage(replace(other, tiling=replace(other.tiling, blocks={"member": 8, "site": 2})))
    assert verify_store(finished) == []
    tree = open_store(finished).tree()
    assert float(tree["decomposition"].total[0]) == 0.7
    np.testing.assert_array_equal(tree["decomposition/members"].soc, full["decomposition/members/soc"])
    assert tree["members"].sizes["member"] == 40


# --- interruption --------------------------------------------------------------------------------------------------


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
    for file in (leftover, living, other, stale):
        file.write_bytes(b"half")
    os.utime(stale, (0, 0))
    half.mkdir()
    run(path)
    assert [file.exists() for file in (leftover, living, other, stale)] == [False, True, True, False]
    (path / "..").resolve()
    run(path.with_name("other.zarr"))
    assert half.exists()  # belongs to a store that is there; swept when that is made again
    assert verify_store(path) == []


# --- damage --------------------------------------------------------------------------------------------------------


def flip(data, at, bits=0x15):
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def test_every_changed_byte_is_found_and_named(path):
    run(path, make_stage(members=10, sites=2))
    chance = random.Random(11)
    for file in files_of(path):
        good, key = file.read_bytes(), file.relative_to(path).as_posix()
        for bad in (
            flip(good, chance.randrange(len(good)), 1 << chance.randrange(8)),
            good[: chance.randrange(len(good))],
        ):
            file.write_bytes(bad)
            assert key in {damage.file for damage in verify_store(path, strike=False)}, key
        if "/c/" in key and not key.startswith("ledger"):
            file.unlink()
            (damage,) = verify_store(path, strike=False)
            assert damage.file == key and "missing" in damage.problem
        file.write_bytes(good)
    assert verify_store(path) == []


@pytest.mark.parametrize(
    ("key", "tiles", "says"),
    [
        ("members/soc/c/1/0/1/0", [3], "(array members/soc, tile 3 of members)"),
        ("members/failed/c/0/0", [0], "(array members/failed, tile 0 of members)"),
        ("inputs/clay/c/2", [4], "(array inputs/clay, tile 4 of members)"),
        ("partial/mean/c/5/0", [5], "(array partial/mean, tile 5 of members)"),
        ("ledger/members/entries/c/2/0", [2], "(array ledger, tile 2 of members)"),
        ("ledger/members/zarr.json", [], "(members)"),
        ("ledger/members/copy/zarr.json", [], "(members)"),
        ("ledger/members/entries/zarr.json", [], "(members)"),
        ("ledger/zarr.json", [], "(members)"),
        ("zarr.json", [], "(members)"),
        ("members/zarr.json", [], "(members)"),
        ("members/soc/zarr.json", [], "(members)"),
        ("members/time/c/0", [], "(members)"),
        ("statistics/soc_mean/c/0/0/0", [], "(statistics)"),
        ("statistics/zarr.json", [], "(statistics)"),
        ("statistics/soc_mean/zarr.json", [], "(statistics)"),
        ("ledger/statistics/zarr.json", [], "(statistics)"),
    ],
)
def test_damage_is_struck_and_repaired_by_the_next_run(finished, pattern, key, tiles, says):
    path, expected = finished, pattern[1]
    others = stamps(path, "members/soc/c/**/*")
    file = path / key
    good = file.read_bytes()
    how = sum(key.encode()) % 3
    file.write_bytes([flip(good, len(good) // 2), good[: len(good) // 3], b""][how])
    damages = verify_store(path)
    assert [damage.file for damage in damages] == [key]
    assert says in str(damages[0])
    assert open_store(path).missing_tiles() == tiles
    assert run(path) == expected
    assert verify_store(path) == []
    if "statistics" not in key:
        assert file.read_bytes() == good or key.startswith("ledger/members/entries/c")
    after = stamps(path, "members/soc/c/**/*")
    assert {p for p in others if after[p] != others[p]} <= {path / f"members/soc/c/{t // 2}/0/{t % 2}/0" for t in tiles}


def test_a_read_of_a_damaged_tile_says_so(finished):
    file = finished / "members/soc/c/0/0/0/0"
    file.write_bytes(flip(file.read_bytes(), 100))
    with pytest.raises(Damaged, match=r"members/soc, tile 0 of members: .*members/soc/c/0/0/0/0 cannot be decoded"):
        open_store(finished).read_tile("members", 0)


@pytest.mark.parametrize("key", ["members/soc/zarr.json", "members/time/c/0", "statistics/soc_mean/zarr.json"])
def test_a_group_is_not_decoded_by_damaged_metadata(finished, key):
    good = (finished / key).read_bytes()
    (finished / key).write_bytes(flip(good, len(good) // 2))
    with pytest.raises(Damaged, match=f"{key} is damaged; run `ensemble verify "):
        open_store(finished).dataset(key.partition("/")[0])


def test_a_lost_record_is_made_again_from_the_study_and_the_tiles_stay(finished, pattern):
    path, expected = finished, pattern[1]
    before = stamps(path, "members/soc/c/**/*")
    for name in ("zarr.json", "copy/zarr.json"):
        (path / "ledger/members" / name).write_bytes(b"{}")
    (path / "members/soc/zarr.json").write_bytes(b"[")
    (damage,) = verify_store(path)
    assert damage.file == "ledger/members/zarr.json"
    assert run(path) == expected
    assert stamps(path, "members/soc/c/**/*") == before
    assert verify_store(path) == []


def test_damage_beyond_repair_is_said(finished):
    for key in ("zarr.json", "ledger/members/zarr.json", "ledger/members/copy/zarr.json"):
        data = (finished / key).read_bytes()
        (finished / key).write_bytes(data.replace(b'"seed": 7', b'"seed": 8') if key == "zarr.json" else b"")
    (damage,) = verify_store(finished)
    assert damage.lost
    with pytest.raises(Damaged, match=r"zarr.json is damaged, and so are its copies"):
        run(finished)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_another_study_is_refused_by_what_differs(finished):
    expected = open_store(finished).digest()
    for changed, message in [
        ({"study": {**STUDY, "design": {"seed": 7, "members": 80}}}, r"another study \(design.members: 40 -> 80\)"),
        ({"study": {**STUDY, "options": {"spinup": "legacy"}}}, r"\(options: absent -> .*legacy"),
        ({"inputs": {"forcing.csv": "cd" * 32}}, r"\(inputs.forcing.csv: abab.* -> cdcd"),
        ({"seed": 8}, r"\(seed: 7 -> 8\)"),
        ({"platform": replace(PLATFORM, instructions="sse4.2")}, r"another platform \(instructions: avx2 -> sse4.2\)"),
    ]:
        with (
            pytest.raises(StoreRefused, match=message),
            open_writer(finished, replace(PROVENANCE, **changed), [make_stage()]),
        ):
            pass
    harmless = {**STUDY, "title": "another", "report": {}, "execution": {"devices": 2}}
    with open_writer(finished, replace(PROVENANCE, study=harmless), [make_stage()]) as store:
        assert store.digest() == expected
    with pytest.raises(StoreRefused, match="another platform"):
        open_worker(finished, replace(PLATFORM, device="gpu NVIDIA H200"))


def test_paths_where_no_store_can_be_are_refused_and_left_alone(tmp_path, monkeypatch):
    (tmp_path / "file.zarr").write_text("mine")
    (tmp_path / "things.zarr").mkdir()
    (tmp_path / "things.zarr/notes.txt").write_text("mine")
    (tmp_path / "foreign.zarr").mkdir()
    (tmp_path / "foreign.zarr/zarr.json").write_text('{"attributes":{},"node_type":"group","zarr_format":3}')
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    for name, message in [
        ("file.zarr", "is a file, not a store"),
        ("things.zarr", "a folder with other things in it"),
        ("foreign.zarr", "is not a store of ensemble"),
        ("file.zarr/inner.zarr", "a file is in the way"),
        ("", "a folder with other things in it"),
    ]:
        with pytest.raises(StoreRefused, match=message):
            run(tmp_path.joinpath(name) if name else type(tmp_path)(""))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    with pytest.raises(StoreRefused, match="there is no store"):
        open_store(tmp_path / "absent.zarr")
    with pytest.raises(StoreRefused, match="is a file"):
        store_status(tmp_path / "file.zarr")
    (tmp_path / "empty.zarr").mkdir()
    run(tmp_path / "empty.zarr")
    run(tmp_path / "sites Åre [1]" / "größe ü.zarr")
    assert verify_store(tmp_path / "sites Åre [1]" / "größe ü.zarr") == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        tmp_path.chmod(0o500)
    else:  # the superuser may write anywhere, so the system's answer is given here

        def refuse(*_, **__):
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StoreRefused, match="cannot be written"):
        run(tmp_path / "new" / "field.zarr")


def test_another_format_is_refused_by_name(path, monkeypatch):
    monkeypatch.setattr("ensemble.store.create.STORE_FORMAT", 0)
    run_format = pytest.raises(
        StoreRefused, match=r"has format 0 \(written by ensemble .*\); this version reads format 1"
    )
    with run_format:
        run(path)
    with run_format:
        store_status(path)


def test_a_full_disk_at_any_write_is_said_and_resumed(tmp_path, monkeypatch):
    flushes, limit = [0], [0]

    def fill(handle):
        flushes[0] += 1
        if flushes[0] == limit[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)
    expected, count = run(tmp_path / "whole.zarr"), flushes[0]
    for moment in np.linspace(2, count, 7).astype(int):
        path = tmp_path / f"full at {moment}.zarr"
        flushes[0], limit[0] = 0, int(moment)
        with pytest.raises(StoreFull, match=r"cannot be written: it needs .* free some space and run again"):
            run(path)
        assert not [p for p in tmp_path.rglob("*.partial") if p.is_file()]
        assert run(path) == expected
        assert verify_store(path, strike=False) == []


def test_a_really_full_disk(tmp_path):
    mounted = hasattr(os, "geteuid") and os.geteuid() == 0 and sys.platform == "linux"
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(tmp_path)], check=False).returncode
    ):
        pytest.skip("needs to mount a small file system")
    try:
        ballast, path = tmp_path / "ballast", tmp_path / "field.zarr"
        ballast.write_bytes(bytes(190_000))
        with pytest.raises(StoreFull, match="cannot be written: it needs"):
            run(path)
        ballast.unlink()
        run(path)
        assert verify_store(path) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# --- status, export, size ------------------------------------------------------------------------------------------


def test_status_from_files_alone(path):
    stage = make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage], {"title": "field"}) as store:
        empty = store_status(path).stages[0]
        for tile in (0, 1, 2):
            store.write_tile("members", tile, tile_of(stage, full, tile))
            time.sleep(0.02)
        status = store_status(path)
    part = status.stages[0]
    assert (empty.tiles_done, empty.updated, empty.pairs_per_second, empty.seconds_left) == (0, None, None, None)
    assert (part.tiles, part.tiles_done, part.members, part.members_done) == (6, 3, 40, 16)
    assert (part.pairs, part.pairs_done, status.complete) == (120, 80, False)
    failed = np.argwhere(full["members/failed"][:16])
    both = np.argwhere(full["members/failed"][16:32, :2]) + np.array([16, 0])
    assert part.pairs_failed == len(failed) + len(both) > 0
    assert {(f["member"], f["site"]) for f in part.failed} == {tuple(p) for p in [*failed, *both]}
    assert part.failed[0]["reason"] == "not finite"
    assert part.pairs_per_second > 0
    assert part.seconds_left == pytest.approx(40 / part.pairs_per_second)
    assert json.loads(json.dumps(status.as_dict()))["stages"][0]["tiles_done"] == 3
    assert "3 of 6 tiles, 16 of 40 members" in "\n".join(status.lines())
    run(path)
    assert store_status(path).complete and store_status(path).stages[0].seconds_left == 0
    assert "finished: statistics" in store_status(path).lines()


def test_status_and_verify_load_no_jax(finished):
    code = (
        "import sys\nfrom ensemble.store import store_status, verify_store\n"
        f"assert store_status({str(finished)!r}).complete and not verify_store({str(finished)!r})\n"
        "assert 'jax' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_export_reads_back(path, tmp_path):
    stage = make_stage()
    run(path, stage)
    store, full = open_store(path), whole(stage)
    files = {file.name: file for file in export_csv(store, tmp_path / "tables")}
    table = pd.read_csv(files["members_by_member_scenario_site_time.csv"], comment="#")
    assert list(table.columns) == ["member", "scenario", "site", "time", "soc"]
    found = table.set_index(["member", "scenario", "site", "time"]).soc.to_xarray()
    np.testing.assert_array_equal(found.astype("f4"), full["members/soc"])
    assert list(found.time.values) == [str(t)[:10] for t in TIMES]
    text = files["members_by_member_scenario_site_time.csv"].read_text()
    assert "# soc: soil organic carbon [t C/ha]" in text and "# title: field" in text
    with xr.open_dataset(next(f for f in export_netcdf(store, tmp_path / "nc") if f.name == "members.nc")) as data:
        np.testing.assert_array_equal(data.soc, full["members/soc"])
        np.testing.assert_array_equal(data.time.astype("datetime64[s]"), TIMES)
        assert data.soc.attrs["long_name"] == "soil organic carbon"
        assert data.attrs["Conventions"] == "CF-1.11" and json.loads(data.attrs["study"]) == STUDY
        assert list(data.site.values) == ["plot 0", "plot 1", "plot 2"]
    with (
        open_writer(path.with_name("part.zarr"), PROVENANCE, [stage]) as part,
        pytest.raises(StoreRefused, match="0 of 6"),
    ):
        export_csv(part, tmp_path / "tables", ["members"])


def test_memory_does_not_grow_with_the_number_of_tiles(path):
    import tracemalloc

    tiling = Tiling({"member": 4}, {"member": 4 * 300})
    stage = Stage("members", tiling, (ArrayTemplate("members/soc", ("member", "time"), (1200, 8000)),))
    chance = np.random.default_rng(1)
    with open_writer(path, PROVENANCE, [stage]) as store:
        sizes = []
        tracemalloc.start()
        for tile in range(150):
            store.write_tile("members", tile, {"members/soc": chance.random((4, 8000), "f4")})
            if tile in (50, 149):
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert sizes[1] - sizes[0] < 2_500_000  # the tiles in between hold 12.7 MB
        assert store.missing_tiles() == list(range(150, 300))
