"""Gini coefficients of values that may be negative, for all members at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ensemble.indicators.checks import Floats, read_values


class Gini(NamedTuple):
    """Gini coefficients of one set of places, in the three forms in use; each has the shape of the batch.

    Args:
        deficit: among places below zero, by the size of their mean; 0 where fewer than one.
        surplus: among places above zero; 0 where fewer than one.
        deficit_share, surplus_share: shares P1 and P2 of the places below and above zero.
        sum: ``deficit + surplus``, as printed by Zhang et al. (2022); can exceed 1 and forgets the shares.
        weighted: ``P1 deficit + P2 surplus``.
        normalised: mean absolute difference over twice the mean absolute value (Raffinetti et al. 2015);
            between 0 and 1 whatever the signs; NaN where every value is 0.
    """

    deficit: Floats
    surplus: Floats
    deficit_share: Floats
    surplus_share: Floats
    sum: Floats
    weighted: Floats
    normalised: Floats


def gini(values: ArrayLike) -> Gini:
    """Gini coefficients from half the mean absolute difference of all pairs, a place with itself included.

    ``(1 / mu) * integral F (1 - F) dx`` is ``mean |x_i - x_j| / (2 mu)``; the sign split of Zhang et al.
    (2022, equations 12 to 16) takes it for deficits and surpluses apart, with ``|mu|``. Their printed
    integrand for surpluses, ``F2 (1 - F1)``, is read as ``F2 (1 - F2)``.

    Args:
        values: shape (..., places).

    Raises:
        ValueError: fewer than two places, or a value that is not finite.
    """
    places = np.sort(read_values(values, 2, "a Gini coefficient", "places"), axis=-1)
    n = places.shape[-1]
    below, above = places < 0, places > 0
    lost, won = below.sum(axis=-1), above.sum(axis=-1)
    rank = np.arange(1, n + 1)
    deficit = _part(places, below, np.broadcast_to(rank, places.shape), lost)
    surplus = _part(places, above, rank - (n - won)[..., None], won)
    everything = _half_difference(places, rank, np.full(lost.shape, n))
    size = np.abs(places).mean(axis=-1)
    normalised = np.divide(everything, size, out=np.full(size.shape, np.nan), where=size > 0)
    p1, p2 = lost / n, won / n
    return Gini(deficit, surplus, p1, p2, deficit + surplus, p1 * deficit + p2 * surplus, normalised)


def _half_difference(kept: Floats, rank: np.ndarray, count: np.ndarray) -> Floats:
    """Half the mean absolute difference of sorted values: ``sum (2 i - n - 1) x_i / n^2``."""
    weight = 2 * rank - np.asarray(count)[..., None] - 1
    return (weight * kept).sum(axis=-1) / np.maximum(count, 1) ** 2


def _part(places: Floats, mask: np.ndarray, rank: np.ndarray, count: np.ndarray) -> Floats:
    kept = np.where(mask, places, 0.0)
    mean = np.abs(kept.sum(axis=-1)) / np.maximum(count, 1)
    half = _half_difference(kept, rank, count)
    # Equal values leave a rounding error of either sign.
    return np.maximum(np.divide(half, mean, out=np.zeros(mean.shape), where=mean > 0), 0.0)
