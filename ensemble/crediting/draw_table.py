"""The draw table: what a registry platform takes in, one row for each point, arm, year and draw, with its checks.

Draw 0 is the central run and draws 1 to L are the ensemble. The columns follow a public VM0042 v2.2 platform;
methane and nitrous oxide stay empty for a model of soil carbon alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

COLUMNS = (
    "site_code",
    "scenario",
    "year",
    "draw",
    "soc_t_c_ha",
    "ch4_t_ch4_ha",
    "n2o_t_n2o_ha",
    "practice_category",
    "crop_functional_group",
)
ARMS = ("baseline", "project")
START_TOLERANCE = 1e-4  # t C/ha; arms start from the same stock but for rounding in float32


def draw_table(
    sites: list[str],
    years: ArrayLike,
    stocks: Mapping[str, ArrayLike],
    central: Mapping[str, ArrayLike] | None = None,
    practice_category: str = "",
    crop_functional_group: str = "",
) -> pd.DataFrame:
    """Long table of the stocks of both arms.

    Args:
        sites: ``(site,)`` codes.
        years: ``(year,)`` ends of year, the first is the end of the year before the start.
        stocks: ``(draw, site, year)`` t C/ha of ``baseline`` and ``project``.
        central: ``(site, year)`` of both, draw 0.
        practice_category, crop_functional_group: VMD0053 terms.

    Raises:
        ValueError: the table fails :func:`check_draw_table`.
    """
    parts = []
    for arm in ARMS:
        draws = np.asarray(stocks[arm], float)
        first = 1
        if central is not None:
            draws, first = np.concatenate([np.asarray(central[arm], float)[None], draws]), 0
        index = pd.MultiIndex.from_product(
            [range(first, first + len(draws)), sites, np.asarray(years, int)], names=["draw", "site_code", "year"]
        )
        parts.append(pd.DataFrame({"soc_t_c_ha": draws.ravel()}, index=index).reset_index().assign(scenario=arm))
    table = pd.concat(parts, ignore_index=True).assign(
        ch4_t_ch4_ha=np.nan,
        n2o_t_n2o_ha=np.nan,
        practice_category=practice_category,
        crop_functional_group=crop_functional_group,
    )
    table = table.loc[:, list(COLUMNS)].sort_values(by=["site_code", "scenario", "year", "draw"], ignore_index=True)
    check_draw_table(table)
    return table


def read_draw_table(path: Path) -> pd.DataFrame:
    """A draw table from CSV, checked; a blank draw is the central run.

    Raises:
        ValueError: a column is missing, or :func:`check_draw_table` fails.
    """
    table = pd.read_csv(path, dtype={"site_code": str})
    missing = [name for name in COLUMNS[:5] if name not in table]
    if missing:
        raise ValueError(f"{path.name} has no column {', '.join(missing)}")
    table = table.assign(draw=table["draw"].fillna(0).astype(int))
    check_draw_table(table)
    return table


def check_draw_table(table: pd.DataFrame) -> None:
    """Consistency that a platform asks for.

    Both arms and nothing else; no row twice; every combination of site, year and draw in both arms; years
    without gaps; stocks that are finite and not negative; the same stock in both arms in the first year.

    Raises:
        ValueError: the first of these that fails, with the site, year or draw.
    """
    arms = sorted(set(table["scenario"]))
    if arms != sorted(ARMS):
        raise ValueError(f"scenario must be baseline and project, found {', '.join(map(str, arms))}")
    keys = ["site_code", "scenario", "year", "draw"]
    twice = table.loc[table.duplicated(keys), keys]
    if len(twice):
        raise ValueError(
            "row listed twice: "
            + ", ".join(f"{key} {value}" for key, value in zip(keys, twice.to_numpy()[0], strict=True))
        )
    wide = table.pivot(index=["site_code", "draw"], columns=["scenario", "year"], values="soc_t_c_ha")
    years = sorted(set(table["year"]))
    if years != list(range(years[0], years[-1] + 1)):
        gaps = sorted(set(range(years[0], years[-1] + 1)) - set(years))
        raise ValueError(f"years have a gap: {gaps[0]} is missing")
    full = pd.MultiIndex.from_product([sorted(set(table["site_code"])), sorted(set(table["draw"]))])
    if len(wide) != len(full):
        site, draw = full.difference(wide.index)[0]
        raise ValueError(f"draw {draw} is missing at site {site}; the same draws are needed at every site")
    if wide.shape[1] != 2 * len(years) or wide.isna().to_numpy().any() or not np.isfinite(wide.to_numpy(float)).all():
        raise ValueError("a stock is missing or not finite: every site, arm, year and draw needs one")
    stocks = wide.to_numpy(float)
    if (stocks < 0).any():
        raise ValueError(f"soc_t_c_ha is negative: {float(stocks.min()):g}")
    start = [list(wide.columns).index((arm, years[0])) for arm in ARMS]
    apart = np.abs(stocks[:, start[1]] - stocks[:, start[0]])
    if apart.max() > START_TOLERANCE:
        site, draw = list(wide.index)[int(apart.argmax())]
        raise ValueError(
            f"baseline and project start from different stocks at site {site}, draw {draw}: they differ by {apart.max():g} "
            f"t C/ha at the end of {years[0]}"
        )


def paired_changes(table: pd.DataFrame, year: int | None = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Change of the stock of both arms since the first year, draws 1 to L.

    Args:
        table: a checked draw table.
        year: last year (default: the table's).

    Returns:
        Baseline and project ``(draw, site)`` t C/ha, and the site codes.
    """
    wide = table[table["draw"] > 0].pivot_table(
        index=["year", "scenario", "draw"], columns="site_code", values="soc_t_c_ha"
    )
    years = sorted(set(wide.index.get_level_values("year")))
    last = years[-1] if year is None else year
    baseline, project = (
        wide.loc[(last, arm)].to_numpy(float) - wide.loc[(years[0], arm)].to_numpy(float) for arm in ARMS
    )
    return baseline, project, [str(code) for code in wide.columns]
