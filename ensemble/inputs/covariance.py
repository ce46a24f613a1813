"""Correlation of errors in space: functions of distance, and the variance of an average in closed form.

Distances and ranges share one unit, km in a study. Everything here is NumPy in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root_scalar
from scipy.special import gamma, kv

Floats = NDArray[np.floating[Any]]
Support = Literal["block", "point"]

EFFECTIVE_LEVEL = 0.05  # correlation left at the effective range


@dataclass(frozen=True)
class SpatialCorrelation:
    """How the error of one variable is alike at two places.

    Args:
        model: ``exponential`` (Matérn with smoothness 1/2) or ``matern``.
        range: distance that ``range_is`` explains, > 0.
        range_is: ``parameter``, the l of ``exp(-h/l)`` and of the Matérn function of ``sqrt(2 nu) h / l``;
            or ``effective``, the distance at which the correlation without nugget has fallen to 0.05
            (three times the parameter for the exponential).
        nugget: share of the variance that is not correlated at any distance, 0 <= nugget < 1.
        smoothness: the Matérn nu, > 0.
        support: what the standard deviation is the error of: ``block``, the mean of a cell or field, or
            ``point``, a value at a point inside it. A grid of cell means averages point errors first, which
            removes the nugget and part of the short-range variance.
    """

    model: Literal["exponential", "matern"] = "exponential"
    range: float = 1.0
    range_is: Literal["parameter", "effective"] = "parameter"
    nugget: float = 0.0
    smoothness: float = 1.5
    support: Support = "block"

    def __post_init__(self) -> None:
        if not self.range > 0:
            raise ValueError(f"a correlation range must be above 0, got {self.range:g}")
        if not 0 <= self.nugget < 1:
            raise ValueError(f"a nugget is a share of the variance from 0 to below 1, got {self.nugget:g}")
        if not self.smoothness > 0:
            raise ValueError(f"the smoothness of a Matérn function must be above 0, got {self.smoothness:g}")

    @property
    def length(self) -> float:
        """The range as the parameter l, whatever convention it was given in."""
        if self.range_is == "parameter":
            return self.range
        left = root_scalar(lambda h: float(self._shape(np.array([h]))[0]) - EFFECTIVE_LEVEL, bracket=(1e-3, 1e3))
        return self.range / float(left.root)

    def smooth(self, distance: ArrayLike) -> Floats:
        """Correlation of the part that is alike in space, 1 at distance 0; any shape."""
        return self._shape(np.asarray(distance, float) / self.length)

    def __call__(self, distance: ArrayLike) -> Floats:
        """Correlation with the nugget: 1 at distance 0 and ``(1 - nugget) * smooth`` elsewhere."""
        h = np.asarray(distance, float)
        return np.where(h == 0, 1.0, (1 - self.nugget) * self.smooth(h))

    def _shape(self, h: Floats) -> Floats:
        if self.model == "exponential" or self.smoothness == 0.5:
            return np.exp(-h)
        nu = self.smoothness
        s = np.sqrt(2 * nu) * h
        if nu == 1.5:
            return (1 + s) * np.exp(-s)
        if nu == 2.5:
            return (1 + s + s**2 / 3) * np.exp(-s)
        positive = np.where(s > 0, s, 1.0)
        return np.where(s > 0, 2 ** (1 - nu) / gamma(nu) * positive**nu * kv(nu, positive), 1.0)

    def describe(self, unit: str = "km") -> str:
        """One sentence with the conventions spelt out, for tables and reports."""
        name = "exponential" if self.model == "exponential" else f"Matérn (smoothness {self.smoothness:g})"
        where = "effective range (correlation 0.05)" if self.range_is == "effective" else "range parameter"
        return (
            f"{name}, {where} {self.range:g} {unit}, nugget {self.nugget:g} of the variance, error of a {self.support}"
        )


def cell_correlation(
    correlation: SpatialCorrelation, east: ArrayLike, north: ArrayLike, cell: tuple[float, float]
) -> Floats:
    """Covariance of two cells of a projected grid, in units of the stated variance.

    With block support this is the correlation at the distance of their centres. With point support it is
    the mean over all pairs of points of the two cells (regularisation; Journel & Huijbregts 1978), by the
    midpoint rule on 12 x 12 points a cell; at distance 0 it is the share of the point variance that the
    mean of a cell keeps.

    Args:
        east, north: distances between cell centres, any one shape.
        cell: width and height of a cell, in the same unit.
    """
    dx, dy = np.asarray(east, float), np.asarray(north, float)
    if correlation.support == "block":
        return correlation(np.hypot(dx, dy))
    points = 12
    shift = np.arange(1 - points, points) / points
    weight = (points - np.abs(np.arange(1 - points, points))) / points**2
    total = np.zeros(np.broadcast(dx, dy).shape)
    for u, wu in zip(shift, weight, strict=True):
        for v, wv in zip(shift, weight, strict=True):
            total += wu * wv * correlation.smooth(np.hypot(dx + u * cell[0], dy + v * cell[1]))
    return (1 - correlation.nugget) * total


def variance_of_sum(weights: ArrayLike, correlation: SpatialCorrelation, cell: tuple[float, float]) -> float:
    """Variance of a weighted sum over a projected grid, ``sum_ij w_i w_j rho(i, j)``, exact by FFT.

    Args:
        weights: ``(y, x)`` area times standard deviation of each cell, 0 outside the region.
        correlation: of the errors.
        cell: width and height of a cell, in the unit of the range.
    """
    w = np.asarray(weights, float)
    shape = (2 * w.shape[0], 2 * w.shape[1])
    spectrum = np.abs(np.fft.rfft2(w, shape)) ** 2
    overlap = np.fft.irfft2(spectrum, shape)
    lags = [np.minimum(np.arange(n), n - np.arange(n)) for n in shape]
    east, north = np.meshgrid(lags[1] * cell[0], lags[0] * cell[1])
    return float((overlap * cell_correlation(correlation, east, north, cell)).sum())


def variance_of_sum_at_points(weights: ArrayLike, coordinates: ArrayLike, correlation: SpatialCorrelation) -> float:
    """Variance of a weighted sum over points, in blocks so that memory stays flat.

    Args:
        weights: ``(point,)`` area times standard deviation.
        coordinates: ``(point, axis)`` in the unit of the range (:func:`ensemble.inputs.geodesy.geocentric`).
        correlation: of the errors.
    """
    w, place = np.asarray(weights, float), np.asarray(coordinates, float)
    total = 0.0
    for start in range(0, w.size, 512):
        rows = slice(start, start + 512)
        distance = np.linalg.norm(place[rows, None, :] - place[None, :, :], axis=-1)
        total += float(w[rows] @ correlation(distance) @ w)
    return total
