"""Cross-validation: random folds repeated, and folds of spatial blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.keys import host_seed
from ensemble.mapping.learning.trees import TreeSettings, fit_trees, predict, split_gain

Floats = NDArray[np.floating[Any]]
Folds = NDArray[np.int64]


def random_folds(place: ArrayLike, folds: int, seed: int, repeat: int) -> Folds:
    """``(sample,)`` fold of each sample, in parts as equal as possible; samples at one place stay together.

    Args:
        place: ``(sample, axis)``; only whether two are the same counts.
        folds: how many.
        seed: of the study.
        repeat: number of the division.

    Raises:
        ValueError: fewer places than folds.
    """
    distinct, where = np.unique(np.asarray(place, float), axis=0, return_inverse=True)
    if len(distinct) < folds:
        raise ValueError(f"{len(distinct)} sampled places are fewer than {folds} folds")
    order = np.random.default_rng([*host_seed(seed, "random folds"), repeat]).permutation(len(distinct))
    part = np.empty(len(distinct), np.int64)
    part[order] = np.arange(len(distinct)) % folds
    return part[where.ravel()]


def block_folds(place: ArrayLike, side: float, folds: int, seed: int, repeat: int) -> Folds:
    """``(sample,)`` fold of each sample; all samples of one spatial block are in the same fold.

    Blocks are the cells of a lattice of cubes in the coordinates, laid with a random offset; the largest blocks are
    dealt first, each to the fold that has the fewest samples.

    Args:
        place: ``(sample, axis)``, km.
        side: of a block, km.
        folds, seed, repeat: as in :func:`random_folds`.

    Raises:
        ValueError: there are fewer blocks than folds.
    """
    where = np.asarray(place, float)
    rng = np.random.default_rng([*host_seed(seed, "block folds"), repeat])
    cell = np.floor((where - where.min(axis=0)) / side + rng.uniform(size=where.shape[1])).astype(np.int64)
    _, block, count = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    if len(count) < folds:
        raise ValueError(f"the samples lie in {len(count)} blocks of {side:g} km, fewer than {folds} folds")
    held, fold_of = np.zeros(folds, np.int64), np.empty(len(count), np.int64)
    for one in np.lexsort((rng.uniform(size=len(count)), -count)):
        fold_of[one] = np.argmin(held)
        held[fold_of[one]] += count[one]
    return fold_of[block.ravel()]


class CrossValidation(NamedTuple):
    """Models that never saw a part of the samples.

    Args:
        folds: ``(repeat, sample)``.
        predictions: ``(repeat, sample)`` of each sample by the model that did not see it.
        gains: ``(repeat, fold, covariate)`` share of the fall in squared error.
        shuffled: ``(repeat, covariate, sample)`` predictions of unseen samples after that covariate was exchanged
            between them; empty where this was not asked for.
        models: ``(repeat, fold)`` fitted models of the first ``keep`` repeats.
    """

    folds: Folds
    predictions: Floats
    gains: Floats
    shuffled: Floats
    models: tuple[tuple[Any, ...], ...]


def cross_validate(
    x: ArrayLike,
    y: ArrayLike,
    settings: TreeSettings,
    folds: Folds,
    seed: int,
    keep: int = 0,
    threads: int = 1,
    shuffle: bool = False,
) -> CrossValidation:
    """Fit every model of every repeat.

    Args:
        x: ``(sample, covariate)``.
        y: ``(sample,)``.
        settings: of the trees.
        folds: ``(repeat, sample)``, numbered from 0.
        seed: of the bags; every model has its own.
        keep: repeats whose models are kept.
        threads: models fitted at the same time.
        shuffle: also predict with each covariate exchanged between the unseen samples (permutation importance).
    """
    covariates, target = np.asarray(x, float), np.asarray(y, float)
    repeats, parts = len(folds), int(folds.max()) + 1

    def one(job: tuple[int, int]) -> tuple[NDArray[np.intp], Floats, Floats, Floats, Any]:
        repeat, part = job
        out = np.flatnonzero(folds[repeat] == part)
        train = folds[repeat] != part
        model = fit_trees(covariates[train], target[train], settings, _seed(seed, repeat, part))
        kept = model if repeat < keep else None
        unlike = _shuffled(model, covariates[out], _seed(seed, repeat, part)) if shuffle else np.empty((0, len(out)))
        return out, predict(model, covariates[out]), split_gain(model), unlike, kept

    jobs = [(repeat, part) for repeat in range(repeats) for part in range(parts)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(one, jobs))
    predictions, gains = np.empty(folds.shape), np.empty((repeats, parts, covariates.shape[1]))
    shuffled = np.empty((repeats, covariates.shape[1] if shuffle else 0, len(target)))
    models: list[list[Any]] = [[] for _ in range(keep)]
    for (repeat, part), (out, predicted, gain, unlike, model) in zip(jobs, found, strict=True):
        predictions[repeat, out] = predicted
        shuffled[repeat][:, out] = unlike
        gains[repeat, part] = gain
        if repeat < keep:
            models[repeat].append(model)
    return CrossValidation(folds, predictions, gains, shuffled, tuple(tuple(m) for m in models))


def _shuffled(model: Any, x: Floats, seed: int) -> Floats:
    """Predictions ``(covariate, sample)`` with one covariate at a time exchanged between the samples."""
    order = np.random.default_rng(seed).permutation(len(x))
    many = np.repeat(x[None], x.shape[1], axis=0)
    for k in range(x.shape[1]):
        many[k, :, k] = x[order, k]
    return predict(model, many.reshape(-1, x.shape[1])).reshape(x.shape[1], -1)


def permutation_importance(observed: ArrayLike, found: CrossValidation) -> Floats:
    """``(repeat, covariate)`` rise of the squared error by exchanging a covariate, as a share of the variance."""
    y = np.asarray(observed, float)
    plain = ((found.predictions - y) ** 2).mean(axis=1)
    return (((found.shuffled - y) ** 2).mean(axis=2) - plain[:, None]) / y.var()


def _seed(seed: int, repeat: int, part: int) -> int:
    entropy = [*host_seed(seed, "bags"), repeat, part]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] % (2**31))
