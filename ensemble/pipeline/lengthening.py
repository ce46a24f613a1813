"""Adaptive stopping: members are doubled until the results are known to the standard errors that a study wants.

A longer design only appends members, tiles have a fixed shape and are numbered by members first, so doubling
keeps every tile that is there. Whether to go on is decided from finished tiles alone: a run that was stopped and
resumed, or shared by several workers, ends with the same members as an undisturbed one, and each member and
statistic is bit for bit that of a study with this number of members and these tiles from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from ensemble.pipeline.bins import Histograms
from ensemble.pipeline.credits import credits_of
from ensemble.pipeline.layout import STAGE, root_attributes, stage_of
from ensemble.pipeline.statistics import member_statistics
from ensemble.plan import Plan, with_members
from ensemble.store import Place, Store, StoreWriter, is_there, open_store


class Criterion(NamedTuple):
    """One thing that a study wants to know well, and how well it is known.

    Args:
        name: in words.
        units: of the numbers.
        wanted, reached: standard errors.
    """

    name: str
    units: str
    wanted: float
    reached: float

    @property
    def met(self) -> bool:
        """Whether it is known well enough."""
        return self.reached <= self.wanted


def plan_so_far(plan: Plan, path: Place) -> Plan:
    """The plan with as many members as its store has grown to; itself where there is none, or nothing to stop for."""
    if plan.study.record.design.stop is None or not is_there(path):
        return plan
    store = open_store(path)
    members = store.tiling(STAGE).shape["member"] if STAGE in store.stages else plan.members
    fits = plan.members <= members <= plan.most_members and members % plan.tiling.tile_members == 0
    return with_members(plan, members) if fits else plan  # another study's store is refused when it is opened


def lengthen(plan: Plan, store: StoreWriter, histograms: Histograms) -> Plan | None:
    """Double the members of a finished stage if the study wants to know more; ``None`` where it is to stop."""
    if plan.study.record.design.stop is None or 2 * plan.members > plan.most_members:
        return None
    found = criteria(plan, store, (data for _, data in member_statistics(plan, store, histograms.bins)))
    if all(criterion.met for criterion in found):
        return None
    longer = with_members(plan, 2 * plan.members)
    store.lengthen_stage(stage_of(longer, histograms), root_attributes(longer))
    return longer


def criteria(plan: Plan, store: Store, statistics: Iterable[xr.Dataset]) -> tuple[Criterion, ...]:
    """What the study wants to know, at the members that are there; the least known site and scenario counts.

    Args:
        plan, store: of the run.
        statistics: of all sites, in blocks.
    """
    stop = plan.study.record.design.stop
    if stop is None:
        return ()
    output = stop.output or plan.study.record.report.output or plan.outputs[0].name
    asked = {"mean": stop.mean, "quantile": stop.quantiles}
    asked = {what: wanted for what, wanted in asked.items() if wanted is not None}
    reached = dict.fromkeys(asked, 0.0)
    for data in statistics if asked else ():
        for what in asked:
            error = data[f"{output}_{what}_standard_error"]
            error = error.isel(time=-1) if "time" in error.dims else error
            reached[what] = max(reached[what], _largest(error.values))
    units = next(spec.units for spec in plan.outputs if spec.name == output)
    found = [Criterion(f"{what} of {output}", units, wanted, reached[what]) for what, wanted in asked.items()]
    if stop.credited is not None:
        known = credits_of(plan, store)["credited_standard_error"]
        found.append(Criterion("credited amount", known.attrs["display_units"], stop.credited, float(known)))
    return tuple(found)


def stopping_lines(plan: Plan, store: Store) -> tuple[str, ...]:
    """How well everything is known at the end, one sentence a criterion."""
    statistics = [store.dataset("statistics")] if plan.study.record.design.stop is not None else []
    return tuple(
        f"standard error of the {c.name} {c.reached:.3g} {c.units} with {plan.members:,} members, wanted {c.wanted:g}"
        + ("" if c.met else f": not reached at max_members {plan.most_members:,}")
        for c in criteria(plan, store, statistics)
    )


def _largest(errors: np.ndarray) -> float:
    """The largest known error; 0 where no member is left, which more members do not mend."""
    known = errors[np.isfinite(errors)]
    return float(known.max()) if known.size else 0.0
