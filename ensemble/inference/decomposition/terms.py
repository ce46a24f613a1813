"""Which polynomials a surrogate holds: orthogonal matching pursuit that grows a set of terms.

Terms are added in batches from the neighbours of the terms already held, the most correlated with the
residual first, and least squares is solved anew after every batch (Pati et al. 1993, doi
10.1109/ACSSC.1993.342465; neighbours as in adaptive sparse chaos, Blatman & Sudret 2011, doi
10.1016/j.jcp.2010.12.021).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ensemble.inference.decomposition.basis import Tensor

DEGREE = 20
# Share of the present terms that one batch adds.
GROWTH = 0.25
MAX_TERMS = 1500
# Only the strongest terms have neighbours, and only this many rows score them.
PARENTS = 60
SCORED_ROWS = 1024


class DegreeCap(NamedTuple):
    """Largest total degree in some of the inputs (columns of the multi-indices)."""

    columns: tuple[int, ...]
    degree: int


def solve(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Solution of normal equations; a relative ridge of 1e-12 keeps nearly dependent columns apart."""
    ridge = gram + 1e-12 * np.trace(gram) / len(gram) * np.eye(len(gram))
    return cho_solve(cho_factor(ridge, check_finite=False), moment, check_finite=False)


class Path:
    """Least squares on a growing set of terms.

    Args:
        tensor: univariate polynomials at the training points.
        response: (n, k) outputs at them, standardised.
        caps: limits on the degree.
    """

    def __init__(self, tensor: Tensor, response: np.ndarray, caps: tuple[DegreeCap, ...] = ()) -> None:
        self.tensor, self.response, self.caps = tensor, response, caps
        inputs = len(tensor.values)
        self.limit = min(MAX_TERMS, len(response) // 2)
        self.terms = np.concatenate([np.zeros((1, inputs), int), np.eye(inputs, dtype=int)])[: self.limit]
        self.columns = tensor.columns(self.terms)
        self.gram = self.columns @ self.columns.T
        self.moment = self.columns @ response
        self.coefficients = solve(self.gram, self.moment)
        self.history = [self.terms]

    def error(self, tensor: Tensor, response: np.ndarray) -> float:
        """Squared error of the present fit at other points."""
        return float(((response - tensor.columns(self.terms).T @ self.coefficients) ** 2).sum())

    def grow(self) -> bool:
        """Add one batch of terms; whether there was any to add."""
        added = self._best_neighbours()[: min(max(4, int(GROWTH * len(self.terms))), self.limit - len(self.terms))]
        if not len(added):
            return False
        columns = self.tensor.columns(added)
        cross = self.columns @ columns.T
        self.gram = np.block([[self.gram, cross], [cross.T, columns @ columns.T]])
        self.moment = np.concatenate([self.moment, columns @ self.response])
        self.columns = np.concatenate([self.columns, columns])
        self.terms = np.concatenate([self.terms, added])
        self.coefficients = solve(self.gram, self.moment)
        self.history.append(self.terms)
        return True

    def _best_neighbours(self) -> np.ndarray:
        """Neighbours of the present terms, the most correlated with the residual first."""
        candidates = self._neighbours()
        if not len(candidates):
            return candidates
        rows = np.arange(0, len(self.response), max(1, len(self.response) // SCORED_ROWS))
        residual = self.response[rows] - self.columns[:, rows].T @ self.coefficients
        tensor = self.tensor.at(rows)
        scores = []
        for part in np.array_split(candidates, len(candidates) // 500 + 1):
            columns = tensor.columns(part)
            scores.append(((columns @ residual) ** 2).sum(1) / (columns**2).sum(1))
        return candidates[np.argsort(-np.concatenate(scores), kind="stable")]

    def _neighbours(self) -> np.ndarray:
        """Multi-indices one or two degrees above the strongest terms in one input, and all of degree two.

        Two degrees at a time, because the odd terms of an even function vanish.
        """
        strength = (self.coefficients**2).sum(1)
        strength[0] = np.inf
        parents = self.terms[np.argsort(-strength, kind="stable")[:PARENTS]]
        unit = np.eye(self.terms.shape[1], dtype=int)
        grown = (parents[:, None] + np.concatenate([unit, 2 * unit])[None]).reshape(-1, len(unit))
        pairs = (unit[:, None] + unit[None]).reshape(-1, len(unit))
        found = np.unique(np.concatenate([grown, pairs]), axis=0)
        found = found[found.max(1) <= DEGREE]
        for cap in self.caps:
            found = found[found[:, list(cap.columns)].sum(1) <= cap.degree]
        held = {term.tobytes() for term in self.terms}
        return found[[term.tobytes() not in held for term in found]]
