"""Measurements beside the ensemble: which members stand for it, and how well they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.inputs.observations import below_detection
from ensemble.pipeline.blocks import sound_members
from ensemble.pipeline.layout import OUTPUT_DIMS, coordinates_of
from ensemble.plan import Plan
from ensemble.plan.plan import measured_name
from ensemble.plan.tiling import Tiling
from ensemble.propagate import propagate
from ensemble.store import Store
from ensemble.summary import cf_attributes
from ensemble.summary.skill import at_observations, observation_skill

OBSERVATIONS, SAMPLE = "observations", "sample"
# Members that stand for an ensemble whose members are not kept: fewer where there are very many sites.
SAMPLE_MEMBERS, FEWEST, SAMPLE_BYTES = 4096, 16, 256 * 2**20


def sample_of(plan: Plan) -> xr.Dataset:
    """The first members of an ensemble that keeps none: main and observed outputs, computed again."""
    fitting = int(SAMPLE_BYTES // (plan.pair_bytes * len(plan.sites)))
    members = min(plan.members, SAMPLE_MEMBERS, max(FEWEST, fitting - fitting % FEWEST))
    tiling = Tiling(members, len(plan.sites), members, plan.tiling.tile_sites)
    specs = {spec.name: spec for spec in plan.stored_outputs}
    observed = [name for variable in plan.measurement_errors for name in (variable, measured_name(variable))]
    names = dict.fromkeys([plan.outputs[0].name, *observed])
    shape = (members, len(plan.scenarios), len(plan.sites))
    real = np.float64 if plan.float64 else np.float32
    values = {name: np.empty((*shape, *plan.output_shape(specs[name])), real) for name in names}
    failed = np.empty((members, len(plan.sites)), np.uint8)
    for result in propagate(replace(plan, tiling=tiling), range(tiling.count)):  # one block of sites after another
        sites = slice(result.tile.first_site, result.tile.first_site + result.tile.sites)
        failed[:, sites] = result.failed
        for name in names:
            values[name][:, :, sites] = result.outputs[name]
    data = {n: ((*OUTPUT_DIMS, *specs[n].dims), v, cf_attributes(specs[n])) for n, v in values.items()}
    coordinates = coordinates_of(plan, members)
    return xr.Dataset({**data, "failed": (("member", "site"), failed)}, coordinates.coords)


def members_of(store: Store, without: Sequence[str] = ()) -> xr.Dataset:
    """Members that stand for the ensemble: all of them, or the sample of one that keeps none.

    Args:
        store: a finished store.
        without: coordinates to leave out, see :meth:`ensemble.store.Store.dataset`.
    """
    return store.dataset(SAMPLE if store.has_group(SAMPLE) else "members", without=without)


def compared(plan: Plan, store: Store) -> xr.Dataset:
    """Observations, and their differences between scenarios, with the bands of the forecast beside each row.

    Rows below a detection limit are left out: a limit is no value that a forecast could be compared with.
    """
    members, parts = members_of(store), []
    observations = plan.observations.loc[~below_detection(plan.observations)]
    for variable, rows in with_contrasts(observations, plan.scenarios).groupby("variable", sort=False):
        simulated, measured = at_points(members, str(variable), rows)
        parts.append(observation_skill(rows, simulated, measured))
    table = pd.concat(parts, ignore_index=True)
    table.index.name = "observation"
    units = {spec.name: spec.units for spec in plan.stored_outputs}
    data = table.to_xarray()
    data["value"].attrs = {"long_name": "measured value, in the unit of its variable"}
    data["error"].attrs = {"long_name": "standard deviation of the measurement, in the unit of its variable"}
    return data.assign_attrs(units={str(v): units[str(v)] for v in observations["variable"].unique()})


def with_contrasts(observations: pd.DataFrame, scenarios: Sequence[str]) -> pd.DataFrame:
    """Observations, and below them the differences from the first scenario measured at the same time and site.

    What two scenarios share (soil, climate, rate constants) cancels in their difference, so it shows a misfit
    that wide bands around each of them would hide.

    Returns:
        The columns of ``observations`` and ``reference``: the scenario that was subtracted, or nothing. The
        scenario of a difference is called ``"<scenario> minus <reference>"`` and its own name is ``arm``.
    """
    table = observations.assign(arm=observations["scenario"], reference="")
    keys = ["variable", "site", "record"]
    first = table.loc[table["arm"] == scenarios[0]].drop_duplicates(subset=keys)
    other = table.loc[table["arm"] != scenarios[0]]
    pairs = other.merge(first.loc[:, [*keys, "value", "error"]], on=keys, suffixes=("", "_reference"))
    pairs = pairs.assign(
        reference=scenarios[0],
        scenario=pairs["arm"] + f" minus {scenarios[0]}",
        value=pairs["value"] - pairs["value_reference"],
        error=np.hypot(pairs["error"], pairs["error_reference"]),
    )
    return pd.concat([table, pairs.loc[:, list(table.columns)]], ignore_index=True)


def at_points(members: xr.Dataset, variable: str, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Successful members at rows of :func:`with_contrasts` of one variable, without and with measurement error.

    Returns:
        Two arrays of shape (members, rows).
    """
    good = sound_members(members)
    scenarios, sites = ([str(name) for name in members[axis].values] for axis in ("scenario", "site"))
    contrast = (rows["reference"] != "").to_numpy()

    def pick(name: str) -> np.ndarray:
        values = members[name].values[good]
        here = at_observations(values, rows.assign(scenario=rows["arm"]), scenarios, sites)
        if contrast.any():
            below = rows[contrast].assign(scenario=rows.loc[contrast, "reference"])
            here[:, contrast] = here[:, contrast] - at_observations(values, below, scenarios, sites)
        return here

    return pick(variable), pick(measured_name(variable))
