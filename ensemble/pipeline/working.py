"""A worker: tiles only, until none is left; any number of them share a store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ensemble.errors import StoreRefused
from ensemble.execute.dask_workers import Queue, run_on_dask
from ensemble.execute.progress import progress
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.describe import memory_bytes
from ensemble.pipeline.layout import STAGE, root_attributes, stage_of
from ensemble.pipeline.lengthening import plan_so_far
from ensemble.pipeline.loading import checked
from ensemble.pipeline.origin import remember_study, study_of
from ensemble.pipeline.tiles import provenance_of, refuse_failures, tile_arrays
from ensemble.plan import Plan, make_plan
from ensemble.propagate import propagate
from ensemble.store import Claims, Place, StoreWriter, is_there, jobs_folder, open_shared, open_store, place

# Seconds between two looks at tiles that others are computing.
LOOK_EVERY = 1.0


def plan_of_store(path: Place) -> Plan:
    """The plan of a store that is there, from its own record of the study.

    Raises:
        StoreRefused: there is no store, or nothing tells where its study lies.
        InputError: a file of the study is missing or wrong.
    """
    if not is_there(path):
        raise StoreRefused(f"there is no store {path}; add --study FILE to begin it")
    return plan_so_far(checked(make_plan(study_of(open_store(path)))), path)


def work_plan(plan: Plan, path: Place, claims: Claims, quiet: bool = False) -> int:
    """Compute tiles of a plan beside other workers until none is left; returns how many this one computed.

    The store is made if it is not there. Tiles that others have claimed are waited for, and taken over when
    their claim is void, so that a worker that ends leaves a whole stage behind.

    Args:
        plan: the plan.
        path: the store.
        claims: claims of this process on tiles of the store.
        quiet: show no progress.

    Raises:
        StoreRefused: the store belongs to another study or platform, or cannot be written.
        Stopped: more members failed than ``execution.max_failed`` allows.
    """
    plan = plan_so_far(plan, path)
    store = open_shared(
        path, provenance_of(plan), lambda: [stage_of(plan, bins_for(plan, path))], root_attributes(plan)
    )
    remember_study(plan, path)
    bins = bins_for(plan, path).bins
    entries = store.entries(STAGE)
    done, failed = (sum(getattr(e, name) for e in entries.values()) for name in ("pairs", "failed"))
    refuse_failures(plan, failed)
    computed = 0
    with progress(plan.study.name, plan.members * len(plan.sites), done, "members", quiet) as advance:
        while missing := store.missing_tiles(STAGE):
            before = computed
            mine = claims.take(STAGE, _in_own_order(missing), lambda tile: store.has_tile(STAGE, tile))
            for result in propagate(plan, mine):
                store.write_tile(STAGE, result.tile.index, tile_arrays(plan, result, bins))
                claims.release(STAGE, result.tile.index)
                computed += 1
                failed += int((result.failed > 0).sum())
                advance(result.failed.size)
                refuse_failures(plan, failed, result)
            if computed == before:
                time.sleep(LOOK_EVERY)
    return computed


def work_task(path: str) -> int:
    """What a Dask worker runs: :func:`work_plan` on a store that is there; safe to be run again, or twice at once."""
    store = place(path)
    plan = plan_of_store(store)
    return work_plan(plan, store, Claims(store, plan.study.record.execution.take_over), quiet=True)


def work_on_dask(plan: Plan, store: StoreWriter, quiet: bool = False) -> None:
    """Let the workers of a Dask cluster compute the tiles of a store.

    Raises:
        Stopped: the cluster stalled or lost its workers; finished tiles are kept.
        StoreRefused: a worker's platform is another, or the cluster cannot be used.
    """
    missing = len(store.missing_tiles(STAGE))
    if not missing:
        return
    with progress(
        f"{plan.study.name}, Dask", plan.tiling.count, plan.tiling.count - missing, "tiles", quiet
    ) as advance:
        path = str(store.path.absolute())
        execution = plan.study.record.execution
        queue = Queue(execution.slurm, memory_bytes(plan), jobs_folder(store.path))

        def finished() -> int:
            return len(store.entries(STAGE))

        run_on_dask(work_task, path, missing, finished, advance, execution.dask, queue)


def _in_own_order(tiles: Sequence[int]) -> list[int]:
    """The tiles from another place on in every worker, so that workers seldom ask for the same one."""
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    number = int(task) if task.isdecimal() else os.getpid()
    start = int(len(tiles) * (number * 0.6180339887 % 1.0))
    return [*tiles[start:], *tiles[:start]]
