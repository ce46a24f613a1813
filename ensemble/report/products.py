"""Report sections of totals and credits."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ensemble.mapping.zoning import OUTSIDE
from ensemble.report.content import Remark, Section, Table
from ensemble.report.numbers import MISSING, interval, number
from ensemble.report.product_figures import credits_figure, sweep_figure, totals_figure


def sweep_section(curves: xr.Dataset) -> Section:
    """What an output does along each swept input, the others at their base."""
    parts = []
    for name in curves.attrs["inputs"]:
        levels, response = curves[f"{name}_level"], curves[f"{name}_response"].median("site").values
        unit = "" if levels.attrs["units"] == "1" else f" {levels.attrs['units']}"
        span = f"{float(levels[0]):g} to {float(levels[-1]):g}{unit}"
        parts.append(f"from {number(float(response[0]))} to {number(float(response[-1]))} along {name} {span}")
    lead = (
        f"{curves.attrs['what']}, {curves.attrs['unit']}, median of {curves.sizes['site']} sites: {'; '.join(parts)}. Each input was set "
        "to its levels in turn, the others at their base."
    )
    return Section("Sweep", lead, figures=(sweep_figure(curves),), answer=True)


def totals_section(totals: xr.Dataset) -> Section:
    """Totals of regions with the three assumptions on dependence side by side."""
    names, kinds = [str(name) for name in totals["class"].values], [str(k) for k in totals["assumption"].values]
    names = names if len(names) > 2 else names[-1:]  # one class is the same as all
    whole = totals.isel({"scenario": 0, "class": -1})
    unit, factor = _tonnes(float(whole["mean"]))
    ends = [int(np.argmin(np.abs(totals["quantile"].values - level))) for level in (0.05, 0.95)]
    coverage = 100 * float(np.diff(totals["quantile"].values[ends])[0])

    def cells(here: xr.Dataset) -> tuple[str, str, list[str]]:
        """Mean, interval and standard deviations of one total."""
        sd = [factor * float(here["sd"].sel(assumption=kind)) for kind in kinds]
        low, high = (factor * float(here["quantile_of_total"][k]) for k in ends)
        scale = sd[kinds.index("modelled")]
        return number(factor * float(here["mean"]), scale), interval(low, high, scale), [number(s) for s in sd]

    rows = [
        (name, str(arm), number(float(here["area"])), mean, span, *sd)
        for arm in totals["scenario"].values
        for name in names
        for here in [totals.sel({"scenario": arm, "class": name})]
        for mean, span, sd in [cells(here)]
    ]
    mean, span, sd = cells(whole)
    said = dict(zip(kinds, sd, strict=True))
    lead = (
        f"The {totals['mean'].attrs['long_name']} is {mean} {unit} ({coverage:.0f} % interval {span}), with a standard deviation "
        f"of {said['modelled']} {unit}; independent errors would give {said['independent']} and fully dependent ones "
        f"{said['dependent']} {unit}."
    )
    header = (
        "class", "scenario", "area (ha)", f"mean ({unit})", f"{coverage:.0f} % interval", "sd, independent", "sd, as modelled",
        "sd, dependent",
    )  # fmt: skip
    caption = f"Totals of {totals.attrs['output']} at the end of the run, {totals.attrs['members']} members; interval with errors as modelled."
    return Section(
        "Totals", lead, figures=(totals_figure(totals),), tables=(Table(header, tuple(rows), caption),), answer=True
    )


def _tonnes(value: float) -> tuple[str, float]:
    """Unit that leaves a number of tonnes at most a few digits before the point, and the factor to it."""
    for unit, size in (("Mt C", 1e6), ("kt C", 1e3)):
        if abs(value) >= 10 * size:
            return unit, 1 / size
    return "t C", 1.0


def zones_section(zones: xr.Dataset) -> Section:
    """Area of the classes of potential against uncertainty."""
    rows = []
    for arm in zones["scenario"].values:
        for name in zones["class"].values:
            here = zones.sel({"scenario": arm, "class": name})
            values = [number(float(here[key])) for key in ("area", "share", "potential", "uncertainty")]
            rows.append((str(name), str(arm), *values))
    best = zones.isel(scenario=0).sel({"class": "high mean, low uncertainty"})
    lead = f"{number(float(best['share']))} % of the area has a high mean and a low standard deviation."
    if OUTSIDE in zones["class"].values:
        share = float(zones.isel(scenario=0)["share"].sel({"class": OUTSIDE}))
        lead += (
            f" {number(share)} % lies outside the area of applicability of the learned maps and is no zone of the nine."
        )
    units = {key: zones[key].attrs.get("display_units", zones[key].attrs["units"]) for key in ("area", "potential")}
    header = (
        "class", "scenario", f"area ({units['area']})", "share (%)", f"mean ({units['potential']})",
        f"sd ({units['potential']})",
    )  # fmt: skip
    caption = (
        f"Zones of {zones.attrs['output']}: medium is within {zones.attrs['spread']:g} mean absolute deviations of the mean "
        "of the map, for the mean and for the standard deviation over members."
    )
    return Section("Zones", lead, tables=(Table(header, tuple(rows), caption),))


def credits_section(credits: xr.Dataset) -> Section:
    """Credited amount, the rules side by side, the waterfall, and what independence would have done."""

    def value(name: str) -> float:
        return float(credits[name])

    lead = (
        f"{number(value('credited_total'))} t CO2e are credited for {credits.attrs['years']} after a deduction of "
        f"{100 * value('deduction'):.1f} % ({credits.attrs['rule_title']}): {number(value('mean'), value('standard_error'))} t CO2e/ha with a standard "
        f"error of {number(value('standard_error'))}, times {value('factor'):.3f} "
        f"({value('degrees_of_freedom'):g} degrees of freedom). "
        f"The credited {number(value('credited'), value('credited_standard_error'))} t CO2e/ha are known to "
        f"{number(value('credited_standard_error'))} from {credits.attrs['draws']} draws."
    )
    tables = (_waterfall(credits), _budget(credits), _rules(credits), _dependence(credits))
    notes = (credits.attrs["rule_source"], credits.attrs["rule_note"])
    tables += (_sample_size(credits),) if "wanted_points" in credits else ()
    tables += (_routes(credits),) if "analytical_deduction" in credits else ()
    comment = Remark("plain", credits.attrs["comment"])
    return Section("Credits", lead, (comment,), (credits_figure(credits),), tables, notes, answer=True)


def _routes(credits: xr.Dataset) -> Table:
    rows = [
        (
            name,
            number(float(credits[f"{key}standard_error"])),
            f"{100 * float(credits[f'{key}deduction']):.1f} %",
            number(float(credits[f"{key}credited_total"])),
        )
        for name, key in (("Monte Carlo (Eqs 65-69)", ""), ("analytical (Eqs 60-64)", "analytical_"))
    ]
    header = ("route", "standard error (t CO2e/ha)", "deduction", "credited (t CO2e)")
    text = "Two routes to the uncertainty. The analytical one takes the model's error from trials and errors of strata as independent."
    return Table(header, tuple(rows), text)


def _sample_size(credits: xr.Dataset) -> Table:
    rows = [
        (str(name), *(_points(float(credits[key][k])) for key in ("points_now", "wanted_points")))
        for k, name in enumerate(credits["stratum"].values)
    ]
    text = (
        f"Points for a deduction of at most {100 * credits.attrs['wanted_deduction']:.3g} % with the spread between points seen here, "
        f"by area times standard deviation (Neyman). The model's error alone deducts {100 * credits.attrs['floor']:.3g} %, whatever the points."
    )
    return Table(("stratum", "points now", "points needed"), tuple(rows), text)


def _points(count: float) -> str:
    return f"{count:,.0f}" if np.isfinite(count) else MISSING


def _waterfall(credits: xr.Dataset) -> Table:
    rows = [
        (str(step), number(float(credits["step_change"][k])), number(float(credits["step_left"][k])))
        for k, step in enumerate(credits["step"].values)
    ]
    return Table(
        ("step", "takes (t CO2e)", "left (t CO2e)"), tuple(rows), "From gross to net, whole project and period."
    )


def _budget(credits: xr.Dataset) -> Table:
    parts = {"sampling": float(credits["sampling_variance"]), "model": float(credits["model_variance"])}
    whole = sum(parts.values())
    rows = [
        (name, number(part), f"{100 * part / whole:.0f} %" if whole else "-")
        for name, part in (*parts.items(), ("total", whole))
    ]
    header = ("source of error", "variance ((t CO2e/ha)^2)", "share")
    return Table(header, tuple(rows), "Error budget of the mean change.")


def _rules(credits: xr.Dataset) -> Table:
    rows = []
    for k, name in enumerate(credits["rule"].values):
        half = float(credits["rule_half_width"][k])
        shown = MISSING if half != half else f"{100 * half:.1f} %"
        rows.append(
            (
                str(name),
                shown,
                f"{100 * float(credits['rule_deduction'][k]):.1f} %",
                number(float(credits["rule_credited"][k])),
            )
        )
    header = ("rule", "half-width / mean", "deduction", "credited (t CO2e)")
    return Table(
        header, tuple(rows), "The same ensemble under other rules; rules that only state uncertainty deduct nothing."
    )


def _dependence(credits: xr.Dataset) -> Table:
    scale = max(abs(float(credits["credited_total"])) / 300, 1e-6)
    rows = [
        (
            str(name),
            f"{100 * float(credits['dependence_deduction'][k]):.1f} %",
            number(float(credits["dependence_difference"][k]), scale),
        )
        for k, name in enumerate(credits["dependence"].values)
    ]
    header = ("errors taken as", "deduction", "credited, less joint draws (t CO2e)")
    return Table(
        header, tuple(rows), "What an assumption of independence would have cost (below 0) or given away (above 0)."
    )
