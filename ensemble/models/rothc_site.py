"""One site and its months as RothC sees them: soil constants, monthly drivers, rate factors.

Source: Coleman and Jenkinson, RothC description, version 2.0.0 (2025); Farina et al. (2013), doi
10.1016/j.geoderma.2013.01.021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays
from ensemble.models.decomposition import Kinetics, Pools, arrivals, make_kinetics
from ensemble.models.modifiers import (
    MoistureLimits,
    clay_limits,
    next_deficit,
    rate_cover,
    rate_moisture,
    rate_temperature,
    van_genuchten_limits,
)
from ensemble.models.scan import scan_months

SERIES = (
    "temperature", "precipitation", "pan_evaporation", "plant_carbon", "manure_carbon", "plant_cover",
    "dpm_rpm_ratio", "modern_carbon",
)  # fmt: skip

Inputs = Mapping[str, jax.Array]


class Drivers(NamedTuple):
    """What a month brings; scalars, or series of one length.

    Args:
        temperature: degC.
        water: precipitation minus evapotranspiration, mm.
        cover: covered part of the area.
        plant, manure: carbon that arrives, t C/ha.
        dpm_part: part of the plant carbon that is DPM.
        modern: activity of the input as a fraction of modern; ``None`` without radiocarbon.
    """

    temperature: jax.Array
    water: jax.Array
    cover: jax.Array
    plant: jax.Array
    manure: jax.Array
    dpm_part: jax.Array
    modern: jax.Array | None


class Site(NamedTuple):
    """What does not change in a run: limits of the deficit, kinetics, and the inputs by name (scalars)."""

    limits: MoistureLimits
    kinetics: Kinetics
    inputs: Inputs

    def arriving(self, month: Drivers) -> Pools:
        """Input of a month (or of several) by pool, t C/ha."""
        dpm, hum = self.inputs["manure_dpm"], self.inputs["manure_hum"]
        return arrivals(month.plant, month.manure, month.dpm_part, dpm, hum)


class Factors(NamedTuple):
    """Rate factors of a month and the moisture deficit (mm) at its end; scalars, or series."""

    temperature: jax.Array
    moisture: jax.Array
    cover: jax.Array
    deficit: jax.Array

    @property
    def rate(self) -> jax.Array:
        """Product of the three rate factors."""
        return self.temperature * self.moisture * self.cover


def prepare(inputs: Arrays) -> dict[str, jax.Array]:
    """Inputs in one floating type, series broadcast to one length (12 + n,)."""
    dtype = jnp.result_type(0.0, *inputs.values())
    arrays = {name: jnp.asarray(value, dtype) for name, value in inputs.items()}
    length = max(arrays[name].size for name in SERIES if name in arrays)
    return arrays | {name: jnp.broadcast_to(arrays[name], (length,)) for name in SERIES if name in arrays}


def moisture_limits(inputs: Inputs, options: Mapping[str, Any]) -> MoistureLimits:
    """Deficits (mm) at which this soil's behaviour changes, under the options ``moisture`` and ``bare``."""
    to_wilting = options["bare"] == "wilting_point"
    if options["moisture"] == "standard":
        return clay_limits(inputs["clay"], inputs["depth"], to_wilting)
    texture = inputs["clay"], inputs["silt"], inputs["organic_carbon"]
    to_thousand_bar = options["moisture"] == "van_genuchten_dry"
    return van_genuchten_limits(*texture, inputs["bulk_density"], inputs["depth"], to_thousand_bar, to_wilting)


def make_site(inputs: Inputs, options: Mapping[str, Any]) -> Site:
    """What does not change in a run; inputs from :func:`prepare`."""
    return Site(moisture_limits(inputs, options), make_kinetics(inputs), inputs)


def month_factors(site: Site, deficit: jax.Array, month: Drivers) -> Factors:
    """Rate factors of one month from the deficit (mm) before it; scalars."""
    inputs = site.inputs
    deficit = next_deficit(deficit, month.water, month.cover, site.limits)
    return Factors(
        rate_temperature(
            month.temperature,
            inputs["temperature_factor_scale"],
            inputs["temperature_factor_slope"],
            inputs["temperature_factor_shift"],
            inputs["frost_threshold"],
        ),
        rate_moisture(deficit, site.limits, inputs["moisture_factor_minimum"]),
        rate_cover(month.cover, inputs["cover_factor"]),
        deficit,
    )


def rate_factors(site: Site, deficit: jax.Array, months: Drivers) -> Factors:
    """Rate factors of consecutive months, each (months,), from the deficit (mm) before the first."""

    def month(deficit: jax.Array, month: Drivers) -> tuple[jax.Array, Factors]:
        factors = month_factors(site, deficit, month)
        return factors.deficit, factors

    return scan_months(month, deficit, months)[1]


def make_drivers(inputs: Inputs, options: Mapping[str, Any], plant_scale: float | jax.Array = 1.0) -> Drivers:
    """Every series from the first month of the equilibrium year to the end of the run, (12 + n,)."""
    ratio = inputs["dpm_rpm_ratio"]
    return Drivers(
        inputs["temperature"],
        inputs["precipitation"] - inputs["pan_coefficient"] * inputs["pan_evaporation"],
        inputs["plant_cover"],
        inputs["plant_carbon"] * plant_scale,
        inputs["manure_carbon"],
        ratio / (ratio + 1.0),
        inputs["modern_carbon"] / 100.0 if options["radiocarbon"] else None,
    )


def part(drivers: Drivers, months: slice) -> Drivers:
    """Some of the months."""
    return jax.tree.map(lambda series: series[months], drivers)
