"""Rate factors of RothC: temperature, soil moisture, plant cover, and the topsoil moisture deficit behind them.

Sources: Coleman and Jenkinson, RothC description, version 2.0.0 (2025); the dry-land options are those of
Farina et al. (2013), doi 10.1016/j.geoderma.2013.01.021. Deficits are in mm, 0 at field capacity and negative
when drier.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.hydraulics import ORGANIC_MATTER_PER_CARBON, water_content, wosten_retention
from ensemble.models.scan import scan_months

# Suctions of the dry-land options, hPa: field capacity, 1 bar, wilting point (15 bar), 1000 bar.
FIELD_CAPACITY, ONE_BAR, WILTING_POINT, THOUSAND_BAR = 50.0, 1000.0, 15_000.0, 1_000_000.0
# Years after which the search for the recurring deficit gives up; two or three are usual.
DEFICIT_YEARS = 1000


class MoistureLimits(NamedTuple):
    """Deficits (mm, not above 0) at which the behaviour of a soil changes.

    Args:
        start: below it decomposition slows down (1 bar).
        driest: at and below it the moisture factor has its minimum (15 bar).
        covered: the largest deficit under plants.
        bare: the largest deficit that bare soil dries to by itself.
    """

    start: jax.Array
    driest: jax.Array
    covered: jax.Array
    bare: jax.Array


def rate_temperature(
    temperature: jax.Array,
    scale: float | jax.Array = 47.91,
    slope: float | jax.Array = 106.06,
    shift: float | jax.Array = 18.27,
    frost_threshold: float | jax.Array = -5.0,
) -> jax.Array:
    """Rate factor of temperature, ``scale / (1 + exp(slope / (T + shift)))``; 0 below the frost threshold.

    Args:
        temperature: monthly mean air temperature, degC, any shape.
        scale, slope, shift: coefficients of Jenkinson and Rayner (1977) as the official code has them.
        frost_threshold: degC; a month at exactly this temperature still decomposes (factor 0.0162 at -5 degC).
    """
    frozen = temperature < frost_threshold
    safe = jnp.where(frozen, 10.0, temperature)  # keeps the pole at -shift out of values and gradients
    return jnp.where(frozen, 0.0, scale * jax.nn.sigmoid(-slope / (safe + shift)))


def rate_cover(plant_cover: jax.Array, cover_factor: float | jax.Array = 0.6) -> jax.Array:
    """Rate factor of plant cover: 1 on bare soil, ``cover_factor`` under plants, the area's mean between."""
    return 1.0 - (1.0 - cover_factor) * plant_cover


def rate_moisture(deficit: jax.Array, limits: MoistureLimits, minimum: float | jax.Array = 0.2) -> jax.Array:
    """Rate factor of moisture: 1 above ``limits.start``, then linear down to ``minimum`` at ``limits.driest``."""
    wetness = (limits.driest - deficit) / (limits.driest - limits.start)
    return minimum + (1.0 - minimum) * jnp.clip(wetness, 0.0, 1.0)


def clay_limits(clay: jax.Array, depth: jax.Array, bare_to_wilting: bool = False) -> MoistureLimits:
    """Limits of standard RothC (opt_RMmoist 1).

    The largest deficit is 20 + 1.3 clay - 0.01 clay^2 mm in 23 cm (the code's coefficients: the description
    prints 1.01 clay^2, which does not give its own example of 44.94 mm at 23.4 % clay).

    Args:
        clay: %, scalar.
        depth: cm, scalar.
        bare_to_wilting: bare soil dries as far as soil under plants (opt_SMDbare 2).
    """
    largest = -(20.0 + 1.3 * clay - 0.01 * clay**2) * depth / 23.0
    return MoistureLimits(0.444 * largest, largest, largest, largest if bare_to_wilting else 0.556 * largest)


def van_genuchten_limits(
    clay: jax.Array,
    silt: jax.Array,
    organic_carbon: jax.Array,
    bulk_density: jax.Array,
    depth: jax.Array,
    to_thousand_bar: bool,
    bare_to_wilting: bool = False,
) -> MoistureLimits:
    """Limits from the retention curve (opt_RMmoist 2 and 3, Farina et al. 2013); scalars.

    Args:
        clay, silt: %.
        organic_carbon: % of soil mass.
        bulk_density: g cm-3.
        depth: cm.
        to_thousand_bar: soil under plants dries to -1000 bar (opt 2) or to -15 bar (opt 3).
        bare_to_wilting: bare soil dries to -15 bar (opt_SMDbare 2).
    """
    curve = wosten_retention(clay, silt, ORGANIC_MATTER_PER_CARBON * organic_carbon, bulk_density)
    field_capacity = water_content(curve, FIELD_CAPACITY)

    def deficit(suction: float) -> jax.Array:
        return (water_content(curve, suction) - field_capacity) * 10.0 * depth

    start, driest = deficit(ONE_BAR), deficit(WILTING_POINT)
    bare = driest if bare_to_wilting else driest - (0.6388 / 0.8) * (driest - start)
    return MoistureLimits(start, driest, deficit(THOUSAND_BAR) if to_thousand_bar else driest, bare)


def next_deficit(deficit: jax.Array, gain: jax.Array, cover: jax.Array, limits: MoistureLimits) -> jax.Array:
    """Deficit (mm) at the end of a month.

    Soil under plants dries to ``limits.covered``. Bare soil does not dry past ``limits.bare``, but stays as
    dry as it was. Between, the deficit is the mean of the two, weighted by the covered area.

    Args:
        deficit: at the start, mm.
        gain: precipitation minus evapotranspiration, mm.
        cover: covered part of the area, 0 to 1.
        limits: of the soil.
    """
    moved = jnp.minimum(0.0, deficit + gain)
    covered = jnp.maximum(limits.covered, moved)
    bare = jnp.maximum(jnp.minimum(limits.bare, deficit), moved)
    return cover * covered + (1.0 - cover) * bare


def deficits(start: jax.Array, gain: jax.Array, cover: jax.Array, limits: MoistureLimits) -> jax.Array:
    """Deficit (mm) at the end of every month, shape of ``gain`` and ``cover`` (months,)."""

    def month(deficit: jax.Array, drivers: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        deficit = next_deficit(deficit, *drivers, limits)
        return deficit, deficit

    return scan_months(month, start, (gain, cover))[1]


def recurring_deficit(gain: jax.Array, cover: jax.Array, limits: MoistureLimits) -> jax.Array:
    """Deficit (mm) with which a year begins that is repeated for ever, from field capacity on.

    The yearly map is iterated until it repeats itself, which takes two or three years unless the soil dries
    by fractions of a millimetre a year without ever meeting a limit (stopped after ``DEFICIT_YEARS``). Wherever
    a limit is met, the deficit does not remember the year before, so one more year gives exact gradients.

    Args:
        gain: precipitation minus evapotranspiration of the year's months, mm, shape (12,).
        cover: covered part of the area, shape (12,).
        limits: of the soil.
    """
    frozen = jax.lax.stop_gradient((gain, cover, limits))

    def year(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        _, now, count = state
        return now, deficits(now, *frozen)[-1], count + 1

    def moving(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        before, now, count = state
        return (before != now) & (count < DEFICIT_YEARS)

    start = jnp.zeros_like(frozen[0][0])
    _, settled, _ = jax.lax.while_loop(moving, year, (start + 1.0, start, jnp.int32(0)))
    return deficits(jax.lax.stop_gradient(settled), gain, cover, limits)[-1]
