"""Record of the model of plant carbon from yields."""

from __future__ import annotations

import math

from ensemble.models.base import Model
from ensemble.specs import InputSpec, OutputSpec, TimeAxis

BOLINDER = "Bolinder et al. (2007), Agriculture, Ecosystems and Environment 118, 29-42, doi 10.1016/j.agee.2006.05.013"
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

MODELS = (RESIDUES,)
