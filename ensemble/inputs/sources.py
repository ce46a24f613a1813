"""One input source of a study, read into an array over sites and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.given import Forcing, InputSource, RasterSeries, RasterSites
from ensemble.errors import InputError
from ensemble.inputs.calendar import Calendar
from ensemble.inputs.checks import check_values
from ensemble.inputs.grids import CellNames, GridTable, Layer, read_grid
from ensemble.inputs.raster_series import read_raster_series
from ensemble.inputs.schedule import scheduled
from ensemble.inputs.tables import Table, read_table
from ensemble.specs import InputSpec, TimeAxis
from ensemble.units import conversion

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class SiteTable:
    """The sites of a study.

    Args:
        names: site names, in the table's order; those of cells are made as they are asked for.
        table: the table; ``None`` where the study has a single unnamed site.
    """

    names: Sequence[str]
    table: Table | None = None


def read_sites(study: StudyFile) -> SiteTable:
    """The site table of a study, or its single site.

    Raises:
        InputError: the table is missing, lacks the column ``site``, or names a site twice; a raster cannot be used
            (:func:`ensemble.inputs.grids.read_grid`).
    """
    if study.record.sites is None:
        return SiteTable(("site",))
    if not isinstance(study.record.sites, str):
        return _raster_sites(study, study.record.sites)
    file = study.path(study.record.sites)
    table = read_table(file, study.error(("sites",), f"the file {file} does not exist"))
    names = table.text("site")
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if name in first:
            raise table.error(
                row, "site", f"'{name}' is already in line {table.lines[first[name]]}; each site needs one row"
            )
        first[name] = row
    return SiteTable(tuple(names), table)


def _raster_sites(study: StudyFile, settings: RasterSites) -> SiteTable:
    layers = [
        Layer(name, study.path(e.file), e.variable, e.band, e.scale, e.nodata, e.zero_is_data, e.names)
        for name, e in settings.rasters.items()
    ]
    table = read_grid(layers)
    return SiteTable(CellNames(table.grid.rows, table.grid.columns), table)


@dataclass(frozen=True)
class ForcingTable:
    """Driver series from one CSV: rows of each site in order, lead months first.

    Args:
        table: the CSV.
        rows: row numbers by site and step, shape (sites or 1, lead + steps).
        calendar: the time axis that the rows set.
    """

    table: Table
    rows: np.ndarray
    calendar: Calendar


def read_forcing(study: StudyFile, key: KeyPath, file: str, axis: TimeAxis, sites: SiteTable) -> ForcingTable:
    """Read a driver table and check that its months are complete and in order.

    The first ``axis.lead`` rows of a site are the lead (RothC: the equilibrium year); the rows after them
    set the calendar. Sites must share their months.

    Raises:
        InputError: months are missing, repeated or out of order, a site has no rows, or the lead is short.
    """
    path = study.path(file)
    table = read_table(path, study.error(key, f"the file {path} does not exist"))
    stamps = table.integers("year") * axis.per_year + (table.integers("month") - 1 if axis.step == "month" else 0)
    if axis.step == "month":
        months = table.integers("month")
        for row in np.flatnonzero((months < 1) | (months > 12))[:1]:
            raise table.error(int(row), "month", f"{months[row]} is not allowed; allowed: 1 to 12")
    groups = _rows_by_site(table, sites)
    calendars = [_calendar(table, rows, stamps[rows], axis) for rows in groups]
    for rows, calendar in zip(groups, calendars, strict=True):
        if calendar != calendars[0]:
            raise table.error(int(rows[0]), "site", "this site does not cover the same months as the first site")
    return ForcingTable(table, np.stack(groups), calendars[0])


def _rows_by_site(table: Table, sites: SiteTable) -> list[np.ndarray]:
    if "site" not in table.columns or sites.table is None:
        return [np.arange(len(table))]
    column = np.array(table.text("site"))
    unknown = ~np.isin(column, list(sites.names))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise table.error(row, "site", f"'{column[row]}' is not in the site table")
    groups = [np.flatnonzero(column == name) for name in sites.names]
    for name, rows in zip(sites.names, groups, strict=True):
        if not len(rows):
            raise InputError(f"the site '{name}' has no rows", table.file)
    return groups


def _calendar(table: Table, rows: np.ndarray, stamps: np.ndarray, axis: TimeAxis) -> Calendar:
    lead, unit = axis.lead, axis.step
    if len(rows) <= lead:
        raise InputError(
            f"{len(rows)} rows are too few: the first {lead} are the equilibrium year, the run follows", table.file
        )
    expected = stamps[0] + np.arange(lead)
    if lead and (wrong := stamps[:lead] != expected).any():
        row = int(rows[int(np.argmax(wrong))])
        raise table.error(row, unit, f"the first {lead} rows must be the {unit}s 1 to {lead} of one equilibrium year")
    if lead and stamps[0] % axis.per_year:
        raise table.error(int(rows[0]), unit, f"the equilibrium year must begin with {unit} 1")
    run = stamps[lead:]
    step = np.diff(run)
    if (step != 1).any():
        at = int(np.argmax(step != 1))
        what = (
            "repeats the one before"
            if step[at] == 0
            else "comes before the previous one"
            if step[at] < 0
            else "follows a gap"
        )
        raise table.error(
            int(rows[lead + at + 1]), unit, f"this {unit} {what}; every {unit} must be there once, in order"
        )
    return Calendar(axis, int(run[0]), len(run))


@dataclass(frozen=True)
class SourceReader:
    """Reads input sources against one study, site table and calendar.

    Args:
        study: the study.
        sites: its sites.
        calendar: time axis of series; ``None`` for formulas.
        sizes: length of each further axis of the model.
    """

    study: StudyFile
    sites: SiteTable
    calendar: Calendar | None
    sizes: dict[str, int]

    def read(self, spec: InputSpec, source: InputSource, key: KeyPath) -> np.ndarray:
        """Values of one input in internal units, shape (1 or sites, *dims).

        Raises:
            InputError: the source does not fit the input, or a value is impossible.
        """
        factor, offset = self._units(spec, source.units, (*key, "units"))
        if source.raster is not None:
            return self._raster(spec, source.raster, key, (factor, offset))
        if source.column is not None and source.file is None:
            return self._column(spec, source.column, key, factor, offset)
        if source.file is not None:
            return self._series_file(spec, source, key, factor, offset)
        values = self._typed(spec, source, key) * factor + offset
        check_values(spec, values, lambda _, text: self.study.error(key, text))
        return self._shaped(spec, values, key)[None]

    def from_forcing(self, spec: InputSpec, forcing: ForcingTable, settings: Forcing, key: KeyPath) -> np.ndarray:
        """One driver from a forcing table, shape (1 or sites, lead + steps)."""
        column = settings.columns.get(spec.name, spec.name)
        factor, offset = self._units(spec, settings.units.get(spec.name), (*key, "units", spec.name))
        flat = forcing.table.numbers(column) * factor + offset
        check_values(spec, flat, lambda row, text: forcing.table.error(row, column, text))
        return flat[forcing.rows]

    def default(self, spec: InputSpec) -> np.ndarray:
        """The default of an input as an array, shape (1, *dims)."""
        return np.full((1, *self._dims(spec)), spec.default, dtype=np.float64)

    def _units(self, spec: InputSpec, written: str | None, key: KeyPath) -> tuple[float, float]:
        try:
            return conversion(written or spec.units, spec.units)
        except ValueError as error:
            raise self.study.error(key, str(error)) from None

    def _dims(self, spec: InputSpec) -> tuple[int, ...]:
        sizes = {**self.sizes, **({"time": self.calendar.length} if self.calendar else {})}
        return tuple(sizes[dim] for dim in spec.dims)

    def _column(self, spec: InputSpec, column: str, key: KeyPath, factor: float, offset: float) -> np.ndarray:
        table = self.sites.table
        if table is None:
            raise self.study.error((*key, "column"), f"'{column}' needs a site table; give the key sites")
        values = table.numbers(column) * factor + offset
        check_values(spec, values, lambda row, text: table.error(row, column, text))
        return np.broadcast_to(values.reshape(-1, *([1] * len(spec.dims))), (len(values), *self._dims(spec)))

    def _series_file(
        self, spec: InputSpec, source: InputSource, key: KeyPath, factor: float, offset: float
    ) -> np.ndarray:
        if spec.dims != ("time",) or self.calendar is None:
            raise self.study.error((*key, "file"), f"{spec.name} is not a series; give value or column")
        assert source.file is not None
        forcing = read_forcing(self.study, (*key, "file"), source.file, self.calendar.axis, self.sites)
        if forcing.calendar != self.calendar:
            raise self.study.error((*key, "file"), "the file does not cover the same months as the forcing table")
        column = source.column or spec.name
        flat = forcing.table.numbers(column) * factor + offset
        check_values(spec, flat, lambda row, text: forcing.table.error(row, column, text))
        return flat[forcing.rows]

    def _raster(
        self, spec: InputSpec, settings: RasterSeries, key: KeyPath, scaling: tuple[float, float]
    ) -> np.ndarray:
        """Monthly grids at the sites, shape (sites, lead + steps)."""
        grid = self.sites.table.grid if isinstance(self.sites.table, GridTable) else None
        if spec.dims != ("time",) or self.calendar is None or self.calendar.axis.per_year != 12:
            raise self.study.error(
                (*key, "raster"), f"{spec.name} is not a monthly series; name a layer of sites.rasters"
            )
        if grid is None:
            raise self.study.error(
                (*key, "raster"), "grids of a series need sites that are cells: sites: {rasters: ...}"
            )
        layer = Layer(spec.name, self.study.path(settings.file), settings.variable, 1, settings.scale, settings.nodata)
        ranges = [None if r is None else (r.start, r.end) for r in (settings.equilibrium, settings.later)]
        return read_raster_series(
            layer, grid, self.calendar, settings.first_year, ranges[0], ranges[1], scaling,
            lambda values, blame: check_values(spec, values, blame),
        )  # fmt: skip

    def _typed(self, spec: InputSpec, source: InputSource, key: KeyPath) -> np.ndarray:
        """Numbers typed in the study; series without their lead are completed by `equilibrium`."""
        is_series = "time" in spec.dims
        if source.monthly is None and source.schedule is None:
            values = np.asarray(source.value, dtype=np.float64)
            if not (is_series and values.shape == (12,) and self.calendar and self.calendar.axis.per_year == 12):
                return values
            source = InputSource(monthly=list(values), equilibrium=source.equilibrium)
        if not is_series or self.calendar is None:
            raise self.study.error(key, f"{spec.name} is not a series; give value or column")
        if source.monthly is not None:
            if self.calendar.axis.per_year != 12:
                raise self.study.error(key, "this model steps through years; give value or schedule")
            run = np.asarray(source.monthly)[self.calendar.months() - 1]
        else:
            try:
                run = scheduled(source.schedule or (), self.calendar)
            except ValueError as error:
                raise self.study.error((*key, "schedule"), str(error)) from None
            if np.isnan(run).any():
                year = int(self.calendar.years()[int(np.argmax(np.isnan(run)))])
                raise self.study.error((*key, "schedule"), f"no rule covers the year {year}")
        return np.concatenate([self._lead(source, key), run])

    def _lead(self, source: InputSource, key: KeyPath) -> np.ndarray:
        assert self.calendar is not None
        lead = self.calendar.axis.lead
        if source.equilibrium is None and source.monthly is None and lead:
            raise self.study.error(key, "give equilibrium: one number or twelve, the values of the equilibrium year")
        chosen = source.equilibrium if source.equilibrium is not None else source.monthly
        return np.broadcast_to(np.asarray(chosen if lead else [], dtype=np.float64), (lead,))

    def _shaped(self, spec: InputSpec, values: np.ndarray, key: KeyPath) -> np.ndarray:
        wanted = self._dims(spec)
        if values.ndim and values.shape != wanted:
            axes = " x ".join(f"{size} ({dim})" for size, dim in zip(wanted, spec.dims, strict=True)) or "one number"
            raise self.study.error(key, f"{values.size} numbers are given; needed: {axes}")
        return np.broadcast_to(values, wanted).copy()
