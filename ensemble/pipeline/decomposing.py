"""The decomposition stage: its own design and members, then shares of the variance of every output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from ensemble.config.stages import Decompose
from ensemble.design.pick_freeze import PickFreezeDesign, group_of, pick_freeze
from ensemble.errors import StoreRefused
from ensemble.execute.progress import progress
from ensemble.inference.decomposition import Decomposition, Family, decompose, family_of
from ensemble.pipeline.decomposition_layout import Columns, decomposition_dataset
from ensemble.pipeline.factorial import anova_dataset, check_factorial
from ensemble.pipeline.layout import coordinates_of
from ensemble.pipeline.screening import check_screening, screening_variables
from ensemble.plan import Plan, with_design
from ensemble.propagate import propagate
from ensemble.specs import OutputSpec
from ensemble.store import ArrayTemplate, Stage, StoreWriter, Tiling
from ensemble.summary import cf_attributes

GROUP = "decomposition"


class Batch(NamedTuple):
    """Rows that one doubling added: a plan of their own, its design, and the stage that holds their members."""

    plan: Plan
    design: PickFreezeDesign
    stage: str


def write_decomposition(plan: Plan, store: StoreWriter, quiet: bool = False) -> xr.Dataset:
    """Compute what is missing of ``/decomposition`` and write it; a finished one is read.

    Raises:
        InputError: the study cannot be decomposed; one sentence says why and what to do.
        Stopped: too many members failed.
    """
    if store.has_group(GROUP):
        return store.dataset(GROUP).load()
    data = anova_dataset(plan, store) if plan.design.kind == "factorial" else _pick_freeze(plan, store, quiet)
    store.write_group(GROUP, data)
    return data


def check_decomposition(plan: Plan) -> None:
    """Refuse a decomposition that cannot be done, before anything is computed.

    Raises:
        InputError: one sentence says why and what to do.
    """
    settings = plan.study.record.decompose
    if settings is None:
        return
    if plan.design.kind == "factorial":
        check_factorial(plan)
        return
    if plan.design.kind in ("sweep", "half_range"):
        text = f"a {plan.design.kind} design sets its inputs, so they have no variance to share; use sobol or factorial"
        raise plan.study.error(("decompose",), text)
    wanted_outputs(plan, settings)
    design_of(plan, settings)
    families_of(plan, settings)
    check_screening(plan, settings)


def design_of(plan: Plan, settings: Decompose) -> PickFreezeDesign:
    """The pick-freeze design of a study.

    Raises:
        InputError: as :func:`~ensemble.design.pick_freeze.pick_freeze` refuses it.
    """
    uncertain = plan.uncertainty
    shared = list(uncertain.shared_streams)
    series = [entry.label for entry in (*uncertain.scalars_per("site"), *uncertain.noises, *uncertain.weather)]
    correlation = np.eye(len(shared))
    copula = (uncertain.copulas or {}).get("member")
    if copula is not None:
        places = [shared.index(name) for name in copula.names]
        correlation[np.ix_(places, places)] = copula.correlation
    try:
        design = pick_freeze(
            shared,
            settings.rows,
            plan.seed,
            settings.groups,
            series,
            correlation,
            second=settings.second_order,
            dependent=settings.indices != "sobol",
        )
        _refuse_tied_series(plan, design)
    except ValueError as error:
        raise plan.study.error(("decompose",), str(error)) from None
    return design


def _refuse_tied_series(plan: Plan, design: PickFreezeDesign) -> None:
    """Inputs drawn at every site are frozen or redrawn whole, so correlated ones belong together."""
    copula = (plan.uncertainty.copulas or {}).get("site")
    if copula is None:
        return
    for i, j in zip(*np.nonzero(np.tril(copula.correlation, -1)), strict=True):
        first, second = copula.names[j], copula.names[i]
        if group_of(design.groups, first) != group_of(design.groups, second):
            raise ValueError(f"'{first}' and '{second}' are correlated at every site; put them in one group")


def families_of(plan: Plan, settings: Decompose) -> tuple[Family, ...] | None:
    """Polynomial family of every scalar input; ``None`` where one is discrete or no surrogate is wanted.

    Raises:
        InputError: an input has zero variance.
    """
    found: list[Family] = []
    copula = (plan.uncertainty.copulas or {}).get("member")
    tied = (
        set()
        if copula is None
        else {n for n, row in zip(copula.names, copula.correlation, strict=True) if (row != 0).sum() > 1}
    )
    discrete = bool(plan.uncertainty.options)
    for scalar in plan.uncertainty.scalars_per("member"):
        law = scalar.distribution
        if law is None or law.discrete:  # a number of a joint posterior has no quantile function of its own
            discrete = True
            continue
        try:
            own = family_of(lambda z, law=law: law.from_score(z[:, None])[:, 0])
        except ValueError as error:
            raise plan.study.error(("uncertain", scalar.label), str(error)) from None
        found.append("hermite" if scalar.label in tied else own)
    return None if discrete or not settings.surrogate else tuple(found)


def _pick_freeze(plan: Plan, store: StoreWriter, quiet: bool) -> xr.Dataset:
    """Shares of the variance, doubling the rows until the tolerance holds; every row is computed once."""
    settings = plan.study.record.decompose
    assert settings is not None
    outputs = wanted_outputs(plan, settings)
    design, families = design_of(plan, settings), families_of(plan, settings)
    columns = Columns.of(plan, outputs)
    batches = [_batch(plan, design, 0, outputs, 0)]
    parts = [_members(batches[0], store, quiet)]
    found = _decompose(plan, design, parts, families, columns)
    while settings.tolerance is not None and found.widest > settings.tolerance and 2 * design.rows <= settings.max_rows:
        done, design = design.rows, design.doubled()
        batches.append(_batch(plan, design, done, outputs, len(batches)))
        parts.append(_members(batches[-1], store, quiet))
        found = _decompose(plan, design, parts, families, columns)
    data = decomposition_dataset(plan, columns, found, settings)
    return data.assign(screening_variables(batches[0].plan, columns, batches[0].design, parts[0], settings))


def _decompose(
    plan: Plan,
    design: PickFreezeDesign,
    parts: Sequence[np.ndarray],
    families: tuple[Family, ...] | None,
    columns: Columns,
) -> Decomposition:
    allowed = plan.study.record.execution.max_failed
    try:
        y = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return decompose(design, y, families, columns.sites, columns.pools, allowed)
    except ValueError as error:
        raise plan.study.error(("decompose",), str(error)) from None


def wanted_outputs(plan: Plan, settings: Decompose) -> tuple[OutputSpec, ...]:
    """The outputs to decompose.

    Raises:
        InputError: the study has no such output.
    """
    by_name = {spec.name: spec for spec in plan.outputs}
    for index, name in enumerate(settings.outputs or ()):
        if name not in by_name:
            text = f"there is no output '{name}' in this study; allowed: {', '.join(by_name)}"
            raise plan.study.error(("decompose", "outputs", index), text)
    return tuple(by_name[name] for name in settings.outputs) if settings.outputs else plan.outputs


def _batch(plan: Plan, design: PickFreezeDesign, first_row: int, outputs: tuple[OutputSpec, ...], number: int) -> Batch:
    part = design.continuation(first_row) if first_row else design
    return Batch(with_design(plan, part, outputs), part, f"{GROUP}/members" + (f"_{number + 1}" if number else ""))


def _members(batch: Batch, store: StoreWriter, quiet: bool) -> np.ndarray:
    """Outputs (members, columns) of a batch, NaN where a member failed; missing tiles are computed first.

    Raises:
        StoreRefused: the store holds members of another design.
    """
    plan, _, name = batch
    store.add_stage(_stage(plan, name))
    entries = store.entries(name)
    missing = [tile for tile in range(plan.tiling.count) if tile not in entries]
    done = sum(entry.pairs for entry in entries.values())
    with progress(
        f"{plan.study.name}, decomposition", plan.members * len(plan.sites), done, "members", quiet
    ) as advance:
        for result in propagate(plan, missing):
            arrays = {f"{name}/{output}": values for output, values in result.outputs.items()}
            store.write_tile(name, result.tile.index, arrays | {f"{name}/failed": result.failed.astype(np.uint8)})
            advance(result.failed.size)
    if store.dataset(name).attrs["design_digest"] != plan.design.digest():
        raise StoreRefused(f"{name} of {store.path} holds members of another design; choose another store or remove it")
    shapes = [plan.output_shape(spec) for spec in plan.outputs]
    shape = (plan.members, len(plan.scenarios), len(plan.sites))
    arrays = [np.empty((*shape, *own), np.float64 if plan.float64 else np.float32) for own in shapes]
    for index in range(plan.tiling.count):
        tile, read = plan.tile(index), store.read_tile(name, index)
        here = slice(tile.first_member, tile.first_member + tile.members), slice(None)
        here += (slice(tile.first_site, tile.first_site + tile.sites),)
        failed = read[f"{name}/failed"][:, None] > 0
        for spec, array in zip(plan.outputs, arrays, strict=True):
            values = read[f"{name}/{spec.name}"]
            array[here] = np.where(failed.reshape(*failed.shape, *(1,) * len(spec.dims)), np.nan, values)
    return np.concatenate([array.reshape(plan.members, -1) for array in arrays], axis=1)


def _stage(plan: Plan, name: str) -> Stage:
    """The members of a decomposition; their draws follow from the design, whose digest they carry."""
    tiling = Tiling(
        {"member": plan.tiling.tile_members, "site": plan.tiling.tile_sites},
        {"member": plan.members, "site": len(plan.sites)},
    )
    shape = (plan.members, len(plan.scenarios), len(plan.sites))
    dtype = "float64" if plan.float64 else "float32"
    arrays = [
        ArrayTemplate(
            f"{name}/{spec.name}",
            ("member", "scenario", "site", *spec.dims),
            (*shape, *plan.output_shape(spec)),
            dtype,
            cf_attributes(spec),
        )
        for spec in plan.outputs
    ]
    arrays.append(ArrayTemplate(f"{name}/failed", ("member", "site"), (plan.members, len(plan.sites)), "uint8"))
    attributes = {"design": plan.design.kind, "design_digest": plan.design.digest(), "comment": plan.design.note}
    coordinates = {name: coordinates_of(plan, plan.members).assign_attrs(attributes)}
    return Stage(name, tiling, tuple(arrays), coordinates, {name: {}}, f"{name}/failed")
