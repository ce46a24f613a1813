"""Which new sites would lower the variance of a regional total most."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.keys import host_seed
from ensemble.mapping.learning.residuals import FieldParameters, Places
from ensemble.mapping.learning.simulation import conditional_covariance

Floats = NDArray[np.floating[Any]]

CANDIDATES = 1500  # sites that are considered, chosen at random where there are more


class NextSample(NamedTuple):
    """One proposed site.

    Args:
        site: its number.
        sd_after: standard deviation of the total once it and those before it are sampled, as a share of now.
    """

    site: int
    sd_after: float


def next_samples(
    samples: Places, sites: Places, weights: ArrayLike, parameters: FieldParameters, count: int, seed: int = 0
) -> list[NextSample]:
    """Choose sites one after another, each the best given those before it.

    The total is ``sum_j w_j z_j`` over the sites, where z is the field of residual scores, known at the samples up
    to its nugget, with unknown means. Sampling site j leaves ``Var(T) - Cov(T, z_j)^2 / Var(z_j)``. Only the field's
    covariance counts, so the choice needs no new measurement; above 1500 sites, that many chosen at random stand for
    all, with their weights raised to match.

    Args:
        samples, sites: where they are.
        weights: ``(site,)`` area times local scale of the residuals.
        parameters: of the field.
        count: how many.
        seed: of the choice of candidates.
    """
    weight = np.asarray(weights, float)
    rng = np.random.default_rng(host_seed(seed, "candidates"))
    chosen = np.sort(rng.permutation(len(weight))[:CANDIDATES])
    covariance = conditional_covariance(samples, sites.at(chosen), parameters)
    noise = parameters.nugget * parameters.variance
    load = weight[chosen] * (weight.sum() / weight[chosen].sum())
    total = float(load @ covariance @ load)
    left, found, open_ = total, [], np.ones(len(chosen), bool)
    for _ in range(min(count, len(chosen))):
        with_total = covariance @ load
        gain = np.where(open_, with_total**2 / (np.diag(covariance) + noise), -np.inf)
        best = int(np.argmax(gain))
        left -= float(gain[best])
        found.append(NextSample(int(chosen[best]), float(np.sqrt(max(left, 0.0) / total))))
        column = covariance[:, best].copy()
        covariance = covariance - np.outer(column, column) / (column[best] + noise)
        open_[best] = False
    return found
