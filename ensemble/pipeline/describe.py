"""A plan in words, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ensemble.config.execution import Slurm
from ensemble.plan import Plan
from ensemble.plan.draws import moved_inside
from ensemble.store import Place, is_there, open_store

# A tile is held about this many times: as it is computed, fetched, summarised and compressed.
COPIES_OF_A_TILE = 5
# What Python, JAX, compiled programs and drawing the report take at most: 0.5 to 1.1 GB were seen. A job of a queue that
# asks for too little is killed.
BASE_BYTES = 1_100 * 10**6


def describe_plan(plan: Plan, store: Place) -> Iterator[str]:
    """Lines that say what a run would do: members, tiles, bytes, memory.

    Args:
        plan: the plan.
        store: where it would be written; read if it is there, never written.
    """
    model = plan.bound.model
    yield f"{plan.study.document.file}: {plan.study.record.title or model.title}"
    yield f"model:     {model.name} ({', '.join(f'{k} = {v}' for k, v in plan.bound.options.items()) or 'no options'})"
    for name, deriving in plan.bound.derivations:
        yield f"           {name} from {deriving.name}"
    yield f"members:   {plan.members:,} ({plan.design.kind} design, seed {plan.seed})"
    stop = plan.study.record.design.stop
    if stop is not None:
        wanted = ", ".join(
            f"{key} {value:g}" for key in ("mean", "quantiles", "credited") if (value := getattr(stop, key))
        )
        yield f"           doubled up to {plan.most_members:,} until standard errors are: {wanted}"
    yield f"sites:     {len(plan.sites):,}; scenarios: {', '.join(plan.scenarios)}"
    if plan.base.calendar is not None:
        times = plan.times()
        assert times is not None
        yield f"time:      {plan.record_count:,} records, {_when(times[0])} to {_when(times[-1])}"
    yield f"uncertain: {', '.join(plan.uncertainty.streams) or 'nothing'}"
    yield f"outputs:   {', '.join(spec.name for spec in plan.stored_outputs)} ({plan.study.record.precision})"
    tiling = plan.tiling
    yield f"tiles:     {tiling.count:,} of {tiling.tile_members:,} members x {tiling.tile_sites:,} sites"
    total = plan.pair_bytes * plan.members * len(plan.sites)
    yield f"bytes:     {readable(total)} of members, {'kept' if plan.keep_members else 'not kept (statistics only)'}"
    yield f"memory:    up to about {readable(memory_bytes(plan))}"
    yield f"store:     {store} ({_state(store)})"
    slurm = plan.study.record.execution.slurm
    if slurm.gpus:
        yield f"a queue:   {asked_hours(slurm, min(slurm.jobs, tiling.count))}"
    yield from plan_notes(plan)


def asked_hours(slurm: Slurm, elements: int) -> str:
    """What the elements of an array ask a queue for, in core-hours and GPU-hours."""
    days, _, clock = slurm.time.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    asked = elements * (24 * int(days or 0) + hours + minutes / 60 + seconds / 3600)
    gpus = f" and {asked * slurm.gpus:.3g} GPU-hours" if slurm.gpus else ""
    return f"at most {elements} x {slurm.time} = {asked * slurm.cpus:.3g} core-hours{gpus} before a requeue"


def memory_bytes(plan: Plan) -> int:
    """About how much memory a run takes at most, from the shape of its tiles alone."""
    tile = (plan.pair_bytes * plan.tiling.tile_members + plan.site_bytes) * plan.tiling.tile_sites
    return BASE_BYTES + COPIES_OF_A_TILE * tile


def plan_notes(plan: Plan) -> Iterator[str]:
    """What a user should know about how the study was read: rounding, truncation, moved values, correlations."""
    if plan.design.note:
        yield f"note: {plan.design.note}"
    for note in plan.uncertainty.notes:
        yield f"note: {note}"
    for entry in plan.study.record.correlation:
        yield f"note: {entry.between[0]} and {entry.between[1]} are correlated ({entry.kind} {entry.value:g})"
    for label, count in moved_inside(plan.uncertainty, plan.design, np.arange(len(plan.sites))).items():
        yield f"note: {label}: {count} half-range values were moved to the edge of what is possible"


def readable(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError


def _when(time: object) -> str:
    return str(time)[:10]


def _state(store: Place) -> str:
    if not is_there(store):
        return "new"
    found = open_store(store)
    return f"{len(found.finished_tiles())} of {found.tiling().count} tiles are there"
