"""A plan on a queue: what to ask for, and the scripts that do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ensemble.execute.slurm import Jobs, submit
from ensemble.models.registry import NO_USER_CODE
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.describe import asked_hours, memory_bytes, readable
from ensemble.pipeline.layout import root_attributes, stage_of
from ensemble.pipeline.lengthening import lengthen, plan_so_far
from ensemble.pipeline.run import STATISTICS, run_plan
from ensemble.pipeline.tiles import compute_tiles, provenance_of
from ensemble.plan import Plan
from ensemble.store import Place, jobs_folder, open_writer
from ensemble.store.create import refuse_path

# What a tile is cut to take, on one core.
TILE_SECONDS = 10.0


def submit_plan(
    plan: Plan, path: Place, arguments: Sequence[str], setup: Sequence[str] = (), dry_run: bool = False
) -> list[str]:
    """Submit a plan to SLURM, or say what would be submitted.

    Args:
        plan: the plan.
        path: the store.
        arguments: `--set` and other arguments that made the plan, for the commands of the jobs.
        setup: shell lines that go first in each job.
        dry_run: write and submit nothing.

    Returns:
        Lines to print.

    Raises:
        StoreRefused: there is no SLURM here, it refuses, or the path is taken.
    """
    refuse_path(path)
    plan = plan_so_far(plan, path)
    settings, tiles = plan.study.record.execution.slurm, plan.tiling.count
    elements = min(settings.jobs, tiles)
    jobs = Jobs(
        jobs_folder(path),
        plan.study.name,
        elements,
        *_commands(plan, path, arguments, setup),
        tuple(setup),
        memory_bytes(plan),
    )
    total = plan.pair_bytes * plan.members * len(plan.sites)
    lines = [
        f"array:  {elements} elements for {tiles:,} tiles, then one job that fills gaps, reduces and reports",
        f"memory: {settings.memory or readable(jobs.memory)} an element",
        f"hours:  about {tiles * TILE_SECONDS / 3600:.2g} core-hours of computing; {asked_hours(settings, elements)}",
        f"output: {readable(total if plan.keep_members else 0)} of members and the statistics, in {path}",
    ]
    if dry_run:
        return [
            *lines,
            "",
            f"# {jobs.folder / 'work.sh'}",
            jobs.array_script(settings),
            f"# {jobs.folder / 'finish.sh'}",
            jobs.finish_script(settings),
        ]
    array, finish = submit(jobs, settings)
    return [*lines, f"submitted: array {array}, then job {finish}; follow with: ensemble status {path}"]


def next_round(
    plan: Plan, path: Place, arguments: Sequence[str], setup: Sequence[str] = (), quiet: bool = False
) -> list[str]:
    """What the dependent job of an adaptive study does: fill gaps, then submit another array, or reduce and report.

    Arguments, lines and errors as in :func:`submit_plan` and :func:`~ensemble.pipeline.run.run_plan`.
    """
    plan, histograms = plan_so_far(plan, path), bins_for(plan, path)
    with open_writer(path, provenance_of(plan), [stage_of(plan, histograms)], root_attributes(plan)) as store:
        compute_tiles(plan, store, histograms.bins, quiet)
        longer = None if store.has_group(STATISTICS) else lengthen(plan, store, histograms)
    if longer is None:
        return run_plan(plan, path, quiet).summary_lines()
    return submit_plan(longer, path, arguments, setup)


def _commands(
    plan: Plan, path: Place, arguments: Sequence[str], setup: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Commands of an element and of the dependent job, by this environment's own program."""
    program = Path(sys.executable).with_name("ensemble")
    name = str(program) if os.access(program, os.X_OK) else "ensemble"
    ours = (name, "--no-user-code") if os.environ.get(NO_USER_CODE) else (name,)
    study, store = str(plan.study.document.file.absolute()), str(path.absolute())
    work, finish = (*ours, "work", store, "--study", study, *arguments), (study, "--out", store, *arguments)
    if plan.study.record.design.stop is None:
        return work, (*ours, "run", *finish)
    return work, (*ours, "submit", *finish, *(part for line in setup for part in ("--setup", line)), "--round")
