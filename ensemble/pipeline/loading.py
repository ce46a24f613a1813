"""A study file to a plan that every stage can carry out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble.config import load_study
from ensemble.pipeline import credits, indicators, totals, zones
from ensemble.pipeline.decomposing import check_decomposition
from ensemble.plan import Plan, make_plan


def load_plan(study: Path | str, overrides: Sequence[str], seed: int | None, members: int | None) -> Plan:
    """Read, bind and check a study.

    Raises:
        InputError: anything is wrong with it.
    """
    return checked(make_plan(load_study(study, overrides, seed, members)))


def checked(plan: Plan) -> Plan:
    """The plan, after every product that the study wants has been checked.

    Raises:
        InputError: one cannot be made.
    """
    check_decomposition(plan)
    totals.check_totals(plan)
    credits.check_credits(plan)
    zones.check_zones(plan)
    indicators.check_indicators(plan)
    return plan
