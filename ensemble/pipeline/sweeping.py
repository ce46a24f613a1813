"""Response curves of a sweep, from the members of its store."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.design import sweep
from ensemble.report.results import decimal_years
from ensemble.store import Store

# At most this many sites are drawn.
SITES = 9


def sweep_curves(store: Store, output: str) -> xr.Dataset | None:
    """What an output does along each swept input at the first sites of the first scenario; ``None`` for other designs.

    A stock through time gives its mean change a year over the run (delta SOC of Zhou et al. 2023, Figure 5), other
    outputs their value at the end.
    """
    settings = store.attrs["study"]["design"]
    levels = {n: v for n, v in (settings.get("levels") or {}).items() if not n.startswith("options.")}
    if settings["type"] != "sweep" or not levels:
        return None
    members = store.dataset("members")
    if output not in members:
        return None
    design = sweep(settings["levels"])
    values = members[output].isel(scenario=0, site=slice(SITES))
    extra = {str(dim): 0 for dim in values.dims if dim not in ("member", "site", "time")}
    values, unit = values.isel(extra), str(members[output].attrs.get("display_units", "1"))
    long_name = str(members[output].attrs.get("long_name", output))
    what, response = long_name, values.isel(time=-1) if "time" in values.dims else values
    if "time" in values.dims and values.sizes["time"] > 1:
        years = decimal_years(members["time"].values)
        response = (values.isel(time=-1) - values.isel(time=0)) / float(years[-1] - years[0])
        what, unit = f"Mean change of {long_name}", f"{unit}/yr"
    numbers = response.transpose("member", "site").values
    variables: dict[str, Any] = {}
    inputs = store.dataset("inputs")
    for name, values_set in design.levels:
        if name not in levels:
            continue
        codes = design.codes(name, np.arange(design.members))
        attributes = {
            "long_name": inputs[name].attrs.get("long_name", name),
            "units": inputs[name].attrs.get("display_units", "1"),
        }
        variables[f"{name}_level"] = (f"{name}_levels", np.asarray(values_set, float), attributes)
        variables[f"{name}_response"] = ((f"{name}_levels", "site"), numbers[codes >= 0], {"units": unit})
    attributes = {
        "inputs": list(levels), "what": what, "unit": unit, "sites": members.sizes["site"],
        "scenario": str(members["scenario"].values[0]),
    }  # fmt: skip
    return xr.Dataset(variables, {"site": [str(site) for site in members["site"].values[:SITES]]}, attributes)
