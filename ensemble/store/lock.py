"""One writer of a store: a lock beside the store, and a note of who holds it."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from ensemble.errors import Stopped, StoreRefused
from ensemble.store.files import host_name, process_lives, saying_why
from ensemble.store.objects import ObjectFolder, Url
from ensemble.store.place import Place, beside, local_folder, place, present, read_file, remove_file, write_whole

NOTE = "writer"
# In a bucket nobody frees the note of a writer that died: it is void when it was not renewed for this many seconds.
LEASE = 120.0


class WriterLock:
    """Held by the one process that may create, summarise or repair a store; readers never need it.

    On a file system the operating system frees it when the process ends, however it ends. In a bucket the note
    itself is the lock: made in one step, renewed by a thread, and void when its process has died or went silent.

    Args:
        store: where the store lies.
        lease: seconds without renewal after which a note in a bucket is void.
    """

    def __init__(self, store: Place | str, lease: float = LEASE) -> None:
        self.store = place(store)
        self._lock = _Lease(self.store, lease) if isinstance(self.store, Url) else _FileLock(self.store)

    def __enter__(self) -> WriterLock:
        """Take the lock.

        Raises:
            StoreRefused: another process holds it, or it cannot be written.
        """
        if not self._lock.acquire():
            holder = read_writer(self.store)
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise StoreRefused(f"{self.store} is being written by {who}; wait for it or stop it first")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Give the lock back.

        Raises:
            Stopped: it was lost on the way.
        """
        if not self._lock.release() and error is None:
            raise Stopped(f"another process has taken {self.store} over, as this one was silent; run again to go on")


class _FileLock:
    """A lock of the operating system, and the note."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self._lock = FileLock(store.with_name(f".{store.name}.lock"), timeout=0)

    def acquire(self) -> bool:
        with saying_why(self.store.parent):
            self.store.parent.mkdir(parents=True, exist_ok=True)
        try:
            with saying_why(self.store):
                self._lock.acquire()
        except Timeout:
            return False
        try:
            write_whole(beside(self.store, NOTE), _note())
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> bool:
        remove_file(beside(self.store, NOTE))
        self._lock.release()
        return True


class _Lease:
    """The note as a lock, renewed by a thread; whoever replaces it names the version that it replaces."""

    def __init__(self, store: Url, lease: float) -> None:
        self.where, self.lease = beside(store, NOTE), lease
        self.folder = ObjectFolder(Url(store.bucket, store.key.rpartition("/")[0]))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._tag: str | None = None

    def acquire(self) -> bool:
        if self.folder.create(self.where.name, _note()):
            self._tag = self.folder.tag(self.where.name)
        elif self._is_void():
            self._tag = self.folder.replace(self.where.name, _note(), self.folder.tag(self.where.name))
        if self._tag is not None:
            self._thread.start()
        return self._tag is not None

    def _is_void(self) -> bool:
        """Whether its process has died or went silent."""
        holder = _parsed(self.folder.read(self.where.name))
        if holder is None or holder["host"] == host_name():
            return holder is None or not process_lives(int(holder["pid"]))
        modified = self.folder.modified(self.where.name)
        return modified is not None and present(self.folder) - modified > self.lease

    def _renew(self) -> None:
        while not self._ended.wait(self.lease / 4):
            with suppress(StoreRefused):  # the service may answer the next time
                self._tag = self.folder.replace(self.where.name, _note(), self._tag)
                if self._tag is None:
                    return

    def release(self) -> bool:
        self._ended.set()
        self._thread.join()
        if self._tag is None or self.folder.tag(self.where.name) != self._tag:
            return False
        self.folder.remove(self.where.name)
        return True


def _note() -> bytes:
    return json.dumps({"pid": os.getpid(), "host": host_name(), "since": time.time()}).encode()


def _parsed(raw: bytes | None) -> dict[str, Any] | None:
    try:
        note = json.loads(raw or b"")
        return note if int(note["pid"]) and str(note["host"]) else None
    except (ValueError, KeyError, TypeError):
        return None


def jobs_folder(store: Place) -> Path:
    """Scripts, logs and states of the jobs of a queue, beside the store; see :func:`local_folder`."""
    return local_folder(store, ".jobs").absolute()


def read_writer(store: Place) -> dict[str, Any] | None:
    """Who noted that it is writing the store (``pid, host, since``); ``None`` where nobody, or it has died."""
    note = _parsed(read_file(beside(store, NOTE)))
    if note is None or (note["host"] == host_name() and not process_lives(int(note["pid"]))):
        return None
    return note
