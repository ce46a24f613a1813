"""Who is computing which tile: one small file a claim, in a folder beside the store.

Claims only save work. Two workers on one tile end with the same bytes, so nothing here has to be right for
the numbers to be: a claim is one file made in one step (``O_EXCL``, which network file systems keep, or a
conditional put), there is no lock that could hang, and a claim is void once it is old or its owner has died on this machine. Ages are
measured by the clock that dates the claims, so that clocks of different machines do not matter.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ensemble.store.files import host_name, process_lives
from ensemble.store.place import CLOCK, Folder, Place, beside, folder_at, place, present

ENDING = "claims"
# Seconds after which a claim counts for nothing: many times what a tile should take.
TAKE_OVER = 120.0
# Seconds that a process which ends waits for a claim that is just being made.
LAST_CLAIM = 5.0


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
    """One claim as it lies beside the store.

    Args:
        stage, tile: what is claimed.
        owner: who holds it; ``None`` where it cannot be read.
        age: seconds since it was made.
    """

    stage: str
    tile: int
    owner: Owner | None
    age: float

    def holds(self, take_over: float) -> bool:
        """Whether others should leave the tile alone."""
        return self.age < take_over and (self.owner is None or not self.owner.has_died)


class Claims:
    """The claims of this process on tiles of a store.

    Args:
        store: where the store lies.
        take_over: seconds after which a claim counts for nothing.
    """

    def __init__(self, store: Place | str, take_over: float = TAKE_OVER) -> None:
        self.folder, self.take_over = _folder(place(store)), take_over
        self.owner = Owner.here()
        self.held: set[str] = set()
        self._making = threading.Lock()

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
            if self._claim(_key(stage, tile)):
                if finished(tile):
                    self.release(stage, tile)
                else:
                    yield tile

    def release(self, stage: str, tile: int) -> None:
        """Give a claim back."""
        self._release(_key(stage, tile))

    def release_all(self) -> None:
        """Give back every claim of this process and make no more; safe from another thread, as the process ends."""
        self._making.acquire(timeout=LAST_CLAIM)  # for good: whoever wants another claim waits for the end
        for key in list(self.held):
            self._release(key)

    def _release(self, key: str) -> None:
        self.folder.remove(key)  # first, so that a process which ends meanwhile still knows of it
        self.held.discard(key)

    def _claim(self, key: str) -> bool:
        for _ in range(2):
            if self._make(key):
                return True
            claim = _read(self.folder, key, time.time() + self._skew)
            if claim is not None and claim.holds(self.take_over):
                return False
            self.folder.remove(key)  # whoever makes the next one has it; two at once only waste work
        return False

    def _make(self, key: str) -> bool:
        with self._making:
            made = self.folder.create(key, json.dumps(asdict(self.owner)).encode())
            if made:
                self.held.add(key)
            return made

    @cached_property
    def _skew(self) -> float:
        """By how many seconds the clock that dates the claims is ahead of this machine's."""
        return present(self.folder) - time.time()


def read_claims(store: Place | str) -> dict[str, tuple[Claim, ...]]:
    """Every claim beside a store by stage, sorted by tile; writes nothing, so ages are by this machine's clock."""
    found: dict[str, list[Claim]] = {}
    folder = _folder(place(store))
    for key in folder.keys(""):
        if not key.startswith(CLOCK) and (claim := _read(folder, key, time.time())) is not None:
            found.setdefault(claim.stage, []).append(claim)
    return {stage: tuple(sorted(claims, key=lambda c: c.tile)) for stage, claims in sorted(found.items())}


def drop_claims(store: Place | str) -> None:
    """Remove the claims that nobody holds any more, as far as nobody makes new ones."""
    folder = _folder(place(store))
    for claims in read_claims(store).values():
        for claim in claims:
            if not claim.holds(TAKE_OVER):
                folder.remove(_key(claim.stage, claim.tile))
    folder.remove_if_empty()


def _folder(store: Place) -> Folder:
    return folder_at(beside(store, ENDING))


def _key(stage: str, tile: int) -> str:
    return f"{stage.replace('/', '.')}.{tile}"


def _read(folder: Folder, key: str, now: float) -> Claim | None:
    """A claim; ``None`` where it has just been given back."""
    modified, raw = folder.modified(key), folder.read(key)
    if modified is None or raw is None:
        return None
    try:
        text: dict[str, Any] = json.loads(raw)
        owner = Owner(str(text["host"]), int(text["pid"]), str(text["job"]))
    except (ValueError, KeyError, TypeError):  # being written, or left half-written
        owner = None
    stage, _, tile = key.rpartition(".")
    return Claim(stage.replace(".", "/"), int(tile), owner, max(0.0, now - modified))
