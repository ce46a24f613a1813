"""A stock of carbon by its measured parts: concentration x bulk density x depth x (1 - coarse fragments).

The parts have separate errors. On the scale of logarithms the error of the stock is the sum of theirs, so each part
keeps its own share of the variance, and a calibration may let rows share the error of one part (one bulk density for
all dates of a plot) and not that of another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.calibration import PARTS
from ensemble.config.given import StockPart, StockParts
from ensemble.inputs.profiles import fine_soil_mass
from ensemble.inputs.tables import Table
from ensemble.units import conversion

# Unit of each part inside, and the range outside of which a number is in another unit.
UNITS = {"concentration": "g/kg", "bulk_density": "g cm-3", "depth": "cm", "coarse_fragments": "%"}
RANGES = {
    "concentration": (0.0, 600.0),
    "bulk_density": (0.05, 2.65),
    "depth": (0.1, 1000.0),
    "coarse_fragments": (0.0, 99.0),
}
PER_CENT, PER_MILLE = 100.0, 1000.0


class Composed(NamedTuple):
    """Stocks by their parts.

    Args:
        value: t C/ha, shape (rows,).
        relative: standard deviation of the stock by each part's error, as a fraction of the stock, (rows,) each.
    """

    value: np.ndarray
    relative: dict[str, np.ndarray]

    @property
    def error(self) -> np.ndarray:
        """Standard deviation of the stock by all parts, t C/ha, shape (rows,)."""
        return self.value * np.sqrt(sum(part**2 for part in self.relative.values()))


def part_column(part: str) -> str:
    """Column of the table of observations that holds a part's relative standard deviation."""
    return f"relative_error_of_{part}"


def compose(study: StudyFile, parts: StockParts, table: Table, chosen: np.ndarray) -> Composed:
    """Stocks and errors of some rows of a table.

    Args:
        study: for messages.
        parts: units and errors of the parts.
        table: columns concentration, bulk_density, depth, coarse_fragments, and each with ``_error``.
        chosen: numbers of the rows that are given by their parts.

    Raises:
        InputError: a part or its error is missing, in another unit, or outside of what is possible.
    """
    values: dict[str, np.ndarray] = {}
    errors: dict[str, np.ndarray] = {}
    for name in UNITS:
        values[name], errors[name] = _part(study, name, getattr(parts, name), table, chosen, parts.pedotransfer is None)
    missing = np.isnan(values["bulk_density"])
    predicted = np.zeros(len(chosen))
    if missing.any() and parts.pedotransfer is not None:
        law = parts.pedotransfer
        per_cent = values["concentration"] * PER_CENT / PER_MILLE
        density = law.intercept + law.slope * np.sqrt(per_cent)
        for row in np.flatnonzero(missing & (density <= law.sd)):
            text = f"the pedotransfer function gives {density[row]:.2f} g cm-3, which its sd {law.sd:g} leaves open; measure it"
            raise table.error(int(chosen[row]), "bulk_density", text)
        values["bulk_density"] = np.where(missing, density, values["bulk_density"])
        errors["bulk_density"] = np.where(missing, 0.0, errors["bulk_density"])
        predicted = np.where(missing, law.sd / density, 0.0)
    stones = values["coarse_fragments"] / PER_CENT
    mass = fine_soil_mass(values["bulk_density"], stones, values["depth"])  # Mg/ha
    relative = {name: errors[name] / values[name] for name in ("concentration", "bulk_density", "depth")}
    relative["coarse_fragments"] = errors["coarse_fragments"] / PER_CENT / (1.0 - stones)
    relative["pedotransfer"] = predicted
    return Composed(mass * values["concentration"] / PER_MILLE, {name: relative[name] for name in PARTS})


def _part(
    study: StudyFile, name: str, part: StockPart, table: Table, chosen: np.ndarray, needed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard deviations of a part in its unit; NaN where bulk density may be missing."""
    try:
        factor = conversion(part.units or UNITS[name], UNITS[name])[0]
    except ValueError as error:
        raise study.error(("observations", "parts", name, "units"), str(error)) from None
    optional = name == "coarse_fragments" and name not in table.columns
    if optional:
        return np.zeros(len(chosen)), np.zeros(len(chosen))
    blank = np.nan if name == "bulk_density" and not needed else 0.0 if name == "coarse_fragments" else None
    values = table.rows(chosen).numbers(name, blank) * factor
    low, high = RANGES[name]
    wrong = (values < low) | (values > high) | ((values == 0.0) & (name != "coarse_fragments"))
    for row in np.flatnonzero(wrong)[:1]:
        text = f"{values[row]:g} {UNITS[name]} is not allowed; allowed: {low:g} to {high:g} {UNITS[name]}"
        raise table.error(int(chosen[row]), name, text)
    return values, _error(study, name, part, table, chosen, values)


def _error(
    study: StudyFile, name: str, part: StockPart, table: Table, chosen: np.ndarray, values: np.ndarray
) -> np.ndarray:
    column, stated = f"{name}_error", part.error
    factor = conversion(part.units or UNITS[name], UNITS[name])[0]
    if column not in table.columns and stated is None:
        if name in ("depth", "coarse_fragments"):
            return np.zeros(len(chosen))
        text = f"measurement errors of {name} are missing: give error here, or a column {column} in the table"
        raise study.error(("observations", "parts", name), text)
    typical = np.zeros(len(chosen))
    if stated is not None:
        typical = np.hypot((stated.relative or 0.0) * np.nan_to_num(values), (stated.absolute or 0.0) * factor)
    if column not in table.columns:
        return typical
    given = table.rows(chosen).numbers(column, np.nan) * factor
    found = np.where(np.isnan(given), typical, given)
    needed = name == "concentration"  # the other parts may be known exactly
    for row in np.flatnonzero((found < 0) | ((found == 0) & needed))[:1]:
        text = f"{found[row]:g} is not allowed; a standard deviation above 0 is needed"
        raise table.error(int(chosen[row]), column, text)
    return found
