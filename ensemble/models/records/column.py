"""Record of the soil column."""

from __future__ import annotations

import math

from ensemble.models.base import Model
from ensemble.models.records.rothc import KINETICS, MODIFIERS
from ensemble.specs import InputSpec, OptionSpec, OutputSpec, TimeAxis

MEIJ = "van der Meij and Finke (SoilGen 3.8.2)"
ROTHC = "RothC description, version 2.0.0 (2025)"
JACKSON = "Jackson et al. (1996), Oecologia 108, 389-411"
ANCHOR = "calibrated, docs/papers/soilgen.md"
SMOOTHED = "mean over the years between two erosion events"
POSITIVE, FRACTION = (0.0, math.inf), (0.0, 1.0)


Range = tuple[float, float]


def _scalar(
    name: str, units: str, long_name: str, default: float, support: Range = POSITIVE, source: str = "", hint: str = ""
) -> InputSpec:
    return InputSpec(name, units, long_name, default=default, support=support, source=source, hint=hint)


def _yearly(
    name: str, units: str, long_name: str, default: float, support: Range = POSITIVE, source: str = ""
) -> InputSpec:
    return InputSpec(name, units, long_name, dims=("time",), default=default, support=support, source=source)


CLIMATE = (
    InputSpec("temperature", "degC", "mean air temperature of each month", ("month",), support=(-60.0, 50.0)),
    InputSpec("precipitation", "mm", "precipitation of each month", ("month",), support=POSITIVE),
    InputSpec("potential_evapotranspiration", "mm", "potential evapotranspiration of each month", ("month",),
              support=POSITIVE),
    _scalar("drainage", "mm", "water that percolates through the column in a year", 200.0, source=MEIJ),
)  # fmt: skip

SOIL = (
    _scalar("clay", "%", "clay", 16.0, (0.1, 100.0), MEIJ, hint="clay is in %, not a fraction"),
    _scalar("silt", "%", "silt (2-50 um)", 67.0, (0.1, 100.0), MEIJ),
    _scalar("sand", "%", "sand", 17.0, (0.0, 100.0), MEIJ),
    _scalar("bulk_density", "g cm-3", "bulk density", 1.22, (0.2, 2.2), MEIJ),
    _scalar("calcite", "1", "calcite in the parent material, mass fraction", 0.099, FRACTION, MEIJ,
            hint="calcite is a mass fraction, not %"),
    _scalar("exchange_capacity", "mmol kg-1", "cation exchange capacity, mmol of charge", 90.0, (1.0, 1000.0), MEIJ),
    _scalar("clay_1_1_share", "1", "1:1 clay minerals in all clay minerals of the parent material", 0.449, FRACTION,
            ANCHOR),
)  # fmt: skip

PLANTS = (
    InputSpec("net_primary_production", "t C/ha yr-1", "net primary production", support=POSITIVE,
              used_when=(("productivity", ("given",)),)),
    _scalar("production_factor", "1", "level of the bioclimate: multiplies net primary production", 1.0),
    _scalar("forest", "1", "natural vegetation: 0 grassland, 1 deciduous forest", 0.0, FRACTION),
    _scalar("crop_input_factor", "1", "input of a crop relative to natural vegetation, before harvest", 1.225,
            source=ANCHOR),
    _scalar("grass_root_share", "1", "part of grassland litter that is roots", 0.7, FRACTION),
    _scalar("forest_root_share", "1", "part of forest litter that is roots", 0.3, FRACTION),
    _scalar("crop_root_share", "1", "part of crop residues that is roots", 0.943, FRACTION, ANCHOR),
    _scalar("grass_root_beta", "1", "root depth parameter of grassland", 0.943, (0.5, 0.999), JACKSON),
    _scalar("forest_root_beta", "1", "root depth parameter of deciduous forest", 0.966, (0.5, 0.999), JACKSON),
    _scalar("crop_root_beta", "1", "root depth parameter of crops", 0.961, (0.5, 0.999), JACKSON),
    _scalar("grass_dpm_rpm_ratio", "1", "DPM / RPM of grassland litter", 0.67, (0.01, 100.0), ROTHC),
    _scalar("forest_dpm_rpm_ratio", "1", "DPM / RPM of forest litter", 0.25, (0.01, 100.0), ROTHC),
    _scalar("crop_dpm_rpm_ratio", "1", "DPM / RPM of crop residues", 1.44, (0.01, 100.0), ROTHC),
    _scalar("litter_incorporation", "yr-1", "rate at which fauna moves the ectorganic layer into the soil", 0.1),
    InputSpec("crop_cover", "1", "cover of the soil by a crop in each month, 0 bare or 1", ("month",), default=1.0,
              support=FRACTION, source=ROTHC),
)  # fmt: skip

TURNOVER = (
    *(spec for spec in KINETICS if not spec.name.startswith("manure")),
    *(spec for spec in MODIFIERS if spec.name != "pan_coefficient"),
    _scalar(
        "damping_depth", "cm", "depth at which the yearly temperature wave is damped to 1/e", 200.0, (1.0, math.inf)
    ),
    _scalar("decay_depth", "cm", "depth over which decay rates fall to 1/e", 300.0, (1.0, math.inf)),
    _scalar("bioturbation", "t/ha yr-1", "soil mixed by fauna", 11.9, source=MEIJ),
    _scalar("bioturbation_depth", "cm", "depth of bioturbation", 40.0, (0.1, 1000.0), MEIJ),
)

PROTECTION = (
    _scalar("clay_floor", "1", "B1: rate modifier where all clay minerals are 2:1", 0.8, FRACTION, MEIJ),
    _scalar("mooh_strength", "dm3 mmol-1", "B2: effect of Al and Fe in solution", 5.0, source=MEIJ),
    _scalar("aggregation_bases", "1", "B3a: effect of full base saturation", 0.2, FRACTION, MEIJ),
    _scalar("aggregation_calcite", "1", "B3b: effect of pure calcite", 0.2, FRACTION, MEIJ),
    _scalar("pore_floor", "1", "B4: rate modifier without mesopores", 0.8, FRACTION, MEIJ),
    InputSpec("minimum_width", "1", "width of the smooth minimum", default=0.002, support=(1e-6, 1.0),
              used_when=(("minimum", ("smooth",)),)),
)  # fmt: skip

PEDOGENESIS = (
    _scalar("calcite_solubility", "kg m-3", "calcite in percolating water at equilibrium", 0.2085,
            source="open-system equilibrium at 10 degC and 0.01 bar CO2, Plummer and Busenberg constants"),
    _scalar("acidity", "mol m-3", "acid in percolating water, mol of charge", 0.042, source=ANCHOR),
    _scalar("base_saturation_full", "1", "base saturation while calcite is present", 0.844, FRACTION, ANCHOR),
    _scalar("base_saturation_least", "1", "base saturation that acid does not lower further", 0.2, FRACTION),
    _scalar("release_rate", "yr-1", "rate at which added primary minerals release their bases", 0.01),
    _scalar("clay_weathering", "yr-1", "rate at which 2:1 clay minerals turn into 1:1", 0.0),
)  # fmt: skip

START = (
    InputSpec("initial_soc", "t C/ha", "carbon of each layer at the start", ("depth",), default=0.0, support=POSITIVE,
              used_when=(("initial", ("given",)),)),
    InputSpec("initial_stock", "t C/ha", "carbon of the whole column at the start", default=0.0, support=POSITIVE,
              used_when=(("initial", ("uniform",)),)),
)  # fmt: skip

MANAGEMENT = (
    _yearly("crop", "1", "0 natural vegetation, 1 crop", 0.0, FRACTION),
    _yearly("harvest", "1", "part of production that is harvested", 0.0, FRACTION, MEIJ),
    _yearly("plough_depth", "cm", "depth of ploughing, 0 for none", 0.0, (0.0, 1000.0), MEIJ),
    _yearly("erosion", "mm", "soil eroded in a year", 0.0, POSITIVE, MEIJ),
    _yearly("deposition", "mm", "parent material deposited in a year", 0.0, POSITIVE),
    _yearly("lime", "kg m-2", "CaCO3 added (lime or ground calcite)", 0.0, POSITIVE, MEIJ),
    _yearly("base_addition", "mol m-2", "soluble bases added, mol of charge", 0.0, POSITIVE, MEIJ),
    _yearly("clay_addition", "kg m-2", "2:1 clay minerals added", 0.0, POSITIVE, MEIJ),
    _yearly("mineral_addition", "mol m-2", "bases added in primary minerals, mol of charge", 0.0, POSITIVE, MEIJ),
)


def _stock(name: str, long_name: str) -> OutputSpec:
    return OutputSpec(name, "t C/ha", long_name, ("time",), support=POSITIVE)


def _profile(name: str, units: str, long_name: str, support: tuple[float, float] = POSITIVE) -> OutputSpec:
    return OutputSpec(name, units, long_name, ("depth", "time"), support=support)


OUTPUTS = (
    _stock("soc", "soil organic carbon, 0-100 cm and ectorganic"),
    _stock("soc_0_25", "soil organic carbon, 0-25 cm and ectorganic"),
    _stock("soc_25_75", "soil organic carbon, 25-75 cm"),
    _stock("soc_25_100", "soil organic carbon, 25-100 cm"),
    _stock("soc_ectorganic", "organic carbon of the ectorganic layer"),
    _stock("soc_smoothed", f"soil organic carbon, 0-100 cm and ectorganic, {SMOOTHED}"),
    _stock("soc_0_25_smoothed", f"soil organic carbon, 0-25 cm and ectorganic, {SMOOTHED}"),
    _stock("soc_25_75_smoothed", f"soil organic carbon, 25-75 cm, {SMOOTHED}"),
    _stock("soc_25_100_smoothed", f"soil organic carbon, 25-100 cm, {SMOOTHED}"),
    OutputSpec("calcite_stock", "kg m-2", "calcite in the column", ("time",), support=POSITIVE),
    OutputSpec("base_saturation", "1", "mean base saturation of the upper 40 cm", ("time",), support=POSITIVE),
    OutputSpec("protection", "1", "rate modifier of protection, mean over carbon", ("time",), support=FRACTION),
    OutputSpec("carbon_input", "t C/ha", "carbon that plants bring", ("time",), kind="flux", support=POSITIVE),
    OutputSpec("co2", "t C/ha", "carbon respired", ("time",), kind="flux"),
    OutputSpec("soc_lost", "t C/ha", "carbon lost by erosion and burial, less carbon gained at the base", ("time",),
               kind="flux"),
    OutputSpec("calcite_leached", "kg m-2", "calcite dissolved in the column", ("time",), kind="flux"),
    OutputSpec("bases_leached", "mol m-2", "bases drained from the column", ("time",), kind="flux"),
    _profile("soc_profile", "t C/ha", "carbon of each layer"),
    _profile("calcite_profile", "1", "calcite of each layer, mass fraction", FRACTION),
    _profile("base_saturation_profile", "1", "base saturation of each layer"),
    _profile("protection_profile", "1", "rate modifier of protection of each layer", FRACTION),
    _profile("mechanism_profile", "1",
             "mechanism that protects most: 0 none, 1 clay, 2 MOOH, 3 aggregation, 4 pores", (0.0, 4.0)),
)  # fmt: skip

COLUMN = Model(
    name="column",
    title="layered soil column: RothC pools, protection, mixing, erosion, reduced pedogenesis",
    inputs=(*CLIMATE, *SOIL, *PLANTS, *TURNOVER, *PROTECTION, *PEDOGENESIS, *START, *MANAGEMENT),
    outputs=OUTPUTS,
    options=(
        OptionSpec("layers", (5.0,) * 20, (), "layer thicknesses from the surface, or (top, bottom) pairs, cm"),
        OptionSpec("mechanism", "all", ("none", "clay", "mooh", "aggregation", "pores", "all"),
                   "protection mechanism at work", MEIJ),
        OptionSpec("minimum", "exact", ("exact", "smooth"), "minimum over mechanisms: Table 1, or smooth for gradients"),
        OptionSpec("erosion", "event", ("event", "continuous"), "erosion in whole events, as in the paper, or every year"),
        OptionSpec("event_depth", 5.0, (), "soil that one erosion event removes, cm", MEIJ),
        OptionSpec("decay", "annual", ("annual", "monthly"), "exact year at the mean rate, or RothC's months"),
        OptionSpec("mixing_steps", 1, (1, 2, 3, 4, 6, 12), "parts of a year in which decay and bioturbation alternate"),
        OptionSpec("productivity", "miami", ("given", "miami", "nceas", "schuur"), "net primary production"),
        OptionSpec("initial", "none", ("none", "given", "uniform", "equilibrium"), "carbon at the start"),
    ),
    time=TimeAxis("year", per_year=1),
    build="ensemble.models.column.model:build",
    coordinates="ensemble.models.column.layers:coordinates",
    balance="balance",
    members_last=True,
    check="ensemble.models.column.checks:check",
    cost=6000.0,
    source=MEIJ,
)  # fmt: skip

MODELS = (COLUMN,)
