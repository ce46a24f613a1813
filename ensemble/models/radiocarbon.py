"""Radiocarbon in RothC: every pool carries an activity that decays, moves with the carbon and is renewed by input.

Source: Coleman and Jenkinson, RothC description, version 2.0.0 (2025). The official code keeps the radiocarbon
age of each pool, ``ln(stock / activity) / lambda``; activities are the same numbers without the logarithm.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from ensemble.models.decomposition import Kinetics, Pools, add, decay

# Libby's half-life, years, and its decay constant per month.
HALF_LIFE = 5568.0
DECAY_PER_YEAR = math.log(2.0) / HALF_LIFE
DECAY_PER_MONTH = DECAY_PER_YEAR / 12.0
# Part of an activity that is left after a month.
KEPT_PER_MONTH = math.exp(-DECAY_PER_MONTH)
# Mean life that turns an age into Delta 14C. The official code uses 8035 years, not 5568 / ln 2 = 8033.
MEAN_LIFE = 8035.0
IOM_AGE = 50_000.0


def delta14c(stock: jax.Array, activity: jax.Array, iom: jax.Array) -> jax.Array:
    """Delta 14C (permil) of soil organic carbon.

    Args:
        stock: carbon of the active pools, t C/ha.
        activity: their stock times the part that is modern, t C/ha.
        iom: inert carbon, t C/ha; its age is 50,000 years.
    """
    modern = activity + iom * math.exp(-DECAY_PER_YEAR * IOM_AGE)
    age = jnp.log((stock + iom) / modern) / DECAY_PER_YEAR
    return 1000.0 * jnp.expm1(-age / MEAN_LIFE)


def next_activities(activities: Pools, kept: Pools, arriving: Pools, modern: jax.Array, kinetics: Kinetics) -> Pools:
    """Activities (t C/ha) after a month: they move with the carbon, decay, and arrive with the input.

    Args:
        activities: stock of each pool times the part that is modern.
        kept: part of each pool that survives the month's decomposition.
        arriving: input by pool, t C/ha.
        modern: activity of the input as a fraction of modern.
        kinetics: of the soil.
    """
    return add(decay(activities, kept, kinetics)[0].scaled(KEPT_PER_MONTH), arriving.scaled(modern))
