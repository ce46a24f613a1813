"""Screening measures of a study's scalar inputs: gradients, and SALib's methods on members of the study."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from ensemble.config.schema import Decompose
from ensemble.design.given import GivenDesign
from ensemble.inference.salib_adapter import OWN_SAMPLE, salib_analyse, salib_sample
from ensemble.inference.screening import score_slopes, total_effect_bounds
from ensemble.pipeline.decomposition_layout import Columns
from ensemble.plan import Plan, with_design
from ensemble.propagate import propagate, tile_arguments, tile_program

MORRIS_TRAJECTORIES, FAST_MEMBERS = 64, 257
GRADIENT_MEMBERS = 512
GIVEN_MEMBERS = 512


def screening_variables(
    plan: Plan, columns: Columns, rows: Plan, outputs: np.ndarray, settings: Decompose
) -> dict[str, Any]:
    """Variables ``<output>_<method>_<measure>`` over inputs, at the last record, labelled as screening.

    Args:
        plan: the study.
        columns: what the columns of ``outputs`` are.
        rows: plan of the pick-freeze members, whose independent members serve given-data methods.
        outputs: their outputs (members, columns), NaN where a member failed.
        settings: ``decompose`` of the study.

    Raises:
        InputError: a method cannot be used here.
    """
    found: dict[str, Any] = {}
    if not settings.screening:
        return found
    inputs = rows.design.inputs
    if plan.uncertainty.copulas:
        raise plan.study.error(("decompose", "screening"), "screening methods need independent inputs; leave them out")
    if plan.uncertainty.options or any(s.distribution.discrete for s in plan.uncertainty.scalars_per("member")):
        raise plan.study.error(("decompose", "screening"), "screening methods need continuous inputs; leave them out")
    last = _last_records(columns)
    for method in settings.screening:
        try:
            measures = _measures(method, rows, outputs, last, inputs)
        except ValueError as error:
            raise plan.study.error(("decompose", "screening"), str(error)) from None
        for name, values in measures.items():
            for position, spec in enumerate(columns.outputs):
                arms, sites = columns.shapes[position][:2]
                part = np.split(values, len(columns.outputs), axis=-1)[position].reshape(len(inputs), arms, sites)
                attributes = {"long_name": f"{spec.long_name}: screening by {method}, {name.replace('_', ' ')}", "units": "1"}
                found[f"{spec.name}_{method}_{name}"] = (("screened_input", "scenario", "site"), part, attributes)
    found["screened_input"] = ("screened_input", np.array(inputs), {"long_name": "scalar input that was screened"})
    return found


def _last_records(columns: Columns) -> np.ndarray:
    """Columns of the last record (and last depth) of every output, scenario and site."""
    found, start = [], 0
    for shape in columns.shapes:
        size = int(np.prod(shape))
        found.append(start + np.arange(size).reshape(shape[0] * shape[1], -1)[:, -1])
        start += size
    return np.concatenate(found)


def _measures(
    method: str, rows: Plan, outputs: np.ndarray, last: np.ndarray, inputs: tuple[str, ...]
) -> dict[str, np.ndarray]:
    if method == "gradient":
        return _gradient(rows, outputs, last)
    if method in OWN_SAMPLE:
        size = MORRIS_TRAJECTORIES if method == "morris" else FAST_MEMBERS
        u = salib_sample(method, inputs, size, rows.seed)
        y = _run(with_design(rows, GivenDesign(method, inputs, u), rows.outputs))[:, last]
    else:
        members = np.arange(0, rows.members, len(rows.design.blocks))
        members = members[np.isfinite(outputs[members]).all(1)][:GIVEN_MEMBERS]
        u, y = rows.design.uniforms(inputs, members), outputs[members][:, last]
    return salib_analyse(method, inputs, u, y, rows.seed).measures


def _run(plan: Plan) -> np.ndarray:
    """Outputs (members, columns) of a plan that fits in memory."""
    shape = (plan.members, len(plan.scenarios), len(plan.sites))
    arrays = {spec.name: np.empty((*shape, *plan.output_shape(spec))) for spec in plan.outputs}
    for result in propagate(plan, range(plan.tiling.count)):
        tile = result.tile
        here = slice(tile.first_member, tile.first_member + tile.members), slice(None)
        here += (slice(tile.first_site, tile.first_site + tile.sites),)
        for name, array in arrays.items():
            array[here] = result.outputs[name]
    return np.concatenate([arrays[spec.name].reshape(plan.members, -1) for spec in plan.outputs], axis=1)


def _gradient(rows: Plan, outputs: np.ndarray, last: np.ndarray) -> dict[str, np.ndarray]:
    """Upper bounds of the total effects from forward-mode derivatives at independent members."""
    members = np.arange(0, rows.members, len(rows.design.blocks))
    members = members[np.isfinite(outputs[members]).all(1)][:GRADIENT_MEMBERS]
    u = rows.design.uniforms(rows.design.inputs, members)
    scalars = rows.uncertainty.scalars_per("member")
    sites = np.arange(len(rows.sites))
    z = ndtri(u)
    slopes = [score_slopes(lambda s, k=k: _values(scalars[k], s, sites), z[:, k]) for k in range(len(scalars))]
    derivatives = _derivatives(rows, members, slopes)[:, :, last]
    found = total_effect_bounds(derivatives, outputs[members][:, last], rows.design.replicate(members))
    return {"total_effect_bound": found.value, "total_effect_bound_half_width": found.half_width}


def _values(scalar: Any, z: np.ndarray, sites: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return scalar.values(ndtr(z)[:, None], sites)


def _derivatives(rows: Plan, members: np.ndarray, slopes: list[np.ndarray]) -> np.ndarray:
    """Derivatives (members, inputs, columns) of the outputs in the normal scores of the inputs."""
    from ensemble.plan.tiling import Tile, Tiling

    count, sites = len(members), len(rows.sites)
    from dataclasses import replace

    plan = replace(rows, tiling=Tiling(count, sites, count, sites))
    tile = Tile(0, 0, count, 0, sites, members, np.arange(sites))
    with jax.enable_x64(plan.float64):
        numbers, indices, places, base = tile_arguments(plan, tile, plan.draws(members, np.arange(sites)))
        program = tile_program(plan)
        found = []
        for label, slope in zip((s.label for s in plan.uncertainty.scalars_per("member")), slopes, strict=True):
            tangent = {name: jnp.zeros_like(value) for name, value in numbers.items()}
            tangent[label] = jnp.broadcast_to(jnp.asarray(slope, numbers[label].dtype), numbers[label].shape)
            _, derivative = jax.jvp(lambda n: program(n, indices, places, base)[0], (numbers,), (tangent,))
            found.append(
                np.concatenate([np.asarray(derivative[spec.name]).reshape(count, -1) for spec in plan.outputs], axis=1)
            )
    return np.stack(found, axis=1)
