"""Where RothC starts: equilibrium by algebra or by the official loop, a measured stock, or a regression.

Sources: Coleman and Jenkinson, RothC description, version 2.0.0 (2025); Weihermueller et al. (2013), doi
10.1111/ejss.12036; Falloon et al. (1998), doi 10.1016/S0038-0717(97)00256-3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.decomposition import Kinetics, Pools, add, decay, kept_parts, lost_parts
from ensemble.models.radiocarbon import next_activities
from ensemble.models.scan import scan_months

# The official loop stops when the active carbon of two Decembers differs by less than this, t C/ha.
LEGACY_CRITERION = 1e-6
# A soil that has not met the criterion by then gives NaN; the slowest boreal reference site takes 4,671 years.
LEGACY_YEARS = 100_000


def equilibrium(rates: jax.Array, arriving: Pools, kinetics: Kinetics, decay_exponent: float = 0.0) -> Pools:
    """Pools at the end of a year that is repeated for ever; exact, without iteration.

    DPM and RPM are geometric series. They feed BIO and HUM, whose year is an affine map of two pools; its
    matrix is carried as ``I - A``, built from ``expm1``, so that float32 loses nothing to cancellation.

    Args:
        rates: product of the rate factors of each month, shape (12,).
        arriving: input of each month by pool, each (12,).
        kinetics: of the soil.
        decay_exponent: radioactive decay per month, for activities instead of stocks.

    Returns:
        Pools, t C/ha, scalars; not finite where nothing decays all year.
    """
    kept_isotope, dead = math.exp(-decay_exponent), -math.expm1(-decay_exponent)
    dpm, rpm = (
        _geometric(k * rates + decay_exponent, new) for k, new in zip(kinetics.rates, arriving[:2], strict=False)
    )
    zero = jnp.zeros_like(dpm)

    def month(carry: Any, drivers: tuple[jax.Array, Pools]) -> tuple[Any, None]:
        (dpm, rpm), ((a, b), (c, d)), (bio, hum) = carry
        rate, new = drivers
        parts = lost_parts(rate, kinetics)
        bio_loss, hum_loss = kept_isotope * parts.bio, kept_isotope * parts.hum
        ga, gb = dead + (1.0 - kinetics.to_bio) * bio_loss, -kinetics.to_bio * hum_loss
        gc, gd = -kinetics.to_hum * bio_loss, dead + (1.0 - kinetics.to_hum) * hum_loss
        fed = kept_isotope * (dpm * parts.dpm + rpm * parts.rpm)
        matrix = (
            (ga + a - ga * a - gb * c, gb + b - ga * b - gb * d),
            (gc + c - gc * a - gd * c, gd + d - gc * b - gd * d),
        )
        gained = (
            bio - ga * bio - gb * hum + kinetics.to_bio * fed + new.bio,
            hum - gc * bio - gd * hum + kinetics.to_hum * fed + new.hum,
        )
        plants = (
            kept_isotope * (dpm - dpm * parts.dpm) + new.dpm,
            kept_isotope * (rpm - rpm * parts.rpm) + new.rpm,
        )
        return (plants, matrix, gained), None

    start = ((dpm, rpm), ((zero, zero), (zero, zero)), (zero, zero))
    (_, ((a, b), (c, d)), (bio, hum)), _ = scan_months(month, start, (rates, arriving))
    determinant = a * d - b * c
    return Pools(dpm, rpm, (d * bio - b * hum) / determinant, (a * hum - c * bio) / determinant)


def _geometric(exponents: jax.Array, arriving: jax.Array) -> jax.Array:
    """December stock of a pool that decays by ``exponents`` (12,) and then receives ``arriving`` (12,) every year."""
    after = jnp.cumsum(exponents[::-1])[::-1] - exponents  # decay that is still to come after each month
    return jnp.sum(arriving * jnp.exp(-after)) / -jnp.expm1(-jnp.sum(exponents))


class LegacyStart(NamedTuple):
    """Where the official loop stops: stocks and activities (t C/ha), moisture deficit (mm), years it took."""

    pools: Pools
    activities: Pools
    deficit: jax.Array
    years: jax.Array


def legacy_equilibrium(
    year_rates: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    arriving: Pools,
    modern: jax.Array,
    kinetics: Kinetics,
) -> LegacyStart:
    """Repeat the year as the official code does, from empty pools, until two Decembers agree.

    It stops short of the equilibrium by about ``1e-6 a / (1 - a)`` t C/ha, where ``a`` is the largest
    eigenvalue of the year. For parity with published runs, in float64: it has no reverse-mode gradient (its
    length depends on the data), and in float32 the criterion is widened to what the numbers can resolve.

    Args:
        year_rates: from the deficit (mm) at the start of the year to the product of the rate factors of its
            months, (12,), and the deficit at its end.
        arriving: input of each month by pool, each (12,).
        modern: activity of the input as a fraction of modern, shape (12,).
        kinetics: of the soil.
    """
    resolution = 4.0 * float(jnp.finfo(modern.dtype).eps)

    def month(state: tuple[Pools, Pools], drivers: tuple[jax.Array, Pools, jax.Array]) -> tuple[Any, None]:
        rate, new, activity = drivers
        kept = kept_parts(rate, kinetics)
        stocks = add(decay(state[0], kept, kinetics)[0], new)
        return (stocks, next_activities(state[1], kept, new, activity, kinetics)), None

    def year(state: Any) -> Any:
        both, deficit, before, _, count = state
        rates, deficit = year_rates(deficit)
        both, _ = scan_months(month, both, (rates, arriving, modern))
        total = both[0].total
        return both, deficit, total, jnp.abs(total - before), count + 1

    def moving(state: Any) -> jax.Array:
        _, _, total, change, count = state
        return (change > jnp.maximum(LEGACY_CRITERION, resolution * total)) & (count < LEGACY_YEARS)

    zero = jnp.zeros_like(modern[0])
    empty = Pools(zero, zero, zero, zero)
    start = ((empty, empty), zero, zero, zero + 100.0, jnp.int32(0))
    (pools, activities), deficit, _, _, years = jax.lax.while_loop(moving, year, start)
    undone = jnp.where(years < LEGACY_YEARS, 0.0, jnp.nan)
    pools, activities = (Pools(*(value + undone for value in group)) for group in (pools, activities))
    return LegacyStart(pools, activities, deficit, years)


def inverse_scale(by_plants: Pools, by_manure: Pools, iom: jax.Array, soc_measured: jax.Array) -> jax.Array:
    """Factor on plant carbon with which the equilibrium meets a measured stock (t C/ha).

    The equilibrium is linear in the input, so the factor is exact; negative where manure and inert carbon
    alone exceed the measured stock.

    Args:
        by_plants, by_manure: equilibrium pools under plant carbon alone and under manure alone.
        iom: inert carbon.
        soc_measured: the stock to meet.
    """
    return (soc_measured - iom - by_manure.total) / by_plants.total


def pedotransfer_pools(soc_measured: jax.Array, iom: jax.Array, clay: jax.Array) -> Pools:
    """Pools of a measured stock by the regressions of Weihermueller et al. (2013), made to add up to it.

    RPM, BIO and HUM follow from stock (t C/ha) and clay (%); DPM is what is left of the active stock. Where
    the three exceed it (usual when clay is low), they are scaled down together and DPM is 0.
    """
    rpm = (0.1847 * soc_measured + 0.1555) * (clay + 1.2750) ** -0.1158
    hum = (0.7148 * soc_measured + 0.5069) * (clay + 0.3421) ** 0.0184
    bio = (0.0140 * soc_measured + 0.0075) * (clay + 8.8473) ** 0.0567
    active, regressed = soc_measured - iom, rpm + hum + bio
    scale = jnp.minimum(1.0, active / regressed)
    return Pools(jnp.maximum(0.0, active - regressed), scale * rpm, scale * bio, scale * hum)


def fraction_pools(pom: jax.Array, maom: jax.Array, settled: Pools) -> Pools:
    """Pools of measured fractions: POM is DPM + RPM, MAOM is BIO + HUM, each split as in an equilibrium.

    Source: Zimmermann et al. (2007), doi 10.1111/j.1365-2389.2006.00855.x. Their third fraction, resistant carbon, is
    the inert pool. The shares of an equilibrium without manure do not depend on the amount of plant carbon.

    Args:
        pom, maom: measured carbon of the fractions, t C/ha.
        settled: pools of the equilibrium year, any one scale.
    """
    plants, formed = settled.dpm + settled.rpm, settled.bio + settled.hum
    dpm, bio = settled.dpm / plants, settled.bio / formed
    return Pools(pom * dpm, pom * (1.0 - dpm), maom * bio, maom * (1.0 - bio))


def falloon_iom(
    soc_measured: jax.Array, factor: float | jax.Array = 0.049, exponent: float | jax.Array = 1.139
) -> jax.Array:
    """Inert carbon (t C/ha) from a measured stock (t C/ha): ``0.049 SOC^1.139`` (Falloon et al. 1998)."""
    positive = soc_measured > 0.0
    return jnp.where(positive, factor * jnp.where(positive, soc_measured, 1.0) ** exponent, 0.0)


def build_falloon(settings: BuildSettings) -> Simulate:
    """Code of the model ``falloon_iom``."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        return {"iom": falloon_iom(inputs["soc_measured"], inputs["iom_factor"], inputs["iom_exponent"])}

    return simulate
