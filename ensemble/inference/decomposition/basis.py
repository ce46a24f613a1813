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
from scipy.special import ndtr, ndtri

Family = Literal["legendre", "hermite"]
Quantile = Callable[[np.ndarray], np.ndarray]


def polynomials(family: Family, u: np.ndarray, degree: int) -> np.ndarray:
    """Orthonormal polynomials of degree 0 to ``degree`` at the probabilities ``u`` (n,); (degree + 1, n)."""
    x = 2.0 * u - 1.0 if family == "legendre" else ndtri(u)
    values = np.empty((degree + 1, u.size))
    values[0] = 1.0
    for k in range(degree):
        previous = values[k - 1] if k else 0.0
        if family == "legendre":
            scale, lag = np.sqrt(4 * (k + 1) ** 2 - 1.0) / (k + 1), k / np.sqrt(4 * k**2 - 1.0) if k else 0.0
            values[k + 1] = scale * (x * values[k] - lag * previous)
        else:
            values[k + 1] = (x * values[k] - np.sqrt(k) * previous) / np.sqrt(k + 1.0)
    return values


def gauss_points(family: Family, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss quadrature of a family: probabilities (count,) and weights (count,) that sum to 1."""
    if family == "legendre":
        x, weights = np.polynomial.legendre.leggauss(count)
        return (x + 1.0) / 2.0, weights / 2.0
    x, weights = np.polynomial.hermite_e.hermegauss(count)
    return ndtr(x), weights / weights.sum()


def family_of(quantile: Quantile, degree: int = 3) -> Family:
    """The family in which an input's own quantile function is closer to a polynomial of low degree.

    Args:
        quantile: the input's value as a function of its probability, vectorised over (n,).
        degree: degree at which the two residual variances are compared.

    Raises:
        ValueError: the input has zero variance.
    """
    residual = {}
    for family in ("legendre", "hermite"):
        u, weights = gauss_points(family, 40)
        values = np.asarray(quantile(np.clip(u, 1e-15, 1.0 - 1e-15)), dtype=np.float64)
        values = values - weights @ values
        variance = weights @ values**2
        if not variance > 0.0:
            raise ValueError("an input with zero variance cannot be expanded in polynomials; leave it out")
        coefficients = polynomials(family, u, degree) @ (weights * values)
        residual[family] = 1.0 - (coefficients**2).sum() / variance
    return "legendre" if residual["legendre"] <= residual["hermite"] else "hermite"


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
