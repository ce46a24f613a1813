"""GEM-CO2: carbon that rock weathering takes out of the air, from runoff and lithology.

The flux is proportional to runoff, ``F = a Q``, with one coefficient a rock (Amiotte Suchet et al. 2003,
https://doi.org/10.1029/2002GB001891). Q in mm and a in mmol/L give thousands of mol a km2; twelve grams a
mole turn that into t C km-2, which is the same number in g C m-2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.records.carbon import LITHOLOGIES, WEATHERING_COEFFICIENTS

# g C per mmol, and litres per m2 in one mm of runoff (1).
GRAMS_PER_MMOL = 0.012
# Rocks whose weathering gives its CO2 back when carbonate precipitates in the sea, or takes up none for good.
NOT_SILICATE = ("carbonate", "evaporite")


def rock_coefficient(lithology: str, shale: float = 0.627, acid_volcanic: float = 0.222) -> float:
    """Coefficient ``a`` of one rock, mmol/L.

    Args:
        lithology: one of :data:`LITHOLOGIES`.
        shale, acid_volcanic: the value chosen where two are published.

    Raises:
        ValueError: the rock has no coefficient.
    """
    chosen = {**WEATHERING_COEFFICIENTS, "shale": shale, "acid_volcanic": acid_volcanic}
    if lithology not in chosen:
        raise ValueError(f"the lithology '{lithology}' has no weathering coefficient; allowed: {', '.join(chosen)}")
    return chosen[lithology]


def weathering(runoff: Any, coefficient: Any) -> Any:
    """Carbon taken up, g C m-2 (or t C km-2) over the time in which ``runoff`` (mm, 0 or more) ran off.

    Args:
        runoff: mm, any shape.
        coefficient: mmol/L, broadcast against it.
    """
    return GRAMS_PER_MMOL * coefficient * runoff


def clipped_balance(precipitation: Any, evapotranspiration: Any) -> tuple[jax.Array, jax.Array]:
    """Runoff ``max(P - ET, 0)`` and the deficit ``max(ET - P, 0)`` that was set to zero, both mm, same shape."""
    surplus = precipitation - evapotranspiration
    return jnp.maximum(surplus, 0.0), jnp.maximum(-surplus, 0.0)


def coefficients(inputs: Arrays, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Coefficient of all rocks of a place and of its silicate rocks alone, mmol/L, each scalar.

    Weights of a mixture are normalised; independent gamma weights are therefore a Dirichlet mixture. Weights
    that are all zero give NaN, so that the member fails instead of passing for bare rock.

    Args:
        inputs: the shares, ``weathering_coefficient`` and ``weathering_factor``.
        options: ``lithology``, ``shale``, ``acid_volcanic``.
    """
    factor, lithology = inputs["weathering_factor"], options["lithology"]
    if lithology == "coefficient":
        return inputs["weathering_coefficient"] * factor, inputs["weathering_coefficient"] * factor
    values = {name: rock_coefficient(name, options["shale"], options["acid_volcanic"]) for name in LITHOLOGIES}
    if lithology != "mixture":
        silicate = 0.0 if lithology in NOT_SILICATE else values[lithology]
        return values[lithology] * factor, silicate * factor
    weights = jnp.stack([inputs[f"{name}_share"] for name in LITHOLOGIES])
    every = jnp.asarray([values[name] for name in LITHOLOGIES], weights.dtype)
    kept = jnp.asarray([name not in NOT_SILICATE for name in LITHOLOGIES], weights.dtype)
    shares = weights / weights.sum()
    return factor * (shares @ every), factor * (shares @ (every * kept))


def build(settings: BuildSettings) -> Simulate:
    """The yearly formula: outputs ``runoff_used, clipped, weathering_flux, silicate_flux``, each shape ``()``."""

    def simulate(inputs: Arrays) -> dict[str, Any]:
        if settings.options["runoff"] == "balance":
            runoff, deficit = clipped_balance(inputs["annual_precipitation"], inputs["annual_evapotranspiration"])
        else:
            runoff = jnp.asarray(inputs["runoff"])
            deficit = jnp.zeros_like(runoff)
        everything, silicate = coefficients(inputs, settings.options)
        return {
            "runoff_used": runoff,
            "clipped": (deficit > 0.0).astype(runoff.dtype),
            "weathering_flux": weathering(runoff, everything),
            "silicate_flux": weathering(runoff, silicate),
        }

    return simulate
