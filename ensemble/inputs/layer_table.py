"""A table of sampled layers, several rows a field, checked and split into fields."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.errors import InputError, SuspiciousInput
from ensemble.inputs.checks import check_values
from ensemble.inputs.profiles import CARBON_FACTOR, check_layers, organic_carbon
from ensemble.inputs.tables import Table, read_table
from ensemble.specs import InputSpec

Floats = NDArray[np.floating[Any]]

COLUMNS = ("field", "top", "bottom", "soc", "bulk_density")
# What is possible and seldom seen: a warning.
UNUSUAL = (
    InputSpec(
        "soc", "%", "organic carbon in the fine soil", plausible=(0.1, 15.0),
        hint="carbon is in % of mass; one in g/kg is ten times as large",
    ),
    InputSpec(
        "som", "%", "organic matter in the fine soil", plausible=(0.2, 26.0),
        hint="organic matter is in % of mass; one in g/kg is ten times as large",
    ),
    InputSpec("bulk_density", "Mg m-3", "mass of soil per volume", plausible=(0.5, 1.9)),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Field:
    """Sampled layers of one field, from the surface down.

    Args:
        name: of the field.
        tops, bottoms: ``(layer,)`` cm.
        soc: ``(layer,)`` organic carbon in the fine soil, % of mass.
        bulk_density: ``(layer,)`` Mg m-3.
        stones: ``(layer,)`` coarse fragments, volume fraction of the whole soil.
        converted: the carbon was not measured but follows from organic matter.
    """

    name: str
    tops: Floats
    bottoms: Floats
    soc: Floats
    bulk_density: Floats
    stones: Floats
    converted: bool = False


def read_layer_table(file: Path, carbon_factor: float = CARBON_FACTOR) -> tuple[Field, ...]:
    """Fields from a CSV with columns field, top, bottom (cm), soc or som (%), bulk_density (Mg m-3), stones (%).

    ``som`` (organic matter) becomes carbon by ``carbon_factor``; ``stones`` (% of volume) may be left out.

    Raises:
        InputError: a column is missing, a number is impossible, a layer is listed twice or overlaps another, or
            the rows of a field are not together; file and lines are named.
    """
    table = read_table(file)
    matter = "som" in table.columns
    if matter and "soc" in table.columns:
        raise InputError("both columns 'soc' and 'som' are given; leave one out", file, 1)
    table.require([name if name != "soc" or not matter else "som" for name in COLUMNS])
    numbers = {name: table.numbers(name) for name in COLUMNS[1:] if name in table.columns}
    numbers["stones"] = (table.numbers("stones") if "stones" in table.columns else np.zeros(len(table))) / 100
    given = numbers | ({"som": table.numbers("som")} if matter else {})
    _refuse_impossible(table, given)
    for spec in UNUSUAL:
        if spec.name in given:
            check_values(spec, given[spec.name], lambda row, text, name=spec.name: table.error(row, name, text))
    if matter:
        numbers["soc"] = organic_carbon(table.numbers("som"), carbon_factor)
    return tuple(_field(table, name, rows, numbers, matter) for name, rows in _groups(table).items())


def _refuse_impossible(table: Table, numbers: Mapping[str, Floats]) -> None:
    limits = {"soc": (0.0, 60.0), "som": (0.0, 100.0), "bulk_density": (0.05, 2.65), "stones": (0.0, 1.0)}
    allowed = {
        "soc": "0 to 60 %", "som": "0 to 100 %", "bulk_density": "0.05 to 2.65 Mg m-3", "stones": "0 to below 100 %",
    }  # fmt: skip
    for name in [name for name in limits if name in numbers]:
        low, high = limits[name]
        wrong = ~((numbers[name] >= low) & (numbers[name] <= high)) | ((name == "stones") & (numbers[name] >= 1.0))
        if wrong.any():
            row = int(np.argmax(wrong))
            shown = numbers[name][row] * (100 if name == "stones" else 1)
            raise table.error(row, name, f"{shown:g} is not allowed; allowed: {allowed[name]}")


def _groups(table: Table) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(table.text("field")):
        if not name:
            raise table.error(row, "field", "the cell is empty; the name of a field is needed")
        if name in groups and groups[name][-1] != row - 1:
            first, again = int(table.lines[groups[name][0]]), int(table.lines[row])
            raise InputError(
                f"field '{name}' is listed twice, from line {first} and from line {again}", table.file, again
            )
        groups.setdefault(name, []).append(row)
    return groups


def _field(table: Table, name: str, rows: list[int], numbers: Mapping[str, Floats], converted: bool) -> Field:
    columns = {key: values[rows] for key, values in numbers.items()}
    seen: dict[tuple[float, float], int] = {}
    for row, place in zip(rows, zip(columns["top"], columns["bottom"], strict=True), strict=True):
        if place in seen:
            lines = f"lines {int(table.lines[seen[place]])} and {int(table.lines[row])}"
            raise InputError(
                f"the layer {place[0]:g}-{place[1]:g} cm of field '{name}' is listed twice, {lines}", table.file
            )
        seen[place] = row
    try:
        tops, bottoms = check_layers(columns["top"], columns["bottom"], f"field '{name}'")
    except ValueError as error:
        raise InputError(str(error), table.file, int(table.lines[rows[0]])) from None
    for upper in np.flatnonzero(tops[1:] > bottoms[:-1] + 1e-9):
        text = f"field '{name}' has no sample from {bottoms[upper]:g} to {tops[upper + 1]:g} cm; what lies there is interpolated"
        warnings.warn(SuspiciousInput(str(InputError(text, table.file, int(table.lines[rows[upper]])))), stacklevel=2)
    return Field(name, tops, bottoms, columns["soc"], columns["bulk_density"], columns["stones"], converted)
