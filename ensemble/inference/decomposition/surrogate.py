"""A sparse polynomial surrogate of many outputs at once, cross-fitted.

All outputs share one basis, chosen on the principal components of the standardised outputs, whose size is
the one with the smallest error on held-out scrambles; an index then costs one sum of squared coefficients
(Sudret 2008, doi 10.1016/j.ress.2007.04.002). The terms of a held-out fit are chosen without the held-out
rows too: with few rows the choice of terms over-fits far more than the coefficients do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.inference.decomposition.basis import Family, Tensor
from ensemble.inference.decomposition.terms import DEGREE, DegreeCap, Path, solve

FOLDS = 8
# Rounds over which the held-out error must fall by a tenth, and the share of the variance that is enough.
PATIENCE = 3
ENOUGH = 1e-7
COMPONENTS = 12
# Members that choose the terms, and members that fit the coefficients, at most.
CHOOSING = 4096
FITTING = 65536
ROWS = 4096


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
    rows: np.ndarray | None = None,
) -> tuple[Basis, ...]:
    """The basis of all members, then one for every fold, chosen without the fold.

    Args:
        u: probabilities (n, d) of independent inputs.
        y: outputs (n, outputs).
        fold: (n,) from :func:`folds_of`.
        families: family of each input.
        caps: limits on the degree in some inputs.
        rows: members whose outputs are finite (default: all). The first ``CHOOSING`` are used, which are a
            balanced part of a Sobol design.
    """
    rows = (np.arange(len(u)) if rows is None else rows)[:CHOOSING]
    u, fold = u[rows], fold[rows]
    response = components(y[rows])
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


def cross_fit(
    bases: tuple[Basis, ...], u: np.ndarray, y: np.ndarray, fold: np.ndarray, rows: np.ndarray | None = None
) -> CrossFit:
    """Least-squares coefficients in every basis, without the members of its fold.

    Args:
        bases: from :func:`choose_bases`.
        u: probabilities (n, d).
        y: outputs (n, outputs).
        fold: (n,).
        rows: members whose outputs are finite (default: all); the first ``FITTING`` are used.
    """
    usable = (np.arange(len(u)) if rows is None else rows)[:FITTING]
    coefficients = []
    for k, basis in enumerate(bases):
        rows = usable[fold[usable] != k - 1]
        gram, moment = np.zeros((len(basis.terms), len(basis.terms))), np.zeros((len(basis.terms), y.shape[1]))
        for part in np.array_split(rows, len(rows) // ROWS + 1):
            columns = basis.columns(u[part])
            gram += columns @ columns.T
            moment += columns @ y[part]
        coefficients.append(solve(gram, moment))
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
