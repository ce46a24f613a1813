"""`ensemble prune`: a smaller study without the inputs that do not matter, and the proof that they do not.

An index alone prunes nothing. Inputs whose total effect, with its interval, stays below a tolerance for every output at
every scenario, site and time are fixed at their centre; the smaller study is then run, and is kept only where the
distribution of every output has moved by less than a stated distance.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ensemble.config import StudyFile
from ensemble.config.document import Document
from ensemble.config.load import validate
from ensemble.config.stages import Decompose
from ensemble.errors import Damaged
from ensemble.pipeline.decomposing import GROUP
from ensemble.pipeline.loading import checked
from ensemble.pipeline.run import decompose_plan
from ensemble.plan import Plan, make_plan
from ensemble.propagate import propagate
from ensemble.store import open_store
from ensemble.store.files import write_file
from ensemble.store.place import Place


@dataclass(frozen=True)
class Pruned:
    """What a pruning found.

    Args:
        study: the smaller study; ``None`` where nothing was pruned.
        lines: one sentence a line.
    """

    study: Path | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Moved:
    """How far two samples of every output lie apart, over all scenarios, sites and times.

    Args:
        wasserstein: largest Wasserstein-1 distance in standard deviations.
        kolmogorov: largest distance of the distribution functions.
        mean, sd: largest change of the mean, in standard deviations, and of the standard deviation, relative.
    """

    wasserstein: float
    kolmogorov: float
    mean: float
    sd: float


def prune_plan(plan: Plan, store: Place, tolerance: float, distance: float, quiet: bool = False) -> Pruned:
    """Write the smaller study beside the study, as ``NAME.pruned.yaml``.

    Args:
        plan: the study.
        store: of the decomposition.
        tolerance: total effect, with its interval, below which an input does not matter.
        distance: largest Wasserstein distance, in standard deviations, that the outputs may move.

    Raises:
        InputError: the study cannot be decomposed.
        Damaged: the outputs moved further, or there are too few members to show that they did not.
    """
    whole = _with_decomposition(plan)
    decompose_plan(whole, store, quiet)
    effects = largest_effects(store)
    members = dict(_groups(store))
    out, kept = [], []
    for name, effect in effects.items():
        if effect < tolerance:
            for label in members.get(name, (name,)):
                reason = _cannot_fix(plan, label)
                (kept if reason else out).append((label, effect, reason))
    lines = [f"{label}: total effect at most {effect:.3g}, fixed at its centre" for label, effect, _ in out]
    lines += [f"{label}: total effect at most {effect:.3g}, but kept: {reason}" for label, effect, reason in kept]
    if not out:
        return Pruned(None, (*lines, f"nothing is pruned: every other total effect reaches {tolerance:g} somewhere"))
    if len(out) == len(plan.uncertainty.streams):
        return Pruned(None, (*lines, "nothing is pruned: no uncertain input would be left"))
    smaller = smaller_study(plan.study, [label for label, _, _ in out], _centres(plan))
    small = checked(make_plan(smaller))
    first, again, after = (_sample(p) for p in (plan, _reseeded(plan), small))
    noise, moved = moved_by(first, again), moved_by(first, after)
    lines += _said(moved, noise, plan.members, distance)
    if noise.wasserstein > 0.5 * distance:
        raise Damaged(
            "; ".join(
                [
                    *lines,
                    f"nothing is pruned: sampling noise alone moves outputs by {noise.wasserstein:.3g}; use more members",
                ]
            )
        )
    if moved.wasserstein > distance:
        raise Damaged("; ".join([*lines, "nothing is pruned: the outputs moved too far"]))
    file = plan.study.document.file.with_name(f"{plan.study.name}.pruned.yaml")
    write_file(file, _text(smaller, lines).encode())
    return Pruned(file, (*lines, f"study:  {file}"))


def _with_decomposition(plan: Plan) -> Plan:
    if plan.study.record.decompose is not None:
        return plan
    data = {**plan.study.document.data, "decompose": Decompose().model_dump(exclude_defaults=True)}
    return checked(make_plan(_study(plan.study, data)))


def _study(study: StudyFile, data: dict[str, Any]) -> StudyFile:
    document = Document(data, study.document.lines, study.document.file)
    return StudyFile(validate(document), document, study.folder)


def largest_effects(store: Place) -> dict[str, float]:
    """Largest total effect plus its interval of each input, over all outputs, scenarios, sites and times."""
    data = open_store(store).dataset(GROUP).load()
    largest = np.zeros(data.sizes["parameter"])
    for name in map(str, data.data_vars):
        if name.endswith("_total") and f"{name}_half_width" in data and "generalised" not in name:
            if name.removesuffix("_total").endswith(("pick_freeze", "surrogate")):
                continue
            both = (data[name] + data[f"{name}_half_width"]).transpose("parameter", ...).values
            here = np.nan_to_num(both).reshape(len(largest), -1).max(axis=1)  # nan: an output without variance
            largest = np.maximum(largest, here)
    return dict(zip(map(str, data["parameter"].values), largest.tolist(), strict=True))


def _groups(store: Place) -> list[tuple[str, tuple[str, ...]]]:
    texts = open_store(store).dataset(GROUP).attrs["groups"]
    pairs = [str(text).partition(": ") for text in np.atleast_1d(texts)]
    return [(name, tuple(members.split(", "))) for name, _, members in pairs]


def _centres(plan: Plan) -> dict[str, tuple[str, dict[str, Any]]]:
    """Input and central value of every entry that replaces one."""
    specs = {**plan.bound.specs, **plan.bound.derived_specs}
    found = {}
    for scalar in plan.uncertainty.scalars:
        if scalar.how == "value" and not _cannot_fix(plan, scalar.label):
            assert scalar.distribution is not None
            median = float(np.asarray(scalar.distribution.ppf(0.5))) * scalar.factor + scalar.offset
            found[scalar.label] = scalar.input, {"value": median, "units": specs[scalar.input].units}
    return found


def _cannot_fix(plan: Plan, label: str) -> str:
    """Why an entry has no centre that a study can write; empty where it has."""
    scalar = next((s for s in plan.uncertainty.scalars if s.label == label), None)
    if scalar is None:  # noise and weather: their centre is the stated series; options: the stated choice
        return ""
    if scalar.distribution is None:
        return "it is part of a joint posterior"
    if scalar.distribution.shape:
        return "its centre differs between sites"
    if scalar.how == "value":
        return ""
    neutral, median = (0.0 if scalar.how == "offset" else 1.0), float(np.asarray(scalar.distribution.ppf(0.5)))
    spread = float(np.max(scalar.distribution.sd))
    return "" if abs(median * scalar.factor - neutral) < 0.01 * spread else f"its median {median:g} is not neutral"


def smaller_study(study: StudyFile, out: Sequence[str], centres: Mapping[str, tuple[str, dict[str, Any]]]) -> StudyFile:
    """The study with some entries of `uncertain` fixed at their centre."""
    data = {**study.document.data}
    gone = set(out)
    data["uncertain"] = {k: v for k, v in data["uncertain"].items() if k not in gone}
    inputs = dict(data.get("inputs") or {})
    for label in out:
        if label in centres:
            name, value = centres[label]
            inputs[name] = value if value["units"] != "1" else {"value": value["value"]}
    data["inputs"] = inputs
    if data.get("correlation"):
        data["correlation"] = [c for c in data["correlation"] if not gone & set(c["between"])]
    if data.get("fields"):
        data["fields"] = {k: v for k, v in data["fields"].items() if k not in gone}
    if len(data["uncertain"]) < 2:  # nothing is left to share the variance between
        data.pop("decompose", None)
    if isinstance(data.get("decompose"), dict) and data["decompose"].get("groups"):
        groups = {k: [m for m in v if m not in gone] for k, v in data["decompose"]["groups"].items()}
        data["decompose"] = {**data["decompose"], "groups": {k: v for k, v in groups.items() if v}}
    return _study(study, data)


def _reseeded(plan: Plan) -> Plan:
    design = {**(plan.study.document.data.get("design") or {}), "seed": plan.seed + 1}
    return checked(make_plan(_study(plan.study, {**plan.study.document.data, "design": design})))


def _sample(plan: Plan) -> dict[str, np.ndarray]:
    """Every output of every member that did not fail anywhere, (members, columns)."""
    shape = plan.members, len(plan.sites)
    failed, names = np.zeros(shape, bool), [spec.name for spec in plan.outputs]
    whole: dict[str, np.ndarray] = {}
    for result in propagate(plan, range(plan.tiling.count)):
        tile = result.tile
        rows, columns = (
            slice(tile.first_member, tile.first_member + tile.members),
            slice(tile.first_site, tile.first_site + tile.sites),
        )
        failed[rows, columns] = result.failed > 0
        for name in names:
            values = result.outputs[name]
            if name not in whole:
                whole[name] = np.empty((plan.members, values.shape[1], len(plan.sites), *values.shape[3:]))
            whole[name][rows, :, columns] = values
    good = ~failed.any(axis=1)
    return {name: values[good].reshape(good.sum(), -1) for name, values in whole.items()}


def moved_by(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Moved:
    """Distances of two samples of the same outputs."""
    worst = np.zeros(4)
    for name, one in first.items():
        a, b = np.sort(one, axis=0), np.sort(second[name], axis=0)
        count = min(len(a), len(b))
        levels = (np.arange(count) + 0.5) / count
        a, b = (np.quantile(x, levels, axis=0) if len(x) != count else x for x in (a, b))
        sd = a.std(axis=0, ddof=1)
        varies = sd > 1e-9 * np.abs(a).max(axis=0)
        if not varies.any():
            continue
        a, b, sd = a[:, varies], b[:, varies], sd[varies]
        distances = np.array(
            [
                (np.abs(a - b).mean(axis=0) / sd).max(),
                max(_kolmogorov(a[:, k], b[:, k]) for k in range(a.shape[1])),
                (np.abs(a.mean(axis=0) - b.mean(axis=0)) / sd).max(),
                np.abs(b.std(axis=0, ddof=1) / sd - 1.0).max(),
            ]
        )
        worst = np.maximum(worst, distances)
    return Moved(*map(float, worst))


def _kolmogorov(a: np.ndarray, b: np.ndarray) -> float:
    every = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, every, "right") - np.searchsorted(b, every, "right")).max() / len(a))


def _said(moved: Moved, noise: Moved, members: int, limit: float) -> list[str]:
    return [
        f"with {members} members the outputs moved by at most {moved.wasserstein:.3g} standard deviations (Wasserstein; allowed: {limit:g})"
        f" and {moved.kolmogorov:.3g} (Kolmogorov), their means by {moved.mean:.3g} and their spread by {100 * moved.sd:.2g} %",
        f"another seed alone moves them by {noise.wasserstein:.3g}, {noise.kolmogorov:.3g}, {noise.mean:.3g} and {100 * noise.sd:.2g} %",
    ]


def _text(study: StudyFile, lines: Sequence[str]) -> str:
    stream = io.StringIO()
    yaml = YAML(pure=True)
    yaml.default_flow_style = False
    yaml.width = 110
    yaml.dump(study.document.data, stream)
    return "".join(f"# {line}\n" for line in ["Made by ensemble prune.", *lines]) + stream.getvalue()
