"""Screening measures of a study's scalar inputs: gradients, and SALib's methods on members of the study."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr, ndtri

from ensemble.config.stages import Decompose
from ensemble.design.given import GivenDesign
from ensemble.design.pick_freeze import PickFreezeDesign
from ensemble.inference.decomposition.sample import Outputs
from ensemble.inference.salib_adapter import OWN_SAMPLE, salib_analyse, salib_sample
from ensemble.inference.screening import score_slopes, total_effect_bounds
from ensemble.pipeline.decomposition_layout import Columns
from ensemble.plan import Plan, with_design
from ensemble.plan.scalars import ScalarDraw
from ensemble.plan.tiling import Tile, Tiling
from ensemble.propagate import propagate, tile_arguments, tile_program

MORRIS_TRAJECTORIES, FAST_MEMBERS = 64, 257
SCREENED_MEMBERS = 512


class Rows(NamedTuple):
    """Independent members of a decomposition: point A of its rows.

    Args:
        plan: plan of the members.
        design: its design.
        members: (n,) indices of members that succeeded.
        outputs: (n, columns) at the last records.
        last: which columns of a member's outputs these are.
    """

    plan: Plan
    design: PickFreezeDesign
    members: np.ndarray
    outputs: np.ndarray
    last: np.ndarray


def check_screening(plan: Plan, settings: Decompose) -> None:
    """Refuse screening where it has no meaning.

    Raises:
        InputError: inputs are correlated or discrete.
    """
    if not settings.screening:
        return
    key = ("decompose", "screening")
    if plan.uncertainty.copulas:
        raise plan.study.error(key, "screening methods need independent inputs; leave them out")
    laws = [scalar.distribution for scalar in plan.uncertainty.scalars_per("member")]
    if plan.uncertainty.options or any(law is None or law.discrete for law in laws):
        raise plan.study.error(key, "screening methods need continuous inputs; leave them out")


def screening_variables(
    plan: Plan, columns: Columns, design: PickFreezeDesign, outputs: Outputs, settings: Decompose
) -> dict[str, Any]:
    """Variables ``<output>_<method>_<measure>`` over inputs, at the last record, labelled as screening.

    Args:
        plan: plan of the decomposition's first members.
        columns: what the columns of ``outputs`` are.
        design: design of these members.
        outputs: their outputs (members, columns), sliced along members, NaN where a member failed.
        settings: ``decompose`` of the study.

    Raises:
        InputError: a method cannot be used here.
    """
    if not settings.screening:
        return {}
    last, blocks = _last_records(columns), len(design.blocks)
    y = np.asarray(outputs[: SCREENED_MEMBERS * blocks])[::blocks]
    sound = np.isfinite(y).all(1)
    rows = Rows(plan, design, blocks * np.flatnonzero(sound), y[sound][:, last], last)
    described = {"long_name": "scalar input that was screened"}
    found: dict[str, Any] = {"screened_input": ("screened_input", np.array(design.inputs), described)}
    for method in settings.screening:
        try:
            measures = _gradient(rows) if method == "gradient" else _by_salib(method, rows)
        except ValueError as error:
            raise plan.study.error(("decompose", "screening"), str(error)) from None
        for name, values in measures.items():
            found |= _variables(columns, method, name, values)
    return found


def _variables(columns: Columns, method: str, name: str, values: np.ndarray) -> dict[str, Any]:
    parts = np.split(values, len(columns.outputs), axis=-1)
    found = {}
    for spec, shape, part in zip(columns.outputs, columns.shapes, parts, strict=True):
        text = f"{spec.long_name}: screening by {method}, {name.replace('_', ' ')}"
        array = part.reshape(len(part), *shape[:2])
        attributes = {"long_name": text, "units": "1"}
        found[f"{spec.name}_{method}_{name}"] = (("screened_input", "scenario", "site"), array, attributes)
    return found


def _last_records(columns: Columns) -> np.ndarray:
    """Columns of the last record (and last depth) of every output, scenario and site."""
    found, start = [], 0
    for shape in columns.shapes:
        size = int(np.prod(shape))
        found.append(start + np.arange(size).reshape(shape[0] * shape[1], -1)[:, -1])
        start += size
    return np.concatenate(found)


def _by_salib(method: str, rows: Rows) -> dict[str, np.ndarray]:
    names, seed = rows.design.inputs, rows.plan.seed
    if method in OWN_SAMPLE:
        u = salib_sample(method, names, MORRIS_TRAJECTORIES if method == "morris" else FAST_MEMBERS, seed)
        y = _run(with_design(rows.plan, GivenDesign(method, names, u), rows.plan.outputs))[:, rows.last]
    else:
        u, y = rows.design.uniforms(names, rows.members), rows.outputs
    return salib_analyse(method, names, u, y, seed).measures


def _run(plan: Plan) -> np.ndarray:
    """Outputs (members, columns) of a plan that fits in memory."""
    shape = (plan.members, len(plan.scenarios), len(plan.sites))
    arrays = {spec.name: np.empty((*shape, *plan.output_shape(spec))) for spec in plan.outputs}
    for result in propagate(plan, range(plan.tiling.count)):
        tile = result.tile
        members = slice(tile.first_member, tile.first_member + tile.members)
        sites = slice(tile.first_site, tile.first_site + tile.sites)
        for name, array in arrays.items():
            array[members, :, sites] = result.outputs[name]
    return np.concatenate([arrays[spec.name].reshape(plan.members, -1) for spec in plan.outputs], axis=1)


def _gradient(rows: Rows) -> dict[str, np.ndarray]:
    """Upper bounds of the total effects from forward-mode derivatives at independent members."""
    members = rows.members
    z = ndtri(rows.design.uniforms(rows.design.inputs, members))
    derivatives = _derivatives(rows.plan, members, z)[:, :, rows.last]
    found = total_effect_bounds(derivatives, rows.outputs, rows.design.replicate(members))
    return {"total_effect_bound": found.value, "total_effect_bound_half_width": found.half_width}


def _derivatives(plan: Plan, members: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Derivatives (members, inputs, columns) of the outputs in the normal scores ``z`` (members, inputs)."""
    count, sites = len(members), np.arange(len(plan.sites))
    plan = replace(plan, tiling=Tiling(count, len(sites), count, len(sites)))
    tile = Tile(0, 0, count, 0, len(sites), members, sites)
    with jax.enable_x64(plan.float64):
        numbers, indices, places, base = tile_arguments(plan, tile, plan.draws(members, sites))
        program = tile_program(plan)
        found = []
        for scalar, score in zip(plan.uncertainty.scalars_per("member"), z.T, strict=True):
            slope = score_slopes(lambda s, scalar=scalar: _values(scalar, s, sites), score)
            tangent = {name: jnp.zeros_like(value) for name, value in numbers.items()}
            value = numbers[scalar.label]
            tangent[scalar.label] = jnp.broadcast_to(jnp.asarray(slope, value.dtype), value.shape)
            _, derivative = jax.jvp(lambda n: program(n, indices, places, base)[0], (numbers,), (tangent,))
            flat = [np.asarray(derivative[spec.name]).reshape(count, -1) for spec in plan.outputs]
            found.append(np.concatenate(flat, axis=1))
    return np.stack(found, axis=1)


def _values(scalar: ScalarDraw, z: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Value (n, 1 or sites) of a scalar at normal scores (n,)."""
    return scalar.values(ndtr(z)[:, None], sites)
