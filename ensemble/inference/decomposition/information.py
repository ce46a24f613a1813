"""What to measure next: the expected fall of an output's variance when an input's error is removed or halved.

If an input became known exactly, the variance of the output would fall on average by the variance of its
mean given that input. If its error were halved, the part known in advance has 3/4 of the variance of the
input's normal score and correlation sqrt(3/4) with it; the variance of the output's mean given that part
follows from Mehler's formula: Hermite terms of degree n shrink by (3/4)**n.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, roots_hermitenorm

from ensemble.inference.decomposition.basis import Family, hermite, legendre
from ensemble.inference.decomposition.dependence import ConditionalMeans
from ensemble.inference.decomposition.terms import DEGREE

# Squared correlation of an input's score with what is known of it once its error is halved.
HALVED = 0.75
_NODES, _HERMITE = 120, 60


@lru_cache(maxsize=4)
def known_part(family: Family) -> np.ndarray:
    """Covariance (degree + 1, degree + 1) of polynomials of two scores with correlation 3/4.

    For ``Z`` the score and ``m`` the noisy knowledge of it, ``Var(E[f(Z) | m])`` is the covariance of
    ``f`` at two scores that share ``m`` only, whose correlation is that of ``Z`` with ``m``, squared.
    """
    if family == "hermite":
        return np.diag(HALVED ** np.arange(DEGREE + 1.0))
    z, weights = roots_hermitenorm(_NODES)
    projected = legendre(2.0 * ndtr(z) - 1.0, DEGREE) @ ((weights / weights.sum())[:, None] * hermite(z, _HERMITE).T)
    return projected @ (HALVED ** np.arange(_HERMITE + 1.0)[:, None] * projected.T)


def expected_falls(
    means: ConditionalMeans, families: Sequence[Family], groups: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Expected fall of the variance if each group's error were removed, and if it were halved.

    Args:
        means: the surrogate.
        families: family of each input.
        groups: input positions of every group.

    Returns:
        Two arrays (groups, outputs), in the squared unit of the outputs.
    """
    removed, halved = [], []
    for group in groups:
        coefficients = means.given(group)
        held = np.flatnonzero((coefficients != 0.0).any(1) & (means.terms > 0).any(1))
        terms, coefficients = means.terms[held], coefficients[held]
        kernel = np.ones((len(held), len(held)))
        for j, family in enumerate(families):
            if terms[:, j].any():
                kernel *= known_part(family)[np.ix_(terms[:, j], terms[:, j])]
        removed.append((coefficients**2).sum(0))
        halved.append((coefficients * (kernel @ coefficients)).sum(0))
    return np.stack(removed), np.stack(halved)
