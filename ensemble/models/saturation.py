"""How much carbon the fine fraction of a layer can hold, and how much of that is left.

Source: Wang et al. (2026), Catena, 110145, Eqs 2-4, after Hassink (1997), doi 10.1023/A:1004213929699, and
Elustondo et al. Hassink's limit was found for particles below 20 um; used below 50 um it lies too high.
"""

from __future__ import annotations

import jax

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.stock import fine_soil_mass, soc_density


def saturation_concentration(fine: jax.Array, intercept: float | jax.Array, slope: float | jax.Array) -> jax.Array:
    """Carbon at saturation, g/kg of fine soil, from particles below 50 um in % (Eqs 3 and 4)."""
    return intercept + slope * fine


def build(settings: BuildSettings) -> Simulate:
    """Code of the model ``saturation``.

    The option ``reading`` says which equation carries which name. As printed, Eq. 3 (4.09 + 0.37 f) is
    Hassink's, which agrees with Hassink (1997). The tables of Wang et al. can only be reproduced with the two
    names exchanged (``labels_swapped``).
    """
    names = ("hassink", "elustondo")
    equations = names if settings.options["reading"] == "as_printed" else names[::-1]

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        body = inputs["bulk_density"], inputs["depth"], inputs["coarse_fragments"]
        mass, density = fine_soil_mass(*body), soc_density(inputs["soc_concentration"], *body)
        outputs = {"soc_density": density}
        for name, equation in zip(names, equations, strict=True):
            coefficients = inputs[f"{equation}_intercept"], inputs[f"{equation}_slope"]
            outputs[f"saturation_{name}"] = (
                mass * saturation_concentration(inputs["silt_and_clay"], *coefficients) * 1e-3
            )
            outputs[f"potential_{name}"] = outputs[f"saturation_{name}"] - density
        share = inputs["hassink_share"]
        outputs["potential_weighted"] = (
            share * outputs["potential_hassink"] + (1.0 - share) * outputs["potential_elustondo"]
        )
        outputs["potential_mean"] = 0.5 * (outputs["potential_hassink"] + outputs["potential_elustondo"])
        return outputs

    return simulate
