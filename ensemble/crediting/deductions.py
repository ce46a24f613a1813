"""From an estimate to a credited amount: the deduction, its own standard error, and what assumptions cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from ensemble.crediting.rules import Rule
from ensemble.crediting.strata import Strata, total
from ensemble.crediting.vm0042 import Estimate, monte_carlo
from ensemble.summary.replicates import jackknife


@dataclass(frozen=True)
class Deduction:
    """What a rule takes from an estimate.

    Args:
        rule: name of the rule.
        fraction: deduction as a fraction of the mean, from 0 to 1.
        uncapped: the same before it was limited to 0 to 1; infinite for a mean of 0.
        factor: Student's or the normal quantile that was used.
        degrees_of_freedom: of that quantile.
        mean: estimate, per ha.
        credited: per ha after the deduction; a loss is made larger.
        area: ha.
        units: per ha.
    """

    rule: str
    fraction: float
    uncapped: float
    factor: float
    degrees_of_freedom: float
    mean: float
    credited: float
    area: float
    units: str

    @property
    def credited_total(self) -> float:
        """Credited amount of the whole project."""
        return self.credited * self.area


def student_factor(probability: float, degrees_of_freedom: float) -> float:
    """One-sided Student quantile; the normal one for infinite degrees of freedom (0.4307 at 2/3)."""
    if not 0.5 <= probability < 1:
        raise ValueError(f"a one-sided probability must be from 0.5 to below 1, got {probability:g}")
    return float(norm.ppf(probability) if math.isinf(degrees_of_freedom) else t.ppf(probability, degrees_of_freedom))


def deduct(estimate: Estimate, rule: Rule) -> Deduction:
    """Deduction and credited amount of an estimate under a rule.

    One-sided rules (VM0042 Eq. 74 with Eqs 44, 45): the fraction is ``t SE / |mean|``, and the credited value
    ``mean (1 - fraction)`` for a gain and ``mean (1 + fraction)`` for a loss. Rules on a half-width deduct what
    ``z SE / |mean|`` exceeds the threshold by; rules that only state uncertainty deduct nothing.
    """
    two_sided = rule.statistic != "one_sided_quantile"
    probability = (1 + rule.probability) / 2 if two_sided else rule.probability
    factor = student_factor(probability, estimate.degrees_of_freedom)
    half = factor * estimate.standard_error
    relative = math.inf if estimate.mean == 0 else half / abs(estimate.mean)
    uncapped = {
        "one_sided_quantile": relative,
        "half_width_above_threshold": max(0.0, relative - rule.threshold),
        "half_width": 0.0,
    }[rule.statistic]
    fraction = min(1.0, uncapped)
    sign = 1.0 if estimate.mean >= 0 else -1.0
    return Deduction(
        rule=rule.name,
        fraction=fraction,
        uncapped=uncapped,
        factor=factor,
        degrees_of_freedom=estimate.degrees_of_freedom,
        mean=estimate.mean,
        credited=estimate.mean * (1.0 - sign * fraction),
        area=estimate.area,
        units=estimate.units,
    )


def relative_half_width(estimate: Estimate, rule: Rule) -> float:
    """Half of the rule's two-sided interval over the mean, as a fraction, for rules that state a half-width."""
    factor = student_factor((1 + rule.probability) / 2, estimate.degrees_of_freedom)
    return math.inf if estimate.mean == 0 else factor * estimate.standard_error / abs(estimate.mean)


class Precision(NamedTuple):
    """A number known from a finite ensemble, with the standard error that more draws would shrink."""

    value: float
    standard_error: float


def credited_precision(changes: ArrayLike, strata: Strata, rule: Rule, groups: int = 16) -> Precision:
    """Credited amount per ha with its Monte Carlo standard error, by a jackknife over groups of draws.

    Groups take draws by turns, so that with scrambled Sobol points in 16 scrambles a group is one scramble and
    groups are independent; draws inside a scramble are not.

    Args:
        changes: ``(draw, point)``, as in :func:`ensemble.crediting.vm0042.monte_carlo`.
        strata, rule: as for the deduction itself.
        groups: number of groups, at most the number of draws.

    Raises:
        ValueError: fewer draws than two for each group.
    """
    value = np.asarray(changes, float)
    if value.shape[0] < 2 * groups:
        raise ValueError(f"{groups} groups need at least {2 * groups} draws, got {value.shape[0]}")
    turn = np.arange(value.shape[0]) % groups
    left_out = np.array([deduct(monte_carlo(value[turn != g], strata), rule).credited for g in range(groups)])
    return Precision(deduct(monte_carlo(value, strata), rule).credited, float(jackknife(left_out)))


@dataclass(frozen=True)
class Assumption:
    """The same ensemble under another assumption on its dependence.

    Args:
        name: what is taken as independent.
        estimate: with the model variance that follows.
        deduction: under the rule.
        difference_total: credited amount of the project less that of joint draws; above 0 it gives away, below 0 costs.
    """

    name: str
    estimate: Estimate
    deduction: Deduction
    difference_total: float


def dependence_table(baseline: ArrayLike, project: ArrayLike, strata: Strata, rule: Rule) -> tuple[Assumption, ...]:
    """What assuming independence would have cost or given away.

    Args:
        baseline, project: ``(draw, point)`` change of the stock in each arm, per ha, paired.
        strata, rule: as for the deduction.

    Returns:
        Joint draws first, then model errors independent between strata (the assumption of VM0042 Eq. 64),
        between points, and between the two scenarios.
    """
    base, with_project = np.asarray(baseline, float), np.asarray(project, float)
    changes = with_project - base
    joint = monte_carlo(changes, strata)
    square = strata.area**2
    by_point = strata.weights**2 * changes.var(axis=0, ddof=1)
    weighted = changes * strata.weights
    by_stratum = [weighted[:, strata.member == h].sum(axis=1).var(ddof=1) for h in range(len(strata.names))]
    by_scenario = [float(total(arm, strata).var(ddof=1)) for arm in (base, with_project)]
    variances = {
        "joint draws": joint.model_variance,
        "independent strata": float(np.sum(by_stratum)) / square,
        "independent points": float(by_point.sum()) / square,
        "independent scenarios": sum(by_scenario) / square,
    }
    reference = deduct(joint, rule).credited_total
    rows = []
    for name, variance in variances.items():
        estimate = replace(joint, model_variance=variance)
        deduction = deduct(estimate, rule)
        rows.append(Assumption(name, estimate, deduction, deduction.credited_total - reference))
    return tuple(rows)


class Step(NamedTuple):
    """One bar of a waterfall: what is taken and what is left, t CO2e."""

    label: str
    change: float
    left: float


def waterfall(deduction: Deduction, leakage: float = 0.0, buffer: float = 0.0) -> tuple[Step, ...]:
    """From the gross change to the net amount, t CO2e of the whole project.

    Args:
        deduction: in t CO2e/ha.
        leakage: t CO2e.
        buffer: share of the deducted stock change that goes to the non-permanence buffer (VM0042 Eq. 75).

    Raises:
        ValueError: a deduction that is not in t CO2e/ha, leakage below 0 or a buffer outside 0 to 1.
    """
    if deduction.units != "t CO2e/ha":
        raise ValueError(f"a waterfall is in t CO2e, the deduction is in {deduction.units}")
    if leakage < 0 or not 0 <= buffer <= 1:
        raise ValueError(f"leakage must be 0 or more and buffer from 0 to 1, got {leakage:g} and {buffer:g}")
    gross, credited = deduction.mean * deduction.area, deduction.credited_total
    held = max(0.0, credited) * buffer
    steps = [("gross", gross), ("uncertainty", credited - gross), ("leakage", -leakage), ("buffer", -held)]
    left, rows = 0.0, []
    for label, change in steps:
        left += change
        rows.append(Step(label, change, left))
    return (*rows, Step("net", 0.0, left))
