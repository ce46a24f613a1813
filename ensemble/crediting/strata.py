"""Stratified random sampling: which point stands for which area, and the variance that sampling alone leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Strata:
    """A stratified random sample.

    Args:
        names: ``(stratum,)``.
        areas: ``(stratum,)`` ha.
        member: ``(point,)`` index of each point's stratum.
    """

    names: tuple[str, ...]
    areas: Floats
    member: NDArray[np.integer[Any]]

    @property
    def counts(self) -> NDArray[np.integer[Any]]:
        """``(stratum,)`` points in each stratum."""
        return np.bincount(self.member, minlength=len(self.names))

    @property
    def area(self) -> float:
        """Area of the project, ha."""
        return float(self.areas.sum())

    @property
    def degrees_of_freedom(self) -> int:
        """Points less strata, the degrees of freedom of a stratified variance."""
        return int(self.member.size - len(self.names))

    @property
    def weights(self) -> Floats:
        """``(point,)`` ha that each point stands for, A_h / n_h."""
        return (self.areas / self.counts)[self.member]


def stratify(strata: ArrayLike, areas: dict[str, float]) -> Strata:
    """Strata from a column of a site table.

    Args:
        strata: ``(point,)`` name of each point's stratum.
        areas: ha of each stratum.

    Raises:
        ValueError: an area that is missing or not above 0, a stratum without points or with one point only.
    """
    column = [str(item) for item in np.asarray(strata).ravel()]
    missing = sorted(set(column) - set(areas))
    if missing:
        raise ValueError(f"no area is given for stratum {', '.join(missing)}")
    names = tuple(areas)
    hectares = np.array([areas[name] for name in names], float)
    if not (hectares > 0).all():
        raise ValueError(
            f"the area of stratum {names[int(np.argmin(hectares))]} must be above 0 ha, got {hectares.min():g}"
        )
    result = Strata(names, hectares, np.array([names.index(item) for item in column], dtype=int))
    for name, count in zip(names, result.counts, strict=True):
        if count < 2:
            raise ValueError(
                f"stratum {name} has {count} sample point(s); its sampling variance needs at least 2: "
                "merge it with a similar stratum before sampling, or sample again"
            )
    return result


def total(values: ArrayLike, strata: Strata) -> Floats:
    """Design estimate of a total, sum over strata of area times mean of the points.

    Args:
        values: ``(..., point)`` per ha.

    Returns:
        ``(...)``.
    """
    return np.asarray(values, float) @ strata.weights


def sampling_variances(values: ArrayLike, strata: Strata) -> Floats:
    """Variance of each stratum's total, ``A_h^2 / (n_h (n_h - 1)) sum_i (y_hi - mean)^2`` (VM0042 Eqs 62, 68).

    Args:
        values: ``(point,)`` per ha.

    Returns:
        ``(stratum,)``, unit of a total squared.
    """
    return sampling_covariances(values, values, strata)


def sampling_covariances(first: ArrayLike, second: ArrayLike, strata: Strata) -> Floats:
    """Covariance of two totals of each stratum over the same points (VM0042 Eq. 71).

    Args:
        first, second: ``(point,)`` per ha.

    Returns:
        ``(stratum,)``.
    """
    counts = strata.counts
    deviations = []
    for values in (first, second):
        value = np.asarray(values, float)
        means = np.bincount(strata.member, value, len(counts)) / counts
        deviations.append(value - means[strata.member])
    products = np.bincount(strata.member, deviations[0] * deviations[1], len(counts))
    return strata.areas**2 / (counts * (counts - 1)) * products
