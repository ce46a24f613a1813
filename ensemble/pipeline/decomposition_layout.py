"""What a decomposition looks like in the store: columns back to outputs, names, units, coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ensemble.config.stages import Decompose
from ensemble.inference.decomposition import Decomposition, Estimate, Shares
from ensemble.pipeline.layout import coordinates_of
from ensemble.plan import Plan, with_design
from ensemble.specs import OutputSpec
from ensemble.units import cf_units

LEVEL = "95 % interval: value plus or minus this"
NAMES = {
    "first_order": "share of the variance that the input causes alone",
    "total": "share of the variance that the input causes alone and together with others",
}


@dataclass(frozen=True)
class Columns:
    """Which output, scenario, site, depth and time every column of a sample is.

    Args:
        outputs: the outputs, in order; each takes a run of columns.
        shapes: scenarios, sites and own axes of every output.
        sites: (columns,) site of every column.
        pools: (columns, pools) 0/1; one pool for every output, scenario and site.
    """

    outputs: tuple[OutputSpec, ...]
    shapes: tuple[tuple[int, ...], ...]
    sites: np.ndarray
    pools: np.ndarray

    @classmethod
    def of(cls, outputs: tuple[OutputSpec, ...], shapes: Sequence[tuple[int, ...]]) -> Columns:
        """The columns of some outputs whose arrays have these shapes, (scenarios, sites, *own axes)."""
        arms, places = shapes[0][:2]
        own = [math.prod(shape[2:]) for shape in shapes]
        sites = np.concatenate([np.tile(np.repeat(np.arange(places), n), arms) for n in own])
        labels = np.concatenate([k * arms * places + np.repeat(np.arange(arms * places), n) for k, n in enumerate(own)])
        pools = (labels[:, None] == np.arange(len(outputs) * arms * places)).astype(np.float64)
        return cls(outputs, tuple(shapes), sites, pools)

    @classmethod
    def of_plan(cls, plan: Plan, outputs: tuple[OutputSpec, ...]) -> Columns:
        """The columns of some outputs of a plan."""
        arms, places = len(plan.scenarios), len(plan.sites)
        return cls.of(outputs, [(arms, places, *plan.output_shape(spec)) for spec in outputs])

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Columns (..., columns) as one array an output, (..., scenarios, sites, *own axes)."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        parts = np.split(values, ends[:-1], axis=-1)
        return [part.reshape(*part.shape[:-1], *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def split_pools(self, values: np.ndarray) -> list[np.ndarray]:
        """Pools (..., pools) as one array an output, (..., scenarios, sites)."""
        parts = np.split(values, len(self.outputs), axis=-1)
        return [part.reshape(*part.shape[:-1], *self.shapes[0][:2]) for part in parts]


def decomposition_dataset(
    columns: Columns, found: Decomposition, settings: Decompose, coordinates: xr.Dataset
) -> xr.Dataset:
    """The group ``/decomposition``: shares with half-widths of their 95 % intervals, for every output.

    Args:
        columns: what the columns are.
        found: the shares.
        settings: ``decompose`` of the study.
        coordinates: of scenario, site and the outputs' own axes.
    """
    variables: dict[str, Any] = {}
    groups = len(found.design.groups)
    for position, spec in enumerate(columns.outputs):
        writer = _Writer(columns, position, spec, variables)
        kind = "" if settings.indices == "sobol" else "Kucherenko "
        for prefix, shares in (("", found.best), ("pick_freeze_", found.audit), ("surrogate_", found.surrogate)):
            if shares is not None:
                writer.shares(prefix, shares, groups, kind)
        writer.pooled(found.best, groups)
        writer.column("variance", found.variance, "variance", units=_squared(spec.units))
        if found.shapley is not None:
            writer.by_group("shapley", found.shapley, "Shapley effect: fair share of the variance, sums to 1")
        scale = found.variance.value
        for name, part, text in (
            ("fall_if_removed", found.removed, "expected fall of the variance if the input's error were removed"),
            ("fall_if_halved", found.halved, "expected fall of the variance if the input's error were halved"),
        ):
            absolute = Estimate(part.value * scale, part.half_width * scale, part.replicates)
            writer.by_group(name, absolute, text, units=_squared(spec.units))
        if found.held_out_r2 is not None:
            writer.plain("held_out_r2", found.held_out_r2, "R2 of the surrogate on members it has not seen")
        writer.plain("rows_dropped", found.dropped.astype(np.int32), "rows that held a failed member")
    names = np.array(found.design.names)
    described = {"long_name": "uncertain input or group of them"}
    labels = {"parameter": ("parameter", names, described), "other_parameter": ("other_parameter", names, described)}
    data = xr.Dataset(variables, coords={**dict(coordinates.coords), **labels}, attrs=_attributes(found, settings))
    return (
        data
        if any("other_parameter" in entry[0] for entry in variables.values())
        else data.drop_vars("other_parameter")
    )


def coordinates_for(plan: Plan, columns: Columns) -> xr.Dataset:
    """Coordinates of the decomposed outputs of a plan."""
    return coordinates_of(with_design(plan, plan.design, columns.outputs))


def _attributes(found: Decomposition, settings: Decompose) -> dict[str, Any]:
    design = found.design
    return {
        "indices": settings.indices,
        "method": found.method,
        "notes": list(found.notes),
        "design": design.kind,
        "design_digest": design.digest(),
        "rows": design.rows,
        "members": design.members,
        "scrambles": design.replicates,
        "rough_intervals": int(found.rough),
        "widest_half_width": found.widest,
        "groups": [f"{name}: {', '.join(members)}" for name, members in design.groups],
        "series": list(design.series),
        "interval": "95 %; from 16 independent scrambles, or from the surrogate's folds and what it misses",
    }


def _squared(units: str) -> str:
    return "1" if units == "1" else f"({cf_units(units)})2"


@dataclass(frozen=True)
class _Writer:
    """Adds the variables of one output."""

    columns: Columns
    position: int
    spec: OutputSpec
    variables: dict[str, Any]

    def shares(self, prefix: str, shares: Shares, groups: int, kind: str) -> None:
        """First-order and total effects, and second-order ones where there are any."""
        for k, (name, text) in enumerate(NAMES.items()):
            rows = slice(k * groups, (k + 1) * groups)
            self.by_group(prefix + name, _rows(shares.each, rows), kind + text)
        pairs = groups * (groups - 1) // 2
        if prefix or len(shares.each.value) == 2 * groups or shares.each.value.shape[0] < 2 * groups + 2 * pairs:
            return
        for k, (name, text) in enumerate(
            {
                "closed": "share of the variance that two inputs cause alone and together",
                "interaction": "share of the variance that two inputs cause together only",
            }.items()
        ):
            start = 2 * groups + k * pairs
            self._matrix(name, _rows(shares.each, slice(start, start + pairs)), text, groups)

    def pooled(self, shares: Shares, groups: int) -> None:
        """Generalised effects of the whole series or profile."""
        for k, (name, text) in enumerate(NAMES.items()):
            rows = _rows(shares.pooled, slice(k * groups, (k + 1) * groups))
            for suffix, values in (("", rows.value), ("_half_width", rows.half_width)):
                array = self.columns.split_pools(values)[self.position]
                note = LEVEL if suffix else f"{text}, of all times and depths together"
                self._add(f"generalised_{name}{suffix}", ("parameter", "scenario", "site"), array, note, "1")

    def by_group(self, name: str, estimate: Estimate, text: str, units: str = "1") -> None:
        """A value with its interval for every group."""
        self._both(name, ("parameter",), estimate.value, estimate.half_width, text, units)

    def column(self, name: str, estimate: Estimate, text: str, units: str) -> None:
        """A value with its interval."""
        self._both(name, (), estimate.value, estimate.half_width, text, units)

    def plain(self, name: str, values: np.ndarray, text: str) -> None:
        """A value without an interval."""
        self._add(name, self._dims(()), self.columns.split(values)[self.position], text, "1")

    def _matrix(self, name: str, estimate: Estimate, text: str, groups: int) -> None:
        one, other = np.triu_indices(groups, 1)
        found = []
        for values in (estimate.value, estimate.half_width):
            full = np.full((groups, groups, values.shape[-1]), np.nan)
            full[one, other] = full[other, one] = values
            found.append(full)
        self._both(name, ("parameter", "other_parameter"), found[0], found[1], text, "1")

    def _both(
        self, name: str, lead: tuple[str, ...], value: np.ndarray, width: np.ndarray, text: str, units: str
    ) -> None:
        for suffix, values, note in (("", value, text), ("_half_width", width, LEVEL)):
            self._add(name + suffix, self._dims(lead), self.columns.split(values)[self.position], note, units)

    def _dims(self, lead: tuple[str, ...]) -> tuple[str, ...]:
        return (*lead, "scenario", "site", *self.spec.dims)

    def _add(self, name: str, dims: tuple[str, ...], values: np.ndarray, text: str, units: str) -> None:
        attributes = {"long_name": f"{self.spec.long_name}: {text}", "units": units}
        if units != "1":
            attributes["display_units"] = f"({self.spec.units})2"
        self.variables[f"{self.spec.name}_{name}"] = (dims, values, attributes)


def _rows(estimate: Estimate, rows: slice) -> Estimate:
    return Estimate(estimate.value[rows], estimate.half_width[rows], estimate.replicates[..., rows, :])
