"""Is a rain series monthly? Signs of an annual sum in the place of monthly ones, from the series and its climate.

A formula of monthly rain gives a plausible and wrong answer for annual rain (respiration of a tenth of what twelve
months give, or runoff twelve times too large), so the magnitude of one number is not enough: the same 300 mm are an
annual sum in a steppe and a month in the monsoon. What the rain of a whole year would be, beside what the temperature
can evaporate, and whether the months differ at all, tell more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Potential evapotranspiration a year, mm per degC of mean biotemperature (months below 0 degC count as 0, above
# 30 degC as 30): Holdridge (1967), Life zone ecology.
HOLDRIDGE = 58.93
# Rain over potential evapotranspiration at which Holdridge's superhumid zones begin and end, and yearly rain (mm)
# below which no ratio is suspicious (the cold have no evapotranspiration).
SUPERHUMID, WETTEST, WET = 4.0, 8.0, 1200.0
# Evapotranspiration over rain that only an annual sum in every month gives where all rain evaporates.
TWELFTH = 1.0 / 12.0


def monthly_rain_check(options: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Refuse rain that is an annual sum in every month, and say what looks like one.

    Args:
        options: of the model.
        inputs: ``temperature`` (degC) and ``precipitation`` (mm a month) of one site, shape (months,), and
            ``evapotranspiration`` where the model has it.

    Returns:
        Warnings, one sentence each.

    Raises:
        ValueError: the same rain in all months of every year, too much of it for the temperature.
    """
    rain = _whole_years(inputs["precipitation"])
    if rain is None or not rain.any():
        return []
    year = float(rain.sum(1).mean())
    demand = HOLDRIDGE * float(np.clip(inputs["temperature"], 0.0, 30.0).mean())
    flat = bool((rain == rain[:, :1]).all())
    drowned = year > max(WET, (SUPERHUMID if flat else WETTEST) * demand)
    beside = f"{year:.0f} mm a year in all, beside the {demand:.0f} mm that the temperature could evaporate"
    meant = "precipitation is monthly, in mm: an annual sum in every month is a usual mistake"
    if flat and drowned:
        raise ValueError(f"precipitation is {rain[0, 0]:g} mm in every month, {beside}; {meant}")
    if flat:
        return [f"precipitation is the same in all months of a year ({rain[0, 0]:g} mm, {year:.0f} mm a year); {meant}"]
    if drowned:
        return [f"precipitation comes to {beside}; {meant}"]
    evaporated = np.asarray(inputs.get("evapotranspiration", np.inf)).sum()
    if evaporated < TWELFTH * rain.sum():
        return [f"evapotranspiration is {100 * evaporated / rain.sum():.1f} % of precipitation; {meant}"]
    return []


def _whole_years(series: Any) -> np.ndarray | None:
    """Whole years of a monthly series, (years, 12); ``None`` where there is none."""
    series = np.atleast_1d(np.asarray(series, float))
    years = series.size // 12
    return series[: 12 * years].reshape(years, 12) if years else None
