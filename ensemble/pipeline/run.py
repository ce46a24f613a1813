"""The main job: compute missing tiles, reduce them to statistics, compare with measurements, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.config import load_study
from ensemble.errors import Stopped
from ensemble.execute.progress import progress
from ensemble.pipeline import credits, indicators, totals, zones
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.comparison import OBSERVATIONS, SAMPLE, compared, sample_of
from ensemble.pipeline.decomposing import check_decomposition, write_decomposition
from ensemble.pipeline.decomposition_lines import decomposition_lines
from ensemble.pipeline.layout import FLAGS, STAGE, packing_of, root_attributes, stage_of
from ensemble.pipeline.origin import remember_study
from ensemble.pipeline.reporting import write_store_report
from ensemble.pipeline.statistics import statistics_of
from ensemble.plan import Plan, make_plan
from ensemble.propagate import FAILURES, TileResult, propagate
from ensemble.provenance import Provenance, file_checksums, this_platform
from ensemble.store import StoreWriter, drop_claims, open_writer
from ensemble.summary import Bins, summarise_tile

STATISTICS = "statistics"


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

    store: Path
    report: Path
    members: int
    failed: int
    headline: tuple[str, ...]

    def summary_lines(self) -> list[str]:
        """What to print at the end of a run."""
        failed = [f"{self.failed} failed (member, site) pairs are kept out of the statistics"] if self.failed else []
        return [*self.headline, *failed, f"store:  {self.store}", f"report: {self.report}"]


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


def provenance_of(plan: Plan) -> Provenance:
    """What the results of a plan depend on."""
    study = plan.study
    sums = file_checksums(plan.base.files, study.folder)
    return Provenance(study.resolved(), plan.seed, this_platform(), sums)


def run_plan(plan: Plan, path: Path, quiet: bool = False) -> RunResult:
    """Run a plan into a store, or finish one that was begun.

    Raises:
        StoreRefused: the store belongs to another study, platform or process, or cannot be written.
        Stopped: more members failed than ``execution.max_failed`` allows.
    """
    bins = bins_for(plan, path)
    stage = stage_of(plan, bins)
    with open_writer(path, provenance_of(plan), [stage], root_attributes(plan)) as store:
        remember_study(plan, path)
        compute_tiles(plan, store, bins.bins, quiet)
        if not plan.keep_members and not store.has_group(SAMPLE):
            store.write_group(SAMPLE, sample_of(plan))
        if not store.has_group(STATISTICS):
            store.write_group(STATISTICS, statistics_of(plan, store, bins.bins))
        if len(plan.observations) and not store.has_group(OBSERVATIONS):
            store.write_group(OBSERVATIONS, compared(plan, store))
        if plan.study.record.decompose is not None:
            write_decomposition(plan, store, quiet)
        _write_products(plan, store)
        report, headline = write_store_report(store)
    drop_claims(path)
    failed = sum(entry.failed for entry in store.entries(STAGE).values())
    return RunResult(path, report, plan.members, failed, tuple(headline))


def _write_products(plan: Plan, store: StoreWriter) -> None:
    """What the study wants made of its members: totals of regions, credits, indicators."""
    if plan.study.record.totals is not None and not store.has_group(totals.GROUP):
        store.write_group(totals.GROUP, totals.totals_of(plan, store))
    if plan.study.record.mapping is not None and not store.has_group(zones.GROUP):
        store.write_group(zones.GROUP, zones.zones_of(plan, store.dataset(STATISTICS).load()))
    if plan.study.record.credits is not None and not store.has_group(credits.GROUP):
        store.write_group(credits.GROUP, credits.credits_of(plan, store))
    if plan.study.record.indicators and not store.has_group(indicators.GROUP):
        store.write_group(indicators.GROUP, indicators.indicators_of(plan, store))


def decompose_plan(plan: Plan, path: Path, quiet: bool = False) -> tuple[str, ...]:
    """The decomposition alone, in a store that is there or not; returns what it says, line by line.

    Raises:
        InputError: the study has no ``decompose``.
        StoreRefused, Stopped: as :func:`run_plan`.
    """
    if plan.study.record.decompose is None:
        raise plan.study.error(("decompose",), "the study does not ask for a decomposition; add decompose: {}")
    histograms = bins_for(plan, path)
    with open_writer(path, provenance_of(plan), [stage_of(plan, histograms)], root_attributes(plan)) as store:
        if plan.design.kind == "factorial":
            compute_tiles(plan, store, histograms.bins, quiet)
        return decomposition_lines(write_decomposition(plan, store, quiet))


def compute_tiles(plan: Plan, store: StoreWriter, bins: Mapping[str, Bins], quiet: bool = False) -> None:
    """Compute what is missing, tile by tile.

    Raises:
        Stopped: more members failed than the study allows.
    """
    entries = store.entries(STAGE)
    missing = [tile for tile in range(plan.tiling.count) if tile not in entries]
    failed = sum(entry.failed for entry in entries.values())
    done = sum(entry.pairs for entry in entries.values())
    refuse_failures(plan, failed)
    with progress(plan.study.name, plan.members * len(plan.sites), done, "members", quiet) as advance:
        for result in propagate(plan, missing):
            store.write_tile(STAGE, result.tile.index, tile_arrays(plan, result, bins))
            failed += int((result.failed > 0).sum())
            advance(result.failed.size)
            refuse_failures(plan, failed, result)


def refuse_failures(plan: Plan, failed: int, result: TileResult | None = None) -> None:
    """Stop where more members failed than the study allows.

    Args:
        plan: the plan.
        failed: (member, site) pairs that failed so far.
        result: the last tile, whose reasons are named.

    Raises:
        Stopped: they are too many.
    """
    pairs = plan.members * len(plan.sites)
    allowed = plan.study.record.execution.max_failed
    if failed <= allowed * pairs:
        return
    reason = ""
    if result is not None and (result.failed > 0).any():
        codes, counts = np.unique(result.failed[result.failed > 0], return_counts=True)
        reason = f"; most often {FAILURES[int(codes[np.argmax(counts)])]}"
    raise Stopped(
        f"{failed} of {pairs} members failed{reason}; more than execution.max_failed ({allowed:g}) allows. "
        f"`ensemble status` lists them; finished tiles are kept"
    )


def tile_arrays(plan: Plan, result: TileResult, bins: Mapping[str, Bins]) -> dict[str, np.ndarray]:
    """Everything that a tile writes, by path in the store."""
    tile = result.tile
    members = tile.first_member + np.arange(tile.members)
    here = {name: _at_sites(entry, tile.first_site, tile.sites) for name, entry in bins.items()}
    above = plan.study.record.outputs.above
    summaries = summarise_tile(
        result.outputs, result.failed, plan.design.replicate(members), plan.design.replicates, above, here
    )
    number = next(iter(bins.values())).number if bins else 0
    arrays = {f"tiles/{name}": packing_of(plan, name, number).pack(s)[None] for name, s in summaries.items()}
    arrays |= {f"inputs/{label}": draw for label, draw in result.draws.items()}
    arrays[FLAGS] = result.failed.astype(np.uint8)
    if plan.keep_members:
        arrays |= {f"members/{name}": values for name, values in result.outputs.items()}
    return arrays


def _at_sites(bins: Bins, first: int, count: int) -> Bins:
    here = slice(first, first + count)
    return Bins(bins.low[:, here], bins.width[:, here], bins.number)
