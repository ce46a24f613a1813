"""Stop within a second or two of SIGINT or SIGTERM, even inside a long compiled call.

Python runs a signal handler only between two of its own instructions, so a compiled call of minutes would
hold it up. A thread waits for the signals instead. Nothing has to be flushed: whatever is in the ledger is
complete, and the rest is computed again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

STOPPED = 3


def stop_on_signals(message: Callable[[], str]) -> None:
    """From now on end the process with exit code 3 on SIGINT or SIGTERM.

    Args:
        message: gives the sentence that is printed first.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows: the default handlers end the process between calls
        return
    watched = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    threading.Thread(target=_wait, args=(watched, message), daemon=True, name="signals").start()


def _wait(watched: set[signal.Signals], message: Callable[[], str]) -> None:
    signal.sigwait(watched)
    sys.stderr.write(f"\n{message()}\n")
    sys.stderr.flush()
    os._exit(STOPPED)
