"""A study file to a plan that every stage can carry out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensemble.config import load_study
from ensemble.pipeline import credits, indicators, inventories, recovery, sequestration, totals, zones
from ensemble.pipeline.decomposing import check_decomposition
from ensemble.plan import Plan, make_plan
from ensemble.store import Place, place


def load_plan(study: Path | str, overrides: Sequence[str], seed: int | None, members: int | None) -> Plan:
    """Read, bind and check a study.

    Raises:
        InputError: anything is wrong with it.
    """
    return checked(make_plan(load_study(study, overrides, seed, members)))


def store_of(plan: Plan, out: Place | str | None = None) -> Place:
    """Where the store of a plan lies: as asked for, as its study says, or ``results/STUDY.zarr``.

    Raises:
        InputError: the study's path leads into the files of the operating system.
        StoreRefused: it is blank, or an address of a kind that is not known.
    """
    written = plan.study.record.store.path
    if out is not None or written is None:
        return place(Path("results") / f"{plan.study.name}.zarr" if out is None else out)
    found = place(written)
    return place(plan.study.path(written)) if isinstance(found, Path) else found


def checked(plan: Plan) -> Plan:
    """The plan, after every product that the study wants has been checked.

    Raises:
        InputError: one cannot be made.
    """
    check_decomposition(plan)
    totals.check_totals(plan)
    credits.check_credits(plan)
    zones.check_zones(plan)
    sequestration.check_sequestration(plan)
    recovery.check_recovery(plan)
    inventories.check_inventory(plan)
    indicators.check_indicators(plan)
    return plan
