"""One writer of a store: a lock file beside the store, and a note of who holds it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from ensemble.errors import StoreRefused
from ensemble.store.files import host_name, process_lives, saying_why, write_file


class WriterLock:
    """Held by the one process that may create, summarise or repair a store; readers never need it.

    The operating system frees it when the process ends, however it ends.

    Args:
        store: path of the store.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self._lock = FileLock(beside(store, "lock"), timeout=0)

    def __enter__(self) -> WriterLock:
        """Take the lock.

        Raises:
            StoreRefused: another process holds it, or the folder cannot be written.
        """
        with saying_why(self.store.parent):
            self.store.parent.mkdir(parents=True, exist_ok=True)
        try:
            with saying_why(self.store):
                self._lock.acquire()
        except Timeout:
            holder = read_writer(self.store)
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise StoreRefused(f"{self.store} is being written by {who}; wait for it or stop it first") from None
        note = {"pid": os.getpid(), "host": host_name(), "since": time.time()}
        write_file(beside(self.store, "writer"), json.dumps(note).encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Give the lock back."""
        beside(self.store, "writer").unlink(missing_ok=True)
        self._lock.release()


def beside(store: Path, ending: str) -> Path:
    """A hidden file beside the store, never in it."""
    return store.with_name(f".{store.name}.{ending}")


def jobs_folder(store: Path) -> Path:
    """Scripts, logs and states of the jobs of a queue, beside the store."""
    return store.absolute().with_name(f"{store.stem}.jobs")


def read_writer(store: Path) -> dict[str, Any] | None:
    """Who noted that it is writing the store (``pid, host, since``); ``None`` where nobody, or it has died."""
    try:
        note = json.loads(beside(store, "writer").read_text())
        alive = note["host"] != host_name() or process_lives(int(note["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if alive else None
