"""Management as rules by year, turned into monthly series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ensemble.config.given import ScheduleRule
from ensemble.inputs.calendar import Calendar


def scheduled(rules: Sequence[ScheduleRule], calendar: Calendar) -> np.ndarray:
    """Monthly values of a schedule, shape (calendar.steps,); NaN where no rule applies.

    A later rule replaces an earlier one in all twelve months of its years.

    Raises:
        ValueError: a rule that applies to no year of the run, or names a single year outside it.
    """
    values = np.full(calendar.steps, np.nan)
    years, months = calendar.years(), calendar.months()
    for number, rule in enumerate(rules, 1):
        chosen = _applies(rule, years)
        if not chosen.any():
            raise ValueError(f"rule {number} applies to no year of the run, {years[0]} to {years[-1]}")
        outside = sorted(set(rule.years or ()) - set(years.tolist()))
        if outside:
            raise ValueError(
                f"rule {number} names the year {outside[0]}, which is outside the run, {years[0]} to {years[-1]}"
            )
        values[chosen] = _monthly(rule)[months[chosen] - 1]
    return values


def _applies(rule: ScheduleRule, years: np.ndarray) -> np.ndarray:
    first = -np.inf if rule.from_ is None else rule.from_
    last = np.inf if rule.to is None else rule.to
    inside = (years >= first) & (years <= last)
    if rule.every > 1:
        inside &= (years - (years[0] if rule.from_ is None else rule.from_)) % rule.every == 0
    if rule.years is not None:
        inside &= np.isin(years, rule.years)
    return inside & ~np.isin(years, rule.except_)


def _monthly(rule: ScheduleRule) -> np.ndarray:
    """The rule's twelve values, January first."""
    if rule.value is not None:
        return np.full(12, rule.value)
    if rule.monthly is not None:
        return np.asarray(rule.monthly)
    twelve = np.zeros(12)
    shares = rule.months if rule.months is not None else rule.shares
    total = 1.0 if rule.annual is None else rule.annual
    for month, share in (shares or {}).items():
        twelve[month - 1] = total * share
    return twelve
