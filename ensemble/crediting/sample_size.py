"""How many samples a wanted deduction needs, and the smallest change that a sample can tell from none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from ensemble.crediting.deductions import student_factor

Allocation = Literal["proportional", "neyman"]
LARGEST_SAMPLE = 1_000_000


@dataclass(frozen=True)
class SampleSize:
    """Points that reach a wanted deduction.

    Args:
        counts: ``(stratum,)`` points.
        deduction: fraction that they lead to.
        floor: fraction that no number of points goes below, from the model's variance alone.
    """

    counts: NDArray[np.integer[Any]]
    deduction: float
    floor: float

    @property
    def points(self) -> int:
        """Points of all strata."""
        return int(self.counts.sum())


def allocate(points: int, areas: ArrayLike, deviations: ArrayLike, allocation: Allocation) -> NDArray[np.integer[Any]]:
    """Points of each stratum: in proportion to area, or to area times standard deviation (Neyman); 2 at least.

    Args:
        points: of all strata, about.
        areas, deviations: ``(stratum,)``.
    """
    share = np.asarray(areas, float) * (np.asarray(deviations, float) if allocation == "neyman" else 1.0)
    return np.maximum(2, np.ceil(points * share / share.sum() - 1e-9)).astype(int)


def sample_size(
    mean: float,
    areas: ArrayLike,
    deviations: ArrayLike,
    model_variance: float,
    wanted: float,
    probability: float = 2 / 3,
    allocation: Allocation = "neyman",
) -> SampleSize:
    """Fewest points whose deduction (VM0042 Eq. 74) is at most the wanted fraction.

    Args:
        mean: expected change, per ha.
        areas: ``(stratum,)`` ha.
        deviations: ``(stratum,)`` standard deviation of the change between points, per ha.
        model_variance: of the mean, per ha squared; more points do not lower it.
        wanted: fraction, in (0, 1).
        probability: one-sided.
        allocation: of points to strata.

    Raises:
        ValueError: the model's error alone deducts more than wanted, or no sample below a million does.
    """
    area, sd = np.asarray(areas, float), np.asarray(deviations, float)
    floor = student_factor(probability, math.inf) * math.sqrt(model_variance) / abs(mean)
    if floor >= wanted:
        raise ValueError(
            f"a deduction of {wanted:.3g} cannot be reached by sampling: the model's error alone deducts {floor:.3g}"
        )

    def deduction(points: int) -> tuple[float, NDArray[np.integer[Any]]]:
        """What so many points deduct, as a part of the mean, and their numbers by stratum."""
        counts = allocate(points, area, sd, allocation)
        variance = float(((area / area.sum() * sd) ** 2 / counts).sum()) + model_variance
        factor = student_factor(probability, int(counts.sum()) - area.size)
        return factor * math.sqrt(variance) / abs(mean), counts

    low, high = 0, 2 * area.size
    while deduction(high)[0] > wanted:
        low, high = high, 2 * high
        if high > LARGEST_SAMPLE:
            raise ValueError(f"a deduction of {wanted:.3g} needs more than {LARGEST_SAMPLE} points")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if deduction(middle)[0] <= wanted else (middle, high)
    reached, counts = deduction(high)
    return SampleSize(counts, reached, floor)


def minimum_detectable_change(
    deviation: float, count: int, paired: bool = True, significance: float = 0.05, power: float = 0.8
) -> float:
    """Smallest change that a two-sided test finds with the given power, ``s / sqrt(n) (t_{1-a/2} + t_{power})``.

    Args:
        deviation: standard deviation between points, of the change if they are visited again (paired), of
            the stock if new points are drawn.
        count: points of each visit.
        paired: the same points are visited again; otherwise the variance of both visits adds.
        significance, power: of the test.

    Raises:
        ValueError: fewer than two points.
    """
    if count < 2:
        raise ValueError(f"a detectable change needs at least 2 points, got {count}")
    freedom = count - 1 if paired else 2 * (count - 1)
    factor = float(t.ppf(1 - significance / 2, freedom) + t.ppf(power, freedom))
    return factor * deviation * math.sqrt((1 if paired else 2) / count)
