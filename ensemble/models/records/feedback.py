"""Records of what measured topsoil carbon does to the inputs of RothC: its start, its plant carbon, its rates."""

from __future__ import annotations

import math

from ensemble.models.base import Model
from ensemble.models.records.rothc import WOSTEN
from ensemble.specs import InputSpec, OutputSpec

ZHOU = "Zhou et al. (2023), Geoderma 429, 116254, doi 10.1016/j.geoderma.2022.116254"
POSITIVE = (0.0, math.inf)
OWN = "a declared assumption of this package, not a published function"

SOC_PERCENT = InputSpec(
    "soc_percent", "% (mass)", "organic carbon of the topsoil", support=(0.1, 60.0), plausible=(0.1, 12.0),
    hint="organic carbon is in % here (13 g/kg is 1.3)", source=ZHOU,
)  # fmt: skip
BULK_DENSITY = InputSpec(
    "bulk_density", "g cm-3", "dry bulk density, adjusted for coarse fragments", support=(0.1, 2.65),
    plausible=(0.6, 1.9), hint="bulk density is in g cm-3 (1300 kg m-3 is 1.3)", source=ZHOU,
)  # fmt: skip
DEPTH = InputSpec(
    "depth", "cm", "depth of the modelled topsoil", support=(1.0, 300.0), plausible=(5.0, 100.0), hint="depth is in cm"
)
REFERENCE_SOC = InputSpec(
    "reference_soc", "% (mass)", "organic carbon at which a feedback is 1", default=2.0, support=(0.1, 60.0), source=OWN
)


def _strength(of: str) -> InputSpec:
    return InputSpec(
        f"{of}_strength", "1", f"0 without and 1 with the feedback on {of}", default=1.0, support=(0.0, 5.0), source=OWN
    )


TOPSOIL_STOCK = Model(
    name="topsoil_stock",
    title="stock of the topsoil from carbon concentration, bulk density and depth, as the start of a run",
    inputs=(SOC_PERCENT, BULK_DENSITY, DEPTH),
    outputs=(
        OutputSpec("soc_measured", "t C/ha", "measured stock of soil organic carbon", support=POSITIVE, source=ZHOU),
    ),
    build="ensemble.models.feedback:build_stock",
    cost=3.0,
    source=f"{ZHOU}, Eq. 1",
    derives="soc_measured",
)
SITE_TEMPERATURE = Model(
    name="site_temperature",
    title="air temperature of a site from a reference series and the site's difference from it",
    inputs=(
        InputSpec(
            "reference_temperature",
            "degC",
            "mean air temperature of the month at the reference",
            dims=("time",),
            support=(-70.0, 60.0),
        ),
        InputSpec("temperature_difference", "degC", "site minus reference", default=0.0, support=(-60.0, 60.0)),
    ),
    outputs=(OutputSpec("temperature", "degC", "mean air temperature of the month", dims=("time",), kind="rate"),),
    build="ensemble.models.feedback:build_temperature",
    cost=1.0,
    derives="temperature",
)
PRODUCTIVITY_FEEDBACK = Model(
    name="productivity_feedback",
    title="plant carbon that rises with topsoil carbon and levels off: s / (s + h), 1 at the reference",
    inputs=(
        InputSpec("reference_plant_carbon", "t C/ha", "plant carbon of the month at the reference carbon", dims=("time",), support=(0.0, 200.0)),
        SOC_PERCENT,
        REFERENCE_SOC,
        InputSpec(
            "half_saturation", "% (mass)", "carbon at half of the largest productivity; 0.06 gives the 1.1 % of GPP "
            "that 0.77 % of SOC made at 2 %", default=0.06, support=(1e-6, 10.0), source=f"fitted to one number of {ZHOU}",
        ),
        _strength("productivity"),
    ),
    outputs=(OutputSpec("plant_carbon", "t C/ha", "plant carbon of the month", dims=("time",), kind="flux", support=POSITIVE),),
    build="ensemble.models.feedback:build_productivity",
    cost=6.0,
    source=OWN,
    derives="plant_carbon",
)  # fmt: skip
PORE_FEEDBACK = Model(
    name="pore_feedback",
    title="decomposition rate from the share of pores that microbes reach, which carbon and bulk density change",
    inputs=(
        InputSpec("clay", "%", "clay content (below 2 um)", support=(1.0, 100.0), plausible=(2.0, 80.0), hint="clay is in %, not a fraction"),
        InputSpec("silt", "%", "silt content (2-50 um)", support=(0.1, 100.0), plausible=(2.0, 90.0), hint="silt is in %, not a fraction"),
        SOC_PERCENT,
        BULK_DENSITY,
        REFERENCE_SOC,
        InputSpec("reference_bulk_density", "g cm-3", "bulk density at which the feedback is 1", default=1.35, support=(0.1, 2.65), source=OWN),
        _strength("pores"),
    ),
    outputs=(OutputSpec("rate_scale", "1", "common factor on the four rates", support=POSITIVE),),
    build="ensemble.models.feedback:build_pores",
    cost=120.0,
    source=f"pore protection as van der Meij and Finke's SoilGen, water contents after {WOSTEN}",
    derives="rate_scale",
)  # fmt: skip

MODELS = (TOPSOIL_STOCK, SITE_TEMPERATURE, PRODUCTIVITY_FEEDBACK, PORE_FEEDBACK)
