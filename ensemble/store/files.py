"""The files of a store: whole-file writes that survive a kill or a power cut, and what is swept up after one."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from ensemble.errors import StoreFull, StoreRefused

# A leftover of another machine, whose processes cannot be asked for, is swept after this many seconds.
STALE_AFTER = 3600.0
_PARTIAL = re.compile(r"\.(?P<host>[A-Za-z0-9_-]*)\.(?P<pid>\d+)\.\d+\.partial$")
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP}
_COUNTER = itertools.count()


def host_name() -> str:
    """Name of this machine with letters, digits, ``-`` and ``_`` only."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())


def process_lives(pid: int) -> bool:
    """Whether a process of this machine is running; ``True`` where the system gives no safe way to ask."""
    if sys.platform == "win32":  # there, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def partial_path(path: Path) -> Path:
    """Name beside ``path`` to write under before renaming; says which process is writing."""
    return path.with_name(f".{path.name}.{host_name()}.{os.getpid()}.{next(_COUNTER)}.partial")


def is_leftover(path: Path) -> bool:
    """Whether ``path`` is a partial file or folder that nobody is writing any more."""
    match = _PARTIAL.search(path.name)
    if match is None:  # the pattern of Zarr's own local store
        return path.suffix == ".partial" and _age(path) > STALE_AFTER
    if match["host"] == host_name() and sys.platform != "win32":
        return not process_lives(int(match["pid"]))
    return _age(path) > STALE_AFTER


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def saying_why(path: Path, size: int = 0) -> Iterator[None]:
    """Turn an operating-system error of a write into one sentence.

    Raises:
        StoreFull: the disk or quota is full.
        StoreRefused: the path may not be written, or something is in the way.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            free = _free(path)
            text = f"{path} cannot be written: it needs {size:,} bytes and the disk has {free:,} left"
            raise StoreFull(f"{text}; free some space and run again to go on from here") from error
        if error.errno in _FORBIDDEN:
            raise StoreRefused(f"{path} cannot be written: {(error.strerror or 'not allowed').lower()}") from error
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise StoreRefused(f"{path} cannot be written: a file is in the way") from error
        raise


def _free(path: Path) -> int:
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def write_file(path: Path, data: Any) -> None:
    """Write a whole file so that it is there completely or not at all, also after a power cut.

    Args:
        path: file to write or replace; its folders are made.
        data: bytes or anything with the buffer protocol.

    Raises:
        StoreFull, StoreRefused: see :func:`saying_why`.
    """
    partial = partial_path(path)
    with saying_why(path, memoryview(data).nbytes):
        made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    for folder in (path.parent, *(f.parent for f in made)):
        flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable; does nothing where the system cannot open folders."""
    if os.name != "posix":
        return
    with saying_why(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such call
                raise
        finally:
            os.close(handle)


class DurableStore(LocalStore):
    """A local Zarr store whose writes are whole files, flushed to disk before they get their name.

    Args:
        root: folder of the store.
        read_only: refuse writes.
        overwrite: never read a chunk before replacing it. Tiles write whole shards, so what lies there (the
            same bytes of another worker, or a damaged file) must not matter; Zarr would merge with it.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False, overwrite: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self.overwrite = overwrite

    def with_read_only(self, read_only: bool = False) -> DurableStore:
        """The same folder with another mode."""
        return type(self)(self.root, read_only=read_only, overwrite=self.overwrite)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a key; ``None`` where it is absent, or a chunk about to be replaced."""
        if self.overwrite and not key.endswith("zarr.json"):
            return None
        return await super().get(key, prototype, byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Write a whole key."""
        self._check_writable()
        await asyncio.to_thread(write_file, self.root / key, value.as_buffer_like())

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write a whole key unless it is there; two writers of one key write the same bytes."""
        if not (self.root / key).exists():
            await self.set(key, value)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As :meth:`get`, without an event loop."""
        if self.overwrite and not key.endswith("zarr.json"):
            return None
        return super().get_sync(key, prototype=prototype, byte_range=byte_range)

    def set_sync(self, key: str, value: Buffer) -> None:
        """As :meth:`set`, without an event loop."""
        self._check_writable()
        write_file(self.root / key, value.as_buffer_like())


class LocalFolder:
    """The keys of a store (paths with forward slashes below its root) as files.

    Args:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def zarr(self, write: bool = False, overwrite: bool = False) -> DurableStore:
        """The folder as a Zarr store."""
        return DurableStore(self.root, read_only=not write, overwrite=overwrite)

    def explained(self, key: str = "", size: int = 0) -> AbstractContextManager[None]:
        """See :func:`saying_why`."""
        return saying_why(self.root / key, size)

    def exists(self) -> bool:
        """Whether there is such a folder, or a file of its name."""
        with saying_why(self.root):
            return self.root.exists() or self.root.is_symlink()

    def is_file(self) -> bool:
        """Whether a file has its name."""
        return self.exists() and not self.root.is_dir()

    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.root.is_dir() or not any(self.root.iterdir())

    def read(self, key: str) -> bytes | None:
        """Bytes of a key; ``None`` where it is absent."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, key: str, data: bytes) -> None:
        """Write a whole key, durably."""
        write_file(self.root / key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a key in one step, unless it is there; whether it was not.

        ``O_EXCL``, which network file systems keep; a reader may see it empty for a moment.
        """
        path = self.root / key
        with saying_why(path, len(data)):
            while True:
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with path.open("xb") as file:
                        file.write(data)
                except FileExistsError:
                    return False
                except FileNotFoundError:  # another process has just removed the empty folder
                    continue
                return True

    def modified(self, key: str) -> float | None:
        """When a key was written, by the clock of the file system, seconds since 1970; ``None`` where it is absent."""
        try:
            return (self.root / key).stat().st_mtime
        except OSError:
            return None

    def remove(self, key: str) -> None:
        """Remove a key, or all keys below a prefix."""
        path = self.root / key
        with saying_why(path):
            while path.is_dir() and not path.is_symlink():
                with suppress(FileNotFoundError):  # another process is removing it too
                    shutil.rmtree(path)
            path.unlink(missing_ok=True)
        if path.parent.exists():
            flush_folder(path.parent)

    def remove_if_empty(self) -> None:
        """Remove the folder itself, if nothing is in it."""
        with suppress(OSError):
            self.root.rmdir()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key below a prefix, partial files left out, in sorted order."""
        for folder, folders, files in os.walk(self.root / prefix):
            folders.sort()
            for name in sorted(files):
                if not name.endswith(".partial"):
                    yield (Path(folder) / name).relative_to(self.root).as_posix()

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix."""
        try:
            with os.scandir(self.root / prefix) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sweep(self) -> int:
        """Remove partial files that a killed process left, of the notes beside the store too; returns how many."""
        found = [Path(f) / name for f, _, files in os.walk(self.root) for name in files if name.endswith(".partial")]
        found += self.root.parent.glob(f"..{escape(self.root.name)}.*.partial")
        leftovers = [path for path in found if is_leftover(path)]
        for path in leftovers:
            with saying_why(path):
                path.unlink(missing_ok=True)
        return len(leftovers)

    @contextmanager
    def drafted(self, first: str) -> Iterator[LocalFolder]:
        """A folder to fill under another name, which then gets this one, so that a kill leaves no half of it.

        Args:
            first: of no use here, where all appears at once.

        Raises:
            StoreFull, StoreRefused: it cannot be written.
        """
        for leftover in self.root.parent.glob(f".{escape(self.root.name)}.*.partial"):
            if is_leftover(leftover):
                LocalFolder(leftover.parent).remove(leftover.name)
        draft = LocalFolder(partial_path(self.root))
        with saying_why(self.root):
            draft.root.mkdir(parents=True)
        try:
            yield draft
            with saying_why(self.root):
                if self.root.exists():
                    self.root.rmdir()  # only ever an empty folder: some systems do not rename over one
                draft.root.rename(self.root)
        except BaseException:
            draft.remove("")
            raise
        flush_folder(self.root.parent)
