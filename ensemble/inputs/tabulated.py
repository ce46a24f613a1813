"""Distributions given by a list of values: atoms with probabilities, and a sample's own quantile function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Atoms:
    """Finitely many values with probabilities, in the order of the quantile function.

    Args:
        labels: the values as they are handed out, shape ``(k,)``: numbers in rising order, or names.
        probabilities: shape ``(k,)``, summing to 1.
    """

    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers, so that a mean exists."""
        return np.issubdtype(self.labels.dtype, np.floating)

    @cached_property
    def steps(self) -> np.ndarray:
        """Probability of each value or an earlier one, shape ``(k,)``; the last is exactly 1."""
        return np.append(np.cumsum(self.probabilities)[:-1], 1.0)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last value; of names, first and last code."""
        ends = self.labels if self.numeric else np.arange(len(self.labels), dtype=float)
        return ends[0], ends[-1]

    def codes(self, p: np.ndarray) -> np.ndarray:
        """Position of the value at probability ``p``, integers of ``p``'s shape."""
        return np.minimum(np.searchsorted(self.steps, p, side="left"), len(self.labels) - 1)

    def quantile(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Value at probability ``p``, any shape; the complement ``s`` adds nothing here."""
        return self.labels[self.codes(p)]

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of at most ``x`` (a number, or the code of a name)."""
        places = self.labels if self.numeric else np.arange(len(self.labels))
        return np.append(0.0, self.steps)[np.searchsorted(places, x, side="right")]

    def mean_sd(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation; NaN for names."""
        if not self.numeric:
            return np.asarray(np.nan), np.asarray(np.nan)
        mean = self.probabilities @ self.labels
        return mean, np.sqrt(self.probabilities @ (self.labels - mean) ** 2)


@dataclass(frozen=True, eq=False)
class Knots:
    """A quantile function that is linear between knots.

    Args:
        p: probabilities from 0 to 1, rising, shape ``(k,)``.
        x: values there, never falling, shape ``(k,)``.
    """

    p: np.ndarray
    x: np.ndarray

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value."""
        return self.x[0], self.x[-1]

    def quantile(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Value at probability ``p``, any shape."""
        return np.interp(p, self.p, self.x)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of at most ``x``; a value that was sampled more than once is a jump."""
        right = np.searchsorted(self.x, x, side="right")
        low, high = np.clip(right - 1, 0, len(self.x) - 1), np.clip(right, 0, len(self.x) - 1)
        gap = self.x[high] - self.x[low]
        share = np.where(gap > 0.0, (x - self.x[low]) / np.where(gap > 0.0, gap, 1.0), 0.0)
        return np.where(right == 0, 0.0, self.p[low] + share * (self.p[high] - self.p[low]))

    def mean_sd(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the broken line, exactly."""
        width, a, b = np.diff(self.p), self.x[:-1], self.x[1:]
        mean = width @ (a + b) / 2.0
        a, b = a - mean, b - mean
        return mean, np.sqrt(width @ (a * a + a * b + b * b) / 3.0)


def sample_knots(values: np.ndarray, lower: float, upper: float) -> tuple[Knots, float]:
    """The interpolated quantile function of a sample, cut at the limits, and the probability cut off.

    Between sorted values x_1 ... x_n the quantile function is linear through (i - 1) / (n - 1), definition 7
    of Hyndman & Fan (1996).

    Args:
        values: sample, shape ``(n,)`` with n of at least 2.
        lower, upper: limits; some part of the sample's range lies between them.
    """
    x, p = np.sort(values), np.linspace(0.0, 1.0, len(values))
    first, last = np.searchsorted(x, lower, side="left"), np.searchsorted(x, upper, side="right") - 1
    if first > 0:
        share = (lower - x[first - 1]) / (x[first] - x[first - 1])
        start = p[first - 1] + share * (p[first] - p[first - 1])
    else:
        start = 0.0
    if last < len(x) - 1:
        share = (upper - x[last]) / (x[last + 1] - x[last])
        end = p[last] + share * (p[last + 1] - p[last])
    else:
        end = 1.0
    inside = slice(first, last + 1)
    left, right = max(lower, x[0]), min(upper, x[-1])
    p = (np.concatenate([[start], p[inside], [end]]) - start) / (end - start)
    return Knots(p, np.concatenate([[left], x[inside], [right]])), 1.0 - (end - start)
