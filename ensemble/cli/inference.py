"""What is learned from an ensemble: decompose, calibrate."""

from __future__ import annotations

from typing import Annotated

import typer

from ensemble.cli.common import GO_ON, NOT_CONVERGED, Out, Seed, Set, Study, Verbosity, app, guarded


@app.command()
def decompose(study: Study, out: Out = None, set_: Set = None, seed: Seed = None) -> None:
    """Which input causes the variance: the decomposition alone, with its own members, beside those of a run."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import decompose_plan, load_plan, store_of

        store = None
        stop_on_signals(lambda: f"stopped; finished tiles are kept in {store or 'the store'}, {GO_ON}")
        plan = load_plan(study, set_ or (), seed, None)
        store = store_of(plan, out)
        for line in decompose_plan(plan, store, quiet=Verbosity.quiet):
            typer.echo(line)


@app.command()
def calibrate(
    study: Study,
    out: Out = None,
    set_: Set = None,
    seed: Seed = None,
    simulations: Annotated[
        int,
        typer.Option("--simulations", min=0, help="instead: fit this many simulated data sets, check the machinery"),
    ] = 0,
) -> None:
    """Fit the uncertain inputs to the observations; code 4 where the posterior must not be used."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import calibrate_plan, check_calibration, load_plan, store_of

        stop_on_signals(lambda: "stopped; a calibration that was not finished leaves no posterior, start it again")
        plan = load_plan(study, set_ or (), seed, None)
        store = store_of(plan, out)
        if simulations:
            report = store.with_name(f"{store.stem}.simulated.html")
            result = check_calibration(plan, simulations, report, quiet=Verbosity.quiet)
            lines = (*result.lines, f"report: {report}")
        else:
            result = calibrate_plan(plan, store, quiet=Verbosity.quiet)
            lines = (*result.lines, f"store:  {result.store}", f"report: {result.report}")
        for line in lines:
            typer.echo(line)
        if not result.passed:
            raise typer.Exit(NOT_CONVERGED)
