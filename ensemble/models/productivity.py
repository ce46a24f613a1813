"""Net primary production from climate: three published regressions, and plant carbon that follows it.

Miami: Lieth (1975). NCEAS: Del Grosso et al. (2008). Schuur: Schuur (2003). Coefficients as compiled in
the FAO GSOCseq technical manual and its scripts (github.com/ncss-tech/gsp-gsocseq).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate

MONTHS = 12
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


def build_plant_carbon(settings: BuildSettings) -> Simulate:
    """Code of ``climate_plant_carbon`` (GSOCseq Eqs 6.4, 6.5 and 6.14).

    Series begin with the equilibrium year, whose productivity is that of its mean climate. The annual input of a
    year is the one at equilibrium times the ratio of both productivities, so the unit of productivity drops out.
    """

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        names = ("temperature", "precipitation", "input_share", "historic", "practice")
        length = max(inputs[name].size for name in names)
        months = {name: jnp.broadcast_to(inputs[name], (length,)) for name in names}
        npp = miami(annual_mean(months["temperature"]), MONTHS * annual_mean(months["precipitation"]))
        ratio = _like_historic_years(npp / npp[0], annual_mean(months["historic"]))
        usual = inputs["annual_plant_carbon"] * jnp.repeat(ratio, MONTHS)[:length] * months["input_share"]
        return {"plant_carbon": usual * (1.0 + months["practice"] * inputs["practice_gain"])}

    return simulate


def annual_mean(months: jax.Array) -> jax.Array:
    """Mean over each year of a series (n,), a last year that is not whole over its own months: (ceil(n / 12),)."""
    missing = -months.size % MONTHS
    sums = jnp.pad(months, (0, missing)).reshape(-1, MONTHS).sum(axis=1)
    counts = jnp.full(sums.shape, MONTHS, sums.dtype).at[-1].add(-missing)
    return sums / counts


def _like_historic_years(ratio: jax.Array, historic: jax.Array) -> jax.Array:
    """Years (n,), the first at equilibrium: their own ratio where historic is 1, the mean of those where it is 0."""
    weight = historic[1:]
    total = weight.sum()
    some = total > 0.0
    mean = jnp.where(some, (weight * ratio[1:]).sum() / jnp.where(some, total, 1.0), 1.0)
    return ratio.at[1:].set(weight * ratio[1:] + (1.0 - weight) * mean)
