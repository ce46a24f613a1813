"""Uncertainty stated as half of an interval or from two extreme runs: FAO GSOCseq and Gold Standard 402."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from ensemble.crediting.rules import Rule, rule_named


def percentile_half_width(draws: ArrayLike, coverage: float = 0.95) -> float:
    """Half of the central interval of draws over their mean, as a fraction (FAO: ``(UL - LL) / (2 mean)``).

    Args:
        draws: ``(draw,)``.
        coverage: of the interval, in (0, 1).
    """
    value = np.asarray(draws, float)
    low, high = np.quantile(value, [(1 - coverage) / 2, (1 + coverage) / 2])
    return _relative(high - low, float(value.mean()))


def two_corner_half_width(at_minimum: float, at_maximum: float, mean: float) -> float:
    """Half of the spread of two extreme runs over the mean, as a fraction.

    GSOCseq runs once with most carbon, input and rain, least heat and most clay, and once with the reverse;
    Gold Standard 402 runs once at all lower and once at all upper 90 % limits. Neither pair is an interval
    with a stated coverage, and neither need bracket the result.

    Args:
        at_minimum, at_maximum: results of the two runs.
        mean: result of the central run.
    """
    return _relative(abs(at_maximum - at_minimum), mean)


def _relative(width: float, mean: float) -> float:
    return math.inf if mean == 0 else float(width) / (2 * abs(mean))


def half_width_of_difference(first: float, first_half_width: float, second: float, second_half_width: float) -> float:
    """Relative half-width of ``first - second`` with independent errors, ``sqrt(sum (U x)^2) / |difference|``.

    FAO's manual propagates scenario differences this way (its Eq. 12.6 prints a minus under the root). Scenarios
    that share soil and climate are strongly correlated, so this is far too wide: paired draws are to be preferred.

    Args:
        first, second: values; ``first_half_width``, ``second_half_width``: relative, as fractions.
    """
    difference = first - second
    error = math.hypot(first_half_width * first, second_half_width * second)
    return math.inf if difference == 0 else error / abs(difference)


def gold_standard_deduction(relative_half_width: float, rule: Rule | None = None) -> float:
    """Deduction of Gold Standard 402, ``max(0, UNC - 20 %)`` as a fraction, limited to 1.

    Args:
        relative_half_width: from :func:`two_corner_half_width`; from a 90 % interval of draws it is our reading.
        rule: the rule record.
    """
    rule = rule or rule_named("gold-standard-402-1.0")
    return min(1.0, max(0.0, relative_half_width - rule.threshold))


def gold_standard_limits(mean: float, sd: float, count: int) -> tuple[float, float]:
    """90 % limits of a sampled parameter, ``mean -+ t sd / sqrt(n)`` with the two-sided Student t of n - 1.

    Raises:
        ValueError: fewer than two samples.
    """
    if count < 2:
        raise ValueError(f"limits of a parameter need at least 2 samples, got {count}")
    half = float(t.ppf(0.95, count - 1)) * sd / math.sqrt(count)
    return mean - half, mean + half
