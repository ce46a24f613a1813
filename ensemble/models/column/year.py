"""One year of the column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models import protection
from ensemble.models.column.decay import decay_months, decay_year
from ensemble.models.column.layers import Layers
from ensemble.models.column.members import along_layers, at_once, summed
from ensemble.models.column.pedogenesis import CHARGE_OF_CALCITE, metals_in_solution, weather_year
from ensemble.models.column.site import Site, Soil, reach
from ensemble.models.column.transport import add_top, blend, remove_top
from ensemble.models.decomposition import Pools
from ensemble.models.hydraulics import ORGANIC_MATTER_PER_CARBON, water_content, with_organic_matter

WET, DRY = 20.0, 600.0  # hPa: meso and micro pores hold water to the first, micro pores to the second
SOIL, ECTORGANIC = slice(None, -1), slice(-1, None)
LEAST_ORGANIC_MATTER = 0.1  # %; the hydraulic equations hold 1 / OM and log OM


class Column(NamedTuple):
    """State of the column.

    Args:
        soil: content of the layers.
        litter: ectorganic layer by pool, t C ha-1, scalars.
        below: calcite already leached from underneath the column, kg m-2.
    """

    soil: Soil
    litter: Pools
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


def budgets(soil: Soil, litter: Pools) -> jax.Array:
    """Carbon (t C ha-1), calcite (kg m-2) and bases (mol_c m-2) in the column, shape (3,)."""
    minerals = soil.minerals
    carbon = summed(soil.pools.total) + litter.total
    return jnp.stack([carbon, summed(minerals.calcite), summed(minerals.bases + minerals.weatherable)])


def step(state: Column, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices) -> tuple[Column, Flows]:
    """One year: erosion and deposition, additions, ploughing, decay and bioturbation, pedogenesis."""
    before = budgets(state.soil, state.litter)
    soil, litter, below, left, entered = _surface(state, year, site, choices)
    soil, litter, added = _manage(soil, litter, year, site, choices.layers)
    protected = modifiers(soil, site, inputs, choices)[0]
    soil, litter, arrived, co2 = turnover(soil, litter, year, site, inputs, choices, protected)
    minerals, leached = weather_year(soil.minerals, site.weathering)
    soil = Soil(soil.pools, minerals)
    after = budgets(soil, litter)
    gained = entered + added + jnp.stack([arrived, 0.0 * arrived, leached.calcite * CHARGE_OF_CALCITE])
    gone = left + jnp.stack([co2, leached.calcite, leached.bases])
    flows = Flows(
        arrived, co2, left[0] - entered[0], leached.calcite, leached.bases, after - before - gained + gone, gained
    )
    return Column(soil, litter, below + leached.below), flows


def _surface(
    state: Column, year: Year, site: Site, choices: Choices
) -> tuple[Soil, Pools, jax.Array, jax.Array, jax.Array]:
    """Erosion and deposition: new soil, litter and reserve below, and the budgets that left and entered."""
    thickness = along_layers(choices.layers.thickness, state.soil.pools.dpm)
    calcite = site.parent.minerals.calcite * year.erosion
    decalcified = jnp.minimum(state.below, calcite)
    # what comes up from below has lost its calcite where percolation already reached it
    moving = year.erosion > 0.0
    fresh = jnp.where(moving, (calcite - decalcified) / jnp.where(moving, year.erosion, 1.0), 0.0)
    material = Soil(site.parent.pools, site.parent.minerals._replace(calcite=fresh))
    soil, eroded = remove_top(state.soil, year.erosion, thickness, material, choices.rounds)
    # an event takes the whole ectorganic layer, a year of continuous erosion its part of an event
    kept = jnp.maximum(0.0, 1.0 - year.erosion / choices.event_depth)
    soil, buried = add_top(soil, year.deposition, thickness, site.parent)
    entered = _of_one(material) * year.erosion + _of_one(site.parent) * year.deposition
    left = _of_one(eroded) + _of_one(buried)
    taken = state.litter.total * (1.0 - kept)
    left = left + jnp.stack([taken, 0.0 * taken, 0.0 * taken])
    return soil, state.litter.scaled(kept), state.below - decalcified, left, entered


def _of_one(soil: Soil) -> jax.Array:
    """Budgets of amounts without layers, shape (3,)."""
    carbon, minerals = soil.pools.total, soil.minerals
    return jnp.stack(jnp.broadcast_arrays(carbon, minerals.calcite, minerals.bases + minerals.weatherable))


def _manage(soil: Soil, litter: Pools, year: Year, site: Site, layers: Layers) -> tuple[Soil, Pools, jax.Array]:
    """Additions at the surface, then ploughing, which also buries the ectorganic layer."""
    minerals = soil.minerals
    minerals = minerals._replace(
        calcite=minerals.calcite + year.lime * site.surface,
        bases=minerals.bases + year.base_addition * site.surface,
        clay_2_1=minerals.clay_2_1 + year.clay_addition * site.surface,
        weatherable=minerals.weatherable + year.mineral_addition * site.surface,
    )
    ploughed = reach(layers, year.plough_depth)
    working = year.plough_depth > 0.0
    mass = ploughed * site.mass
    share = jnp.where(working, mass / jnp.where(working, summed(mass), 1.0), site.surface)
    soil = blend(Soil(soil.pools, minerals), ploughed, share)
    buried = litter.scaled(1.0 * working)
    pools = Pools(*(pool + part * share for pool, part in zip(soil.pools, buried, strict=True)))
    bases = year.base_addition + year.mineral_addition
    added = jnp.stack(jnp.broadcast_arrays(0.0 * litter.dpm, year.lime, bases))
    return Soil(pools, soil.minerals), litter.scaled(1.0 - working), added


def modifiers(soil: Soil, site: Site, inputs: Mapping[str, Any], choices: Choices) -> tuple[jax.Array, jax.Array]:
    """Protection of each layer: the rate modifier, and the number of the mechanism that is strongest (0: none).

    Returns:
        Two arrays of shape (layers,); the second is 0 where the modifier is 1.
    """
    wanted = protection.MECHANISMS if choices.mechanism == "all" else (choices.mechanism,)
    # bases that were added this year and find no site are in solution
    saturation = jnp.minimum(1.0, soil.minerals.bases / site.weathering.capacity)
    found = {}
    if "clay" in wanted:
        found["clay"] = protection.clay_modifier(soil.minerals.clay_1_1, soil.minerals.clay_2_1, inputs["clay_floor"])
    if "mooh" in wanted:
        found["mooh"] = protection.mooh_modifier(metals_in_solution(saturation), inputs["mooh_strength"])
    if "aggregation" in wanted:
        calcite = soil.minerals.calcite / site.mass
        by = inputs["aggregation_bases"], inputs["aggregation_calcite"]
        found["aggregation"] = protection.aggregation_modifier(saturation, calcite, *by)
    if "pores" in wanted:
        found["pores"] = protection.pore_modifier(*_pores(soil, site), inputs["pore_floor"])
    least = protection.strongest(list(found.values()), inputs["minimum_width"] if choices.smooth else None)
    applies = jnp.broadcast_to(jnp.asarray(least, site.mass.dtype), site.mass.shape)
    number = jnp.zeros_like(applies)
    least = jnp.ones_like(applies)
    for name, modifier in found.items():
        number = jnp.where(modifier < least, 1.0 + protection.MECHANISMS.index(name), number)
        least = jnp.minimum(least, modifier)
    return applies, number


def _pores(soil: Soil, site: Site) -> tuple[jax.Array, jax.Array]:
    """Water contents at -20 and -600 hPa, which follow the organic matter of each layer."""
    percent = 10.0 * soil.pools.total / site.mass  # t C ha-1 = 0.1 kg m-2
    organic = jnp.maximum(LEAST_ORGANIC_MATTER, ORGANIC_MATTER_PER_CARBON * percent)
    curve = with_organic_matter(site.texture, organic)
    return water_content(curve, WET), water_content(curve, DRY)


def turnover(
    soil: Soil, litter: Pools, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices,
    protected: jax.Array,
) -> tuple[Soil, Pools, jax.Array, jax.Array]:  # fmt: skip
    """Inputs, decay and bioturbation; also the carbon that arrived and the carbon respired."""
    parts = choices.mixing_steps
    natural, crop = (1.0 - year.crop) * (1.0 - year.harvest), year.crop * (1.0 - year.harvest)

    def of_year(litter: Pools, where: slice) -> Pools:
        return Pools(*(natural * part[0, where] + crop * part[1, where] for part in litter))

    modifier = site.seasons[0] + year.crop * (site.seasons[1] - site.seasons[0])
    mixing = -jnp.expm1(-site.mixing / parts) * site.reached
    moving = -jnp.expm1(-site.incorporation / parts)

    def decayed(pools: Pools, rates: jax.Array, where: slice) -> tuple[Pools, jax.Array]:
        if choices.monthly:
            return decay_months(pools, rates, of_year(site.plants.litter, where).scaled(1.0 / 12.0), site.kinetics)
        return decay_year(pools, rates[0], of_year(site.arriving, where).scaled(1.0 / parts), site.modes)

    def part(carry: tuple[Soil, Pools], modifier: jax.Array) -> tuple[tuple[Soil, Pools], jax.Array]:
        soil, litter = carry
        # soil and ectorganic layer one by one: joined first, their rates would not compile to vector instructions
        pools, respired = decayed(soil.pools, modifier[:, :-1] * protected, SOIL)
        lying, respired_above = decayed(Pools(*(pool[None] for pool in litter)), modifier[:, -1:], ECTORGANIC)
        lying = Pools(*at_once(site.unit, [pool[0] for pool in lying]))
        pools = Pools(*(pool + moving * above * site.surface for pool, above in zip(pools, lying, strict=True)))
        soil = blend(Soil(pools, soil.minerals), mixing, site.share)
        return (soil, lying.scaled(1.0 - moving)), summed(respired) + respired_above[0]

    (soil, litter), respired = jax.lax.scan(part, (soil, litter), modifier, unroll=parts == 1)
    arrived = of_year(site.plants.litter, slice(None)).total.sum(axis=0)
    return soil, litter, arrived, respired.sum(axis=0)
