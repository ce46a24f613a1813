"""The group `totals`: totals of a region by class, from the members of a finished stage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from ensemble.mapping.totals import TotalsRow, add_block, finish_totals, start_totals
from ensemble.mapping.zoning import INSIDE, OUTSIDE
from ensemble.pipeline.blocks import site_blocks, sound_members
from ensemble.plan import Plan
from ensemble.specs import OutputSpec
from ensemble.store import Store
from ensemble.units import conversion

GROUP = "totals"
SITES_AT_ONCE = 256
# Name of the class that holds every site.
ALL = "all sites"
ASSUMPTIONS = ("independent", "modelled", "dependent")


def check_totals(plan: Plan) -> None:
    """Refuse totals that cannot be made, before anything is computed.

    Raises:
        InputError: no such output or column, an area that is not a number above 0, an output that is not
            carbon per area.
    """
    settings = plan.study.record.totals
    if settings is None:
        return
    table = plan.base.sites.table
    if table is None:
        raise plan.study.error(("totals",), "totals need a site table with the area of each site; give the key sites")
    for key, column in (("area", settings.area), ("by", settings.by)):
        if column is not None and column not in table.columns:
            text = f"the site table has no column '{column}'; found: {', '.join(table.columns)}"
            raise plan.study.error(("totals", key), text)
    areas = table.numbers(settings.area)
    if (areas <= 0).any():
        row = int(np.argmax(areas <= 0))
        raise table.error(row, settings.area, f"{areas[row]:g} is not allowed; an area must be above 0")
    try:
        conversion(_output(plan).units, "t C/ha")
    except ValueError:
        text = f"{_output(plan).name} is in {_output(plan).units}; a total needs carbon per area (t C/ha, kg C m-2)"
        raise plan.study.error(("totals", "output"), text) from None


def _output(plan: Plan) -> OutputSpec:
    settings = plan.study.record.totals
    assert settings is not None
    name = settings.output or plan.outputs[0].name
    for spec in plan.outputs:
        if spec.name == name:
            return spec
    allowed = ", ".join(spec.name for spec in plan.outputs)
    raise plan.study.error(("totals", "output"), f"there is no output '{name}' in this study; allowed: {allowed}")


class Regions(NamedTuple):
    """What totals are made of.

    Args:
        output: output per area.
        hectares: area of each site, (sites,).
        labels: class of each site, (sites,).
        classes: all sites together, then every class where there are any.
    """

    output: OutputSpec
    hectares: np.ndarray
    labels: list[str]
    classes: tuple[str, ...]

    @property
    def weights(self) -> np.ndarray:
        """(sites, classes): what one unit of the output at a site adds to a total, t C."""
        inside = np.array([[name in (ALL, label) for name in self.classes] for label in self.labels])
        return inside * (self.hectares * conversion(self.output.units, "t C/ha")[0])[:, None]


def regions_of(plan: Plan) -> Regions:
    """Output, areas and classes of a study that asks for totals."""
    settings, table = plan.study.record.totals, plan.base.sites.table
    assert settings is not None and table is not None
    spec = _output(plan)
    hectares = table.numbers(settings.area) * conversion(settings.area_units, "ha")[0]
    labels = table.text(settings.by) if settings.by else [ALL] * len(plan.sites)
    classes = tuple(dict.fromkeys([ALL, *labels]))
    return Regions(spec, hectares, labels, classes)


def totals_of(plan: Plan, store: Store) -> xr.Dataset:
    """Totals of every scenario at the end of the run, t C.

    Members that failed at any site are left out of all totals. Sites are read in blocks, so memory does not
    grow with them.
    """
    spec, hectares, labels, _ = regions_of(plan)
    parts = _parts(plan, labels)
    members = store.dataset("members", without=("site",))
    sound = np.flatnonzero(sound_members(members))
    levels = tuple(plan.study.record.outputs.quantiles)
    rows = []
    for arm in range(len(plan.scenarios)):
        states = [start_totals(len(sound), len(names)) for names, _ in parts]
        array = members[spec.name].isel(scenario=arm)
        array = array.isel(time=-1) if "time" in array.dims else array
        for here, values in site_blocks(array, SITES_AT_ONCE):
            states = [
                add_block(state, values[sound], hectares[here], number[here])
                for state, (_, number) in zip(states, parts, strict=True)
            ]
        scale = conversion(spec.units, "t C/ha")[0]
        found = [finish_totals(s, names, scale, levels) for s, (names, _) in zip(states, parts, strict=True)]
        rows.append((*(row for part in found for row in part[:-1]), found[0][-1]))
    return _dataset(plan, spec, rows, levels, len(sound))


def _parts(plan: Plan, labels: list[str]) -> list[tuple[list[str], np.ndarray]]:
    """Ways to part the sites, by class and by trust in learned maps: names, and which of them each site has."""
    settings, trusted = plan.study.record.totals, plan.uncertainty.trusted
    assert settings is not None
    ways = [labels] if settings.by or trusted is None else []
    ways += [] if trusted is None else [[INSIDE if inside else OUTSIDE for inside in trusted]]
    named = [(list(dict.fromkeys(way)), way) for way in ways]
    return [(names, np.array([names.index(label) for label in way], dtype=int)) for names, way in named]


def _dataset(
    plan: Plan, spec: OutputSpec, rows: list[tuple[TotalsRow, ...]], levels: tuple[float, ...], members: int
) -> xr.Dataset:
    sd = [[[getattr(row, f"sd_{name}") for name in ASSUMPTIONS] for row in arm] for arm in rows]
    units = {"units": "t", "display_units": "t C"}
    what = f"total of {spec.long_name}"
    return xr.Dataset(
        {
            "mean": (("scenario", "class"), [[row.mean for row in arm] for arm in rows], {**units, "long_name": what}),
            "sd": (
                ("scenario", "class", "assumption"), sd,
                {**units, "long_name": f"standard deviation of the {what} with errors of sites taken as stated"},
            ),
            "quantile_of_total": (
                ("scenario", "class", "quantile"), [[list(row.quantiles.values()) for row in arm] for arm in rows],
                {**units, "long_name": f"quantile of the {what}, errors as modelled"},
            ),
            "area": ("class", [row.area for row in rows[0]], {"units": "ha", "long_name": "area"}),
        },
        {
            "scenario": list(plan.scenarios), "class": [row.name for row in rows[0]],
            "assumption": list(ASSUMPTIONS), "quantile": list(levels),
        },
        {"output": spec.name, "members": members},
    )  # fmt: skip
