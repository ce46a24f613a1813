"""What is handed over: reports, exports, stocks of fields, emission forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.common import GO_ON, Out, Seed, Set, StorePath, Study, Verbosity, app, guarded


@app.command()
def report(store: StorePath) -> None:
    """Write the report of a finished store again."""
    with guarded():
        from ensemble.pipeline import report_store
        from ensemble.store import place

        typer.echo(str(report_store(place(store))))


@app.command()
def export(
    store: StorePath,
    form: Annotated[str, typer.Option("--as", help="csv, netcdf, draws, geotiff, gsocseq or inventory")] = "csv",
    out: Annotated[Path | None, typer.Option("--out", help="folder to write to (default: beside the store)")] = None,
) -> None:
    """Write members and statistics of a store in a hand-over format."""
    with guarded():
        from ensemble.pipeline import export_store
        from ensemble.store import place

        for file in export_store(place(store), form, out):
            typer.echo(str(file))


@app.command("map")
def map_(study: Study, out: Out = None, set_: Set = None, seed: Seed = None) -> None:
    """Learn maps from samples, check them, and write realisations that a study can use as uncertain inputs."""
    with guarded():
        from ensemble.config import load_study
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.pipeline import learn_maps
        from ensemble.store import place

        store = place(Path("results") / f"{study.stem}.maps.zarr" if out is None else out)
        stop_on_signals(lambda: f"stopped; what is learned is kept in {store}, {GO_ON}")
        result = learn_maps(load_study(study, set_ or (), seed), store, quiet=Verbosity.quiet)
        for line in (*result.lines, f"store:  {result.store}", f"report: {result.report}"):
            typer.echo(line)


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
    with guarded():
        from ensemble.execute.stopping import stop_on_signals
        from ensemble.inference.forecast_network import NetworkSettings
        from ensemble.pipeline.forecasting import forecast_emissions as run_forecast

        stop_on_signals(lambda: f"stopped; nothing is written, {GO_ON}")
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
    density: Annotated[
        str, typer.Option("--density", help="what bulk density is of: fine_earth, fine_per_total or total")
    ] = "fine_earth",
    carbon: Annotated[float, typer.Option("--carbon", help="carbon in organic matter, for a column som")] = 0.58,
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write")] = None,
) -> None:
    """Stocks of sampled fields with intervals, errors one at a time, and the minimum detectable change."""
    with guarded():
        from ensemble.pipeline.field_stocks import stocks_table

        result = stocks_table(table, depth, mass, error or (), draws, seed, density, carbon, out)
        typer.echo("\n".join(result.lines))


@app.command()
def remeasure(
    table: Annotated[Path, typer.Argument(help="CSV of points: point, arm, stratum, start, end (t C/ha)")],
    area: Annotated[list[str] | None, typer.Option("--area", help="STRATUM=ha; one for each stratum")] = None,
    rule: Annotated[str, typer.Option("--rule", help="rule of the deduction")] = "vm0042-2.2",
    validation: Annotated[
        Path | None, typer.Option("--validation", help="CSV of another method: predicted, measured (t C/ha)")
    ] = None,
    wanted: Annotated[
        float | None, typer.Option("--wanted", help="deduction (0 to 1) to say the sample size of")
    ] = None,
    leakage: Annotated[float, typer.Option("--leakage", help="t CO2e over the period")] = 0.0,
    buffer: Annotated[float, typer.Option("--buffer", help="share held against reversal")] = 0.0,
) -> None:
    """Credits from points that were sampled twice, with paired controls; sample size for a wanted deduction."""
    with guarded():
        from ensemble.pipeline.remeasuring import remeasured_credits

        for line in remeasured_credits(table, area or (), rule, validation, wanted, leakage, buffer):
            typer.echo(line)
