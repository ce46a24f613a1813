"""Typical inputs of a model: where a new study, the documentation and the conformance tests begin; no JAX here.

Quantities that several models share have one typical value here; for all others it is the default, or else the
middle of the plausible range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ensemble.models.base import Model, resolve
from ensemble.specs import InputSpec, TimeAxis

# A cropped loam in a temperate climate. Climate: mean year of the worked example in the RothC description
# (2025, Table 2) and of the official example input; plant carbon and cover of a spring cereal.
TYPICAL: Mapping[str, Any] = {
    "clay": 23.4,
    "silt": 58.6,
    "depth": 23.0,
    "iom": 2.7,
    "bulk_density": 1.27,
    "organic_carbon": 1.1,
    "soc_concentration": 13.0,
    "coarse_fragments": 5.0,
    "soc_measured": 34.0,
    "initial_dpm": 0.15,
    "initial_rpm": 4.5,
    "initial_bio": 0.65,
    "initial_hum": 26.0,
    "pom_measured": 4.7,
    "maom_measured": 26.6,
    "grain_yield": 4.0,
    "temperature": [3.73, 3.08, 5.49, 7.40, 10.94, 14.40, 16.28, 16.24, 13.78, 9.51, 6.22, 4.09],
    "precipitation": [74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71],
    "pan_evaporation": [8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8],
    "potential_evapotranspiration": [6, 8, 20, 37, 62, 74, 77, 68, 52, 26, 12, 6],
    "plant_carbon": [0, 0, 0, 0.16, 0.32, 0.48, 0.64, 0, 0, 0, 0, 0],
    "plant_cover": [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0],
    "evapotranspiration": [6, 9, 24, 42, 60, 66, 45, 50, 40, 24, 11, 6],
    "npp": [5, 6, 20, 50, 85, 95, 75, 55, 40, 25, 10, 5],
    "days_in_month": [31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31],
    "runoff": 250.0,
    "annual_precipitation": 680.0,
    "annual_evapotranspiration": 430.0,
    "carbonate_share": 0.2,
    "shale_share": 0.5,
    "sandstone_share": 0.3,
    "consumption": 10.0,
    "nep": 610.0,
    "rock_weathering": 36.7,
    "emissions": 6300.0,
    "emissions_second": 6500.0,
}
YEARS = (2000, 2009)


def example_period(model: Model) -> tuple[int, int]:
    """First and last year of an example run."""
    return YEARS


def example_value(model: Model, spec: InputSpec) -> float | list[float]:
    """A typical value of an input: a number, or twelve for a series or axis of months."""
    value = TYPICAL.get(spec.name)
    if value is None or (isinstance(value, list) and not _monthly(model, spec)):
        value = spec.default if spec.default is not None else _middle(spec)
    return value


def example_inputs(model: Model, options: Mapping[str, Any] | None = None, years: int = 2) -> dict[str, np.ndarray]:
    """Every input a model reads under its options, in float64 and internal units.

    Args:
        model: the model.
        options: values that differ from the defaults.
        years: length of the run.

    Returns:
        Arrays with the shapes of the model's contract: series have ``lead + years * per_year`` steps.
    """
    chosen = model.default_options() | dict(options or {})
    sizes = {"month": 12}
    if model.coordinates is not None:
        sizes |= {name: len(values) for name, values in resolve(model.coordinates)(chosen).items()}
    axis = model.time or TimeAxis("month")  # a model of an input takes the series of the model it serves
    sizes["time"] = axis.lead + years * axis.per_year
    values = {}
    for spec in model.inputs:
        if spec.used(chosen):
            shape = tuple(sizes[dim] for dim in spec.dims)
            values[spec.name] = _fill(np.asarray(example_value(model, spec), dtype=float), shape)
    return values


def _monthly(model: Model, spec: InputSpec) -> bool:
    """Whether twelve values describe this input: a series of months, or an axis of months."""
    series = spec.dims == ("time",) and (model.time is None or model.time.per_year == 12)
    return series or spec.dims == ("month",)


def _fill(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat a number, or a year of months, over a shape."""
    if value.ndim == 0:
        return np.broadcast_to(value, shape).copy()
    return np.tile(value, -(-shape[0] // value.size))[: shape[0]]


def _middle(spec: InputSpec) -> float:
    """Middle of the plausible range, or of the support, or the nearest finite number to it."""
    low, high = spec.plausible if spec.plausible is not None else spec.support
    if math.isinf(low) and math.isinf(high):
        return 0.0
    if math.isinf(high):
        return low + 1.0
    return high - 1.0 if math.isinf(low) else 0.5 * (low + high)
