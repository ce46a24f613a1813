"""Damaged bytes, full disks, impossible paths and leftovers, and what becomes of a store (see fault_battery)."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from fault_kills import child, ended, ensemble, stage, whole_run
from store_writers import PROVENANCE, make_stage, run

from ensemble.errors import StoreFull, StoreRefused
from ensemble.store import ArrayTemplate, Stage, Tiling, open_store, open_writer, verify_store
from ensemble.store.files import host_name

PAGE = 4096
KINDS = ("chunks", "ledger", "study")
RECORDS = ("ledger/members/zarr.json", "ledger/members/copy/zarr.json")


def answer(function, *arguments):
    """What a function says in a child of its own; it may start threads there."""
    reading, writing = os.pipe()
    process = child(lambda: os.write(writing, json.dumps(function(*arguments)).encode()))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    if ended(process):
        raise SystemExit(f"{function.__name__} failed")
    return json.loads(text)


def kind_of(key):
    """What a file of the store holds: numbers, the ledger, or the study."""
    return "study" if key == "zarr.json" else "ledger" if key.startswith("ledger/") else "chunks"


def spoil(file, chance):
    """Flip some bits of one byte, or cut the file."""
    good = file.read_bytes()
    at = chance.randrange(len(good))
    file.write_bytes(good[:at] + (bytes([good[at] ^ chance.randrange(1, 256)]) + good[at + 1 :]) * chance.randrange(2))


def named_then_repaired(path, keys):
    """Whether each damaged file is named, and how many are left after a run."""
    named = {damage.file for damage in verify_store(path)}
    run(path, stage())
    return {"named": [key for key in keys if key in named], "left": [str(d) for d in verify_store(path)]}


def damaged_bytes(folder, number, chance):
    """Flipped and cut bytes: each is named by verify and repaired by the next run."""
    path, at_once = folder / "damaged.zarr", {"chunks": 15, "ledger": 10, "study": 1}
    whole_run(path)
    digest, done = open_store(path).digest(), dict.fromkeys(KINDS, 0)
    wanted, named, repaired = dict(zip(KINDS, (number // 2, number // 3, number // 6), strict=True)), 0, 0
    for kind in KINDS:
        while done[kind] < wanted[kind]:
            keys = [k.relative_to(path).as_posix() for k in path.rglob("*") if k.is_file()]
            keys = sorted(key for key in keys if kind_of(key) == kind)
            chosen = chance.sample(keys, min(at_once[kind], len(keys), wanted[kind] - done[kind]))
            if set(RECORDS) <= set(chosen):  # a record and its copy at once are another matter
                chosen.remove(RECORDS[1])
            for key in chosen:
                spoil(path / key, chance)
            found = answer(named_then_repaired, path, chosen)
            done[kind] += len(chosen)
            named += len(found["named"])
            repaired += len(chosen) * (not found["left"] and open_store(path).digest() == digest)
    asked = sum(done.values())
    remark = ", ".join(f"{count} in {kind}" for kind, count in done.items())
    return "flipped or cut bytes", asked, min(named, repaired), f"{remark}; {named} named, {repaired} repaired"


@contextmanager
def small_disk(folder, size="4m"):
    """A small file system; ``None`` where it cannot be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def leave_pages(disk, pages):
    """Fill a disk but for some pages."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    with ballast.open("wb") as file:
        free = os.statvfs(disk)
        file.write(bytes(max(0, (free.f_bavail - pages)) * PAGE))
    return ballast


def full_disk_message(path):
    """What a run into a full disk says; empty if it fits."""
    try:
        run(path, make_stage())
    except StoreFull as error:
        return str(error)
    return ""


def finish_small(path):
    """Finish a store after space was freed; its digest and what is damaged."""
    return [run(path, make_stage()), [str(damage) for damage in verify_store(path)]]


def full_disk(folder, step):
    """A run with room for 0, ``step``, 2 ``step`` ... pages, so that it is full at one write after the other."""
    with small_disk(folder / "disk") as disk:
        if disk is None:
            return "disk full at a write", 0, 0, "SKIPPED: a small file system cannot be mounted here"
        digest = answer(finish_small, folder / "fits.zarr")[0]
        tried = held = pages = 0
        while True:
            path = disk / "field.zarr"
            ballast = leave_pages(disk, pages)
            said = answer(full_disk_message, path)
            ballast.unlink()
            if not said:
                break
            tried += 1
            explained = re.match(rf"{re.escape(str(disk))}\S* cannot be written: it needs [\d,]+ bytes and", said)
            partial = [p for p in disk.rglob("*.partial") if p.is_file()]
            held += bool(explained) and not partial and answer(finish_small, path) == [digest, []]
            for left in disk.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            pages += step
        return "disk full at a write", tried, held, f"room for 0 to {pages - step} pages of {PAGE} bytes"


def full_disk_of_a_run(folder, study, times):
    """The whole command on a full disk: tiles, statistics, notes and report."""
    settings = ["--set", "store.tile.members=16", "--set", "design.members=64"]
    with small_disk(folder / "disk_2", "16m") as disk:
        if disk is None:
            return "disk full in ensemble run", 0, 0, "SKIPPED: a small file system cannot be mounted here"
        path = disk / "field.zarr"
        if ended(child(ensemble, "run", study, "--out", path, *settings)):
            raise SystemExit("the undisturbed run failed")
        digest = open_store(path).digest()
        needed = sum(-(-p.stat().st_size // PAGE) for p in disk.rglob("*") if p.is_file())
        report = -(-(disk / "field.report.html").stat().st_size // PAGE)
        held = 0
        points = sorted({0, needed - report // 2, *np.linspace(2, needed - report - 2, times - 2).astype(int)})
        for pages in points:
            for left in disk.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            ballast = leave_pages(disk, int(pages))
            first = ended(child(ensemble, "run", study, "--out", path, *settings))
            ballast.unlink()
            second = ended(child(ensemble, "run", study, "--out", path, *settings))
            held += (first, second) == (3, 0) and open_store(path).digest() == digest
        return (
            "disk full in ensemble run",
            len(points),
            held,
            f"room for {points[0]} to {points[-1]} pages; then resumed",
        )


def refused(path):
    """The sentence that refuses a path; empty if a run was begun there."""
    try:
        run(path, make_stage())
    except StoreRefused as error:
        return str(error)
    return ""


def paths(folder):
    """Paths that cannot be written are refused before anything is made; blanks and any alphabet are a name."""
    base = folder / "paths"
    base.mkdir()
    (base / "file").write_text("mine")
    (base / "things").mkdir()
    (base / "things/mine.txt").write_text("mine")
    cases = [
        (base / "file", "is a file"),
        (base / "file/s.zarr", "a file is in the way"),
        (base / "things", "other things"),
    ]
    with small_disk(base / "sealed") as disk:
        if disk is not None:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            cases.append((disk / "s.zarr", "read-only file system"))
        said = [(answer(refused, path), why) for path, why in cases]
    before = {p for p in base.rglob("*")}
    try:
        open_store(base / "missing.zarr")
    except StoreRefused as error:
        said.append((str(error), "there is no store"))
    good = [base / "a b" / "größe 土壤.zarr", base / " leading.zarr"]
    held = sum(why in text for text, why in said) if before == {p for p in base.rglob("*")} else 0
    held += sum(
        answer(refused, path) == "" and not answer(lambda p=path: [str(d) for d in verify_store(p)]) for path in good
    )
    return (
        "paths",
        len(said) + len(good),
        held,
        f"{len(said)} refused, {len(good)} with blanks and other alphabets written",
    )


def leftovers_and_versions(folder):
    """Partial files of a dead process are swept; a store of another version is refused by name."""
    path = folder / "swept.zarr"
    whole_run(path)
    dead = child(lambda: None)
    ended(dead)
    for name in (f".c.{host_name()}.{dead}.0.partial", f".zarr.json.{host_name()}.{dead}.1.partial"):
        (path / "members" / name).write_bytes(b"half")
    whole_run(path)
    swept = not list(path.rglob("*.partial"))
    answer(old_version, folder / "old.zarr")
    try:
        open_store(folder / "old.zarr")
        named = False
    except StoreRefused as error:
        named = bool(re.search(r"has format 0 \(written by ensemble .*\); this version reads format 1", str(error)))
    return "leftover partial files, older version", 2, swept + named, "swept; refused by its name"


def old_version(path):
    """A store as another version of the format would leave it."""
    import ensemble.store.create as create

    create.STORE_FORMAT = 0
    create.create_store(path, PROVENANCE, [make_stage()], {})


def resident():
    """Resident memory of this process, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fill_many(path, tiles):
    """Write many tiles; resident memory after a tenth of them and at the end."""
    tiling = Tiling({"member": 16}, {"member": 16 * tiles})
    array = ArrayTemplate("members/soc", ("member", "time"), (16 * tiles, 120))
    chance, sizes = np.random.default_rng(1), []
    provenance = replace(PROVENANCE, seed=tiles)
    with open_writer(path, provenance, [Stage("members", tiling, (array,))]) as store:
        for count, tile in enumerate(store.missing_tiles("members"), 1):
            store.write_tile("members", tile, {"members/soc": chance.random((16, 120), "f4")})
            if count in (tiles // 10, tiles):
                sizes.append(resident())
    return sizes


def many_tiles(folder, tiles):
    """Memory does not grow with the number of tiles."""
    early, late = answer(fill_many, folder / "many.zarr", tiles)
    growth = 100 * (late / early - 1)
    return (
        f"memory over {tiles:,} tiles",
        1,
        int(growth <= 5),
        f"{early / 1e6:.0f} MB after a tenth, {growth:+.1f} % at the end",
    )
