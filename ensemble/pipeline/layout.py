"""What a plan looks like in the store: the arrays that tiles fill, coordinates and CF attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble import __version__
from ensemble.inputs.tables import Table
from ensemble.pipeline.bins import GROUP, Histograms
from ensemble.plan import Plan
from ensemble.store import TILE, ArrayTemplate, Stage, Tiling
from ensemble.summary import Packing, cf_attributes
from ensemble.units import cf_units

STAGE = "members"
FLAGS = "members/failed"
OUTPUT_DIMS = ("member", "scenario", "site")
PLACES = {
    "longitude": {"units": "degrees_east", "standard_name": "longitude"},
    "latitude": {"units": "degrees_north", "standard_name": "latitude"},
    "x_km": {"units": "km", "standard_name": "projection_x_coordinate"},
    "y_km": {"units": "km", "standard_name": "projection_y_coordinate"},
    "area_ha": {"units": "ha", "standard_name": "cell_area", "long_name": "area"},
}
REASONS = {"flag_values": [0, 1, 2, 3], "flag_meanings": "ok not_finite outside_support budget_open"}


def stage_of(plan: Plan, histograms: Histograms) -> Stage:
    """The stage of the members of a study.

    Args:
        plan: the plan.
        histograms: bins that stand in for members that are not kept.
    """
    tiling = Tiling(
        {"member": plan.tiling.tile_members, "site": plan.tiling.tile_sites},
        {"member": plan.members, "site": len(plan.sites)},
    )
    arrays = [*_inputs(plan), *_summaries(plan, tiling, histograms.number)]
    arrays.append(ArrayTemplate(FLAGS, ("member", "site"), (plan.members, len(plan.sites)), "uint8", REASONS))
    if plan.keep_members:
        arrays += _members(plan)
    coordinates = coordinates_of(plan, plan.members if plan.keep_members else 0)
    shared = [name for name in ("member", "site") if name in coordinates]
    groups = {"members": coordinates, "inputs": coordinates[shared]}
    if histograms.bins:
        groups[GROUP] = histograms.dataset()
    attributes = {GROUP: {"bins": histograms.number}} if histograms.bins else {}
    return Stage(STAGE, tiling, tuple(arrays), groups, {"members": {}, "inputs": {}, "tiles": {}, **attributes}, FLAGS)


def packing_of(plan: Plan, name: str, bins: int) -> Packing:
    """How the summary of an output is packed, tile by tile."""
    spec = next(spec for spec in plan.stored_outputs if spec.name == name)
    above = plan.study.record.outputs.above.get(name, [])
    return Packing(
        plan.design.replicates,
        len(plan.scenarios),
        plan.tiling.tile_sites,
        plan.output_shape(spec),
        len(above),
        bins,
    )


def _members(plan: Plan) -> list[ArrayTemplate]:
    shape = (plan.members, len(plan.scenarios), len(plan.sites))
    return [
        ArrayTemplate(
            f"members/{spec.name}",
            (*OUTPUT_DIMS, *spec.dims),
            (*shape, *plan.output_shape(spec)),
            "float64" if plan.float64 else "float32",
            cf_attributes(spec) | ({"references": spec.source} if spec.source else {}),
        )
        for spec in plan.stored_outputs
    ]


def _inputs(plan: Plan) -> list[ArrayTemplate]:
    arrays = []
    for entry in (*plan.uncertainty.scalars, *plan.uncertainty.options):
        by_site = entry.label in plan.streams_by_site
        dims = ("member", "site") if by_site else ("member",)
        shape = (plan.members, len(plan.sites)) if by_site else (plan.members,)
        arrays.append(ArrayTemplate(f"inputs/{entry.label}", dims, shape, "float64", _input_attributes(plan, entry)))
    return arrays


def _input_attributes(plan: Plan, entry: Any) -> dict[str, Any]:
    """CF attributes of what a stream drew."""
    if entry in plan.uncertainty.options:
        values = [str(value) for value in entry.values]
        return {
            "units": "1",
            "long_name": f"choice of the option {entry.option}",
            "flag_values": list(range(len(values))),
            "flag_meanings": " ".join(value.replace(" ", "_") for value in values),
        }
    spec = {**plan.bound.specs, **plan.bound.derived_specs}[entry.input]
    what = {"value": "", "offset": "offset of ", "factor": "factor on "}[entry.how]
    units = "1" if entry.how == "factor" else spec.units
    return {
        "units": cf_units(units),
        "display_units": units,
        "long_name": what + spec.long_name,
        "input": entry.input,
        "as": entry.how,
    }


def _summaries(plan: Plan, tiling: Tiling, bins: int) -> list[ArrayTemplate]:
    """One packed vector an output and tile; merged in tile order for the statistics."""
    attributes = {"long_name": "packed sums over the members of a tile (counts, means, squares, extremes, histogram)"}
    arrays = []
    for spec in plan.stored_outputs:
        length = packing_of(plan, spec.name, bins).length
        dims = (TILE, f"{spec.name}_packed")
        arrays.append(ArrayTemplate(f"tiles/{spec.name}", dims, (tiling.count, length), "float64", attributes))
    return arrays


def coordinates_of(plan: Plan, members: int = 0, sites: slice = slice(None)) -> xr.Dataset:
    """Coordinates of the outputs at some sites, with CF attributes; and the numbers of the first members, if wanted."""
    found: dict[str, Any] = {
        **({"member": ("member", np.arange(members), {"long_name": "member of the ensemble"})} if members else {}),
        "scenario": ("scenario", np.array(plan.scenarios), {"long_name": "arm of the study"}),
        "site": ("site", np.array(list(plan.sites[sites])), {"long_name": "site"}),
    }
    dims = {dim for spec in plan.stored_outputs for dim in spec.dims}
    times = plan.times()
    if times is not None and "time" in dims:
        calendar = np.issubdtype(times.dtype, np.datetime64)
        attributes = {"long_name": "end of the record", "axis": "T"}
        attributes |= {"standard_name": "time"} if calendar else {"units": "year"}
        found["time"] = ("time", times, attributes)
    for name, values in plan.bound.coordinates.items():
        if name in dims:
            found[name] = (name, np.asarray(values), {})
        elif name.removesuffix("_bounds") in dims:
            found[name] = ((name.removesuffix("_bounds"), "bounds"), np.asarray(values), {})
    table = plan.base.sites.table
    here = table if table is None or sites == slice(None) else table.rows(np.arange(len(table))[sites])
    return xr.Dataset(coords=found | _layer(plan, sites) | places_of(here))


def _layer(plan: Plan, sites: slice) -> dict[str, Any]:
    """Depth of the one layer of a model that has one, as a coordinate of the sites with bounds."""
    depth, spec = plan.base.values.get("depth"), plan.bound.specs.get("depth")
    if depth is None or spec is None or spec.dims or spec.units != "cm":
        return {}
    bottom = np.broadcast_to(depth[0], (len(plan.sites),))[sites]
    attributes = {"units": "cm", "standard_name": "depth", "positive": "down", "bounds": "layer_depth_bounds"}
    bounds = np.stack([np.zeros_like(bottom), bottom], axis=-1)
    return {
        "layer_depth": ("site", bottom / 2, attributes | {"long_name": "middle of the layer"}),
        "layer_depth_bounds": (("site", "bounds"), bounds, {}),
    }


def places_of(table: Table | None) -> dict[str, Any]:
    """Coordinates that say where the sites are, as far as the site table does; for rasters also their cells and grid."""
    columns = {} if table is None else table.columns
    found: dict[str, Any] = {}
    for name, attributes in PLACES.items():
        if table is not None and name in columns:
            found[name] = ("site", table.numbers(name), attributes)
    grid = getattr(table, "grid", None)
    if grid is not None:
        x0, dx, y0, dy = grid.transform
        numbers = f"{x0!r} {dx!r} 0.0 {y0!r} 0.0 {dy!r}"
        found["crs"] = ((), 0, {"crs_wkt": grid.crs, "GeoTransform": numbers, "grid_shape": list(grid.shape)})
        for axis, cells in (("row", grid.rows), ("column", grid.columns)):
            attributes = {"long_name": f"{axis} of the cell", "units": "1"}
            found[f"grid_{axis}"] = ("site", cells.astype(np.int64), attributes)
    return found


def root_attributes(plan: Plan) -> dict[str, Any]:
    """What the root of the store says about the run; the store adds digests, versions and platform."""
    model = plan.bound.model
    return {
        "title": plan.study.record.title or f"ensemble of {model.name}",
        "source": f"ensemble {__version__}, model {model.name}: {model.title}",
        "history": plan.study.command,
        "references": model.source,
        "comment": f"{plan.members} members ({plan.design.kind} design), seed {plan.seed}",
        "license": plan.study.record.license,
        "institution": plan.study.record.institution,
    }
