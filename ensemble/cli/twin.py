"""The digital twin: prune, assess, update, validate-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.common import (
    DAMAGED,
    GO_ON,
    WRONG_INPUT,
    Members,
    Out,
    Seed,
    Set,
    StorePath,
    Study,
    Verbosity,
    app,
    guarded,
)  # fmt: skip


@app.command()
def prune(
    study: Study,
    out: Out = None,
    set_: Set = None,
    seed: Seed = None,
    members: Members = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="total effect, with its interval, below which an input does not matter")
    ] = 0.01,
    distance: Annotated[
        float,
        typer.Option("--distance", help="largest Wasserstein distance that outputs may move, standard deviations"),
    ] = 0.1,
) -> None:
    """Write a smaller study without the inputs that do not matter, and run it to show that; code 5 where it moved."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import load_plan
        from ensemble.pipeline.pruning import prune_plan
        from ensemble.store.place import place

        store = place(out if out is not None else Path("results") / f"{study.stem}.prune.zarr")
        stop_on_signals(lambda: f"stopped; finished tiles are kept in {store}, {GO_ON}")
        plan = load_plan(study, set_ or (), seed, members)
        for line in prune_plan(plan, store, tolerance, distance, Verbosity.quiet).lines:
            typer.echo(line)


@app.command()
def assess(store: StorePath) -> None:
    """Check results against the criteria that were fixed before them; code 5 where one is not met."""
    with guarded():
        from ensemble.pipeline.assessing import assess_store
        from ensemble.store.place import place

        found = assess_store(place(store))
        for line in found.lines:
            typer.echo(line)
        if not found.passed:
            raise typer.Exit(DAMAGED)


@app.command()
def update(
    store: StorePath,
    observations: Annotated[
        list[Path] | None, typer.Option("--observations", help="table of measurements; repeatable")
    ] = None,
    inbox: Annotated[
        Path | None, typer.Option("--inbox", help="folder whose files are taken in, each once (for cron)")
    ] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="study file: begins a twin, or a new line of one")
    ] = None,
    set_: Set = None,
    at: Annotated[int | None, typer.Option("--at", help="only show what was known at this step of the journal")] = None,
) -> None:
    """Take in new measurements, each once, and look ahead from there; a twin lies beside its store."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline.twinning import show_step, update_twin
        from ensemble.store.place import place

        stop_on_signals(lambda: f"stopped; the twin stands where it stood or one step on, {GO_ON}")
        if at is not None:
            for line in show_step(place(store), at):
                typer.echo(line)
            return
        result = update_twin(place(store), observations or (), inbox, study, set_ or (), Verbosity.quiet)
        for line in (*result.lines, f"twin:   {result.folder}", f"report: {result.report}"):
            typer.echo(line)
        for line in result.refused:
            typer.echo(f"error: {line}", err=True)
        if result.refused:
            raise typer.Exit(WRONG_INPUT)


@app.command("validate-model")
def validate_model(
    store: StorePath,
    project: Annotated[
        Path | None, typer.Option("--project", help="store of the project that will be credited")
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option("--calibration", help="store of the calibration (default: the posterior of the study)"),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", help="measured output, where there are several")] = None,
) -> None:
    """Write the validation report of a model, in the shape that VMD0053 asks for; code 5 where a rule does not hold."""
    with guarded():
        from ensemble.pipeline.validating import validate_model as validate
        from ensemble.store.place import place

        arm, fit = (None if where is None else place(where) for where in (project, calibration))
        found = validate(place(store), arm, fit, output)
        for line in (*found.lines, f"report: {found.report}"):
            typer.echo(line)
        if not found.passed:
            raise typer.Exit(DAMAGED)
