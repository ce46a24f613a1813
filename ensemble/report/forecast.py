"""Sections about the answer itself: headline, distributions, sites."""

from __future__ import annotations

import numpy as np

from ensemble.report.content import Answer, Figure, Panel, Remark, Section, Table
from ensemble.report.drawing import colour
from ensemble.report.numbers import MISSING, interval, number, percent, plural, signed
from ensemble.report.ranked import ranked_figure, site_values
from ensemble.report.results import Results
from ensemble.report.ridges import Ridge, from_members, ridge_panel

LISTED_SCENARIOS = 40


def answers(results: Results) -> tuple[str, tuple[Answer, ...]]:
    """Headline and one number a scenario, at the first shown site; of a raster, over its cells: none stands for others."""
    if results.cells and not results.sites:
        return _over_cells(results)
    site, first = results.shown_sites[0], results.scenarios[0]
    cards = tuple(_answer(results, scenario, site) for scenario in results.shown_scenarios)
    noun = f"{results.noun[:1].upper()}{results.noun[1:]}"
    where = ", ".join(part for part in (site if len(results.all_sites) > 1 else "", results.moment) if part)
    mean, sd = (float(results.at_end(results.main, what, first, site)) for what in ("mean", "sd"))
    found = f"{number(mean, sd)} {results.unit}{_interval(results, first, site)}"
    if len(results.scenarios) == 1:
        return f"{noun}, {where}: {found}.".replace(", :", ":"), cards
    changes = [text for s in results.shown_scenarios[1:4] if (text := _change(results, s, site))]
    more = f" Against it, {'; '.join(changes)}." if changes else ""
    return f"{noun}, {where}: {found} under “{results.title_of(first)}”.{more}".replace(", :", ":"), cards


def _over_cells(results: Results) -> tuple[str, tuple[Answer, ...]]:
    """Headline and one number a scenario: how means and standard deviations are spread over the cells."""
    first, several = results.scenarios[0], len(results.scenarios) > 1
    cards = []
    for arm in results.shown_scenarios:
        title = f"{results.title_of(arm)}, median cell" if several else "median cell"
        median, *more = _of_cells(results, arm)
        cards.append(Answer(title, median, tuple(more), colour(results.scenarios.index(arm))))
    noun = f"{results.noun[:1].upper()}{results.noun[1:]}{results.at}"
    under = f" under “{results.title_of(first)}”" if several else ""
    cells = f"{plural(len(results.all_sites), 'cell')}, median {', '.join(_of_cells(results, first))}"
    return f"{noun}{under}: {cells}.", tuple(cards)


def _of_cells(results: Results, scenario: str) -> tuple[str, ...]:
    """Median and range of the cells' means, and their typical standard deviation where there is one, in words."""
    span, sd = _spans(results, scenario)
    scale = None if results.alone else sd
    spread = () if results.alone else (f"typical standard deviation {number(sd)}",)
    return f"{number(span[2], scale)} {results.unit}", f"from {interval(span[0], span[-1], scale)}", *spread


def _spans(results: Results, scenario: str) -> tuple[list[float], float]:
    """Smallest, quartiles and largest of the means of the sites, and the median of their standard deviations."""
    mean, sd = (site_values(results, what, scenario) for what in ("mean", "sd"))
    known = np.isfinite(mean)
    if not known.any():
        return [np.nan] * 5, np.nan
    return [float(v) for v in np.quantile(mean[known], [0, 0.25, 0.5, 0.75, 1])], float(np.median(sd[known]))


def _interval(results: Results, scenario: str, site: str) -> str:
    if not results.bands:
        return " (one member, no spread)" if results.alone else ""
    level, low, high = results.bands[0]
    edges = results.at_end(results.main, "quantile", scenario, site)
    return f" (mean; {100 * level:g} % interval {interval(edges[low], edges[high])})"


def _change(results: Results, scenario: str, site: str) -> str:
    """How a scenario differs from the first one, in words."""
    ends = (results.at_end(results.main, "mean", name, site) for name in (scenario, results.scenarios[0]))
    centre = float(np.subtract(*ends))
    word, sign = ("more", 1.0) if centre >= 0 else ("less", -1.0)
    if results.alone:
        return f"“{results.title_of(scenario)}” holds {number(abs(centre))} {results.unit} {word}"
    ridge = difference(results, scenario, site)
    if ridge is None or not ridge.bands:
        return ""
    level, low, high = ridge.bands[0]
    scale = (high - low) / 4.0
    low, high = sorted((sign * low, sign * high))
    span = f"{100 * level:g} % interval {interval(low, high)}"
    return f"“{results.title_of(scenario)}” holds {number(abs(centre), scale)} {results.unit} {word} ({span})"


def _answer(results: Results, scenario: str, site: str) -> Answer:
    mean, sd = (float(results.at_end(results.main, what, scenario, site)) for what in ("mean", "sd"))
    error = float(results.at_end(results.main, "mean_standard_error", scenario, site))
    details = []
    for output, kind in ((results.main, "interval"), (results.measured, "with measurement error")):
        if output and results.bands and results.has(output, "quantile"):
            level, low, high = results.bands[0]
            edges = results.at_end(output, "quantile", scenario, site)
            details.append(f"{100 * level:g} % {kind}: {interval(edges[low], edges[high])}")
    details.append(f"standard deviation: {number(sd)}" if np.isfinite(sd) else "one member, no spread")
    details += [f"Monte Carlo error of the mean: {number(error, error)}"] if np.isfinite(error) else []
    title = results.panel_title(scenario, site)
    shade = colour(results.scenarios.index(scenario))
    return Answer(title, f"{number(mean, sd)} {results.unit}", tuple(details), shade)


def distribution_section(results: Results) -> Section | None:
    """Distribution at the end of every scenario, and of the paired differences; of one member only the differences."""
    site = results.shown_sites[0]
    if results.alone:
        return _of_one_member(results, site)
    panels = [ridge_panel("ridge-value", [_ridge(results, s, site) for s in results.shown_scenarios], results.unit)]
    table, lead = None, f"Distribution over members{results.at}."
    if len(results.scenarios) > 1:
        changes = [ridge for s in results.shown_scenarios[1:] if (ridge := difference(results, s, site)) is not None]
        reference = results.title_of(results.scenarios[0])
        if changes:
            panels.append(_difference_panel(changes, results))
            lead = f"First each scenario{results.at}, then its difference from “{reference}”, member by member: draws that both share cancel, so the difference is known better than the two values apart."
        table = _difference_table(results, site, reference)
    where = f" Site {site}." if len(results.all_sites) > 1 else ""
    bands = " and ".join(f"{100 * level:g} %" for level, _, _ in results.bands[:2])
    shades = f"; bars and shades: central {bands} intervals; each hill has its own height" if bands else ""
    caption = f"{results.noun[:1].upper()}{results.noun[1:]}, {results.unit}, {plural(results.used(site), 'member')}. Numbers and dot: median{shades}.{where}"
    return Section(
        "Distribution",
        lead,
        figures=(Figure(tuple(panels), caption),),
        tables=(*((table,) if table else ()), *_probability_tables(results, site)),
    )


def _of_one_member(results: Results, site: str) -> Section | None:
    if len(results.scenarios) == 1:
        return None
    reference = results.title_of(results.scenarios[0])
    lead = f"One member: what scenarios{results.at} hold more or less than “{reference}”, without any spread."
    return Section("Differences", lead, tables=(_difference_table(results, site, reference),))


def _probability_tables(results: Results, site: str) -> tuple[Table, ...]:
    """Probability of exceeding each threshold, where the study asks for some."""
    name = f"{results.main}_probability_above"
    if name not in results.statistics:
        return ()
    thresholds = results.statistics[f"{results.main}_threshold"].values
    rows = []
    for scenario in results.shown_scenarios:
        share, error = (
            results.at_end(results.main, what, scenario, site)
            for what in ("probability_above", "probability_above_standard_error")
        )
        cells = (
            f"{percent(float(p), results.used(site))} (error {percent(float(e))})"
            for p, e in zip(share, error, strict=True)
        )
        rows.append((results.title_of(scenario), *cells))
    header = ("scenario", *(f"above {value:g} {results.unit}" for value in thresholds))
    caption = f"Probability{results.at} over the members, with its Monte Carlo standard error."
    return (Table(header, tuple(rows), caption.replace("  ", " ")),)


def _difference_panel(changes: list[Ridge], results: Results) -> Panel:
    return ridge_panel("ridge-difference", changes, f"difference, {results.unit} (+ is a gain)", zero=True)


def _ridge(results: Results, scenario: str, site: str) -> Ridge:
    """Intervals from the statistics of all members; the hill from the members that are at hand."""
    shade, members = colour(results.scenarios.index(scenario)), results.end_members(scenario, site)
    label = results.title_of(scenario) if len(results.scenarios) > 1 else ""
    levels = [level for level, _, _ in results.bands[:2]]
    if members is None or members.size < 2:
        return _from_statistics(results, results.main, label, shade, scenario, site)
    if not results.bands:
        return from_members(label, shade, members, levels)
    return _from_statistics(results, results.main, label, shade, scenario, site)._replace(members=members)


def _from_statistics(results: Results, output: str, label: str, shade: str, scenario: str, site: str) -> Ridge:
    if not results.bands or not results.has(output, "quantile"):
        return Ridge(label, shade, None, (), float(results.at_end(output, "mean", scenario, site)))
    edges = results.at_end(output, "quantile", scenario, site)
    centre = (
        edges[results.median_index]
        if results.median_index is not None
        else results.at_end(output, "mean", scenario, site)
    )
    bands = tuple((level, float(edges[low]), float(edges[high])) for level, low, high in results.bands)
    return Ridge(label, shade, None, bands, float(centre))


def difference(results: Results, scenario: str, site: str) -> Ridge | None:
    """Distribution of the paired difference from the first scenario, from members or from the statistics."""
    shade, label = colour(results.scenarios.index(scenario)), results.title_of(scenario)
    one, other = (results.end_members(name, site) for name in (scenario, results.scenarios[0]))
    if one is not None and other is not None and one.size > 1:
        return from_members(label, shade, one - other, [level for level, _, _ in results.bands[:2]])
    output = f"{results.main}_difference"
    return _from_statistics(results, output, label, shade, scenario, site) if results.has(output, "mean") else None


def _difference_table(results: Results, site: str, reference: str) -> Table:
    """Differences from the first scenario; without members there is no more to say than their mean and interval."""
    arms = results.scenarios[1:][:LISTED_SCENARIOS]
    pairs = [(results.end_members(arm, site), results.end_members(results.scenarios[0], site)) for arm in arms]
    header = ("scenario", "mean difference", "90 % interval", "sd", "sd if not paired", "probability of a gain")
    text = f"Difference from “{reference}”{results.at}, {results.unit}."
    if results.alone or any(one is None or other is None for one, other in pairs):
        known = 2 if results.alone else 3
        return Table(header[:known], tuple(_known_difference(results, arm, site)[:known] for arm in arms), text)
    rows = []
    for arm, (one, other) in zip(arms, pairs, strict=True):
        assert one is not None and other is not None
        change = one - other
        sd, apart = (float(v) for v in (change.std(ddof=1), np.hypot(one.std(ddof=1), other.std(ddof=1))))
        span = interval(*(float(v) for v in np.quantile(change, [0.05, 0.95])))
        chance = percent(float((change > 0).mean()), change.size)
        rows.append((results.title_of(arm), signed(float(change.mean()), sd), span, number(sd), number(apart), chance))
    return Table(header, tuple(rows), text + " Not paired: what adding the two variances would claim.")


def _known_difference(results: Results, scenario: str, site: str) -> tuple[str, str, str]:
    ends = (results.at_end(results.main, "mean", name, site) for name in (scenario, results.scenarios[0]))
    ridge = difference(results, scenario, site)
    span = interval(*ridge.bands[0][1:]) if ridge is not None and ridge.bands else MISSING
    return results.title_of(scenario), signed(float(np.subtract(*ends))), span


def sites_section(results: Results) -> Section:
    """All sites at a glance; nothing here grows with their number."""
    rows = []
    for scenario in results.shown_scenarios:
        spans, scale = _spans(results, scenario)
        rows.append((results.title_of(scenario), *(number(v, scale) for v in spans), number(scale)))
    header = ("scenario", "smallest", "lower quartile", "median", "upper quartile", "largest", "typical sd")
    caption = f"Means of the sites{results.at}, {results.unit}; typical sd is the median over sites of the standard deviation over members."
    missing = int((results.statistics["members_used"] == 0).sum())
    lead = f"{plural(len(results.all_sites), 'site')} were simulated; {', '.join(results.shown_sites)} {'is' if len(results.shown_sites) == 1 else 'are'} shown in full."
    remarks = (
        (Remark("bad", f"All members failed at {plural(missing, 'site')}; these have no statistics."),)
        if missing
        else ()
    )
    return Section("Sites", lead, remarks, (ranked_figure(results),), (Table(header, tuple(rows), caption),))
