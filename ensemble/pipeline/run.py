"""The main job: compute missing tiles, reduce them to statistics, compare with measurements, report."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.pipeline import credits, indicators, totals, zones
from ensemble.pipeline.assessing import STATISTICS, fix_criteria
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.comparison import OBSERVATIONS, SAMPLE, compared, sample_of
from ensemble.pipeline.decomposing import write_decomposition
from ensemble.pipeline.decomposition_lines import decomposition_lines
from ensemble.pipeline.layout import STAGE, root_attributes, stage_of
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
    bins = bins_for(plan, path)
    stage = stage_of(plan, bins)
    with open_writer(path, provenance_of(plan), [stage], root_attributes(plan)) as store:
        remember_study(plan, path)
        fix_criteria(plan, path)
        if plan.study.record.execution.backend == "dask":
            work_on_dask(plan, store, quiet)
        compute_tiles(plan, store, bins.bins, quiet)
        if not plan.keep_members and not store.has_group(SAMPLE):
            store.write_group(SAMPLE, sample_of(plan))
        if not store.has_group(STATISTICS):
            store.write_group(STATISTICS, statistics_of(plan, store, bins.bins), along="site")
        if len(plan.observations) and not store.has_group(OBSERVATIONS):
            store.write_group(OBSERVATIONS, compared(plan, store))
        if plan.study.record.decompose is not None:
            write_decomposition(plan, store, quiet)
        _write_products(plan, store)
        report, headline = write_store_report(store)
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
    """What the study wants made of its members: totals of regions, credits, indicators."""
    if plan.study.record.totals is not None and not store.has_group(totals.GROUP):
        store.write_group(totals.GROUP, totals.totals_of(plan, store))
    if plan.study.record.mapping is not None and plan.study.record.mapping.zones and not store.has_group(zones.GROUP):
        store.write_group(zones.GROUP, zones.zones_of(plan, store.dataset(STATISTICS).load()))
    if plan.study.record.credits is not None and not store.has_group(credits.GROUP):
        store.write_group(credits.GROUP, credits.credits_of(plan, store))
    if plan.study.record.indicators and not store.has_group(indicators.GROUP):
        store.write_group(indicators.GROUP, indicators.indicators_of(plan, store))


def decompose_plan(plan: Plan, path: Place, quiet: bool = False) -> tuple[str, ...]:
    """The decomposition alone, in a store that is there or not; returns what it says, line by line.

    Raises:
        InputError: the study has no ``decompose``.
        StoreRefused, Stopped: as :func:`run_plan`.
    """
    refuse_unlearned(plan)
    if plan.study.record.decompose is None:
        raise plan.study.error(("decompose",), "the study does not ask for a decomposition; add decompose: {}")
    histograms = bins_for(plan, path)
    with open_writer(path, provenance_of(plan), [stage_of(plan, histograms)], root_attributes(plan)) as store:
        if plan.design.kind == "factorial":
            compute_tiles(plan, store, histograms.bins, quiet)
        return tuple(line for data in write_decomposition(plan, store, quiet) for line in decomposition_lines(data))
