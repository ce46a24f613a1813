"""The group `sequestration`: stocks and yearly rates of scenarios per site, and of the region from joint draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.config.stages import Sequestration
from ensemble.design import ChosenDesign, corners
from ensemble.mapping.rates import CornerUncertainty, Spread, corner_uncertainty, percent, spread
from ensemble.pipeline.blocks import sound_members
from ensemble.pipeline.credits import project_records
from ensemble.pipeline.stock_checks import check_scenario, check_stock_output
from ensemble.plan import Plan, with_design
from ensemble.propagate import propagate
from ensemble.store import Store

GROUP = "sequestration"
SITES_AT_ONCE = 256
STOCK, RATE = {"units": "t ha-1", "display_units": "t C/ha"}, {"units": "t ha-1 year-1", "display_units": "t C/ha/yr"}
TOTAL, PERCENT, SHARE = (
    {"units": "t year-1", "display_units": "t C/yr"},
    {"units": "percent", "display_units": "%"},
    {"units": "1"},
)
QUANTITIES = {
    "initial_stock": (STOCK, "carbon stock at t0"),
    "final_stock": (STOCK, "carbon stock at the end"),
    "absolute_rate": (RATE, "mean yearly change of the stock since t0"),
    "relative_rate": (RATE, "mean yearly gain against business as usual"),
}
PARTS = {
    "mean": (None, "mean of the {}"),
    "sd": (None, "standard deviation over members of the {}"),
    "lower": (None, "2.5 percentile of the {}"),
    "upper": (None, "97.5 percentile of the {}"),
    "uncertainty": (PERCENT, "half of the 95 % interval over the mean of the {}"),
    "probability_gain": (SHARE, "probability that it is above 0: {}"),
}
SITES, ARMS = ("site",), ("scenario", "site")


def check_sequestration(plan: Plan) -> None:
    """Refuse rates that cannot be made, before anything is computed.

    Raises:
        InputError: an unknown scenario, output or uncertain entry; years outside the run; a single member.
    """
    settings = plan.study.record.sequestration
    if settings is None:
        return
    check_scenario(plan, (GROUP, "usual"), settings.usual)
    check_stock_output(plan, GROUP, settings.output)
    times = plan.times()
    assert times is not None
    try:
        project_records(times, settings.start + 1, settings.end)
    except ValueError as error:
        raise plan.study.error((GROUP, "start"), str(error)) from None
    if plan.members < 2:
        raise plan.study.error((GROUP,), "rates need uncertainty; give uncertain")
    streams = [scalar.label for scalar in plan.uncertainty.scalars]
    for name in settings.corners:
        if name not in streams:
            text = f"there is no entry of uncertain called '{name}' that is one number; allowed: {', '.join(streams)}"
            raise plan.study.error((GROUP, "corners", name), text)
    if settings.corners and plan.uncertainty.options:
        raise plan.study.error((GROUP, "corners"), "extreme runs take one model; leave options out of uncertain")


def sequestration_of(plan: Plan, store: Store) -> xr.Dataset:
    """Everything about the scenarios between t0 and the end; sites are read in blocks, so memory stays flat."""
    settings = plan.study.record.sequestration
    assert settings is not None
    members = store.dataset("members")
    positions, years = project_records(members["time"].values, settings.start + 1, settings.end)
    usual, span = plan.scenarios.index(settings.usual), float(years[-1] - years[0])
    sound = sound_members(members)
    areas, blocks = _hectares(plan), []
    sums = {name: np.zeros((int(sound.sum()), len(plan.scenarios))) for name in ("absolute_rate", "relative_rate")}
    for start in range(0, len(plan.sites), SITES_AT_ONCE):
        here = slice(start, start + SITES_AT_ONCE)
        ends = [members[settings.output].isel(site=here, time=int(positions[k])).values.astype(float) for k in (0, -1)]
        failed = members["failed"].isel(site=here).values[:, None] != 0
        first, last = (np.where(failed, np.nan, stock) for stock in ends)
        rates = {"absolute_rate": (last - first) / span, "relative_rate": (last - last[:, usual, None]) / span}
        blocks.append(
            {
                "initial_stock": spread(first[:, usual]),
                "final_stock": spread(last),
                **{k: spread(v) for k, v in rates.items()},
            }
        )
        for name, rate in rates.items():
            sums[name] += 0.0 if areas is None else rate[sound] @ areas[here]
    variables = _of_sites(blocks) | ({} if areas is None else _of_region(sums))
    variables |= _corners(plan, settings, positions) if settings.corners else {}
    attributes = {
        "usual": settings.usual, "t0": int(years[0]), "end": int(years[-1]), "members": plan.members,
        "area_ha": float("nan" if areas is None else areas.sum()), "references": "FAO GSOCseq technical specifications, Eqs 2.1, 2.2, 12.1-12.7",
    }  # fmt: skip
    return xr.Dataset(variables, {"scenario": list(plan.scenarios), "site": list(plan.sites)}, attributes)


def _hectares(plan: Plan) -> np.ndarray | None:
    """Area of each site; ``None`` where the table has none."""
    table = plan.base.sites.table
    return table.numbers("area_ha") if table is not None and "area_ha" in table.columns else None


def _of_sites(blocks: list[dict[str, Spread]]) -> dict[str, Any]:
    found = {}
    for name, (units, what) in QUANTITIES.items():
        dims = SITES if name == "initial_stock" else ARMS
        for part, (own, text) in PARTS.items():
            if part == "probability_gain" and name.endswith("stock"):
                continue
            values = np.concatenate([getattr(block[name], part) for block in blocks], axis=-1)
            found[f"{name}_{part}"] = (dims, values, {**(own or units), "long_name": text.format(what)})
    return found


def _of_region(sums: dict[str, np.ndarray]) -> dict[str, Any]:
    """Rates of all sites together, from joint draws of the members that failed nowhere."""
    found = {}
    for name, draws in sums.items():
        whole = spread(draws)
        for part in ("mean", "lower", "upper", "uncertainty"):
            own, text = PARTS[part]
            what = text.format(f"{QUANTITIES[name][1]}, all sites together")
            found[f"total_{name}_{part}"] = ("scenario", getattr(whole, part), {**(own or TOTAL), "long_name": what})
    return found


def _corners(plan: Plan, settings: Sequestration, positions: np.ndarray) -> dict[str, Any]:
    """Three runs per site: central, least and most carbon; what GSOCseq makes of them."""
    changes = {scalar.label: settings.corners.get(scalar.label, 0.0) for scalar in plan.uncertainty.scalars}
    design: ChosenDesign = corners(changes)
    spec = next(spec for spec in plan.outputs if spec.name == settings.output)
    extreme = with_design(plan, design, (spec,))
    stocks = np.full((3, len(plan.scenarios), len(plan.sites), 2), np.nan)
    for result in propagate(extreme, range(extreme.tiling.count)):
        tile = result.tile
        here = slice(tile.first_site, tile.first_site + tile.sites)
        members = slice(tile.first_member, tile.first_member + tile.members)
        ends = result.outputs[settings.output][..., [int(positions[0]), int(positions[-1])]].astype(float)
        stocks[members, :, here] = np.where(result.failed[:, None, :, None] != 0, np.nan, ends)
    usual = plan.scenarios.index(settings.usual)
    central, width = stocks[0], stocks[2] - stocks[1]
    wide = percent(width, central)
    first, last = central[..., 0], central[..., 1]
    absolute = corner_uncertainty(last, first, wide[..., 1], wide[..., 0])
    relative = corner_uncertainty(last, last[usual], wide[..., 1], wide[usual, :, 1])
    relative = CornerUncertainty(
        *(np.where(np.arange(len(plan.scenarios))[:, None] == usual, np.nan, u) for u in relative)
    )
    text = "uncertainty of two extreme runs: {}"
    found: dict[str, Any] = {
        "initial_stock_corner_uncertainty": (SITES, wide[usual, :, 0], text.format(QUANTITIES["initial_stock"][1])),
        "final_stock_corner_uncertainty": (ARMS, wide[..., 1], text.format(QUANTITIES["final_stock"][1])),
    }
    for name, both in (("absolute_rate", absolute), ("relative_rate", relative)):
        what = QUANTITIES[name][1]
        found[f"{name}_corner_uncertainty"] = (ARMS, both.manual, f"{text.format(what)}, by Eq. 12.2")
        found[f"{name}_script_uncertainty"] = (ARMS, both.script, f"{text.format(what)}, over the sum of the stocks")
    return {name: (dims, values, {**PERCENT, "long_name": what}) for name, (dims, values, what) in found.items()}
