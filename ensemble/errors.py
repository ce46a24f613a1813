"""How wrong input is said: one sentence with file, line, key, the value and what is allowed."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """The user's input is wrong; nothing has been written. The command line exits with code 2.

    Args:
        message: key, value and what is allowed, in one sentence.
        file: file the input came from.
        line: its line there, counted from 1.
    """

    def __init__(self, message: str, file: Path | str | None = None, line: int | None = None) -> None:
        self.message, self.file, self.line = message, file, line
        where = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(where + message)


class SuspiciousInput(UserWarning):
    """The input is possible but unusual; the run goes on."""


class Stopped(RuntimeError):
    """The run ended before it was complete and can be resumed. The command line exits with code 3."""


class Damaged(RuntimeError):
    """Damage was found, or criteria are not met. The command line exits with code 5."""


class StoreRefused(ValueError):
    """A store cannot be used as asked, and is left as it is. The command line exits with code 2."""


class StoreFull(Stopped):
    """The disk is full; what is in the ledger is complete and the run can be resumed."""
