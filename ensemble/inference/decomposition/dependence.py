"""Variance of the conditional mean given any inputs, for a polynomial of inputs that a Gaussian copula ties.

The polynomial's variables are independent normals w with latent inputs z = L w, R = L L' the correlation.
Given z_1 .. z_k, which are functions of w_1 .. w_k, the conditional mean keeps exactly the terms on those
variables, so the variance given them is a sum of squared coefficients. For other inputs the order of the
factorisation is changed: swapping two neighbours turns w by a plane rotation, which mixes only Hermite terms
of equal degree in these two variables. Nothing is sampled and no integral is approximated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from math import comb

import numpy as np

from ensemble.inference.decomposition.surrogate import Basis
from ensemble.inference.decomposition.terms import DEGREE, DegreeCap

# Terms of one degree that a set of correlated inputs may have; bounds the degree of its polynomials.
CLOSURE = 5005


def correlated_sets(correlation: np.ndarray) -> list[tuple[int, ...]]:
    """Sets of inputs that correlations tie together, each in rising order; single inputs are left out."""
    reached = np.linalg.matrix_power((correlation != 0.0).astype(int), len(correlation)) > 0
    sets = dict.fromkeys(tuple(np.flatnonzero(row).tolist()) for row in reached)
    return [found for found in sets if len(found) > 1]


def degree_caps(correlation: np.ndarray) -> tuple[DegreeCap, ...]:
    """Largest degree in every set of correlated inputs for which all terms of that degree fit."""
    caps = []
    for found in correlated_sets(correlation):
        size = len(found)
        fits = [n for n in range(1, DEGREE + 1) if comb(n + size - 1, size - 1) <= CLOSURE]
        caps.append(DegreeCap(found, max(fits)))
    return tuple(caps)


class ConditionalMeans:
    """A polynomial of dependent inputs whose conditional means are taken, one set of inputs at a time.

    Args:
        basis: of the independent normals; Hermite in every correlated input.
        coefficients: (terms, outputs).
        correlation: latent normal correlation R (d, d); the variables are those of its Cholesky factor in
            the order of the inputs.
    """

    def __init__(self, basis: Basis, coefficients: np.ndarray, correlation: np.ndarray) -> None:
        self.correlation = np.asarray(correlation, float)
        self.sets = correlated_sets(self.correlation)
        self.terms, self.coefficients = _closure(basis.terms, coefficients, self.sets)
        self._swaps = {
            (found[p], found[p + 1]): _shells(self.terms, found[p], found[p + 1])
            for found in self.sets
            for p in range(len(found) - 1)
        }

    def start(self) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
        """Coefficients, and for every correlated set its inputs in the order of factorisation."""
        return self.coefficients, tuple(self.sets)

    def bring_forward(
        self, coefficients: np.ndarray, orders: tuple[tuple[int, ...], ...], added: Sequence[int], given: frozenset[int]
    ) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
        """Reorder the factorisation so that ``given`` and then ``added`` come first in every set."""
        reordered = list(orders)
        for s, order in enumerate(orders):
            front = sum(name in given for name in order)
            for name in (name for name in order if name in added):
                current = list(reordered[s])
                for position in range(current.index(name), front, -1):
                    coefficients = self._swap(coefficients, s, current, position - 1)
                    current[position - 1], current[position] = current[position], current[position - 1]
                reordered[s] = tuple(current)
                front += 1
        return coefficients, tuple(reordered)

    def kept(self, given: frozenset[int]) -> np.ndarray:
        """Terms (terms,) that live on the given inputs, once these come first; the constant is among them."""
        used = np.array([True] * self.terms.shape[1])
        used[[j for j in range(self.terms.shape[1]) if self._tied(j) is None and j in given]] = False
        for found in self.sets:
            used[list(found[: sum(name in given for name in found)])] = False
        return np.logical_not((self.terms[:, used] > 0).any(1))

    def given(self, inputs: Sequence[int]) -> np.ndarray:
        """Coefficients (terms, outputs) of the conditional mean given some inputs, in their own variables."""
        start, orders = self.start()
        turned, _ = self.bring_forward(start, orders, tuple(inputs), frozenset())
        return np.where(self.kept(frozenset(inputs))[:, None], turned, 0.0)

    def _tied(self, name: int) -> int | None:
        return next((s for s, found in enumerate(self.sets) if name in found), None)

    def _swap(self, coefficients: np.ndarray, s: int, order: list[int], position: int) -> np.ndarray:
        """Coefficients after the inputs at ``position`` and the next have changed places."""
        lower = np.linalg.cholesky(self.correlation[np.ix_(order, order)])
        c, t = lower[position + 1, position], lower[position + 1, position + 1]
        turned = coefficients.copy()
        for shell in self._swaps[self.sets[s][position], self.sets[s][position + 1]]:
            # Column k of the shell has degree k in the first variable; (w1', w2') = (c w1 + t w2, t w1 - c w2).
            matrix = _reflection(shell.shape[1] - 1, float(c / np.hypot(c, t)), float(t / np.hypot(c, t)))
            turned[shell] = np.einsum("kl,glo->gko", matrix, coefficients[shell])
        return turned


def subset_variances(means: ConditionalMeans, groups: Sequence[Sequence[int]], patterns: np.ndarray) -> np.ndarray:
    """Variance given every subset of some groups, split by which other inputs a term needs.

    Args:
        means: the polynomial.
        groups: input positions of each group (m groups); every correlated input is in one.
        patterns: (terms, patterns) 0/1; the pattern of a term.

    Returns:
        (2**m, patterns, outputs): bit g of the first index says that group g is given. The constant is left
        out.
    """
    outside = [j for j in range(means.terms.shape[1]) if not any(j in group for group in groups)]
    table = np.zeros((2 ** len(groups), patterns.shape[1], means.coefficients.shape[1]))
    for code, given, coefficients in _walk(means, groups):
        inside = means.kept(given | frozenset(outside)) & (means.terms > 0).any(1)
        table[code] = patterns[inside].T.astype(float) @ coefficients[inside] ** 2
    return table


def _walk(means: ConditionalMeans, groups: Sequence[Sequence[int]]) -> Iterator[tuple[int, frozenset[int], np.ndarray]]:
    """Every subset of groups (as a bit code), its inputs and the coefficients turned for it, depth first."""
    stack = [(0, 0, frozenset[int](), *means.start())]
    while stack:
        group, code, given, coefficients, orders = stack.pop()
        if group == len(groups):
            yield code, given, coefficients
            continue
        stack.append((group + 1, code, given, coefficients, orders))
        turned = means.bring_forward(coefficients, orders, tuple(groups[group]), given)
        stack.append((group + 1, code | 1 << group, given | frozenset(groups[group]), *turned))


def _closure(terms: np.ndarray, coefficients: np.ndarray, sets: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """All terms that rotations within the sets can reach, with coefficient 0 where the polynomial has none."""
    for found in sets:
        columns = list(found)
        rest = terms.copy()
        rest[:, columns] = 0
        keys = np.unique(np.column_stack([rest, terms[:, columns].sum(1)]), axis=0)
        grown = [_spread(key, columns) for key in keys]
        terms = np.concatenate([terms, *grown])
    unique = np.unique(terms, axis=0)
    place = {term.tobytes(): k for k, term in enumerate(unique)}
    wide = np.zeros((len(unique), coefficients.shape[1]))
    wide[[place[term.tobytes()] for term in terms[: len(coefficients)]]] = coefficients
    return unique, wide


def _spread(key: np.ndarray, columns: list[int]) -> np.ndarray:
    shares = _compositions(int(key[-1]), len(columns))
    terms = np.repeat(key[None, :-1], len(shares), axis=0)
    terms[:, columns] = shares
    return terms


@cache
def _compositions(total: int, parts: int) -> np.ndarray:
    """All ways to share ``total`` among ``parts``, (ways, parts)."""
    bars = np.array(list(itertools.combinations(range(total + parts - 1), parts - 1)), dtype=int)
    edges = np.column_stack(
        [np.full(len(bars), -1), bars.reshape(-1, parts - 1), np.full(len(bars), total + parts - 1)]
    )
    return np.diff(edges, axis=1) - 1


def _shells(terms: np.ndarray, first: int, second: int) -> list[np.ndarray]:
    """Terms (groups, s + 1) of equal degree s in two variables and equal otherwise, by degree in the first."""
    rest = terms.copy()
    rest[:, [first, second]] = 0
    degree = terms[:, first] + terms[:, second]
    order = np.lexsort((terms[:, first], *rest.T, degree))
    return [order[degree[order] == s].reshape(-1, s + 1) for s in np.unique(degree)]


def _reflection(degree: int, c: float, s: float) -> np.ndarray:
    """Matrix of the reflection (w1', w2') = (c w1 + s w2, s w1 - c w2) on Hermite terms of one total degree.

    Entry (k, l) takes the coefficient of degree l in w1 to that of degree k in w1'. As the reflection is its
    own inverse, w1 = c w1' + s w2' and w2 = s w1' - c w2', and orthonormal Hermite terms of one degree turn
    like monomials with weight sqrt(degree! / (k! (degree - k)!)).
    """
    weight = np.array([comb(degree, k) for k in range(degree + 1)]) ** 0.5
    matrix = np.empty((degree + 1, degree + 1))
    for power in range(degree + 1):
        product = np.convolve(_power(s, c, power), _power(-c, s, degree - power))
        matrix[:, power] = product * weight[power] / weight
    return matrix


def _power(constant: float, slope: float, exponent: int) -> np.ndarray:
    """Coefficients of (constant + slope x) ** exponent, lowest first."""
    return np.array([comb(exponent, k) * slope**k * constant ** (exponent - k) for k in range(exponent + 1)])
