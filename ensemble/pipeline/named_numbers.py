"""Options of the command line that are written NAME=VALUE, several times."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ensemble.errors import InputError


def named_numbers(option: str, written: Sequence[str], example: str) -> dict[str, float]:
    """Numbers by name, as an option gives them.

    Args:
        option: such as ``--area``.
        written: ``NAME=VALUE``, one for each time the option was given.
        example: what a right one looks like.

    Raises:
        InputError: one has no name or no finite number, or a name is given twice.
    """
    found: dict[str, float] = {}
    for text in written:
        name, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not name or not math.isfinite(number):
            raise InputError(f"{option} {text}: write NAME=number, for example {option} {example}")
        if name in found:
            raise InputError(f"{option} {text}: '{name}' is given twice")
        found[name] = number
    return found
