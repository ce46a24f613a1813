"""Records of the models of plant carbon: from yields, and from the productivity of each year's climate."""

from __future__ import annotations

import math

from ensemble.models.base import Model
from ensemble.specs import InputSpec, OutputSpec, TimeAxis

BOLINDER = "Bolinder et al. (2007), Agriculture, Ecosystems and Environment 118, 29-42, doi 10.1016/j.agee.2006.05.013"
GSOCSEQ = "FAO (2020), GSOCseq technical specifications, chapters 5 and 6 (Eqs 6.4-6.14); Smith et al. (2005)"
LIETH = "Lieth (1975), Miami model, as in the GSOCseq technical specifications, Eqs 6.6-6.8"
POSITIVE, FRACTION = (0.0, math.inf), (0.0, 1.0)

RESIDUES = Model(
    name="residues",
    title="plant carbon from yields by allometry (a model of RothC's plant_carbon)",
    inputs=(
        InputSpec(
            "grain_yield", "t/ha", "harvested product as weighed, the year's yield in each of its months", ("time",),
            support=(0.0, 200.0), plausible=(0.0, 20.0), hint="t/ha and year; give units: kg/ha otherwise",
        ),
        InputSpec(
            "input_share", "1", "part of the year's plant carbon that enters the soil in the month", ("time",),
            default=1.0 / 12.0, support=FRACTION, hint="the twelve months of a year add up to 1",
        ),
        InputSpec(
            "residue_removed", "1", "part of the straw that leaves the field", support=FRACTION,
            hint="a fraction, not %",
        ),
        InputSpec(
            "harvest_index", "1", "product / shoot, dry matter (barley)", default=0.53, support=(0.01, 0.99),
            plausible=(0.2, 0.95), hint="a fraction, not %", source=BOLINDER,
        ),
        InputSpec(
            "shoot_root_ratio", "1", "shoot / root, dry matter (barley)", default=9.46, support=(0.05, 200.0),
            plausible=(0.5, 30.0), source=BOLINDER,
        ),
        InputSpec(
            "extra_root", "1", "carbon released by living roots / carbon in the roots", default=0.65,
            support=(0.0, 5.0), plausible=(0.1, 1.5), source=BOLINDER,
        ),
        InputSpec(
            "root_share", "1", "part of the below-ground carbon that enters the modelled depth", default=1.0,
            support=FRACTION,
        ),
        InputSpec(
            "carbon_content", "1", "carbon in plant dry matter", default=0.45, support=(0.2, 0.7),
            plausible=(0.38, 0.5), hint="a fraction, not %", source=BOLINDER,
        ),
        InputSpec(
            "dry_matter", "1", "dry matter of the product as weighed", default=0.85, support=(0.02, 1.0),
            hint="a fraction, not %; 1 where yields are dry matter",
        ),
    ),
    outputs=(
        OutputSpec("plant_carbon", "t C/ha", "plant carbon that enters the soil", ("time",), "flux", POSITIVE),
        OutputSpec("residue_carbon", "t C/ha", "of this, straw and stubble", ("time",), "flux", POSITIVE),
        OutputSpec("below_ground_carbon", "t C/ha", "of this, roots and what they release", ("time",), "flux", POSITIVE),
    ),
    time=TimeAxis(step="month", lead=0, per_year=12),
    build="ensemble.models.residues:build",
    cost=12.0,
    source=BOLINDER,
    derives="plant_carbon",
)  # fmt: skip

CLIMATE_PLANT_CARBON = Model(
    name="climate_plant_carbon",
    title="plant carbon that follows net primary production year by year, with more of it under a practice",
    inputs=(
        InputSpec(
            "temperature", "degC", "mean air temperature of the month", ("time",), support=(-70.0, 60.0),
            plausible=(-45.0, 42.0), hint="temperature is in degC, not K",
        ),
        InputSpec(
            "precipitation", "mm", "precipitation of the month", ("time",), support=(0.0, 5000.0),
            plausible=(0.0, 1500.0), hint="precipitation is in mm a month",
        ),
        InputSpec(
            "annual_plant_carbon", "t C/ha", "plant carbon of a year as productive as the equilibrium year; "
            "any number where the inverse spin-up scales it", default=1.0, support=(0.0, 200.0), plausible=(0.1, 20.0),
        ),
        InputSpec(
            "input_share", "1", "part of the year's plant carbon that enters the soil in the month", ("time",),
            default=1.0 / 12.0, support=FRACTION, hint="the twelve months of a year add up to 1",
        ),
        InputSpec(
            "historic", "1", "1 in years with their own productivity, 0 in years with the mean of those", ("time",),
            default=1.0, support=FRACTION, source=GSOCSEQ,
        ),
        InputSpec(
            "practice", "1", "1 in months under the improved practice, 0 before and without it", ("time",),
            default=0.0, support=FRACTION, source=GSOCSEQ,
        ),
        InputSpec(
            "practice_gain", "1", "plant carbon that the practice adds, as a fraction of the usual", default=0.0,
            support=(-1.0, 20.0), plausible=(-0.3, 1.0), hint="a fraction (0.1 for 10 %)", source=GSOCSEQ,
        ),
    ),
    outputs=(
        OutputSpec("plant_carbon", "t C/ha", "plant carbon that enters the soil", ("time",), "flux", POSITIVE),
    ),
    build="ensemble.models.productivity:build_plant_carbon",
    cost=10.0,
    source=f"{GSOCSEQ}; {LIETH}",
    derives="plant_carbon",
)  # fmt: skip


GRASS_AND_CROP = Model(
    name="grass_and_crop",
    title="plant carbon of grassland and of crops, each with its own uncertainty (a model of RothC's plant_carbon)",
    inputs=tuple(
        InputSpec(
            name, "t C/ha", f"plant carbon of {what} that enters the soil in the month", ("time",), default=0.0,
            support=(0.0, 200.0), plausible=(0.0, 10.0), hint="t C/ha in that month, not a year",
        )
        for name, what in (("grass_carbon", "grassland"), ("crop_carbon", "crops"))
    ),
    outputs=(OutputSpec("plant_carbon", "t C/ha", "plant carbon that enters the soil", ("time",), "flux", POSITIVE),),
    time=TimeAxis(step="month", lead=0, per_year=12),
    build="ensemble.models.residues:build_grass_and_crop",
    cost=1.0,
    source="a sum",
    derives="plant_carbon",
)  # fmt: skip

MODELS = (RESIDUES, CLIMATE_PLANT_CARBON, GRASS_AND_CROP)
