"""The first-order (delta) check: what the model's own gradients say about the spread of its outputs.

For a model that is nearly linear within the errors of its inputs, the variance of an output is J C J' with the
gradient J and the covariance C of the inputs (JCGM 100:2008, eq. 13). Where this and the Monte Carlo answer
differ by more than a quarter, either the model is not linear there or one of the two is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Relative difference of the two standard deviations that is worth a warning.
TOLERANCE = 0.25
# A spread below this part of the mean is rounding (float32), not spread.
NO_SPREAD = 1e-6


class DeltaWarning(NamedTuple):
    """Where the delta check disagrees most with the Monte Carlo answer.

    Args:
        scenario, site: names.
        record: index over the output's own axes, in C order.
        delta_sd, monte_carlo_sd: the two standard deviations there, in the output's unit.
        share: share of the cells of this scenario and site that differ by more than the tolerance.
    """

    scenario: str
    site: str
    record: int
    delta_sd: float
    monte_carlo_sd: float
    share: float


def delta_sd(jacobian: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """First-order standard deviation, sqrt(J C J').

    Args:
        jacobian: derivative of the output by each input, shape (d, ...).
        covariance: of the inputs, shape (d, d).

    Returns:
        Shape (...), in the output's unit, float64.

    Raises:
        ValueError: the shapes do not fit.
    """
    if covariance.shape != (len(jacobian), len(jacobian)):
        raise ValueError(
            f"covariance has shape {covariance.shape}; a gradient of {len(jacobian)} inputs needs its square"
        )
    gradient = np.asarray(jacobian, np.float64)
    variance = np.einsum("i...,i...->...", gradient, np.tensordot(covariance, gradient, axes=1))
    return np.sqrt(np.maximum(variance, 0.0))


def first_order_contributions(jacobian: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Change of the output when one input rises by one standard deviation, J_i sd_i, the others held.

    Correlation between inputs is left out on purpose: these are marginal effects, and their squares add up to
    the first-order variance only where inputs are independent.

    Args:
        jacobian: shape (d, ...).
        sd: standard deviation of each input, shape (d,), or with more of the axes of ``jacobian`` (1 where equal).

    Returns:
        Shape (d, ...), signed, in the output's unit.
    """
    sd = np.asarray(sd, np.float64)
    return np.asarray(jacobian, np.float64) * sd.reshape(*sd.shape, *(1,) * (jacobian.ndim - sd.ndim))


def delta_warnings(
    delta: np.ndarray, sd: np.ndarray, mean: np.ndarray, scenarios: Sequence[str], sites: Sequence[str]
) -> list[DeltaWarning]:
    """One record for each scenario and site where the two standard deviations differ by more than a quarter.

    Args:
        delta, sd, mean: first-order and Monte Carlo standard deviation and the mean, shape
            (scenarios, sites, *dims); cells without spread are not judged.
        scenarios, sites: their names.
    """
    found = []
    for s, scenario in enumerate(scenarios):
        for p, site in enumerate(sites):
            first, second = np.ravel(delta[s, p]), np.ravel(sd[s, p])
            judged = second > NO_SPREAD * np.abs(np.ravel(mean[s, p]))
            gap = np.where(judged, np.abs(first - second) / np.where(judged, second, 1.0), 0.0)
            if gap.size and gap.max() > TOLERANCE:
                worst = int(gap.argmax())
                share = float((gap > TOLERANCE).sum() / judged.sum())
                found.append(DeltaWarning(scenario, site, worst, float(first[worst]), float(second[worst]), share))
    return found
