"""The carbon budget of Zhang et al. (2022): respiration, NEP, land sink, carbon-neutral capacity.

Equation numbers are theirs (https://doi.org/10.1016/j.jclepro.2022.130966). What their formulas leave
open (units, the length of a month, clipping) is said where it is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.weathering import clipped_balance, coefficients, weathering
from ensemble.units import CO2_PER_C

PRINTED_MONTH = 30.0


def heterotrophic_respiration(
    temperature: Any,
    precipitation: Any,
    days: Any = PRINTED_MONTH,
    scale: Any = 0.22,
    temperature_exponent: Any = 0.0913,
    rain_factor: Any = 0.3145,
    share: Any = 0.465,
) -> Any:
    """Heterotrophic respiration of one month, g C m-2 (equation 3).

    The bracket times ``scale`` is soil respiration in g C m-2 d-1. Its floor follows from the form: the
    exponential is above 0 and the logarithm at least 0, so a dry month at 0 degC still respires 0.22 g a day
    (37 g C m-2 a year after the heterotrophic share), which makes cold deserts a source whatever grows there.

    Args:
        temperature: monthly mean, degC, any shape.
        precipitation: monthly sum, mm; below 0 counts as 0.
        days: days in the month.
        scale: g C m-2 d-1.
        temperature_exponent: degC-1.
        rain_factor: mm-1.
        share: heterotrophic share of soil respiration, 0 to 1.
    """
    rain = jnp.maximum(precipitation, 0.0)
    soil = scale * (jnp.exp(temperature_exponent * temperature) + jnp.log1p(rain_factor * rain))
    return soil * days * share


def carbon_to_co2(carbon: Any) -> Any:
    """Mass of CO2 that holds a mass of carbon: 44/12 of it."""
    return carbon * CO2_PER_C


def co2_to_carbon(co2: Any) -> Any:
    """Mass of carbon in a mass of CO2: 12/44 of it."""
    return co2 / CO2_PER_C


def _respired(inputs: Arrays, options: Mapping[str, Any]) -> Any:
    days = inputs["days_in_month"] if options["month_length"] == "calendar" else PRINTED_MONTH
    return heterotrophic_respiration(
        inputs["temperature"],
        inputs["precipitation"],
        days,
        inputs["respiration_scale"],
        inputs["respiration_temperature"],
        inputs["respiration_rain"],
        inputs["heterotrophic_share"],
    )


def _records(series: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Sums over the steps of each record, shape (n / steps,)."""
    return {name: values.reshape(-1, steps).sum(axis=1) for name, values in series.items()}


def build_production(settings: BuildSettings) -> Simulate:
    """Outputs ``heterotrophic_respiration`` and ``nep``, g C m-2 in each record."""

    def simulate(inputs: Arrays) -> dict[str, Any]:
        respired = _respired(inputs, settings.options)
        series = {"heterotrophic_respiration": respired, "nep": inputs["npp"] - respired}
        return _records(series, settings.steps_per_record)

    return simulate


def _yearly(values: Any) -> Any:
    if values.shape[0] % 12:
        raise ValueError(
            f"a yearly water balance needs whole years of twelve months; {values.shape[0]} months are given"
        )
    return values.reshape(-1, 12).sum(axis=1)


def build_land_sink(settings: BuildSettings) -> Simulate:
    """Every output of ``land_carbon_sink``, summed over the steps of each record.

    With ``clip: year`` the water balance of a whole year may not be negative, so that rain stored in the
    soil can evaporate later; its runoff is spread evenly over the months. Months are then taken in blocks of
    twelve from the first one.

    Raises:
        ValueError: ``clip: year`` and a series that is not whole years.
    """
    yearly = settings.options["clip"] == "year"

    def simulate(inputs: Arrays) -> dict[str, Any]:
        rain, evaporated = inputs["precipitation"], inputs["evapotranspiration"]
        if yearly:
            parts = clipped_balance(_yearly(rain), _yearly(evaporated))
            counted = jnp.repeat(jnp.where(parts[1] > 0.0, 1.0 / 12.0, 0.0).astype(rain.dtype), 12)
            runoff, deficit = (jnp.repeat(part / 12.0, 12) for part in parts)
        else:
            runoff, deficit = clipped_balance(rain, evaporated)
            counted = (deficit > 0.0).astype(rain.dtype)
        respired = _respired(inputs, settings.options)
        everything, silicate = coefficients(inputs, settings.options)
        weathered, nep = weathering(runoff, everything), inputs["npp"] - respired
        emitted = inputs["emissions"] * inputs["emission_factor"]
        series = {
            "heterotrophic_respiration": respired,
            "nep": nep,
            "runoff": runoff,
            "runoff_clipped": deficit,
            "clipped_steps": counted,
            "rock_weathering": weathered,
            "silicate_weathering": weathering(runoff, silicate),
            "ecosystem_sink": nep + weathered,
            "fossil_emissions": emitted,
            "carbon_neutral_capacity": nep + weathered - emitted,
        }
        return _records(series, settings.steps_per_record)

    return simulate


def summed_emissions(emissions: Any, factor: Any, cv: Any, correlation: Any, score: Any) -> Any:
    """Sum over parts whose activity data err, with one emission factor for all of them.

    Activity errors of relative standard deviation ``cv`` and common correlation ``rho`` are normal, so their
    sum is normal with variance ``cv^2 ((1 - rho) sum E_i^2 + rho (sum E_i)^2)``: one score stands for all
    parts, exactly. Independence (0) and full dependence (1) are its two ends.

    Args:
        emissions: shape (parts,), any mass unit.
        factor: error of the emission factor, shared.
        cv: relative sd of one part's activity, 0 to 1.
        correlation: between two parts, 0 to 1.
        score: standard normal number.
    """
    total = emissions.sum()
    # The square root has no gradient at zero emissions; a sum of squares below the smallest normal number is zero.
    spread = (1.0 - correlation) * (emissions**2).sum() + correlation * total**2
    safe = jnp.where(spread > 0.0, spread, 1.0)
    sd = cv * jnp.where(spread > 0.0, jnp.sqrt(safe), 0.0)
    return factor * (total + sd * score)


def budget_coordinates(options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Axis ``part``: 1 to the number of parts.

    Raises:
        ValueError: ``parts`` is not a whole number of 1 or more.
    """
    parts = options["parts"]
    if isinstance(parts, bool) or not isinstance(parts, int) or parts < 1:
        raise ValueError(f"parts is {parts!r}; allowed: a whole number of 1 or more")
    return {"part": np.arange(1, parts + 1)}


def build_budget(settings: BuildSettings) -> Simulate:
    """Outputs ``total_emissions, ecosystem_sink, carbon_neutral_capacity`` (Tg CO2) and ``absorbed_share``."""
    account = settings.options["account"]

    def simulate(inputs: Arrays) -> dict[str, Any]:
        if account == "mean":
            parts = 0.5 * (inputs["emissions"] + inputs["emissions_second"])
        else:
            parts = inputs["emissions" if account == "first" else "emissions_second"]
        emitted = summed_emissions(
            jnp.atleast_1d(parts),
            inputs["emission_factor"],
            inputs["activity_cv"],
            inputs["activity_correlation"],
            inputs["activity_score"],
        )
        sink = inputs["nep"] + inputs["rock_weathering"]
        some = emitted > 0.0
        return {
            "total_emissions": emitted,
            "ecosystem_sink": sink,
            "carbon_neutral_capacity": sink - emitted,
            "absorbed_share": jnp.where(some, sink / jnp.where(some, emitted, 1.0), jnp.nan),
        }

    return simulate
