"""The command line. Heavy imports happen inside the commands, so that help and listings are instant."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ensemble import __version__

OK, WRONG_INPUT, STOPPED, NOT_CONVERGED, DAMAGED = 0, 2, 3, 4, 5

app = typer.Typer(
    name="ensemble",
    help="Soil organic carbon with an honest error bar: one study file in, an ensemble with its uncertainty out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Study = Annotated[Path, typer.Argument(help="study file (YAML)", show_default=False)]
StorePath = Annotated[Path, typer.Argument(help="store (a .zarr folder)", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="store to write (default: results/STUDY.zarr)")]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, replaces a key of the study; repeatable")]
Seed = Annotated[int | None, typer.Option("--seed", help="replaces design.seed")]
Members = Annotated[int | None, typer.Option("--members", help="replaces design.members")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


class _Verbosity:
    quiet = False
    verbose = False


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", help="print the version and stop", is_eager=True)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print only errors and results")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="print more; show where a bug happened")] = False,
    no_user_code: Annotated[
        bool, typer.Option("--no-user-code", help="refuse a study that names a model file; workers refuse it too")
    ] = False,
) -> None:
    if version:
        typer.echo(f"ensemble {__version__}")
        raise typer.Exit
    _Verbosity.quiet, _Verbosity.verbose = quiet, verbose
    if no_user_code:
        from ensemble.models.registry import NO_USER_CODE

        os.environ[NO_USER_CODE] = "1"


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    from ensemble.config import SuspiciousInput

    if issubclass(category, SuspiciousInput) or _Verbosity.verbose:
        typer.echo(f"warning: {message}", err=True)


@contextmanager
def _guarded() -> Iterator[None]:
    """Turn what can go wrong into one sentence and an exit code; a bug of ours keeps its traceback."""
    from ensemble.config import InputError
    from ensemble.errors import Damaged, Stopped, StoreRefused

    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        yield
    except (InputError, StoreRefused) as error:
        _fail(str(error), WRONG_INPUT)
    except Stopped as error:
        _fail(str(error), STOPPED)
    except Damaged as error:
        _fail(str(error), DAMAGED)


def _say(text: str) -> None:
    if not _Verbosity.quiet:
        typer.echo(text)


def _default_store(study: Path, out: Path | None) -> Path:
    return out if out is not None else Path("results") / f"{study.stem}.zarr"


@app.command()
def run(study: Study, out: Out = None, set_: Set = None, seed: Seed = None, members: Members = None) -> None:
    """Run a study: validate, plan, compute what is missing, statistics, report. Run again to resume."""
    with _guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import load_plan, plan_notes, run_plan

        store = _default_store(study, out)
        stop_on_signals(lambda: f"stopped; finished tiles are kept in {store}, run the same command to go on")
        plan = load_plan(study, set_ or (), seed, members)
        for note in plan_notes(plan):
            _say(note)
        result = run_plan(plan, store, quiet=_Verbosity.quiet)
        for line in result.summary_lines():
            _say(line)


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
    with _guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.store import Claims

        claims = Claims(store)
        note = f"stopped; finished tiles are kept in {store}, run the same command to go on"
        stop_on_signals(lambda: claims.release_all() or note)
        from ensemble.pipeline import load_plan, plan_of_store, work_plan

        plan = plan_of_store(store) if study is None else load_plan(study, set_ or (), seed, members)
        claims.take_over = plan.study.record.execution.take_over
        computed = work_plan(plan, store, claims, quiet=_Verbosity.quiet)
        _say(f"{computed} of {plan.tiling.count} tiles computed here, none is left")


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
) -> None:
    """Run a study on a SLURM queue: an array of workers, then a job that fills gaps, reduces and reports."""
    with _guarded():
        from ensemble.pipeline import load_plan, submit_plan

        plan = load_plan(study, set_ or (), seed, members)
        options = {"--set": set_ or [], "--seed": [seed], "--members": [members]}
        arguments = [str(a) for key, values in options.items() for v in values if v is not None for a in (key, v)]
        for line in submit_plan(plan, _default_store(study, out), arguments, setup or (), dry_run):
            typer.echo(line)


@app.command()
def decompose(study: Study, out: Out = None, set_: Set = None, seed: Seed = None) -> None:
    """Which input causes the variance: the decomposition alone, with its own members, beside those of a run."""
    with _guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import decompose_plan, load_plan

        store = _default_store(study, out)
        stop_on_signals(lambda: f"stopped; finished tiles are kept in {store}, run the same command to go on")
        for line in decompose_plan(load_plan(study, set_ or (), seed, None), store, quiet=_Verbosity.quiet):
            typer.echo(line)


@app.command()
def calibrate(study: Study, out: Out = None, set_: Set = None, seed: Seed = None) -> None:
    """Fit the uncertain inputs to the observations; code 4 where the posterior must not be used."""
    with _guarded():
        from ensemble.pipeline import calibrate_plan, load_plan

        result = calibrate_plan(load_plan(study, set_ or (), seed, None), _default_store(study, out))
        for line in (*result.lines, f"store:  {result.store}", f"report: {result.report}"):
            typer.echo(line)
        if not result.passed:
            raise typer.Exit(NOT_CONVERGED)


@app.command()
def validate(study: Study, out: Out = None, set_: Set = None, seed: Seed = None, members: Members = None) -> None:
    """Check a study and print its plan (members, tiles, bytes, memory); write nothing."""
    with _guarded():
        from ensemble.pipeline import describe_plan, load_plan

        plan = load_plan(study, set_ or (), seed, members)
        for line in describe_plan(plan, _default_store(study, out)):
            typer.echo(line)


@app.command()
def status(store: StorePath, as_json: AsJson = False) -> None:
    """How far a run is, and which members failed; from files alone."""
    with _guarded():
        from ensemble.execute.slurm import job_status
        from ensemble.store import jobs_folder, store_status

        jobs = job_status(jobs_folder(store))
        found = None if jobs is not None and not store.exists() else store_status(store)
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
    with _guarded():
        from ensemble.store import verify_store

        damages = verify_store(store)
        for damage in damages:
            typer.echo(str(damage))
        if damages:
            _fail(f"{len(damages)} damaged; run the study again on this store to repair it", DAMAGED)
        _say("no damage found")


@app.command()
def report(store: StorePath) -> None:
    """Write the report of a finished store again."""
    with _guarded():
        from ensemble.pipeline import report_store

        typer.echo(str(report_store(store)))


@app.command()
def export(
    store: StorePath,
    form: Annotated[str, typer.Option("--as", help="csv, netcdf, draws or geotiff")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", help="folder to write to (default: beside the store)")] = None,
) -> None:
    """Write members and statistics of a store in a hand-over format."""
    with _guarded():
        from ensemble.pipeline import export_store

        for file in export_store(store, form, out):
            typer.echo(str(file))


@app.command("forecast-emissions")
def forecast_emissions(
    history: Annotated[Path, typer.Argument(help="CSV: region, year, one column a driver, emissions")],
    paths: Annotated[Path, typer.Argument(help="CSV: scenario, year, the same drivers")],
    hidden: Annotated[str, typer.Option(help="units of each hidden layer")] = "5,4,8,6",
    networks: Annotated[int, typer.Option(help="networks in each of the five folds")] = 12,
    together: Annotated[
        str | None, typer.Option(help="hold out rows with the same value of this column together")
    ] = None,
    seed: Annotated[int, typer.Option(help="of the folds and the networks")] = 0,
    out: Annotated[Path, typer.Option(help="CSV to write")] = Path("results/emission_forecast.csv"),
) -> None:
    """Emissions from their drivers by a deep ensemble of small networks, with held-out error and flags."""
    with _guarded():
        from ensemble.inference.forecast_network import NetworkSettings
        from ensemble.pipeline.forecasting import forecast_emissions as run_forecast

        layers = tuple(int(part) if part.strip().isdigit() else 0 for part in hidden.split(","))
        settings = NetworkSettings(layers, networks=networks, seed=seed)
        for line in run_forecast(history, paths, out, settings, together):
            typer.echo(line)


@app.command()
def stocks(
    table: Annotated[Path, typer.Argument(help="CSV of sampled layers: field, top, bottom, soc, bulk_density, stones")],
    depth: Annotated[float, typer.Option("--depth", help="depth of the stock, cm")] = 30.0,
    mass: Annotated[float | None, typer.Option("--mass", help="equivalent mass of fine soil instead, Mg/ha")] = None,
    error: Annotated[
        list[str] | None, typer.Option("--error", help="NAME=VALUE, an error of measurement; repeatable")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="Monte Carlo draws")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="seed of the draws")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write")] = None,
) -> None:
    """Stocks of sampled fields with intervals, errors one at a time, and the minimum detectable change."""
    with _guarded():
        from ensemble.pipeline.field_stocks import stocks_table

        result = stocks_table(table, depth, mass, error or (), draws, seed)
        typer.echo("\n".join(result.lines))
        if out is not None:
            result.table.to_csv(out, index=False)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="one model in full")] = None, as_json: AsJson = False
) -> None:
    """List the models, or one with its inputs, units, defaults, supports, outputs and sources."""
    with _guarded():
        from ensemble.listing import list_models, show_model

        typer.echo(list_models(as_json) if name is None else show_model(name, as_json))


@app.command()
def schema() -> None:
    """Print the JSON schema of a study file, for editors."""
    from ensemble.config import StudyRecord

    typer.echo(json.dumps(StudyRecord.model_json_schema(by_alias=True), indent=1))


@app.command()
def new(
    model: Annotated[str, typer.Argument(help="a model from `ensemble models`")],
    out: Annotated[Path | None, typer.Option("--out", help="file to write (default: MODEL.yaml)")] = None,
) -> None:
    """Write a commented study to start from; it validates as it stands."""
    with _guarded():
        from ensemble.listing import write_new_study

        typer.echo(str(write_new_study(model, out or Path(f"{model}.yaml"))))


def main() -> None:
    """Entry point of the command `ensemble`."""
    try:
        app()
    except Exception:
        if _Verbosity.verbose:
            raise
        import traceback

        text = traceback.format_exc()
        typer.echo(f"{text}\nThis is a bug in ensemble; please report it with the lines above.", err=True)
        sys.exit(1)
