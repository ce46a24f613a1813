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
from ensemble.models.scan import MONTHS, scan_months


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
    return Modes(rates, vectors, _inverse(vectors), (respiring @ vectors) / rates)


def _inverse(vectors: jax.Array) -> jax.Array:
    """Inverse of a matrix ``[[I, 0], [F, D]]`` of 2 by 2 blocks, ``[[I, 0], [-inv(D) F, inv(D)]]``, in closed form."""
    (a, b), (c, d) = vectors[2:, 2:]
    inner = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])]) / (a * d - b * c)
    return vectors.at[2:, :2].set(-inner @ vectors[2:, :2]).at[2:, 2:].set(inner)


def decay_year(pools: Pools, modifier: jax.Array, arriving: Pools, modes: Modes) -> tuple[Pools, jax.Array]:
    """Pools after a stretch of constant rate modifier and input, in closed form.

    Args:
        pools: t C ha-1, each of shape (layers,).
        modifier: product of all rate modifiers times the length of the stretch in years, shape (layers,), >= 0.
        arriving: carbon that arrives during the stretch, t C ha-1, in modes (:func:`to_modes`).
        modes: from :func:`decay_modes`.

    Returns:
        New pools, and carbon respired in each layer (layers,).
    """
    before = to_modes(pools, modes)
    # (1 - exp(-x)) / x, and 1 at x = 0 (frozen all year), safe for gradients
    moving = modifier > 1e-12
    safe = jnp.where(moving, modifier, 1.0)
    after, respired = [], jnp.zeros_like(pools.dpm)
    for i, (held, come) in enumerate(zip(before, arriving, strict=True)):
        kept = jnp.exp(-modes.rates[i] * modifier)
        after.append(held * kept + come * jnp.where(moving, (1.0 - kept) / (modes.rates[i] * safe), 1.0))
        respired = respired + modes.respired[i] * (held + come - after[i])
    return _times(modes.vectors, Pools(*after)), respired


def to_modes(pools: Pools, modes: Modes) -> Pools:
    """Pools of any shape written in the modes."""
    return _times(modes.inverse, pools)


def _times(matrix: jax.Array, columns: Pools) -> Pools:
    """``matrix @ columns`` for a matrix whose first two rows are those of the identity, as both of :class:`Modes`."""
    none = jnp.zeros((), matrix.dtype)
    bio, hum = (sum((matrix[i, k] * column for k, column in enumerate(columns)), none) for i in (2, 3))
    return Pools(columns.dpm, columns.rpm, bio, hum)


def decay_months(pools: Pools, modifier: jax.Array, inputs: Pools, kinetics: Kinetics) -> tuple[Pools, jax.Array]:
    """RothC's monthly steps: decay, then input.

    Args:
        pools: t C ha-1, each of shape (layers,).
        modifier: product of all rate modifiers in each month, shape (months, layers).
        inputs: carbon of one month, t C ha-1, each of shape (layers,).
        kinetics: rates and partition.

    Returns:
        New pools, and carbon respired in each layer (layers,).
    """

    def month(carry: tuple[Pools, jax.Array], modifier: jax.Array) -> tuple[tuple[Pools, jax.Array], None]:
        pools, respired = carry
        after, lost = decay(pools, kept_parts(modifier, kinetics), kinetics)
        return (add(after, inputs), respired + kinetics.to_co2 * lost), None

    (after, respired), _ = scan_months(month, (pools, jnp.zeros_like(pools.dpm)), modifier)
    return after, respired
