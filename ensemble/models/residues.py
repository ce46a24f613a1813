"""Plant carbon that enters the soil, from what was harvested.

Source: Bolinder et al. (2007), Agriculture, Ecosystems and Environment 118, 29-42, doi
10.1016/j.agee.2006.05.013: residues follow from yield and harvest index, roots from the shoot, and what roots
release while they grow is a fixed part of their carbon.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate


class PlantCarbon(NamedTuple):
    """Carbon of a year's crop that enters the soil, t C/ha; any one shape."""

    residues: jax.Array
    below_ground: jax.Array


def carbon_from_yield(
    grain_yield: jax.Array,
    dry_matter: jax.Array,
    harvest_index: jax.Array,
    shoot_root_ratio: jax.Array,
    extra_root: jax.Array,
    carbon_content: jax.Array,
    residue_removed: jax.Array,
    root_share: jax.Array,
) -> PlantCarbon:
    """Residues and below-ground carbon of a crop (Bolinder et al. 2007, Eqs 1-8).

    Args:
        grain_yield: harvested product as weighed, t/ha.
        dry_matter: of the product, fraction.
        harvest_index: product / shoot (product, straw and chaff), dry matter.
        shoot_root_ratio: shoot / root at harvest, dry matter.
        extra_root: carbon released by living roots per carbon in them.
        carbon_content: of plant dry matter, fraction.
        residue_removed: part of the straw that leaves the field.
        root_share: part of the below-ground carbon that enters the modelled depth.
    """
    product = grain_yield * dry_matter * carbon_content
    shoot = product / harvest_index
    roots = shoot / shoot_root_ratio
    return PlantCarbon((shoot - product) * (1.0 - residue_removed), roots * (1.0 + extra_root) * root_share)


def build(settings: BuildSettings) -> Simulate:
    """Code of the model ``residues``: series of the months of the run, or sums over its records."""
    allometry = (
        "grain_yield", "dry_matter", "harvest_index", "shoot_root_ratio", "extra_root", "carbon_content",
        "residue_removed", "root_share",
    )  # fmt: skip

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        share = inputs["input_share"]
        crop = carbon_from_yield(*(inputs[name] for name in allometry))
        months = {"residue_carbon": crop.residues * share, "below_ground_carbon": crop.below_ground * share}
        months["plant_carbon"] = months["residue_carbon"] + months["below_ground_carbon"]
        steps = settings.steps_per_record
        return {name: jnp.reshape(values, (-1, steps)).sum(axis=1) for name, values in months.items()}

    return simulate


def build_grass_and_crop(settings: BuildSettings) -> Simulate:
    """Code of the model ``grass_and_crop``: their sum, months of the run or sums over its records."""

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        months = inputs["grass_carbon"] + inputs["crop_carbon"]
        return {"plant_carbon": jnp.reshape(months, (-1, settings.steps_per_record)).sum(axis=1)}

    return simulate
