"""Records of RothC and of the models that provide its inputs."""

from __future__ import annotations

import math

from ensemble.models.base import Model, Ridge, Wall
from ensemble.specs import InputSpec, OptionSpec, OutputSpec, TimeAxis

ROTHC = "Coleman and Jenkinson, RothC description, version 2.0.0 (2025)"
FARINA = "Farina et al. (2013), Geoderma 200-201, 18-30, doi 10.1016/j.geoderma.2013.01.021"
FALLOON = "Falloon et al. (1998), Soil Biology and Biochemistry 30, 1207-1211, doi 10.1016/S0038-0717(97)00256-3"
WEIHERMUELLER = "Weihermueller et al. (2013), European Journal of Soil Science 64, 567-575, doi 10.1111/ejss.12036"
WOSTEN = "Wosten et al. (1999), Geoderma 90, 169-185, doi 10.1016/S0016-7061(98)00132-3"
ZIMMERMANN = (
    "Zimmermann et al. (2007), European Journal of Soil Science 58, 658-667, doi 10.1111/j.1365-2389.2006.00855.x"
)
JENKINSON = "Jenkinson and Rayner (1977), Soil Science 123, 298-305"

POSITIVE = (0.0, math.inf)
FRACTION = (0.0, 1.0)
VAN_GENUCHTEN = (("moisture", ("van_genuchten", "van_genuchten_dry")),)
GIVEN_POOLS = (("spinup", ("given",)),)
RADIOCARBON = (("radiocarbon", (True,)),)
FRACTIONS = (("fractions", (True,)),)

CLAY = InputSpec(
    "clay", "%", "clay content (below 2 um)", support=(1.0, 100.0), plausible=(2.0, 80.0),
    hint="clay is in %, not a fraction", source=ROTHC,
)  # fmt: skip
SOC_MEASURED = InputSpec(
    "soc_measured", "t C/ha", "measured stock of soil organic carbon, 0 to depth", support=(0.0, 2000.0),
    plausible=(2.0, 300.0), hint="a stock in t C/ha, not a concentration",
)  # fmt: skip

SITE = (
    CLAY,
    InputSpec(
        "depth", "cm", "depth of the modelled topsoil", support=(1.0, 300.0), plausible=(5.0, 100.0),
        hint="depth is in cm", source=ROTHC,
    ),
    InputSpec(
        "iom", "t C/ha", "inert organic carbon", support=(0.0, 1000.0), plausible=(0.0, 100.0),
        hint="measure it with radiocarbon, or derive it with the model falloon_iom", source=ROTHC,
    ),
    InputSpec(
        "silt", "%", "silt content (2-50 um)", support=(0.1, 100.0), plausible=(2.0, 90.0),
        hint="silt is in %, not a fraction", source=WOSTEN, used_when=VAN_GENUCHTEN,
    ),
    InputSpec(
        "bulk_density", "g cm-3", "dry bulk density", support=(0.1, 2.65), plausible=(0.6, 1.9),
        hint="bulk density is in g cm-3 (1300 kg m-3 is 1.3)", source=WOSTEN, used_when=VAN_GENUCHTEN,
    ),
    InputSpec(
        "organic_carbon", "% (mass)", "organic carbon concentration", support=(0.05, 60.0), plausible=(0.2, 12.0),
        hint="organic carbon is in % here (13 g/kg is 1.3)", source=WOSTEN, used_when=VAN_GENUCHTEN,
    ),
)  # fmt: skip

KINETICS = (
    InputSpec("k_dpm", "yr-1", "decomposition rate of DPM", default=10.0, support=POSITIVE, source=ROTHC),
    InputSpec("k_rpm", "yr-1", "decomposition rate of RPM", default=0.3, support=POSITIVE, source=ROTHC),
    InputSpec("k_bio", "yr-1", "decomposition rate of BIO", default=0.66, support=POSITIVE, source=ROTHC),
    InputSpec("k_hum", "yr-1", "decomposition rate of HUM", default=0.02, support=POSITIVE, source=ROTHC),
    InputSpec("rate_scale", "1", "common factor on the four rates", default=1.0, support=POSITIVE),
    InputSpec(
        "co2_ratio_scale", "1", "scale of CO2 / (BIO + HUM)", default=1.67, support=(0.0, 100.0), source=ROTHC
    ),
    InputSpec("bio_share", "1", "part of BIO + HUM that is BIO", default=0.46, support=FRACTION, source=ROTHC),
    InputSpec("manure_dpm", "1", "part of manure carbon that is DPM", default=0.49, support=(0.0, 0.5), source=ROTHC),
    InputSpec(
        "manure_hum", "1", "part of manure carbon that is HUM; what is left is RPM", default=0.02,
        support=(0.0, 0.5), source=ROTHC,
    ),
)  # fmt: skip

MODIFIERS = (
    InputSpec(
        "temperature_factor_scale", "1", "largest rate factor of temperature", default=47.91,
        support=(0.0, 1000.0), plausible=(40.0, 60.0), source=JENKINSON,
    ),
    InputSpec(
        "temperature_factor_slope", "degC", "how steeply the rate rises with temperature", default=106.06,
        support=(10.0, 1000.0), plausible=(90.0, 130.0), source=JENKINSON,
    ),
    InputSpec(
        "temperature_factor_shift", "degC", "shift of the temperature scale", default=18.27,
        support=(16.0, 100.0), plausible=(16.0, 22.0), source=JENKINSON,
    ),
    InputSpec(
        "frost_threshold", "degC", "no decomposition in a month colder than this", default=-5.0,
        support=(-15.0, 5.0), source=ROTHC,
    ),
    InputSpec(
        "moisture_factor_minimum", "1", "rate factor of a dry soil", default=0.2, support=FRACTION,
        plausible=(0.05, 0.4), source=FARINA,
    ),
    InputSpec("cover_factor", "1", "rate factor of a covered soil", default=0.6, support=(0.0, 2.0), source=ROTHC),
    InputSpec(
        "pan_coefficient", "1", "evapotranspiration / pan evaporation; 1 where evapotranspiration is given",
        default=0.75, support=(0.0, 2.0), plausible=(0.4, 1.0), source=ROTHC,
    ),
)  # fmt: skip

START = (
    *(
        InputSpec(f"initial_{pool}", "t C/ha", f"{pool.upper()} before the first month", support=(0.0, 2000.0),
                  used_when=GIVEN_POOLS)
        for pool in ("dpm", "rpm", "bio", "hum")
    ),
    InputSpec(
        "initial_modern", "%", "activity of the active pools before the first month, % of modern", default=100.0,
        support=(0.0, 250.0), used_when=(*RADIOCARBON, ("spinup", ("given", "pedotransfer"))),
    ),
    InputSpec(
        SOC_MEASURED.name, "t C/ha", "measured stock of soil organic carbon before the first month",
        support=SOC_MEASURED.support, plausible=SOC_MEASURED.plausible, hint=SOC_MEASURED.hint,
        used_when=(("spinup", ("pedotransfer", "inverse")),),
    ),
    *(
        InputSpec(f"{name}_measured", "t C/ha", f"measured {what} carbon before the first month", support=(0.0, 2000.0),
                  plausible=(0.1, 200.0), used_when=(("spinup", ("fractions",)),), source=ZIMMERMANN)
        for name, what in (("pom", "particulate organic"), ("maom", "mineral-associated organic"))
    ),
)  # fmt: skip


def _series(name: str, units: str, long_name: str, **more) -> InputSpec:  # noqa: ANN003
    return InputSpec(name, units, long_name, dims=("time",), **more)


DRIVERS = (
    _series("temperature", "degC", "mean air temperature of the month", support=(-70.0, 60.0),
            plausible=(-45.0, 42.0), hint="temperature is in degC, not K", source=ROTHC),
    _series("precipitation", "mm", "precipitation of the month", support=(0.0, 5000.0), plausible=(0.0, 1500.0),
            hint="precipitation is in mm a month", source=ROTHC),
    _series("pan_evaporation", "mm", "open-pan evaporation of the month", support=(-500.0, 2000.0),
            plausible=(0.0, 600.0), hint="evaporation is in mm a month", source=ROTHC),
    _series("plant_carbon", "t C/ha", "plant carbon that enters the soil in the month", support=(0.0, 200.0),
            plausible=(0.0, 10.0), hint="t C/ha in that month, not a year", source=ROTHC),
    _series("manure_carbon", "t C/ha", "farmyard-manure carbon that enters the soil in the month", default=0.0,
            support=(0.0, 200.0), plausible=(0.0, 15.0), hint="t C/ha in that month, not fresh mass", source=ROTHC),
    _series("plant_cover", "1", "covered part of the area, 0 bare to 1 covered", support=FRACTION, source=ROTHC),
    _series("dpm_rpm_ratio", "1", "DPM / RPM of plant carbon (crops 1.44, scrub .67, woodland .25)", default=1.44,
            support=(0.0, 100.0), plausible=(0.2, 4.0), source=ROTHC),
    _series("modern_carbon", "%", "radiocarbon activity of the inputs, % of modern", default=100.0,
            support=(0.0, 250.0), plausible=(85.0, 205.0), hint="100 is modern", used_when=RADIOCARBON, source=ROTHC),
)  # fmt: skip


def _out(name: str, units: str, long_name: str, **more) -> OutputSpec:  # noqa: ANN003
    return OutputSpec(name, units, long_name, dims=("time",), **more)


OUTPUTS = (
    _out("soc", "t C/ha", "soil organic carbon", support=POSITIVE, standard_name="soil_mass_content_of_carbon"),
    _out("dpm", "t C/ha", "decomposable plant material", support=POSITIVE),
    _out("rpm", "t C/ha", "resistant plant material", support=POSITIVE),
    _out("bio", "t C/ha", "microbial biomass", support=POSITIVE),
    _out("hum", "t C/ha", "humified organic matter", support=POSITIVE),
    _out("iom", "t C/ha", "inert organic matter", support=POSITIVE),
    _out("pom", "t C/ha", "particulate organic matter, DPM + RPM", support=POSITIVE, given_when=FRACTIONS,
         source=ZIMMERMANN),
    _out("maom", "t C/ha", "mineral-associated organic matter, BIO + HUM", support=POSITIVE, given_when=FRACTIONS,
         source=ZIMMERMANN),
    _out("co2", "t C/ha", "carbon respired by the soil", kind="flux", support=POSITIVE),
    _out("smd", "mm", "topsoil moisture deficit (0 at field capacity, negative when drier)", support=(-math.inf, 0.0)),
    _out("rate_temperature", "1", "rate factor of temperature", kind="rate", support=POSITIVE),
    _out("rate_moisture", "1", "rate factor of moisture", kind="rate", support=POSITIVE),
    _out("rate_cover", "1", "rate factor of plant cover", kind="rate", support=POSITIVE),
    _out("delta14c", "permil", "radiocarbon of soil organic carbon, Delta 14C", given_when=RADIOCARBON),
    OutputSpec("plant_carbon_scale", "1", "factor on plant carbon that the inverse spin-up found", support=POSITIVE,
               given_when=(("spinup", ("inverse",)),)),
)  # fmt: skip

OPTIONS = (
    OptionSpec(
        "spinup", "analytic", ("analytic", "legacy", "given", "pedotransfer", "inverse", "fractions"),
        "start: exact equilibrium of the first year, the official loop, given pools, pools from a measured stock, "
        "plant input scaled so that the equilibrium meets a measured stock, or measured fractions, each split as in the "
        "equilibrium", f"{ROTHC}; {WEIHERMUELLER}; {ZIMMERMANN}",
    ),
    OptionSpec(
        "inverse_input", "every_month", ("every_month", "equilibrium_year"),
        "months whose plant carbon the factor of the inverse spin-up multiplies",
    ),
    OptionSpec(
        "moisture", "standard", ("standard", "van_genuchten_dry", "van_genuchten"),
        "soil water limits (opt_RMmoist 1, 2, 3): from clay; from the van Genuchten curve, drying to -1000 bar; "
        "from the curve, drying to -15 bar", FARINA,
    ),
    OptionSpec(
        "bare", "standard", ("standard", "wilting_point"),
        "how far bare soil dries (opt_SMDbare 1, 2): the bare-soil limit, or -15 bar", FARINA,
    ),
    OptionSpec(
        "fractions", False, (False, True),
        "whether the measurable fractions (POM, MAOM) are given as outputs; the resistant one is iom", ZIMMERMANN,
    ),
    OptionSpec("radiocarbon", False, (False, True), "whether radiocarbon is followed as well", ROTHC),
)  # fmt: skip

ROTHC_MODEL = Model(
    name="rothc",
    title="RothC, the Rothamsted carbon model, with the dry-land options and radiocarbon",
    inputs=(*SITE, *DRIVERS, *START, *KINETICS, *MODIFIERS),
    outputs=OUTPUTS,
    options=OPTIONS,
    time=TimeAxis(step="month", lead=12, per_year=12),
    build="ensemble.models.rothc:build",
    balance="balance",
    pools=("iom", "hum", "rpm", "bio", "dpm"),
    at_records="ensemble.models.rothc_calibration:at_records",
    pool_maps="ensemble.models.rothc_calibration:pool_maps",
    ridges=(Ridge("k_hum", "ensemble.models.rothc_calibration:log_k_hum", "soc"),),
    walls=(Wall("iom", "ensemble.models.rothc_calibration:largest_iom", "soc"),),
    cost=110.0,
    source=f"{ROTHC}; {FARINA}",
)

FALLOON_MODEL = Model(
    name="falloon_iom",
    title="inert organic carbon from a measured stock (a model of RothC's iom)",
    inputs=(
        SOC_MEASURED,
        InputSpec("iom_factor", "1", "factor of the regression", default=0.049, support=POSITIVE, source=FALLOON),
        InputSpec("iom_exponent", "1", "exponent of the regression", default=1.139, support=(0.1, 3.0), source=FALLOON),
    ),
    outputs=(OutputSpec("iom", "t C/ha", "inert organic carbon", support=POSITIVE, source=FALLOON),),
    build="ensemble.models.initial_pools:build_falloon",
    cost=5.0,
    source=FALLOON,
    derives="iom",
)

MODELS = (ROTHC_MODEL, FALLOON_MODEL)
