"""Dependence between uncertain inputs: a Gaussian copula from stated pairs.

Each input keeps its own distribution; only the order in which values meet changes. The correlation matrix
of the normal scores is public, because conditional laws (Kucherenko indices, Shapley effects) need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from ensemble.inputs.distributions import Distribution
from ensemble.inputs.latent import PearsonCurve, latent_from_rank, pearson_curve, rank_from_latent

Pair = tuple[str, str, float, str]

# Smallest eigenvalue of a matrix that counts as positive definite.
_POSITIVE = 1e-9

_OPEN = (2.0**-1022, 1.0 - 2.0**-53)


class ImpossibleCorrelation(ValueError):
    """The stated correlations cannot hold together.

    Args:
        message: one sentence that names the nearest possible ones.
        nearest: correlation of each pair in the nearest possible set, on the scale it was stated on (rank
            for pairs that were not stated).
    """

    def __init__(self, message: str, nearest: Mapping[tuple[str, str], float]) -> None:
        super().__init__(message)
        self.nearest = dict(nearest)


@dataclass(frozen=True, eq=False)
class GaussianCopula:
    """A Gaussian copula over named inputs.

    Args:
        names: the inputs, in the order of the last axis of uniforms.
        correlation: correlation matrix of their normal scores, (d, d), positive definite.
    """

    names: tuple[str, ...]
    correlation: np.ndarray

    @cached_property
    def factor(self) -> np.ndarray:
        """Lower triangular L with L L^T the correlation matrix."""
        return np.linalg.cholesky(self.correlation)

    def apply(self, u: np.ndarray) -> np.ndarray:
        """Dependent uniforms from independent ones.

        An input that depends on no earlier one keeps its numbers bit for bit.

        Args:
            u: independent, in (0, 1), shape (..., d).

        Returns:
            Dependent, in (0, 1), shape (..., d), each uniform on its own.
        """
        u = np.array(u, dtype=float)
        moved = np.flatnonzero((self.factor != np.diag(np.diag(self.factor))).any(1))
        if len(moved):
            u[..., moved] = np.clip(special.ndtr(special.ndtri(u) @ self.factor[moved].T), *_OPEN)
        return u

    def conditional(self, given: Sequence[str]) -> ConditionalCopula:
        """The law of the other inputs when some are known.

        Raises:
            ValueError: a name is not one of the copula's.
        """
        for name in given:
            if name not in self.names:
                raise ValueError(f"the copula has no input '{name}'; allowed: {', '.join(self.names)}")
        known = [self.names.index(name) for name in given]
        free = [index for index in range(len(self.names)) if index not in known]
        across = self.correlation[np.ix_(free, known)]
        slopes = np.linalg.solve(self.correlation[np.ix_(known, known)], across.T).T if known else across
        rest = self.correlation[np.ix_(free, free)] - slopes @ across.T
        return ConditionalCopula(
            tuple(given), tuple(self.names[index] for index in free), slopes, np.linalg.cholesky(rest)
        )


@dataclass(frozen=True, eq=False)
class ConditionalCopula:
    """Scores of the free inputs are normal around ``slopes @ scores of the given ones``.

    Args:
        given, free: names, in the order of the axes below.
        slopes: (free, given).
        factor: lower triangular (free, free); its square is the conditional covariance of the scores.
    """

    given: tuple[str, ...]
    free: tuple[str, ...]
    slopes: np.ndarray
    factor: np.ndarray

    def apply(self, u_given: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Uniforms of the free inputs.

        Args:
            u_given: uniforms of the given inputs, (..., given), as they came out of the copula.
            u: independent uniforms, (..., free).

        Returns:
            (..., free), in (0, 1).
        """
        scores = special.ndtri(u_given) @ self.slopes.T + special.ndtri(u) @ self.factor.T
        return np.clip(special.ndtr(scores), *_OPEN)


def build_copula(marginals: Mapping[str, Distribution], pairs: Sequence[Pair]) -> GaussianCopula:
    """The copula of some inputs; pairs that are not named are independent.

    Args:
        marginals: every input by name; the copula keeps this order.
        pairs: (first, second, correlation, kind), kind ``rank`` (Spearman) or ``pearson``. The rank
            correlation of a discrete input is that of the scores behind it, before they are cut into steps.

    Raises:
        ImpossibleCorrelation: the pairs cannot hold together; the nearest possible ones are offered.
        ValueError: a pair names no input, one input twice, a pair twice, a correlation that is not between
            -1 and 1, an unknown kind, or a Pearson correlation that these marginals cannot have.
    """
    names = tuple(marginals)
    matrix, scales = np.eye(len(names)), {}
    for first, second, value, kind in pairs:
        key = _pair_key(names, first, second)
        if key in scales:
            raise ValueError(f"the correlation of {first} and {second} is given twice")
        if not -1.0 < value < 1.0:
            raise ValueError(
                f"a correlation of {value:g} between {first} and {second} is not allowed; allowed: between -1 and 1, "
                f"both excluded (inputs that always move together are one input)"
            )
        scales[key] = _scale(marginals, first, second, kind)
        matrix[key] = matrix[key[::-1]] = _to_latent(scales[key], value, first, second)
    if np.linalg.eigvalsh(matrix)[0] < _POSITIVE:
        raise _impossible(names, matrix, scales)
    return GaussianCopula(names, matrix)


def _pair_key(names: tuple[str, ...], first: str, second: str) -> tuple[int, int]:
    for name in (first, second):
        if name not in names:
            raise ValueError(
                f"a correlation names '{name}', which is not an uncertain number; allowed: {', '.join(names)}"
            )
    if first == second:
        raise ValueError(f"'{first}' cannot be correlated with itself")
    low, high = sorted((names.index(first), names.index(second)))
    return low, high


def _scale(marginals: Mapping[str, Distribution], first: str, second: str, kind: str) -> PearsonCurve | None:
    """What takes a stated correlation to the scores: nothing for a rank, a curve for Pearson's."""
    if kind == "rank":
        return None
    if kind != "pearson":
        raise ValueError(f"a correlation of kind '{kind}' is not allowed; allowed: rank, pearson")
    for name in (first, second):
        what = _why_no_pearson(marginals[name])
        if what:
            raise ValueError(f"{first} and {second} have no one Pearson correlation, because {name} {what}")
    return pearson_curve(marginals[first], marginals[second])


def _why_no_pearson(marginal: Distribution) -> str:
    if marginal.shape:
        return "differs by site; use kind: rank"
    if np.isnan(marginal.sd):
        return "has names, not numbers; use kind: rank"
    return "does not vary" if marginal.sd == 0.0 else ""


def _to_latent(scale: PearsonCurve | None, value: float, first: str, second: str) -> float:
    if scale is None:
        return latent_from_rank(value)
    low, high = scale.range
    if not low < value < high:
        raise ValueError(
            f"a Pearson correlation of {value:g} between {first} and {second} is not attainable: "
            f"their distributions allow {low:.4g} to {high:.4g}"
        )
    return scale.solve(value)


def _impossible(
    names: tuple[str, ...], matrix: np.ndarray, scales: Mapping[tuple[int, int], PearsonCurve | None]
) -> ImpossibleCorrelation:
    """The error that offers the nearest possible correlations, rounded so that they can be typed in."""
    near = nearest_correlation(matrix, floor=max(0.01, 0.001 * len(names)))
    offer = {}
    for low, high in zip(*np.triu_indices(len(names), 1), strict=True):
        scale = scales.get((int(low), int(high)))
        value = rank_from_latent(near[low, high]) if scale is None else scale.at(near[low, high])
        if abs(value) >= 0.0005 or (low, high) in scales:
            offer[names[low], names[high]] = round(value, 3)
    said = ", ".join(f"{first} and {second} {value:g}" for (first, second), value in offer.items())
    smallest = np.linalg.eigvalsh(matrix)[0]
    return ImpossibleCorrelation(
        f"these correlations cannot hold together (smallest eigenvalue {smallest:.3g}); the nearest possible are {said}",
        offer,
    )


def nearest_correlation(matrix: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """The nearest correlation matrix in the Frobenius norm with no eigenvalue below ``floor``.

    Alternating projections with Dykstra's correction: Higham (2002), IMA J. Numer. Anal. 22(3), 329-343,
    algorithm 3.3.

    Args:
        matrix: symmetric with unit diagonal, (d, d).
        floor: smallest eigenvalue allowed, below 1.
    """
    y, correction = np.array(matrix, dtype=float), np.zeros_like(matrix)
    for _ in range(5000):
        r = y - correction
        values, vectors = np.linalg.eigh(r)
        x = (vectors * np.maximum(values, floor)) @ vectors.T
        correction, before = x - r, y
        y = x.copy()
        np.fill_diagonal(y, 1.0)
        if np.linalg.norm(y - before) <= 1e-12 * np.linalg.norm(y):
            break
    return y
