"""Standard errors and intervals from independent replicates of a design.

Leaving out one replicate at a time (the jackknife, Efron & Stein 1981, doi 10.1214/aos/1176345462) gives the standard
error of any function of pooled sums, for scrambled Sobol points as well as for independent members. An interval is
``value -+ t * standard error`` with Student's t of one degree of freedom less than there are replicates.
"""

from __future__ import annotations

import numpy as np
from scipy import stats


def student(replicates: int, level: float = 0.95) -> float:
    """Half-width of a central interval in standard errors; NaN for fewer than two replicates."""
    return float(stats.t.ppf(0.5 + level / 2.0, replicates - 1)) if replicates > 1 else float("nan")


def jackknife(without_each: np.ndarray, used: np.ndarray | bool = True) -> np.ndarray:
    """Standard error from leave-one-out estimates.

    Args:
        without_each: estimates with one replicate left out, shape (replicates, ...).
        used: whether the replicate has members, broadcasts to the same shape.

    Returns:
        Shape (...); NaN for fewer than two replicates.
    """
    used = np.broadcast_to(used, without_each.shape)
    number = used.sum(axis=0)
    centre = np.where(used, without_each, 0.0).sum(axis=0) / np.maximum(number, 1)
    squares = (np.where(used, without_each - centre, 0.0) ** 2).sum(axis=0)
    factor = (number - 1) / np.maximum(number, 1)
    return np.where(number > 1, np.sqrt(factor * squares), np.nan)
