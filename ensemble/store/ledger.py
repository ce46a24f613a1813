"""The ledger: what is finished, and what its bytes and its metadata must be.

Every stage and every reduced group has one record under ``/ledger``, a Zarr group whose attributes are
sealed with their own digest. A stage's record keeps the very bytes of its metadata and coordinate files and
lies there twice, so that one damaged file can always be put back. Its ``entries`` array has one chunk a
tile, so that two workers never touch the same file, and each entry carries a checksum of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.storage import StorePath

from ensemble.store.place import Folder
from ensemble.store.template import Tiling

BARE_GROUP = b'{"attributes":{},"node_type":"group","zarr_format":3}'
# Numbers of an array that are read at once for its digest.
PIECE = 2**20
_HEAD = ("finished", "pairs", "failed", "milliseconds since 1970")
_BLANK = b'"seal":"' + b"0" * 64 + b'"'


class BrokenRecord(ValueError):
    """A record of the ledger does not agree with its seal."""


@dataclass(frozen=True)
class StageRecord:
    """A stage as the ledger knows it.

    Args:
        name: name of the stage.
        layout: tiling, arrays and flags, see :meth:`~ensemble.store.template.Stage.describe`.
        files: bytes of every metadata and coordinate file, by key.
        digest: of the array bytes of its coordinates.
        created: seconds since 1970.
    """

    name: str
    layout: Mapping[str, Any]
    files: Mapping[str, bytes]
    digest: str
    created: float

    @property
    def tiling(self) -> Tiling:
        """Its tiles."""
        return Tiling(**self.layout["tiling"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """Paths of the arrays that tiles fill, in the fixed order of their digests."""
        return tuple(sorted(self.layout["arrays"]))

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group it writes, sorted."""
        return tuple(self.layout["groups"])

    def dims(self, array: str) -> tuple[str, ...]:
        """Names of the axes of one of its arrays."""
        return tuple(self.layout["arrays"][array]["dims"])

    def owned(self, tile: int) -> tuple[str, ...]:
        """The arrays that a tile writes, in order."""
        return tuple(path for path in self.arrays if self.tiling.owns(tile, self.dims(path)))

    def selection(self, array: str, tile: int) -> tuple[slice, ...]:
        """The region of an array that a tile writes."""
        region = self.tiling.region(tile)
        return tuple(region.get(name, slice(None)) for name in self.dims(array))

    def open(self, folder: Folder, array: str, write: bool = False) -> zarr.Array:
        """One of its arrays, by its metadata on record (those on disk may be damaged)."""
        metadata = json.loads(self.files[f"{array}/zarr.json"])
        return zarr.Array.from_dict(StorePath(folder.zarr(write, overwrite=write), array), metadata)


@dataclass(frozen=True)
class GroupRecord:
    """A reduced group (statistics, a posterior) as the ledger knows it.

    Args:
        name: path of the group.
        checksums: SHA-256 of each of its files, by key.
        digest: of its array bytes.
        created: seconds since 1970.
    """

    name: str
    checksums: Mapping[str, str]
    digest: str
    created: float


@dataclass(frozen=True)
class Entry:
    """One finished tile.

    Args:
        pairs, failed: (member, site) pairs computed, and those of them that failed.
        time: when it was finished, seconds since 1970.
        digests: SHA-256 of the bytes of each array it owns, by path.
    """

    pairs: int
    failed: int
    time: float
    digests: Mapping[str, bytes]


def array_digest(path: str, values: Any) -> bytes:
    """SHA-256 of an array: path, type, shape and its bytes in C order, little-endian; text as a JSON list of its cells.

    Args:
        path: group and name.
        values: NumPy or Zarr array; a large one is read in pieces, which do not count in the digest.
    """
    kind = "text" if values.dtype.kind in "OTU" else values.dtype.newbyteorder("<").str
    checksum = hashlib.sha256(f"{path} {kind} {tuple(values.shape)}".encode())
    for number, piece in enumerate(_pieces(values)):
        block = np.asarray(values[piece])
        if kind != "text":
            block = np.ascontiguousarray(block.astype(kind, copy=False))
            checksum.update(block.reshape(-1).view(np.uint8).data)
        elif block.ndim == 1:
            checksum.update(((", " if number else "[") + json.dumps(block.tolist())[1:-1]).encode())
        else:
            checksum.update(json.dumps(block.tolist()).encode())
    if kind == "text" and values.ndim == 1:
        checksum.update(b"]")
    return checksum.digest()


def _pieces(values: Any) -> Iterator[Any]:
    """An array cut along its first axes into pieces of about ``PIECE`` numbers or one chunk, in C order."""
    shape, chunks = values.shape, getattr(values, "shards", None) or getattr(values, "chunks", None)
    if values.size <= PIECE or not shape:
        yield ...
        return
    axis = next(k for k in range(len(shape)) if math.prod(shape[k + 1 :]) <= PIECE)
    step = max(1, PIECE // math.prod(shape[axis + 1 :]))
    step = max(chunks[axis], step - step % chunks[axis]) if chunks is not None else step
    for lead in np.ndindex(*shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*lead, slice(start, start + step))


def record_key(name: str) -> str:
    """Folder of a record: names are flattened, so that no ledger group lies in another."""
    return f"ledger/{name.replace('/', '.')}"


def record_names(folder: Folder) -> list[str]:
    """Names of all stages and reduced groups that have a record, damaged ones included."""
    return [name.replace(".", "/") for name in folder.children("ledger")]


def recorded_groups(folder: Folder) -> list[str]:
    """Paths of every group that a sound record answers for, sorted."""
    groups: set[str] = set()
    for name in record_names(folder):
        try:
            record = read_record(folder, name)
        except BrokenRecord:
            continue
        groups |= set(record.groups) if isinstance(record, StageRecord) else {name} if record else set()
    return sorted(groups)


def write_record(folder: Folder, record: StageRecord | GroupRecord) -> None:
    """Write a record, after everything it records: it makes that count."""
    key = record_key(record.name)
    if isinstance(record, StageRecord):
        files = {path: base64.b64encode(zlib.compress(data)).decode() for path, data in record.files.items()}
        text = {"kind": "stage", **record.layout, "digest": record.digest, "created": record.created, "files": files}
        sealed = _seal(text)
        folder.write(f"{key}/copy/zarr.json", sealed)
    else:
        checksums = dict(record.checksums)
        text = {"kind": "group", "digest": record.digest, "created": record.created, "checksums": checksums}
        sealed = _seal(text)
    folder.write(f"{key}/zarr.json", sealed)


def read_record(folder: Folder, name: str) -> StageRecord | GroupRecord | None:
    """The record of a stage or group; ``None`` where it was never completed.

    Raises:
        BrokenRecord: it is damaged, in all its copies.
    """
    copies = [folder.read(key) for key in _copies(folder, name)]
    if not any(raw is not None for raw in copies):
        return None
    for raw in copies:
        if raw is not None and (text := _unseal(raw)) is not None:
            return _parse(name, text)
    raise BrokenRecord(f"{record_key(name)}/zarr.json is damaged")


def damaged_copies(folder: Folder, name: str) -> list[str]:
    """Keys of the copies of a record that do not agree with their seal."""
    return [key for key in _copies(folder, name) if _unseal(folder.read(key) or b"") is None]


def _copies(folder: Folder, name: str) -> list[str]:
    """Keys of a record and of its copy; a reduced group has only the one."""
    key = record_key(name)
    whole = folder.read(f"{key}/zarr.json"), folder.read(f"{key}/copy/zarr.json")
    reduced = whole[1] is None and (_unseal(whole[0] or b"") or {}).get("kind") == "group"
    return [f"{key}/zarr.json"] if reduced else [f"{key}/zarr.json", f"{key}/copy/zarr.json"]


def _seal(text: Mapping[str, Any]) -> bytes:
    group = {"attributes": {"seal": "0" * 64, **text}, "node_type": "group", "zarr_format": 3}
    raw = json.dumps(group, sort_keys=True, separators=(",", ":")).encode("ascii")
    return raw.replace(_BLANK, b'"seal":"' + hashlib.sha256(raw).hexdigest().encode() + b'"', 1)


def _unseal(raw: bytes) -> dict[str, Any] | None:
    """Attributes of a sealed group; ``None`` if a byte of it was changed."""
    start = raw.find(b'"seal":"')
    found = raw[start : start + len(_BLANK)]
    blank = raw[:start] + _BLANK + raw[start + len(_BLANK) :]
    if start < 0 or found != b'"seal":"' + hashlib.sha256(blank).hexdigest().encode() + b'"':
        return None
    return json.loads(raw)["attributes"]


def _parse(name: str, text: Mapping[str, Any]) -> StageRecord | GroupRecord:
    if text["kind"] == "group":
        return GroupRecord(name, text["checksums"], text["digest"], text["created"])
    files = {path: zlib.decompress(base64.b64decode(data)) for path, data in text["files"].items()}
    layout = {key: text[key] for key in ("tiling", "arrays", "flags", "groups")}
    return StageRecord(name, layout, files, text["digest"], text["created"])


class Entries:
    """The tiles of a stage in the ledger.

    Args:
        folder: files of the store.
        record: the stage.
    """

    def __init__(self, folder: Folder, record: StageRecord) -> None:
        self.folder, self.record = folder, record
        self.path = f"{record_key(record.name)}/entries"

    @staticmethod
    def create(folder: Folder, name: str, layout: Mapping[str, Any], tiles: int) -> None:
        """Make the empty array of a stage's entries."""
        fields = [*_HEAD, *(f"sha256 of {path} [{i}]" for path in sorted(layout["arrays"]) for i in range(4))]
        fields += [f"sha256 of this entry [{i}]" for i in range(4)]
        zarr.create_array(
            folder.zarr(write=True),
            name=f"{record_key(name)}/entries",
            shape=(tiles, len(fields)),
            chunks=(1, len(fields)),
            dtype="int64",
            fill_value=0,
            compressors=None,  # an entry is its words, little-endian, and nothing else
            dimension_names=("tile", "field"),
            attributes={"long_name": "finished tiles", "fields": fields},
        )

    def key(self, tile: int) -> str:
        """Key of the file of one entry."""
        return f"{self.path}/c/{tile}/0"

    def get(self, tile: int) -> Entry | None:
        """The entry of a tile; ``None`` where it is not finished.

        Raises:
            BrokenRecord: the entry is damaged.
        """
        raw = self.folder.read(self.key(tile))
        return None if raw is None else self._decode(tile, raw)

    def all(self) -> Iterator[tuple[int, Entry | None]]:
        """Number and entry of every tile that has one; ``None`` for a damaged entry."""
        for name in self.folder.children(f"{self.path}/c"):
            if name.isdecimal() and int(name) < self.record.tiling.count:
                try:
                    entry = self.get(int(name))
                except BrokenRecord:
                    yield int(name), None
                else:
                    if entry is not None:
                        yield int(name), entry

    def put(self, tile: int, entry: Entry) -> None:
        """Enter a finished tile, after its data are on disk."""
        head = np.array([1, entry.pairs, entry.failed, int(1000 * entry.time)], "<i8").tobytes()
        words = head + b"".join(entry.digests.get(path, bytes(32)) for path in self.record.arrays)
        self.folder.write(self.key(tile), words + self._checksum(tile, words))

    def strike(self, tile: int) -> None:
        """Take a tile out of the ledger, so that it is computed again."""
        self.folder.remove(self.key(tile))

    def _checksum(self, tile: int, words: bytes) -> bytes:
        return hashlib.sha256(f"{self.path} {tile}".encode() + words).digest()

    def _decode(self, tile: int, raw: bytes) -> Entry:
        words, paths = raw[:-32], self.record.arrays
        whole = len(words) == 8 * len(_HEAD) + 32 * len(paths)
        if not whole or raw[-32:] != self._checksum(tile, words):
            raise BrokenRecord(f"{self.key(tile)} is damaged")
        _, pairs, failed, finished = (int(word) for word in np.frombuffer(words, "<i8", len(_HEAD)))
        owned, start = set(self.record.owned(tile)), 8 * len(_HEAD)
        digests = {p: words[start + 32 * i : start + 32 * i + 32] for i, p in enumerate(paths) if p in owned}
        return Entry(pairs, failed, finished / 1000, digests)


def now() -> float:
    """Seconds since 1970."""
    return time.time()
