"""The one check that every statistic makes of its data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def read_values(values: ArrayLike, least: int, what: str, counted: str) -> Floats:
    """Values as float64 with the working axis last.

    Args:
        values: shape (..., n).
        least: smallest n that the statistic is defined for.
        what: name of the statistic, for the message.
        counted: what is counted along the last axis (``years``, ``places``).

    Raises:
        ValueError: fewer than ``least`` values, or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] < least:
        found = array.shape[-1] if array.ndim else 1
        raise ValueError(f"{found} {counted} are too few for {what}; needed: {least} or more")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{int((~np.isfinite(array)).sum())} values for {what} are not finite; leave failed members out"
        )
    return array
