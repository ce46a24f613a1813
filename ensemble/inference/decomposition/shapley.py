"""Shapley effects: each input's fair part of the variance, whether or not inputs are correlated.

The value of a set of inputs is the variance of the mean given them; an input's Shapley effect is the average
of what it adds over all orders (Owen 2014, doi 10.1137/130936233; Song et al. 2016, doi 10.1137/15M1048070).
Only groups that correlations tie together need subsets: for the others the game splits into dividends, one
for each set of inputs that terms of the surrogate share (Harsanyi 1963), and a dividend is shared equally.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.inference.decomposition.dependence import ConditionalMeans, subset_variances

# Groups whose subsets are all enumerated.
EXACT = 12


def touching(means: ConditionalMeans, groups: Sequence[Sequence[int]]) -> list[int]:
    """Groups that hold an input of a set of correlated inputs."""
    tied = {name for found in means.sets for name in found}
    return [g for g, group in enumerate(groups) if tied & set(group)]


def shapley_exact(means: ConditionalMeans, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Shapley effects in the squared unit of the outputs, (groups, outputs); they sum to the variance.

    Args:
        means: the polynomial.
        groups: input positions of every group; each input is in one.

    Raises:
        ValueError: correlations tie more than 12 groups together.
    """
    tied = touching(means, groups)
    if len(tied) > EXACT:
        raise ValueError(f"{len(tied)} groups are tied by correlations; all subsets are taken of at most {EXACT}")
    free = [g for g in range(len(groups)) if g not in tied]
    supports = np.stack([(means.terms[:, list(groups[g])] > 0).any(1) for g in free], axis=1) if free else None
    needed = np.zeros((len(means.terms), 0), bool) if supports is None else supports
    patterns, which = np.unique(needed, axis=0, return_inverse=True)
    table = subset_variances(means, [groups[g] for g in tied], np.eye(len(patterns))[which.ravel()])
    dividends = _moebius(table)
    effects = np.zeros((len(groups), table.shape[2]))
    for code in range(len(table)):
        inside = [g for k, g in enumerate(tied) if code >> k & 1]
        for pattern, part in zip(patterns, dividends[code], strict=True):
            players = inside + [g for k, g in enumerate(free) if pattern[k]]
            if players:
                effects[players] += part / len(players)
    return effects


def _moebius(table: np.ndarray) -> np.ndarray:
    """Dividends of a game given by the value of every subset (bit codes along the first axis)."""
    dividends = table.copy()
    bit = 1
    while bit < len(table):
        codes = np.flatnonzero(np.arange(len(table)) & bit)
        dividends[codes] -= dividends[codes - bit]
        bit *= 2
    return dividends


def shapley_permutations(
    means: ConditionalMeans, groups: Sequence[Sequence[int]], permutations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shapley effects from random orders, each taken forwards and backwards, and their standard errors.

    Args:
        means: the polynomial.
        groups: input positions of every group.
        permutations: pairs of orders, at least 2.
        seed: of the orders.

    Returns:
        Effects and standard errors, (groups, outputs) each; every order's parts sum to the variance.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(permutations):
        order = rng.permutation(len(groups))
        samples.append((_marginals(means, groups, order) + _marginals(means, groups, order[::-1])) / 2.0)
    drawn = np.stack(samples)
    return drawn.mean(0), drawn.std(0, ddof=1) / np.sqrt(permutations)


def _marginals(means: ConditionalMeans, groups: Sequence[Sequence[int]], order: np.ndarray) -> np.ndarray:
    """What each group adds to the variance of the mean when groups become known in an order."""
    added = np.zeros((len(groups), means.coefficients.shape[1]))
    (coefficients, orders), given, before = means.start(), frozenset[int](), 0.0
    for g in order:
        coefficients, orders = means.bring_forward(coefficients, orders, tuple(groups[g]), given)
        given |= frozenset(groups[g])
        inside = means.kept(given) & (means.terms > 0).any(1)
        value = (coefficients[inside] ** 2).sum(0)
        added[g], before = value - before, value
    return added
