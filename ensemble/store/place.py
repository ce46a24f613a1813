"""Where a store lies: a folder of a file system, or an address in a bucket. Nobody else has to know which."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TypeAlias

from ensemble.errors import StoreRefused
from ensemble.store.files import LocalFolder, host_name, write_file
from ensemble.store.objects import ObjectFolder, Url

Place: TypeAlias = Path | Url
Folder: TypeAlias = LocalFolder | ObjectFolder

_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<bucket>[^/?#]*)/*(?P<key>[^?#]*)")
SCHEMES = ("s3", "gs", "az")
# Name of the file that asks a file system or a service what time it is.
CLOCK = ".clock"


def place(written: Place | str) -> Place:
    """A place from what a user writes.

    Raises:
        StoreRefused: it is blank, an address of another kind, one without a name, or one that holds a password.
    """
    if isinstance(written, Url):
        return written
    text = str(written)
    if not text.strip():
        raise StoreRefused("the path of the store is blank")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        if "://" in text:
            raise StoreRefused("this address of a store has more than a bucket and a path; allowed: s3://BUCKET/NAME")
        return plain_path(Path(written))
    if "@" in found["bucket"]:
        raise StoreRefused("an address must not hold a password; credentials come from the environment")
    if found["scheme"] not in SCHEMES or not found["bucket"] or not found["key"].strip("/ "):
        allowed = ", ".join(f"{scheme}://BUCKET/NAME" for scheme in SCHEMES)
        raise StoreRefused(f"{text} is no address of a store; allowed: {allowed}")
    return Url(f"{found['scheme']}://{found['bucket']}", found["key"].strip("/"))


def plain_path(path: Path) -> Path:
    """The path without ``..``, so that folders which are only passed through are never made; others as they are."""
    return path.resolve() if ".." in path.parts else path


def folder_at(where: Place | str) -> Folder:
    """The files at a place."""
    where = place(where)
    return ObjectFolder(where) if isinstance(where, Url) else LocalFolder(where)


def is_there(where: Place | str) -> bool:
    """Whether something lies at a place."""
    return folder_at(where).exists()


def beside(store: Place, ending: str) -> Place:
    """Something hidden beside a store, never in it."""
    return store.with_name(f".{store.name}.{ending}")


def local_folder(store: Place, ending: str) -> Path:
    """A folder of this machine that goes with a store: beside it, or for one in a bucket in the working directory."""
    name = f"{store.stem}{ending}"
    return Path(name) if isinstance(store, Url) else store.with_name(name)


def present(folder: Folder) -> float:
    """The present by the clock that dates what is written at a place, seconds since 1970."""
    probe = f"{CLOCK}.{host_name()}.{os.getpid()}"
    folder.write(probe, b"")
    found = folder.modified(probe)
    folder.remove(probe)
    return time.time() if found is None else found


def read_file(where: Place) -> bytes | None:
    """Bytes of a file at a place; ``None`` where it is absent."""
    folder, name = _above(where)
    return folder.read(name)


def write_whole(where: Place, data: bytes) -> None:
    """Write a file at a place, completely or not at all.

    Raises:
        StoreFull, StoreRefused: it cannot be written.
    """
    if isinstance(where, Path):
        write_file(where, data)
    else:
        folder, name = _above(where)
        folder.write(name, data)


def remove_file(where: Place) -> None:
    """Remove a file at a place, if it is there."""
    if isinstance(where, Path):
        where.unlink(missing_ok=True)
    else:
        folder, name = _above(where)
        folder.remove(name)


def _above(where: Place) -> tuple[Folder, str]:
    """The folder that a file lies in, and its name."""
    if isinstance(where, Path):
        return LocalFolder(where.parent), where.name
    parent, _, name = where.key.rpartition("/")
    return ObjectFolder(Url(where.bucket, parent)), name
