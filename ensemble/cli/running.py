"""The main job and what surrounds it: run, work, submit, validate, status, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.common import (
    DAMAGED,
    GO_ON,
    AsJson,
    Members,
    Out,
    Seed,
    Set,
    StorePath,
    Study,
    Verbosity,
    app,
    fail,
    guarded,
    say,
)


@app.command()
def run(study: Study, out: Out = None, set_: Set = None, seed: Seed = None, members: Members = None) -> None:
    """Run a study: validate, plan, compute what is missing, statistics, report. Run again to resume."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import load_plan, plan_notes, run_plan, store_of

        store = None
        stop_on_signals(lambda: f"stopped; finished tiles are kept in {store or 'the store'}, {GO_ON}")
        plan = load_plan(study, set_ or (), seed, members)
        store = store_of(plan, out)
        for note in plan_notes(plan):
            say(note)
        result = run_plan(plan, store, quiet=Verbosity.quiet)
        for line in result.summary_lines():
            typer.echo(line)


@app.command()
def work(
    store: StorePath,
    study: Annotated[
        Path | None, typer.Option("--study", help="study file; needed only where the store is not begun")
    ] = None,
    set_: Set = None,
    seed: Seed = None,
    members: Members = None,
) -> None:
    """Compute tiles beside other workers until none is left; `ensemble run` then reduces and reports."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.store import Claims
        from ensemble.store import place as place_of

        claims = Claims(store)
        note = f"stopped; finished tiles are kept in {store}, {GO_ON}"
        stop_on_signals(lambda: claims.release_all() or note)
        from ensemble.pipeline import load_plan, plan_of_store, work_plan

        place = place_of(store)
        plan = plan_of_store(place) if study is None else load_plan(study, set_ or (), seed, members)
        claims.take_over = plan.study.record.execution.take_over
        computed = work_plan(plan, place, claims, quiet=Verbosity.quiet)
        say(f"{computed} of {plan.tiling.count} tiles computed here, none is left")


@app.command()
def submit(
    study: Study,
    out: Out = None,
    set_: Set = None,
    seed: Seed = None,
    members: Members = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the scripts and what they ask for")] = False,
    setup: Annotated[
        list[str] | None, typer.Option("--setup", help="shell line that goes first in each job; repeatable")
    ] = None,
    round_: Annotated[
        bool, typer.Option("--round", help="what the dependent job of design.stop runs: the next array, or the report")
    ] = False,
) -> None:
    """Run a study on a SLURM queue: an array of workers, then a job that fills gaps, reduces and reports."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import load_plan, next_round, store_of, submit_plan

        plan = load_plan(study, set_ or (), seed, members)
        options = {"--set": set_ or [], "--seed": [seed], "--members": [members]}
        arguments = [str(a) for key, values in options.items() for v in values if v is not None for a in (key, v)]
        store = store_of(plan, out)
        if round_:
            stop_on_signals(lambda: f"stopped; finished tiles are kept in {store}, {GO_ON}")
            lines = next_round(plan, store, arguments, setup or (), Verbosity.quiet)
        else:
            lines = submit_plan(plan, store, arguments, setup or (), dry_run)
        for line in lines:
            typer.echo(line)


@app.command()
def validate(
    study: Study,
    out: Out = None,
    set_: Set = None,
    seed: Seed = None,
    members: Members = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="run a few tiles in a temporary folder and say what the whole will take")
    ] = False,
) -> None:
    """Check a study and print its plan (members, tiles, bytes, memory); write nothing."""
    with guarded():
        from ensemble.pipeline import describe_plan, load_plan, store_of

        plan = load_plan(study, set_ or (), seed, members)
        for line in describe_plan(plan, store_of(plan, out)):
            typer.echo(line)
        if trial:
            from ensemble.pipeline.trial import forecast, gpus_here

            for line in forecast(plan, study, set_ or (), seed).lines(gpus_here()):
                typer.echo(line)


@app.command()
def status(store: StorePath, as_json: AsJson = False) -> None:
    """How far a run is, and which members failed; from files alone."""
    with guarded():
        from ensemble.execute.slurm import job_status
        from ensemble.store import is_there, jobs_folder, place, store_status

        jobs = job_status(jobs_folder(place(store)))
        found = None if jobs is not None and not is_there(store) else store_status(store)
        if as_json:
            both = ({"complete": False} if found is None else found.as_dict()) | (
                {} if jobs is None else {"jobs": jobs.as_dict()}
            )
            typer.echo(json.dumps(both, indent=1))
        else:
            typer.echo("\n".join(line for part in (found, jobs) if part is not None for line in part.lines()))


@app.command()
def verify(store: StorePath) -> None:
    """Recompute every digest, name what is damaged and strike it, so that `ensemble run` repairs it."""
    with guarded():
        from ensemble.store import verify_store

        damages = verify_store(store)
        for damage in damages:
            typer.echo(str(damage))
        if damages:
            fail(f"{len(damages)} damaged; run the study again on this store to repair it", DAMAGED)
        say("no damage found")
