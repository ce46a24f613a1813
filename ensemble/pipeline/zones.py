"""The group `zones`: potential against uncertainty in nine classes, and where learned maps must not be trusted."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ensemble.mapping.zoning import zone_flags, zone_map, zone_table
from ensemble.plan import Plan
from ensemble.store import Store

GROUP = "zones"


def check_zones(plan: Plan) -> None:
    """Refuse zones of an output that is not there, or of a single member.

    Raises:
        InputError: one of these.
    """
    settings = plan.study.record.mapping
    if settings is None or settings.zones is None:
        return
    names = [spec.name for spec in plan.outputs]
    if settings.zones not in names:
        text = f"there is no output '{settings.zones}' in this study; allowed: {', '.join(names)}"
        raise plan.study.error(("mapping", "zones"), text)
    if plan.members < 2:
        raise plan.study.error(("mapping", "zones"), "zones need uncertainty; give uncertain")


def zones_of(plan: Plan, store: Store) -> xr.Dataset:
    """Zone of every site in every scenario at the end of the run, and a table by class."""
    settings, statistics = plan.study.record.mapping, store.dataset("statistics")
    assert settings is not None and settings.zones is not None
    table = plan.base.sites.table
    has_area = table is not None and "area_ha" in table.columns
    areas = table.numbers("area_ha") / 100 if table is not None and has_area else np.ones(len(plan.sites))
    maps = [statistics[f"{settings.zones}_{kind}"] for kind in ("mean", "sd")]
    maps = [item.isel(time=-1) if "time" in item.dims else item for item in maps]
    codes, rows = [], []
    for arm in range(len(plan.scenarios)):
        mean, sd = (item.isel(scenario=arm).values for item in maps)
        zones = zone_map(mean, sd, settings.spread, plan.uncertainty.trusted)
        codes.append(zones.zone)
        rows.append(zone_table(zones, mean, sd, areas))
    names = [row.name for row in rows[0]]
    number = {
        name: [[getattr(row, name) for row in arm] for arm in rows]
        for name in ("area", "share", "potential", "uncertainty")
    }
    units = {
        "area": "km2" if has_area else "1",
        "share": "%",
        "potential": maps[0].attrs["units"],
        "uncertainty": maps[1].attrs["units"],
    }
    shown = maps[0].attrs.get("display_units", maps[0].attrs["units"])
    display = {"area": units["area"], "share": "%", "potential": shown, "uncertainty": shown}
    return xr.Dataset(
        {
            "zone": (("scenario", "site"), np.stack(codes), {"long_name": f"zone of {settings.zones}", **zone_flags(names)}),
            **{key: (("scenario", "class"), value, {"units": units[key], "display_units": display[key], "long_name": f"{key} of a class"}) for key, value in number.items()},
        },
        {"scenario": list(plan.scenarios), "site": list(plan.sites), "class": names},
        {"output": settings.zones, "spread": settings.spread},
    )  # fmt: skip
