"""Settings of the trees chosen by cross-validation, and the skill of choosing them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ensemble.mapping.learning.trees import TreeSettings, fit_trees, predict
from ensemble.mapping.learning.validation import cross_validate, random_folds

Floats = NDArray[np.floating[Any]]

INNER_FOLDS = 5


class Tuned(NamedTuple):
    """Chosen settings.

    Args:
        settings: best by cross-validation of all samples.
        nested: ``(sample,)`` prediction of each sample by settings chosen and trees fitted without it.
        chosen: settings chosen in each outer fold.
    """

    settings: TreeSettings
    nested: Floats
    chosen: tuple[TreeSettings, ...]


def candidates(base: TreeSettings, **levels: Sequence[float]) -> tuple[TreeSettings, ...]:
    """Every combination of the given levels; settings without levels stay as they are."""
    tried = {name: list(values) for name, values in levels.items() if values}
    return tuple(base._replace(**dict(zip(tried, row, strict=True))) for row in itertools.product(*tried.values()))


def tune(
    x: ArrayLike,
    y: ArrayLike,
    place: ArrayLike,
    tried: Sequence[TreeSettings],
    folds: NDArray[np.int64],
    seed: int,
    threads: int,
) -> Tuned:
    """Choose settings by nested cross-validation.

    The skill of ``nested`` is honest: no sample had a part in choosing the settings that predict it.

    Args:
        x: ``(sample, covariate)``.
        y: ``(sample,)`` on the transformed scale.
        place: ``(sample, axis)``.
        tried: settings to choose from.
        folds: ``(sample,)`` outer folds.
        seed: of inner folds and bags.
        threads: models fitted at the same time.
    """
    covariates, target, where = np.asarray(x, float), np.asarray(y, float), np.asarray(place, float)

    def best(rows: NDArray[np.int64], number: int) -> TreeSettings:
        inner = random_folds(where[rows], INNER_FOLDS, seed, 1000 + number)[None]
        errors = []
        for settings in tried:
            found = cross_validate(covariates[rows], target[rows], settings, inner, seed + number, threads=threads)
            errors.append(float(((found.predictions[0] - target[rows]) ** 2).mean()))
        return tried[int(np.argmin(errors))]

    nested, chosen = np.empty(len(target)), []
    for part in range(int(folds.max()) + 1):
        train, out = np.flatnonzero(folds != part), np.flatnonzero(folds == part)
        chosen.append(best(train, part + 1))
        nested[out] = predict(fit_trees(covariates[train], target[train], chosen[-1], seed + part), covariates[out])
    return Tuned(best(np.arange(len(target)), 0), nested, tuple(chosen))
