"""Measurements to compare with, as one checked table."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble.config import InputError, StudyFile, SuspiciousInput
from ensemble.inputs.calendar import Calendar
from ensemble.inputs.dataset_table import SUFFIXES, read_dataset_table
from ensemble.inputs.stock_parts import UNITS, compose, part_column
from ensemble.inputs.tables import MISSING, Table, read_table
from ensemble.specs import OutputSpec
from ensemble.units import conversion

STOCK_UNIT = "t C/ha"
BELOW = "below_detection"
COLUMNS = ("scenario", "site", "time", "record", "variable", "value", "error")


def read_observations(
    study: StudyFile,
    outputs: Mapping[str, OutputSpec],
    scenarios: Sequence[str],
    sites: Sequence[str],
    calendar: Calendar | None,
    steps_per_record: int,
) -> pd.DataFrame:
    """Measurements of a study, one row each.

    Returns:
        Columns scenario, site, time (decimal year), record (index of the output record), variable, value
        and error (standard deviation), both in the output's unit; then every other column of the table as text
        (method, laboratory, ...), for errors that rows share, ``depth`` as a number and ``below_detection`` as true
        or false; and for a stock given by its parts the relative standard deviation that each part adds. Empty where
        the study has none.

    Raises:
        InputError: an unknown variable, scenario or site, a time outside the run, a missing or
            non-positive error, a part of a stock that is missing or impossible, or the same measurement twice.
    """
    settings = study.record.observations
    if settings is None:
        return pd.DataFrame(columns=list(COLUMNS))
    file = study.path(settings.file)
    blamed = study.error(("observations", "file"), f"the file {file} does not exist")
    return observations_of(
        study, read_measurements(file, blamed), outputs, scenarios, sites, calendar, steps_per_record
    )


def below_detection(rows: pd.DataFrame) -> np.ndarray:
    """Which rows of :func:`read_observations` hold no measured value but the limit that it lies below, (rows,)."""
    return rows[BELOW].to_numpy(bool) if BELOW in rows else np.zeros(len(rows), bool)


def read_measurements(file: Path, blamed: InputError | None = None) -> Table:
    """A table of measurements as text: CSV, or NetCDF by its ending."""
    blamed = blamed or InputError("the file does not exist", file)
    return read_dataset_table(file, blamed) if file.suffix in SUFFIXES else read_table(file, blamed)


def observations_of(
    study: StudyFile,
    table: Table,
    outputs: Mapping[str, OutputSpec],
    scenarios: Sequence[str],
    sites: Sequence[str],
    calendar: Calendar | None,
    steps_per_record: int,
    repeats: bool = False,
) -> pd.DataFrame:
    """The measurements of one table by the rules of a study that has ``observations``; see :func:`read_observations`.

    A column ``units`` gives a row a unit of its own. With ``repeats`` the same measurement may stand there twice.
    """
    columns, settings = list(COLUMNS), study.record.observations
    assert settings is not None
    names = _column(table, "variable", settings.variable, outputs, study, "output")
    arms = _column(table, "scenario", scenarios[0] if len(scenarios) == 1 else None, scenarios, study, "scenario")
    places = _column(table, "site", sites[0] if len(sites) == 1 else None, sites, study, "site")
    values, errors, parts = _measured(study, table, [outputs[name] for name in names])
    times = _times(table)
    records = [_record(table, row, time, calendar, steps_per_record) for row, time in enumerate(times)]
    frame = pd.DataFrame(
        {
            "scenario": arms,
            "site": places,
            "time": times,
            "record": records,
            "variable": names,
            "value": values,
            "error": errors,
        }
    )
    if not repeats:
        _refuse_repeats(table, frame)
    others = {name: cells for name, cells in _others(table, columns).items() if name not in _part_columns()}
    if "depth" in others and settings.parts is not None:
        others["depth"] = others["depth"] * conversion(settings.parts.depth.units or UNITS["depth"], UNITS["depth"])[0]
    return frame.loc[:, columns].assign(**others, **parts)


def _measured(
    study: StudyFile, table: Table, specs: Sequence[OutputSpec]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Value and standard deviation of each row in the output's unit, and what each part of a stock adds to the latter."""
    settings = study.record.observations
    assert settings is not None
    whole = np.arange(len(table))
    if settings.parts is not None:
        given = table.columns.get("value", [""] * len(table))
        whole = np.array([row for row, cell in enumerate(given) if cell.lower() not in MISSING], int)
    composed = np.setdiff1d(np.arange(len(table)), whole)
    values, errors = np.empty(len(table)), np.empty(len(table))
    if len(whole):
        rows = table.rows(whole)
        factors = np.array([_factor(study, rows, number, specs[int(row)]) for number, row in enumerate(whole)])
        values[whole] = rows.numbers("value") * factors
        errors[whole] = _errors(study, rows, values[whole], factors)
    if settings.parts is None or not len(composed):
        return values, errors, {}
    for row in composed:
        if specs[row].units != STOCK_UNIT:
            text = f"{specs[row].name} is in {specs[row].units} and is no stock of carbon; give its value"
            raise table.error(int(row), "value", text)
    stocks = compose(study, settings.parts, table, composed)
    values[composed], errors[composed] = stocks.value, stocks.error
    parts = {part_column(name): np.zeros(len(table)) for name in stocks.relative}
    for name, relative in stocks.relative.items():
        parts[part_column(name)][composed] = relative
    return values, errors, parts


def _part_columns() -> set[str]:
    """Columns of parts, which the composed stock replaces; depth stays, for it is compared with the model's."""
    return {column for name in UNITS for column in (name, f"{name}_error")} - {"depth"}


def _others(table: Table, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of the table that are not the measurement itself."""
    found: dict[str, np.ndarray] = {}
    for name in table.columns:
        if name == "depth":
            found[name] = table.numbers(name, blank=np.nan)
        elif name == BELOW:
            cells = [cell.lower() for cell in table.text(name)]
            for row, cell in enumerate(cells):
                if cell not in ("true", "false", ""):
                    raise table.error(row, name, f"'{cell}' is not allowed; allowed: true, false or nothing")
            found[name] = np.array([cell == "true" for cell in cells])
        elif name not in columns:
            found[name] = np.array(table.text(name), dtype=object)
    return found


def _column(
    table: Table,
    name: str,
    fixed: str | None,
    allowed: Sequence[str] | Mapping[str, object],
    study: StudyFile,
    what: str,
) -> list[str]:
    if name not in table.columns and fixed is not None:
        if fixed not in allowed:
            raise study.error(("observations", name), f"there is no {what} '{fixed}'; allowed: {', '.join(allowed)}")
        return [fixed] * len(table)
    cells = table.text(name)
    for row, cell in enumerate(cells):
        if cell not in allowed:
            raise table.error(row, name, f"there is no {what} '{cell}'; allowed: {', '.join(allowed)}")
    return cells


def _factor(study: StudyFile, table: Table, row: int, spec: OutputSpec) -> float:
    own = table.columns["units"][row] if "units" in table.columns else ""
    if own:
        try:
            return conversion(own, spec.units)[0]
        except ValueError as error:
            raise table.error(row, "units", str(error)) from None
    asked = study.record.observations and study.record.observations.units
    written = asked.get(spec.name) if isinstance(asked, dict) else asked
    try:
        return conversion(written or table.units.get("value") or spec.units, spec.units)[0]
    except ValueError as error:
        if not written:  # the unit stands in the table itself
            raise table.error(row, "value", f"{spec.name}: {error}") from None
        raise study.error(("observations", "units"), f"{spec.name}: {error}") from None


def _errors(study: StudyFile, table: Table, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    model = study.record.observations and study.record.observations.error
    if "error" in table.columns:
        unit, own = table.units.get("value", ""), table.units.get("error")
        if own is not None and own != unit:
            raise table.error(0, "error", f"its unit '{own}' is not that of value, '{unit}'")
        errors = table.numbers("error", blank=np.nan if model else None) * factors
    elif model is not None:
        errors = np.full(len(table), np.nan)
    else:
        raise study.error(
            ("observations",), "measurement errors are missing: give error, or a column error in the table"
        )
    if model is not None:
        typical = np.hypot((model.relative or 0.0) * np.abs(values), model.absolute or 0.0)
        errors = np.where(np.isnan(errors), typical, errors)
    for row in np.flatnonzero(errors <= 0)[:1]:
        raise table.error(int(row), "error", f"{errors[row]:g} is not allowed; a standard deviation above 0 is needed")
    for row in np.flatnonzero(errors > np.abs(values))[:1]:
        text = f"the error {errors[row]:g} is larger than the value {values[row]:g}"
        warnings.warn(SuspiciousInput(str(table.error(int(row), "error", text))), stacklevel=2)
    return errors


def _times(table: Table) -> np.ndarray:
    """Decimal years; a bare year means its end, a date means its month."""
    times = np.empty(len(table))
    for row, cell in enumerate(table.text("time")):
        try:
            if "-" in cell[1:]:
                date = np.datetime64(cell, "M")
                times[row] = 1970 + (int(date.astype(int)) + 1) / 12
            else:
                times[row] = float(cell) + (1.0 if float(cell) == int(float(cell)) else 0.0)
        except ValueError:
            raise table.error(
                row, "time", f"'{cell}' is not a year (1998), a decimal year or a date (1998-10-01)"
            ) from None
    return times


def _record(table: Table, row: int, time: float, calendar: Calendar | None, steps_per_record: int) -> int:
    """Index of the output record whose end lies nearest to a time inside the run."""
    if calendar is None:
        return 0
    ends = calendar.record_years(steps_per_record)
    start = calendar.first / calendar.axis.per_year
    if not start <= time <= ends[-1] + 1e-9:
        years = f"{int(start)} to {int(np.ceil(ends[-1] - 1e-9)) - 1}"  # first and last, as a study's period is written
        raise table.error(row, "time", f"{table.text('time')[row]} lies outside the run, {years}")
    return int(np.argmin(np.abs(ends - time)))


def _refuse_repeats(table: Table, frame: pd.DataFrame) -> None:
    keys = ["scenario", "site", "time", "variable", "value"]
    repeated = frame.duplicated(keys).to_numpy()
    if repeated.any():
        row = int(np.argmax(repeated))
        first = int(np.flatnonzero((frame[keys] == frame.loc[row, keys]).all(axis=1))[0])
        raise table.error(row, "value", f"the row repeats line {table.lines[first]}; each measurement is given once")
