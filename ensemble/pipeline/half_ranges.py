"""The group `half_range`: uncertainty by one error at a time, of the output, its yearly change and gains between scenarios."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.design import ChosenDesign
from ensemble.plan import Plan
from ensemble.report.results import decimal_years
from ensemble.store import Store

GROUP = "half_range"
SOURCE = "Zhou et al. (2023), Geoderma 429, 116254, Fig. 1"


def half_ranges_of(plan: Plan, store: Store) -> xr.Dataset:
    """Half of |y(plus) - y(minus)| for each error at every site, of the main output of a half-range study.

    An output through time gives its value at the end and its mean change a year; with several scenarios, the mean
    yearly gain of each over the first. Sites where an error was cut short because the input would have left its
    physical range are flagged in ``moved``; their half-range is that of the shorter step.
    """
    design = plan.design
    assert isinstance(design, ChosenDesign)
    members, name = store.dataset("members"), plan.study.record.report.output or plan.outputs[0].name
    values = members[name]
    values = values.isel({str(d): 0 for d in values.dims if d not in ("member", "scenario", "site", "time")})
    unit, long_name = values.attrs.get("display_units", "1"), values.attrs.get("long_name", name)
    end = values.isel(time=-1) if "time" in values.dims else values
    found = {"value": (end, unit, f"{long_name} at the end")}
    if "time" in values.dims and values.sizes["time"] > 1:
        years = decimal_years(members["time"].values)
        span = float(years[-1] - years[0])
        change = (end - values.isel(time=0)) / span
        found["change"] = (change, f"{unit}/yr", f"mean change of {long_name}")
        if values.sizes["scenario"] > 1:
            found["gain"] = (change - change.isel(scenario=0), f"{unit}/yr", f"mean gain of {long_name}")
    variables: dict[str, Any] = {}
    for key, (member_values, shown, text) in found.items():
        numbers = member_values.transpose("member", "scenario", "site").values.astype(float)
        half = [np.abs(numbers[high] - numbers[low]) / 2 for low, high in _pairs(design)]
        attributes = {"units": shown.split()[0], "display_units": shown}
        variables[f"{key}_base"] = (("scenario", "site"), numbers[0], {**attributes, "long_name": text})
        about = {**attributes, "long_name": f"half-range of the {text}"}
        variables[f"{key}_half_range"] = (("input", "scenario", "site"), np.stack(half), about)
    moved = _moved(design, store.dataset("inputs"), members.sizes["site"])
    variables["moved"] = (
        ("input", "site"),
        moved,
        {"long_name": "an error was cut short at the edge of what is possible"},
    )
    coordinates = {
        "input": list(design.streams), "scenario": list(plan.scenarios), "site": list(plan.sites),
        "error": ("input", [values[1] for _, values in design.levels]),
    }  # fmt: skip
    return xr.Dataset(variables, coordinates, {"output": name, "source": SOURCE})


def _pairs(design: ChosenDesign) -> list[tuple[int, int]]:
    """Members with each input at its base minus and plus one error."""
    members = np.arange(design.members)
    codes = [design.codes(name, members) for name in design.streams]
    return [(int(np.flatnonzero(code == 0)[0]), int(np.flatnonzero(code == 1)[0])) for code in codes]


def _moved(design: ChosenDesign, inputs: xr.Dataset, sites: int) -> np.ndarray:
    """``(input, site)`` whether one of the two steps is shorter than the error."""
    moved = np.zeros((len(design.streams), sites), bool)
    for row, ((name, levels), pair) in enumerate(zip(design.levels, _pairs(design), strict=True)):
        drawn = inputs[name].values.astype(float)
        for step, member in zip(levels, pair, strict=True):
            moved[row] |= ~np.isclose(drawn[member] - drawn[0], step, rtol=1e-5, atol=1e-6 * abs(step))
    return moved
