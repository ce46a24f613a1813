"""Records of the carbon-budget models: land sink, rock weathering, fuel emissions, carbon-neutral capacity."""

from __future__ import annotations

import math

from ensemble.models.base import Model
from ensemble.specs import InputSpec, OptionSpec, OutputSpec, TimeAxis

ZHANG = "Zhang et al. (2022), Journal of Cleaner Production, 130966, doi 10.1016/j.jclepro.2022.130966"
PEI = "Pei et al. (2009), as printed in Zhang et al. (2022), equation 3"
GEM_CO2 = "Amiotte Suchet et al. (2003), Global Biogeochemical Cycles 17(2), 1038; values as tabulated in cGENIE"
IPCC = "IPCC (2006), Guidelines for National Greenhouse Gas Inventories, volume 2, chapters 1 and 2"
UNCONFIRMED = (
    "calorific values of coke-oven, blast-furnace and converter gas and of liquefied natural gas (GB/T 2589) were not "
    "confirmed by a second source"
)
POSITIVE = (0.0, math.inf)
FRACTION = (0.0, 1.0)

# CO2 consumed by weathering in one litre of runoff, mmol/L. Shale and acid volcanic rock have two published
# values; which one is used is an option of the models.
WEATHERING_COEFFICIENTS = {
    "carbonate": 1.586,
    "shale": 0.627,
    "sandstone": 0.152,
    "basalt": 0.479,
    "shield": 0.095,
    "acid_volcanic": 0.222,
    "evaporite": 0.293,
    "inert": 0.0,
}
LITHOLOGIES = tuple(WEATHERING_COEFFICIENTS)
SHALE, ACID_VOLCANIC = (0.627, 0.672), (0.222, 0.272)

FUELS = (
    "coal", "coke", "coke_oven_gas", "blast_furnace_gas", "converter_gas", "other_gas", "crude_oil", "gasoline",
    "kerosene", "diesel", "fuel_oil", "lpg", "natural_gas", "lng",
)  # fmt: skip

MONTHLY_RAIN = "precipitation is in mm a month; an annual sum is about twelve times as large"
CELSIUS = "temperature is in degC; kelvin is 273.15 higher"
MODIS = "npp is in g C m-2 a month; MOD17 integers are in 1e-4 kg C m-2 a year (times 0.1/12 gives g C m-2 a month)"

_TEMPERATURE = InputSpec(
    "temperature", "degC", "monthly mean air temperature", ("time",), support=(-90.0, 60.0), hint=CELSIUS
)
_RAIN = InputSpec(
    "precipitation", "mm", "precipitation a month", ("time",), support=(0.0, 3000.0), plausible=(0.0, 400.0),
    hint=MONTHLY_RAIN,
)  # fmt: skip
_DAYS = InputSpec(
    "days_in_month", "1", "days in the month", ("time",), support=(28.0, 31.0),
    used_when=(("month_length", ("calendar",)),),
)  # fmt: skip
_NPP = InputSpec(
    "npp", "g C m-2", "net primary production a month", ("time",), support=(-500.0, 1000.0),
    plausible=(-100.0, 400.0), hint=MODIS,
)  # fmt: skip
_RESPIRATION = (
    _TEMPERATURE,
    _RAIN,
    _DAYS,
    InputSpec("respiration_scale", "1", "soil respiration of each term, g C m-2 d-1", default=0.22, support=POSITIVE, source=PEI),
    InputSpec("respiration_temperature", "1", "exponent of temperature, degC-1", default=0.0913, source=PEI),
    InputSpec("respiration_rain", "1", "factor of monthly rain inside the logarithm, mm-1", default=0.3145, support=POSITIVE, source=PEI),
    InputSpec("heterotrophic_share", "1", "heterotrophic share of soil respiration", default=0.465, support=FRACTION, source=PEI),
)  # fmt: skip
_MONTH_LENGTH = OptionSpec(
    "month_length", "thirty", ("thirty", "calendar"), "30 days as printed, or the days given in days_in_month", PEI
)

_SHARES = tuple(
    InputSpec(
        f"{name}_share", "1", f"weight of {name.replace('_', ' ')} in the mixture (weights are normalised)",
        default=0.0, support=POSITIVE, used_when=(("lithology", ("mixture",)),),
    )
    for name in LITHOLOGIES
)  # fmt: skip
_COEFFICIENT = InputSpec(
    "weathering_coefficient", "1", "CO2 consumed in runoff, mmol/L", support=(0.0, 5.0), source=GEM_CO2,
    used_when=(("lithology", ("coefficient",)),),
)  # fmt: skip
_WEATHERING_FACTOR = InputSpec(
    "weathering_factor", "1", "error of the coefficient, as a factor", default=1.0, support=POSITIVE
)
_LITHOLOGY = (
    OptionSpec(
        "lithology", "mixture", ("mixture", "coefficient", *LITHOLOGIES),
        "weights of all rocks, one coefficient given, or one rock", GEM_CO2,
    ),
    OptionSpec("shale", SHALE[0], SHALE, "coefficient of shale, mmol/L: two are published", GEM_CO2),
    OptionSpec("acid_volcanic", ACID_VOLCANIC[0], ACID_VOLCANIC, "coefficient of acid volcanic rock, mmol/L: two are published", GEM_CO2),
)  # fmt: skip
_ROCK = (*_SHARES, _COEFFICIENT, _WEATHERING_FACTOR)


def _flux(name: str, units: str, long_name: str, source: str = ZHANG, positive: bool = False) -> OutputSpec:
    return OutputSpec(
        name,
        units,
        long_name,
        ("time",),
        "flux",
        support=POSITIVE if positive else (-math.inf, math.inf),
        source=source,
    )


_RH = _flux("heterotrophic_respiration", "g C m-2", "heterotrophic respiration", PEI, positive=True)
_NEP = _flux("nep", "g C m-2", "net ecosystem production, npp minus heterotrophic respiration")

NET_ECOSYSTEM_PRODUCTION = Model(
    name="net_ecosystem_production",
    title="heterotrophic respiration from monthly climate, and NPP minus it",
    inputs=(*_RESPIRATION, _NPP),
    outputs=(_RH, _NEP),
    options=(_MONTH_LENGTH,),
    time=TimeAxis("month"),
    check="ensemble.models.rain:monthly_rain_check",
    build="ensemble.models.carbon_budget:build_production",
    cost=60.0,
    source=f"{PEI}; {ZHANG}, equation 2",
)

LAND_CARBON_SINK = Model(
    name="land_carbon_sink",
    title="NEP, rock weathering, emissions and carbon-neutral capacity of one pixel, month by month",
    inputs=(
        *_RESPIRATION,
        _NPP,
        InputSpec(
            "evapotranspiration", "mm", "actual evapotranspiration a month", ("time",), support=(0.0, 1000.0),
            plausible=(0.0, 300.0), hint="evapotranspiration is in mm a month",
        ),
        InputSpec(
            "emissions", "g C m-2", "fossil emissions a month, as carbon (g C m-2 equals t C km-2)", ("time",),
            default=0.0, support=POSITIVE,
        ),
        InputSpec("emission_factor", "1", "error of the emission factor, as a factor", default=1.0, support=POSITIVE),
        *_ROCK,
    ),
    outputs=(
        _RH,
        _NEP,
        _flux("runoff", "mm", "precipitation minus evapotranspiration, not below 0", positive=True),
        _flux("runoff_clipped", "mm", "deficit of precipitation that was set to 0", positive=True),
        _flux("clipped_steps", "1", "water balances that were clipped", positive=True),
        _flux("rock_weathering", "g C m-2", "CO2 taken up by rock weathering, as carbon", GEM_CO2, positive=True),
        _flux("silicate_weathering", "g C m-2", "the part of rock_weathering outside carbonate and evaporite", GEM_CO2, positive=True),
        _flux("ecosystem_sink", "g C m-2", "ecosystem carbon sink: nep plus rock weathering"),
        _flux("fossil_emissions", "g C m-2", "fossil emissions, as carbon", positive=True),
        _flux("carbon_neutral_capacity", "g C m-2", "carbon-neutral capacity: ecosystem sink minus emissions"),
    ),
    options=(
        _MONTH_LENGTH,
        OptionSpec("clip", "month", ("month", "year"), "water balance that may not be negative: of each month, or of each year"),
        *_LITHOLOGY,
    ),
    time=TimeAxis("month"),
    check="ensemble.models.rain:monthly_rain_check",
    build="ensemble.models.carbon_budget:build_land_sink",
    cost=120.0,
    source=ZHANG,
)  # fmt: skip

ROCK_WEATHERING = Model(
    name="rock_weathering",
    title="GEM-CO2: carbon taken up by rock weathering in a year",
    inputs=(
        InputSpec(
            "runoff", "mm", "runoff a year", support=POSITIVE, plausible=(0.0, 5000.0),
            hint="P - ET can be below 0 on a grid; with options.runoff: balance it is clipped and counted",
            used_when=(("runoff", ("given",)),),
        ),
        InputSpec("annual_precipitation", "mm", "precipitation a year", support=(0.0, 20000.0), used_when=(("runoff", ("balance",)),)),
        InputSpec("annual_evapotranspiration", "mm", "actual evapotranspiration a year", support=(0.0, 5000.0), used_when=(("runoff", ("balance",)),)),
        *_ROCK,
    ),
    outputs=(
        OutputSpec("runoff_used", "mm", "runoff a year after clipping", support=POSITIVE),
        OutputSpec("clipped", "1", "1 where the water balance was below 0 and was clipped", support=FRACTION),
        OutputSpec("weathering_flux", "g C m-2", "carbon taken up in a year (g C m-2 equals t C km-2)", support=POSITIVE, source=GEM_CO2),
        OutputSpec("silicate_flux", "g C m-2", "the part outside carbonate and evaporite", support=POSITIVE, source=GEM_CO2),
    ),
    options=(OptionSpec("runoff", "given", ("given", "balance"), "runoff itself, or precipitation minus evapotranspiration"), *_LITHOLOGY),
    build="ensemble.models.weathering:build",
    cost=40.0,
    source=GEM_CO2,
)  # fmt: skip

FUEL_EMISSIONS = Model(
    name="fuel_emissions",
    title="CO2 from burning fourteen fuels",
    inputs=(
        InputSpec("consumption", "1", "fuel burnt: Mt of solids and liquids, 1e9 m3 of gases", ("fuel",), support=POSITIVE),
        InputSpec("calorific_value", "1", "net calorific value, MJ/kg or MJ/m3", ("fuel",), support=(0.0, 60.0), used_when=(("factors", ("given",)),)),
        InputSpec("carbon_content", "1", "carbon per energy, t C/TJ", ("fuel",), support=(0.0, 100.0), used_when=(("factors", ("given",)),)),
        InputSpec("oxidation", "1", "part of the carbon that is burnt", ("fuel",), support=FRACTION, used_when=(("factors", ("given",)),)),
        InputSpec("solid_factor", "1", "error of the emission factor of coal and coke, as a factor", default=1.0, support=POSITIVE),
        InputSpec("liquid_factor", "1", "error of the emission factor of oil products, as a factor", default=1.0, support=POSITIVE),
        InputSpec("gas_factor", "1", "error of the emission factor of gases, as a factor", default=1.0, support=POSITIVE),
    ),
    outputs=(
        OutputSpec("emissions", "Tg CO2", "CO2 from burning fuels", support=POSITIVE, source=IPCC),
        OutputSpec("solid_emissions", "Tg CO2", "of that, from coal and coke", support=POSITIVE, source=IPCC),
        OutputSpec("energy", "1", "energy burnt, PJ", support=POSITIVE),
    ),
    options=(OptionSpec("factors", "china", ("china", "ipcc", "given"), "table of emission factors: Chinese, IPCC 2006, or given as inputs"),),
    coordinates="ensemble.models.emissions:coordinates",
    build="ensemble.models.emissions:build",
    derives="emissions",
    cost=100.0,
    source=f"{ZHANG}, equation 1, with the carbon content and oxidation it leaves out; {IPCC}; {UNCONFIRMED}",
)  # fmt: skip

CARBON_BUDGET = Model(
    name="carbon_budget",
    title="ecosystem sink, emissions and carbon-neutral capacity of a region in a year",
    inputs=(
        InputSpec("nep", "Tg CO2", "net ecosystem production of the region a year"),
        InputSpec("rock_weathering", "Tg CO2", "carbon taken up by rock weathering a year, as CO2", default=0.0, support=POSITIVE),
        InputSpec("emissions", "Tg CO2", "emissions a year of each part of the region, first account", ("part",), support=POSITIVE, used_when=(("account", ("first", "mean")),)),
        InputSpec("emissions_second", "Tg CO2", "emissions a year of each part, second account", ("part",), support=POSITIVE, used_when=(("account", ("second", "mean")),)),
        InputSpec("emission_factor", "1", "error of the emission factor, shared by all parts, as a factor", default=1.0, support=POSITIVE),
        InputSpec("activity_cv", "1", "relative sd of the activity data of one part", default=0.0, support=FRACTION),
        InputSpec("activity_correlation", "1", "correlation of the activity errors of two parts", default=0.0, support=FRACTION),
        InputSpec("activity_score", "1", "standard normal score of the summed activity error", default=0.0),
    ),
    outputs=(
        OutputSpec("total_emissions", "Tg CO2", "emissions of the region a year", support=POSITIVE),
        OutputSpec("ecosystem_sink", "Tg CO2", "nep plus rock weathering a year"),
        OutputSpec("carbon_neutral_capacity", "Tg CO2", "ecosystem sink minus emissions a year"),
        OutputSpec("absorbed_share", "1", "ecosystem sink over emissions"),
    ),
    options=(
        OptionSpec("account", "first", ("first", "second", "mean"), "which emission account is right"),
        OptionSpec("parts", 1, (), "number of parts (provinces) of the region whose emissions are given"),
    ),
    coordinates="ensemble.models.carbon_budget:budget_coordinates",
    build="ensemble.models.carbon_budget:build_budget",
    cost=100.0,
    source=ZHANG,
)  # fmt: skip

MODELS = (NET_ECOSYSTEM_PRODUCTION, LAND_CARBON_SINK, ROCK_WEATHERING, FUEL_EMISSIONS, CARBON_BUDGET)
