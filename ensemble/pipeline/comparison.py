"""Measurements beside the ensemble: which members stand for it, and how well they do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.pipeline.layout import OUTPUT_DIMS, coordinates_of
from ensemble.plan import Plan
from ensemble.plan.plan import measured_name
from ensemble.plan.tiling import Tiling
from ensemble.propagate import propagate
from ensemble.store import Store
from ensemble.summary import cf_attributes
from ensemble.summary.skill import at_observations, observation_skill

OBSERVATIONS, SAMPLE = "observations", "sample"
# Members that stand for an ensemble whose members are not kept.
SAMPLE_MEMBERS = 4096


def sample_of(plan: Plan) -> xr.Dataset:
    """The first members of an ensemble that keeps none: main and observed outputs, computed again."""
    members = min(plan.members, SAMPLE_MEMBERS)
    tiling = Tiling(members, len(plan.sites), members, plan.tiling.tile_sites)
    results = list(propagate(replace(plan, tiling=tiling), range(tiling.count)))
    specs = {spec.name: spec for spec in plan.stored_outputs}
    observed = [name for variable in plan.measurement_errors for name in (variable, measured_name(variable))]
    names = dict.fromkeys([plan.outputs[0].name, *observed])
    data = {
        name: (
            (*OUTPUT_DIMS, *specs[name].dims),
            np.concatenate([result.outputs[name] for result in results], axis=2),
            cf_attributes(specs[name]),
        )
        for name in names
    }
    failed = ("member", "site"), np.concatenate([result.failed for result in results], axis=1)
    coordinates = coordinates_of(plan).isel(member=slice(members))
    return xr.Dataset({**data, "failed": failed}, coordinates.coords)


def members_of(store: Store) -> xr.Dataset:
    """Members that stand for the ensemble: all of them, or the sample of one that keeps none."""
    return store.dataset(SAMPLE if store.has_group(SAMPLE) else "members")


def compared(plan: Plan, store: Store) -> xr.Dataset:
    """Observations with the bands of the forecast beside each, one row an observation."""
    parts = []
    for variable, rows in plan.observations.groupby("variable", sort=False):
        simulated, measured = at_points(members_of(store), str(variable), rows)
        parts.append(observation_skill(rows, simulated, measured))
    table = pd.concat(parts, ignore_index=True)
    table.index.name = "observation"
    units = {spec.name: spec.units for spec in plan.stored_outputs}
    data = table.to_xarray()
    data["value"].attrs = {"long_name": "measured value, in the unit of its variable"}
    data["error"].attrs = {"long_name": "standard deviation of the measurement, in the unit of its variable"}
    return data.assign_attrs(units={str(v): units[str(v)] for v in plan.observations["variable"].unique()})


def at_points(members: xr.Dataset, variable: str, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Successful members at observations of one variable, without and with measurement error, (members, n)."""
    good = (members["failed"].values == 0).all(axis=1)
    scenarios, sites = members["scenario"].values, members["site"].values
    simulated, measured = (
        at_observations(members[name].values, rows, scenarios, sites) for name in (variable, measured_name(variable))
    )
    return simulated[good], measured[good]
