"""What a statistic is over the members: mean, spread, quantiles, and what lies above zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ensemble.indicators.checks import Floats


class MemberDistribution(NamedTuple):
    """Summary of a statistic over members; every array has the statistic's own shape after the member axis.

    Args:
        mean, sd: over the members where the statistic is defined.
        quantiles: shape (quantile, ...).
        above_zero: share of members above zero.
        defined: share of members where the statistic is defined (a constant series has no Hurst exponent).
    """

    mean: Floats
    sd: Floats
    quantiles: Floats
    above_zero: Floats
    defined: Floats


def distribution(statistic: ArrayLike, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> MemberDistribution:
    """Sum up a statistic over its first axis.

    Args:
        statistic: shape (members, ...); NaN where it is not defined, booleans count as 0 and 1.
        quantiles: probabilities, each between 0 and 1.

    Raises:
        ValueError: there is no member.
    """
    values = np.asarray(statistic, dtype=np.float64)
    if values.ndim == 0 or not len(values):
        raise ValueError("a distribution over members needs at least one member")
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    some = np.where(count > 0, count, 1)
    mean = np.where(count > 0, np.where(defined, values, 0.0).sum(axis=0) / some, np.nan)
    squares = np.where(defined, (values - mean) ** 2, 0.0).sum(axis=0)
    sd = np.where(count > 1, np.sqrt(squares / np.maximum(some - 1, 1)), np.nan)
    above = np.where(count > 0, (values > 0.0).sum(axis=0) / some, np.nan)
    filled = np.where(count > 0, values, 0.0)
    levels = np.where(count > 0, np.nanquantile(filled, quantiles, axis=0), np.nan)
    return MemberDistribution(mean, sd, levels, above, count / len(values))
