"""What a map misses: the distribution of cross-validated residuals and how they are alike in space.

A residual here is observed minus the prediction of models that did not see the sample, so it holds everything that
will be wrong at a place without a sample: what the covariates do not explain, the error of the fitted trees, and
noise. Nothing is added to it afterwards, so nothing is counted twice.

Residuals are divided by their local scale, taken to normal scores by their ranks, and the scores are a Gaussian field
with an unknown mean, one for each class of land where the study names classes. It has three parts: one that is alike
in space, one that is alike where covariates are (what the fitted trees get wrong of a kind of land, they get wrong
wherever it lies), and a nugget. Their shares, ranges and variance are not taken as known: many combinations are
weighed by the restricted likelihood (Patterson & Thompson 1971, doi 10.1093/biomet/58.3.545), and every realisation
draws its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import ndtri
from scipy.stats import rankdata

from ensemble.keys import host_seed

Floats = NDArray[np.floating[Any]]

RANGES = 7  # tried, from half the typical distance of neighbours to half of the region
NUGGETS = (0.03, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
ALIKE = (0.0, 0.1, 0.25, 0.4, 0.6)
REACHES = (0.3, 1.0, 3.0)  # tried, as multiples of the typical distance between the covariates of samples
LIKELIHOOD_SAMPLES = 600  # of more samples, this many chosen at random weigh the parameters


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
        range: l of exp(-h/l) of the part that is alike in space, km.
        nugget: share of the variance that no neighbour shares.
        variance: of the scores.
        alike: share of the variance that is alike where covariates are: the error of the fitted trees.
        reach: range of that part, a Matérn function of smoothness 3/2, in weighted covariates.
    """

    range: float
    nugget: float
    variance: float = 1.0
    alike: float = 0.0
    reach: float = 1.0

    @property
    def spatial(self) -> float:
        """Share of the variance that is alike in space."""
        return 1 - self.nugget - self.alike

    def smooth(self, distance: Floats, unlike: Floats) -> Floats:
        """Correlation without nugget from distances in space (km) and between weighted covariates, of one shape."""
        near = self.spatial * np.exp(-distance / distance.dtype.type(self.range))
        if self.alike == 0:
            return near
        h = unlike * unlike.dtype.type(np.sqrt(3) / self.reach)
        return near + self.alike * (1 + h) * np.exp(-h)


class Places(NamedTuple):
    """Where samples or sites are.

    Args:
        km: ``(n, axis)`` in space.
        covariates: ``(n, covariate)`` weighted, so that a difference of 1 means as much in each.
        terms: ``(n, term)`` how the unknown mean at a place is made of unknown numbers; ``None`` for one number
            everywhere.
    """

    km: Floats
    covariates: Floats
    terms: Floats | None = None

    @property
    def mean_terms(self) -> Floats:
        """``(n, term)``."""
        return np.ones((len(self.km), 1)) if self.terms is None else self.terms

    def at(self, index: Any) -> Places:
        """These of the places."""
        return Places(self.km[index], self.covariates[index], None if self.terms is None else self.terms[index])

    def distances(self, other: Places) -> tuple[Floats, Floats]:
        """Distances ``(n, m)`` in space and between covariates, in the precision of these places."""
        pairs = ((self.km, other.km), (self.covariates, other.covariates))
        return tuple(cdist(a, b).astype(a.dtype, copy=False) for a, b in pairs)  # type: ignore[return-value]


class FieldPosterior(NamedTuple):
    """Weights of a list of parameters.

    Args:
        candidates: parameters, variance apart.
        weights: ``(candidate,)``, sum to 1.
        squares: ``(candidate,)`` generalised sum of squares around the mean; divided by a chi-square draw with
            ``degrees`` degrees of freedom it is the variance.
        degrees: samples less unknown means.
    """

    candidates: tuple[FieldParameters, ...]
    weights: Floats
    squares: Floats
    degrees: int

    @property
    def best(self) -> FieldParameters:
        """The most likely parameters."""
        k = int(np.argmax(self.weights))
        return self.candidates[k]._replace(variance=float(self.squares[k]) / self.degrees)

    def mean(self, name: str) -> float:
        """Posterior mean of one of the parameters."""
        return float(self.weights @ np.array([getattr(c, name) for c in self.candidates]))

    def draw(self, count: int, seed: int, stream: str) -> tuple[FieldParameters, ...]:
        """Parameters of ``count`` realisations: a systematic sample of the weights, in random order."""
        rng = np.random.default_rng(host_seed(seed, stream))
        ends = np.cumsum(self.weights)
        found = np.searchsorted(ends / ends[-1], (np.arange(count) + rng.uniform()) / count)
        chosen = rng.permutation(np.minimum(found, ends.size - 1))
        variance = self.squares[chosen] / rng.chisquare(self.degrees, size=count)
        return tuple(self.candidates[k]._replace(variance=float(v)) for k, v in zip(chosen, variance, strict=True))


def field_posterior(places: Places, scores: ArrayLike, seed: int = 0) -> FieldPosterior:
    """Weigh parameters by the restricted likelihood of the scores.

    Ranges are alike in the logarithm beforehand, shares in themselves.

    Args:
        places: of the samples.
        scores: ``(sample,)``.
        seed: of the choice of samples where there are more than 600.
    """
    z = np.asarray(scores, float)
    if len(z) > LIKELIHOOD_SAMPLES:
        some = np.random.default_rng(host_seed(seed, "likelihood samples")).permutation(len(z))[:LIKELIHOOD_SAMPLES]
        places, z = places.at(some), z[some]
    distance, unlike = places.distances(places)
    apart = distance + np.where(distance > 0, 0.0, np.inf)
    near = max(float(np.median(apart.min(axis=1))) / 2, 1e-6)
    far = max(float(np.linalg.norm(np.ptp(places.km, axis=0))) / 2, 4 * near)
    typical = float(np.median(unlike[unlike > 0])) if (unlike > 0).any() else 0.0
    reaches = [typical * r for r in REACHES] if typical > 0 else []
    candidates = tuple(_candidates(np.geomspace(near, far, RANGES), reaches))
    terms = places.mean_terms[:, (places.mean_terms > 0).any(axis=0)]  # a class may have no sample among the chosen
    found = np.array([_likelihood(c.smooth(distance, unlike), c.nugget, terms, z) for c in candidates])
    weights = np.exp(found[:, 0] - found[:, 0].max())
    return FieldPosterior(candidates, weights / weights.sum(), found[:, 1], len(z) - terms.shape[1])


def _candidates(ranges: Floats, reaches: Sequence[float]) -> Iterator[FieldParameters]:
    """Every combination of ranges and shares; a share of 0 needs no range, and stands for all of them by its weight."""
    for length in ranges:
        for nugget in NUGGETS:
            for alike in ALIKE:
                if nugget + alike > 1:
                    continue
                for reach in reaches if alike else [1.0] * bool(alike == 0):
                    yield FieldParameters(float(length), nugget, 1.0, alike, float(reach))


def _likelihood(correlation: Floats, nugget: float, terms: Floats, z: Floats) -> tuple[float, float]:
    """Restricted log likelihood with the variance at its best, and the generalised sum of squares."""
    correlation[np.diag_indices_from(correlation)] += nugget
    try:
        lower = cholesky(correlation, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return -np.inf, 1.0
    white = solve_triangular(lower, np.column_stack([terms, z]), lower=True, check_finite=False)
    means, triangle = np.linalg.qr(white[:, :-1])
    data = white[:, -1]
    squares = float(data @ data - ((data @ means) ** 2).sum())
    log_determinant = 2 * float(np.log(np.diag(lower)).sum() + np.log(np.abs(np.diag(triangle))).sum())
    return -0.5 * (log_determinant + (len(z) - terms.shape[1]) * np.log(squares)), squares


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
    far, value = (np.bincount(bin_of[kept], item[kept], bins) / count for item in (distance, half))
    return Variogram(np.where(pairs > 0, far, np.nan), np.where(pairs > 0, value, np.nan), pairs)
