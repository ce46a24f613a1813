"""Which covariates a learned map rests on, how it answers to them, and which of them act together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.keys import host_seed
from ensemble.mapping.learning.trees import TreeTables

Floats = NDArray[np.floating[Any]]

PLACES = 16  # values of a covariate on a curve, at even quantiles
CURVE_SAMPLES = 100  # over which a curve averages
PAIR_SAMPLES = 50
STRONGEST = 5  # covariates whose pairs are tested


class Curve(NamedTuple):
    """Partial dependence of the map on one covariate (Friedman 2001).

    Args:
        value: ``(place,)`` of the covariate.
        answers: ``(model, place)`` mean prediction of each model with every sample set to that value.
    """

    value: Floats
    answers: Floats


def partial_dependence(models: Sequence[TreeTables], x: ArrayLike, covariate: int, seed: int = 0) -> Curve:
    """Curves of several models.

    Args:
        models: of one target.
        x: ``(sample, covariate)``; at most 100 of the samples are used.
        covariate: number of the covariate.
        seed: of the choice of samples.
    """
    some = _some(np.asarray(x, float), CURVE_SAMPLES, seed)
    value = np.unique(np.quantile(np.asarray(x, float)[:, covariate], np.linspace(0.02, 0.98, PLACES)))
    spread = np.repeat(some[None], len(value), axis=0)
    spread[:, :, covariate] = value[:, None]
    flat = spread.reshape(-1, some.shape[1])
    answers = [model.predict(flat).reshape(len(value), -1).mean(axis=1) for model in models]
    return Curve(value, np.array(answers))


class Interaction(NamedTuple):
    """Two covariates and the share of their joint effect that they have only together (H squared)."""

    first: int
    second: int
    strength: float


def interactions(models: Sequence[TreeTables], x: ArrayLike, importance: ArrayLike, seed: int = 0) -> list[Interaction]:
    """Pairs of the five most important covariates, strongest first.

    H squared of Friedman & Popescu (2008, Ann. Appl. Stat. 2, doi 10.1214/07-AOAS148), eq. 44, of the mean of the
    models at 50 of the samples.

    Args:
        models: of one target.
        x: ``(sample, covariate)``.
        importance: ``(covariate,)``.
        seed: of the choice of samples.
    """
    some = _some(np.asarray(x, float), PAIR_SAMPLES, seed)
    strongest = np.sort(np.argsort(-np.asarray(importance))[:STRONGEST])
    single = {int(k): _centred(models, some, [int(k)]) for k in strongest}
    found = []
    for place, first in enumerate(strongest):
        for second in strongest[place + 1 :]:
            joint = _centred(models, some, [int(first), int(second)])
            alone = joint - single[int(first)] - single[int(second)]
            whole = float((joint**2).sum())
            found.append(Interaction(int(first), int(second), float((alone**2).sum()) / whole if whole > 0 else 0.0))
    return sorted(found, key=lambda item: -item.strength)


def _some(x: Floats, count: int, seed: int) -> Floats:
    rng = np.random.default_rng(host_seed(seed, "samples of partial dependence"))
    return x if len(x) <= count else x[np.sort(rng.permutation(len(x))[:count])]


def _centred(models: Sequence[TreeTables], x: Floats, covariates: list[int]) -> Floats:
    """Partial dependence on some covariates at every sample's own values, mean 0."""
    spread = np.repeat(x[None], len(x), axis=0)
    spread[:, :, covariates] = x[:, None][:, :, covariates]
    flat = spread.reshape(-1, x.shape[1])
    answer = np.mean([model.predict(flat).reshape(len(x), -1).mean(axis=1) for model in models], axis=0)
    return answer - answer.mean()
