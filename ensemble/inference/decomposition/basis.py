"""Orthonormal polynomials of independent inputs, and tensor products of them.

An input enters through its uniform probability ``u`` in (0, 1). Bounded inputs are expanded in Legendre
polynomials of ``u``, unbounded ones in Hermite polynomials of ``z = Phi^-1(u)``: both families are
orthonormal under the input's distribution, so the variance of an expansion is the sum of its squared
coefficients (Ghanem & Spanos 1991; Xiu & Karniadakis 2002, doi 10.1137/S1064827501387826).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from scipy.special import ndtri

Family = Literal["legendre", "hermite"]
Quantile = Callable[[np.ndarray], np.ndarray]


def legendre(x: np.ndarray, degree: int) -> np.ndarray:
    """Orthonormal Legendre polynomials of degree 0 to ``degree`` at ``x`` in [-1, 1] (n,); (degree + 1, n)."""
    values = np.ones((degree + 1, x.size))
    for k in range(degree):
        lag = k / np.sqrt(4.0 * k**2 - 1.0) * values[k - 1] if k else 0.0
        values[k + 1] = np.sqrt(4.0 * (k + 1) ** 2 - 1.0) / (k + 1) * (x * values[k] - lag)
    return values


def hermite(z: np.ndarray, degree: int) -> np.ndarray:
    """Orthonormal Hermite polynomials of degree 0 to ``degree`` at normal scores ``z`` (n,); (degree + 1, n)."""
    values = np.ones((degree + 1, z.size))
    for k in range(degree):
        lag = np.sqrt(k) * values[k - 1] if k else 0.0
        values[k + 1] = (z * values[k] - lag) / np.sqrt(k + 1.0)
    return values


def polynomials(family: Family, u: np.ndarray, degree: int) -> np.ndarray:
    """A family's polynomials at the probabilities ``u`` (n,), (degree + 1, n)."""
    return legendre(2.0 * u - 1.0, degree) if family == "legendre" else hermite(ndtri(u), degree)


def family_of(from_score: Quantile, degree: int = 3) -> Family:
    """The family in which an input's own quantile function is closer to a polynomial of low degree.

    Args:
        from_score: the input's value at normal scores (n,).
        degree: degree at which the two residual variances are compared.

    Raises:
        ValueError: the input has zero variance.
    """
    x, even = np.polynomial.legendre.leggauss(40)
    z, normal = np.polynomial.hermite_e.hermegauss(40)
    values = np.asarray(from_score(ndtri((x + 1.0) / 2.0)), dtype=np.float64)
    if not np.ptp(values) > 0.0:
        raise ValueError("an input has zero variance, so it has no share to give; leave it out of uncertain")
    bounded = _residual(legendre(x, degree), even / 2.0, values)
    unbounded = _residual(hermite(z, degree), normal / normal.sum(), np.asarray(from_score(z), dtype=np.float64))
    return "legendre" if bounded <= unbounded else "hermite"


def _residual(columns: np.ndarray, weights: np.ndarray, values: np.ndarray) -> float:
    """Share of the variance of ``values`` that the columns leave."""
    centred = values - weights @ values
    return float(1.0 - ((columns @ (weights * centred)) ** 2).sum() / (weights @ centred**2))


class Tensor:
    """Values of every univariate polynomial at a set of points, from which products are formed.

    Args:
        u: probabilities (n, d) of independent inputs.
        families: one family an input.
        degree: highest univariate degree.
    """

    def __init__(self, u: np.ndarray, families: Sequence[Family], degree: int) -> None:
        self.values = [polynomials(family, u[:, j], degree) for j, family in enumerate(families)]
        self.points = u.shape[0]

    def at(self, rows: np.ndarray) -> Tensor:
        """The same polynomials at some of the points."""
        part = object.__new__(Tensor)
        part.values = [values[:, rows] for values in self.values]
        part.points = part.values[0].shape[1]
        return part

    def columns(self, indices: np.ndarray) -> np.ndarray:
        """Products of polynomials at the points: (terms, n) for the multi-indices ``indices`` (terms, d)."""
        product = np.ones((len(indices), self.points))
        for j, values in enumerate(self.values):
            used = np.flatnonzero(indices[:, j])
            if used.size:
                product[used] *= values[indices[used, j]]
        return product
