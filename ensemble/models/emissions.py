"""CO2 from burning fuels: consumption x calorific value x carbon content x oxidation x 44/12.

The method is the IPCC's first tier (2006 guidelines, volume 2, equation 1.1). Sources of the two tables:

- ``china``: coal, gasoline, kerosene, diesel, fuel oil and natural gas from the National Development and
  Reform Commission (2007), as tabulated in Mathematical Problems in Engineering (2014) 539596, table 2. For
  the other fuels calorific values of the Chinese standard GB/T 2589, the IPCC's carbon contents, and the
  oxidation of their group (0.98 liquids, 0.99 gases, 0.93 coke) as tabulated in Heliyon (2023) e21241, table 2.
- ``ipcc``: IPCC (2006), volume 2, tables 1.2 and 1.4 (bituminous coal), oxidation 1. Gases are measured in
  cubic metres, for which the guidelines give no calorific value: those of GB/T 2589.

docs/models/emissions.md says which of these numbers were compared with a second source and which were not.

The largest conflict is coal: 0.484 t C burnt a tonne in the first table, 0.666 in the second; inventories of
China lie between 0.491 and 0.746 (Atmospheric Chemistry and Physics 20, 11371).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.records.carbon import FUELS
from ensemble.units import CO2_PER_C

SOLIDS = ("coal", "coke")
GASES = ("coke_oven_gas", "blast_furnace_gas", "converter_gas", "other_gas", "natural_gas")


class FuelFactors(NamedTuple):
    """Factors of one fuel.

    Args:
        calorific_value: net, MJ/kg for solids and liquids, MJ/m3 for gases.
        carbon_content: t C/TJ.
        oxidation: part of the carbon that is burnt, 0 to 1.
    """

    calorific_value: float
    carbon_content: float
    oxidation: float


def _per_energy(kg_co2_per_tj: float) -> float:
    """Carbon content (t C/TJ) of an emission factor in kg CO2/TJ."""
    return kg_co2_per_tj / 1000.0 / CO2_PER_C


# IPCC (2006), volume 2, table 1.4, kg CO2/TJ; converter gas is its oxygen steel furnace gas, other gas its gas
# works gas.
_IPCC_CO2 = {
    "coal": 94600.0, "coke": 107000.0, "coke_oven_gas": 44400.0, "blast_furnace_gas": 260000.0,
    "converter_gas": 182000.0, "other_gas": 44400.0, "crude_oil": 73300.0, "gasoline": 69300.0, "kerosene": 71900.0,
    "diesel": 74100.0, "fuel_oil": 77400.0, "lpg": 63100.0, "natural_gas": 56100.0, "lng": 56100.0,
}  # fmt: skip
_IPCC_CALORIFIC = {
    "coal": 25.8, "coke": 28.2, "crude_oil": 42.3, "gasoline": 44.3, "kerosene": 43.8, "diesel": 43.0,
    "fuel_oil": 40.4, "lpg": 47.3, "lng": 48.0,
}  # fmt: skip
# GB/T 2589; the middle of its range for coke-oven gas.
_CHINA_CALORIFIC = {
    "coke": 28.435, "coke_oven_gas": 17.354, "blast_furnace_gas": 3.763, "converter_gas": 7.945, "other_gas": 5.227,
    "crude_oil": 41.816, "lpg": 50.179, "natural_gas": 38.931, "lng": 51.434,
}  # fmt: skip
_NDRC = {
    "coal": FuelFactors(19.214, 27.28, 0.923),
    "gasoline": FuelFactors(44.8, 18.9, 0.98),
    "kerosene": FuelFactors(44.75, 19.6, 0.986),
    "diesel": FuelFactors(43.33, 20.17, 0.982),
    "fuel_oil": FuelFactors(40.19, 21.09, 0.985),
    "natural_gas": FuelFactors(38.4, 15.32, 0.99),
}


def _chinese(fuel: str) -> FuelFactors:
    if fuel in _NDRC:
        return _NDRC[fuel]
    oxidation = 0.93 if fuel in SOLIDS else 0.99 if fuel in (*GASES, "lng") else 0.98
    return FuelFactors(_CHINA_CALORIFIC[fuel], _per_energy(_IPCC_CO2[fuel]), oxidation)


def _international(fuel: str) -> FuelFactors:
    calorific = _IPCC_CALORIFIC.get(fuel, _CHINA_CALORIFIC.get(fuel, 0.0))
    return FuelFactors(calorific, _per_energy(_IPCC_CO2[fuel]), 1.0)


FACTORS: Mapping[str, Mapping[str, FuelFactors]] = {
    "china": {fuel: _chinese(fuel) for fuel in FUELS},
    "ipcc": {fuel: _international(fuel) for fuel in FUELS},
}


def emissions_by_fuel(consumption: Any, calorific_value: Any, carbon_content: Any, oxidation: Any) -> Any:
    """CO2 of each fuel, Tg (Mt).

    Args:
        consumption: Mt of solids and liquids, 1e9 m3 of gases, any shape.
        calorific_value: MJ/kg or MJ/m3, so that the product with consumption is PJ.
        carbon_content: t C/TJ (kt C/PJ).
        oxidation: 0 to 1.
    """
    return consumption * calorific_value * carbon_content * oxidation * (1e-3 * CO2_PER_C)


def coordinates(options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Axis ``fuel``: the names of the fourteen fuels, in the order in which ``consumption`` is given."""
    return {"fuel": np.array(FUELS)}


def build(settings: BuildSettings) -> Simulate:
    """Outputs ``emissions`` and ``solid_emissions`` (Tg CO2) and ``energy`` (PJ), each shape ``()``."""
    table = settings.options["factors"]
    group = np.array([0 if fuel in SOLIDS else 2 if fuel in (*GASES, "lng") else 1 for fuel in FUELS])

    def simulate(inputs: Arrays) -> dict[str, Any]:
        burnt = inputs["consumption"]
        if table == "given":
            columns = (inputs["calorific_value"], inputs["carbon_content"], inputs["oxidation"])
        else:
            columns = tuple(jnp.asarray(column, burnt.dtype) for column in zip(*FACTORS[table].values(), strict=True))
        errors = jnp.stack([inputs["solid_factor"], inputs["liquid_factor"], inputs["gas_factor"]])
        emitted = emissions_by_fuel(burnt, *columns) * errors[group]
        return {
            "emissions": emitted.sum(),
            "solid_emissions": emitted[: len(SOLIDS)].sum(),
            "energy": (burnt * columns[0]).sum(),
        }

    return simulate
