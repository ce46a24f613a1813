"""Net primary production from climate: three published regressions.

Miami: Lieth (1975). NCEAS: Del Grosso et al. (2008). Schuur: Schuur (2003). Coefficients as compiled in
the FAO GSOCseq technical manual and its scripts (github.com/ncss-tech/gsp-gsocseq).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Carbon in dry plant matter (g g-1), used only where a regression gives dry matter (Miami).
CARBON_IN_DRY_MATTER = 0.45
# 1 t ha-1 = 100 g m-2
GRAMS_PER_TONNE_HECTARE = 100.0


def miami(temperature: jax.Array, precipitation: jax.Array) -> jax.Array:
    """Net primary production (t C ha-1 yr-1) by the Miami model: the smaller of a heat and a water limit.

    Args:
        temperature: mean annual air temperature, degC.
        precipitation: annual precipitation, mm, at least 0.
    """
    by_water = 3000.0 * -jnp.expm1(-0.000664 * precipitation)
    by_heat = 3000.0 / (1.0 + jnp.exp(1.315 - 0.119 * temperature))
    return jnp.minimum(by_water, by_heat) * CARBON_IN_DRY_MATTER / GRAMS_PER_TONNE_HECTARE


def nceas(temperature: jax.Array, precipitation: jax.Array) -> jax.Array:
    """Net primary production (t C ha-1 yr-1) by the NCEAS model for all vegetation; arguments as :func:`miami`."""
    by_water = 0.551 * _power(precipitation, 1.055) / jnp.exp(0.000306 * precipitation)
    by_heat = 2540.0 / (1.0 + jnp.exp(1.584 - 0.0622 * temperature))
    return jnp.minimum(by_water, by_heat) / GRAMS_PER_TONNE_HECTARE


def schuur(temperature: jax.Array, precipitation: jax.Array) -> jax.Array:
    """Net primary production (t C ha-1 yr-1) by Schuur's regressions; arguments as :func:`miami`."""
    by_water = 0.005215 * _power(precipitation, 1.12363) / jnp.exp(0.000459532 * precipitation)
    by_heat = 17.6243 / (1.0 + jnp.exp(1.3496 - 0.071514 * temperature))
    return jnp.minimum(by_water, by_heat)


def _power(base: jax.Array, exponent: float) -> jax.Array:
    """``base ** exponent`` with value and gradient 0 at a base of 0 (both exponents exceed 1)."""
    positive = base > 0.0
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** exponent, 0.0)


PRODUCTIVITY = {"miami": miami, "nceas": nceas, "schuur": schuur}
