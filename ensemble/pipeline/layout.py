"""What a plan looks like in the store: arrays, coordinates and CF attributes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble import __version__
from ensemble.plan import Plan
from ensemble.specs import InputSpec, OutputSpec
from ensemble.units import cf_units

TIME_METHOD = {"state": "time: point", "flux": "time: sum", "rate": "time: mean"}
OUTPUT_DIMS = ("member", "scenario", "site")


def output_attributes(spec: OutputSpec) -> dict[str, Any]:
    """CF attributes of an output."""
    attributes: dict[str, Any] = {
        "units": cf_units(spec.units),
        "long_name": spec.long_name,
        "display_units": spec.units,
    }
    methods = [TIME_METHOD[spec.kind]] if "time" in spec.dims else []
    methods += [spec.cell_methods] if spec.cell_methods else []
    if methods:
        attributes["cell_methods"] = " ".join(methods)
    if spec.standard_name:
        attributes["standard_name"] = spec.standard_name
    if spec.source:
        attributes["source"] = spec.source
    return attributes


def input_attributes(plan: Plan, label: str) -> dict[str, Any]:
    """CF attributes of what a stream drew."""
    for option in plan.uncertainty.options:
        if option.label == label:
            values = [str(value) for value in option.values]
            return {
                "units": "1",
                "long_name": f"choice of the option {option.option}",
                "flag_values": list(range(len(values))),
                "flag_meanings": " ".join(value.replace(" ", "_") for value in values),
            }
    scalar = next(entry for entry in plan.uncertainty.scalars if entry.label == label)
    spec: InputSpec = {**plan.bound.specs, **plan.bound.derived_specs}[scalar.input]
    what = {"value": "", "offset": "offset of ", "factor": "factor on "}[scalar.how]
    return {
        "units": "1" if scalar.how == "factor" else cf_units(spec.units),
        "long_name": what + spec.long_name,
        "input": scalar.input,
        "as": scalar.how,
    }


def coordinates(plan: Plan) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Coordinates of the outputs: dims, values, attributes."""
    found: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {
        "member": (("member",), np.arange(plan.members), {"long_name": "member of the ensemble"}),
        "scenario": (("scenario",), np.array(plan.scenarios), {"long_name": "arm of the study"}),
        "site": (("site",), np.array(plan.sites), {"long_name": "site"}),
    }
    times = plan.times()
    if times is not None:
        attributes: dict[str, Any] = {"long_name": "end of the record", "axis": "T"}
        if not np.issubdtype(times.dtype, np.datetime64):
            attributes["units"] = "year"
        else:
            attributes["standard_name"] = "time"
        found["time"] = (("time",), times, attributes)
    for name, values in plan.bound.coordinates.items():
        dims = (name.removesuffix("_bounds"), "bounds") if name.endswith("_bounds") else (name,)
        found[name] = (dims, np.asarray(values), {})
    used = {dim for spec in plan.stored_outputs for dim in spec.dims} | set(OUTPUT_DIMS)
    found = {name: entry for name, entry in found.items() if entry[0][0] in used}
    return {**found, **_layer(plan)}


def _layer(plan: Plan) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Depth of the one layer of a model that has one, as a coordinate of the sites with bounds."""
    depth = plan.base.values.get("depth")
    spec = plan.bound.specs.get("depth")
    if depth is None or spec is None or spec.dims or spec.units != "cm":
        return {}
    bottom = np.broadcast_to(depth[0], (len(plan.sites),))
    bounds = np.stack([np.zeros_like(bottom), bottom], axis=-1)
    attributes = {
        "units": "cm",
        "standard_name": "depth",
        "positive": "down",
        "long_name": "middle of the layer",
        "bounds": "layer_depth_bounds",
    }
    return {
        "layer_depth": (("site",), bottom / 2, attributes),
        "layer_depth_bounds": (("site", "bounds"), bounds, {}),
    }


def output_dims(spec: OutputSpec) -> tuple[str, ...]:
    """Dimensions of an output in the store."""
    return (*OUTPUT_DIMS, *spec.dims)


def output_shape(plan: Plan, spec: OutputSpec) -> tuple[int, ...]:
    """Shape of an output in the store."""
    return (plan.members, len(plan.scenarios), len(plan.sites), *plan.output_shape(spec))


def root_attributes(plan: Plan) -> dict[str, Any]:
    """What the root of the store says about the run; the store adds digests, versions and platform."""
    model = plan.bound.model
    return {
        "title": plan.study.record.title or f"ensemble of {model.name}",
        "source": f"ensemble {__version__}, model {model.name}: {model.title}. {model.source}",
        "references": "; ".join(text for text in [model.source] if text),
        "institution": "",
        "comment": f"{plan.members} members ({plan.design.kind} design), seed {plan.seed}",
    }
