"""Progress with rate and time left: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# Seconds between two lines in a log.
LOG_EVERY = 30.0


class Advance(Protocol):
    """Told after each piece of work how much of it was done."""

    def __call__(self, amount: int) -> None:
        """Count finished work."""
        ...


@contextmanager
def progress(title: str, total: int, done: int, unit: str, quiet: bool = False) -> Iterator[Advance]:
    """Show how far a long job is.

    Args:
        title: what is being done.
        total: amount of work in all.
        done: amount that was there before.
        unit: what is counted ("members").
        quiet: show nothing.
    """
    if quiet or done >= total:
        yield lambda amount: None
    elif sys.stderr.isatty():
        with _bar(title, total, done, unit) as advance:
            yield advance
    else:
        yield _Lines(title, total, done, unit)


@contextmanager
def _bar(title: str, total: int, done: int, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=total, completed=done, unit=unit, rate="")
        finished = 0

        def advance(amount: int) -> None:
            nonlocal finished
            finished += amount
            rate = finished / max(time.monotonic() - start, 1e-9)
            bar.update(task, advance=amount, rate=f"{_number(rate)} {unit}/s")

        yield advance


def _number(rate: float) -> str:
    """Whole numbers, and two digits of what is below ten."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


class _Lines:
    """One plain line at most every half minute, and one at the end."""

    def __init__(self, title: str, total: int, done: int, unit: str) -> None:
        self.title, self.total, self.done, self.unit = title, total, done, unit
        self.start = self.last = time.monotonic()
        self.before = done

    def __call__(self, amount: int) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.last < LOG_EVERY and self.done < self.total:
            return
        self.last = now
        print(f"{self.title}: {self.done:,}/{self.total:,} {self.unit}, {self._pace(now)}", file=sys.stderr, flush=True)

    def _pace(self, now: float) -> str:
        """Rate and time left; before the first piece of work has ended nobody knows them."""
        ended = self.done - self.before
        if not ended:
            return f"none ended in {now - self.start:,.0f} s"
        rate = ended / max(now - self.start, 1e-9)
        return f"{_number(rate)} {self.unit}/s, {(self.total - self.done) / rate:,.0f} s left"
