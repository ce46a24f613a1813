"""Tiles of the members: computed here one after another, and what each of them writes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble.errors import Stopped
from ensemble.execute.progress import progress
from ensemble.pipeline.layout import FLAGS, STAGE, packing_of
from ensemble.plan import Plan
from ensemble.propagate import FAILURES, TileResult, propagate
from ensemble.provenance import Provenance, file_checksums, this_platform
from ensemble.store import StoreWriter
from ensemble.summary import Bins, summarise_tile


def provenance_of(plan: Plan) -> Provenance:
    """What the results of a plan depend on."""
    study = plan.study
    sums = file_checksums(plan.base.files, study.folder)
    return Provenance(study.resolved(), plan.seed, this_platform(), sums)


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
    sites = slice(tile.first_site, tile.first_site + tile.sites)
    here = {name: entry.at(sites) for name, entry in bins.items()}
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
