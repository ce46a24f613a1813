"""What the store says of the skill of learned maps: scores, importance, answers to covariates, coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ensemble.config.learning import Learn, Target
from ensemble.mapping.learning.checking import LEVELS, HeldOut
from ensemble.mapping.learning.importance import interactions, partial_dependence
from ensemble.mapping.learning.learned import Learned, LearnSettings
from ensemble.mapping.learning.metrics import FIVE_NUMBERS, Skill, five_numbers_and_mean, skill
from ensemble.mapping.learning.residuals import variogram
from ensemble.mapping.learning.samples import Material
from ensemble.mapping.learning.tuning import Tuned
from ensemble.mapping.learning.validation import (
    CrossValidation,
    cross_validate,
    permutation_importance,
    random_folds,
)

ALL = "all"
SMALLEST_CLASS = 40  # samples of a class that a model of its own is fitted to
CLASS_REPEATS = 3
CURVE_MODELS = 10
INTERVALS = ("realisations", "CV+", "sd over repeated fits")


@dataclass(frozen=True)
class TargetResult:
    """Everything learned of one target.

    Args:
        name: of the target.
        entry: what the study says of it.
        learned: the maps' ingredients.
        blocked: cross-validation by spatial blocks.
        coverage: by kind of fold, ``random`` and ``blocked``; empty where it was not asked for.
        tuned: chosen settings; ``None`` where the study gives no candidates.
        settings: how it was learned.
    """

    name: str
    entry: Target
    learned: Learned
    blocked: CrossValidation
    coverage: dict[str, HeldOut]
    tuned: Tuned | None
    settings: LearnSettings


def skill_groups(
    material: Material, results: tuple[TargetResult, ...], wanted: Learn, block: float
) -> dict[str, xr.Dataset]:
    """The groups ``importance``, ``answers`` and, last, ``skill``, whose presence says that all is there."""
    return {
        "importance": _importance(material, results),
        "answers": _answers(material, results),
        "skill": _skill(material, results, wanted, block),
    }


def _groups(material: Material) -> dict[str, np.ndarray]:
    """Samples of each class, and all."""
    classes = np.array(material.samples.classes)
    found = {ALL: np.ones(len(material.samples.km), bool)}
    return found | {name: classes == name for name in dict.fromkeys(material.samples.classes)}


def _skill(material: Material, results: tuple[TargetResult, ...], wanted: Learn, block: float) -> xr.Dataset:
    groups = _groups(material)
    held, width, coverage_r2 = _coverage(results, groups)
    variables: dict[str, Any] = {
        "score": (
            ("target", "folds", "class", "statistic", "measure"), _scores(results, groups),
            {"long_name": "score of cross-validated predictions over repeats; RMSE, MAE and bias in the target's unit"},
        ),
        "coverage": (
            ("target", "folds", "interval", "class", "level"), held,
            {"long_name": "share of left-out samples inside intervals of the whole procedure learned without them"},
        ),
        "width": (("target", "folds", "level"), width, {"long_name": "mean width of intervals of realisations"}),
        "held_out_r2": (
            ("target", "folds", "prediction"), coverage_r2,
            {"long_name": "1 - SSE/SST of left-out samples: trees alone, and with the residuals of neighbours"},
        ),
        "samples": (("class",), [int(inside.sum()) for inside in groups.values()], {"long_name": "samples"}),
        "settings": (("target", "setting"), [[float(v) for v in r.settings.trees] for r in results]),
    }  # fmt: skip
    variables |= _points(results) | _residual_fields(material, results)
    nested = [r for r in results if r.tuned is not None]
    if nested:
        found = [skill(r.learned.observed, r.learned.back(r.tuned.nested)) for r in nested if r.tuned]
        variables["nested_score"] = (("target", "measure"), np.array(found), {"long_name": "score with settings chosen within each fold"})  # fmt: skip
    coordinates = {
        "target": [r.name for r in results], "folds": ["random", "blocked"], "class": list(groups),
        "statistic": list(FIVE_NUMBERS), "measure": list(Skill._fields), "level": list(LEVELS),
        "interval": list(INTERVALS), "prediction": ["trees", "with neighbours"], "sample": material.samples.lines,
        "setting": list(TargetSettings),
    }  # fmt: skip
    attributes = {
        "units": [r.entry.units for r in results],
        "transform": [r.entry.transform for r in results],
        "repeats": wanted.validation.repeats,
        "number_of_folds": wanted.validation.folds,
        "block_km": block,
        "notes": list(material.notes),
    }
    return xr.Dataset(variables, coordinates, attributes)


def _scores(results: tuple[TargetResult, ...], groups: dict[str, np.ndarray]) -> np.ndarray:
    """Quartiles and mean over repeats of every measure, (target, folds, class, statistic, measure)."""
    scores = np.full((len(results), 2, len(groups), len(FIVE_NUMBERS), len(Skill._fields)), np.nan)
    for t, result in enumerate(results):
        observed = result.learned.observed
        for k, found in enumerate((result.learned.validation, result.blocked)):
            predicted = result.learned.back(found.predictions)
            for g, inside in enumerate(groups.values()):
                if inside.sum() >= 3:
                    rows = [skill(observed[inside], repeat[inside]) for repeat in predicted]
                    scores[t, k, g] = five_numbers_and_mean(rows)
    return scores


def _points(results: tuple[TargetResult, ...]) -> dict[str, Any]:
    """Observed and cross-validated values of every sample."""
    stacked = {
        "observed": [r.learned.observed for r in results],
        "predicted": [_mean_prediction(r, r.learned.validation) for r in results],
        "predicted_blocked": [_mean_prediction(r, r.blocked) for r in results],
    }
    return {
        name: (("target", "sample"), np.stack(part), {"long_name": name.replace("_", " ")})
        for name, part in stacked.items()
    }


def _residual_fields(material: Material, results: tuple[TargetResult, ...]) -> dict[str, Any]:
    """Variogram of the residual scores, and what the field fitted to them holds."""
    fields = [r.learned.field for r in results]
    variograms = [variogram(material.samples.km, r.learned.scores.scores) for r in results]
    texts = {
        "range": "posterior mean of the range in space, km",
        "nugget": "posterior mean of the share of variance that no neighbour shares",
        "spatial": "posterior mean of the share of variance that is alike in space",
        "alike": "posterior mean of the share of variance that is alike where covariates are",
    }
    return {
        "variogram": (("target", "bin"), [v.value for v in variograms], {"long_name": "semivariance of residual scores"}),
        "variogram_distance": (("target", "bin"), [v.distance for v in variograms], {"units": "km"}),
        "variogram_pairs": (("target", "bin"), [v.pairs for v in variograms]),
        **{
            f"field_{name}": (("target",), [f.mean(name) for f in fields], {"long_name": text})
            for name, text in texts.items()
        },
        "model_share": (
            ("target",), [_model_share(r) for r in results],
            {"long_name": "share of the residual variance that bootstrap models explain"},
        ),
    }  # fmt: skip


TargetSettings = ("trees", "splits", "shrinkage", "minimum_leaf", "bag_fraction")


def _mean_prediction(result: TargetResult, found: CrossValidation) -> np.ndarray:
    return result.learned.back(found.predictions).mean(axis=0)


def _model_share(result: TargetResult) -> float:
    whole = float((result.learned.residuals**2).mean())
    return max(0.0, 1 - result.learned.unexplained[-1] / whole) if result.learned.bootstraps else 0.0


def _coverage(
    results: tuple[TargetResult, ...], groups: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    held = np.full((len(results), 2, len(INTERVALS), len(groups), len(LEVELS)), np.nan)
    width, r2 = np.full((len(results), 2, len(LEVELS)), np.nan), np.full((len(results), 2, 2), np.nan)
    for t, result in enumerate(results):
        for k, kind in enumerate(("random", "blocked")):
            found = result.coverage.get(kind)
            if found is None:
                continue
            width[t, k] = found.width.mean(axis=1)
            pair = (found.predictor, found.predicted)
            r2[t, k] = [skill(result.learned.observed, item).r2 for item in pair]
            for i, inside_interval in enumerate((found.held, found.held_cv_plus, found.held_repeats)):
                for g, inside in enumerate(groups.values()):
                    held[t, k, i, g] = inside_interval[:, inside].mean(axis=1)
    return held, width, r2


def _importance(material: Material, results: tuple[TargetResult, ...]) -> xr.Dataset:
    """Shares of gain and permutation importance with their spread over repeats, for all samples and each class."""
    groups = {n: i for n, i in _groups(material).items() if n == ALL or i.sum() >= SMALLEST_CLASS}
    shape = (len(results), len(groups), len(material.covariates), 2)
    gain, exchanged = np.full(shape, np.nan), np.full(shape, np.nan)
    samples = material.samples
    for t, result in enumerate(results):
        y = np.log(result.learned.observed) if result.entry.transform == "log" else result.learned.observed
        for g, (name, inside) in enumerate(groups.items()):
            found = result.learned.validation
            if name != ALL:
                own = np.stack([random_folds(samples.km[inside], 5, t, r) for r in range(CLASS_REPEATS)])
                trees = result.settings.trees
                found = cross_validate(samples.x[inside], y[inside], trees, own, t, 0, result.settings.threads, True)
            each = found.gains.mean(axis=1)
            rise = permutation_importance(y[inside], found)
            gain[t, g] = np.stack([each.mean(axis=0), each.std(axis=0)], axis=-1)
            exchanged[t, g] = np.stack([rise.mean(axis=0), rise.std(axis=0)], axis=-1)
    return xr.Dataset(
        {
            "gain": (("target", "class", "covariate", "statistic"), gain, {"long_name": "share of the fall in squared error by splits on a covariate"}),
            "permutation": (("target", "class", "covariate", "statistic"), exchanged, {"long_name": "rise of the squared error of unseen samples when a covariate is exchanged between them, as a share of the variance"}),
        },
        {"target": [r.name for r in results], "class": list(groups), "covariate": list(material.covariates), "statistic": ["mean", "sd over repeats"]},
        {"comment": "classes have models of their own, fitted to their samples alone"},
    )  # fmt: skip


def _answers(material: Material, results: tuple[TargetResult, ...]) -> xr.Dataset:
    """Partial dependence with its spread over models, for all samples and each class, and pairs that act together."""
    groups = {n: i for n, i in _groups(material).items() if n == ALL or i.sum() >= SMALLEST_CLASS}
    places = 16
    shape = (len(results), len(groups), len(material.covariates), places)
    value, middle, spread = (np.full(shape, np.nan) for _ in range(3))
    pairs, strength = [], []
    for t, result in enumerate(results):
        models = result.learned.models[:CURVE_MODELS]
        for g, inside in enumerate(groups.values()):
            for k in range(len(material.covariates)):
                curve = partial_dependence(models, material.samples.x[inside], k)
                here = slice(0, len(curve.value))
                value[t, g, k, here] = curve.value
                middle[t, g, k, here] = curve.answers.mean(axis=0)
                spread[t, g, k, here] = curve.answers.std(axis=0, ddof=1) if len(models) > 1 else 0.0
        importance = result.learned.validation.gains.mean(axis=(0, 1))
        found = [interactions(models[:2], material.samples.x[inside], importance) for inside in groups.values()]
        order = [(p.first, p.second) for p in found[0]]  # strongest of all samples first
        pairs.append([f"{material.covariates[a]} x {material.covariates[b]}" for a, b in order])
        strength.append([[{(p.first, p.second): p.strength for p in own}[pair] for pair in order] for own in found])
    dims = ("target", "class", "covariate", "place")
    return xr.Dataset(
        {
            "value": (dims, value, {"long_name": "value of the covariate"}),
            "answer": (dims, middle, {"long_name": "partial dependence, mean over models; logarithm where that was learned"}),
            "answer_sd": (dims, spread, {"long_name": "its standard deviation over models"}),
            "pair": (("target", "rank"), np.array(pairs, dtype=str)),
            "strength": (("target", "class", "rank"), np.array(strength), {"long_name": "H squared of Friedman and Popescu"}),
        },
        {"target": [r.name for r in results], "class": list(groups), "covariate": list(material.covariates)},
        {"units": [f"ln({r.entry.units})" if r.entry.transform == "log" else r.entry.units for r in results]},
    )  # fmt: skip
