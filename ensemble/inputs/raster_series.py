"""Monthly grids as driver series of the cells that are sites: history by date, mean years before and after it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.errors import InputError
from ensemble.inputs.calendar import Calendar
from ensemble.inputs.grids import Grid, Layer, decode_band, open_raster, place_of, same_place

# Series of all sites are held in memory up to this size, beyond it in a temporary file.
HELD_BYTES = 256 * 2**20
Years = tuple[int, int]
Check = Callable[[np.ndarray, Callable[[int, str], InputError]], None]


@dataclass(frozen=True)
class Months:
    """Which months of a file stand for each step of a series.

    Args:
        first: number of the file's first month, ``12 year + month - 1``; 0 for a mean year.
        count: months in the file.
    """

    first: int
    count: int

    @property
    def mean_year(self) -> bool:
        """Whether the file is one year for all years."""
        return self.count == 12 and self.first == 0

    def of_years(self, years: Years) -> list[list[int]]:
        """For each calendar month, the positions of that month in these years of the file."""
        last = self.first + self.count - 1
        wanted = range(years[0], years[1] + 1)
        stamps = [[12 * year + month for year in wanted] for month in range(12)]
        if stamps[0][0] < self.first or stamps[11][-1] > last:
            raise ValueError(f"the file has {self.describe()}, not all of {years[0]} to {years[1]}")
        return [[stamp - self.first for stamp in month] for month in stamps]

    def describe(self) -> str:
        """First and last month in words."""
        last = self.first + self.count - 1
        return f"{self.first // 12}-{self.first % 12 + 1:02d} to {last // 12}-{last % 12 + 1:02d}"


def read_raster_series(
    layer: Layer,
    grid: Grid,
    calendar: Calendar,
    first_year: int | None,
    equilibrium: Years | None,
    later: Years | None,
    scaling: tuple[float, float],
    check: Check,
) -> np.ndarray:
    """Series of every site, month by month, so that no more than one grid is decoded at a time.

    Args:
        layer: where the grids lie and how they are stored.
        grid: the grid whose cells are the sites.
        calendar: time axis of the run; its lead is the equilibrium year.
        first_year: year of the first twelve grids of a file without dates.
        equilibrium: years whose mean is the lead; all years before the run, or else all, if ``None``.
        later: years whose mean stands for the years of the run after the file's last.
        scaling: factor and offset to the internal unit.
        check: is given the values of each month at the sites, and what makes the error of one of them.

    Returns:
        (sites, lead + steps) float32, a view of an array (or a temporary file) with months first.

    Raises:
        InputError: another grid, months that are missing, a cell without a value, or an impossible value.
    """
    with open_raster(layer.file, layer.variable) as band:
        if not same_place(place_of(band, layer), (grid.shape, grid.crs, grid.transform)):
            raise InputError("this series has another grid or CRS than the sites; bring both to one grid", layer.file)
        time = [str(dim) for dim in band.dims if dim not in (band.rio.x_dim, band.rio.y_dim)]
        if len(time) != 1:
            raise InputError(f"a series needs one axis besides y and x; found {', '.join(time) or 'none'}", layer.file)
        try:
            months = _months(band, time[0], first_year)
            lead = months.of_years(_equilibrium(months, calendar, equilibrium)) if not months.mean_year else _each()
            groups = [lead[month % 12] for month in range(calendar.axis.lead)] + list(_run(months, calendar, later))
        except ValueError as error:
            raise InputError(str(error), layer.file) from None
        series = _empty((calendar.length, len(grid.rows)))
        series[:] = 0.0
        steps: dict[int, list[tuple[int, float]]] = {}
        for step, group in enumerate(groups):
            for position in group:
                steps.setdefault(position, []).append((step, 1.0 / len(group)))
        for position, uses in sorted(steps.items()):
            slab = decode_band(band.isel({time[0]: position}).load(), layer)
            values = slab[grid.rows, grid.columns] * scaling[0] + scaling[1]
            _check_month(values, months, position, grid, layer.file, check)
            for step, weight in uses:
                series[step] += np.float32(weight) * values.astype(np.float32)
    return series.T


def _check_month(values: np.ndarray, months: Months, position: int, grid: Grid, file: Path, check: Check) -> None:
    stamp = months.first + position
    when = f"month {position + 1}" if months.mean_year else f"{stamp // 12}-{stamp % 12 + 1:02d}"

    def blame(site: int, text: str) -> InputError:
        return InputError(f"row {grid.rows[site]}, column {grid.columns[site]} of the grid, {when}: {text}", file)

    missing = np.isnan(values)
    if missing.any():
        raise blame(
            int(np.argmax(missing)), f"there is no value here, but the cell is a site ({missing.sum()} such cells)"
        )
    check(values, blame)


def _months(band: Any, time: str, first_year: int | None) -> Months:
    """Months of a file, by its dates, by the year of its first band, or as one mean year."""
    count = band.sizes[time]
    dates = band[time].values
    if np.issubdtype(np.asarray(dates).dtype, np.datetime64):
        stamps = dates.astype("datetime64[M]").astype(int) + 12 * 1970
        wrong = np.flatnonzero(np.diff(stamps) != 1)
        if len(wrong):
            at = str(dates[wrong[0] + 1])[:7]
            raise ValueError(
                f"the month {at} does not follow the one before it; every month must be there once, in order"
            )
        return Months(int(stamps[0]), count)
    if first_year is not None:
        return Months(12 * first_year, count)
    if count != 12:
        raise ValueError(f"{count} months without dates; allowed: 12 for a mean year, or give first_year")
    return Months(0, 12)


def _equilibrium(months: Months, calendar: Calendar, asked: Years | None) -> Years:
    """Years of the equilibrium year: those asked for, all whole years before the run, or all of the file."""
    if asked is not None:
        return asked
    first, after = -(-months.first // 12), (months.first + months.count) // 12
    before = min(after, calendar.first // 12)
    return (first, before - 1) if before > first else (first, after - 1)


def _each() -> list[list[int]]:
    return [[month] for month in range(12)]


def _run(months: Months, calendar: Calendar, later: Years | None) -> Iterator[list[int]]:
    """Positions that each step of the run is the mean of."""
    if months.mean_year:
        yield from ([int(month) - 1] for month in calendar.months())
        return
    last = months.first + months.count - 1
    mean = None if later is None else months.of_years(later)
    for stamp in range(calendar.first, calendar.first + calendar.steps):
        if months.first <= stamp <= last:
            yield [stamp - months.first]
        elif stamp > last and mean is not None:
            yield mean[stamp % 12]
        else:
            more = "; give later: years whose mean stands for it" if stamp > last else ""
            raise ValueError(
                f"the run needs {stamp // 12}-{stamp % 12 + 1:02d}, the file has {months.describe()}{more}"
            )


def _empty(shape: tuple[int, int]) -> Any:
    if 4 * shape[0] * shape[1] <= HELD_BYTES:
        return np.empty(shape, np.float32)
    return np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=shape)
