"""The loop over months, shaped for the device: one home for how many months are compiled into one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

MONTHS = 12


def months_in_a_step() -> int:
    """1 on a CPU, where pools stay in registers anyway; a year on a GPU, where every step of a scan is a launch.

    Fewer launches, and pools that pass through memory once a year, is what a GPU needs: a member's month is some
    forty operations, far less than the bytes of its state cost.
    """
    return MONTHS if jax.default_backend() == "gpu" else 1


def scan_months(month: Callable[[Any, Any], Any], start: Any, months: Any) -> tuple[Any, Any]:
    """``jax.lax.scan`` over months, with :func:`months_in_a_step` of them compiled together."""
    return jax.lax.scan(month, start, months, unroll=months_in_a_step())
