"""A sparse polynomial surrogate of many outputs at once, cross-fitted.

All outputs share one basis, chosen on the principal components of the standardised outputs, whose size is
the one with the smallest error on held-out scrambles; an index then costs one sum of squared coefficients
(Sudret 2008, doi 10.1016/j.ress.2007.04.002). The terms of a held-out fit are chosen without the held-out
rows too: with few rows the choice of terms over-fits far more than the coefficients do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.inference.decomposition.basis import Family, Tensor
from ensemble.inference.decomposition.terms import DEGREE, DegreeCap, Path, solve

FOLDS = 8
# Rounds over which the held-out error must fall by a tenth, and the share of the variance that is enough.
PATIENCE = 3
ENOUGH = 1e-7
COMPONENTS = 12
# Members that choose the terms, and members that fit the coefficients, at most: the first ones, a balanced part of
# a Sobol design.
CHOOSING = 4096
FITTING = 65536


@dataclass(frozen=True)
class Basis:
    """Polynomials of independent inputs: a family for each, and multi-indices (terms, d), constant first."""

    families: tuple[Family, ...]
    terms: np.ndarray

    def columns(self, u: np.ndarray) -> np.ndarray:
        """Values (terms, n) at the probabilities ``u`` (n, d)."""
        return Tensor(u, self.families, int(self.terms.max(initial=0))).columns(self.terms)


@dataclass(frozen=True)
class CrossFit:
    """A surrogate of all members, and one without the members of each fold.

    Args:
        bases: the basis of all members, then those of the folds.
        coefficients: (terms, outputs) for each basis, in the outputs' unit.
    """

    bases: tuple[Basis, ...]
    coefficients: tuple[np.ndarray, ...]

    def without(self, scramble: int) -> tuple[Basis, np.ndarray]:
        """The surrogate that has not seen a scramble."""
        return self.bases[1 + scramble % FOLDS], self.coefficients[1 + scramble % FOLDS]


def folds_of(scramble: np.ndarray) -> np.ndarray:
    """Fold of every member: scrambles dealt to the folds in turn, so that no fold shares a point."""
    return scramble % FOLDS


def choose_bases(
    u: np.ndarray,
    y: np.ndarray,
    fold: np.ndarray,
    families: Sequence[Family],
    caps: tuple[DegreeCap, ...] = (),
) -> tuple[Basis, ...]:
    """The basis of all members, then one for every fold, chosen without the fold.

    Args:
        u: probabilities (n, d) of independent inputs.
        y: outputs (n, outputs).
        fold: (n,) from :func:`folds_of`.
        families: family of each input.
        caps: limits on the degree in some inputs.
    """
    response = components(y)
    tensor = Tensor(u, families, DEGREE)
    inside = [(tensor.at(fold != k), response[fold != k]) for k in range(FOLDS)]
    outside = [(tensor.at(fold == k), response[fold == k]) for k in range(FOLDS)]
    paths = [Path(*sample, caps) for sample in inside]
    scale = float((response**2).sum())
    errors = [sum(path.error(*sample) for path, sample in zip(paths, outside, strict=True)) / scale]
    while not _settled(errors) and all([path.grow() for path in paths]):
        errors.append(sum(path.error(*sample) for path, sample in zip(paths, outside, strict=True)) / scale)
    best = int(np.argmin(errors))
    whole = Path(tensor, response, caps)
    while len(whole.history) <= best and whole.grow():
        continue
    return tuple(Basis(tuple(families), path.history[min(best, len(path.history) - 1)]) for path in (whole, *paths))


def _settled(errors: list[float]) -> bool:
    """Whether the held-out error is negligible, or the last rounds have lowered it by less than a tenth."""
    stalled = len(errors) > PATIENCE and min(errors[-PATIENCE:]) > 0.9 * min(errors[:-PATIENCE])
    return stalled or errors[-1] < ENOUGH


def cross_fit(bases: tuple[Basis, ...], points: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> CrossFit:
    """Least-squares coefficients in every basis, without the members of its fold.

    Every product of two terms is summed once, over the union of the bases, and the sums of a fold are taken
    off those of all members.

    Args:
        bases: from :func:`choose_bases`.
        points: blocks of members: probabilities (n, d), outputs (n, outputs) and fold (n,).
    """
    union, places = np.unique(np.concatenate([basis.terms for basis in bases]), axis=0, return_inverse=True)
    held = np.split(places.ravel(), np.cumsum([len(basis.terms) for basis in bases])[:-1])
    terms = Basis(bases[0].families, union)
    sums: list[tuple[Any, Any]] = [(0.0, 0.0)] * len(bases)
    for u, y, fold in points:
        for k in np.unique(fold):
            columns = terms.columns(u[fold == k])
            gram, moment = columns @ columns.T, columns @ y[fold == k]
            here = held[k + 1]
            sums[0] = sums[0][0] + gram, sums[0][1] + moment
            sums[k + 1] = sums[k + 1][0] + gram[np.ix_(here, here)], sums[k + 1][1] + moment[here]
    (gram, moment), *folds = sums
    coefficients = [solve(gram[np.ix_(held[0], held[0])], moment[held[0]])]
    for (own, part), here in zip(folds, held[1:], strict=True):
        coefficients.append(solve(gram[np.ix_(here, here)] - own, moment[here] - part))
    return CrossFit(bases, tuple(coefficients))


def components(y: np.ndarray) -> np.ndarray:
    """Leading principal components (n, k) of the standardised outputs; constant outputs carry nothing."""
    centred = np.asarray(y, dtype=np.float64) - y.mean(0, dtype=np.float64)
    spread = centred.std(0)
    centred = centred[:, spread > 0.0] / spread[spread > 0.0]
    if centred.shape[1] <= COMPONENTS:
        return centred
    if centred.shape[1] <= len(centred):
        return centred @ np.linalg.eigh(centred.T @ centred)[1][:, -COMPONENTS:]
    values, vectors = np.linalg.eigh(centred @ centred.T)
    return vectors[:, -COMPONENTS:] * np.sqrt(np.maximum(values[-COMPONENTS:], 0.0))
