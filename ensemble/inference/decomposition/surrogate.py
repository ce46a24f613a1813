"""A sparse polynomial surrogate whose basis is chosen by the data, for many outputs at once.

Terms are added in batches by orthogonal matching pursuit among the neighbours of the terms already held,
and the size is the one with the smallest cross-validated error (after Blatman & Sudret 2011, doi
10.1016/j.jcp.2010.12.021, with least squares in place of least angles). All outputs share one basis,
chosen on the principal components of the standardised outputs: an index then costs one sum of squared
coefficients (Sudret 2008, doi 10.1016/j.ress.2007.04.002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ensemble.inference.decomposition.basis import Family, Tensor

DEGREE = 20
FOLDS = 8
GROWTH = 0.15
PATIENCE = 3
COMPONENTS = 12
SCORED_ROWS = 4096
SCORED_PARENTS = 150
MAX_TERMS = 1500


@dataclass(frozen=True)
class Surrogate:
    """A polynomial expansion of many outputs in one basis.

    Args:
        families: family of each input (d).
        indices: multi-indices (terms, d), the constant first.
        coefficients: (terms, outputs), in the outputs' unit.
    """

    families: tuple[Family, ...]
    indices: np.ndarray
    coefficients: np.ndarray

    def predict(self, u: np.ndarray) -> np.ndarray:
        """Outputs (n, outputs) at the probabilities ``u`` (n, d)."""
        return Tensor(u, self.families, int(self.indices.max(initial=0))).columns(self.indices).T @ self.coefficients


@dataclass(frozen=True)
class CrossFit:
    """A surrogate of all rows and the cross-fitted ones that its held-out error comes from.

    Args:
        full: fitted to all rows.
        folds: fitted without the rows of fold k.
        fold: (n,) fold of every row.
        held_out_r2: (outputs,) 1 - (held-out squared error) / variance.
    """

    full: Surrogate
    folds: tuple[Surrogate, ...]
    fold: np.ndarray
    held_out_r2: np.ndarray


def cross_fit(u: np.ndarray, y: np.ndarray, scramble: np.ndarray, families: Sequence[Family]) -> CrossFit:
    """Choose the basis and fit the coefficients, once without every fold and once on all rows.

    The terms of a fold's surrogate are chosen without its rows too: with few rows the choice of terms
    over-fits far more than the coefficients do.

    Args:
        u: probabilities (n, d) of the independent inputs.
        y: outputs (n, outputs), finite.
        scramble: (n,) integers; rows of one scramble share a fold, because they share inputs.
        families: family of each input.
    """
    fold = np.searchsorted(np.unique(scramble), scramble) % FOLDS
    tensor = Tensor(u, families, DEGREE)
    response = _components(y)
    everything = np.arange(len(u))
    paths = [_Path(tensor, response, everything[fold != k]) for k in range(FOLDS)]
    errors = []
    while all(path.can_grow for path in paths) and not _settled(errors):
        errors.append(sum(path.error(everything[fold == k]) for k, path in enumerate(paths)))
        for path in paths:
            path.grow()
    best = int(np.argmin(errors))
    whole = _Path(tensor, response, everything)
    for _ in range(best):
        whole.grow()
    folds = tuple(_surrogate(tensor, path.sizes[best], path, y, families) for path in paths)
    full = _surrogate(tensor, whole.sizes[best], whole, y, families)
    error = sum(((y[fold == k] - tensor.at(fold == k).columns(s.indices).T @ s.coefficients) ** 2).sum(0) for k, s in enumerate(folds))
    spread = ((y - y.mean(0)) ** 2).sum(0)
    return CrossFit(full, folds, fold, 1.0 - error / np.where(spread > 0, spread, np.nan))


def _settled(errors: list[float]) -> bool:
    """Whether the last rounds have lowered the held-out error by less than a tenth."""
    return len(errors) > PATIENCE and min(errors[-PATIENCE:]) > 0.9 * min(errors[:-PATIENCE])


def _surrogate(tensor: Tensor, size: int, path: "_Path", y: np.ndarray, families: Sequence[Family]) -> Surrogate:
    columns = path.columns[:size]
    coefficients = _solve(path.gram[:size, :size], columns @ y[path.rows])
    return Surrogate(tuple(families), path.terms[:size], coefficients)


class _Path:
    """Least squares on a growing set of terms."""

    def __init__(self, tensor: Tensor, response: np.ndarray, rows: np.ndarray) -> None:
        self.whole, self.tensor, self.response, self.rows = tensor, tensor.at(rows), response, rows
        inputs = len(tensor.values)
        self.limit = min(MAX_TERMS, len(rows) // 2)
        self.terms = np.concatenate([np.zeros((1, inputs), int), np.eye(inputs, dtype=int)])
        self.columns = self.tensor.columns(self.terms)
        self.gram = self.columns @ self.columns.T
        self.moment = self.columns @ response[rows]
        self.sizes = [len(self.terms)]
        self.coefficients = _solve(self.gram, self.moment)
        self.can_grow = True

    def error(self, rows):
        prediction = self.whole.at(rows).columns(self.terms).T @ self.coefficients
        return float(((self.response[rows] - prediction) ** 2).sum())

    def grow(self):
        added = _best_neighbours(self, max(4, int(GROWTH * len(self.terms))))[: self.limit - len(self.terms)]
        self.can_grow = len(added) > 0
        columns = self.tensor.columns(added)
        cross = self.columns @ columns.T
        self.gram = np.block([[self.gram, cross], [cross.T, columns @ columns.T]])
        self.moment = np.concatenate([self.moment, columns @ self.response[self.rows]])
        self.columns = np.concatenate([self.columns, columns])
        self.terms = np.concatenate([self.terms, added])
        self.sizes.append(len(self.terms))
        self.coefficients = _solve(self.gram, self.moment)


def _best_neighbours(path: _Path, count: int) -> np.ndarray:
    """The ``count`` neighbours of the present terms that correlate most with the residual."""
    rows = np.arange(0, len(path.rows), max(1, len(path.rows) // SCORED_ROWS))
    candidates = _neighbours(path.terms, (path.coefficients**2).sum(1))
    if not len(candidates):
        return candidates
    residual = path.response[path.rows[rows]] - path.columns[:, rows].T @ path.coefficients
    tensor = path.tensor.at(rows)
    score = np.concatenate([
        ((block @ residual) ** 2).sum(1) / (block**2).sum(1)
        for block in (tensor.columns(part) for part in np.array_split(candidates, len(candidates) // 500 + 1))
    ])
    return candidates[np.argsort(-score, kind="stable")[:count]]


def _neighbours(terms: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Multi-indices one or two degrees above the strongest terms in one input, and not yet held.

    Two degrees at a time, because the odd terms of an even function vanish.
    """
    strength = strength.copy()
    strength[0] = np.inf
    parents = terms[np.argsort(-strength, kind="stable")[:SCORED_PARENTS]]
    unit = np.eye(terms.shape[1], dtype=int)
    grown = (parents[:, None] + np.concatenate([unit, 2 * unit])[None]).reshape(-1, terms.shape[1])
    pairs = unit[:, None] + unit[None]
    grown = np.unique(np.concatenate([grown, pairs.reshape(-1, terms.shape[1])]), axis=0)
    held = {tuple(term) for term in terms.tolist()}
    return np.array([t for t in grown.tolist() if tuple(t) not in held and max(t) <= DEGREE], dtype=int).reshape(-1, terms.shape[1])


def _components(y: np.ndarray) -> np.ndarray:
    """Leading principal components (n, k) of the standardised outputs; constant outputs carry nothing."""
    centred = y - y.mean(0)
    scale = centred.std(0)
    centred = centred / np.where(scale > 0.0, scale, np.inf)
    if y.shape[1] <= COMPONENTS:
        return centred
    _, vectors = np.linalg.eigh(centred.T @ centred if y.shape[1] <= len(y) else centred @ centred.T)
    leading = vectors[:, -COMPONENTS:]
    if y.shape[1] <= len(y):
        return centred @ leading
    return leading * np.linalg.norm(centred.T @ leading, axis=0)


def _solve(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Solution of the normal equations; a relative ridge of 1e-12 keeps nearly dependent columns apart."""
    ridge = gram + 1e-12 * np.trace(gram) / len(gram) * np.eye(len(gram))
    return cho_solve(cho_factor(ridge, check_finite=False), moment, check_finite=False)


