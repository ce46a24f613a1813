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
        log_alpha: logarithm of the inverse of the air-entry suction, ln cm-1.
        n: shape, above 1.
    """

    saturated: jax.Array
    log_alpha: jax.Array
    n: jax.Array

    @property
    def alpha(self) -> jax.Array:
        """Inverse of the air-entry suction, cm-1."""
        return jnp.exp(self.log_alpha)


class MineralSoil(NamedTuple):
    """Regressions of Wosten et al. for one mineral soil, what is left of them a function of organic matter alone.

    Args:
        saturated, log_alpha, log_n_minus_1: sums of all terms without organic matter.
        saturated_slope, log_alpha_slope, log_n_slope: coefficients of organic matter (%).
    """

    saturated: jax.Array
    saturated_slope: jax.Array
    log_alpha: jax.Array
    log_alpha_slope: jax.Array
    log_n_minus_1: jax.Array
    log_n_slope: jax.Array


def mineral_soil(
    clay: jax.Array, silt: jax.Array, bulk_density: jax.Array, topsoil: float | jax.Array = 1.0
) -> MineralSoil:
    """The part of the regressions (Wosten et al. 1999, Table 5) that texture and density fix; any one shape.

    Args:
        clay: below 2 um, %, above 0.
        silt: 2 to 50 um, %, above 0.
        bulk_density: g cm-3.
        topsoil: 1 in the topsoil, 0 below.
    """
    c, s, d, t = clay, silt, bulk_density, topsoil
    log_s = jnp.log(s)
    return MineralSoil(
        0.7919 + 0.001691 * c - 0.29619 * d - 0.000001491 * s**2 + 0.02427 / c + 0.01113 / s + 0.01472 * log_s
        - 0.000619 * d * c - 0.0001664 * t * s,
        -0.0000733 * c - 0.001183 * d,
        -14.96 + 0.03135 * c + 0.0351 * s + 15.29 * d - 0.192 * t - 4.671 * d**2 - 0.000781 * c**2 + 0.0663 * log_s
        - 0.04546 * d * s + 0.00673 * t * c,
        0.646 - 0.4852 * d,
        -25.23 - 0.02195 * c + 0.0074 * s + 45.5 * d - 7.24 * d**2 + 0.0003658 * c**2 - 12.81 / d - 0.1524 / s
        - 0.2876 * log_s - 44.6 * jnp.log(d) - 0.02264 * d * c + 0.00718 * t * c,
        -0.1940 + 0.0896 * d,
    )  # fmt: skip


def with_organic_matter(soil: MineralSoil, organic_matter: jax.Array) -> Retention:
    """Retention curve of a mineral soil with organic matter (%, above 0: its inverse and its logarithm are in it)."""
    o, log_o = organic_matter, jnp.log(organic_matter)
    saturated = soil.saturated + o * (soil.saturated_slope + 0.0000821 * o)
    log_alpha = soil.log_alpha + o * (soil.log_alpha_slope - 0.00687 * o) + 0.0449 / o + 0.1482 * log_o
    log_n_minus_1 = soil.log_n_minus_1 + o * (soil.log_n_slope + 0.002885 * o) - 0.01958 / o - 0.0709 * log_o
    return Retention(saturated, log_alpha, 1.0 + jnp.exp(log_n_minus_1))


def wosten_retention(
    clay: jax.Array,
    silt: jax.Array,
    organic_matter: jax.Array,
    bulk_density: jax.Array,
    topsoil: float | jax.Array = 1.0,
) -> Retention:
    """Retention curve from texture and organic matter: :func:`mineral_soil`, then :func:`with_organic_matter`."""
    return with_organic_matter(mineral_soil(clay, silt, bulk_density, topsoil), organic_matter)


def water_content(retention: Retention, suction: float | jax.Array) -> jax.Array:
    """Volumetric water content (fraction) at a suction in hPa, about cm of water; van Genuchten (1980), Eq. 3.

    Args:
        retention: the curve.
        suction: hPa, above 0 (the gradient of the power is not finite at 0).
    """
    # powers as exponentials of logarithms, which compile to vector instructions
    risen = jnp.exp(retention.n * (retention.log_alpha + jnp.log(suction)))
    drained = jnp.exp((1.0 / retention.n - 1.0) * jnp.log1p(risen))
    return RESIDUAL_WATER + (retention.saturated - RESIDUAL_WATER) * drained
