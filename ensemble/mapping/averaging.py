"""Averages of several models of one quantity, and what their disagreement adds to its uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

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


def stacked_weights(predictions: ArrayLike, observed: ArrayLike) -> Floats:
    """Weights not below 0 that sum to 1 and make the average of models meet observations best.

    Stacking of Breiman (1996, Mach. Learn. 24, doi 10.1007/BF00117832): predictions must be of models that did not see
    the observation. The sum is held by a heavily weighted row of non-negative least squares.

    Args:
        predictions: ``(model, sample)``.
        observed: ``(sample,)``.
    """
    value, wanted = np.asarray(predictions, float), np.asarray(observed, float)
    heavy = 1e4 * np.abs(value).max() * np.sqrt(value.shape[1])
    found = nnls(np.vstack([value.T, np.full(len(value), heavy)]), np.append(wanted, heavy))[0]
    return found / found.sum()
