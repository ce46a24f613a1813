"""Figures of the soil column."""

import numpy as np
import pytest
import xarray as xr

from ensemble.report.column import column_section, stocks_figure


@pytest.fixture
def members():
    rng = np.random.default_rng(1)
    axes = {"member": [0, 1], "scenario": ["dry", "wet"], "site": ["here"], "depth": [2.5, 7.5, 12.5],
            "time": np.arange(1.0, 41.0)}  # fmt: skip
    dims = ("member", "scenario", "site", "time")
    deep = ("member", "scenario", "site", "depth", "time")
    return xr.Dataset(
        {
            "soc": (dims, rng.uniform(50, 60, (2, 2, 1, 40))),
            "soc_profile": (deep, rng.uniform(1, 9, (2, 2, 1, 3, 40))),
            "mechanism_profile": (deep, np.full((2, 2, 1, 3, 40), 3.0)),
        },
        axes,
    )


def test_a_column_shows_stocks_profiles_and_mechanisms(members):
    section = column_section(members, {"wet": "wet forest"})
    assert [len(figure.panels) for figure in section.figures] == [2, 2, 2]
    assert "wet forest" in section.figures[0].panels[1].alt
    last = float(members["soc"].isel(site=0, scenario=0, time=-1).mean())
    assert f"{last:.0f} t C/ha" in section.figures[0].panels[0].alt
    assert "aggregation 100 %" in section.figures[2].panels[0].alt
    assert all("<svg" in panel.svg for figure in section.figures for panel in figure.panels)


def test_levels_of_a_factorial_design_are_not_averaged(members):
    """Two members that are two mechanisms: a line each, the profile of the last, and the smoothed stock where it is kept."""
    section = column_section(members, {}, levels=("none", "all"))
    stocks, profiles, mechanisms = section.figures
    ends = members["soc"].isel(site=0, scenario=0, time=-1).values
    assert f"none {ends[0]:.0f}, all {ends[1]:.0f}" in stocks.panels[0].alt
    assert [text for _, text in stocks.legend] == ["none", "all"]
    top = float(members["soc_profile"].isel(member=-1, site=0, scenario=0, depth=0, time=-1))
    assert f"{top:.1f} t C/ha in the first layer" in profiles.panels[0].alt
    assert "member all" in profiles.caption and "member all" in mechanisms.caption
    smooth = column_section(members.assign(soc_smoothed=0.0 * members["soc"] + 7.0), {}, levels=("none", "all"))
    assert "none 7, all 7" in smooth.figures[0].panels[0].alt and "between two" in smooth.figures[0].caption


def test_a_smoothed_stock_that_is_kept_is_drawn_over_the_raw_one(members):
    both = column_section(members.assign(soc_smoothed=members["soc"]), {}).figures[0]
    assert both.panels[0].svg.count("<path") == column_section(members, {}).figures[0].panels[0].svg.count("<path") + 1


def test_nothing_is_shown_of_another_model(members):
    assert column_section(members[[]], {}) is None


def test_smoothed_stocks_are_drawn_over_the_raw_ones():
    years, saw = np.arange(1.0, 41.0), {"dry": 50.0 + np.arange(40) % 10}
    plain, bold = stocks_figure(years, saw), stocks_figure(years, saw, {"dry": np.full(40, 54.5)})
    assert bold.panels[0].svg.count("<path") == plain.panels[0].svg.count("<path") + 1
