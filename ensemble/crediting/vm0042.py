"""VM0042 v2.2, section 8.6: the uncertainty of a change of soil carbon by its three routes.

Everything is per hectare of the project and in one unit throughout, t C/ha or t CO2e/ha; :func:`in_co2e`
changes it, means by 44/12 and variances by its square. Positive is a gain: more carbon in the soil of the
project than of the baseline. Equation numbers are those of version 2.2 (21 October 2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ensemble.crediting.strata import Floats, Strata, sampling_covariances, sampling_variances, total
from ensemble.units import CO2_PER_C


@dataclass(frozen=True)
class Estimate:
    """Mean change over a project with the two parts of its variance.

    Args:
        mean: project minus baseline, per ha.
        sampling_variance: variance of the mean from measuring points instead of everything.
        model_variance: variance of the mean from errors of the model.
        degrees_of_freedom: of the sampling design; infinite where everything was measured.
        area: ha.
        draws: independent Monte Carlo draws; ``None`` for an analytical route.
        units: ``t C/ha`` or ``t CO2e/ha``.
    """

    mean: float
    sampling_variance: float
    model_variance: float
    degrees_of_freedom: float
    area: float
    draws: int | None = None
    units: str = "t C/ha"

    @property
    def variance(self) -> float:
        """Sampling plus model variance of the mean (Eqs 63, 69)."""
        return self.sampling_variance + self.model_variance

    @property
    def standard_error(self) -> float:
        """Root of the variance, times ``sqrt(1 + 1/L)`` for a finite number of draws (s. 8.6.1.2.3)."""
        finite = 1.0 if self.draws is None else 1.0 + 1.0 / self.draws
        return math.sqrt(self.variance * finite)


def in_co2e(estimate: Estimate) -> Estimate:
    """The same estimate in t CO2e/ha: mean times 44/12, variances times its square.

    Raises:
        ValueError: it is in t CO2e/ha already.
    """
    if estimate.units != "t C/ha":
        raise ValueError(f"the estimate is in {estimate.units} already")
    square = CO2_PER_C**2
    return replace(
        estimate,
        mean=estimate.mean * CO2_PER_C,
        sampling_variance=estimate.sampling_variance * square,
        model_variance=estimate.model_variance * square,
        units="t CO2e/ha",
    )


# --- route 1: analytical propagation -----------------------------------------------------------------------------


def model_variance_of_difference(variance: float, correlation: float) -> float:
    """Variance of a modelled difference of two scenarios, ``2 s^2 (1 - rho)`` (Eqs 60, 61).

    Args:
        variance: of the model's error in one scenario, the same in both.
        correlation: of the errors in the two scenarios, from side-by-side trials.

    Raises:
        ValueError: a correlation outside -1 to 1 or a negative variance.
    """
    if not -1 <= correlation <= 1 or variance < 0:
        raise ValueError(
            f"need a variance of 0 or more and a correlation from -1 to 1, got {variance:g} and {correlation:g}"
        )
    return 2.0 * variance * (1.0 - correlation)


def analytical(changes: ArrayLike, strata: Strata, model_variances: ArrayLike) -> Estimate:
    """Analytical route (Eqs 62-64), which takes model errors of strata as independent.

    Args:
        changes: ``(point,)`` modelled project minus baseline change, per ha.
        strata: the sample.
        model_variances: ``(stratum,)`` variance of the model's difference (:func:`model_variance_of_difference`),
            or one number for all, per ha squared.
    """
    value = np.asarray(changes, float)
    model = np.broadcast_to(np.asarray(model_variances, float), strata.areas.shape)
    return Estimate(
        mean=float(total(value, strata)) / strata.area,
        sampling_variance=float(sampling_variances(value, strata).sum()) / strata.area**2,
        model_variance=float((strata.areas**2 * model).sum()) / strata.area**2,
        degrees_of_freedom=strata.degrees_of_freedom,
        area=strata.area,
    )


# --- route 2: Monte Carlo ----------------------------------------------------------------------------------------


def monte_carlo(changes: ArrayLike, strata: Strata) -> Estimate:
    """Monte Carlo route (Eqs 65-69): draws stay joint over points and strata.

    The model's variance is that of the project total over draws and is never split across strata, whose
    errors share the calibrated parameters; the sampling variance is summed over strata.

    Args:
        changes: ``(draw, point)`` project minus baseline change of the stock, per ha, paired draw by draw
            (Eq. 65 with emissions as minus the change of the stock).
        strata: the sample.

    Raises:
        ValueError: fewer than two draws, or a draw that is missing at a point.
    """
    value = np.asarray(changes, float)
    if value.ndim != 2 or value.shape[0] < 2:
        raise ValueError(f"the Monte Carlo route needs (draw, point) with at least 2 draws, got shape {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError("a draw is missing at some point; draws must be joint over all points")
    totals = total(value, strata)
    return Estimate(
        mean=float(totals.mean()) / strata.area,
        sampling_variance=float(sampling_variances(value.mean(axis=0), strata).sum()) / strata.area**2,
        model_variance=float(totals.var(ddof=1)) / strata.area**2,
        degrees_of_freedom=strata.degrees_of_freedom,
        area=strata.area,
        draws=value.shape[0],
    )


# --- route 3: measure and remeasure ------------------------------------------------------------------------------


def remeasured(
    project: tuple[ArrayLike, ArrayLike],
    control: tuple[ArrayLike, ArrayLike],
    project_strata: Strata,
    control_strata: Strata,
    method_variance: float = 0.0,
) -> Estimate:
    """Measured change against paired control sites (Eqs 70-73).

    Each stratum's change has the variance of both visits less twice their covariance, because the same
    points are visited again (Eq. 71); project and control are taken as independent (Eq. 70), both weighted
    by the areas of the project.

    Args:
        project, control: ``((point,), (point,))`` stocks at the start and the end, per ha.
        project_strata: the project's sample.
        control_strata: the controls' sample, with the project's strata and areas.
        method_variance: per ha squared, prediction error of another measurement method (spectroscopy) of
            one visit, Eq. 73 divided by A^2; it enters for both visits of both arms.

    Raises:
        ValueError: the controls' strata or areas differ from the project's.
    """
    if project_strata.names != control_strata.names or not np.allclose(project_strata.areas, control_strata.areas):
        raise ValueError("each project stratum needs its control sites: strata and areas of both must be the same")
    means, variance = [], 0.0
    for (start, end), strata in ((project, project_strata), (control, control_strata)):
        first, last = np.asarray(start, float), np.asarray(end, float)
        means.append(float(total(last - first, strata)))
        variance += float(sampling_variances(last, strata).sum() + sampling_variances(first, strata).sum())
        variance -= 2 * float(sampling_covariances(first, last, strata).sum())
    area = project_strata.area
    return Estimate(
        mean=(means[0] - means[1]) / area,
        sampling_variance=variance / area**2,
        model_variance=4.0 * method_variance,
        degrees_of_freedom=project_strata.degrees_of_freedom + control_strata.degrees_of_freedom,
        area=area,
    )


def method_variance(predicted: ArrayLike, measured: ArrayLike) -> float:
    """Variance of a measurement method's prediction error about its mean (Eq. 73 without A^2), per ha squared.

    Args:
        predicted, measured: ``(sample,)`` stocks of the validation samples, per ha.
    """
    error: Floats = np.asarray(predicted, float) - np.asarray(measured, float)
    return float(error.var(ddof=1))


# --- reductions and removals -------------------------------------------------------------------------------------


def removals_and_reductions(baseline: float, project: float, cumulative_project: float) -> tuple[float, float]:
    """Split of a credited change into removals and reductions (Eqs 40 and 37, the soil's terms only).

    Args:
        baseline, project: deducted change of the stock in the year, t CO2e (Eqs 44 and 45).
        cumulative_project: project change since the start, t CO2e; removals need it above 0.

    Returns:
        Removals and reductions, t CO2e, which sum to project minus baseline.
    """
    removals = max(0.0, project) - max(0.0, baseline)
    reductions = min(0.0, project) - min(0.0, baseline)
    return (removals, reductions) if cumulative_project > 0 else (0.0, removals + reductions)
