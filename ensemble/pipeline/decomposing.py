"""The decomposition stage: its own design and members, then shares of the variance of every output."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ensemble.config.stages import Decompose
from ensemble.design.pick_freeze import PickFreezeDesign, group_of, pick_freeze
from ensemble.inference.decomposition import Decomposition, Family, decompose, family_of
from ensemble.inference.decomposition.sample import Outputs
from ensemble.pipeline.decomposition_layout import Columns, coordinates_for, decomposition_dataset
from ensemble.pipeline.decomposition_members import GROUP, Members, compute_batch
from ensemble.pipeline.decomposition_totals import GROUP as TOTALS
from ensemble.pipeline.decomposition_totals import totalled, totals_columns, totals_dataset
from ensemble.pipeline.factorial import anova_dataset, check_factorial
from ensemble.pipeline.screening import check_screening, screening_variables
from ensemble.plan import Plan
from ensemble.specs import OutputSpec
from ensemble.store import StoreWriter


def write_decomposition(plan: Plan, store: StoreWriter, quiet: bool = False) -> tuple[xr.Dataset, ...]:
    """Compute what is missing of ``/decomposition`` (and of that of totals) and write it; a finished one is read.

    Raises:
        InputError: the study cannot be decomposed; one sentence says why and what to do.
        Stopped: too many members failed.
    """
    if not store.has_group(GROUP):
        factorial = plan.design.kind == "factorial"
        found = {GROUP: anova_dataset(plan, store)} if factorial else _pick_freeze(plan, store, quiet)
        for name, data in reversed(found.items()):
            store.write_group(name, data)
    return tuple(store.dataset(name).load() for name in (GROUP, TOTALS) if store.has_group(name))


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


def _pick_freeze(plan: Plan, store: StoreWriter, quiet: bool) -> dict[str, xr.Dataset]:
    """Shares of the variance, doubling the rows until the tolerance holds; every row is computed once."""
    settings = plan.study.record.decompose
    assert settings is not None
    outputs = wanted_outputs(plan, settings)
    design, families = design_of(plan, settings), families_of(plan, settings)
    columns = Columns.of_plan(plan, outputs)
    members = Members(store, (compute_batch(plan, design, 0, outputs, 0, store, quiet),))
    found = _decompose(plan, design, members, families, columns)
    while (
        settings.tolerance is not None and _widest(found) > settings.tolerance and 2 * design.rows <= settings.max_rows
    ):
        done, design = design.rows, design.doubled()
        number = len(members.batches)
        members = members.with_batch(compute_batch(plan, design, done, outputs, number, store, quiet))
        found = _decompose(plan, design, members, families, columns)
    first = members.batches[0]
    data = decomposition_dataset(columns, found[0], settings, coordinates_for(plan, columns))
    data = data.assign(screening_variables(first.plan, columns, first.design, members, settings))
    totals = totals_columns(plan, columns)
    return {GROUP: data} | ({} if totals is None else {TOTALS: totals_dataset(plan, totals, found[1], settings)})


def _widest(found: tuple[Decomposition, ...]) -> float:
    return max(part.widest for part in found)


def _decompose(
    plan: Plan, design: PickFreezeDesign, members: Members, families: tuple[Family, ...] | None, columns: Columns
) -> tuple[Decomposition, ...]:
    """Shares of every output at every site and, where the study wants totals, those of the totals."""
    samples: list[tuple[Columns, Outputs]] = [(columns, members)]
    totals = totals_columns(plan, columns)
    if totals is not None:
        samples.append((totals, totalled(plan, columns, members)))
    allowed = plan.study.record.execution.max_failed
    try:
        return tuple(decompose(design, y, families, what.sites, what.pools, allowed) for what, y in samples)
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
