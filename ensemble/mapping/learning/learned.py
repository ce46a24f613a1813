"""One target learned from samples: an averaged predictor, what it misses, and realisations of the truth.

The predictor is the mean of the models of a repeated cross-validation. The residual of a sample is taken from those
of these models that did not see it, so it says what the predictor misses where there is no sample. Bootstrap models
say where the fitted trees themselves are uncertain: their variance and what they leave unexplained make the local scale
of the residuals. A realisation is the predictor plus the scale times a conditional field of residuals. Where classes of
land are named, the residuals of each have a scale and a mean of their own: trees are wrong in one direction at the edge
of what was sampled, where a small class may lie as a whole, and its total would be too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.keys import host_seed
from ensemble.mapping.learning.residuals import FieldPosterior, Places, Scores, field_posterior, normal_scores
from ensemble.mapping.learning.trees import TreeSettings, TreeTables, fit_trees, predict, tree_tables
from ensemble.mapping.learning.validation import CrossValidation, cross_validate

Floats = NDArray[np.floating[Any]]
Transform = Literal["none", "log"]

SAMPLES_FOR_A_MEAN = 2  # of a class
SMALLEST_UNEXPLAINED = 0.2  # share of the residual variance that no place has less than
PRIOR_SAMPLES = 20  # for which the variance of all residuals counts beside that of a class


class Learned(NamedTuple):
    """A target learned from samples; everything but ``observed`` is on the transformed scale.

    Args:
        observed: ``(sample,)`` in the unit of the target.
        transform: ``log`` where the logarithm of the target is learned.
        validation: cross-validation whose models make the predictor.
        models: tables of these models.
        bootstraps: tables of models of samples drawn with replacement.
        residuals: ``(sample,)`` observed minus the mean prediction of models that did not see the sample.
        unexplained: ``(class + 1,)`` variance of the residuals that bootstraps do not explain: of each class with a mean
            of its own, and of land without one.
        scores: normal scores of residuals divided by their scale.
        weights: ``(covariate,)`` by which differences of covariates count, from their sd and importance.
        field: of the scores.
        classes: what share of the samples is of each class that has a mean of its own; empty for one mean.
    """

    observed: Floats
    transform: Transform
    validation: CrossValidation
    models: tuple[TreeTables, ...]
    bootstraps: tuple[TreeTables, ...]
    residuals: Floats
    unexplained: Floats
    scores: Scores
    weights: Floats
    field: FieldPosterior
    classes: dict[str, float]

    def mean(self, x: ArrayLike) -> Floats:
        """The predictor ``(pixel,)`` at ``x`` of ``(pixel, covariate)``."""
        return np.mean([model.predict(x) for model in self.models], axis=0)

    def model_variance(self, x: ArrayLike) -> Floats:
        """Variance of the bootstrap models ``(pixel,)``; 0 where there are none."""
        if not self.bootstraps:
            return np.zeros(len(np.asarray(x)))
        return np.var([model.predict(x) for model in self.bootstraps], axis=0, ddof=1)

    def scale(self, x: ArrayLike, classes: Sequence[str] = ()) -> Floats:
        """Local scale of the residuals ``(pixel,)`` at ``(pixel, covariate)``, of land of ``(pixel,)`` classes."""
        return np.sqrt(self.unexplained_at(classes) + self.model_variance(x))

    def unexplained_at(self, classes: Sequence[str] = ()) -> Floats:
        """The unexplained variance of land of ``(pixel,)`` classes; ``(1,)`` where there are none."""
        return self.unexplained[_class_numbers(classes, self.classes) if len(classes) else [-1]]

    def places(self, km: ArrayLike, x: ArrayLike, classes: Sequence[str] = ()) -> Places:
        """Places ``(n, axis)`` km with covariates ``(n, covariate)``, weighted for this target, of ``(n,)`` classes."""
        return _places(km, x, self.weights, classes, self.classes)

    def back(self, values: ArrayLike) -> Floats:
        """Values on the transformed scale in the unit of the target."""
        return np.exp(values) if self.transform == "log" else np.asarray(values, float)

    def realise(self, mean: ArrayLike, scale: ArrayLike, fields: ArrayLike) -> Floats:
        """Realisations ``(draw, pixel)`` in the unit of the target from conditional scores of that shape."""
        return self.back(np.asarray(mean) + np.asarray(scale) * self.scores.residuals(fields))


class LearnSettings(NamedTuple):
    """How a target is learned.

    Args:
        trees: settings of the trees.
        bootstraps: models of samples drawn with replacement; 0 for a constant scale.
        map_repeats: repeats of the cross-validation whose models make the predictor.
        threads: models fitted at the same time.
        shuffle: make what permutation importance needs.
    """

    trees: TreeSettings
    bootstraps: int = 20
    map_repeats: int = 2
    threads: int = 1
    shuffle: bool = False


def learn(
    x: ArrayLike,
    observed: ArrayLike,
    place: ArrayLike,
    folds: NDArray[np.int64],
    settings: LearnSettings,
    seed: int,
    transform: Transform = "none",
    classes: Sequence[str] = (),
) -> Learned:
    """Learn a target.

    Args:
        x: ``(sample, covariate)``.
        observed: ``(sample,)``, above 0 for ``transform`` log.
        place: ``(sample, axis)`` km.
        folds: ``(repeat, sample)``.
        settings: how.
        seed: of bags, bootstraps and the choice of samples for the likelihood.
        transform: ``log`` to learn the logarithm.
        classes: ``(sample,)`` class of land of each; empty for none.
    """
    covariates, value = np.asarray(x, float), np.asarray(observed, float)
    y = np.log(value) if transform == "log" else value
    keep = min(settings.map_repeats, len(folds))
    checked = cross_validate(covariates, y, settings.trees, folds, seed, keep, settings.threads, settings.shuffle)
    models = tuple(tree_tables(model) for repeat in checked.models for model in repeat)
    residuals = y - checked.predictions[:keep].mean(axis=0)
    bootstraps, unseen = _bootstrap(covariates, y, settings, seed)
    shares = class_shares(classes)
    unexplained = _unexplained(residuals, unseen, classes, shares)
    here = unexplained[_class_numbers(classes, shares)] if shares else unexplained
    scores = normal_scores(residuals / np.sqrt(here + unseen))
    weights = covariate_weights(covariates, checked.gains.mean(axis=(0, 1)))
    field = field_posterior(_places(place, covariates, weights, classes, shares), scores.scores, seed)
    return Learned(
        value, transform, checked, models, bootstraps, residuals, unexplained, scores, weights, field, shares
    )


def class_shares(classes: Sequence[str]) -> dict[str, float]:
    """Classes of samples that have a mean of their own, at least two samples each, and their shares of these samples."""
    names, counts = np.unique(np.asarray(classes, str), return_counts=True)
    enough = counts >= SAMPLES_FOR_A_MEAN
    return {str(n): float(c / counts[enough].sum()) for n, c in zip(names[enough], counts[enough], strict=True)}


def _places(
    km: ArrayLike, x: ArrayLike, weights: Floats, classes: Sequence[str], shares: Mapping[str, float]
) -> Places:
    """Places whose mean is that of their class, or the average over samples where the class has none."""
    where, weighted = np.asarray(km, float), np.asarray(x, float) * weights
    if not shares:
        return Places(where, weighted)
    rows = np.vstack([np.eye(len(shares)), list(shares.values())])
    return Places(where, weighted, rows[_class_numbers(classes, shares)])


def _class_numbers(classes: Sequence[str], shares: Mapping[str, float]) -> list[int]:
    """Number of each class among those with a mean of its own; their count where it has none."""
    number = {name: k for k, name in enumerate(shares)}
    return [number.get(name, len(shares)) for name in classes]


def _unexplained(residuals: Floats, unseen: Floats, classes: Sequence[str], shares: Mapping[str, float]) -> Floats:
    """Variance ``(class + 1,)`` that bootstrap models leave unexplained; that of a class is drawn towards that of all.

    Land uses differ in how much no covariate knows of them. A class is taken around its own mean, and the variance of
    all counts as ``PRIOR_SAMPLES`` more of its samples, so that a class of six samples says little of its own.
    """
    rest = residuals**2 - unseen
    whole = float((residuals**2).mean())
    every = max(float(rest.mean()), SMALLEST_UNEXPLAINED * whole)
    found, labels = [], np.asarray(classes, str)
    for name in shares:
        mine = labels == name
        degrees = int(mine.sum()) - 1
        own = float(((residuals[mine] - residuals[mine].mean()) ** 2).sum() - degrees * unseen[mine].mean())
        found.append(max((own + PRIOR_SAMPLES * every) / (degrees + PRIOR_SAMPLES), SMALLEST_UNEXPLAINED * every))
    return np.array([*found, every])


def covariate_weights(x: ArrayLike, importance: ArrayLike) -> Floats:
    """``(covariate,)`` importance relative to the largest, divided by the standard deviation of ``(sample, covariate)``."""
    sd, share = np.asarray(x, float).std(axis=0), np.asarray(importance, float)
    return np.where(sd > 0, share / max(float(share.max()), 1e-12), 0.0) / np.where(sd > 0, sd, 1.0)


def _bootstrap(x: Floats, y: Floats, settings: LearnSettings, seed: int) -> tuple[tuple[TreeTables, ...], Floats]:
    """Bootstrap models, and their variance at each sample over the models that did not see it."""
    if settings.bootstraps == 0:
        return (), np.zeros(len(y))

    def one(number: int) -> tuple[TreeTables, Floats]:
        rng = np.random.default_rng([*host_seed(seed, "bootstrap"), number])
        chosen = rng.integers(0, len(y), len(y))
        model = fit_trees(x[chosen], y[chosen], settings.trees, int(rng.integers(2**31)))
        return tree_tables(model), np.where(np.isin(np.arange(len(y)), chosen), np.nan, predict(model, x))

    with ThreadPoolExecutor(settings.threads) as pool:
        found = list(pool.map(one, range(settings.bootstraps)))
    predicted = np.array([item[1] for item in found])
    held = np.isfinite(predicted).sum(axis=0)
    whole = np.nanvar(np.where(held < 3, np.nan_to_num(predicted), predicted), axis=0) * held / np.maximum(held - 1, 1)
    known = np.where(held < 3, np.nan, whole)
    return tuple(item[0] for item in found), np.where(np.isnan(known), np.nanmean(known), known)
