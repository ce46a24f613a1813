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
from ensemble.inference.decomposition.surrogate import Basis


def controlled(
    residual: Moments, basis: Basis, coefficients: np.ndarray, kept: np.ndarray, layout: Layout, shift: np.ndarray
) -> Moments:
    """Sums of one scramble, with a surrogate that has not seen it as control variate.

    Args:
        residual: sums of the outputs less those of the surrogate's prediction at the same rows, both about
            the same shift; and the count.
        basis, coefficients: the surrogate.
        kept: whether a block keeps an input of the surrogate, (blocks, inputs).
        layout: roles of the blocks.
        shift: (outputs,) of both sums.
    """
    shared = kept[layout.pairs[:, 0]] == kept[layout.pairs[:, 1]]
    outside = (basis.terms[1:] > 0).astype(float) @ (~shared).T.astype(float) > 0.0
    squares, mean = coefficients[1:] ** 2, coefficients[0] - shift
    expected = (~outside).T.astype(float) @ squares + mean**2
    return Moments(residual.count, residual.total + residual.count * mean, residual.product + residual.count * expected)


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
