"""Mean, standard deviation and probabilities with standard errors from the replicates of the design."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.summary.moments import Summary, align
from ensemble.summary.replicates import jackknife


class Estimates(NamedTuple):
    """Statistics over members, each of shape (scenarios, sites, *dims) and NaN where no member is left.

    Args:
        count: members used, shape (sites,).
        mean, mean_standard_error: mean.
        sd, sd_standard_error: standard deviation (divisor n - 1).
        probability_above, probability_above_standard_error: shape (thresholds, scenarios, sites, *dims); the
            standard error is never below one member, 1 / n.
    """

    count: np.ndarray
    mean: np.ndarray
    mean_standard_error: np.ndarray
    sd: np.ndarray
    sd_standard_error: np.ndarray
    probability_above: np.ndarray
    probability_above_standard_error: np.ndarray


def estimate(summary: Summary) -> Estimates:
    """Statistics of one output from its merged summary."""
    count = summary.count.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is the NaN that is meant
        left = _without_each(summary)
        mean, sd = _pooled(summary)
        share, share_left = _shares(summary)
        groups = summary.count > 0
        used = align(groups, summary.mean.ndim, axis=2)
        share_error = jackknife(share_left, align(groups, summary.above.ndim, axis=3))
        share_error = np.maximum(share_error, 1.0 / align(count, share.ndim, axis=2))
    return Estimates(count, mean, jackknife(left[0], used), sd, jackknife(left[1], used), share, share_error)


def _pooled(summary: Summary) -> tuple[np.ndarray, np.ndarray]:
    count = align(summary.count, summary.mean.ndim, axis=2)
    members = count.sum(axis=0)
    mean = (count * summary.mean).sum(axis=0) / members
    squares = (summary.m2 + count * (summary.mean - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / np.where(members > 1, members - 1, np.nan))


def _without_each(summary: Summary) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation with one replicate left out, shape (replicates, scenarios, sites, *dims).

    All deviations are from the pooled mean, so that taking a replicate out loses no digits.
    """
    count = align(summary.count, summary.mean.ndim, axis=2)
    members = count.sum(axis=0)
    mean = (count * summary.mean).sum(axis=0) / members
    deviation = summary.mean - mean
    between = count * deviation**2
    rest = members - count
    shift = -count * deviation / rest
    squares = (summary.m2.sum(axis=0) - summary.m2) + (between.sum(axis=0) - between) - rest * shift**2
    sd = np.sqrt(np.maximum(squares, 0.0) / np.where(rest > 1, rest - 1, np.nan))
    return mean + shift, sd


def _shares(summary: Summary) -> tuple[np.ndarray, np.ndarray]:
    """Share of members above each threshold: of all, and with one replicate left out."""
    count = align(summary.count, summary.above.ndim, axis=3)
    members, over = count.sum(axis=0), summary.above.sum(axis=0)
    return over / members, (over - summary.above) / (members - count)
