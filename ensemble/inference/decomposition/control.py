"""The surrogate's own pick-freeze sums, exact, and the sample's sums with the surrogate as control variate.

For a polynomial with orthonormal terms the expected product of two blocks is known: the squared mean plus
the squared coefficients of the terms that live on the inputs both blocks share. The sample's sums less the
surrogate's sample sums plus these expectations estimate the same quantities with the surrogate's residual
in place of the output (control variates, with coefficients from other scrambles, so without bias).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ensemble.inference.decomposition.effects import Effects
from ensemble.inference.decomposition.moments import Layout, Moments
from ensemble.inference.decomposition.surrogate import FOLDS, Basis, CrossFit


def controlled(
    sample: Moments, surrogate: Moments, fit: CrossFit, kept: np.ndarray, layout: Layout, shift: np.ndarray
) -> Moments:
    """Sums of the sample, with the cross-fitted surrogate as control variate.

    Args:
        sample: sums of the outputs.
        surrogate: sums of the held-out predictions at the same rows and shift; scrambles in the same order.
        fit: the surrogates.
        kept: whether a block keeps an input of the surrogate, (blocks, inputs).
        layout: roles of the blocks.
        shift: (outputs,) of both sums.
    """
    shared = kept[layout.pairs[:, 0]] == kept[layout.pairs[:, 1]]
    total, product = sample.total - surrogate.total, sample.product - surrogate.product
    for k in range(FOLDS):
        squares, mean = fit.coefficients[k + 1][1:] ** 2, fit.coefficients[k + 1][0] - shift
        inside = ~((fit.bases[k + 1].terms[1:] > 0)[None] & ~shared[:, None]).any(2)
        expected = inside.astype(float) @ squares + mean**2
        scrambles = slice(k, None, FOLDS)
        total[scrambles] += sample.count[scrambles, None] * mean
        product[scrambles] += sample.count[scrambles, None] * expected
    return Moments(sample.count, total, product)


def polynomial_effects(basis: Basis, coefficients: np.ndarray, member: np.ndarray, closed: bool) -> Effects:
    """Variance and its parts for a polynomial of independent inputs.

    Args:
        basis, coefficients: the polynomial.
        member: whether an input is in a group, (groups, inputs); inputs of no group do not occur.
        closed: whether pairs of groups are wanted.
    """
    squares = coefficients[1:] ** 2
    touched = ((basis.terms[1:] > 0).astype(int) @ member.T) > 0
    within = touched.sum(1)

    def part(condition: Callable[[int], np.ndarray]) -> np.ndarray:
        return np.stack([condition(g).astype(float) @ squares for g in range(len(member))])

    first = part(lambda g: touched[:, g] & (within == 1))
    total = part(lambda g: touched[:, g])
    pairs = list(zip(*np.triu_indices(len(member), 1), strict=True)) if closed else []
    both = [(within == touched[:, i].astype(int) + touched[:, j]).astype(float) @ squares for i, j in pairs]
    return Effects(squares.sum(0), first, total, np.stack(both) if both else np.empty((0, squares.shape[1])))
