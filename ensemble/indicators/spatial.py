"""Global and local Moran statistics with permutation tests, for all members at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ensemble.indicators.checks import Floats, read_values
from ensemble.indicators.weights import Weights


class GlobalMoran(NamedTuple):
    """Moran's I.

    Args:
        statistic: I, shape of the batch; NaN where all places are equal. Not confined to -1 to 1.
        expected: its mean without spatial dependence, -1 / (n - 1).
        p_value: two-sided permutation probability, (1 + permutations as far from the middle) / (1 + permutations);
            NaN where none were asked for.
    """

    statistic: Floats
    expected: float
    p_value: Floats


class LocalMoran(NamedTuple):
    """Local Moran statistics.

    Args:
        statistic: I_i, shape (..., places); their sum times 1 / sum of weights is the global I.
        lag: mean of the neighbours minus the overall mean, shape (..., places).
        quadrant: 1 high-high, 2 low-high, 3 low-low, 4 high-low (the value, then its neighbours), int8.
        p_value: one-sided conditional permutation probability, shape (..., places); NaN where none were asked for.
    """

    statistic: Floats
    lag: Floats
    quadrant: np.ndarray
    p_value: Floats


def _deviations(values: ArrayLike, weights: Weights) -> tuple[Floats, Floats]:
    """Deviations from the mean over places, and their mean square (0 where all places are equal)."""
    places = read_values(values, 3, "a Moran statistic", "places")
    if places.shape[-1] != len(weights.names):
        raise ValueError(
            f"{places.shape[-1]} places have values but {len(weights.names)} have weights; needed: the same"
        )
    z = places - places.mean(axis=-1, keepdims=True)
    square = (z**2).mean(axis=-1)
    rounding = (64 * np.finfo(np.float64).eps * np.abs(places).max(axis=-1)) ** 2
    return z, np.where(square > rounding, square, 0.0)


def _lag(z: Floats, weights: Weights) -> Floats:
    """Weighted sum over the neighbours, shape (..., places)."""
    flat = z.reshape(-1, z.shape[-1])
    return np.asarray((weights.matrix @ flat.T).T).reshape(z.shape)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    defined = np.broadcast_to(bottom > 0, top.shape)
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=defined)


def global_moran(values: ArrayLike, weights: Weights, permutations: int = 0, seed: int = 0) -> GlobalMoran:
    """Moran's I: ``n / sum(w) * sum_ij w_ij z_i z_j / sum z^2`` (Moran 1950, Biometrika 37, 17-23).

    Args:
        values: shape (..., places).
        weights: of the same places.
        permutations: random arrangements of the values over the places, the same ones for every member
            (999 is usual); 0 leaves the probability out.
        seed: of the arrangements.

    Raises:
        ValueError: fewer than three places, values that are not finite, or weights of other places.
    """
    z, square = _deviations(values, weights)
    n, total = z.shape[-1], float(weights.matrix.sum())

    def moran(arranged: Floats) -> Floats:
        return _ratio((arranged * _lag(arranged, weights)).sum(axis=-1) / total, square)

    statistic = moran(z)
    if not permutations:
        return GlobalMoran(statistic, -1 / (n - 1), np.full_like(statistic, np.nan))
    rng = np.random.default_rng(seed)
    larger = np.zeros(statistic.shape)
    for _ in range(permutations):
        larger += moran(z[..., rng.permutation(n)]) >= statistic
    tail = np.minimum(larger, permutations - larger)
    p_value = np.minimum(2 * (tail + 1) / (permutations + 1), 1.0)
    return GlobalMoran(statistic, -1 / (n - 1), np.where(np.isnan(statistic), np.nan, p_value))


def local_moran(values: ArrayLike, weights: Weights, permutations: int = 0, seed: int = 0) -> LocalMoran:
    """Local Moran: ``n z_i sum_j w_ij z_j / sum z^2`` (Anselin 1995; Zhang et al. 2022, equation 11).

    The permutation test keeps the value of a place where it is and spreads the others over its neighbours.

    Args:
        values, weights, permutations, seed: as in :func:`global_moran`.

    Raises:
        ValueError: as in :func:`global_moran`.
    """
    z, square = _deviations(values, weights)
    sums = np.asarray(weights.matrix.sum(axis=1)).ravel()
    lag = _lag(z, weights)
    statistic = _ratio(z * lag, square[..., None])
    high, near = z > 0, lag > 0
    quadrant = np.select([high & near, ~high & near, ~high & ~near], [1, 2, 3], 4).astype(np.int8)
    p_value = np.full_like(statistic, np.nan)
    if permutations:
        p_value = _conditional(z, lag, weights, permutations, seed)
        p_value[np.isnan(statistic)] = np.nan
    return LocalMoran(statistic, lag / sums, quadrant, p_value)


def _conditional(z: Floats, lag: Floats, weights: Weights, permutations: int, seed: int) -> Floats:
    """One-sided probability of each place's product with its neighbours, the others shuffled."""
    rng = np.random.default_rng(seed)
    n, matrix = z.shape[-1], weights.matrix
    most = int(np.diff(matrix.indptr).max())
    # The same random orders of the n - 1 others serve every place, as far as its number of neighbours needs.
    orders = rng.permuted(np.broadcast_to(np.arange(n - 1), (permutations, n - 1)), axis=1)[:, :most]
    p_value = np.empty(z.shape)
    for i in range(n):
        row = matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]]
        chosen = orders[:, : len(row)]
        others = np.delete(z, i, axis=-1)
        drawn = np.zeros((*z.shape[:-1], permutations))
        for k, weight in enumerate(row):
            drawn += weight * others[..., chosen[:, k]]
        larger = (z[..., i, None] * drawn >= (z[..., i] * lag[..., i])[..., None]).sum(axis=-1)
        p_value[..., i] = (np.minimum(larger, permutations - larger) + 1) / (permutations + 1)
    return p_value
