"""`ensemble validate-model`: the validation report from finished stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ensemble.errors import InputError, StoreRefused
from ensemble.pipeline.assessing import CHECKS, OBSERVATIONS, held_out_values, run_rows
from ensemble.pipeline.working import plan_of_store
from ensemble.plan import Plan
from ensemble.plan.posterior import PosteriorDraw
from ensemble.provenance import digest_of
from ensemble.report.validation import Validation, validation_page
from ensemble.store import Store, open_store
from ensemble.store.files import write_file
from ensemble.store.place import Place, local_folder, place
from ensemble.validation.rules import (
    GROUP,
    UNSTATED,
    Check,
    domain_checks,
    duration_check,
    group_checks,
    group_table,
    independence_checks,
)

TEXTS = (*GROUP, "experiment", "location", "climate_zone", "texture", "citation")


@dataclass(frozen=True)
class ValidationResult:
    """What was found.

    Args:
        passed: whether every rule holds.
        report: the page.
        lines: one sentence a line.
    """

    passed: bool
    report: Path
    lines: tuple[str, ...]


def validate_model(
    store: Place, project: Place | None, calibration: Place | None, output: str | None = None
) -> ValidationResult:
    """Write the validation report beside a store.

    Args:
        store: finished run of the validation study with the calibrated parameters, or a calibration with held-out rows.
        project: store of the project, with baseline and project scenario.
        calibration: store of the calibration; default: the posterior that the validation study names.
        output: measured output (default: the only one).

    Raises:
        StoreRefused: a store is missing or not finished.
        InputError: there is nothing to validate with.
    """
    opened, plan = open_store(store), plan_of_store(store)
    fitted = calibration if calibration is not None else _calibration_of(opened, plan, store)
    rows = _rows(opened, plan, output)
    places = _places(plan, rows)
    groups = group_table(rows)
    checks = [*group_checks(groups), *_domain(places, project), *_independence(plan, rows, fitted)]
    checks += _duration(rows, project)
    identity = model_identity(opened, plan)
    checks += _same(identity, project)
    title = f"Validation of {plan.bound.model.name}: {plan.study.record.title or plan.study.name}"
    unit = next(spec.units for spec in plan.bound.model.outputs if spec.name == rows["variable"].iloc[0])
    cited = tuple(sorted({text for text in rows["citation"] if text}))
    found = Validation(
        title, rows, groups, checks, _facts(opened, plan, identity, fitted), _parameters(plan), cited, unit
    )
    report = local_folder(store, ".validation.html")
    write_file(report, validation_page(found).encode())
    lines = [f"{'pass' if c.passed else 'FAIL'}  {c.rule} ({c.about}): {c.found}" for c in checks]
    lines.append("no registry's approval; rules marked second hand in the report were not read in the document itself")
    return ValidationResult(found.passed, report, tuple(lines))


def _rows(store: Store, plan: Plan, output: str | None) -> pd.DataFrame:
    """Measurements with the 90 % predictive interval beside them."""
    if store.has_group(CHECKS) and not store.has_group(OBSERVATIONS):
        rows = _held_out(store, plan)
    elif store.has_group(OBSERVATIONS):
        rows = run_rows(store).rename(columns={"q05": "low", "q95": "high"})
    else:
        raise StoreRefused(f"{store.path} holds no comparison with measurements; run its study with observations")
    names = [str(name) for name in rows["variable"].unique()]
    if output is None and len(names) > 1:
        raise InputError(f"several outputs were measured; choose one with --output: {', '.join(names)}")
    rows = rows.loc[(rows["variable"] == (output or names[0])).to_numpy()].reset_index(drop=True) if names else rows
    if rows.empty:
        raise InputError(f"{store.path} has no measurement of {output} to validate with; measured: {', '.join(names)}")
    return _described(plan, rows)


def _held_out(store: Store, plan: Plan) -> pd.DataFrame:
    """Held-out rows of a calibration, as the study's table describes them."""
    data = store.dataset(CHECKS).load()
    held = held_out_values(data)
    if not len(held):
        raise InputError(f"the calibration in {store.path} held nothing out, so there is nothing to validate with")
    bands = dict(zip(data["quantile"].values.tolist(), data["predictive_quantile"].values, strict=True))
    table = plan.observations.iloc[held].reset_index(drop=True)
    return table.assign(mean=bands[0.5][held], low=bands[0.05][held], high=bands[0.95][held])


def _described(plan: Plan, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with every column that the rules read: from the table, else from the site table, else unstated."""
    table = plan.base.sites.table
    columns = {} if table is None else table.columns
    site = [plan.sites.index(str(name)) for name in rows["site"]]
    found = rows.copy()
    for name in TEXTS:
        if name in rows:
            found[name] = rows[name].astype(str)
        elif name in columns:
            found[name] = [columns[name][k] for k in site]
        else:
            found[name] = ""
    arm = rows["scenario"].astype(str) if len(plan.scenarios) > 1 else pd.Series("", index=rows.index)
    place = rows["site"].astype(str) if len(plan.sites) > 1 else pd.Series("", index=rows.index)
    own = (place + " " + arm).str.strip().replace("", plan.study.name)
    for name in ("experiment", "location"):
        found[name] = found[name].where(found[name] != "", own)
    for name in GROUP:
        found[name] = found[name].where(found[name] != "", UNSTATED)
    counts = rows["replicates"] if "replicates" in rows else pd.Series("", index=rows.index)
    found["replicates"] = pd.to_numeric(counts, errors="coerce")
    for axis in ("longitude", "latitude"):
        found[axis] = table.numbers(axis)[site] if table is not None and axis in columns else np.nan
    clay = plan.base.values.get("clay")
    arms = [plan.scenarios.index(str(name)) for name in rows["scenario"]]
    found["clay"] = (
        np.nan
        if clay is None
        else [
            float(clay[a if len(clay) > 1 else 0, s if clay.shape[1] > 1 else 0])
            for a, s in zip(arms, site, strict=True)
        ]
    )
    return found


def _places(plan: Plan, rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(["scenario", "site"]).loc[:, ["climate_zone", "texture", "clay"]]


def _project_places(plan: Plan) -> pd.DataFrame:
    """One row a site of a project."""
    rows = pd.DataFrame({"scenario": plan.scenarios[0], "site": list(plan.sites)})
    return _places(plan, _described(plan, rows))


def _domain(validation: pd.DataFrame, project: Place | None) -> list[Check]:
    if project is None:
        return [
            Check(
                "the validation data cover the project's domain",
                "domain",
                "no project was given (--project STORE)",
                False,
            )
        ]
    return domain_checks(validation, _project_places(plan_of_store(project)))


def _duration(rows: pd.DataFrame, project: Place | None) -> list[Check]:
    if project is None:
        return []
    return [duration_check(rows, plan_of_store(project).years)]


def _calibration_of(store: Store, plan: Plan, path: Place) -> Place | None:
    """Store of the posterior that a study names; the store itself where it is the calibration."""
    named = [entry.posterior for entry in plan.study.record.uncertain.values() if entry.posterior]
    if named:
        return place(named[0]) if "://" in named[0] else plan.study.path(named[0])
    return path if store.has_group(CHECKS) else None


def _independence(plan: Plan, rows: pd.DataFrame, calibration: Place | None) -> list[Check]:
    if calibration is None:
        text = "no calibration is known (--calibration STORE), so independence cannot be shown"
        return [Check("validation sites are not calibration sites", "independence", text, False)]
    there = plan_of_store(calibration)
    data = open_store(calibration).dataset(CHECKS)
    fitted = there.observations.iloc[np.flatnonzero(data["held_out"].values == 0)].reset_index(drop=True)
    return independence_checks(rows, _described(there, fitted))


def model_identity(store: Store, plan: Plan) -> dict[str, Any]:
    """What makes two runs use the same model and parameters."""
    named = [entry.posterior for entry in plan.study.record.uncertain.values() if entry.posterior]
    posterior: Mapping[str, str] = {}
    if named:
        folder = Path(named[0]).name
        inputs: Mapping[str, str] = store.attrs["inputs"]
        posterior = {name.partition(f"{folder}/")[2]: total for name, total in inputs.items() if f"{folder}/" in name}
    study = plan.study.resolved()
    return {
        "model": plan.bound.model.name,
        "options": {k: str(v) for k, v in sorted(plan.bound.options.items())},
        "ensemble": store.attrs["platform"]["ensemble"],
        "parameters": digest_of(posterior) if posterior else digest_of(study.get("uncertain", {})),
    }


def _same(identity: Mapping[str, Any], project: Place | None) -> list[Check]:
    rule = "the same model and parameter sets in baseline, project and validation"
    if project is None:
        return [Check(rule, "digests", "no project was given (--project STORE)", False, "opened")]
    store, plan = open_store(project), plan_of_store(project)
    other = model_identity(store, plan)
    differ = [key for key in identity if identity[key] != other[key]]
    arms = " and ".join(plan.scenarios[:2])
    text = f"differ in {', '.join(differ)}" if differ else f"digest {digest_of(dict(identity))[:12]}, shared by {arms}"
    return [Check(rule, "digests", text, not differ, "opened")]


def _facts(
    store: Store, plan: Plan, identity: Mapping[str, Any], calibration: Place | None
) -> tuple[tuple[str, str], ...]:
    method = "none is known"
    if calibration is not None and open_store(calibration).has_group(CHECKS):
        attributes = open_store(calibration).dataset(CHECKS).attrs
        method = f"{attributes['method']}, {'passed' if attributes['passed'] else 'FAILED'} its diagnostics"
    return (
        ("model", f"{plan.bound.model.name}: {plan.bound.model.title}"),
        ("source", plan.bound.model.source),
        ("version", f"ensemble {identity['ensemble']}"),
        ("options", ", ".join(f"{k} = {v}" for k, v in identity["options"].items()) or "none"),
        ("calibration", method),
        ("seed", str(store.attrs["seed"])),
        ("digest of the parameters", identity["parameters"]),
        ("digest of the validation study", store.attrs["study_digest"]),
    )


def _parameters(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """Every number of the model that is no driver: its posterior, what is uncertain about it, or its central value."""
    specs = {**plan.bound.specs, **plan.bound.derived_specs}
    fitted = [scalar for scalar in plan.uncertainty.scalars if isinstance(scalar, PosteriorDraw)]
    found = [(s.label, _spread(s, specs[s.input].units), f"posterior {s.joint}") for s in fitted]
    stated = {k: v for k, v in plan.study.resolved().get("uncertain", {}).items() if not v.get("posterior")}
    found += [(label, ", ".join(f"{k}: {v}" for k, v in entry.items()), "the study") for label, entry in stated.items()]
    known = {*stated, *(s.input for s in fitted)}
    for name, spec in plan.bound.specs.items():
        values = plan.base.values[name]
        if "time" not in spec.dims and values.size == 1 and name not in known:
            found.append((name, _with_unit(f"{float(values.ravel()[0]):g}", spec.units), spec.source or "the study"))
    return tuple(found)


def _spread(drawn: PosteriorDraw, units: str) -> str:
    """Mean and standard deviation of a number of a posterior; their range over sites where these differ."""
    mean, sd = np.atleast_1d(drawn.draws.mean(axis=0)), np.atleast_1d(drawn.draws.std(axis=0, ddof=1))
    told = "" if drawn.how == "value" else f", as {drawn.how}"
    if len(mean) > 1:
        return _with_unit(f"{mean.min():.4g} to {mean.max():.4g} over {len(mean)} sites", units) + told
    return _with_unit(f"{mean[0]:.4g} \N{PLUS-MINUS SIGN} {sd[0]:.2g}", "1" if drawn.how == "factor" else units) + told


def _with_unit(text: str, units: str) -> str:
    return text if units == "1" else f"{text} {units}"
