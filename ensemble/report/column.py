"""The soil column: stocks through time, depth profiles, and which mechanism protects where and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Drawing

from ensemble.report.content import Figure, Panel, Section
from ensemble.report.drawing import PALETTE, TITLE, colour, draw, swatch
from ensemble.report.numbers import fitted

# Values of the output mechanism_profile.
MECHANISMS = ("none", "clay minerals", "metal oxyhydroxides", "aggregation", "pores")
SHADES = ("#e3e6ea", PALETTE[1], PALETTE[3], PALETTE[0], PALETTE[2])
# Points of a curve or image that are drawn; a run has thousands of years.
POINTS = 500
# Levels of a factorial: the first, often without the effect, in grey; neighbours far apart.
LEVELS = tuple(PALETTE[place] for place in (6, 1, 2, 3, 4, 0, 5))
PROFILE_YEARS = 5


def column_section(
    members: xr.Dataset, titles: Mapping[str, str], site: str | None = None, levels: Sequence[str] = ()
) -> Section | None:
    """Figures of a column's run, of the first site unless one is named; ``None`` where none of its outputs is kept.

    Args:
        members: outputs with dims (member, scenario, site, depth, time) as they apply; time in years.
        titles: title of each scenario by name; the name itself where there is none.
        site: name of the site.
        levels: what each member is, where members are the levels of a factorial design: a mean over them would
            mean nothing. Stocks are then drawn one by one, profiles of the last.
    """
    if not {"soc", "soc_profile", "mechanism_profile"} & set(members):
        return None
    data = members.isel(site=0) if site is None else members.sel(site=site)
    arms = {titles.get(str(n), str(n)): data.sel(scenario=n) for n in data["scenario"].values}
    found = _stocks(arms, tuple(levels)) if "soc" in data else []
    whose = f"member {levels[-1]}" if levels else "mean over members"
    if "soc_profile" in data:
        profiles = {title: arm["soc_profile"] for title, arm in arms.items()}
        profiles = {t: p.isel(member=-1) if levels else p.mean("member") for t, p in profiles.items()}
        found.append(profiles_figure(profiles, whose))
    if "mechanism_profile" in data:
        which = -1 if levels else 0
        fields = {title: arm["mechanism_profile"].isel(member=which) for title, arm in arms.items()}
        found.append(mechanism_figure(fields, whose if levels else "first member"))
    lead = f"{len(arms)} scenarios over {data['time'].values[-1]:,.0f} years."
    return Section("Soil column", lead, figures=tuple(found))


def _stocks(arms: Mapping[str, xr.Dataset], levels: tuple[str, ...]) -> list[Figure]:
    """Stocks through time: of every level where there are, else raw and smoothed, as far as they are kept."""
    first = next(iter(arms.values()))
    years = first["time"].values
    has_mean = "soc_smoothed" in first
    if levels:
        name = "soc_smoothed" if has_mean else "soc"
        return [levels_figure(years, {title: arm[name].values for title, arm in arms.items()}, levels, has_mean)]
    stocks, smooth = ({title: arm[name].mean("member").values for title, arm in arms.items()} if name in first else None
                      for name in ("soc", "soc_smoothed"))  # fmt: skip
    assert stocks is not None
    return [stocks_figure(years, stocks, smooth)]


def levels_figure(years: np.ndarray, stocks: Mapping[str, np.ndarray], levels: Sequence[str], smoothed: bool) -> Figure:
    """Stock of each level of a factorial design through time, a panel a scenario.

    Args:
        years: shape (years,).
        stocks: by scenario, t C/ha, shape (levels, years).
        levels: what each row is; at most as many as there are colours.
        smoothed: whether the stocks are means over the years between two events.
    """
    top = 1.05 * max(float(np.nanmax(stock)) for stock in stocks.values())
    shown = np.unique(np.linspace(0, len(years) - 1, 2 * POINTS).astype(int))

    def panel(place: int, name: str) -> Panel:
        def paint(figure: Drawing, axes: Axes) -> None:
            for i, stock in enumerate(stocks[name]):
                axes.plot(years[shown], stock[shown], color=LEVELS[i], linewidth=1.3)
            axes.set_ylim(0, top)
            _label(axes, "year", "t C/ha", name)

        ends = ", ".join(f"{level} {stock[-1]:.0f}" for level, stock in zip(levels, stocks[name], strict=True))
        return draw(f"column-stock-{place}", f"{name}: t C/ha in year {years[-1]:,.0f}: {ends}.", paint)

    what = ", mean over the years between two erosion events" if smoothed else ""
    legend = tuple((swatch("line", LEVELS[i]), level) for i, level in enumerate(levels))
    return Figure(tuple(panel(i, n) for i, n in enumerate(stocks)), f"Soil organic carbon{what}.", legend)


def stocks_figure(
    years: np.ndarray, stocks: Mapping[str, np.ndarray], smoothed: Mapping[str, np.ndarray] | None = None
) -> Figure:
    """Stock of each scenario through time, a panel each.

    Args:
        years: shape (years,).
        stocks: by scenario, t C/ha, shape (years,); thin lines where ``smoothed`` is given.
        smoothed: the same without the saw-teeth of erosion events, drawn bold.
    """
    top = 1.05 * max(float(np.nanmax(stock)) for stock in stocks.values())
    shown = np.unique(np.linspace(0, len(years) - 1, 8 * POINTS).astype(int))

    def panel(place: int, name: str) -> Panel:
        def paint(figure: Drawing, axes: Axes) -> None:
            axes.plot(years[shown], stocks[name][shown], color=colour(0), linewidth=0.6 if smoothed else 1.2)
            if smoothed:
                axes.plot(years[shown], smoothed[name][shown], color=colour(1), linewidth=2.0)
            axes.set_ylim(0, top)
            _label(axes, "year", "t C/ha", name)

        return draw(f"column-stock-{place}", f"{name}: {stocks[name][-1]:.0f} t C/ha in year {years[-1]:,.0f}.", paint)

    bold = " Bold: mean over the years between two erosion events." if smoothed else ""
    return Figure(tuple(panel(i, n) for i, n in enumerate(stocks)), f"Soil organic carbon, mean over members.{bold}")


def profiles_figure(profiles: Mapping[str, xr.DataArray], whose: str) -> Figure:
    """Carbon of each layer at chosen years, a panel a scenario.

    Args:
        profiles: by scenario, t C/ha per layer, dims (depth, time), depth in cm.
        whose: which members these are, for the caption.
    """
    first = next(iter(profiles.values()))
    chosen = np.unique(np.linspace(0, first.sizes["time"] - 1, PROFILE_YEARS + 1).astype(int)[1:])
    years = first["time"].values[chosen]
    most = 1.05 * max(float(profile.max()) for profile in profiles.values())

    def panel(place: int, name: str) -> Panel:
        def paint(figure: Drawing, axes: Axes) -> None:
            for i, when in enumerate(chosen):
                profile = profiles[name].isel(time=int(when))
                axes.plot(profile.values, profile["depth"].values, color=colour(i), linewidth=1.6)
            axes.invert_yaxis()
            axes.set_xlim(0, most)
            _label(axes, "t C/ha in a layer", "depth, cm", name)

        last = profiles[name].isel(time=int(chosen[-1]))
        alt = f"{name}: {float(last[0]):.1f} t C/ha in the first layer, {float(last[-1]):.1f} in the last."
        return draw(f"column-profile-{place}", alt, paint)

    legend = tuple((swatch("line", colour(i)), f"year {year:,.0f}") for i, year in enumerate(years))
    return Figure(tuple(panel(i, n) for i, n in enumerate(profiles)), f"Carbon by depth, {whose}.", legend)


def mechanism_figure(fields: Mapping[str, xr.DataArray], whose: str) -> Figure:
    """The mechanism that protects most, by depth and time, a panel a scenario.

    Args:
        fields: by scenario, number of the mechanism (0 to 4), dims (depth, time), depth in cm.
        whose: which member this is, for the caption.
    """
    palette = ListedColormap(SHADES)

    def panel(place: int, name: str) -> Panel:
        field = fields[name]
        shown = np.unique(np.linspace(0, field.sizes["time"] - 1, POINTS).astype(int))
        numbers = np.rint(field.isel(time=shown).values)
        half = 0.5 * float(np.diff(field["depth"].values).mean()) if field.sizes["depth"] > 1 else 0.0
        edges = field["time"].values[0], field["time"].values[-1]
        deepest = float(field["depth"].values[-1]) + half

        def paint(figure: Drawing, axes: Axes) -> None:
            axes.pcolormesh(field["time"].values[shown], field["depth"].values, numbers, cmap=palette, vmin=-0.5,
                            vmax=4.5, shading="nearest", rasterized=True)  # fmt: skip
            axes.set_xlim(*edges)
            axes.set_ylim(deepest, 0)
            _label(axes, "year", "depth, cm", name)

        parts = ", ".join(f"{label} {100 * float((numbers == i).mean()):.0f} %" for i, label in enumerate(MECHANISMS))
        return draw(f"column-mechanism-{place}", f"{name}: {parts} of depth and time.", paint)

    legend = tuple((swatch("band", shade), label) for shade, label in zip(SHADES, MECHANISMS, strict=True))
    caption = f"The mechanism with the smallest rate factor, {whose}."
    return Figure(tuple(panel(i, n) for i, n in enumerate(fields)), caption, legend)


def _label(axes: Axes, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(fitted(title, TITLE))
