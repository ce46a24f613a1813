"""Organic carbon of a soil layer per area.

Sources: Wang et al. (2026), Catena, 110145, Eq. 1; Poeplau et al. (2017), doi 10.5194/soil-3-61-2017, on stones.
"""

from __future__ import annotations

import jax

from ensemble.models.base import Arrays, BuildSettings, Simulate

# t/ha in one kg m-2.
TONNES_PER_HECTARE = 10.0


def soc_density(
    soc_concentration: jax.Array, bulk_density: jax.Array, depth: jax.Array, coarse_fragments: jax.Array
) -> jax.Array:
    """Organic carbon of a layer, kg C m-2; arguments of any one shape.

    Bulk density is that of the fine soil: where it was measured with the stones in it, it counts them already
    and ``coarse_fragments`` is not what has to be given.

    Args:
        soc_concentration: of the fine soil, g/kg.
        bulk_density: mass of fine soil per volume of fine soil, g cm-3.
        depth: thickness, cm.
        coarse_fragments: stones, % of volume.
    """
    return fine_soil_mass(bulk_density, depth, coarse_fragments) * soc_concentration * 1e-3


def fine_soil_mass(bulk_density: jax.Array, depth: jax.Array, coarse_fragments: jax.Array) -> jax.Array:
    """Mass of fine soil in a layer, kg m-2; arguments as for :func:`soc_density`."""
    return 10.0 * bulk_density * depth * (1.0 - coarse_fragments / 100.0)


def build(settings: BuildSettings) -> Simulate:
    """Code of the model ``stock``."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        layer = (inputs[name] for name in ("soc_concentration", "bulk_density", "depth", "coarse_fragments"))
        density = soc_density(*layer)
        return {"soc_density": density, "soc_stock": TONNES_PER_HECTARE * density}

    return simulate
