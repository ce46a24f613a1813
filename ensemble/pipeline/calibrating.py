"""The calibration stage: a posterior in the store, in ArviZ's schema, with the checks that decide on its use."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax

from ensemble.config.calibration import Calibrate
from ensemble.inference.calibration.fit import calibrate
from ensemble.inference.calibration.parameters import refuse_lone_groups
from ensemble.inference.calibration.problem import Problem, make_problem
from ensemble.inference.calibration.simulated import LEVEL, Effort, Ranks, band, ecdf, rank_truth, simulate
from ensemble.inference.calibration.tables import arviz_groups, checks
from ensemble.pipeline.assessing import CHECKS, fix_criteria
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.layout import root_attributes, stage_of
from ensemble.pipeline.lengthening import plan_so_far
from ensemble.pipeline.origin import remember_study
from ensemble.pipeline.tiles import provenance_of
from ensemble.plan import Plan
from ensemble.report.calibration import calibration_lines, calibration_page
from ensemble.report.content import Panel
from ensemble.report.ranks import rank_page, rank_panel
from ensemble.store import Place, open_writer, write_whole

GROUP = "calibration"


@dataclass(frozen=True)
class CalibrationResult:
    """What a calibration left behind.

    Args:
        store, report: where.
        passed: whether the posterior may be used.
        lines: what it says, one sentence a line.
    """

    store: Place
    report: Place
    passed: bool
    lines: tuple[str, ...]


def calibrate_plan(plan: Plan, path: Place, quiet: bool = False) -> CalibrationResult:
    """Calibrate a study into a store, or read the calibration that is there.

    Args:
        plan: the study.
        path: the store.
        quiet: show no progress.

    Raises:
        InputError: the study has no ``calibrate``, no observations, or a prior that cannot be calibrated.
        StoreRefused: the store belongs to another study, or cannot be written.
    """
    settings = _settings(plan)
    plan = plan_so_far(plan, path)
    with jax.enable_x64(True):
        problem = _problem(plan, settings)  # whatever is wrong is said before anything is written
    with open_writer(path, provenance_of(plan), [stage_of(plan, bins_for(plan, path))], root_attributes(plan)) as store:
        remember_study(plan, path)
        fix_criteria(plan, path)
        if not store.has_group(CHECKS):
            with jax.enable_x64(True):
                fit = calibrate(problem, settings, plan.seed, quiet)
            found = checks(fit)
            for name, data in arviz_groups(fit).items():
                usable = {"passed": found.attrs["passed"]} if name == "posterior" else {}
                store.write_group(f"{GROUP}/{name}", data.assign_attrs(usable))
            store.write_group(CHECKS, found)
        data = store.dataset(CHECKS).load()
        posterior = store.dataset(f"{GROUP}/posterior").load()
        prior = store.dataset(f"{GROUP}/prior").load()
    report = path.with_name(f"{path.stem}.calibration.html")
    units = {spec.name: spec.units for spec in plan.outputs}
    page = calibration_page(data, posterior, prior, str(plan.study.record.title or plan.study.name), units)
    write_whole(report, page.encode())
    return CalibrationResult(path, report, bool(data.attrs["passed"]), calibration_lines(data))


def _settings(plan: Plan) -> Calibrate:
    settings = plan.study.record.calibrate
    if settings is None:
        raise plan.study.error(("calibrate",), "the study does not ask for a calibration; add calibrate: {}")
    return settings


def _problem(plan: Plan, settings: Calibrate) -> Problem:
    problem = make_problem(plan, settings)
    refuse_lone_groups(plan, settings, problem.parameters)
    return problem


def check_calibration(
    plan: Plan, count: int, report: Place, effort: Effort | None = None, quiet: bool = False
) -> CalibrationResult:
    """Simulation-based calibration of a study: does its calibration find parameters that are known?

    Args:
        plan: the study; its measurements are replaced by simulated ones at the same places and times.
        count: data sets to simulate and fit.
        report: page to write.
        effort: of the sampler.
        quiet: show no progress.

    Raises:
        InputError: as :func:`calibrate_plan`; or rows below a detection limit, which depend on the data.
    """
    settings, effort = _settings(plan), effort or Effort()
    with jax.enable_x64(True):
        problem = _problem(plan, settings)
        if problem.errors.below.any():
            text = "rows below a detection limit cannot be simulated: which rows they are depends on the data"
            raise plan.study.error(("observations",), text)
        problem = replace(problem, rows=problem.rows.assign(held_out=False))
        scores, data = simulate(problem, count, plan.seed)
        ranks = rank_truth(problem, scores, data, effort, plan.seed + 1, quiet=quiet)
    title = str(plan.study.record.title or plan.study.name)
    page, lines = rank_page(
        title, ranks.names, ranks.departures(), count, ranks.draws, LEVEL, panel_of(ranks, "ranks", title)
    )
    write_whole(report, page.encode())
    return CalibrationResult(report, report, not ranks.outside(), lines)


def panel_of(ranks: Ranks, name: str, title: str) -> Panel:
    """The figure of some ranks."""
    grid, low, high = band(len(ranks.ranks), len(ranks.names), ranks.draws, LEVEL)
    return rank_panel(name, title, ecdf(ranks.ranks, ranks.draws), grid, low, high, ranks.departures() > 1.0)
