"""Find damage, name it, and make the next run repair it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from ensemble.errors import Damaged
from ensemble.provenance import checksum
from ensemble.store.ledger import (
    BARE_GROUP,
    BrokenRecord,
    Entries,
    GroupRecord,
    StageRecord,
    damaged_copies,
    read_record,
    record_key,
    record_names,
    recorded_groups,
    write_record,
)
from ensemble.store.lock import WriterLock
from ensemble.store.place import Folder, Place, folder_at
from ensemble.store.read import open_store, read_checked, shard_key


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written.

    Args:
        part: stage or group it belongs to, ``"ledger"`` or ``"store"``.
        file: the file, relative to the store.
        problem: what is wrong with it.
        array, tile: which numbers it holds, where it holds numbers of a tile.
        lost: whether no run can put it back.
    """

    part: str
    file: str
    problem: str
    array: str | None = None
    tile: int | None = None
    lost: bool = False

    def __str__(self) -> str:
        """One line that names it."""
        where = f" (array {self.array}, tile {self.tile} of {self.part})" if self.array else f" ({self.part})"
        return f"{self.file}{where}: {self.problem}"


def verify_store(path: Place | str, strike: bool = True) -> list[Damage]:
    """Recompute the digest of everything that is finished and compare all metadata with the ledger.

    Args:
        path: the store.
        strike: take damaged tiles and groups out of the ledger, so that the next run computes them again,
            and put damaged metadata back; needs the writer's lock. Otherwise nothing is written.

    Returns:
        Every damage found; empty for a sound store.

    Raises:
        StoreRefused: it is no store, or (with ``strike``) another process is writing it.
    """
    folder = folder_at(path)
    with WriterLock(path) if strike and folder.exists() and not folder.is_file() else nullcontext():
        try:
            folder = open_store(path).folder
        except Damaged as error:
            return [Damage("store", "zarr.json", str(error), lost=True)]
        damages: list[Damage] = []
        for name in record_names(folder):
            damages += _verify_record(folder, name)
        damages += _verify_plain_groups(folder)
        if strike:
            _strike(folder, damages)
            repair_metadata(folder)
        return damages


def _verify_record(folder: Folder, name: str) -> Iterator[Damage]:
    try:
        record = read_record(folder, name)
    except BrokenRecord:
        problem = "differs from what was written, in every copy; the next run with the study makes it again"
        yield Damage(name, f"{record_key(name)}/zarr.json", problem)
        return
    if record is None:
        return
    for key in damaged_copies(folder, name):
        yield Damage(name, key, "differs from what was written")
    if isinstance(record, GroupRecord):
        yield from _verify_group(folder, record)
    else:
        yield from _verify_files(folder, record)
        yield from _verify_tiles(folder, record)


def _verify_files(folder: Folder, record: StageRecord) -> Iterator[Damage]:
    """Metadata and coordinates."""
    for key, data in record.files.items():
        found = folder.read(key)
        if found != data:
            yield Damage(record.name, key, "is missing" if found is None else "differs from what was written")


def _verify_tiles(folder: Folder, record: StageRecord) -> Iterator[Damage]:
    entries = Entries(folder, record)
    for tile, entry in entries.all():
        if entry is None:
            yield Damage(record.name, entries.key(tile), "differs from what was written", "ledger", tile)
            continue
        for array in entry.digests:
            try:
                read_checked(folder, record, entry, tile, array)
            except Damaged as error:
                key = shard_key(record, array, tile)
                yield Damage(record.name, key, str(error).rpartition(key)[2].strip(), array, tile)


def _verify_group(folder: Folder, record: GroupRecord) -> Iterator[Damage]:
    for key, expected in record.checksums.items():
        found = folder.read(key)
        if found is None:
            yield Damage(record.name, key, "is missing")
        elif checksum(found) != expected:
            yield Damage(record.name, key, "differs from what was written")


def _verify_plain_groups(folder: Folder) -> Iterator[Damage]:
    """Groups that only hold other groups have no record; their file is always the same."""
    known = _recorded_keys(folder)
    for key in _group_keys(folder):
        if key not in known and folder.read(key) != BARE_GROUP:
            yield Damage("store", key, "differs from what was written")


def _recorded_keys(folder: Folder) -> set[str]:
    known = set()
    for name in record_names(folder):
        known |= {f"{record_key(name)}/zarr.json", f"{record_key(name)}/copy/zarr.json"}
        try:
            record = read_record(folder, name)
        except BrokenRecord:
            continue
        if record is not None:
            known |= set(record.files if isinstance(record, StageRecord) else record.checksums)
    return known


def _group_keys(folder: Folder) -> list[str]:
    """Metadata of the groups above every recorded group."""
    groups = set()
    for group in recorded_groups(folder):
        parts = group.split("/")
        groups |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    return [f"{group}/zarr.json" for group in sorted(groups)]


def _strike(folder: Folder, damages: list[Damage]) -> None:
    for damage in damages:
        try:
            record = read_record(folder, damage.part) if damage.part != "store" else None
        except BrokenRecord:
            continue
        if isinstance(record, GroupRecord):
            folder.remove(f"{record_key(record.name)}/zarr.json")
        elif isinstance(record, StageRecord) and damage.tile is not None:
            Entries(folder, record).strike(damage.tile)
            if damage.array != "ledger":
                folder.remove(damage.file)


def repair_metadata(folder: Folder) -> list[str]:
    """Put damaged metadata and coordinates back from the ledger's copy of them; returns what was put back.

    A record whose copies are all damaged is left for the study to make again.
    """
    repaired = []
    for name in record_names(folder):
        try:
            record = read_record(folder, name)
        except BrokenRecord:
            continue
        if record is None:
            continue
        if damaged := damaged_copies(folder, name):
            write_record(folder, record)
            repaired += damaged
        if isinstance(record, StageRecord):
            for key, data in record.files.items():
                if folder.read(key) != data:
                    folder.write(key, data)
                    repaired.append(key)
    for damage in _verify_plain_groups(folder):
        folder.write(damage.file, BARE_GROUP)
        repaired.append(damage.file)
    return repaired
