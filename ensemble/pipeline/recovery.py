"""The group `recovery`: years that scenarios take to reach the stock of another again, against their deficit."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.pipeline.credits import project_records
from ensemble.pipeline.stock_checks import check_scenario, check_stock_output
from ensemble.plan import Plan
from ensemble.store import Store

GROUP = "recovery"
DIMS = ("member", "scenario", "site")
STOCK = {"units": "t ha-1", "display_units": "t C/ha"}


def check_recovery(plan: Plan) -> None:
    """Refuse recovery times that cannot be made, before anything is computed.

    Raises:
        InputError: an unknown scenario or output, a scenario that is its own reference, a start without a year after it.
    """
    settings = plan.study.record.recovery
    if settings is None:
        return
    for name in outputs_of(plan):
        check_stock_output(plan, GROUP, name, "outputs")
    for name, reference in settings.references.items():
        key = (GROUP, "references", name)
        for scenario in (name, reference):
            check_scenario(plan, key, scenario)
        if name == reference:
            raise plan.study.error(key, f"'{name}' is its own reference; name the scenario whose stock it is to reach")
    times = plan.times()
    assert times is not None
    _, years = project_records(times, None, None)
    if not years[0] <= settings.start < years[-1]:
        text = f"start is {settings.start}; allowed: {years[0]} to {years[-1] - 1}, years that one of the run follows"
        raise plan.study.error((GROUP, "start"), text)


def outputs_of(plan: Plan) -> tuple[str, ...]:
    """The stocks that are followed."""
    settings = plan.study.record.recovery
    assert settings is not None
    return tuple(settings.outputs or (plan.outputs[0].name,))


def recovery_of(plan: Plan, store: Store) -> xr.Dataset:
    """Difference from the reference at the start, and years until it has closed, by member, scenario and site."""
    settings = plan.study.record.recovery
    assert settings is not None
    members = store.dataset("members")
    positions, years = project_records(members["time"].values, settings.start + 1, None)
    failed = members["failed"].values[:, None, :] != 0
    variables: dict[str, Any] = {}
    for name in outputs_of(plan):
        pairs = [
            _recovered(members[name], positions, years, pair, settings.within) for pair in settings.references.items()
        ]
        gaps, times = (np.where(failed, np.nan, np.stack(parts, axis=1)) for parts in zip(*pairs, strict=True))
        what = str(members[name].attrs.get("long_name", name))
        variables[f"{name}_difference"] = (
            DIMS, gaps, {**STOCK, "long_name": f"{what}: stock less that of the reference at the start"},
        )  # fmt: skip
        variables[f"{name}_years"] = (
            DIMS, times, {"units": "year", "long_name": f"{what}: years until the reference is reached, missing if never"},
        )  # fmt: skip
    attributes = {
        "start": int(years[0]), "end": int(years[-1]), "within": settings.within, "outputs": list(outputs_of(plan)),
        "references": [f"{name}: {reference}" for name, reference in settings.references.items()],
    }  # fmt: skip
    coordinates = {"member": members["member"], "scenario": list(settings.references), "site": list(plan.sites)}
    return xr.Dataset(variables, coordinates, attributes)


def _recovered(
    stock: xr.DataArray, positions: np.ndarray, years: np.ndarray, pair: tuple[str, str], within: float
) -> tuple[np.ndarray, np.ndarray]:
    """Difference at the start and years until it has closed, each ``(member, site)``; one scenario is read at a time."""
    one, other = (stock.sel(scenario=arm).isel(time=positions).transpose("member", "site", "time").values.astype(float)
                  for arm in pair)  # fmt: skip
    return one[..., 0] - other[..., 0], years_to_close(one - other, years, within)


def years_to_close(gap: np.ndarray, years: np.ndarray, within: float) -> np.ndarray:
    """Years from the first record until the gap is small for the first time.

    Args:
        gap: difference from the reference, shape (..., records).
        years: of the records, shape (records,).
        within: size of a gap that counts as closed, same unit.

    Returns:
        0 where it is closed at the first record, missing where it never closes; shape (...).
    """
    closed = np.abs(gap) <= within
    found = (years - years[0])[closed.argmax(axis=-1)].astype(float)
    return np.where(closed.any(axis=-1), found, np.nan)
