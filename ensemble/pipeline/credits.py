"""The group `credits`: a credited amount from two paired scenarios, and the draw table behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.config.stages import Credits
from ensemble.crediting.deductions import (
    Deduction,
    credited_precision,
    deduct,
    dependence_table,
    relative_half_width,
    student_factor,
    waterfall,
)
from ensemble.crediting.draw_table import ARMS, draw_table
from ensemble.crediting.rules import NOT_AN_APPROVAL, rule_named
from ensemble.crediting.sample_size import sample_size
from ensemble.crediting.strata import Strata, stratify, total
from ensemble.crediting.vm0042 import (
    analytical,
    in_co2e,
    model_variance_of_difference,
    monte_carlo,
    removals_and_reductions,
)
from ensemble.errors import StoreRefused
from ensemble.pipeline.blocks import sound_members
from ensemble.pipeline.stock_checks import check_scenario, check_stock_output
from ensemble.plan import Plan
from ensemble.store import Store
from ensemble.units import CO2_PER_C

GROUP = "credits"
PER_HA, TOTAL = {"units": "t ha-1", "display_units": "t CO2e/ha"}, {"units": "t", "display_units": "t CO2e"}
WHOLE = "project"


@dataclass(frozen=True)
class Stocks:
    """Stocks of both arms, members that failed anywhere left out.

    Args:
        arms: ``(member, point, year)`` t C/ha of ``baseline`` and ``project``.
        years: ``(year,)``; the first is the end of the year before the project starts.
    """

    arms: dict[str, np.ndarray]
    years: np.ndarray

    def change(self, arm: str) -> np.ndarray:
        """``(member, point)`` change over the period, t C/ha."""
        return self.arms[arm][:, :, -1] - self.arms[arm][:, :, 0]


def check_credits(plan: Plan) -> None:
    """Refuse credits that cannot be made, before anything is computed.

    Raises:
        InputError: an unknown scenario, output, rule or stratum; years outside the run; a stratum with one point.
    """
    settings = plan.study.record.credits
    if settings is None:
        return
    for key in ARMS:
        check_scenario(plan, (GROUP, key), getattr(settings, key))
    if settings.baseline == settings.project:
        text = f"'{settings.project}' is the baseline too; credits need two scenarios"
        raise plan.study.error((GROUP, "project"), text)
    check_stock_output(plan, GROUP, settings.output)
    for key, names in (("rule", [settings.rule]), ("beside", settings.beside)):
        for rule in names:
            try:
                rule_named(rule)
            except ValueError as error:
                raise plan.study.error((GROUP, key), str(error)) from None
    times = plan.times()
    assert times is not None
    for key, check in (
        ("strata", lambda: strata_of(plan)),
        ("start", lambda: project_records(times, settings.start, settings.end)),
    ):
        try:
            check()
        except ValueError as error:
            raise plan.study.error((GROUP, key), str(error)) from None


def strata_of(plan: Plan) -> Strata:
    """The strata of the sample points of a study.

    Raises:
        ValueError: see :func:`ensemble.crediting.strata.stratify`; or a column that the site table lacks.
    """
    settings, table = plan.study.record.credits, plan.base.sites.table
    assert settings is not None
    if settings.strata is None or settings.areas is None:
        return stratify([WHOLE] * len(plan.sites), {WHOLE: float(settings.area or 0.0)})
    if table is None or settings.strata not in table.columns:
        raise ValueError(f"the site table has no column '{settings.strata}'")
    return stratify(table.text(settings.strata), settings.areas)


def project_records(times: np.ndarray, start: int | None, end: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Positions in time and years of the ends of year, from the year before the start to the end.

    Args:
        times: end of each record, dates or years.
        start, end: first and last project year; the first that has a record before it, and the last, if ``None``.

    Raises:
        ValueError: years outside the run.
    """
    calendar = np.issubdtype(times.dtype, np.datetime64)
    years = pd.DatetimeIndex(times).year.to_numpy() if calendar else np.round(times).astype(int)
    last_of_year = np.flatnonzero(np.append(np.diff(years) != 0, True))
    ends = years[last_of_year]
    first = start if start is not None else int(ends[0]) + 1
    last = end if end is not None else int(ends[-1])
    if first - 1 < ends[0] or last > ends[-1] or last < first:
        raise ValueError(
            f"the project years {first} to {last} need stocks from the end of {first - 1}; the run has {ends[0]} to {ends[-1]}"
        )
    inside = (ends >= first - 1) & (ends <= last)
    return last_of_year[inside], ends[inside]


def stocks_of(store: Store, settings: Credits) -> Stocks:
    """Stocks of both arms from a finished stage."""
    members = store.dataset("members")
    sound = np.flatnonzero(sound_members(members))
    positions, years = project_records(members["time"].values, settings.start, settings.end)
    arms = {}
    for arm in ARMS:
        stock = members[settings.output].sel(scenario=getattr(settings, arm)).isel(time=positions)
        arms[arm] = stock.transpose("member", "site", "time").values[sound].astype(np.float64)
    return Stocks(arms, years)


def credits_of(plan: Plan, store: Store) -> xr.Dataset:
    """Credited amount over the period with everything that it rests on; t CO2e, gains positive."""
    settings = plan.study.record.credits
    assert settings is not None
    stocks, strata, rule = stocks_of(store, settings), strata_of(plan), rule_named(settings.rule)
    changes = {arm: stocks.change(arm) for arm in ARMS}
    difference = changes["project"] - changes["baseline"]
    estimate = in_co2e(monte_carlo(difference, strata))
    deduction = deduct(estimate, rule)
    precision = credited_precision(difference * CO2_PER_C, strata, rule, _groups(plan, len(difference)))
    scalars = {
        "area": (estimate.area, {"units": "ha"}, "area of the project"),
        "mean": (estimate.mean, PER_HA, "change, project minus baseline"),
        "sampling_variance": (estimate.sampling_variance, {"units": "t2 ha-2"}, "variance of the mean from sampling"),
        "model_variance": (
            estimate.model_variance,
            {"units": "t2 ha-2"},
            "variance of the mean from the model's draws",
        ),
        "standard_error": (estimate.standard_error, PER_HA, "standard error of the mean, finite draws included"),
        "degrees_of_freedom": (float(estimate.degrees_of_freedom), {"units": "1"}, "points less strata"),
        "factor": (deduction.factor, {"units": "1"}, "one-sided Student quantile"),
        "deduction": (deduction.fraction, {"units": "1"}, "uncertainty deduction"),
        "credited": (deduction.credited, PER_HA, "credited change"),
        "credited_standard_error": (
            precision.standard_error,
            PER_HA,
            "Monte Carlo standard error of the credited change",
        ),
        "credited_total": (deduction.credited_total, TOTAL, "credited amount of the project"),
    }
    variables: dict[str, Any] = {
        name: ((), value, {**attributes, "long_name": text}) for name, (value, attributes, text) in scalars.items()
    }
    variables |= _rules(settings, estimate) | _dependence(changes, strata, settings) | _steps(deduction, settings)
    variables |= _parts(changes, strata, deduction)
    by_draw = total(difference, strata) / strata.area * CO2_PER_C
    variables["change_by_draw"] = ("draw", by_draw, {**PER_HA, "long_name": "change of the whole project in each draw"})
    variables |= _analytical(settings, difference, strata)
    wanted, sizes = _sample_size(settings, difference * CO2_PER_C, strata)
    attributes = {
        "rule": rule.name, "rule_title": rule.title, "rule_source": rule.source, "rule_note": rule.note,
        "rule_text_read": str(rule.text_read), "years": f"{stocks.years[0] + 1}-{stocks.years[-1]}",
        "draws": len(difference), "points": int(strata.member.size), "strata": len(strata.names),
        "comment": NOT_AN_APPROVAL,
    }  # fmt: skip
    return xr.Dataset(variables | wanted, attrs=attributes | sizes)


def _analytical(settings: Credits, changes: np.ndarray, strata: Strata) -> dict[str, Any]:
    """The analytical route (Eqs 60-64) with the model's error from trials, beside the draws."""
    if settings.analytical is None:
        return {}
    error = settings.analytical
    model = model_variance_of_difference(error.sd**2, error.correlation)
    estimate = in_co2e(analytical(changes.mean(axis=0), strata, model))
    deduction = deduct(estimate, rule_named(settings.rule))
    return {
        "analytical_standard_error": (
            (),
            estimate.standard_error,
            {**PER_HA, "long_name": "standard error, analytical route"},
        ),
        "analytical_deduction": ((), deduction.fraction, {"units": "1", "long_name": "deduction, analytical route"}),
        "analytical_credited_total": (
            (),
            deduction.credited_total,
            {**TOTAL, "long_name": "credited amount, analytical route"},
        ),
    }


def _sample_size(settings: Credits, changes: np.ndarray, strata: Strata) -> tuple[dict[str, Any], dict[str, float]]:
    """Points of each stratum that the wanted deduction needs, with the spread between points that is seen."""
    rule = rule_named(settings.rule)
    if settings.wanted_deduction is None or rule.statistic != "one_sided_quantile":
        return {}, {}
    by_point = changes.mean(axis=0)
    sd = np.array([by_point[strata.member == h].std(ddof=1) for h in range(len(strata.names))])
    estimate = monte_carlo(changes, strata)
    try:
        found = sample_size(
            estimate.mean, strata.areas, sd, estimate.model_variance, settings.wanted_deduction, rule.probability
        )
        points, floor = found.counts.astype(float), found.floor
    except ValueError:  # no number of points reaches it: the model's own error is too large, or the change is 0
        factor = student_factor(rule.probability, float("inf"))
        points = np.full(len(sd), np.nan)
        floor = factor * estimate.model_variance**0.5 / abs(estimate.mean) if estimate.mean else float("inf")
    variables = {
        "stratum": ("stratum", list(strata.names)),
        "points_now": ("stratum", strata.counts, {"units": "1", "long_name": "sample points"}),
        "wanted_points": ("stratum", points, {"units": "1", "long_name": "sample points for the wanted deduction"}),
    }
    return variables, {"wanted_deduction": settings.wanted_deduction, "floor": floor}


def _groups(plan: Plan, draws: int) -> int:
    return plan.design.replicates if plan.design.replicates > 1 else max(2, min(16, draws // 2))


def _rules(settings: Credits, estimate: Any) -> dict[str, Any]:
    """Each rule's own interval and deduction, beside the one that is used."""
    names = list(dict.fromkeys([settings.rule, *settings.beside]))
    found = [(deduct(estimate, rule_named(name)), rule_named(name)) for name in names]
    return {
        "rule": ("rule", names),
        "rule_half_width": (
            "rule", [relative_half_width(estimate, rule) if rule.statistic != "one_sided_quantile" else np.nan for _, rule in found],
            {"units": "1", "long_name": "half of the rule's interval over the mean"},
        ),
        "rule_deduction": ("rule", [item.fraction for item, _ in found], {"units": "1", "long_name": "deduction"}),
        "rule_credited": ("rule", [item.credited_total for item, _ in found], {**TOTAL, "long_name": "credited amount"}),
    }  # fmt: skip


def _dependence(changes: dict[str, np.ndarray], strata: Strata, settings: Credits) -> dict[str, Any]:
    in_co2 = {arm: change * CO2_PER_C for arm, change in changes.items()}
    rows = dependence_table(in_co2["baseline"], in_co2["project"], strata, rule_named(settings.rule))
    return {
        "dependence": ("dependence", [row.name for row in rows]),
        "dependence_deduction": (
            "dependence", [row.deduction.fraction for row in rows], {"units": "1", "long_name": "deduction"},
        ),
        "dependence_difference": (
            "dependence", [row.difference_total for row in rows],
            {**TOTAL, "long_name": "credited amount less that of joint draws; above 0 the assumption gives credits away"},
        ),
    }  # fmt: skip


def _steps(deduction: Deduction, settings: Credits) -> dict[str, Any]:
    steps = waterfall(deduction, settings.leakage, settings.buffer)
    return {
        "step": ("step", [step.label for step in steps]),
        "step_change": ("step", [step.change for step in steps], {**TOTAL, "long_name": "what a step takes"}),
        "step_left": ("step", [step.left for step in steps], {**TOTAL, "long_name": "what is left after a step"}),
    }


def _parts(changes: dict[str, np.ndarray], strata: Strata, deduction: Deduction) -> dict[str, Any]:
    """Removals and reductions of the deducted change (VM0042 Eqs 37, 40, 44, 45)."""
    sign = 1.0 if deduction.mean >= 0 else -1.0
    kept = (1.0 - sign * deduction.fraction) * CO2_PER_C
    arms = {arm: float(change.mean(axis=0) @ strata.weights) for arm, change in changes.items()}
    removals, reductions = removals_and_reductions(arms["baseline"] * kept, arms["project"] * kept, arms["project"])
    return {
        "removals": ((), removals, {**TOTAL, "long_name": "credited removals"}),
        "reductions": ((), reductions, {**TOTAL, "long_name": "credited reductions"}),
    }


def write_draw_table(store: Store, folder: Path) -> list[Path]:
    """Write ``draws.csv``, checked: one row for each point, arm, year and draw.

    Raises:
        StoreRefused: the study has no credits, or its draws are inconsistent.
    """
    study = store.attrs["study"]
    if not study.get("credits"):
        raise StoreRefused("the study has no credits; a draw table needs a baseline and a project")
    settings = Credits.model_validate(study["credits"])
    stocks = stocks_of(store, settings)
    sites = [str(site) for site in store.dataset("members")["site"].values]
    try:
        table = draw_table(
            sites, stocks.years, stocks.arms, None, settings.practice_category, settings.crop_functional_group
        )
    except ValueError as error:
        raise StoreRefused(f"the members make no draw table: {error}") from None
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "draws.csv", index=False)
    return [folder / "draws.csv"]
