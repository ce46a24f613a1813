"""What a twin says in the terminal."""

from __future__ import annotations

from ensemble.config.twin import Twin as Settings
from ensemble.inputs.calendar import instant
from ensemble.report.numbers import plural
from ensemble.twin.alarm import Watch
from ensemble.twin.journal import Entry
from ensemble.twin.score import summary
from ensemble.twin.twin import Twin


def twin_lines(twin: Twin, settings: Settings) -> list[str]:
    """State, score and alarms, one sentence a line."""
    steps = twin.steps()
    if not steps:
        return []
    last = steps[-1]
    lines = [
        f"line {last.data['line']}, step {last.number}: {plural(len(twin.rows), 'measurement')} taken in, "
        f"the last at {instant(last.data['date'])}",
        *state_lines(last),
    ]
    scores = twin.one_step()
    if len(scores):
        found = summary(scores)
        lines.append(
            f"one step ahead: {found['in_90'] * found['n']:.0f} of {found['n']} values inside their 90 % bands, "
            f"{found['in_50'] * found['n']:.0f} inside 50 %, CRPS {found['crps']:.3g}, bias {found['bias']:+.3g}"
        )
    alarms = [w for w in twin.watches(settings.false_alarms) if w.alarm]
    lines += [alarm_line(w, settings.false_alarms) for w in alarms]
    return (
        lines if alarms else [*lines, f"no drift alarm (false alarms: {settings.false_alarms:.0%} for the whole life)"]
    )


def state_lines(step: Entry) -> list[str]:
    """What a step knows: the parameters it learnt most of, and pools with mass below zero."""
    learnt = sorted(step.data["parameters"], key=lambda p: -p["contraction"])[:4]
    said = ", ".join(f"{p['name']} {100 * p['contraction']:.0f} %" for p in learnt)
    lines = [f"learnt so far (share of the prior variance removed): {said}"] if learnt else []
    flagged = [s for s in step.data["state"] if s["flagged"]]
    if flagged:
        worst = max(flagged, key=lambda s: s["below_zero"])
        lines.append(
            f"{plural(len(flagged), 'pool')} with probability below zero above 0.1 %, at most "
            f"{100 * worst['below_zero']:.1f} % ({worst['pool']} of {worst['scenario']}, {worst['site']}): not cut, and flagged"
        )
    return lines


def alarm_line(found: Watch, false_alarms: float) -> str:
    """One alarm in words."""
    return (
        f"DRIFT ALARM {found.name}: {found.outside} of {found.count} values outside their 90 % bands one step ahead, "
        f"evidence {found.largest:.3g} against a limit of {found.limit:.3g} first reached at {instant(found.since)} "
        f"(a sound twin raises any alarm in its life with probability below {false_alarms:.0%})"
    )
