"""One year of the column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models import protection
from ensemble.models.column.decay import decay_months, decay_year
from ensemble.models.column.layers import Layers
from ensemble.models.column.pedogenesis import CHARGE_OF_CALCITE, Minerals, metals_in_solution, weather_year
from ensemble.models.column.site import (
    BASES,
    CALCITE,
    CLAY_1_1,
    CLAY_2_1,
    POOLS,
    TOPSOIL_DEPTH,
    TRACERS,
    WEATHERABLE,
    Site,
    reach,
)  # fmt: skip
from ensemble.models.column.transport import add_top, blend, remove_top
from ensemble.models.hydraulics import ORGANIC_MATTER_PER_CARBON, water_content, wosten_retention

WET, DRY = 20.0, 600.0  # hPa: meso and micro pores hold water to the first, micro pores to the second
LEAST_ORGANIC_MATTER = 0.1  # %; the hydraulic equations hold 1 / OM and log OM


class Column(NamedTuple):
    """State of the column.

    Args:
        soil: content of the layers, shape (tracers, layers); rows as in :mod:`ensemble.models.column.site`.
        litter: ectorganic layer by pool, t C ha-1, shape (4,).
        below: calcite already leached from underneath the column, kg m-2.
    """

    soil: jax.Array
    litter: jax.Array
    below: jax.Array


class Year(NamedTuple):
    """Drivers of one year; units as in the record, depths in cm."""

    crop: jax.Array
    harvest: jax.Array
    plough_depth: jax.Array
    erosion: jax.Array
    deposition: jax.Array
    lime: jax.Array
    base_addition: jax.Array
    clay_addition: jax.Array
    mineral_addition: jax.Array


class Flows(NamedTuple):
    """What crossed the boundary of the column in a year.

    Args:
        carbon_input, co2, soc_lost: t C ha-1.
        calcite_leached: kg m-2; bases_leached: mol_c m-2.
        imbalance: carbon (t C ha-1), calcite (kg m-2) and charge of bases (mol_c m-2) that appeared, shape (3,).
        gained: carbon, calcite and charge of bases that came in, shape (3,).
    """

    carbon_input: jax.Array
    co2: jax.Array
    soc_lost: jax.Array
    calcite_leached: jax.Array
    bases_leached: jax.Array
    imbalance: jax.Array
    gained: jax.Array


class Choices(NamedTuple):
    """Static choices that shape the compiled year."""

    layers: Layers
    mechanism: str
    smooth: bool
    monthly: bool
    mixing_steps: int
    event_depth: float
    rounds: int


def budgets(soil: jax.Array, litter: jax.Array) -> jax.Array:
    """Carbon (t C ha-1), calcite (kg m-2) and bases (mol_c m-2) in the column, shape (3,)."""
    totals = soil.sum(axis=1)
    return jnp.stack([totals[POOLS].sum() + litter.sum(), totals[CALCITE], totals[BASES] + totals[WEATHERABLE]])


def step(state: Column, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices) -> tuple[Column, Flows]:
    """One year: erosion and deposition, additions, ploughing, decay and bioturbation, pedogenesis."""
    before = budgets(state.soil, state.litter)
    soil, litter, below, left, entered = _surface(state, year, site, choices)
    soil, litter, added = _manage(soil, litter, year, site, choices.layers)
    protected = modifiers(soil, site, inputs, choices)[0]
    soil, litter, arrived, co2 = turnover(soil, litter, year, site, inputs, choices, protected)
    minerals, leached = weather_year(Minerals(*soil[CALCITE:]), site.weathering)
    soil = jnp.concatenate([soil[POOLS], jnp.stack(minerals)])
    after = budgets(soil, litter)
    gained = entered + added + jnp.stack([arrived, 0.0 * arrived, leached.calcite * CHARGE_OF_CALCITE])
    gone = left + jnp.stack([co2, leached.calcite, leached.bases])
    flows = Flows(
        arrived, co2, left[0] - entered[0], leached.calcite, leached.bases, after - before - gained + gone, gained
    )
    return Column(soil, litter, below + leached.below), flows


def _surface(
    state: Column, year: Year, site: Site, choices: Choices
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
    """Erosion and deposition: new soil, litter and reserve below, and the budgets that left and entered."""
    thickness = jnp.asarray(choices.layers.thickness, state.soil.dtype)
    calcite = site.parent[CALCITE] * year.erosion
    decalcified = jnp.minimum(state.below, calcite)
    # what comes up from below has lost its calcite where percolation already reached it
    fresh = calcite - decalcified
    moving = year.erosion > 0.0
    material = site.parent.at[CALCITE].set(jnp.where(moving, fresh / jnp.where(moving, year.erosion, 1.0), 0.0))
    soil, eroded = remove_top(state.soil, year.erosion, thickness, material, choices.rounds)
    # an event takes the whole ectorganic layer, a year of continuous erosion its part of an event
    kept = jnp.maximum(0.0, 1.0 - year.erosion / choices.event_depth)
    soil, buried = add_top(soil, year.deposition, thickness, site.parent)
    entered = budgets((material * year.erosion + site.parent * year.deposition)[:, None], jnp.zeros(4, soil.dtype))
    left = budgets((eroded + buried)[:, None], state.litter * (1.0 - kept))
    return soil, state.litter * kept, state.below - decalcified, left, entered


def _manage(
    soil: jax.Array, litter: jax.Array, year: Year, site: Site, layers: Layers
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Additions at the surface, then ploughing, which also buries the ectorganic layer."""
    zero = jnp.zeros_like(year.lime)
    amounts = jnp.stack([zero] * 4 + [year.lime, year.base_addition, zero, year.clay_addition, year.mineral_addition])
    soil = soil + amounts[:, None] * site.surface
    ploughed = reach(layers, year.plough_depth)
    working = year.plough_depth > 0.0
    mass = ploughed * site.mass
    share = jnp.where(working, mass / jnp.where(working, mass.sum(), 1.0), site.surface)
    buried = jnp.where(working, litter, 0.0)
    buried_rows = jnp.concatenate([buried, jnp.zeros(TRACERS - 4, soil.dtype)])
    soil = blend(soil, ploughed, share) + buried_rows[:, None] * share
    added = jnp.stack([zero, year.lime, year.base_addition + year.mineral_addition])
    return soil, litter - buried, added


def modifiers(soil: jax.Array, site: Site, inputs: Mapping[str, Any], choices: Choices) -> tuple[jax.Array, jax.Array]:
    """Protection of each layer: the rate modifier, and the number of the mechanism that is strongest (0: none).

    Returns:
        Two arrays of shape (layers,); the second is 0 where the modifier is 1.
    """
    wanted = protection.MECHANISMS if choices.mechanism == "all" else (choices.mechanism,)
    saturation = soil[BASES] / site.weathering.capacity
    found = {}
    if "clay" in wanted:
        found["clay"] = protection.clay_modifier(soil[CLAY_1_1], soil[CLAY_2_1], inputs["clay_floor"])
    if "mooh" in wanted:
        found["mooh"] = protection.mooh_modifier(metals_in_solution(saturation), inputs["mooh_strength"])
    if "aggregation" in wanted:
        calcite = soil[CALCITE] / site.mass
        by = inputs["aggregation_bases"], inputs["aggregation_calcite"]
        found["aggregation"] = protection.aggregation_modifier(saturation, calcite, *by)
    if "pores" in wanted:
        found["pores"] = protection.pore_modifier(*_pores(soil, site, inputs, choices.layers), inputs["pore_floor"])
    least = protection.strongest(list(found.values()), inputs["minimum_width"] if choices.smooth else None)
    applies = jnp.broadcast_to(jnp.asarray(least, site.mass.dtype), site.mass.shape)
    number = jnp.zeros_like(applies)
    least = jnp.ones_like(applies)
    for name, modifier in found.items():
        number = jnp.where(modifier < least, 1.0 + protection.MECHANISMS.index(name), number)
        least = jnp.minimum(least, modifier)
    return applies, number


def _pores(soil: jax.Array, site: Site, inputs: Mapping[str, Any], layers: Layers) -> tuple[jax.Array, jax.Array]:
    """Water contents at -20 and -600 hPa, which follow the organic matter of each layer."""
    percent = 10.0 * soil[POOLS].sum(axis=0) / site.mass  # t C ha-1 = 0.1 kg m-2
    organic = jnp.maximum(LEAST_ORGANIC_MATTER, ORGANIC_MATTER_PER_CARBON * percent)
    topsoil = jnp.asarray(layers.middle < TOPSOIL_DEPTH, organic.dtype)
    curve = wosten_retention(inputs["clay"], inputs["silt"], organic, inputs["bulk_density"], topsoil)
    return water_content(curve, WET), water_content(curve, DRY)


def turnover(
    soil: jax.Array, litter: jax.Array, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices,
    protected: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:  # fmt: skip
    """Inputs, decay and bioturbation; also the carbon that arrived and the carbon respired."""
    plants, parts = site.plants, choices.mixing_steps
    natural, crop = (1.0 - year.crop) * (1.0 - year.harvest), year.crop * (1.0 - year.harvest)
    arriving = natural * plants.litter[0] + crop * plants.litter[1]
    modifier = site.seasons[0] + year.crop * (site.seasons[1] - site.seasons[0])
    rates = modifier * jnp.concatenate([protected, jnp.ones_like(protected[:1])])
    mixing = -jnp.expm1(-site.mixing / parts) * site.reached
    moving = -jnp.expm1(-site.incorporation / parts)

    def part(carry: tuple[jax.Array, ...], rates: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
        soil, litter = carry
        pools = jnp.concatenate([soil[POOLS], litter[:, None]], axis=1)
        if choices.monthly:
            pools, respired = decay_months(pools, rates, arriving / 12.0, site.kinetics)
        else:
            pools, respired = decay_year(pools, rates[0], arriving / parts, site.modes)
        moved = pools[:, -1] * moving
        mixed = pools[:, :-1] + moved[:, None] * site.surface
        return (
            blend(jnp.concatenate([mixed, soil[CALCITE:]]), mixing, site.share),
            pools[:, -1] - moved,
        ), respired.sum()

    (soil, litter), respired = jax.lax.scan(part, (soil, litter), rates, unroll=parts == 1)
    return soil, litter, arriving.sum(), respired.sum()
