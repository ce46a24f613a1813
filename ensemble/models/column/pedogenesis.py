"""Reduced pedogenesis: calcite, exchangeable bases, clay minerals, and Al and Fe in solution.

Stands in for SoilGen's full geochemistry (van der Meij and Finke, section 2.1). Water percolates from the
surface and is in equilibrium with calcite as soon as it has met enough of it; acid that it carries takes
bases from the exchange sites where there is no calcite left; carbonate alkalinity on its way down refills
exchange sites. Everything that leaves is counted.

Amounts per layer: calcite kg m-2, bases and weatherable bases mol_c m-2, clay minerals kg m-2.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.models.column.members import weighted

# 1 kg of CaCO3 (100.09 g mol-1) holds this many mol of charge.
CHARGE_OF_CALCITE = 2.0 / 0.10009
# log10 solubility of Al(OH)3 (gibbsite, 8.04) and FeOOH (goethite, -0.02): mol dm-3 = 10**(K - 3 pH); Lindsay (1979).
GIBBSITE, GOETHITE = 8.04, -0.02
# pH of loess soil without and with full base saturation; linear in between.
PH_ACID, PH_RANGE = 4.0, 4.0


class Weathering(NamedTuple):
    """Rates of pedogenesis for one member and site.

    Args:
        leaching: calcite that the yearly percolation dissolves, kg m-2 yr-1.
        acid: acid that percolates, mol_c m-2 yr-1.
        capacity: exchange capacity of each layer, mol_c m-2, shape (layers,).
        full: base saturation while calcite is present, 0 to 1.
        least: base saturation below which acid takes no more bases, 0 to 1.
        release: rate at which weatherable minerals give off their bases, yr-1.
        clay: rate at which 2:1 clay minerals turn into 1:1, yr-1.
    """

    leaching: jax.Array
    acid: jax.Array
    capacity: jax.Array
    full: jax.Array
    least: jax.Array
    release: jax.Array
    clay: jax.Array


class Minerals(NamedTuple):
    """Mineral state of the column; each of shape (layers,): see the head of this module for units."""

    calcite: jax.Array
    bases: jax.Array
    clay_1_1: jax.Array
    clay_2_1: jax.Array
    weatherable: jax.Array


class Leached(NamedTuple):
    """What left the column in a year.

    Args:
        calcite: dissolved inside the column, kg m-2.
        bases: exchangeable bases and dissolved calcium that drained away, mol_c m-2.
        below: calcite that the remaining percolation dissolves underneath the column, kg m-2.
    """

    calcite: jax.Array
    bases: jax.Array
    below: jax.Array


def weather_year(minerals: Minerals, rates: Weathering) -> tuple[Minerals, Leached]:
    """One year of leaching, exchange and weathering.

    In this order: weathering releases bases, and added bases that find no exchange site dissolve; calcite refills
    the exchange sites of its own layer; percolating water dissolves calcite from the top down; what is dissolved
    refills sites further down or drains; acid takes bases (or calcite) from the top down. Bases that acid released are
    not bound again: refilling by them would hold the saturation near its maximum for ever.
    """
    released = minerals.weatherable * -jnp.expm1(-rates.release)
    unheld = jnp.maximum(0.0, minerals.bases - rates.capacity)
    held = minerals.bases - unheld
    changed = minerals.clay_2_1 * -jnp.expm1(-rates.clay)
    full = rates.full * rates.capacity
    room = jnp.maximum(0.0, full - held)
    exchanged = jnp.minimum(room, minerals.calcite * CHARGE_OF_CALCITE)
    calcite = minerals.calcite - exchanged / CHARGE_OF_CALCITE
    bases = held + exchanged

    dissolved = _from_the_top(rates.leaching, calcite)
    calcite = calcite - dissolved
    bound, drained = _bind_on_the_way(dissolved * CHARGE_OF_CALCITE + released + unheld, room - exchanged)
    bases = bases + bound

    reserve = jnp.maximum(0.0, bases - rates.least * rates.capacity)
    neutralised = _from_the_top(rates.acid, reserve + calcite * CHARGE_OF_CALCITE)
    from_calcite = jnp.minimum(neutralised, calcite * CHARGE_OF_CALCITE)
    from_bases = neutralised - from_calcite
    after = Minerals(
        calcite - from_calcite / CHARGE_OF_CALCITE,
        bases - from_bases,
        minerals.clay_1_1 + changed,
        minerals.clay_2_1 - changed,
        minerals.weatherable - released,
    )
    lost = dissolved.sum(axis=0) + (from_calcite.sum(axis=0) + exchanged.sum(axis=0)) / CHARGE_OF_CALCITE
    left = rates.leaching - dissolved.sum(axis=0)
    return after, Leached(lost, drained + neutralised.sum(axis=0), left)


def _from_the_top(demand: jax.Array, stock: jax.Array) -> jax.Array:
    """What a demand that comes from above takes from each layer: all of it, until the demand is met."""
    return jnp.clip(demand - _above(stock), 0.0, stock)


def _above(amounts: jax.Array) -> jax.Array:
    """Sum of the layers above each layer; a product with a fixed matrix."""
    return weighted(np.tril(np.ones((len(amounts), len(amounts))), -1), amounts)


def _lowest_so_far(amounts: jax.Array) -> jax.Array:
    """Smallest of each layer and all above it, layer by layer: for few layers the cheapest form that compiles well."""
    return jnp.stack(list(accumulate(amounts, jnp.minimum)))


def _bind_on_the_way(source: jax.Array, room: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What each layer binds of a flux that layers add to and take from on its way down, and what drains.

    The flux below layer i is ``max(0, flux above + source - room)``; its solution is a running minimum.
    """
    summed = _above(source - room) + source - room
    flux = summed - jnp.minimum(0.0, _lowest_so_far(summed))
    above = jnp.concatenate([jnp.zeros_like(flux[:1]), flux[:-1]])
    return source + above - flux, flux[-1]


def metals_in_solution(base_saturation: jax.Array) -> jax.Array:
    """Al3+ and Fe3+ in the soil solution, mmol dm-3, in equilibrium with gibbsite and goethite.

    The pH follows the base saturation; the amount of oxide does not matter, as a solution in equilibrium
    with a mineral does not depend on how much of it there is.

    Args:
        base_saturation: fraction, 0 to 1.
    """
    acidity = -3.0 * (PH_ACID + PH_RANGE * base_saturation)
    return 1e3 * (10.0**GIBBSITE + 10.0**GOETHITE) * jnp.exp(math.log(10.0) * acidity)
