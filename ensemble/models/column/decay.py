"""Decay of the four active RothC pools in every layer over a year.

Two forms of the same model. ``annual`` solves the year exactly for a constant rate modifier and a constant
input: the pools are written in the eigenvectors of the rate matrix, where each decays on its own. ``monthly``
is RothC's own arithmetic: decay for a month, then the month's input (Coleman and Jenkinson 1996).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.decomposition import Kinetics, Pools, add, decay, kept_parts

MONTHS = 12


class Modes(NamedTuple):
    """Eigenvectors of the rate matrix at a rate modifier of 1 and one clay content.

    Args:
        rates: decay rates of the modes, yr-1, shape (4,).
        vectors: pools in a unit of each mode, shape (4 pools, 4 modes).
        inverse: modes in a unit of each pool, shape (4 modes, 4 pools).
        respired: carbon respired when one unit of a mode has decayed, shape (4,).
    """

    rates: jax.Array
    vectors: jax.Array
    inverse: jax.Array
    respired: jax.Array


def decay_modes(kinetics: Kinetics) -> Modes:
    """Modes of RothC's rate matrix for one clay content.

    DPM and RPM feed BIO and HUM, which feed each other: two eigenvalues are the rates of DPM and RPM, two
    come from the quadratic of BIO and HUM.
    """
    k_dpm, k_rpm, k_bio, k_hum = (MONTHS * rate for rate in kinetics.rates)
    to_bio, to_hum = kinetics.to_bio, kinetics.to_hum
    bio_self, hum_self = k_bio * (1.0 - to_bio), k_hum * (1.0 - to_hum)
    half_sum, half_gap = 0.5 * (bio_self + hum_self), 0.5 * (bio_self - hum_self)
    root = jnp.sqrt(half_gap**2 + k_bio * k_hum * to_bio * to_hum)
    fast, slow = half_sum + root, half_sum - root
    zero, one = jnp.zeros_like(to_bio), jnp.ones_like(to_bio)

    def feeder(rate: jax.Array) -> list[jax.Array]:
        # (B + rate I) v = -rate (to_bio, to_hum), B the block of BIO and HUM
        a, d = rate - bio_self, rate - hum_self
        b, c = k_hum * to_bio, k_bio * to_hum
        determinant = a * d - b * c
        return [-rate * (d * to_bio - b * to_hum) / determinant, -rate * (a * to_hum - c * to_bio) / determinant]

    vectors = jnp.stack([
        jnp.stack([one, zero, *feeder(k_dpm)]),
        jnp.stack([zero, one, *feeder(k_rpm)]),
        jnp.stack([zero, zero, hum_self - fast, k_bio * to_hum]),
        jnp.stack([zero, zero, k_hum * to_bio, bio_self - slow]),
    ], axis=1)  # fmt: skip
    rates = jnp.stack([k_dpm * one, k_rpm * one, fast, slow])
    respiring = kinetics.to_co2 * jnp.stack([k_dpm, k_rpm, k_bio, k_hum])
    return Modes(rates, vectors, jnp.linalg.inv(vectors), (respiring @ vectors) / rates)


def decay_year(pools: jax.Array, modifier: jax.Array, inputs: jax.Array, modes: Modes) -> tuple[jax.Array, jax.Array]:
    """Pools after a stretch of constant rate modifier and input, in closed form.

    Args:
        pools: t C ha-1, shape (4, layers).
        modifier: product of all rate modifiers times the length of the stretch in years, shape (layers,), >= 0.
        inputs: carbon that arrives during the stretch, t C ha-1, shape (4, layers).
        modes: from :func:`decay_modes`.

    Returns:
        New pools (4, layers), and carbon respired in each layer (layers,).
    """
    before, arriving = _apply(modes.inverse, pools), _apply(modes.inverse, inputs)
    exponent = modes.rates[:, None] * modifier
    # (1 - exp(-x)) / x, and 1 at x = 0 (frozen all year), safe for gradients
    moving = exponent > 1e-12
    kept = jnp.exp(-exponent)
    average = jnp.where(moving, (1.0 - kept) / jnp.where(moving, exponent, 1.0), 1.0)
    after = before * kept + arriving * average
    return _apply(modes.vectors, after), (modes.respired[:, None] * (before + arriving - after)).sum(axis=0)


def _apply(matrix: jax.Array, columns: jax.Array) -> jax.Array:
    """``matrix @ columns`` for 4 x 4 by 4 x layers, written as sums so that it fuses with its neighbours."""
    first, second, third, fourth = (matrix[:, k, None] * columns[k] for k in range(4))
    return first + second + third + fourth


def decay_months(
    pools: jax.Array, modifier: jax.Array, inputs: jax.Array, kinetics: Kinetics
) -> tuple[jax.Array, jax.Array]:
    """RothC's monthly steps: decay, then input.

    Args:
        pools: t C ha-1, shape (4, layers).
        modifier: product of all rate modifiers in each month, shape (months, layers).
        inputs: carbon of one month, t C ha-1, shape (4, layers).
        kinetics: rates and partition.

    Returns:
        New pools (4, layers), and carbon respired in each layer (layers,).
    """
    arriving = Pools(*inputs)

    def month(carry: tuple[Pools, jax.Array], modifier: jax.Array) -> tuple[tuple[Pools, jax.Array], None]:
        pools, respired = carry
        after, lost = decay(pools, kept_parts(modifier, kinetics), kinetics)
        return (add(after, arriving), respired + kinetics.to_co2 * lost), None

    (after, respired), _ = jax.lax.scan(month, (Pools(*pools), jnp.zeros_like(pools[0])), modifier)
    return jnp.stack(after), respired
