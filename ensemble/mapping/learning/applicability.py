"""Where a learned map must not be trusted: unlike the samples, beyond their range, or far from them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

Floats = NDArray[np.floating[Any]]

PAIRS_FROM = 2000  # samples whose mean distance stands for that of all


class Applicability(NamedTuple):
    """Dissimilarity of places to the samples.

    Args:
        dissimilarity: ``(pixel,)`` distance to the nearest sample among weighted covariates, as a multiple of the mean
            distance between samples.
        threshold: largest dissimilarity of a sample to the samples of other folds that is no outlier.
        inside: ``(pixel,)`` within the area of applicability.
        extrapolated: ``(pixel,)`` number of covariates outside the range of the samples.
        distance: ``(pixel,)`` to the nearest sample, km.
    """

    dissimilarity: Floats
    threshold: float
    inside: NDArray[np.bool_]
    extrapolated: NDArray[np.int64]
    distance: Floats


def applicability(
    samples: ArrayLike,
    pixels: ArrayLike,
    importance: ArrayLike,
    folds: ArrayLike,
    sample_place: ArrayLike,
    pixel_place: ArrayLike,
) -> Applicability:
    """Area of applicability of Meyer & Pebesma (2021, Methods Ecol. Evol. 12, doi 10.1111/2041-210X.13650).

    Args:
        samples, pixels: ``(n, covariate)``.
        importance: ``(covariate,)`` weights, not negative.
        folds: ``(sample,)`` of the cross-validation that the map's skill comes from.
        sample_place, pixel_place: ``(n, axis)`` km.
    """
    x, there = np.asarray(samples, float), np.asarray(pixels, float)
    weight = np.maximum(np.asarray(importance, float), 0)
    centre, sd = x.mean(axis=0), x.std(axis=0)
    scale = weight / np.where(sd > 0, sd, 1.0)
    near, far = (x - centre) * scale, (there - centre) * scale
    some = near[:PAIRS_FROM]
    mean = float(np.linalg.norm(some[:, None] - some[None], axis=-1).sum() / (len(some) * (len(some) - 1)))
    part = np.asarray(folds)
    own = np.empty(len(x))
    for fold in np.unique(part):
        own[part == fold] = np.asarray(KDTree(near[part != fold]).query(near[part == fold])[0]) / mean
    first, third = np.quantile(own, [0.25, 0.75])
    threshold = float(own[own <= third + 1.5 * (third - first)].max())
    dissimilarity = np.asarray(KDTree(near).query(far)[0]) / mean
    beyond = (there < x.min(axis=0)) | (there > x.max(axis=0))
    distance = np.asarray(KDTree(np.asarray(sample_place, float)).query(np.asarray(pixel_place, float))[0])
    return Applicability(dissimilarity, threshold, dissimilarity <= threshold, beyond.sum(axis=1), distance)
