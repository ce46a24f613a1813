"""Water retention of a soil from its texture: van Genuchten's curve with the regressions of Wosten et al.

Sources: van Genuchten (1980), Soil Science Society of America Journal 44, 892-898; Wosten et al. (1999),
Geoderma 90, 169-185, doi 10.1016/S0016-7061(98)00132-3 (continuous pedotransfer functions).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

# Soil organic matter per organic carbon in the dry-land version of RothC (Farina et al. 2013).
ORGANIC_MATTER_PER_CARBON = 1.72
RESIDUAL_WATER = 0.01


class Retention(NamedTuple):
    """Parameters of van Genuchten's retention curve.

    Args:
        saturated: water content at saturation, volume fraction.
        alpha: inverse of the air-entry suction, cm-1.
        n: shape, above 1.
    """

    saturated: jax.Array
    alpha: jax.Array
    n: jax.Array


def wosten_retention(
    clay: jax.Array,
    silt: jax.Array,
    organic_matter: jax.Array,
    bulk_density: jax.Array,
    topsoil: float | jax.Array = 1.0,
) -> Retention:
    """Retention curve from texture (Wosten et al. 1999, Table 5); arguments of any one shape.

    Args:
        clay: below 2 um, %, above 0.
        silt: 2 to 50 um, %, above 0.
        organic_matter: %, above 0 (the regression holds its inverse and its logarithm).
        bulk_density: g cm-3.
        topsoil: 1 in the topsoil, 0 below.
    """
    c, s, o, d, t = clay, silt, organic_matter, bulk_density, topsoil
    log_s, log_o = jnp.log(s), jnp.log(o)
    saturated = (
        0.7919 + 0.001691 * c - 0.29619 * d - 0.000001491 * s**2 + 0.0000821 * o**2 + 0.02427 / c + 0.01113 / s
        + 0.01472 * log_s - 0.0000733 * o * c - 0.000619 * d * c - 0.001183 * d * o - 0.0001664 * t * s
    )  # fmt: skip
    log_alpha = (
        -14.96 + 0.03135 * c + 0.0351 * s + 0.646 * o + 15.29 * d - 0.192 * t - 4.671 * d**2 - 0.000781 * c**2
        - 0.00687 * o**2 + 0.0449 / o + 0.0663 * log_s + 0.1482 * log_o - 0.04546 * d * s - 0.4852 * d * o
        + 0.00673 * t * c
    )  # fmt: skip
    log_n_minus_1 = (
        -25.23 - 0.02195 * c + 0.0074 * s - 0.1940 * o + 45.5 * d - 7.24 * d**2 + 0.0003658 * c**2 + 0.002885 * o**2
        - 12.81 / d - 0.1524 / s - 0.01958 / o - 0.2876 * log_s - 0.0709 * log_o - 44.6 * jnp.log(d)
        - 0.02264 * d * c + 0.0896 * d * o + 0.00718 * t * c
    )  # fmt: skip
    return Retention(saturated, jnp.exp(log_alpha), 1.0 + jnp.exp(log_n_minus_1))


def water_content(retention: Retention, suction: float | jax.Array) -> jax.Array:
    """Volumetric water content (fraction) at a suction in hPa, about cm of water; van Genuchten (1980), Eq. 3.

    Args:
        retention: the curve.
        suction: hPa, above 0 (the gradient of the power is not finite at 0).
    """
    shape = 1.0 - 1.0 / retention.n
    drained = (1.0 + (retention.alpha * suction) ** retention.n) ** -shape
    return RESIDUAL_WATER + (retention.saturated - RESIDUAL_WATER) * drained
