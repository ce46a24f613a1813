"""The command `ensemble remeasure`: credits from points that were sampled twice, with paired controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble.crediting.deductions import deduct, student_factor, waterfall
from ensemble.crediting.rules import NOT_AN_APPROVAL, Rule, rule_named
from ensemble.crediting.sample_size import minimum_detectable_change, sample_size
from ensemble.crediting.strata import Strata, stratify
from ensemble.crediting.vm0042 import Estimate, in_co2e, method_variance, remeasured
from ensemble.errors import InputError
from ensemble.inputs.tables import Table, read_table
from ensemble.pipeline.named_numbers import named_numbers
from ensemble.units import CO2_PER_C

COLUMNS = ("point", "arm", "stratum", "start", "end")
ARMS = ("project", "control")
Visits = dict[str, tuple[np.ndarray, np.ndarray, list[str]]]


def remeasured_credits(
    file: Path,
    areas: Sequence[str],
    rule: str = "vm0042-2.2",
    validation: Path | None = None,
    wanted: float | None = None,
    leakage: float = 0.0,
    buffer: float = 0.0,
) -> list[str]:
    """Credited amount of a project that was measured twice (VM0042 v2.2, Eqs 70-74), in lines to print.

    Args:
        file: CSV: point, arm (project or control), stratum, start and end (stocks, t C/ha).
        areas: ``stratum=ha`` for each stratum of the project.
        rule: of the deduction.
        validation: CSV with columns predicted and measured (t C/ha) of another measurement method (Eq. 73).
        wanted: deduction that the sample size should be said for.
        leakage, buffer: as in a study's ``credits``.

    Raises:
        InputError: one of these is wrong; names file, line and column.
    """
    _check_options(rule, wanted, leakage, buffer)
    hectares = named_numbers("--area", areas, "north=120")
    if not hectares:
        raise InputError("areas are missing: give --area STRATUM=ha for each stratum")
    method, visits, chosen = _method(validation), _visits(read_table(file)), rule_named(rule)
    try:
        strata = {arm: stratify(visits[arm][2], hectares) for arm in ARMS}
        estimate = in_co2e(
            remeasured(visits["project"][:2], visits["control"][:2], strata["project"], strata["control"], method)
        )
    except ValueError as error:
        raise InputError(str(error), file) from None
    steps = waterfall(deduct(estimate, chosen), leakage, buffer)
    lines = _estimate_lines(estimate, chosen, strata)
    lines.append(
        "from gross to net, t CO2e: "
        + ", ".join(
            f"{step.label} {step.left if step.label in ('gross', 'net') else step.change + 0.0:,.1f}" for step in steps
        )
    )
    lines += _planning(estimate, chosen, strata, visits, wanted)
    return [*lines, f"rule: {chosen.source}", NOT_AN_APPROVAL]


def _check_options(rule: str, wanted: float | None, leakage: float, buffer: float) -> None:
    """Refuse what the command line should not say, before a file is read."""
    try:
        rule_named(rule)
    except ValueError as error:
        raise InputError(f"--rule {rule}: {error}") from None
    if wanted is not None and not 0 < wanted < 1:
        raise InputError(f"--wanted {wanted:g} is not allowed; allowed: above 0 and below 1 (0.05 for 5 %)")
    if not 0 <= leakage < float("inf"):
        raise InputError(f"--leakage {leakage:g} is not allowed; allowed: 0 or more, t CO2e")
    if not 0 <= buffer <= 1:
        raise InputError(f"--buffer {buffer:g} is not allowed; allowed: 0 to 1")


def _visits(table: Table) -> Visits:
    """Stocks at both visits and strata of each arm."""
    table.require(COLUMNS)
    arms, names, strata = (table.text(name) for name in ("arm", "point", "stratum"))
    stocks = {name: table.numbers(name) for name in ("start", "end")}
    first: dict[str, int] = {}
    for row, (arm, name) in enumerate(zip(arms, names, strict=True)):
        if arm not in ARMS:
            raise table.error(row, "arm", f"'{arm}' is not allowed; allowed: project, control")
        if name in first:
            raise table.error(
                row, "point", f"'{name}' is already in line {table.lines[first[name]]}; each point needs one row"
            )
        first[name] = row
        for column, values in stocks.items():
            if values[row] < 0:
                raise table.error(row, column, f"{values[row]:g} is not allowed; a stock is 0 t C/ha or more")
    rows = {arm: [row for row, here in enumerate(arms) if here == arm] for arm in ARMS}
    for arm, here in rows.items():
        if not here:
            raise InputError(f"there is no {arm} point; measure and remeasure needs both arms", table.file)
    return {
        arm: (stocks["start"][here], stocks["end"][here], [strata[row] for row in here]) for arm, here in rows.items()
    }


def _method(validation: Path | None) -> float:
    if validation is None:
        return 0.0
    table = read_table(validation)
    if len(table) < 2:
        raise InputError("a method's error needs at least 2 validation samples", validation)
    return method_variance(table.numbers("predicted"), table.numbers("measured"))


def _estimate_lines(estimate: Estimate, rule: Rule, strata: Mapping[str, Strata]) -> list[str]:
    deduction, points = deduct(estimate, rule), {arm: strata[arm].member.size for arm in ARMS}
    return [
        f"change, project minus control: {estimate.mean:.2f} t CO2e/ha (standard error {estimate.standard_error:.2f}) on "
        f"{estimate.area:,.0f} ha; {points['project']} project and {points['control']} control points, "
        f"{estimate.degrees_of_freedom:g} degrees of freedom",
        f"deduction: {100 * deduction.fraction:.1f} % ({rule.title}, factor {deduction.factor:.4f})",
        f"credited: {deduction.credited:.2f} t CO2e/ha, {deduction.credited_total:,.1f} t CO2e",
    ]  # fmt: skip


def _planning(
    estimate: Estimate, rule: Rule, strata: Mapping[str, Strata], visits: Visits, wanted: float | None
) -> list[str]:
    """Smallest change these points can tell from none, and points for a wanted deduction."""
    variances = []
    for arm in ARMS:
        change = (visits[arm][1] - visits[arm][0]) * CO2_PER_C
        variances.append([change[strata[arm].member == h].var(ddof=1) for h in range(len(strata[arm].names))])
    sd = np.sqrt(np.sum(variances, axis=0))  # of a project point less its control
    count = int(min(strata[arm].member.size for arm in ARMS))
    pooled = float(np.sqrt((strata["project"].areas * sd**2).sum() / estimate.area))
    lines = [
        f"minimum detectable change with {count} pairs: {minimum_detectable_change(pooled, count):.2f} t CO2e/ha (5 %, power 80 %)"
    ]
    if wanted is None:
        return lines
    if rule.statistic != "one_sided_quantile":
        return [*lines, f"--wanted: {rule.title} has no deduction that grows with the standard error"]
    try:
        found = sample_size(
            estimate.mean, strata["project"].areas, sd, estimate.model_variance, wanted, rule.probability
        )
    except ValueError as error:
        factor = student_factor(rule.probability, float("inf"))
        return [*lines, f"--wanted {wanted:g}: {error} (factor {factor:.4f})"]
    each = ", ".join(f"{name} {n}" for name, n in zip(strata["project"].names, found.counts, strict=True))
    return [
        *lines,
        f"a deduction of at most {100 * wanted:g} % needs {found.points} project points and as many controls: {each}",
    ]
