"""What is learned from an ensemble: decompose, calibrate."""

from __future__ import annotations

import typer

from ensemble.cli.common import NOT_CONVERGED, Out, Seed, Set, Study, Verbosity, app, default_store, guarded


@app.command()
def decompose(study: Study, out: Out = None, set_: Set = None, seed: Seed = None) -> None:
    """Which input causes the variance: the decomposition alone, with its own members, beside those of a run."""
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import decompose_plan, load_plan

        store = default_store(study, out)
        stop_on_signals(lambda: f"stopped; finished tiles are kept in {store}, run the same command to go on")
        for line in decompose_plan(load_plan(study, set_ or (), seed, None), store, quiet=Verbosity.quiet):
            typer.echo(line)


@app.command()
def calibrate(study: Study, out: Out = None, set_: Set = None, seed: Seed = None) -> None:
    """Fit the uncertain inputs to the observations; code 4 where the posterior must not be used."""
    with guarded():
        from ensemble.pipeline import calibrate_plan, load_plan

        result = calibrate_plan(load_plan(study, set_ or (), seed, None), default_store(study, out))
        for line in (*result.lines, f"store:  {result.store}", f"report: {result.report}"):
            typer.echo(line)
        if not result.passed:
            raise typer.Exit(NOT_CONVERGED)
