"""How far a run is, from the files of its store alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ensemble.errors import Damaged
from ensemble.store.ledger import Entry, StageRecord
from ensemble.store.lock import read_writer
from ensemble.store.place import Place
from ensemble.store.read import Store, open_store

# The rate is that of the last tiles; a pause this many times longer than usual (a stop and a resume) ends them.
RECENT_TILES = 50
PAUSE = 10.0
# Failed pairs that are listed.
LISTED = 100


@dataclass(frozen=True)
class StageStatus:
    """Progress of one stage.

    Args:
        stage: its name.
        tiles, tiles_done: tiles in all, and finished.
        members, members_done: members in all, and finished at every site.
        pairs, pairs_done, pairs_failed: (member, site) pairs in all, computed, and failed.
        failed: the first failed pairs: index by axis, reason code and its meaning.
        started, updated: times in ISO 8601, UTC; ``updated`` is ``None`` before the first tile.
        pairs_per_second: rate of the last tiles; ``None`` with fewer than two.
        seconds_left: at that rate; 0 when finished.
    """

    stage: str
    tiles: int
    tiles_done: int
    members: int
    members_done: int
    pairs: int
    pairs_done: int
    pairs_failed: int
    failed: tuple[Mapping[str, Any], ...]
    started: str
    updated: str | None
    pairs_per_second: float | None
    seconds_left: float | None

    @property
    def complete(self) -> bool:
        """Whether every tile is finished."""
        return self.tiles_done == self.tiles

    def line(self) -> str:
        """One line for people."""
        text = f"{self.stage}: {self.tiles_done:,} of {self.tiles:,} tiles, {self.members_done:,} of {self.members:,} members"
        text += f", {self.pairs_failed:,} of {self.pairs_done:,} failed"
        if not self.complete and self.pairs_per_second and self.seconds_left is not None:
            text += f", {self.pairs_per_second:,.0f} members/s, {self.seconds_left:,.0f} s left"
        return text


@dataclass(frozen=True)
class Status:
    """Progress of a store.

    Args:
        store: its path.
        title: title of the study.
        study_digest: digest of the study.
        writer: process that is writing it (``pid, host, since``), if one has said so and lives.
        stages: progress of each stage.
        groups: reduced groups that are complete.
    """

    store: str
    title: str
    study_digest: str
    writer: Mapping[str, Any] | None
    stages: tuple[StageStatus, ...]
    groups: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tile of every stage is finished."""
        return all(stage.complete for stage in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "complete": self.complete}

    def lines(self) -> list[str]:
        """Lines for people."""
        lines = [f"{self.store}: {'complete' if self.complete else 'not complete'}"]
        if self.writer is not None:
            lines.append(f"being written by process {self.writer['pid']} on {self.writer['host']}")
        for stage in self.stages:
            lines.append(stage.line())
            lines += [f"  failed: {_failed_line(pair)}" for pair in stage.failed[:10]]
            if stage.pairs_failed > 10:
                lines.append(f"  and {stage.pairs_failed - min(10, len(stage.failed)):,} more")
        if self.groups:
            lines.append(f"finished: {', '.join(self.groups)}")
        return lines


def _failed_line(pair: Mapping[str, Any]) -> str:
    where = ", ".join(f"{name} {value}" for name, value in pair.items() if name not in ("code", "reason"))
    return f"{where}: {pair['reason']}"


def store_status(path: Place | str) -> Status:
    """Progress of a store; reads no array but the flags of tiles with failures.

    Raises:
        StoreRefused: there is no store, or another version of the format made it.
    """
    store = open_store(path)
    stages = tuple(_stage_status(store, name) for name in store.stages)
    title = str(store.attrs.get("title", ""))
    writer = read_writer(store.path)
    return Status(str(path), title, store.attrs["study_digest"], writer, stages, tuple(store.reduced_groups))


def _stage_status(store: Store, name: str) -> StageStatus:
    record, entries = store.stage(name), store.entries(name)
    tiling, done = record.tiling, sum(entry.pairs for entry in entries.values())
    pairs, updated = math.prod(tiling.shape.values()), max((entry.time for entry in entries.values()), default=None)
    rate = _rate(entries)
    left = 0.0 if done == pairs else (pairs - done) / rate if rate else None
    return StageStatus(
        stage=name,
        tiles=tiling.count,
        tiles_done=len(entries),
        members=tiling.shape.get("member", 1),
        members_done=_members_done(record, entries),
        pairs=pairs,
        pairs_done=done,
        pairs_failed=sum(entry.failed for entry in entries.values()),
        failed=tuple(_failed_pairs(store, record, entries)),
        started=_iso(record.created),
        updated=None if updated is None else _iso(updated),
        pairs_per_second=rate,
        seconds_left=left,
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _members_done(record: StageRecord, entries: Mapping[int, Entry]) -> int:
    """Members whose tiles are all finished."""
    tiling = record.tiling
    if "member" not in tiling.blocks:
        return int(len(entries) == tiling.count)
    grid = np.zeros(tiling.count, bool)
    grid[list(entries)] = True
    axis = list(tiling.blocks).index("member")
    whole = np.moveaxis(grid.reshape(tiling.grid), axis, 0).reshape(tiling.grid[axis], -1).all(axis=1)
    block, full = tiling.blocks["member"], tiling.shape["member"]
    return sum(min((int(i) + 1) * block, full) - int(i) * block for i in np.flatnonzero(whole))


def _rate(entries: Mapping[int, Entry]) -> float | None:
    """Pairs a second over the last tiles, without the pause before a resume."""
    recent = sorted(entries.values(), key=lambda entry: entry.time)[-RECENT_TILES:]
    if len(recent) < 2:
        return None
    gaps = np.diff([entry.time for entry in recent])
    pauses = np.flatnonzero(gaps > PAUSE * max(float(np.median(gaps)), 1.0))
    recent = recent[pauses[-1] + 1 :] if pauses.size else recent
    seconds = recent[-1].time - recent[0].time
    return sum(entry.pairs for entry in recent[1:]) / seconds if seconds > 0 else None


def _failed_pairs(store: Store, record: StageRecord, entries: Mapping[int, Entry]) -> list[dict[str, Any]]:
    flags = record.layout["flags"]
    found: list[dict[str, Any]] = []
    for tile in sorted(tile for tile, entry in entries.items() if entry.failed):
        if flags is None or len(found) >= LISTED:
            break
        try:
            codes = store.read_tile(record.name, tile, [flags])[flags]
        except Damaged:
            continue  # verify names it
        meanings, region, dims = _meanings(record, flags), record.tiling.region(tile), record.dims(flags)
        for index in np.argwhere(codes)[: LISTED - len(found)]:
            code = int(codes[tuple(index)])
            place = {n: int(i) + region.get(n, slice(0, 0)).start for n, i in zip(dims, index, strict=True)}
            found.append({**place, "code": code, "reason": meanings.get(code, f"code {code}")})
    return found


def _meanings(record: StageRecord, flags: str) -> dict[int, str]:
    """What each reason code means, from the CF attributes ``flag_values`` and ``flag_meanings``."""
    attrs = json.loads(record.files[f"{flags}/zarr.json"])["attributes"]
    names = str(attrs.get("flag_meanings", "")).split()
    return {int(c): n.replace("_", " ") for c, n in zip(attrs.get("flag_values", ()), names, strict=False)}
