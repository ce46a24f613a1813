"""Noise on a driver series, new in every step: one member at one site, inside the compiled program.

Thousands of dimensions are drawn from one key and never stored; the key comes from the study's seed, the
stream and the member's draw index (:mod:`ensemble.keys`).
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp

# Noise that would leave the physical support within this many standard deviations (of its logarithm, for a
# factor, whose upper end runs away exponentially) is refused.
_FAR = {"offset": 6.0, "factor": 4.0}


def check_noise(
    how: Literal["offset", "factor"],
    spread: float,
    autocorrelation: float,
    values: tuple[float, float] = (0.0, 0.0),
    support: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """Refuse noise that cannot exist or that would carry a driver out of its physical support.

    Args:
        how, spread, autocorrelation: as in :func:`ar1_noise`.
        values: smallest and largest value of the driver.
        support: physical range of the driver.

    Raises:
        ValueError: a spread that is not above 0; an autocorrelation outside -1 to 1, or too negative for a
            lognormal factor; a driver that six standard deviations (four of a factor's logarithm) would
            take out of its range.
    """
    if not (math.isfinite(spread) and spread > 0.0):
        raise ValueError(f"a noise of spread {spread:g} is not allowed; allowed: above 0")
    lowest = -1.0 / (1.0 + spread**2) if how == "factor" else -1.0
    if not lowest < autocorrelation < 1.0:
        raise ValueError(f"an autocorrelation of {autocorrelation:g} is not allowed; allowed: {lowest:.3g} to 1")
    if how == "offset":
        low, high = values[0] - _FAR[how] * spread, values[1] + _FAR[how] * spread
    else:
        largest = math.exp(_FAR[how] * math.sqrt(math.log1p(spread**2)))
        low, high = min(values[0], largest * values[0]), max(values[1], largest * values[1])
    if low < support[0] or high > support[1]:
        end, other = low if low < support[0] else high, "a factor" if how == "offset" else "less spread"
        raise ValueError(
            f"this noise could take the driver to {end:.4g}, outside of {support[0]:g} to {support[1]:g}; use {other}"
        )


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
      ln(1 + cv^2), phi = ln(1 + autocorrelation cv^2) / sigma^2 (the mean sigma where spread differs by
      step). Never negative.

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
