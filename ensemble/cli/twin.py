"""The digital twin: prune, assess, update, validate-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.common import WRONG_INPUT, Set, StorePath, Verbosity, app, guarded


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
        from ensemble.pipeline.twinning import show_step, update_twin

        if at is not None:
            for line in show_step(store, at):
                typer.echo(line)
            return
        result = update_twin(store, observations or (), inbox, study, set_ or (), Verbosity.quiet)
        for line in (*result.lines, f"twin:   {result.folder}", f"report: {result.report}"):
            typer.echo(line)
        for line in result.refused:
            typer.echo(f"error: {line}", err=True)
        if result.refused:
            raise typer.Exit(WRONG_INPUT)
