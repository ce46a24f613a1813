"""Forecast of emissions from a table of drivers: the command `ensemble forecast-emissions`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ensemble.errors import InputError
from ensemble.inference.forecast_network import Forecast, ForecastEnsemble, NetworkSettings, fit_forecast, forecast
from ensemble.inputs.tables import Table, read_table

TARGET, KEYS = "emissions", ("region", "scenario", "year")
LEVELS = (0.05, 0.5, 0.95)


def forecast_emissions(
    history: Path, paths: Path, out: Path, settings: NetworkSettings, together: str | None = None
) -> tuple[str, ...]:
    """Train on one table, forecast the rows of another, write them with intervals and flags.

    Args:
        history: CSV with the column ``emissions`` and one column a driver; ``region`` and ``year`` are not drivers.
        paths: CSV with the same drivers, and the columns ``scenario`` and ``year``.
        out: CSV to write: mean, sd between networks, quantiles, and which drivers are outside their range.
        settings: of the networks.
        together: column of ``history`` whose equal rows are held out together (``region`` or ``year``).

    Returns:
        What the forecast says, line by line.

    Raises:
        InputError: a table or column is missing, a cell is not a number, or the networks cannot be trained.
    """
    past = read_table(history, InputError(f"the file {history} does not exist"))
    ahead = read_table(paths, InputError(f"the file {paths} does not exist"))
    drivers = [name for name in past.columns if name not in (*KEYS, TARGET)]
    ahead.require(["scenario", "year", *drivers])
    groups = None if together is None else np.array(past.text(together))
    try:
        fitted = fit_forecast(_columns(past, drivers), past.numbers(TARGET), settings, groups)
        found = forecast(fitted, _columns(ahead, drivers), LEVELS)
    except ValueError as error:
        raise InputError(str(error), history) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(_rows(ahead, drivers, found)) + "\n")
    return (*_said(fitted, past, together), *_ends(ahead, found), f"forecast: {out}")


def _columns(table: Table, names: list[str]) -> np.ndarray:
    return np.stack([table.numbers(name) for name in names], axis=-1)


def _rows(ahead: Table, drivers: list[str], found: Forecast) -> list[str]:
    levels = [f"q{100 * level:02.0f}" for level in LEVELS]
    lines = [",".join(["scenario", "year", "mean", "network_sd", *levels, "extrapolated", "outside"])]
    for row, (scenario, year) in enumerate(zip(ahead.text("scenario"), ahead.text("year"), strict=True)):
        numbers = [found.mean[row], found.network_sd[row], *found.quantiles[:, row]]
        outside = " ".join(name for name, out in zip(drivers, found.outside[row], strict=True) if out)
        shown = [f"{value:.6g}" for value in numbers]
        lines.append(",".join([scenario, year, *shown, str(int(found.extrapolated[row])), outside]))
    return lines


def _said(fitted: ForecastEnsemble, past: Table, together: str | None) -> tuple[str, ...]:
    held = fitted.held_out
    silent = int((~fitted.alive).sum())
    what = f"rows of one {together}" if together else "single rows"
    return (
        f"{fitted.alive.size} networks on {len(past)} rows; held out, {what} together: R2 {held.r_squared:.3f}, "
        f"RMSE {held.rmse:.4g}, median error {100 * held.relative:.1f} %",
        *((f"{silent} networks fit only a constant and are left out",) if silent else ()),
    )


def _ends(ahead: Table, found: Forecast) -> list[str]:
    scenarios, years = np.array(ahead.text("scenario")), ahead.integers("year")
    lines = []
    for name in dict.fromkeys(scenarios):
        mine = np.flatnonzero(scenarios == name)
        last = mine[np.argmax(years[mine])]
        low, high = found.quantiles[0, last], found.quantiles[-1, last]
        outside = years[mine][found.extrapolated[mine]]
        flag = f"; {len(outside)} of {len(mine)} years extrapolate, from {outside.min()} on" if len(outside) else ""
        caution = ", where the interval is no promise" if found.extrapolated[last] else ""
        lines.append(
            f"{name} {years[last]}: {found.mean[last]:.4g} (90 % interval {low:.4g} to {high:.4g}){caution}{flag}"
        )
    return lines
