"""Stop within a second or two of SIGINT or SIGTERM, even inside a long compiled call.

Python runs a signal handler only between two of its own instructions, so a compiled call of minutes would
hold it up. But the C part of Python notes every signal at once in a file descriptor, whichever thread it
reaches, and a thread here reads it. Nothing has to be flushed: whatever is in the ledger is complete, and the
rest is computed again.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

STOPPED = 3


def stop_on_signals(message: Callable[[], str]) -> None:
    """From now on end the process with exit code 3 on SIGINT or SIGTERM. Call it from the main thread.

    Args:
        message: gives the sentence that is printed first.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    for watched in (signal.SIGINT, signal.SIGTERM):
        signal.signal(watched, _noted)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    # The thread keeps both ends alive.
    threading.Thread(target=_wait, args=(reader, writer, message), daemon=True, name="signals").start()


def _noted(*_: object) -> None:
    """The signal is in the file descriptor already."""


def _wait(reader: socket.socket, writer: socket.socket, message: Callable[[], str]) -> None:
    reader.recv(1)
    sys.stderr.write(f"\n{message()}\n")
    sys.stderr.flush()
    os._exit(STOPPED)
