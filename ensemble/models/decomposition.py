"""One month of RothC: four active pools decay, part of what they lose becomes BIO and HUM, input arrives.

Source: Coleman and Jenkinson, RothC description, version 2.0.0 (2025). Pools are t C/ha. The step is affine in
the pools, and the same step carries their radiocarbon activities.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Pools(NamedTuple):
    """Something for each active pool (stock, activity, input); scalars or arrays of one shape."""

    dpm: jax.Array
    rpm: jax.Array
    bio: jax.Array
    hum: jax.Array

    @property
    def total(self) -> jax.Array:
        """Sum over the pools."""
        return self.dpm + self.rpm + self.bio + self.hum

    def scaled(self, factor: float | jax.Array) -> Pools:
        """All of them times a factor."""
        return Pools(self.dpm * factor, self.rpm * factor, self.bio * factor, self.hum * factor)


class Kinetics(NamedTuple):
    """How fast pools decay and what becomes of the carbon; scalars.

    Args:
        rates: decay per month at a rate factor of 1, for each pool.
        to_bio, to_hum, to_co2: parts of decayed carbon that become BIO and HUM and that are respired.
    """

    rates: Pools
    to_bio: jax.Array
    to_hum: jax.Array
    to_co2: jax.Array


def make_kinetics(inputs: Any) -> Kinetics:
    """Kinetics from RothC's inputs ``k_*`` [yr-1], ``rate_scale``, ``clay`` [%], ``co2_ratio_scale``, ``bio_share``."""
    monthly = inputs["rate_scale"] / 12.0
    rates = Pools(*(inputs[f"k_{pool}"] * monthly for pool in Pools._fields))
    ratio = co2_ratio(inputs["clay"], inputs["co2_ratio_scale"])
    formed = 1.0 / (ratio + 1.0)
    share = inputs["bio_share"]
    return Kinetics(rates, share * formed, (1.0 - share) * formed, ratio * formed)


def co2_ratio(clay: jax.Array, scale: float | jax.Array = 1.67) -> jax.Array:
    """CO2 / (BIO + HUM) that decay forms: ``scale (1.85 + 1.60 exp(-0.0786 clay))``, clay in %."""
    return scale * (1.85 + 1.60 * jnp.exp(-0.0786 * clay))


def kept_parts(rate: jax.Array, kinetics: Kinetics) -> Pools:
    """Part of each pool that survives a month whose product of rate factors is ``rate``."""
    k = kinetics.rates
    return Pools(jnp.exp(-k.dpm * rate), jnp.exp(-k.rpm * rate), jnp.exp(-k.bio * rate), jnp.exp(-k.hum * rate))


def lost_parts(rate: jax.Array, kinetics: Kinetics) -> Pools:
    """1 - :func:`kept_parts`, without cancellation."""
    k = kinetics.rates
    return Pools(
        -jnp.expm1(-k.dpm * rate), -jnp.expm1(-k.rpm * rate), -jnp.expm1(-k.bio * rate), -jnp.expm1(-k.hum * rate)
    )


def decay(pools: Pools, kept: Pools, kinetics: Kinetics) -> tuple[Pools, jax.Array]:
    """Pools after a month of decay without input, and the carbon that left them (before any is formed anew)."""
    left = Pools(*(pool * part for pool, part in zip(pools, kept, strict=True)))
    lost = Pools(*(pool - rest for pool, rest in zip(pools, left, strict=True))).total
    return Pools(left.dpm, left.rpm, left.bio + kinetics.to_bio * lost, left.hum + kinetics.to_hum * lost), lost


def decay_vector(pools: jax.Array, kept: jax.Array, kinetics: Kinetics) -> jax.Array:
    """:func:`decay` of pools in one array of shape (4,): in a long loop of few runs one small kernel beats four."""
    left = pools * kept
    formed = jnp.stack([jnp.zeros_like(kinetics.to_bio)] * 2 + [kinetics.to_bio, kinetics.to_hum])
    return left + formed * (pools - left).sum()


def add(pools: Pools, arriving: Pools) -> Pools:
    """Pools after the month's input, which RothC adds when the month is over."""
    return Pools(pools.dpm + arriving.dpm, pools.rpm + arriving.rpm, pools.bio + arriving.bio, pools.hum + arriving.hum)


def arrivals(
    plant: jax.Array, manure: jax.Array, dpm_part: jax.Array, manure_dpm: jax.Array, manure_hum: jax.Array
) -> Pools:
    """Input by pool, t C/ha; arrays of one shape, the two parts of manure scalars.

    Args:
        plant, manure: carbon that arrives, t C/ha.
        dpm_part: part of the plant carbon that is DPM, from the ratio: ``r / (r + 1)``.
        manure_dpm, manure_hum: parts of manure carbon that are DPM and HUM; what is left is RPM.
    """
    return Pools(
        dpm_part * plant + manure_dpm * manure,
        (1.0 - dpm_part) * plant + (1.0 - manure_dpm - manure_hum) * manure,
        jnp.zeros_like(plant),
        manure_hum * manure,
    )
