"""The group `inventory`: level and trend uncertainty by category and region, and its table as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ensemble.config.stages import Inventory
from ensemble.crediting.inventory import Z95, InventoryRow, inventory_table
from ensemble.errors import StoreRefused
from ensemble.keys import host_seed
from ensemble.pipeline.blocks import sound_members
from ensemble.pipeline.credits import project_records
from ensemble.pipeline.stock_checks import check_scenario, check_stock_output
from ensemble.plan import Plan
from ensemble.store import Store
from ensemble.units import CO2_PER_C, conversion

GROUP = "inventory"
SITES_AT_ONCE = 256
UNITS = {"change": ("t CO2/yr", "CO2 removed in the year"), "stock": ("t C", "carbon stock at the end of the year")}
TEXTS = ("category", "region")
# Columns of the table: name, unit ("" for the level's), and where a row has it.
COLUMNS: dict[str, tuple[str, str]] = {
    "base_level": ("", "base.mean"),
    "base_uncertainty": ("%", "base.uncertainty"),
    "base_lower": ("", "base.lower"),
    "base_upper": ("", "base.upper"),
    "base_uncertainty_approach_1": ("%", "base_1.uncertainty"),
    "year_level": ("", "year.mean"),
    "year_uncertainty": ("%", "year.uncertainty"),
    "year_lower": ("", "year.lower"),
    "year_upper": ("", "year.upper"),
    "year_uncertainty_approach_1": ("%", "year_1.uncertainty"),
    "base_uncertainty_simple": ("%", "base_simple"),
    "year_uncertainty_simple": ("%", "year_simple"),
    "contribution_to_variance": ("%", "contribution"),
    "year_to_year_correlation": ("1", "correlation"),
    "difference": ("", "difference.mean"),
    "difference_lower": ("", "difference.lower"),
    "difference_upper": ("", "difference.upper"),
    "trend": ("%", "trend.percent"),
    "trend_lower": ("%", "trend.lower"),
    "trend_upper": ("%", "trend.upper"),
    "trend_lower_approach_1": ("%", "trend_1.lower"),
    "trend_upper_approach_1": ("%", "trend_1.upper"),
    "trend_lower_independent_years": ("%", "trend_independent.lower"),
    "trend_upper_independent_years": ("%", "trend_independent.upper"),
    "approach_1_holds": ("1", "approach_1_holds"),
    "base_near_zero": ("1", "base_near_zero"),
}


def check_inventory(plan: Plan) -> None:
    """Refuse an inventory that cannot be made, before anything is computed.

    Raises:
        InputError: an unknown scenario, output or column; years outside the run; no areas; a single member.
    """
    settings, table = plan.study.record.inventory, plan.base.sites.table
    if settings is None:
        return
    if settings.scenario is not None:
        check_scenario(plan, (GROUP, "scenario"), settings.scenario)
    check_stock_output(plan, GROUP, settings.output)
    if table is None:
        raise plan.study.error(
            (GROUP,), "an inventory needs a site table with the area of each site; give the key sites"
        )
    for key in ("area", *TEXTS):
        column = getattr(settings, key)
        if column is not None and column not in table.columns:
            text = f"the site table has no column '{column}'; found: {', '.join(table.columns)}"
            raise plan.study.error((GROUP, key), text)
    areas = table.numbers(settings.area)
    if (areas <= 0).any():
        row = int(np.argmax(areas <= 0))
        raise table.error(row, settings.area, f"{areas[row]:g} is not allowed; an area must be above 0")
    times = plan.times()
    assert times is not None
    for key in ("base", "year"):
        try:
            records_of_year(times, settings, getattr(settings, key))
        except ValueError as error:
            raise plan.study.error((GROUP, key), str(error)) from None
    if plan.members < 2:
        raise plan.study.error((GROUP,), "an inventory table needs uncertainty; give uncertain")


def records_of_year(times: np.ndarray, settings: Inventory, year: int) -> tuple[int, ...]:
    """Records at the ends of the year before and of a year, or of the year alone where stocks are reported.

    Raises:
        ValueError: the run does not hold them.
    """
    positions, ends = project_records(times, None, None)
    wanted = (year,) if settings.of == "stock" else (year - 1, year)
    missing = [one for one in wanted if one not in ends]
    if missing:
        what = "the stock" if settings.of == "stock" else "the stocks before and after it"
        raise ValueError(f"{what} of {year} are needed at the end of {missing[0]}; the run has {ends[0]} to {ends[-1]}")
    return tuple(int(positions[list(ends).index(one)]) for one in wanted)


def inventory_of(plan: Plan, store: Store) -> xr.Dataset:
    """The inventory table of a scenario; members that failed anywhere are left out, sites are read in blocks."""
    settings, table = plan.study.record.inventory, plan.base.sites.table
    assert settings is not None and table is not None
    members = store.dataset("members")
    sound = np.flatnonzero(sound_members(members))
    columns = [table.text(c) if c else ["all"] * len(plan.sites) for c in (settings.category, settings.region)]
    labels = list(zip(*columns, strict=True))
    lines = sorted(set(labels))
    line = np.array([lines.index(label) for label in labels])
    hectares = table.numbers(settings.area) * conversion(settings.area_units, "ha")[0]
    arm = plan.scenarios.index(settings.scenario) if settings.scenario else 0
    base, year = (np.zeros((len(sound), len(lines))) for _ in ("base", "year"))
    for start in range(0, len(plan.sites), SITES_AT_ONCE):
        here = slice(start, start + SITES_AT_ONCE)
        block = members[settings.output].isel(scenario=arm, site=here)
        weight = np.zeros((len(line[here]), len(lines)))
        weight[np.arange(len(weight)), line[here]] = hectares[here]
        for total, number in ((base, settings.base), (year, settings.year)):
            ends = records_of_year(members["time"].values, settings, number)
            stocks = [block.isel(time=end).values[sound].astype(float) for end in ends]
            level = stocks[0] if settings.of == "stock" else (stocks[1] - stocks[0]) * CO2_PER_C
            total += level @ weight
    rows = inventory_table(lines, base, year, _area_errors(settings, plan.seed, base.shape))
    return _dataset(settings, plan.scenarios[arm], rows, len(sound))


def _area_errors(settings: Inventory, seed: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """Factors on the area of each line (member, line), normal about 1; ``None`` where areas are exact."""
    if settings.area_uncertainty == 0:
        return None
    rng = np.random.default_rng(host_seed(seed, "areas of an inventory"))
    return 1.0 + settings.area_uncertainty / 100 / Z95 * rng.standard_normal(shape)


def _dataset(settings: Inventory, scenario: str, rows: tuple[InventoryRow, ...], members: int) -> xr.Dataset:
    units, what = UNITS[settings.of]
    variables: dict[str, Any] = {}
    for name, (own, place) in COLUMNS.items():
        attributes = {"units": {"": units.split()[0], "%": "percent"}.get(own, own), "display_units": own or units}
        variables[name] = (
            "line",
            [float(_at(row, place)) for row in rows],
            {**attributes, "long_name": name.replace("_", " ")},
        )
    for name in TEXTS:
        variables[name] = ("line", [getattr(row, name) for row in rows], {"long_name": name})
    attributes = {
        "scenario": scenario, "of": settings.of, "what": what, "units_of_level": units, "base": settings.base,
        "year": settings.year, "members": members,
        "references": "2006 IPCC Guidelines and 2019 Refinement, vol. 1 ch. 3, approaches 1 and 2 (read in secondary sources)",
    }  # fmt: skip
    return xr.Dataset(variables, attrs=attributes)


def _at(row: Any, place: str) -> Any:
    for part in place.split("."):
        row = getattr(row, part)
    return row


def write_inventory(store: Store, folder: Path) -> list[Path]:
    """Write ``inventory.csv``: one row a category and region and one for the total, with units in comment lines.

    Raises:
        StoreRefused: the study has no inventory.
    """
    if not store.has_group(GROUP):
        raise StoreRefused("the study has no inventory; give inventory: {base: YEAR, year: YEAR} in the study")
    data = store.dataset(GROUP).load()
    names = [*TEXTS, *COLUMNS]
    head = [
        f"# {data.attrs['what']} ({data.attrs['units_of_level']}), scenario {data.attrs['scenario']}, base year "
        f"{data.attrs['base']}, year {data.attrs['year']}, {data.attrs['members']} members; 95 % intervals",
        f"# {data.attrs['references']}",
        *(f"# {name}: {data[name].attrs['display_units']}" for name in COLUMNS),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    table = data[names].to_dataframe().reset_index(drop=True)[names]
    (folder / "inventory.csv").write_text("\n".join(head) + "\n" + table.to_csv(index=False))
    return [folder / "inventory.csv"]
