"""Is this number possible for this input? One sentence if not, one warning if it is only unusual."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np

from ensemble.errors import InputError, SuspiciousInput
from ensemble.specs import InputSpec

# Names the place of a wrong value: flat index and message to an error.
Blame = Callable[[int, str], InputError]


def allowed(spec: InputSpec) -> str:
    """The support of an input in words."""
    low, high = spec.support
    unit = "" if spec.units == "1" else f" {spec.units}"
    if math.isinf(low) and math.isinf(high):
        return f"any finite number{unit}"
    if math.isinf(high):
        return f"{low:g}{unit} or more"
    if math.isinf(low):
        return f"{high:g}{unit} or less"
    return f"{low:g} to {high:g}{unit}"


def check_values(spec: InputSpec, values: np.ndarray, blame: Blame) -> None:
    """Refuse values outside the support; warn once about values outside the plausible range.

    Args:
        spec: the input.
        values: numbers in the internal unit, any shape.
        blame: makes the error that names the place of the flat index it is given.

    Raises:
        InputError: a value is not finite or outside the support.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    low, high = spec.support
    wrong = ~np.isfinite(flat) | (flat < low) | (flat > high)
    hint = f"; {spec.hint}" if spec.hint else ""
    if wrong.any():
        index = int(np.argmax(wrong))
        raise blame(index, f"{flat[index]:g} is not possible for {spec.long_name}; allowed: {allowed(spec)}{hint}")
    if spec.plausible is None:
        return
    unusual = (flat < spec.plausible[0]) | (flat > spec.plausible[1])
    if unusual.any():
        index = int(np.argmax(unusual))
        usual = f"usual: {spec.plausible[0]:g} to {spec.plausible[1]:g} {spec.units}"
        text = f"{flat[index]:g} is unusual for {spec.long_name} ({int(unusual.sum())} of {flat.size} values); {usual}{hint}"
        warnings.warn(SuspiciousInput(str(blame(index, text))), stacklevel=2)
