"""Averages of several models of one quantity, and what their disagreement adds to its uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


class ModelAverage(NamedTuple):
    """A weighted average over models.

    Args:
        mean: ``(...)`` weighted mean.
        between_sd: ``(...)`` weighted standard deviation of the models around it: the structural part.
        weights: ``(model,)`` that sum to one.
    """

    mean: Floats
    between_sd: Floats
    weights: Floats


def average_models(values: ArrayLike, weights: ArrayLike | None = None) -> ModelAverage:
    """Average over models, in equal parts or weighted by skill (each model's R2).

    Args:
        values: ``(model, ...)`` one quantity in one unit.
        weights: ``(model,)`` not negative, such as R2; equal if ``None``.

    Raises:
        ValueError: weights that are negative, all zero, or not one for each model.
    """
    value = np.asarray(values, float)
    weight = np.ones(len(value)) if weights is None else np.asarray(weights, float)
    if weight.shape != (len(value),) or (weight < 0).any() or weight.sum() == 0:
        raise ValueError(f"need {len(value)} weights of 0 or more that are not all 0, got {weight.tolist()}")
    share = weight / weight.sum()
    mean = np.tensordot(share, value, axes=1)
    return ModelAverage(mean, np.sqrt(np.tensordot(share, (value - mean) ** 2, axes=1)), share)
