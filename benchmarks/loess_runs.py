"""The loess scenarios of van der Meij and Finke (Table 2) as inputs of the column, without a study file.

``configs/loess_scenarios.yaml`` is the way to run them; this module serves the anchoring fit, which needs
gradients through all runs at once, and the page of claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.models.base import BuildSettings
from ensemble.models.records.column import COLUMN

END, RECOVERED = 10_000, 12_000
PHASES = ((0, 8000), (8000, 9900), (9900, 10_000), (10_000, 12_000))
MECHANISMS = {"n": "none", "a": "aggregation", "c": "clay", "m": "mooh", "p": "pores", "x": "all"}
RATE = {"E0": 0.0, "E1": 0.05, "E2": 0.5, "E3": 5.0}  # mm yr-1
WINDOW = {"E0": 1, "E1": 1000, "E2": 100, "E3": 10}  # yr
# Erosion in the four phases, and whether years 8000 to 10,000 are farmed.
PATHS = {
    "natural E0": (False, ("E0", "E0", "E0", "E0")),
    "natural E1": (False, ("E1", "E1", "E1", "E1")),
    "farmed E0": (True, ("E0", "E0", "E0", "E0")),
    "farmed E1": (True, ("E1", "E1", "E1", "E1")),
    "farmed E2": (True, ("E1", "E2", "E2", "E1")),
    "farmed E3": (True, ("E1", "E2", "E3", "E1")),
}
STOCKS = ("soc", "soc_0_25", "soc_25_75", "soc_25_100", "soc_ectorganic", "calcite_stock")
# Molar mass of CaCO3, kg mol-1.
CALCITE = 0.10009
# Added rock of 2.5 kg m-2: calcite kg, 2:1 clay kg, bases in primary minerals mol_c. Anorthite CaAl2Si2O8 has
# 2 mol of charge in 0.2782 kg; a basaltic andesite with 7 % CaO, 4 % MgO, 3.5 % Na2O, 1.5 % K2O has 5.9 mol_c kg-1.
ROCKS = {
    "none": {},
    "ash": {"mineral_addition": 2.5 * 5.9},
    "anorthite": {"mineral_addition": 2.5 * 2.0 / 0.2782},
    "calcite": {"lime": 2.5},
    "montmorillonite": {"clay_addition": 2.5},
    "goethite": {},
}
RELEASE = {"ash": 0.05, "anorthite": 0.005}  # yr-1


class Run(NamedTuple):
    """One run: bioclimate, path, and what happens after year 10,000."""

    climate: str
    path: str
    after: str = "natural"
    rock: str = "none"


def seasons(january: float, july: float) -> np.ndarray:
    """Twelve monthly temperatures, a cosine between January and July."""
    return 0.5 * (january + july) + 0.5 * (january - july) * np.cos(2.0 * np.pi * np.arange(12) / 12.0)


# Evapotranspiration follows the sun; precipitation is even over the year (the paper gives yearly sums only).
DEMAND = 800.0 / 12.0 * (1.0 - 0.9 * np.cos(2.0 * np.pi * np.arange(12) / 12.0))
CLIMATES = {
    "dry": {"temperature": seasons(-2.0, 22.0), "precipitation": np.full(12, 50.0), "forest": 0.0},
    "wet": {"temperature": seasons(3.0, 18.0), "precipitation": np.full(12, 1000.0 / 12.0), "forest": 1.0},
}


def management(run: Run, years: int) -> dict[str, np.ndarray]:
    """Yearly drivers of one run, each of shape (years,)."""
    farmed, erosion = PATHS[run.path]
    year = np.arange(years)
    series = {name: np.zeros(years) for name in ("crop", "harvest", "plough_depth", "erosion", "lime",
                                                 "base_addition", "clay_addition", "mineral_addition")}  # fmt: skip
    for (start, stop), level in zip(PHASES, erosion, strict=True):
        series["erosion"][start:stop] = RATE[level]
    extensive = farmed & (year >= 8000) & (year < 9900)
    last = RECOVERED if run.after == "farmed" else END
    intensive = farmed & (year >= 9900) & (year < last)
    series["crop"][extensive | intensive] = 1.0
    series["harvest"] = np.where(extensive, 0.30, np.where(intensive, 0.55, 0.0))
    series["plough_depth"] = np.where(extensive, 5.0, np.where(intensive, 20.0, 0.0))
    series["lime"] = CALCITE * np.where(extensive & (year % 10 == 0), 1.88, np.where(intensive, 0.28, 0.0))
    series["base_addition"] = np.where(intensive, 0.05, 0.0)
    if years > END:
        for name, amount in ROCKS[run.rock].items():
            series[name][END] += amount
    return series


def inputs_of(runs: Sequence[Run], years: int, parameters: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Inputs of all runs, batch axis first.

    Args:
        runs: which runs.
        years: length of each.
        parameters: numbers that differ from the record's defaults; ``NAME_dry`` and ``NAME_wet`` differ by
            bioclimate. Scalars or one number a run, may be traced.
    """
    real = jnp.result_type(float)
    stacked = {name: jnp.asarray(np.stack([management(r, years)[name] for r in runs]), real)
               for name in management(runs[0], 1)}  # fmt: skip
    wet = jnp.asarray([run.climate == "wet" for run in runs])
    for spec in COLUMN.inputs:
        if spec.name in stacked or spec.default is None:
            continue
        shape = {(): (), ("time",): (years,), ("month",): (12,), ("depth",): (20,)}[spec.dims]
        stacked[spec.name] = jnp.full((len(runs), *shape), spec.default, real)
    for name in ("temperature", "precipitation", "forest"):
        stacked[name] = jnp.asarray(np.stack([CLIMATES[run.climate][name] for run in runs]), real)
    stacked["potential_evapotranspiration"] = jnp.broadcast_to(jnp.asarray(DEMAND, real), (len(runs), 12))
    for name, value in parameters.items():
        if name.endswith("_dry"):
            other = parameters[name[:-4] + "_wet"]
            stacked[name[:-4]] = jnp.where(wet, other, value).astype(real)
        elif not name.endswith("_wet"):
            stacked[name] = jnp.broadcast_to(jnp.asarray(value, real), (len(runs),))
    for i, run in enumerate(runs):
        if run.rock in RELEASE:
            stacked["release_rate"] = stacked["release_rate"].at[i].set(RELEASE[run.rock])
    return stacked


def columns(
    mechanism: str, outputs: tuple[str, ...] = STOCKS, **options: Any
) -> Callable[[Mapping[str, jax.Array]], dict[str, jax.Array]]:
    """The column under one mechanism, over inputs of :func:`inputs_of`; ``options`` as in the record."""
    chosen = {**COLUMN.default_options(), "mechanism": mechanism, **options}
    model = COLUMN.simulator(BuildSettings(chosen, 1, outputs))

    def over(inputs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        # runs last, where the column takes members
        result = model({name: jnp.moveaxis(value, 0, -1) for name, value in inputs.items()})
        return {name: jnp.moveaxis(result[name], -1, 0) for name in (*outputs, "balance")}

    return over


def simulate(
    mechanism: str,
    runs: Sequence[Run],
    years: int,
    parameters: Mapping[str, Any],
    outputs: tuple[str, ...] = STOCKS,
    **options: Any,
) -> dict[str, jax.Array]:
    """Yearly outputs of runs under one mechanism, each of shape (runs, years)."""
    return columns(mechanism, outputs, **options)(inputs_of(runs, years, parameters))


def smoothed(stock: np.ndarray, path: str, restart: bool = True) -> np.ndarray:
    """The paper's moving average over preceding years, by phase; ``restart`` begins anew in each phase."""
    result = np.array(stock, dtype=float)
    summed = np.concatenate([[0.0], np.cumsum(result)])
    for (start, stop), level in zip(PHASES, PATHS[path][1], strict=True):
        end = np.arange(start, min(stop, len(stock))) + 1
        first = np.maximum(end - WINDOW[level], start if restart else 0)
        result[start:stop] = (summed[end] - summed[first]) / (end - first)
    return result


ALL_RUNS = tuple(Run(climate, path) for climate in CLIMATES for path in PATHS)
