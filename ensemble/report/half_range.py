"""Report section of a half-range study: one error at a time, nothing drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ensemble.report.content import Section, Table
from ensemble.report.numbers import MISSING, interval, number, plural

NOTHING = 1e-10  # t C/ha, what rounding in double precision leaves of an exact zero
NOUNS = {"value": "value at the end", "change": "mean yearly change", "gain": "mean yearly gain"}


def half_range_section(data: xr.Dataset, titles: Mapping[str, str]) -> Section:
    """Half-ranges over sites, absolute and relative to the base, for each input, scenario and quantity."""
    quantities = [key for key in NOUNS if f"{key}_base" in data]
    told = [key for key in ("change", "gain") if key in quantities] or ["value"]
    lead = f"One error at a time, half-ranges for {data.attrs['output']}, medians over sites: {'; '.join(_told(data, key) for key in told)}."
    rows = [row for key in quantities for row in _rows(data, key, titles)]
    header = (
        "quantity", "error", "scenario", "base, median", "half-range, median", "middle half of sites", "relative, median (%)",
        "75 % of sites below (%)", "90 % of sites below (%)",
    )  # fmt: skip
    text = (
        f"Over {plural(data.sizes['site'], 'site')}. Half-range: half of |y(plus one error) - y(minus one error)|; relative: over the base run's "
        "value. These are changes by set errors, not intervals over draws."
    )
    moved = {str(name): int(data["moved"].sel(input=name).sum()) for name in data["input"].values}
    notes = tuple(
        f"{name}: at {plural(count, 'site')} an error was cut short, because the input would have left its physical range."
        for name, count in moved.items()
        if count
    )
    return Section(
        "Half-ranges",
        lead,
        tables=(Table(header, tuple(rows), text),),
        notes=(*notes, data.attrs["source"]),
        answer=True,
    )


def _told(data: xr.Dataset, key: str) -> str:
    """One quantity in words, of the first scenario; a gain of the last."""
    arm = -1 if key == "gain" else 0
    half = data[f"{key}_half_range"].isel(scenario=arm).median("site").values
    parts = [
        f"{name} \N{PLUS-MINUS SIGN} {float(error):g} moves it by {_shown(float(value))}"
        for name, error, value in zip(data["input"].values, data["error"].values, half, strict=True)
    ]
    base = _shown(float(data[f"{key}_base"].isel(scenario=arm).median()))
    return f"{NOUNS[key]} {base} {data[f'{key}_base'].attrs['display_units']}, {' and '.join(parts)}"


def _shown(value: float) -> str:
    """A number, with rounding errors of the arithmetic shown as the zero that they are."""
    return "0" if abs(value) < NOTHING else number(value)


def _rows(data: xr.Dataset, key: str, titles: Mapping[str, str]) -> list[tuple[str, ...]]:
    rows = []
    for name in data["input"].values:
        for index, arm in enumerate(data["scenario"].values):
            if key == "gain" and index == 0:
                continue
            base = data[f"{key}_base"].sel(scenario=arm).values
            half = data[f"{key}_half_range"].sel(input=name, scenario=arm).values
            known = np.abs(base) > NOTHING
            relative = 100 * half[known] / np.abs(base[known])
            low, middle, high = np.nanquantile(half, [0.25, 0.5, 0.75])
            shares = np.nanquantile(relative, [0.5, 0.75, 0.9]) if relative.size else [np.nan] * 3
            rows.append((
                f"{NOUNS[key]} ({data[f'{key}_base'].attrs['display_units']})", str(name), titles.get(str(arm), str(arm)),
                _shown(float(np.nanmedian(base))), _shown(float(middle)),
                interval(float(low), float(high)) if high > NOTHING else "0",
                *(_shown(float(share)) if np.isfinite(share) else MISSING for share in shares),
            ))  # fmt: skip
    return rows
