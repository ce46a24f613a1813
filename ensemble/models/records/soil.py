"""Records of the formulas of one soil layer: stock and saturation."""

from __future__ import annotations

import math

from ensemble.models.base import Model
from ensemble.specs import InputSpec, OptionSpec, OutputSpec

WANG = "Wang et al. (2026), Catena, 110145, Eqs 1-6"
HASSINK = "Hassink (1997), Plant and Soil 191, 77-87, doi 10.1023/A:1004213929699"
POEPLAU = "Poeplau et al. (2017), SOIL 3, 61-66, doi 10.5194/soil-3-61-2017"
POSITIVE = (0.0, math.inf)
R2_SHARE = 0.75 / (0.75 + 0.74)  # of the boosted trees of both potentials

LAYER = (
    InputSpec(
        "soc_concentration", "g/kg", "organic carbon in the fine soil", support=(0.0, 600.0), plausible=(1.0, 150.0),
        hint="carbon is in g/kg; give units: % for per cent of mass", source=WANG,
    ),
    InputSpec(
        "bulk_density", "g cm-3", "mass of fine soil per volume of fine soil", support=(0.05, 2.65),
        plausible=(0.5, 1.9), hint="bulk density is in g cm-3 (1300 kg m-3 is 1.3)", source=WANG,
    ),
    InputSpec(
        "depth", "cm", "thickness of the layer", support=(0.1, 1000.0), plausible=(5.0, 200.0),
        hint="thickness is in cm", source=WANG,
    ),
    InputSpec(
        "coarse_fragments", "%", "volume of stones above 2 mm", default=0.0, support=(0.0, 99.0),
        plausible=(0.0, 60.0), hint="in % of volume, not a fraction; 100 % would leave no soil", source=POEPLAU,
    ),
)  # fmt: skip
SOC_DENSITY = OutputSpec(
    "soc_density", "kg C m-2", "organic carbon of the layer per area", support=POSITIVE,
    standard_name="soil_mass_content_of_carbon", source=WANG,
)  # fmt: skip

STOCK = Model(
    name="stock",
    title="organic-carbon stock of a layer from concentration, bulk density, thickness and stones",
    inputs=LAYER,
    outputs=(SOC_DENSITY, OutputSpec("soc_stock", "t C/ha", "organic-carbon stock of the layer", support=POSITIVE)),
    build="ensemble.models.stock:build",
    cost=5.0,
    source=f"{WANG}; {POEPLAU}",
)

SATURATION = Model(
    name="saturation",
    title="carbon saturation of the fine fraction and what is left to it (Hassink, Elustondo)",
    inputs=(
        *LAYER,
        InputSpec(
            "silt_and_clay", "%", "particles below 50 um", support=(0.0, 100.0), plausible=(2.0, 100.0),
            hint="silt and clay are in %, not a fraction", source=WANG,
        ),
        InputSpec("hassink_intercept", "g/kg", "intercept of Eq. 3", default=4.09, support=POSITIVE, source=HASSINK),
        InputSpec("hassink_slope", "g/kg", "slope of Eq. 3, per %", default=0.37, support=POSITIVE, source=HASSINK),
        InputSpec("elustondo_intercept", "g/kg", "intercept of Eq. 4", default=9.04, support=POSITIVE, source=WANG),
        InputSpec("elustondo_slope", "g/kg", "slope of Eq. 4, per %", default=0.27, support=POSITIVE, source=WANG),
        InputSpec(
            "hassink_share", "1", "share of Hassink in potential_weighted, by R2 0.75 / (0.75 + 0.74); 0 or 1 for one model alone",
            default=R2_SHARE, support=(0.0, 1.0), source=f"{WANG}, Table 3",
        ),
    ),
    outputs=(
        SOC_DENSITY,
        OutputSpec("saturation_hassink", "kg C m-2", "saturation after Hassink", support=POSITIVE),
        OutputSpec("saturation_elustondo", "kg C m-2", "saturation after Elustondo", support=POSITIVE),
        OutputSpec("potential_hassink", "kg C m-2", "saturation after Hassink minus carbon now (negative: above it)"),
        OutputSpec(
            "potential_elustondo", "kg C m-2", "saturation after Elustondo minus carbon now (negative: above it)"
        ),
        OutputSpec("potential_mean", "kg C m-2", "mean of the two potentials"),
        OutputSpec("potential_weighted", "kg C m-2", "mean of the two potentials, weighted by hassink_share"),
    ),
    options=(
        OptionSpec(
            "reading", "as_printed", ("as_printed", "labels_swapped"),
            "which equation carries which name: as Eqs 3 and 4 print them, or swapped as the tables of Wang et al. need",
            WANG,
        ),
    ),
    build="ensemble.models.saturation:build",
    cost=12.0,
    source=f"{WANG}; {HASSINK}",
)  # fmt: skip

MODELS = (STOCK, SATURATION)
