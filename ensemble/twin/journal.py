"""A journal beside a store: numbered entries that are only ever added, each sealed with the digest of the one before.

An entry is one JSON file that is written whole and then named, so that a kill leaves either the entry or nothing. What it
names (a snapshot, a forecast) lies on disk before it; the entry is what makes it count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble import __version__
from ensemble.errors import Damaged, StoreRefused
from ensemble.provenance import digest_of
from ensemble.store.files import is_leftover, write_file
from ensemble.store.place import Place, local_folder

FORMAT = 1
# A clock may be behind the last entry by this many seconds (machines that share a folder differ a little).
CLOCK_SLACK = 300.0


@dataclass(frozen=True)
class Entry:
    """One entry.

    Args:
        number: from 1.
        kind: what happened.
        data: plain data.
        written: when, seconds since 1970.
        version: of this package.
        digest: of this entry and, through it, of all before.
    """

    number: int
    kind: str
    data: Mapping[str, Any]
    written: float
    version: str
    digest: str


def journal_folder(store: Place) -> Path:
    """Where the journal of a store lies: beside it, so that it outlives it; on this machine for one in a bucket."""
    return local_folder(store, ".twin")


class Journal:
    """The entries in a folder.

    Args:
        folder: made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries = _read(folder)

    def append(self, kind: str, data: Mapping[str, Any]) -> Entry:
        """Add an entry; it counts from the moment this returns. One process writes at a time (the caller's lock).

        Raises:
            StoreRefused: the clock stands before the last entry, or the folder cannot be written.
        """
        now = self.check_clock()
        number = len(self.entries) + 1
        before = self.entries[-1].digest if self.entries else ""
        body = {"format": FORMAT, "kind": kind, "data": data, "written": now, "version": __version__, "before": before}
        body = json.loads(json.dumps(body))
        digest = digest_of(body)
        write_file(self._path(number), json.dumps({**body, "digest": digest}, indent=1).encode())
        entry = Entry(number, kind, body["data"], now, __version__, digest)
        self.entries.append(entry)
        return entry

    def check_clock(self) -> float:
        """The time, seconds since 1970.

        Raises:
            StoreRefused: it is before the last entry, so that one of two clocks is wrong.
        """
        now = time.time()
        last = self.entries[-1].written if self.entries else now
        if now < last - CLOCK_SLACK:
            here, there = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(t)) for t in (now, last))
            raise StoreRefused(
                f"the clock of this machine says {here} UTC, and the last entry of {self.folder} was written at {there} UTC; "
                "set the clock right and run again"
            )
        return max(now, last)

    def of_kind(self, *kinds: str) -> list[Entry]:
        """Entries of some kinds, in order."""
        return [entry for entry in self.entries if entry.kind in kinds]

    def sweep(self) -> None:
        """Remove what a killed process left half written."""
        for path in self.folder.rglob(".*.partial") if self.folder.is_dir() else ():
            if is_leftover(path):
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / "journal" / f"{number:06d}.json"


def _read(folder: Path) -> list[Entry]:
    """Every entry, checked against its seal.

    Raises:
        Damaged: an entry is missing or was changed.
        StoreRefused: a later version wrote it.
    """
    found: list[Entry] = []
    before = ""
    for path in sorted((folder / "journal").glob("[0-9]*.json")):
        number = len(found) + 1
        try:
            body = json.loads(path.read_text())
            digest = body.pop("digest")
            sealed = digest == digest_of(body) and body["before"] == before and int(path.stem) == number
        except (ValueError, KeyError, AttributeError):
            sealed = False
        if not sealed:
            raise Damaged(f"{path} was changed, or an entry before it is missing: the history is not what was written")
        if body["format"] > FORMAT:
            raise StoreRefused(
                f"{path} was written by ensemble {body['version']} in format {body['format']}; "
                f"this is ensemble {__version__} and knows formats up to {FORMAT}"
            )
        found.append(Entry(number, body["kind"], body["data"], body["written"], body["version"], digest))
        before = digest
    return found
