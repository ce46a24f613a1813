"""Bias against measurement uncertainty, coverage, domain, duration, independence.

The rules follow descriptions of Verra's VMD0053 v2.1 in two secondary sources; the document itself was not opened by the
authors of this module. VM0042 v2.2 (opened) asks for the median duration, and for the same model and parameters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ensemble.inputs.geodesy import geocentric

GROUP = ("practice", "crop_group", "source")
UNSTATED = "unstated"
LEVEL = 0.9
# Half-width of a normal 90 % interval as the rule writes it.
NORMAL = 1.64
CLAY_POINTS = 15.0
TEXTURES = 3
# Two places closer than this are one, km.
SAME_PLACE = 0.5


@dataclass(frozen=True)
class Check:
    """One rule.

    Args:
        rule: what is asked.
        about: group, store or place it is about.
        found: what was found, in words.
        passed: whether it holds; never where it cannot be shown.
        known: ``opened`` where the rule was read in the document itself, else ``second hand``.
    """

    rule: str
    about: str
    found: str
    passed: bool
    known: Literal["opened", "second hand"] = "second hand"


def pooled_uncertainty(errors: np.ndarray, replicates: np.ndarray, weights: Literal["n - 1", "n"]) -> float:
    """Pooled measurement uncertainty: root mean square of standard errors, weighted by replicates.

    Args:
        errors: standard error of each measurement.
        replicates: of each.
        weights: ``n - 1`` as course notes and a public implementation of VMD0053 have it; ``n`` as PEcAn's
            ``metric_PMU`` has it. They disagree, so both are reported.

    Returns:
        nan where all weights are zero.
    """
    w = replicates - 1.0 if weights == "n - 1" else np.asarray(replicates, float)
    return float(np.sqrt((errors**2 * w).sum() / w.sum())) if w.sum() > 0 else float("nan")


def group_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Bias, uncertainty and coverage of each combination of practice, crop group and source.

    Args:
        rows: measurements with the columns of :data:`GROUP`, experiment, value, error, replicates, mean, low, high
            (90 % prediction interval of the model's own predictive distribution).

    Returns:
        One row a combination: n, experiments, bias (mean over experiments, unweighted, of modelled less measured),
        pmu (weights n - 1), pmu_n (weights n), mse, residual_sd, inside (share in the predictive interval),
        inside_normal (share in mean residual +- 1.64 sd).
    """
    found = []
    for key, part in rows.groupby(list(GROUP), sort=False):
        value, low, high = (part[name].to_numpy(float) for name in ("value", "low", "high"))
        miss, names = part["mean"].to_numpy(float) - value, part["experiment"].to_numpy(str)
        by_experiment = [miss[names == name].mean() for name in np.unique(names)]
        errors, counts = part["error"].to_numpy(float), part["replicates"].to_numpy(float)
        known = np.isfinite(counts)
        sd = float(miss.std(ddof=1)) if len(miss) > 1 else float("nan")
        found.append(
            {
                **dict(zip(GROUP, key, strict=True)),  # type: ignore[arg-type]
                "n": len(part),
                "experiments": len(by_experiment),
                "bias": float(np.mean(by_experiment)),
                "pmu": pooled_uncertainty(errors[known], counts[known], "n - 1"),
                "pmu_n": pooled_uncertainty(errors[known], counts[known], "n"),
                "mse": float((miss**2).mean()),
                "residual_sd": sd,
                "inside": float(((value >= low) & (value <= high)).mean()),
                "inside_normal": float((np.abs(miss - miss.mean()) <= NORMAL * sd).mean()) if np.isfinite(sd) else sd,
            }
        )
    return pd.DataFrame(found)


def group_checks(groups: pd.DataFrame) -> list[Check]:
    """Bias and coverage of every combination."""
    checks = []
    for row in groups.to_dict("records"):
        name = ", ".join(str(row[k]) for k in GROUP)
        bias, pmu = row["bias"], row["pmu"]
        limit = f"{pmu:.3g} (weights n - 1; {row['pmu_n']:.3g} with weights n)"
        if not np.isfinite(pmu):
            limit = "unknown, because no measurement states two or more replicates"
        checks.append(
            Check(
                "mean bias over experiments is at most the pooled measurement uncertainty",
                name,
                f"bias {bias:+.3g} over {row['experiments']} experiments; limit {limit}",
                bool(np.isfinite(pmu) and abs(bias) <= pmu),
            )
        )
        checks.append(
            Check(
                "at least 90 % of measurements inside the 90 % prediction interval",
                name,
                f"{100 * row['inside']:.0f} % of {row['n']}",
                row["inside"] >= LEVEL,
            )
        )
        if UNSTATED in (row[k] for k in GROUP):
            missing = ", ".join(k for k in GROUP if row[k] == UNSTATED)
            checks.append(Check("practice, crop group and source are stated", name, f"not stated: {missing}", False))
    return checks


def domain_checks(validation: pd.DataFrame, project: pd.DataFrame) -> list[Check]:
    """Whether the places of the validation cover those of the project.

    Args:
        validation, project: one row a place with climate_zone and texture (texts, empty where unknown) and clay (%).
    """
    checks = []
    for column, what in (("climate_zone", "climate zone"), ("texture", "texture class")):
        wanted = [v for v in project[column] if v]
        common = [str(name) for name, _ in Counter(wanted).most_common()]
        common = common[:TEXTURES] if column == "texture" else common
        there = {v for v in validation[column] if v}
        missing = [v for v in common if v not in there]
        text = f"missing: {', '.join(missing)}" if missing else f"all covered: {', '.join(common)}"
        rule = (
            f"every {what} of the project"
            if column == "climate_zone"
            else f"the {TEXTURES} commonest texture classes of the project"
        )
        found = text if common else f"the project's sites state no {what} (column {column})"
        checks.append(Check(f"{rule} in the validation data", "domain", found, bool(common) and not missing))
    clay = validation["clay"].to_numpy(float)
    span = float(np.nanmax(clay) - np.nanmin(clay)) if np.isfinite(clay).any() else float("nan")
    found = f"{span:.3g} points" if np.isfinite(span) else "clay is not known"
    checks.append(
        Check(f"clay of the validation data spans {CLAY_POINTS:g} points or more", "domain", found, span >= CLAY_POINTS)
    )
    return checks


def duration_check(rows: pd.DataFrame, project_years: float) -> Check:
    """Simulations no longer than the median experiment (VM0042 v2.2, section 8.6)."""
    spans = rows.groupby("experiment")["time"].agg(lambda t: t.max() - t.min()).to_numpy(float)
    median = float(np.median(spans))
    found = f"project {project_years:g} years; median of {len(spans)} experiments {median:.3g} years"
    return Check(
        "the project is simulated for no longer than the median experiment",
        "duration",
        found,
        project_years <= median + 1e-9,
        "opened",
    )


def independence_checks(validation: pd.DataFrame, calibration: pd.DataFrame) -> list[Check]:
    """Whether calibration and validation share a place or a measurement.

    Args:
        validation, calibration: one row a measurement with location (name), longitude, latitude (nan where unknown),
            variable, time and value.
    """
    names = sorted(set(validation["location"]) & set(calibration["location"]))
    text = (
        f"shared: {', '.join(names)}"
        if names
        else f"{validation['location'].nunique()} against {calibration['location'].nunique()} places, none shared by name"
    )
    checks = [Check("validation sites are not calibration sites", "names", text, not names)]
    a, b = (t[["longitude", "latitude"]].dropna().drop_duplicates().to_numpy(float) for t in (validation, calibration))
    if len(a) and len(b):
        near = float(_kilometres(a, b).min())
        checks.append(
            Check(
                "validation sites are not calibration sites",
                "places",
                f"nearest two are {near:.3g} km apart",
                near > SAME_PLACE,
            )
        )
    keys = ["variable", "time", "value"]
    both = validation[keys].merge(calibration[keys], on=keys).drop_duplicates()
    text = (
        f"{len(both)} measurements have the same output, time and value"
        if len(both)
        else "no measurement appears in both"
    )
    checks.append(Check("no measurement is used twice", "measurements", text, both.empty))
    return checks


def _kilometres(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances of places (longitude, latitude), km, (first, second)."""
    a, b = (geocentric(points[:, 0], points[:, 1]) for points in (first, second))
    return np.linalg.norm(a[:, None] - b[None], axis=-1)
