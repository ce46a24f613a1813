"""Pick-freeze estimators of variance shares, from the sums of :mod:`.moments`.

Totals are Jansen's (1999, doi 10.1016/S0010-4655(98)00154-4). First-order and closed second-order effects
are mean products of blocks that share the inputs in question (Saltelli 2002, doi
10.1016/S0010-4655(02)00280-1), centred, with the product of the two independent blocks A and B as a control
variate: the block that differs from A in one input is close to rho A with rho = 1 - S_T (the idea of Owen
2013, doi 10.1145/2457460.2457461), so rho times the error of mean(A B) is subtracted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.inference.decomposition.moments import Layout, Moments


class Effects(NamedTuple):
    """Parts of the variance, in the squared unit of each output; leading axes as in the moments.

    Args:
        variance: (..., outputs).
        first: variance of the mean given a group, (..., groups, outputs).
        total: mean variance left when all but a group are given, (..., groups, outputs).
        closed: variance of the mean given two groups, (..., pairs of groups, outputs), pairs in the order
            of ``np.triu_indices``; no pairs where the design has no blocks for them.
    """

    variance: np.ndarray
    first: np.ndarray
    total: np.ndarray
    closed: np.ndarray

    def shares(self, pool: np.ndarray | None = None) -> np.ndarray:
        """All effects over the variance, (..., rows, outputs).

        Rows are first and total effects, then closed second-order effects and, last, interactions: what a
        closed effect holds beyond the two first-order effects.

        Args:
            pool: (outputs, pools) weights; numerators and variances are summed over the outputs of a pool
                before the ratio (generalised indices: Gamboa et al. 2014, doi 10.1214/14-EJS895).
        """
        one, other = np.triu_indices(self.first.shape[-2], 1) if self.closed.shape[-2] else ([], [])
        interaction = self.closed - self.first[..., one, :] - self.first[..., other, :]
        parts = np.concatenate([self.first, self.total, self.closed, interaction], axis=-2)
        variance = self.variance[..., None, :]
        if pool is not None:
            constant = np.isnan(variance)
            parts, variance = np.where(constant, 0.0, parts) @ pool, np.nan_to_num(variance) @ pool
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(variance > 0.0, parts / variance, np.nan)


def effects(moments: Moments, layout: Layout) -> Effects:
    """Variance and its parts.

    Where a correlation crosses groups, first and total are Kucherenko's (2012, doi
    10.1016/j.cpc.2011.12.020): the blocks are then conditional samples, and only products with A count.
    """
    covariance = _Covariance(moments, layout)
    a, b = layout.a, layout.b
    variance = (covariance(a, a) + covariance(b, b)) / 2.0
    ab = covariance(a, b)

    def half_square(one: int, other: int) -> np.ndarray:
        return (covariance(one, one) + covariance(other, other)) / 2.0 - covariance(one, other)

    def correlation(value: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(np.clip(value / variance, 0.0, 1.0))

    mirrored = bool(layout.alone) and not layout.dependent
    total = np.stack([half_square(a, other) for other in layout.others], axis=-2)
    if mirrored:
        total = (total + np.stack([half_square(b, one) for one in layout.alone], axis=-2)) / 2.0
    rho = [correlation(variance - total[..., g, :]) for g in range(len(layout.others))]
    if layout.dependent:
        first = [covariance(a, one) - correlation(covariance(b, one)) * ab for one in layout.alone]
    else:
        first = [covariance(b, other) - rho[g] * ab for g, other in enumerate(layout.others)]
        if mirrored:
            first = [
                (f + covariance(a, one) - rho[g] * ab) / 2.0
                for g, (f, one) in enumerate(zip(first, layout.alone, strict=True))
            ]
    closed = [
        (covariance(layout.alone[i], layout.others[j]) + covariance(layout.alone[j], layout.others[i])) / 2.0
        - rho[i] * rho[j] * ab
        for i, j in zip(*np.triu_indices(len(layout.others), 1), strict=True)
        if mirrored
    ]
    pairs = np.stack(closed, axis=-2) if closed else np.empty((*total.shape[:-2], 0, total.shape[-1]))
    return Effects(variance, np.stack(first, axis=-2), total, pairs)


class _Covariance:
    """Mean product of two blocks about the mean of A and B."""

    def __init__(self, moments: Moments, layout: Layout) -> None:
        count = moments.count[..., None, :]
        self.mean = moments.total / count
        self.product = moments.product / count
        self.layout = layout
        self.centre = (self.mean[..., layout.a, :] + self.mean[..., layout.b, :]) / 2.0

    def __call__(self, one: int, other: int) -> np.ndarray:
        product = self.product[..., self.layout.pair(one, other), :]
        return product - self.centre * (self.mean[..., one, :] + self.mean[..., other, :]) + self.centre**2
