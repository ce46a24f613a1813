"""What measured topsoil carbon does to the inputs of a linear model.

RothC alone is linear: with the same rates and inputs a change of management gains the same carbon whatever
the soil held before. These formulas make its inputs depend on the measured carbon, so that an error of that
measurement can reach a credit. They use the carbon at the start, so each run stays linear in its pools.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.hydraulics import water_content, wosten_retention
from ensemble.models.protection import pore_modifier

MATTER_PER_CARBON = 1.72  # organic matter in organic carbon, as in RothC's use of the regression
LEAST_MATTER = 0.1  # %, the regression holds an inverse and a logarithm
WET, DRY = 20.0, 600.0  # hPa


def build_stock(settings: BuildSettings) -> Simulate:
    """Code of ``topsoil_stock``: t C/ha = g cm-3 x % x cm (Zhou et al. 2023, Eq. 1; the factor is exactly 1)."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        return {"soc_measured": inputs["bulk_density"] * inputs["soc_percent"] * inputs["depth"]}

    return simulate


def build_temperature(settings: BuildSettings) -> Simulate:
    """Code of ``site_temperature``."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        return {"temperature": inputs["reference_temperature"] + inputs["temperature_difference"]}

    return simulate


def productivity_factor(soc_percent: jax.Array, reference: jax.Array, half: jax.Array) -> jax.Array:
    """``s / (s + h)`` over its value at the reference; arguments in % of soil mass, any common shape."""
    return soc_percent / (soc_percent + half) * (reference + half) / reference


def build_productivity(settings: BuildSettings) -> Simulate:
    """Code of ``productivity_feedback``."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        factor = productivity_factor(inputs["soc_percent"], inputs["reference_soc"], inputs["half_saturation"])
        scale = 1.0 + inputs["productivity_strength"] * (factor - 1.0)
        return {"plant_carbon": inputs["reference_plant_carbon"] * jnp.maximum(scale, 0.0)}

    return simulate


def reachable_pores(clay: jax.Array, silt: jax.Array, soc_percent: jax.Array, bulk_density: jax.Array) -> jax.Array:
    """Rate factor of pores that microbes reach, 0.8 to 1, from water contents at 20 and 600 hPa."""
    matter = jnp.maximum(MATTER_PER_CARBON * soc_percent, LEAST_MATTER)
    retention = wosten_retention(clay, silt, matter, bulk_density)
    return pore_modifier(water_content(retention, WET), water_content(retention, DRY))


def build_pores(settings: BuildSettings) -> Simulate:
    """Code of ``pore_feedback``."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        texture = inputs["clay"], inputs["silt"]
        here = reachable_pores(*texture, inputs["soc_percent"], inputs["bulk_density"])
        reference = reachable_pores(*texture, inputs["reference_soc"], inputs["reference_bulk_density"])
        return {"rate_scale": 1.0 + inputs["pores_strength"] * (here / reference - 1.0)}

    return simulate
