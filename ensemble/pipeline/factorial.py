"""ANOVA of a factorial study, from its own members."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.design import ChosenDesign
from ensemble.inference.anova import AnovaTable, anova
from ensemble.plan import Plan
from ensemble.store import Store


def check_factorial(plan: Plan) -> None:
    """Refuse an ANOVA that the members cannot give.

    Raises:
        InputError: members are not kept.
    """
    if not plan.keep_members:
        raise plan.study.error(("store", "members"), "the ANOVA needs the members; use keep")


def anova_dataset(plan: Plan, store: Store) -> xr.Dataset:
    """Type-II table and coefficients of every output, over all its times, clustered by run.

    Raises:
        InputError: the factors cannot be analysed.
    """
    settings, design = plan.study.record.decompose, plan.design
    assert settings is not None
    assert isinstance(design, ChosenDesign)
    members = store.dataset("members").load()
    everyone = np.arange(plan.members)
    factors = {name: np.array(levels)[design.codes(name, everyone)] for name, levels in design.levels}
    names = settings.outputs or [spec.name for spec in plan.outputs]
    tables = {name: _table(plan, members, name, factors) for name in names}
    variables: dict[str, Any] = {}
    for name, table in tables.items():
        variables |= _variables(members[name].attrs.get("long_name", name), name, table)
    table = tables[names[0]]
    described = {"long_name": "coefficient against the reference levels"}
    labels = {
        "parameter": ("parameter", np.array(table.terms), {"long_name": "term of the ANOVA"}),
        "coefficient": ("coefficient", np.array(list(table.coefficients)), described),
    }
    attributes = {
        "method": "type-II ANOVA, errors clustered by run",
        "references": [f"{key}: {value}" for key, value in table.references.items()],
        "rows": table.rows,
        "clusters": table.clusters,
        "notes": ["yearly rows of one run are not independent: standard errors and tests are clustered by run"],
    }
    return xr.Dataset(variables, coords=labels, attrs=attributes)


def _table(plan: Plan, members: xr.Dataset, name: str, factors: dict[str, np.ndarray]) -> AnovaTable:
    """The table of one output: one row a run, scenario, site and record."""
    settings = plan.study.record.decompose
    assert settings is not None
    array = members[name].transpose("member", "scenario", "site", ...)
    values = array.values
    index = np.indices(values.shape).reshape(values.ndim, -1)
    keep = np.isfinite(values.ravel()) & (members["failed"].values[index[0], index[2]] == 0)
    columns = {label: levels[index[0]] for label, levels in factors.items()}
    for axis, dim in enumerate(array.dims[1:], start=1):
        if values.shape[axis] > 1:
            coordinate = array[dim].values
            if np.issubdtype(coordinate.dtype, np.datetime64):
                coordinate = coordinate.astype("datetime64[Y]").astype(int) + 1970.0
            columns[str(dim)] = coordinate[index[axis]]
    columns = {label: column[keep] for label, column in columns.items()}
    interactions = [tuple(term) for term in settings.interactions]
    try:
        return anova(values.ravel()[keep], columns, interactions, settings.references, index[0][keep])
    except ValueError as error:
        raise plan.study.error(("decompose",), f"{name}: {error}") from None


def _variables(long_name: str, name: str, table: AnovaTable) -> dict[str, Any]:
    by_term = {
        "sum_of_squares": table.sum_of_squares,
        "degrees_of_freedom": table.freedom,
        "eta_squared": table.eta_squared,
        "f_clustered": table.f_clustered,
        "p_clustered": table.p_clustered,
        "f_independent": table.f,
        "p_independent": table.p,
    }
    by_coefficient = {
        "coefficient": np.array(list(table.coefficients.values())),
        "standard_error": np.array(list(table.standard_errors.values())),
        "p_value": np.array(list(table.p_values.values())),
    }
    variables: dict[str, Any] = {}
    for axis, group in (("parameter", by_term), ("coefficient", by_coefficient)):
        for key, values in group.items():
            text = key.replace("_", " ")
            suffix = f"{key}_value" if key == "coefficient" else key
            variables[f"{name}_{suffix}"] = (axis, values, {"long_name": f"{long_name}: {text}", "units": "1"})
    variables[f"{name}_adjusted_r2"] = ((), table.adjusted_r2, {"long_name": f"{long_name}: adjusted R2", "units": "1"})
    variables[f"{name}_r2"] = ((), table.r2, {"long_name": f"{long_name}: R2", "units": "1"})
    return variables
