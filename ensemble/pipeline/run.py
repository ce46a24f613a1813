"""The main job: compute missing tiles, reduce them to statistics, compare with measurements, report."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.inputs.observations import below_detection
from ensemble.pipeline import credits, half_ranges, indicators, inventories, recovery, sequestration, totals, zones
from ensemble.pipeline.assessing import STATISTICS, fix_criteria
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.comparison import OBSERVATIONS, SAMPLE, compared, sample_of
from ensemble.pipeline.decomposing import write_decomposition
from ensemble.pipeline.decomposition_lines import decomposition_lines
from ensemble.pipeline.layout import STAGE, root_attributes, stage_of
from ensemble.pipeline.lengthening import lengthen, plan_so_far, stopping_lines
from ensemble.pipeline.origin import remember_study
from ensemble.pipeline.reporting import write_store_report
from ensemble.pipeline.statistics import statistics_of
from ensemble.pipeline.tiles import compute_tiles, provenance_of
from ensemble.pipeline.working import work_on_dask
from ensemble.plan import Plan
from ensemble.store import Place, StoreWriter, drop_claims, open_writer


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Args:
        store: the store.
        report: the report, beside it.
        members: members of the ensemble.
        failed: (member, site) pairs that failed and are kept out of every statistic.
        headline: what the run says, one sentence a line.
    """

    store: Place
    report: Place
    members: int
    failed: int
    headline: tuple[str, ...]

    def summary_lines(self) -> list[str]:
        """What to print at the end of a run."""
        failed = [f"{self.failed} failed (member, site) pairs are kept out of the statistics"] if self.failed else []
        return [*self.headline, *failed, f"store:  {self.store}", f"report: {self.report}"]


def run_plan(plan: Plan, path: Place, quiet: bool = False) -> RunResult:
    """Run a plan into a store, or finish one that was begun.

    Raises:
        StoreRefused: the store belongs to another study, platform or process, or cannot be written.
        Stopped: more members failed than ``execution.max_failed`` allows.
    """
    refuse_unlearned(plan)
    plan, bins = plan_so_far(plan, path), bins_for(plan, path)
    with open_writer(path, provenance_of(plan), [stage_of(plan, bins)], root_attributes(plan)) as store:
        remember_study(plan, path)
        fix_criteria(plan, path)
        longer: Plan | None = plan
        while longer is not None:
            plan = longer
            if plan.study.record.execution.backend == "dask":
                work_on_dask(plan, store, quiet)
            compute_tiles(plan, store, bins.bins, quiet)
            longer = None if store.has_group(STATISTICS) else lengthen(plan, store, bins)
        if not plan.keep_members and not store.has_group(SAMPLE):
            store.write_group(SAMPLE, sample_of(plan))
        if not store.has_group(STATISTICS):
            store.write_group(STATISTICS, statistics_of(plan, store, bins.bins), along="site")
        if not below_detection(plan.observations).all() and not store.has_group(OBSERVATIONS):
            store.write_group(OBSERVATIONS, compared(plan, store))
        if plan.study.record.decompose is not None:
            write_decomposition(plan, store, quiet)
        _write_products(plan, store)
        report, headline = write_store_report(store)
        headline = (*headline, *stopping_lines(plan, store))
    drop_claims(path)
    failed = sum(entry.failed for entry in store.entries(STAGE).values())
    return RunResult(path, report, plan.members, failed, tuple(headline))


def refuse_unlearned(plan: Plan) -> None:
    """Refuse to run a study whose maps are still to be learned.

    Raises:
        InputError: there are such maps.
    """
    names = plan.uncertainty.unlearned
    if names:
        text = (
            f"the maps of {', '.join(names)} are not learned yet; run `ensemble map {plan.study.document.file}` first"
        )
        raise plan.study.error(("uncertain",), text)


def _write_products(plan: Plan, store: StoreWriter) -> None:
    """What the study wants made of its members: totals, zones, rates, inventory, credits, indicators."""
    record = plan.study.record
    products = {
        half_ranges.GROUP: (plan.design.kind == "half_range" and plan.keep_members, half_ranges.half_ranges_of),
        totals.GROUP: (record.totals, totals.totals_of),
        zones.GROUP: (record.mapping and record.mapping.zones, zones.zones_of),
        sequestration.GROUP: (record.sequestration, sequestration.sequestration_of),
        recovery.GROUP: (record.recovery, recovery.recovery_of),
        inventories.GROUP: (record.inventory, inventories.inventory_of),
        credits.GROUP: (record.credits, credits.credits_of),
        indicators.GROUP: (record.indicators, indicators.indicators_of),
    }
    for group, (wanted, make) in products.items():
        if wanted and not store.has_group(group):
            store.write_group(group, make(plan, store))


def decompose_plan(plan: Plan, path: Place, quiet: bool = False) -> tuple[str, ...]:
    """The decomposition alone, in a store that is there or not, and its report; returns what it says, line by line.

    Raises:
        InputError: the study has no ``decompose``.
        StoreRefused, Stopped: as :func:`run_plan`.
    """
    refuse_unlearned(plan)
    if plan.study.record.decompose is None:
        raise plan.study.error(("decompose",), "the study does not ask for a decomposition; add decompose: {}")
    plan, histograms = plan_so_far(plan, path), bins_for(plan, path)
    with open_writer(path, provenance_of(plan), [stage_of(plan, histograms)], root_attributes(plan)) as store:
        if plan.design.kind == "factorial":
            compute_tiles(plan, store, histograms.bins, quiet)
        found = write_decomposition(plan, store, quiet)
        report, _ = write_store_report(store)
        lines = [line for data in found for line in decomposition_lines(data)]
        return (*lines, f"store:  {path}", f"report: {report}")
