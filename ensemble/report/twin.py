"""The page of a twin: state today, forecast with its errors apart, score, learning, alarms, history."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble import __version__
from ensemble.config.twin import Twin as Settings
from ensemble.inputs.calendar import instant
from ensemble.plan import Plan
from ensemble.report.content import Answer, Figure, Panel, Remark, ReportContent, Section, Table
from ensemble.report.drawing import INK, colour, draw, swatch, time_axis, tint
from ensemble.report.fan import draw_points
from ensemble.report.numbers import MISSING, number, percent, plural
from ensemble.report.page import render
from ensemble.report.results import rows_where
from ensemble.report.twin_score import score_section, watch_section
from ensemble.twin.journal import Entry
from ensemble.twin.score import summary
from ensemble.twin.twin import Twin

# What remains of a colour for the band of each layer, measurement first.
SHADES = (0.16, 0.32, 0.5, 0.75)
NAMES = ("parameters", "and the state today", "and the process from today on", "and the error of a measurement")
DRAWN = 12
BAND = (0.05, 0.95)


def twin_page(twin: Twin, plan: Plan, settings: Settings) -> str:
    """The page of a twin."""
    return render(twin_content(twin, plan, settings))


def twin_content(twin: Twin, plan: Plan, settings: Settings) -> ReportContent:
    """Everything the page says."""
    steps, title = twin.steps(), plan.study.record.title or plan.study.name
    footer = f"ensemble {__version__}"
    if not steps:
        return ReportContent(title, "a twin without measurements", "Nothing has been taken in yet.", (), (), footer)
    last = steps[-1]
    watches = twin.watches(settings.false_alarms)
    alarms = [w for w in watches if w.alarm]
    head = (
        f"{plural(len(alarms), 'series')} left the bands of its forecasts more often than chance allows."
        if alarms
        else _no_alarm(twin.one_step())
    )
    sections = (
        _forecast_section(twin, plan, settings, last),
        _state_section(last),
        score_section(twin.one_step(), twin.archived()),
        watch_section(watches, settings.false_alarms),
        _learning_section(twin.standing() or [last]),
        _history_section(twin),
    )
    said = (
        f"{plural(len(twin.rows), 'measurement')}, the last at {instant(last.data['date'])}; line {last.data['line']}"
    )
    answers = tuple(_answer(plan, number_, entry) for number_, entry in enumerate(last.data["errors"][:DRAWN]))
    return ReportContent(title, f"Twin after {said}", head, answers, sections, f"{footer}, step {last.digest[:12]}")


def _no_alarm(scores: pd.DataFrame) -> str:
    if scores.empty:
        return "No drift alarm; no forecast has met a measurement yet."
    found = summary(scores)
    return f"No drift alarm: {found['in_90'] * found['n']:.0f} of {found['n']} measurements lie inside the 90 % band forecast one step before."


def _title(plan: Plan, scenario: str, site: str) -> str:
    arm = plan.study.record.scenarios.get(scenario)
    parts = [arm.title or scenario] if arm is not None else []
    return ", ".join([*parts, *([site] if len(plan.sites) > 1 else [])]) or "study"


def _answer(plan: Plan, place: int, entry: Mapping[str, Any]) -> Answer:
    name = _title(plan, entry["scenario"], entry["site"])
    return Answer(
        f"{name}, {entry['variable']} at {instant(entry['time'])}",
        f"{number(entry['mean'], entry['truth'])} ± {number(entry['truth'])}",
        ("standard deviation of the true value", f"of a measurement: {number(entry['total'])}"),
        colour(place),
    )


def _forecast_section(twin: Twin, plan: Plan, settings: Settings, last: Entry) -> Section:
    arrays, _ = twin.forecast(last)
    keys = list(
        dict.fromkeys(zip(*(arrays[f"row_{k}"].tolist() for k in ("scenario", "site", "variable")), strict=True))
    )
    if not keys:
        lead = "The run of the study ends with the last measurement; give it a later end to look ahead."
        return Section("Forecast from today", lead)
    scores = twin.one_step()
    panels = tuple(_panel(plan, arrays, scores, key, place) for place, key in enumerate(keys[:DRAWN]))
    legend = [(swatch("band", tint(colour(0), SHADES[3 - k])), f"90 % band: {NAMES[k]}") for k in range(4)]
    legend.append((swatch("point", INK), "measurement ± 1 standard deviation"))
    figures = (
        ()
        if not panels
        else (
            Figure(panels, "Forecast from the last date; each band adds an error to the one inside it.", tuple(legend)),
        )
    )
    tables = [_errors_table(plan, last)]
    if settings.continues:
        tables.append(_paired_table(plan, arrays, settings.continues))
    lead = (
        "What is known today, carried forward. The four errors are kept apart: only the last belongs to the laboratory."
    )
    return Section("Forecast from today", lead, figures=figures, tables=tuple(tables))


def _panel(
    plan: Plan, arrays: Mapping[str, np.ndarray], scores: pd.DataFrame, key: tuple[str, str, str], place: int
) -> Panel:
    mine = (arrays["row_scenario"] == key[0]) & (arrays["row_site"] == key[1]) & (arrays["row_variable"] == key[2])
    order = np.flatnonzero(mine)[np.argsort(arrays["row_time"][mine])]
    times, layers = arrays["row_time"][order], arrays["layers"][:, :, order].astype(float)
    past = rows_where(scores, scenario=key[0], site=key[1], variable=key[2])
    shade, name = colour(place), _title(plan, key[0], key[1])

    def paint(figure: Drawing, axes: Axes) -> None:
        for k in (3, 2, 1, 0):
            low, high = np.quantile(layers[k], BAND, axis=0)
            axes.fill_between(times, low, high, color=tint(shade, SHADES[3 - k]), linewidth=0)
        axes.plot(times, np.median(layers[2], axis=0), color=tint(shade, 1.0), linewidth=1.8)
        known = past.assign(inside_predictive_90=(past["value"] >= past["q05"]) & (past["value"] <= past["q95"]))
        draw_points(axes, known)
        years = np.concatenate([past["time"].to_numpy(float), times])
        time_axis(axes, np.array([years.min(), years.max()]), "year")
        axes.grid(axis="y")
        axes.set_title(name, color=shade)

    end = layers[2][:, -1]
    alt = f"{name}: {len(past)} measurements, then a forecast to {instant(times[-1])}: {end.mean():.3g} with sd {end.std():.2g}"
    return draw(f"twin-{place}", alt, paint)


def _errors_table(plan: Plan, last: Entry) -> Table:
    rows = []
    for entry in last.data["errors"]:
        names = ("parameter", "state", "process", "measurement", "truth", "total")
        cells = [number(entry[name]) for name in names]
        rows.append((_title(plan, entry["scenario"], entry["site"]), instant(entry["time"]), *cells))
    header = (
        "series",
        "time",
        "parameters",
        "state",
        "process",
        "measurement",
        "sd of the truth",
        "sd of a measurement",
    )
    caption = "Standard deviation that each error adds at the last year of the forecast (their squares about add up), and the sums."
    return Table(header, tuple(rows), caption)


def _paired_table(plan: Plan, arrays: Mapping[str, np.ndarray], continues: Mapping[str, str]) -> Table:
    rows = []
    truth, end = arrays["layers"][2].astype(float), arrays["row_time"].max()
    at_end = arrays["row_time"] == end
    for arm, origin in continues.items():
        for site in dict.fromkeys(arrays["row_site"].tolist()):
            pair = [at_end & (arrays["row_scenario"] == name) & (arrays["row_site"] == site) for name in (arm, origin)]
            if all(p.any() for p in pair):
                gain = truth[:, np.argmax(pair[0])] - truth[:, np.argmax(pair[1])]
                alone = np.hypot(truth[:, np.argmax(pair[0])].std(ddof=1), truth[:, np.argmax(pair[1])].std(ddof=1))
                low, high = np.quantile(gain, BAND)
                cells = (
                    number(float(gain.mean())),
                    f"{number(float(low))} to {number(float(high))}",
                    number(float(gain.std(ddof=1))),
                    number(float(alone)),
                )
                rows.append(
                    (f"{_title(plan, arm, str(site))} minus {_title(plan, origin, str(site))}", instant(end), *cells)
                )
    header = ("difference", "time", "mean", "90 % interval", "sd, paired", "sd if unpaired")
    return Table(header, tuple(rows), "Scenarios from the updated state share parameters, state and process noise.")


def _state_section(last: Entry) -> Section:
    state = last.data["state"]
    if not state:
        lead = "The study gives its model no noise on the pools, so the state today follows from the parameters."
        return Section("State today", lead)
    rows = tuple(
        (f"{s['scenario']}, {s['site']}", s["pool"], number(s["mean"], s["sd"]), number(s["sd"]),
         percent(s["below_zero"]) + (" flagged" if s["flagged"] else ""))
        for s in state
    )  # fmt: skip
    flagged = sum(s["flagged"] for s in state)
    lead = f"Pools after the last date. {plural(flagged, 'pool')} of {len(state)} have a probability above 0.1 % of being below zero."
    note = (
        "The filter's state is never cut at zero: a cut state would no longer be the exact answer of the linear model."
    )
    header = ("series", "pool", "mean", "sd", "probability below zero")
    return Section(
        "State today", lead, tables=(Table(header, rows, "Pools, t C/ha", folded=len(rows) > 16),), notes=(note,)
    )


def _learning_section(steps: Sequence[Entry]) -> Section:
    last = steps[-1].data["parameters"]
    names = [p["name"] for p in sorted(last, key=lambda p: -p["contraction"])]
    shown = names[:6]
    dates = np.array([s.data["date"] for s in steps])

    def paint(figure: Drawing, axes: Axes) -> None:
        for k, name in enumerate(shown):
            course = [
                next((p["contraction"] for p in s.data["parameters"] if p["name"] == name), np.nan) for s in steps
            ]
            axes.plot(dates, course, "o-", color=colour(k), markersize=3, linewidth=1.4, label=name)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.0)
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.2), ncols=2, frameon=False, fontsize=11)
        time_axis(axes, np.array([dates.min(), dates.max() + 1e-6]), "year")
        axes.grid(axis="y")

    panel = draw("twin-learning", f"share of the prior variance removed by date, {', '.join(shown)}", paint)
    table = Table(
        ("parameter", "variance removed", "mean", "sd", "taught most by", "bits there"),
        tuple(_learnt_row(steps, p) for p in last),
        "What was learnt: share of the prior variance removed, value, and the date that moved it most (Kullback-Leibler, bits).",
    )
    taught = tuple(
        (instant(s.data["date"]), str(len(s.data["scores"])), number((s.data["taken_in"]["information"] or 0.0) / np.log(2.0)),
         MISSING if s.data["taken_in"]["log_evidence"] is None else f"{s.data['taken_in']['log_evidence']:.2f}",
         f"{s.data['taken_in']['effective']:.0f}", str(s.data["taken_in"]["sweeps"]))
        for s in steps
    )  # fmt: skip
    header = ("date", "values", "information, bits", "log evidence", "effective particles", "moves of each")
    dates_table = Table(header, taught, "What each date taught, all parameters together.", folded=True)
    lead = "How fast the measurements teach, parameter by parameter and date by date."
    return Section(
        "Learning",
        lead,
        figures=(Figure((panel,), "Share of the prior variance removed after each date."),),
        tables=(table, dates_table),
    )


def _learnt_row(steps: Sequence[Entry], parameter: Mapping[str, Any]) -> tuple[str, ...]:
    name = parameter["name"]
    gained = [(p["bits"], s.data["date"]) for s in steps for p in s.data["parameters"] if p["name"] == name]
    bits, date = max(gained)
    value = (
        (number(parameter["mean"], parameter["sd"]), number(parameter["sd"]))
        if "mean" in parameter
        else (MISSING, MISSING)
    )
    return name, percent(max(parameter["contraction"], 0.0)), *value, instant(date), f"{bits:.2f}"


def _history_section(twin: Twin) -> Section:
    rows = []
    for entry in twin.entries:
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.written))
        rows.append((str(entry.number), when, entry.kind, _said(entry)))
    changed = [e for e in twin.entries if e.kind == "criteria"][1:]
    remarks = tuple(Remark("bad", f"Criteria were changed in entry {e.number}.") for e in changed)
    lead = f"{plural(len(twin.begins), 'line')} and {plural(len(twin.entries), 'entry', 'entries')}; each is sealed with the digest of the one before."
    table = Table(
        ("entry", "written, UTC", "kind", "what"), tuple(rows[-200:]), "The journal, the last 200 entries.", folded=True
    )
    return Section("History", lead, remarks, tables=(table,))


def _said(entry: Entry) -> str:
    data = entry.data
    if entry.kind == "received":
        counts = ", ".join(f"{len(data[k])} {k}" for k in ("new", "revised", "withdrawn", "duplicates") if data[k])
        return f"{Path(data['source']).name}: {counts or 'nothing'}"
    if entry.kind == "step":
        return f"{instant(data['date'])}, {plural(len(data['scores']), 'value')}"
    if entry.kind == "begin":
        return f"line {data['line']}: {data['why']}"
    if entry.kind == "replay":
        return f"from {'the prior' if data['from'] is None else instant(data['from'])}"
    return f"digest {data.get('digest', '')[:12]}"
