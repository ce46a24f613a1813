"""Plan before you pay: a few tiles of a study, run and measured, and what the whole of it will take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ensemble.errors import InputError, Stopped
from ensemble.pipeline.describe import readable
from ensemble.pipeline.layout import STAGE
from ensemble.pipeline.loading import load_plan
from ensemble.pipeline.run import run_plan
from ensemble.plan import Plan
from ensemble.store import open_store

# Tiles of the larger of the two runs; what grows with the number of tiles is their difference.
TILES = 5


@dataclass(frozen=True)
class Measured:
    """One run of a few tiles, in a process of its own.

    Args:
        tiles: how many.
        head: seconds from the start of the process to the first finished tile.
        tile: seconds between two finished tiles; 0 with one.
        tail: seconds from the last tile to the end: reduce, report.
        stored: bytes of the store.
        memory: largest resident memory, bytes.
    """

    tiles: int
    head: float
    tile: float
    tail: float
    stored: int
    memory: int


@dataclass(frozen=True)
class Forecast:
    """What a whole run will take on this machine.

    Args:
        tiles: of the whole run.
        seconds, stored, memory: time, bytes on disk, largest resident memory.
        tried: tiles of the larger trial.
        spent: seconds that the trial took.
    """

    tiles: int
    seconds: float
    stored: float
    memory: int
    tried: int
    spent: float

    def lines(self, devices: int = 0) -> Iterator[str]:
        """In words; with the hours of the devices of a GPU machine."""
        yield f"trial:     {self.tried} of {self.tiles:,} tiles measured in {_clock(self.spent)}"
        yield f"           time {_clock(self.seconds)}, memory {readable(self.memory)}, disk {readable(self.stored)}"
        if devices:
            yield f"           {devices * self.seconds / 3600:.3g} GPU-hours on the {devices} GPUs of this machine"


def forecast(plan: Plan, study: Path, overrides: Sequence[str], seed: int | None) -> Forecast:
    """Run one tile and then a few in a temporary folder, and carry the measurements forward.

    Args:
        plan: the whole plan.
        study, overrides, seed: what it was loaded from.

    Raises:
        Stopped: a trial run failed; its last words follow.
    """
    started = time.monotonic()
    small, large = (_measured(plan, study, overrides, seed, tiles) for tiles in (1, TILES))
    more = max(1, large.tiles - small.tiles)
    count, left = plan.tiling.count, plan.tiling.count - large.tiles
    tail = max(0.0, large.tail - small.tail) / more
    stored = max(0, large.stored - small.stored) / more
    return Forecast(
        count,
        large.head + large.tile * (count - 1) + large.tail + tail * left,
        large.stored + stored * left,
        large.memory,
        large.tiles,
        time.monotonic() - started,
    )


def _measured(plan: Plan, study: Path, overrides: Sequence[str], seed: int | None, tiles: int) -> Measured:
    """A run of about so many tiles of a plan: blocks of members first, of sites where there is one of those."""
    shape, (member_blocks, site_blocks) = plan.tiling, plan.tiling.blocks
    members = min(tiles, member_blocks) * shape.tile_members
    sites = (1 if member_blocks > 1 else min(tiles, site_blocks)) * shape.tile_sites
    tile = [f"store.tile.members={shape.tile_members}", f"store.tile.sites={shape.tile_sites}"]
    keep = [f"store.members={'keep' if plan.keep_members else 'drop'}"]
    task = {
        "study": str(study), "overrides": [*overrides, *tile, *keep], "seed": seed, "sites": sites,
        "members": min(members, plan.members) if plan.design.kind in DRAWN else None, "started": time.time(),
    }  # fmt: skip
    with TemporaryDirectory() as folder:
        code = "import sys; from ensemble.pipeline.trial import child; child(sys.argv[1], sys.argv[2])"
        command = [sys.executable, "-c", code, json.dumps(task), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = next(iter(reversed(done.stderr.split("\n")[:-1])), "it said nothing")
        raise Stopped(f"the trial run ended with code {done.returncode}: {last}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


# Designs whose number of members can be chosen.
DRAWN = ("sobol", "latin_hypercube", "monte_carlo")


def child(text: str, folder: str) -> None:
    """Run a few tiles in this process and print a :class:`Measured`; the process must be new."""
    task = json.loads(text)
    plan = _with_sites(task, Path(folder))
    run_plan(plan, Path(folder) / "trial.zarr", quiet=True)
    ended = time.time()
    times = sorted(entry.time for entry in open_store(Path(folder) / "trial.zarr").entries(STAGE).values())
    stored = sum(file.stat().st_size for file in (Path(folder) / "trial.zarr").rglob("*") if file.is_file())
    gaps = np.diff(times)
    tile = float(gaps.mean()) if len(gaps) else 0.0
    print(
        json.dumps(asdict(Measured(len(times), times[0] - task["started"], tile, ended - times[-1], stored, _peak())))
    )


def _with_sites(task: dict, folder: Path) -> Plan:
    """The plan of a trial, over the first sites of its table where it can be cut."""
    arguments = (task["study"], task["overrides"], task["seed"], task["members"])
    plan = load_plan(*arguments)
    table = plan.study.record.sites
    if not isinstance(table, str) or len(plan.sites) <= task["sites"]:
        return plan
    lines = plan.study.path(table).read_text().splitlines(keepends=True)
    head = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    (folder / "sites.csv").write_text("".join(lines[: head + 1 + task["sites"]]))
    try:
        return load_plan(arguments[0], [*arguments[1], f"sites={folder / 'sites.csv'}"], *arguments[2:])
    except InputError:  # something else of the study names a site that is cut off
        return plan


def _peak() -> int:
    """Largest resident memory of this process so far, bytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def gpus_here() -> int:
    """GPUs of this machine that a run would use; 0 where it runs on the CPU."""
    import jax

    return len([device for device in jax.local_devices() if device.platform == "gpu"])


def _clock(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
