"""Weather histories: whole years (or realizations) of several drivers, kept together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.errors import InputError
from ensemble.inputs.checks import check_values
from ensemble.inputs.tables import Table, read_table
from ensemble.plan.bind import BaseInputs, BoundModel


@dataclass(frozen=True)
class WeatherHistory:
    """Driver series a member may be given instead of the study's own.

    Args:
        label: its name under `uncertain`; also the name of its stream.
        kind: ``years``: each year of the run is a year of the history; ``realization``: the whole run is
            one realization.
        values: by input, shape (years of history, steps a year) or (realizations, steps of the run);
            sites share them, so weather stays coherent in space.
        block: consecutive years kept together.
    """

    label: str
    kind: Literal["years", "realization"]
    values: Mapping[str, np.ndarray]
    block: int = 1

    @property
    def choices(self) -> int:
        """Number of years or realizations to choose from."""
        return len(next(iter(self.values.values())))


def read_weather(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain) -> WeatherHistory:
    """Read the weather file of one entry of `uncertain`.

    Raises:
        InputError: the file has no driver column, incomplete years, or impossible values.
    """
    key = ("uncertain", label)
    if base.calendar is None or base.calendar.axis.step != "month":
        raise study.error(key, "weather needs a model with monthly drivers")
    assert entry.file is not None and entry.weather is not None
    if entry.input is not None or entry.as_ != "value" or entry.per != "member":
        raise study.error(
            key, "weather replaces every driver in its file, alike at all sites: leave out input, as and per"
        )
    file = study.path(entry.file)
    table = read_table(file, study.error((*key, "file"), f"the file {file} does not exist"))
    drivers = [spec for spec in bound.specs.values() if spec.dims == ("time",) and spec.name in table.columns]
    if not drivers:
        names = ", ".join(spec.name for spec in bound.specs.values() if spec.dims == ("time",))
        raise InputError(f"no column is a driver of {bound.model.name}; drivers: {names}", file, 1)
    rows = (
        _by_year(table)
        if entry.weather == "years"
        else _by_realization(table, base.calendar.first, base.calendar.steps)
    )
    values = {}
    for spec in drivers:
        flat = table.numbers(spec.name)
        check_values(spec, flat, lambda row, text, name=spec.name: table.error(row, name, text))
        values[spec.name] = flat[rows]
    if entry.weather == "years" and base.calendar.steps % 12:
        raise study.error(key, f"resampled years need a run of whole years; it has {base.calendar.steps} months")
    if entry.block > len(rows):
        raise study.error((*key, "block"), f"{entry.block} years do not fit into a history of {len(rows)}")
    return WeatherHistory(label, entry.weather, values, entry.block)


def _order(table: Table) -> np.ndarray:
    """Calendar month number of each row."""
    months = table.integers("month")
    for row in np.flatnonzero((months < 1) | (months > 12))[:1]:
        raise table.error(int(row), "month", f"{months[row]} is not allowed; allowed: 1 to 12")
    return table.integers("year") * 12 + months - 1


def _by_year(table: Table) -> np.ndarray:
    stamps = _order(table)
    if len(stamps) % 12 or stamps[0] % 12 or (np.diff(stamps) != 1).any():
        raise InputError("the history must hold whole years, January to December, in order without gaps", table.file)
    return np.arange(len(stamps)).reshape(-1, 12)


def _by_realization(table: Table, first: int, steps: int) -> np.ndarray:
    stamps, names = _order(table), np.array(table.text("realization"))
    rows = []
    for name in dict.fromkeys(names):
        mine = np.flatnonzero(names == name)
        if len(mine) != steps or not np.array_equal(stamps[mine], first + np.arange(steps)):
            text = f"realization '{name}' does not cover the {steps} months of the run in order"
            raise table.error(int(mine[0]), "realization", text)
        rows.append(mine)
    return np.stack(rows)
