"""What a map misses: the distribution of cross-validated residuals and how they are alike in space.

A residual here is observed minus the prediction of models that did not see the sample, so it holds everything that
will be wrong at a place without a sample: what the covariates do not explain, the error of the fitted trees, and
noise. Nothing is added to it afterwards, so nothing is counted twice.

Residuals are divided by their local scale, taken to normal scores by their ranks, and the scores are a Gaussian field
with an unknown constant mean. The range, nugget and variance of the field are not taken as known: a grid of
them is weighed by the restricted likelihood (Patterson & Thompson 1971, doi 10.1093/biomet/58.3.545), and every
realisation draws its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.special import ndtri
from scipy.stats import rankdata

from ensemble.inputs.covariance import SpatialCorrelation
from ensemble.keys import host_seed

Floats = NDArray[np.floating[Any]]

RANGES = 12  # of the grid, from the typical distance of neighbours to half of the region
NUGGETS = np.array([0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])
LIKELIHOOD_SAMPLES = 1000  # of more samples, this many chosen at random weigh the grid


class Scores(NamedTuple):
    """Normal scores of residuals, and the way back.

    Args:
        scores: ``(sample,)`` normal scores.
        levels: ``(level,)`` sorted distinct residuals.
        level_scores: ``(level,)`` their scores.
        sd: standard deviation of the residuals; residuals go on with this slope beyond the largest.
    """

    scores: Floats
    levels: Floats
    level_scores: Floats
    sd: float

    def residuals(self, scores: ArrayLike) -> Floats:
        """Residuals of normal scores of any shape; linear between the samples'."""
        z = np.asarray(scores, float)
        inside = np.interp(z, self.level_scores, self.levels)
        beyond = z - np.clip(z, self.level_scores[0], self.level_scores[-1])
        return inside + self.sd * beyond


def normal_scores(residuals: ArrayLike) -> Scores:
    """Scores ``ndtri((rank - 1/2) / n)`` of residuals ``(sample,)``; equal residuals share a score."""
    value = np.asarray(residuals, float)
    scores = ndtri((rankdata(value) - 0.5) / len(value))
    levels, first = np.unique(value, return_index=True)
    return Scores(scores, levels, scores[first], float(value.std(ddof=1)))


class FieldParameters(NamedTuple):
    """Parameters of the field of scores that one realisation uses.

    Args:
        range: l of exp(-h/l), km.
        nugget: share of the variance that no neighbour shares.
        variance: of the scores.
    """

    range: float
    nugget: float
    variance: float

    def correlation(self) -> SpatialCorrelation:
        """Correlation of the part that neighbours share."""
        return SpatialCorrelation(range=self.range)


class FieldPosterior(NamedTuple):
    """Weights of a grid of ranges and nuggets.

    Args:
        ranges: ``(range,)`` km.
        nuggets: ``(nugget,)``.
        weights: ``(range, nugget)``, sum to 1.
        squares: ``(range, nugget)`` generalised sum of squares around the mean; divided by a chi-square draw with
            ``degrees`` degrees of freedom it is the variance.
        degrees: samples less one.
    """

    ranges: Floats
    nuggets: Floats
    weights: Floats
    squares: Floats
    degrees: int

    @property
    def best(self) -> FieldParameters:
        """The most likely parameters of the grid."""
        i, j = np.unravel_index(int(np.argmax(self.weights)), self.weights.shape)
        return FieldParameters(
            float(self.ranges[i]), float(self.nuggets[j]), float(self.squares[i, j]) / self.degrees
        )

    def draw(self, count: int, seed: int, stream: str) -> tuple[FieldParameters, ...]:
        """Parameters of ``count`` realisations: a systematic sample of the weights, in random order."""
        rng = np.random.default_rng(host_seed(seed, stream))
        ends = np.cumsum(self.weights.ravel())
        found = np.searchsorted(ends / ends[-1], (np.arange(count) + rng.uniform()) / count)
        chosen = rng.permutation(np.minimum(found, ends.size - 1))
        i, j = np.unravel_index(chosen, self.weights.shape)
        variance = self.squares[i, j] / rng.chisquare(self.degrees, size=count)
        return tuple(
            FieldParameters(float(self.ranges[a]), float(self.nuggets[b]), float(v))
            for a, b, v in zip(i, j, variance, strict=True)
        )


def field_posterior(place: ArrayLike, scores: ArrayLike, seed: int = 0) -> FieldPosterior:
    """Weigh ranges and nuggets by the restricted likelihood of the scores.

    Ranges are alike in the logarithm beforehand, nuggets in themselves.

    Args:
        place: ``(sample, axis)`` km.
        scores: ``(sample,)``.
        seed: of the choice of samples where there are more than 1000.
    """
    where, z = np.asarray(place, float), np.asarray(scores, float)
    if len(z) > LIKELIHOOD_SAMPLES:
        some = np.random.default_rng(host_seed(seed, "likelihood samples")).permutation(len(z))[:LIKELIHOOD_SAMPLES]
        where, z = where[some], z[some]
    distance = np.linalg.norm(where[:, None] - where[None], axis=-1)
    apart = distance + np.where(distance > 0, 0.0, np.inf)
    near = max(float(np.median(apart.min(axis=1))) / 2, 1e-6)
    far = max(float(np.linalg.norm(np.ptp(where, axis=0))) / 2, 4 * near)
    ranges = np.geomspace(near, far, RANGES)
    likelihood, squares = np.empty((2, RANGES, len(NUGGETS)))
    for i, length in enumerate(ranges):
        values, vectors = eigh(np.exp(-distance / length))
        one, turned = vectors.sum(axis=0), z @ vectors
        for j, nugget in enumerate(NUGGETS):
            spectrum = (1 - nugget) * np.maximum(values, 0.0) + nugget
            weight = one**2 / spectrum
            mean = float((one * turned / spectrum).sum() / weight.sum())
            squares[i, j] = (((turned - mean * one) ** 2) / spectrum).sum()
            likelihood[i, j] = -0.5 * (
                np.log(spectrum).sum() + np.log(weight.sum()) + (len(z) - 1) * np.log(squares[i, j])
            )
    weights = np.exp(likelihood - likelihood.max())
    return FieldPosterior(ranges, NUGGETS, weights / weights.sum(), squares, len(z) - 1)


class Variogram(NamedTuple):
    """Half mean squared differences of pairs by distance.

    Args:
        distance: ``(bin,)`` mean distance, km.
        value: ``(bin,)``.
        pairs: ``(bin,)``.
    """

    distance: Floats
    value: Floats
    pairs: NDArray[np.int64]


def variogram(place: ArrayLike, values: ArrayLike, bins: int = 12) -> Variogram:
    """Matheron's estimate in bins of equal width up to half of the region; at most 2000 samples are used."""
    where, z = np.asarray(place, float)[:2000], np.asarray(values, float)[:2000]
    first, second = np.triu_indices(len(z), 1)
    distance = np.linalg.norm(where[first] - where[second], axis=-1)
    half = (z[first] - z[second]) ** 2 / 2
    edges = np.linspace(0, distance.max() / 2, bins + 1)
    bin_of = np.digitize(distance, edges) - 1
    kept = bin_of < bins
    pairs = np.bincount(bin_of[kept], minlength=bins)
    count = np.maximum(pairs, 1)
    means = (np.bincount(bin_of[kept], item[kept], bins) / count for item in (distance, half))
    return Variogram(*(np.where(pairs > 0, mean, np.nan) for mean in means), pairs)
