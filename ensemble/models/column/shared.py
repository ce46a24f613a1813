"""RothC's response functions and the hydraulic properties, in the form the column uses them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

RATES = (10.0, 0.3, 0.66, 0.02)


def CO2_RATIO(clay):
    return 1.67 * (1.85 + 1.60 * jnp.exp(-0.0786 * clay))


def rate_temperature(temperature):
    frozen = temperature < -5.0
    safe = jnp.where(frozen, 0.0, temperature)
    return jnp.where(frozen, 0.0, 47.91 / (1.0 + jnp.exp(106.06 / (safe + 18.27))))


def rate_moisture(precipitation, pet, cover, clay, depth=23.0):
    largest = -(20.0 + 1.3 * clay - 0.01 * clay**2) * depth / 23.0
    bare_limit = 0.556 * largest
    change = precipitation - pet

    def month(deficit, xs):
        change, covered = xs
        wetter = jnp.minimum(0.0, deficit + change)
        planted = jnp.maximum(largest, wetter)
        bare = jnp.maximum(jnp.minimum(bare_limit, deficit), wetter)
        deficit = jnp.where(covered > 0.5, planted, bare)
        return deficit, deficit

    twice = jnp.concatenate([change, change]), jnp.concatenate([cover, cover])
    _, deficit = jax.lax.scan(month, jnp.zeros_like(largest), twice)
    deficit = deficit[12:]
    start = 0.444 * largest
    return jnp.where(deficit > start, 1.0, 0.2 + 0.8 * (largest - deficit) / (largest - start))


def water_contents(clay, silt, organic, density, topsoil, heads):
    c, s, o, d, t = clay, silt, organic, density, topsoil
    ths = (0.7919 + 0.001691 * c - 0.29619 * d - 0.000001491 * s**2 + 0.0000821 * o**2 + 0.02427 / c + 0.01113 / s
           + 0.01472 * jnp.log(s) - 0.0000733 * o * c - 0.000619 * d * c - 0.001183 * d * o - 0.0001664 * t * s)
    log_o = jnp.log(o)
    alpha = jnp.exp(-14.96 + 0.03135 * c + 0.0351 * s + 0.646 * o + 15.29 * d - 0.192 * t - 4.671 * d**2
                    - 0.000781 * c**2 - 0.00687 * o**2 + 0.0449 / o + 0.0663 * jnp.log(s) + 0.1482 * log_o
                    - 0.04546 * d * s - 0.4852 * d * o + 0.00673 * t * c)
    n = 1.0 + jnp.exp(-25.23 - 0.02195 * c + 0.0074 * s - 0.1940 * o + 45.5 * d - 7.24 * d**2 + 0.0003658 * c**2
                      + 0.002885 * o**2 - 12.81 / d - 0.1524 / s - 0.01958 / o - 0.2876 * jnp.log(s)
                      - 0.0709 * log_o - 44.6 * jnp.log(d) - 0.02264 * d * c + 0.0896 * d * o + 0.00718 * t * c)
    return [0.01 + (ths - 0.01) * (1.0 + (alpha * h) ** n) ** (1.0 / n - 1.0) for h in heads]
