"""Noise on a driver series, new in every step: one member at one site, inside the compiled program.

Thousands of dimensions are drawn from one key and never stored; the key comes from the study's seed, the
stream and the member's draw index (:mod:`ensemble.keys`).
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp


def ar1_noise(
    key: jax.Array,
    steps: int,
    spread: jax.typing.ArrayLike,
    autocorrelation: jax.typing.ArrayLike,
    how: Literal["offset", "factor"] = "offset",
    dtype: jax.typing.DTypeLike = jnp.float32,
    centre: Literal["mean", "median"] = "mean",
) -> jax.Array:
    """A stationary first-order autoregressive series (Box & Jenkins 1970).

    The underlying score z has variance 1 in every step, the first included, and z_t = phi z_{t-1} +
    sqrt(1 - phi^2) e_t.

    - ``offset``: sd x z, to be added; mean 0, standard deviation ``spread``, lag-1 correlation
      ``autocorrelation``, all in every step.
    - ``factor``: exp(sigma z - sigma^2/2), to be multiplied; lognormal with mean 1 (``centre="mean"``: the
      expected driver is the one given) or exp(sigma z) with median 1 (``centre="median"``), coefficient of
      variation ``spread`` and lag-1 correlation ``autocorrelation`` *of the factor itself*: sigma^2 =
      ln(1 + cv^2), phi = ln(1 + autocorrelation cv^2) / sigma^2. Never negative.

    Args:
        key: key of this member's draw (and site).
        steps: length of the series.
        spread: standard deviation of an offset, in the driver's unit, or coefficient of variation of a
            factor (a fraction); a number or one per step ``(steps,)``. Above 0.
        autocorrelation: correlation of neighbouring steps, between -1 and 1; a number.
        how: what the series will do to the driver.
        dtype: floating type of the result.
        centre: of a factor: which of its mean and median is 1.

    Returns:
        ``(steps,)`` of ``dtype``.
    """
    spread = jnp.asarray(spread, dtype)
    phi = jnp.asarray(autocorrelation, dtype)
    if how == "offset":
        return spread * _scores(key, steps, phi, dtype)
    variance = jnp.log1p(spread * spread)
    typical = jnp.mean(variance)
    phi = jnp.log1p(phi * jnp.expm1(typical)) / typical
    shift = variance / 2 if centre == "mean" else jnp.zeros((), dtype)
    return jnp.exp(jnp.sqrt(variance) * _scores(key, steps, phi, dtype) - shift)


def _scores(key: jax.Array, steps: int, phi: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Standard normal series with lag-1 correlation ``phi``."""
    shocks = jax.random.normal(key, (steps,), dtype)
    spread = jnp.sqrt((1 - phi) * (1 + phi))

    def step(z: jax.Array, shock: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = phi * z + spread * shock
        return z, z

    _, later = jax.lax.scan(step, shocks[0], shocks[1:])
    return jnp.concatenate([shocks[:1], later])
