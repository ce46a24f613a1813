"""RothC against published and reference runs of the official codes, in float64."""

import json
from functools import cache

import jax
import numpy as np
import pandas as pd
import pytest

from ensemble.models.base import BuildSettings
from ensemble.models.initial_pools import LEGACY_CRITERION
from ensemble.models.linear import compose_all, fixed_point
from ensemble.models.registry import load_model
from ensemble.models.rothc import LEAD, affine_segments

ROTHC = load_model("rothc")
OFFICIAL_COLUMNS = {
    "temperature": 3, "precipitation": 4, "pan_evaporation": 5, "plant_carbon": 6, "manure_carbon": 7,
    "plant_cover": 8, "dpm_rpm_ratio": 9, "modern_carbon": 2,
}  # fmt: skip
SITES = ("101_temperate", "102_boreal", "103_dry", "104_wet", "105_tropical", "106_frost")
POOLS = ("dpm", "rpm", "bio", "hum")


def defaults():
    return {spec.name: spec.default for spec in ROTHC.inputs if spec.default is not None}


def official_input(file, skip):
    """Inputs of an official ``RothC_input.dat`` (columns year, month, modern, T, rain, evaporation, C, FYM, PC, ratio)."""
    table = np.loadtxt(file, skiprows=skip)
    return defaults() | {name: table[:, column] for name, column in OFFICIAL_COLUMNS.items()}


@cache
def simulator(**options):
    return jax.jit(ROTHC.simulator(BuildSettings(ROTHC.default_options() | options)))


@jax.jit
def year_map(inputs):
    return affine_segments(inputs, BuildSettings(ROTHC.default_options()), [0, 12])


def run(inputs, **options):
    return jax.device_get(simulator(**options)(inputs))


@pytest.mark.usefixtures("x64")
def test_official_month_file_in_full_precision(shared):
    inputs = official_input(shared / "data/rothc_official/r_v2.0.0_RothC_input.dat", 10)
    expected = pd.read_csv(shared / "data/rothc_official/r_v2.0.0_month_results.out")
    got = run(inputs | {"clay": 23.4, "depth": 23.0, "iom": 3.0041}, spinup="legacy")
    names = {
        "rate_temperature": "RM_Temp", "rate_moisture": "RM_Moist", "rate_cover": "RM_PC", "smd": "SMD_mm",
        "dpm": "DPM_t_C_ha", "rpm": "RPM_t_C_ha", "bio": "Bio_t_C_ha", "hum": "Hum_t_C_ha", "soc": "SOC_t_C_ha",
    }  # fmt: skip
    for name, column in names.items():
        np.testing.assert_allclose(got[name], expected[column], rtol=1e-10, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(np.cumsum(got["co2"]), expected["CO2_t_C_ha"], rtol=1e-10)
    assert got["balance"] < 1e-12


def site(shared, name):
    folder = shared / "reference" / "rothc"
    about = json.loads((folder / "sites.json").read_text())[f"site_{name}"]
    forcing = pd.read_csv(folder / f"site_{name}_forcing.csv").drop(columns=["year", "month"])
    inputs = defaults() | {column: forcing[column].to_numpy(float) for column in forcing}
    inputs |= {key: about[key] for key in ("clay", "depth", "iom")}
    return about, inputs, pd.read_csv(folder / f"site_{name}_expected.csv")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SITES)
def test_reference_sites(name, shared):
    about, inputs, expected = site(shared, name)
    legacy = run(inputs, spinup="legacy")
    for column in expected.columns[2:]:
        np.testing.assert_allclose(legacy[column], expected[column], rtol=1e-10, atol=1e-12, err_msg=column)
    # The official loop stops when a year changes active carbon by less than the criterion; what is missing then
    # follows from the slowest mode of the year, criterion x lambda / (1 - lambda).
    year = {k: v[:LEAD] if np.ndim(v) else v for k, v in inputs.items()}
    twice = {k: np.tile(v, 2) if np.ndim(v) else v for k, v in year.items()}
    annual = compose_all(year_map(twice))
    slowest = np.linalg.eigvals(annual.matrix).real.max()
    shortfall = LEGACY_CRITERION * slowest / (1.0 - slowest)
    spun = sum(about["spinup"][pool] for pool in POOLS)
    missing = fixed_point(annual).sum() - spun
    assert 0.5 * shortfall < missing < 1.0 * shortfall
    analytic = run(inputs)
    gap = analytic["soc"] - expected["soc"].to_numpy()
    assert np.all(gap > -1e-10)
    assert np.all(gap < shortfall)
    np.testing.assert_allclose(analytic["smd"], expected["smd"], rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("bare", [1, 2])
@pytest.mark.parametrize("moisture", [1, 2, 3])
def test_dry_land_options(moisture, bare, shared):
    """The Fortran prints four decimals (two of the deficit) and holds some constants in single precision."""
    inputs = official_input(shared / "data/rothc_official/fortran_v2.0.0_RothC_input.dat", 10)
    inputs |= {"clay": 23.4, "depth": 23.0, "iom": 3.0041, "silt": 58.6, "bulk_density": 1.27, "organic_carbon": 0.94}
    options = {
        "moisture": ("standard", "van_genuchten_dry", "van_genuchten")[moisture - 1],
        "bare": ("standard", "wilting_point")[bare - 1],
    }
    got = run(inputs, spinup="legacy", **options)
    file = shared / f"data/rothc_farina_options/fortran_v2_rm{moisture}_bare{bare}_month.csv"
    expected = pd.read_csv(file, skiprows=[1, 2], skipinitialspace=True)
    for name in POOLS:
        np.testing.assert_allclose(got[name], expected[f"{name.upper()}_t_C_ha"], rtol=0, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(got["soc"], expected["SOC_t_C_ha"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(np.cumsum(got["co2"]), expected["CO2_t_C_ha"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(got["rate_moisture"], expected["RM_Moist"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(got["smd"], expected["SMD_mm"], rtol=0, atol=6e-3)


@pytest.mark.usefixtures("x64")
def test_radiocarbon(shared):
    inputs = official_input(shared / "data/rothc_official/py_v1.0.0_RothC_input.dat", 7)
    inputs |= {"clay": 13.0, "depth": 25.0, "iom": 3.0041}
    expected = pd.read_csv(shared / "data/rothc_official/py_v1.0.0_month_results.csv")
    legacy = run(inputs, spinup="legacy", radiocarbon=True)
    np.testing.assert_allclose(legacy["delta14c"], expected["deltaC"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(legacy["soc"], expected["SOC_t_C_ha"], rtol=1e-10)
    analytic = run(inputs, radiocarbon=True)
    np.testing.assert_allclose(analytic["delta14c"], expected["deltaC"], rtol=0, atol=2e-3)
