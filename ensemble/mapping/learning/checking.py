"""How often intervals hold what was left out: the whole procedure is learned again without a part of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.mapping.learning.intervals import covered, cv_plus
from ensemble.mapping.learning.learned import Learned, LearnSettings, Transform, learn
from ensemble.mapping.learning.residuals import Places
from ensemble.mapping.learning.simulation import score_fields
from ensemble.mapping.learning.trees import fit_trees, predict
from ensemble.mapping.learning.validation import random_folds

Floats = NDArray[np.floating[Any]]

LEVELS = (0.5, 0.9)
DRAWS = 200
REPEATS_OF_PAPER = 6  # fits that differ in their bags only
INNER_FOLDS = 5
MANY_SAMPLES = 2000  # from here the most likely parameters of the field stand for all
NORMAL = {0.5: 0.6744897501960817, 0.9: 1.6448536269514722}


class HeldOut(NamedTuple):
    """Samples that were left out, and what intervals said of them.

    Args:
        predicted: ``(sample,)`` mean of the realisations.
        predictor: ``(sample,)`` trees alone, without the residuals of neighbours.
        held: ``(level, sample)`` whether the interval of the realisations holds the observation.
        held_cv_plus: ``(level, sample)`` the same of CV+.
        held_repeats: ``(level, sample)`` the same of plus and minus multiples of the sd over repeated fits.
        width: ``(level, sample)`` of the interval of the realisations.
    """

    predicted: Floats
    predictor: Floats
    held: NDArray[np.bool_]
    held_cv_plus: NDArray[np.bool_]
    held_repeats: NDArray[np.bool_]
    width: Floats


def realise_at(
    learned: Learned, samples: Places, sites: Places, x: Floats, draws: int, seed: int, classes: Sequence[str] = ()
) -> Floats:
    """Realisations ``(draw, site)`` of one target at scattered sites.

    Args:
        learned: from the samples.
        samples, sites: :meth:`Learned.places` of both.
        x: ``(site, covariate)``.
        draws: how many.
        seed: of the draws.
        classes: ``(site,)`` class of land of each; empty for none.
    """
    parameters = parameters_of(learned, draws, seed, "target")
    fields = score_fields([samples], [sites], learned.scores.scores[None], [parameters], None, seed)
    return learned.realise(learned.mean(x), learned.scale(x, classes), fields.draw(range(draws))[:, 0])


def parameters_of(learned: Learned, draws: int, seed: int, name: str) -> tuple[Any, ...]:
    """Parameters of the field for every realisation of a target."""
    if len(learned.observed) > MANY_SAMPLES:
        return (learned.field.best,)
    return learned.field.draw(draws, seed, f"field of {name}")


def held_out(
    x: ArrayLike,
    observed: ArrayLike,
    km: ArrayLike,
    outer: NDArray[np.int64],
    settings: LearnSettings,
    seed: int,
    transform: Transform = "none",
    classes: Sequence[str] = (),
) -> HeldOut:
    """Learn again without each outer fold, and look at the samples in it.

    Args:
        x: ``(sample, covariate)``.
        observed: ``(sample,)``.
        km: ``(sample, axis)``.
        outer: ``(sample,)`` fold of each sample, random or by blocks.
        settings, seed, transform, classes: as in :func:`ensemble.mapping.learning.learned.learn`.
    """
    covariates, value, place = np.asarray(x, float), np.asarray(observed, float), np.asarray(km, float)
    inner = settings._replace(map_repeats=1)
    predicted, predictor = np.empty((2, len(value)))
    held, plus, repeats = np.zeros((3, len(LEVELS), len(value)), bool)
    width = np.empty((len(LEVELS), len(value)))
    for part in range(int(outer.max()) + 1):
        out, train = np.flatnonzero(outer == part), np.flatnonzero(outer != part)
        folds = random_folds(place[train], INNER_FOLDS, seed, part)[None]
        of = [[classes[k] for k in part] if classes else () for part in (train, out)]
        learned = learn(covariates[train], value[train], place[train], folds, inner, seed + part, transform, of[0])
        places = [learned.places(place[k], covariates[k], c) for k, c in zip((train, out), of, strict=True)]
        draws = realise_at(learned, *places, covariates[out], DRAWS, seed + part, of[1])
        predicted[out], predictor[out] = draws.mean(axis=0), learned.back(learned.mean(covariates[out]))
        each = [model.predict(covariates[out]) for model in learned.models]
        again = _repeats(covariates[train], value[train], covariates[out], settings, seed + part, learned)
        for k, level in enumerate(LEVELS):
            held[k, out] = covered(draws, value[out], level)
            tail = (1 - level) / 2
            width[k, out] = np.diff(np.quantile(draws, [tail, 1 - tail], axis=0), axis=0)[0]
            low, high = (learned.back(e) for e in cv_plus(each, folds[0], learned.residuals, level))
            plus[k, out] = (value[out] >= low) & (value[out] <= high)
            middle, half = again.mean(axis=0), NORMAL[level] * again.std(axis=0, ddof=1)
            repeats[k, out] = np.abs(value[out] - middle) <= half
    return HeldOut(predicted, predictor, held, plus, repeats, width)


def _repeats(x: Floats, value: Floats, there: Floats, settings: LearnSettings, seed: int, learned: Learned) -> Floats:
    """Predictions of fits that differ only in their bags, in the unit of the target."""
    y = np.log(value) if learned.transform == "log" else value
    fits = [fit_trees(x, y, settings.trees, seed + 7919 * k) for k in range(REPEATS_OF_PAPER)]
    return learned.back(np.array([predict(fit, there) for fit in fits]))
