"""The group `indicators`: trends, persistence, clustering and inequality of every member of a finished stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ensemble.config.stages import Indicator
from ensemble.indicators import (
    Weights,
    contiguity_weights,
    distance_weights,
    distribution,
    gini,
    global_moran,
    hurst,
    hurst_of_noise,
    linear_trend,
    local_moran,
    nearest_weights,
    sequential_mann_kendall,
)
from ensemble.inputs.geodesy import geocentric
from ensemble.inputs.tables import read_table
from ensemble.pipeline.blocks import sound_members
from ensemble.plan import Plan
from ensemble.specs import OutputSpec
from ensemble.store import Store

GROUP = "indicators"
# Members are taken in blocks, so that permutations stay in memory.
MEMBERS_AT_ONCE = 256
OVER_TIME = ("trend", "mann_kendall", "hurst")
Named = Mapping[str, tuple[tuple[str, ...], np.ndarray]]


def check_indicators(plan: Plan) -> None:
    """Refuse indicators that cannot be computed, before anything is.

    Raises:
        InputError: no such output, a statistic along an axis that the output does not have, a series that is too
            short, or weights that isolate a site or lack coordinates.
    """
    for label, entry in plan.study.record.indicators.items():
        key = ("indicators", label)
        spec = _output(plan, label, entry)
        if entry.kind in OVER_TIME and "time" not in spec.dims:
            raise plan.study.error(key, f"{entry.kind} runs along time, and {spec.name} has no time axis")
        if set(spec.dims) - {"time"}:
            raise plan.study.error((*key, "output"), f"{spec.name} has the axes {', '.join(spec.dims)}; allowed: time")
        length = plan.output_shape(spec)[-1] if entry.kind in OVER_TIME else len(plan.sites)
        try:
            statistic(entry, np.zeros((1, length)), weights_of(plan, label, entry))
        except ValueError as error:
            raise plan.study.error(key, str(error)) from None


def _output(plan: Plan, label: str, entry: Indicator) -> OutputSpec:
    for spec in plan.outputs:
        if spec.name == entry.output:
            return spec
    allowed = ", ".join(spec.name for spec in plan.outputs)
    text = f"there is no output '{entry.output}' in this study; allowed: {allowed}"
    raise plan.study.error(("indicators", label, "output"), text)


def weights_of(plan: Plan, label: str, entry: Indicator) -> Weights | None:
    """Weights between the sites, from borders or from the coordinates of the site table."""
    settings = entry.weights
    if settings is None:
        return None
    key = ("indicators", label, "weights")
    if settings.rule == "contiguity":
        assert settings.borders is not None
        file = plan.study.path(settings.borders)
        table = read_table(file, plan.study.error(key, f"the file {file} does not exist"))
        pairs = zip(table.text("first"), table.text("second"), strict=True)
        return contiguity_weights(pairs, plan.sites).by_row()
    table = plan.base.sites.table
    if table is None or "longitude" not in table.columns or "latitude" not in table.columns:
        raise plan.study.error(key, "neighbours need the columns longitude and latitude in the site table")
    points = geocentric(table.numbers("longitude"), table.numbers("latitude"))
    if settings.rule == "nearest":
        assert settings.neighbours is not None
        return nearest_weights(points, settings.neighbours, plan.sites).by_row()
    assert settings.radius is not None
    return distance_weights(points, settings.radius, settings.power, plan.sites).by_row()


def indicators_of(plan: Plan, store: Store) -> xr.Dataset:
    """Every indicator of the study: its value for each member, and its distribution over them.

    Members that failed at any site are missing. Along time a site has a value of its own, dims (member,
    scenario, site); over sites a scenario has one, or one a site for local statistics.
    """
    members = store.dataset("members")
    sound = sound_members(members)
    levels = tuple(sorted(plan.study.record.outputs.quantiles))
    variables: dict[str, Any] = {}
    for label, entry in plan.study.record.indicators.items():
        named = _of_members(plan, label, entry, members, sound)
        for name, (dims, values) in named.items():
            variables |= _variables(f"{label}_{name}", dims, values, sound, levels, _described(entry, name))
        if entry.kind == "hurst":
            variables[f"{label}_exponent"][2]["without_memory"] = _noise_range(members.sizes["time"], entry)
    axes = [axis for axis in ("scenario", "site", "time") if axis in members.coords]
    coordinates = {axis: members[axis] for axis in axes}
    return xr.Dataset(variables, coords={**coordinates, "quantile": list(levels)}).assign_coords(
        member=members["member"]
    )


def _noise_range(steps: int, entry: Indicator) -> str:
    _, lower, upper = hurst_of_noise(steps, entry.detrend)
    return f"{steps} independent values give {lower:.2f} to {upper:.2f} in 95 % of the cases"


def _of_members(plan: Plan, label: str, entry: Indicator, members: xr.Dataset, sound: np.ndarray) -> Named:
    weights, rows = weights_of(plan, label, entry), np.flatnonzero(sound)
    parts: list[Named] = []
    for start in range(0, len(rows), MEMBERS_AT_ONCE):
        block = members[entry.output].isel(member=rows[start : start + MEMBERS_AT_ONCE])
        if entry.kind not in OVER_TIME:
            if "time" in block.dims:
                block = block.isel(time=-1) if entry.of == "end" else block.mean("time")
            block = block.transpose("member", "scenario", "site")
        parts.append(statistic(entry, block.values, weights))
    return {name: (dims, np.concatenate([part[name][1] for part in parts])) for name, (dims, _) in parts[0].items()}


def statistic(entry: Indicator, values: np.ndarray, weights: Weights | None) -> Named:
    """Named results of one indicator with the axes that follow ``member`` and ``scenario``.

    Args:
        entry: what is asked for.
        values: shape (..., n): time last for statistics along time, sites last for the others.
        weights: between the sites, for Moran.

    Raises:
        ValueError: the series or the number of sites is too short.
    """
    if entry.kind == "trend":
        line = linear_trend(values)
        return {"slope": (("site",), line.slope), "p_value": (("site",), line.p_value)}
    if entry.kind == "mann_kendall":
        found = sequential_mann_kendall(values)
        timed = ("site", "time")
        changed = np.concatenate([found.changes[..., :1] * False, found.changes], axis=-1)
        return {
            "forward": (timed, found.forward),
            "backward": (timed, found.backward),
            "changed": (timed, changed.astype(np.float64)),
        }
    if entry.kind == "hurst":
        return {"exponent": (("site",), hurst(values, entry.detrend).exponent)}
    if entry.kind == "gini":
        forms = gini(values)
        return {name: ((), np.asarray(getattr(forms, name))) for name in ("sum", "weighted", "normalised")}
    assert weights is not None
    if entry.kind == "moran":
        whole = global_moran(values, weights, entry.permutations)
        return {"statistic": ((), whole.statistic), "p_value": ((), whole.p_value)}
    near = local_moran(values, weights, entry.permutations)
    kinds = ("high_high", "low_high", "low_low", "high_low")
    marked = {name: (("site",), (near.quadrant == k + 1) & (near.p_value < 0.05)) for k, name in enumerate(kinds)}
    return {"statistic": (("site",), near.statistic)} | {n: (d, v.astype(np.float64)) for n, (d, v) in marked.items()}


def _described(entry: Indicator, name: str) -> str:
    return f"{entry.kind.replace('_', ' ')} of {entry.output}: {name.replace('_', ' ')}"


def _variables(
    name: str, dims: tuple[str, ...], values: np.ndarray, sound: np.ndarray, levels: tuple[float, ...], what: str
) -> dict[str, Any]:
    """A result by member, and its mean, standard deviation and quantiles over members."""
    axes = ("scenario", *dims)
    everyone = np.full((len(sound), *values.shape[1:]), np.nan, np.float32)
    everyone[sound] = values
    over = distribution(values, levels)
    return {
        name: (("member", *axes), everyone, {"long_name": what}),
        f"{name}_mean": (axes, over.mean, {"long_name": f"mean over members of {what}"}),
        f"{name}_sd": (axes, over.sd, {"long_name": f"standard deviation over members of {what}"}),
        f"{name}_above_zero": (
            axes,
            over.above_zero,
            {"long_name": f"share of members above zero, {what}", "units": "1"},
        ),
        f"{name}_quantile": (("quantile", *axes), over.quantiles, {"long_name": f"quantile over members of {what}"}),
    }
