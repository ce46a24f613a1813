"""Who is computing which tile: one small file a claim, in a folder beside the store.

Claims only save work. Two workers on one tile end with the same bytes, so nothing here has to be right for
the numbers to be: a claim is one file made in one step (``O_EXCL``, which network file systems keep), there is
no lock that could hang, and a claim is void once it is old or its owner has died on this machine. Ages are
measured between two files of the same folder, so that clocks of different machines do not matter.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ensemble.store.files import host_name, process_lives, saying_why
from ensemble.store.lock import beside

ENDING = "claims"
# Seconds after which a claim counts for nothing: many times what a tile should take.
TAKE_OVER = 120.0


@dataclass(frozen=True)
class Owner:
    """Who holds a claim.

    Args:
        host: machine.
        pid: process.
        job: job of the queue, empty without one.
    """

    host: str
    pid: int
    job: str = ""

    @staticmethod
    def here() -> Owner:
        """The process that asks; the job is what SLURM says."""
        array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
        job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")
        return Owner(host_name(), os.getpid(), job)

    @property
    def has_died(self) -> bool:
        """Whether it ran on this machine and does so no more; a job that was requeued here has no older self."""
        if self.host != host_name():
            return False
        here = Owner.here()
        return (self.job == here.job != "" and self.pid != here.pid) or not process_lives(self.pid)


@dataclass(frozen=True)
class Claim:
    """One claim as it lies on disk.

    Args:
        path: its file.
        owner: who holds it; ``None`` where the file cannot be read.
        age: seconds since it was made.
    """

    path: Path
    owner: Owner | None
    age: float

    @property
    def tile(self) -> int:
        """Number of the tile."""
        return int(self.path.name.rpartition(".")[2])

    def holds(self, take_over: float) -> bool:
        """Whether others should leave the tile alone."""
        return self.age < take_over and (self.owner is None or not self.owner.has_died)


class Claims:
    """The claims of this process on tiles of a store.

    Args:
        store: path of the store.
        take_over: seconds after which a claim counts for nothing.
    """

    def __init__(self, store: Path, take_over: float = TAKE_OVER) -> None:
        self.folder, self.take_over = beside(store, ENDING), take_over
        self.owner = Owner.here()
        self.held: set[Path] = set()

    def take(self, stage: str, tiles: Sequence[int], finished: Callable[[int], bool]) -> Iterator[int]:
        """The tiles that nobody else is computing, each claimed when it is asked for.

        Args:
            stage: name of their stage.
            tiles: tiles to choose from, in the order to try.
            finished: whether a tile has been finished meanwhile.

        Raises:
            StoreRefused, StoreFull: no claim can be written.
        """
        for tile in tiles:
            if self._claim(self._path(stage, tile)):
                if finished(tile):
                    self.release(stage, tile)
                else:
                    yield tile

    def release(self, stage: str, tile: int) -> None:
        """Give a claim back."""
        self._release(self._path(stage, tile))

    def release_all(self) -> None:
        """Give back every claim of this process; safe from another thread, as the process ends."""
        for path in list(self.held):
            self._release(path)

    def _release(self, path: Path) -> None:
        self.held.discard(path)
        path.unlink(missing_ok=True)

    def _path(self, stage: str, tile: int) -> Path:
        return self.folder / f"{stage.replace('/', '.')}.{tile}"

    def _claim(self, path: Path) -> bool:
        with saying_why(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            for _ in range(2):
                try:
                    with path.open("x") as file:
                        json.dump(asdict(self.owner), file)
                except FileExistsError:
                    claim = _read(path, folder_time(self.folder, self.owner))
                    if claim is not None and claim.holds(self.take_over):
                        return False
                    path.unlink(missing_ok=True)  # whoever makes the next one has it; two at once only waste work
                else:
                    self.held.add(path)
                    return True
        return False


def folder_time(folder: Path, owner: Owner) -> float:
    """The present by the clock of the file system that holds a folder, seconds since 1970."""
    probe = folder / f"clock.{owner.host}.{owner.pid}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)


def read_claims(store: Path) -> dict[str, tuple[Claim, ...]]:
    """Every claim beside a store by stage, sorted by tile; writes nothing, so ages are by this machine's clock."""
    found: dict[str, list[Claim]] = {}
    folder = beside(store, ENDING)
    for path in folder.iterdir() if folder.is_dir() else ():
        stage, _, tile = path.name.rpartition(".")
        if not path.name.startswith("clock.") and tile.isdecimal() and (claim := _read(path, time.time())) is not None:
            found.setdefault(stage.replace(".", "/"), []).append(claim)
    return {stage: tuple(sorted(claims, key=lambda c: c.tile)) for stage, claims in sorted(found.items())}


def drop_claims(store: Path) -> None:
    """Remove the claims that nobody holds any more, as far as nobody makes new ones."""
    folder = beside(store, ENDING)
    for claims in read_claims(store).values():
        for claim in claims:
            if not claim.holds(TAKE_OVER):
                claim.path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _read(path: Path, now: float) -> Claim | None:
    """A claim; ``None`` where it has just been given back."""
    try:
        age = max(0.0, now - path.stat().st_mtime)
        text: dict[str, Any] = json.loads(path.read_text())
        owner = Owner(str(text["host"]), int(text["pid"]), str(text["job"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # being written, or left half-written
        owner = None
    return Claim(path, owner, age)
