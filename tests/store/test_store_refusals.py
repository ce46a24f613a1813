"""Refusals: stores, folders and disks that cannot be used are left alone, in one sentence."""

import errno
import os
import stat
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from store_writers import PLATFORM, PROVENANCE, STUDY, make_stage, run

from ensemble.errors import StoreFull, StoreRefused
from ensemble.store import open_store, open_worker, open_writer, store_status, verify_store


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
    with pytest.raises(StoreRefused, match="cannot be written: file name too long"):
        run(tmp_path / f"{'long' * 80}.zarr")
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
        # of files alone: a folder that two threads make side by side is flushed once or twice
        flushes[0] += stat.S_ISREG(os.fstat(handle).st_mode)
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
        limit[0] = 0
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
