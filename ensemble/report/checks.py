"""Sections about how far to trust the numbers: drivers of the error, pools, checks, failures, provenance."""

from __future__ import annotations

import numpy as np

from ensemble.report.content import Remark, Section, Table
from ensemble.report.numbers import MISSING, count, number, percent, plural
from ensemble.report.pools import pools_figure
from ensemble.report.results import Results
from ensemble.report.tornado import largest, tornado_figure

Rows = tuple[tuple[str, ...], ...]
LISTED_FAILURES = 25
# Relative difference of delta and Monte Carlo standard deviation that is remarked on (as in summary.delta).
TOLERANCE = 0.25


def tornado_section(results: Results) -> Section:
    """What drives the error, to first order."""
    site = results.shown_sites[0]
    arm = results.scenarios[0]
    who = f" under “{results.title_of(arm)}”" if len(results.scenarios) > 1 else ""
    lead = f"To first order the largest effects{who} are those of {largest(results, arm, site)}, in {results.unit} per standard deviation."
    notes = (f"Not in this figure: {', '.join(results.delta_leaves_out)}.",) if results.delta_leaves_out else ()
    return Section("What drives the error", lead, figures=(tornado_figure(results),), notes=notes)


def pools_section(results: Results) -> Section:
    """Means of the pools."""
    return Section("Pools", "Where the carbon is: means of the pools through time.", figures=(pools_figure(results),))


def checks_section(results: Results) -> Section:
    """Monte Carlo standard errors, and the delta check."""
    rows, far = [], []
    for scenario in results.shown_scenarios:
        for site in results.shown_sites:
            row, ratio = _check_row(results, scenario, site)
            rows.append(row)
            if ratio is not None and abs(ratio - 1.0) > TOLERANCE:
                far.append(f"{row[0]} (ratio {ratio:.2f})")
    header = ("group", "mean", "its standard error", "sd", "its standard error", "delta sd", "delta / Monte Carlo")
    caption = f"At the last record, {results.unit}. The standard errors are Monte Carlo errors, from the spread of the design's independent replicates; more members make them smaller. The delta sd comes from the model's gradient and the covariance of the inputs, without sampling."
    table = Table(header, tuple(rows), caption)
    return Section("Checks", _check_lead(results), _check_remarks(results, far), (), (table,), _bin_note(results))


def _bin_note(results: Results) -> tuple[str, ...]:
    """What reading quantiles from histograms may cost, where members were not kept."""
    name = f"{results.main}_quantile_bin_error"
    if name not in results.statistics:
        return ()
    worst = float(results.statistics[name].max())
    return (
        f"Members were not kept: quantiles come from histograms, whose bins add at most {number(worst)} {results.unit}.",
    )


def _check_row(results: Results, scenario: str, site: str) -> tuple[tuple[str, ...], float | None]:
    keys = ("mean", "mean_standard_error", "sd", "sd_standard_error")
    mean, mean_error, sd, sd_error = (float(results.at_end(results.main, what, scenario, site)) for what in keys)
    delta = _delta(results, scenario, site)
    ratio = delta / sd if delta is not None and sd > 0 else None
    label = results.panel_title(scenario, site) or results.noun
    return (
        label, number(mean, mean_error), number(mean_error), number(sd, sd_error), number(sd_error),
        MISSING if delta is None else number(delta, sd_error if np.isfinite(sd_error) else None),
        MISSING if ratio is None else f"{ratio:.2f}",
    ), ratio  # fmt: skip


def _delta(results: Results, scenario: str, site: str) -> float | None:
    if results.delta_sd is None:
        return None
    values = results.delta_sd[results.scenarios.index(scenario), results.place(site)]
    if values.ndim > 1 or (values.ndim == 1 and not results.has_time()):
        values = values.reshape(-1, values.shape[-1])[0] if results.has_time() else values.ravel()
    return float(values.ravel()[-1] if results.has_time() else values.ravel()[0])


def _check_lead(results: Results) -> str:
    site, scenario = results.shown_sites[0], results.scenarios[0]
    error, sd = (float(results.at_end(results.main, w, scenario, site)) for w in ("mean_standard_error", "sd"))
    if not (np.isfinite(error) and sd > 0):
        return "This design has no independent replicates, so it gives no Monte Carlo error."
    return f"The Monte Carlo error of the mean is {percent(error / sd)} of the spread between members: the number of members is {'not what limits' if error < 0.05 * sd else 'part of what limits'} this answer."


def _check_remarks(results: Results, far: list[str]) -> tuple[Remark, ...]:
    if results.delta_sd is None:
        return ()
    left = f" The delta sd leaves out {', '.join(results.delta_leaves_out)}." if results.delta_leaves_out else ""
    if not far:
        return (
            Remark("good", f"The first-order and the Monte Carlo standard deviation agree within a quarter.{left}"),
        )
    text = (
        f"The first-order and the Monte Carlo standard deviation differ by more than a quarter: {'; '.join(far[:6])}."
    )
    why = left or " The model is not linear over the spread of its inputs there; trust the Monte Carlo value."
    return (Remark("bad", text + why),)


def failures_section(results: Results) -> Section:
    """Failed members, never hidden."""
    used, failed = (int(results.statistics[name].sum()) for name in ("members_used", "members_failed"))
    if not failed:
        return Section("Failed members", f"None of {plural(used, 'pair')} of member and site failed.")
    lead = f"{count(failed)} of {plural(used + failed, 'pair')} of member and site failed ({percent(failed / (used + failed))}) and are left out of every scenario."
    table = results.failures.head(LISTED_FAILURES)
    rows = tuple(tuple(_text(value) for value in row) for row in table.itertuples(index=False))
    tables = []
    if "reason" in results.failures:
        reasons = results.failures["reason"].value_counts()
        tables.append(Table(("reason", "pairs"), tuple((str(k), count(int(v))) for k, v in reasons.items()), ""))
    if rows:
        caption = (
            f"The first {len(rows)} with their inputs"
            if len(results.failures) > len(rows)
            else "All of them with their inputs"
        )
        tables.append(Table(tuple(str(c).replace("_", " ") for c in table.columns), rows, caption, folded=True))
    return Section(
        "Failed members",
        lead,
        (Remark("bad", "A share of failures that depends on the inputs shifts every statistic."),),
        (),
        tuple(tables),
    )


def _text(value: object) -> str:
    return number(float(value), significant=4) if isinstance(value, float | np.floating) else str(value)


def provenance_section(facts: Rows, provenance: Rows, files: Rows, reproduce: tuple[str, ...]) -> Section:
    """Plan, versions, input files, how to do it again.

    Args:
        facts, provenance, files: rows of two texts.
        reproduce: commands.
    """
    parts = ((("plan", ""), facts), (("provenance", ""), provenance), (("input file", "SHA-256"), files))
    tables = [Table(header, rows, "") for header, rows in parts if rows]
    lead = "Everything needed to compute these numbers again. The same versions on the same kind of machine give the same bytes."
    return Section("Plan and provenance", lead, tables=tuple(tables), code=reproduce)


def limits_section(results: Results) -> Section:
    """What this report does not say."""
    return Section("Limits", "What these numbers do not say.", notes=results.limits)
