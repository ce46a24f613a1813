"""A population of sites made from published statistics: moments and limits of each variable, and correlations.

Marginals are sinh-arcsinh curves (Jones & Pewsey 2009, Biometrika 96, 761-780, doi 10.1093/biomet/asp053) cut
at the published extremes and solved for the published mean, standard deviation, skewness and kurtosis; a
Gaussian copula joins them so that Pearson correlations are the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr, ndtri

from ensemble.inputs.copula import GaussianCopula, ImpossibleCorrelation, build_copula
from ensemble.inputs.distributions import Distribution, make_distribution
from ensemble.keys import host_seed

Floats = NDArray[np.floating[Any]]

KNOTS = 4001  # of the tabulated quantile function
IMPORTANCE = np.array([1000.0, 1000.0, 10.0, 1.0])  # of mean, sd (in sd), skewness and kurtosis in the fit


class Moments(NamedTuple):
    """Published statistics of one variable; kurtosis is Pearson's, 3 for a normal distribution."""

    minimum: float
    maximum: float
    mean: float
    sd: float
    skewness: float
    kurtosis: float


class Population(NamedTuple):
    """Marginals and copula of a synthetic population.

    Args:
        marginals: by name.
        copula: over the same names.
        adjusted: largest change that made the published correlations possible together (rounding of
            published correlations can make them contradict each other), 0 where none was needed.
    """

    marginals: dict[str, Distribution]
    copula: GaussianCopula
    adjusted: float


def moment_distribution(moments: Moments) -> Distribution:
    """Distribution with four moments between two limits.

    Mean and standard deviation are met to 1 % of the latter; skewness and kurtosis as nearly as the curve can
    (strongly skewed variables against a limit miss them: :func:`sample_moments` shows by how much).

    Args:
        moments: published statistics.

    Raises:
        ValueError: statistics that no distribution has, or that no curve of the family comes near.
    """
    low, high = ((limit - moments.mean) / moments.sd for limit in moments[:2])
    if not low < 0 < high or moments.kurtosis < moments.skewness**2 + 1:
        raise ValueError(
            f"no distribution has mean {moments.mean:g}, sd {moments.sd:g}, skewness {moments.skewness:g} and kurtosis "
            f"{moments.kurtosis:g} between {moments.minimum:g} and {moments.maximum:g}"
        )
    wanted = np.array([0.0, 1.0, moments.skewness, moments.kurtosis])
    probability = (np.arange(1500) + 0.5) / 1500

    def misfit(theta: Floats) -> Floats:
        value = _quantile(probability, theta, low, high)
        centred = value - value.mean()
        sd = max(float(np.sqrt((centred**2).mean())), 1e-9)
        shape = [float((centred**k).mean()) / sd**k for k in (3, 4)]
        return (np.array([value.mean(), sd, *shape]) - wanted) * IMPORTANCE

    starts = [
        np.array([0.0, 0.0, skew, tail]) for skew in (0.0, np.sign(moments.skewness)) for tail in (0.0, -0.5, 0.7)
    ]
    bounds = ([-30.0, -6.0, -6.0, -2.5], [30.0, 6.0, 6.0, 2.5])
    best = None
    for start in starts:
        found = least_squares(misfit, start, bounds=bounds, max_nfev=200)
        best = found if best is None or found.cost < best.cost else best
        if best.cost < 1e-4:
            break
    assert best is not None
    missed = misfit(best.x) / IMPORTANCE
    if np.abs(missed[:2]).max() > 0.01:
        raise ValueError(
            f"no curve between its limits has the mean and sd of {moments}; the best misses them by {missed[:2]} sd"
        )
    table = moments.mean + moments.sd * _quantile(np.linspace(0, 1, KNOTS), best.x, low, high)
    return make_distribution({"distribution": "empirical", "values": table.tolist()})


def sample_moments(values: ArrayLike) -> Moments:
    """The same statistics of a sample ``(n,)``."""
    value = np.asarray(values, float)
    z = (value - value.mean()) / value.std()
    return Moments(
        float(value.min()), float(value.max()), float(value.mean()), float(value.std(ddof=1)),
        float((z**3).mean()), float((z**4).mean()),
    )  # fmt: skip


def _quantile(probability: Floats, theta: Floats, low: float, high: float) -> Floats:
    """Quantile function of ``a + b sinh((arcsinh z + e) / d)`` of a normal z, cut to low..high (standardised)."""
    shift, scale, skew, tail = theta[0], np.exp(theta[1]), theta[2], np.exp(theta[3])
    limits = ndtr(np.sinh(tail * np.arcsinh((np.array([low, high]) - shift) / scale) - skew))
    cut = np.clip(limits[0] + probability * (limits[1] - limits[0]), 1e-300, 1 - 1e-16)
    value = shift + scale * np.sinh(np.clip((np.arcsinh(ndtri(cut)) + skew) / tail, -40, 40))
    return np.clip(value, low, high)


def make_population(moments: Mapping[str, Moments], correlations: Mapping[tuple[str, str], float]) -> Population:
    """Population from published statistics.

    Args:
        moments: of each variable.
        correlations: Pearson, by pair; pairs that are not named are uncorrelated.

    Raises:
        ValueError: statistics or correlations that are impossible even after the nearest adjustment.
    """
    marginals = {name: moment_distribution(item) for name, item in moments.items()}
    pairs = [(a, b, value, "pearson") for (a, b), value in correlations.items() if value != 0.0]
    try:
        return Population(marginals, build_copula(marginals, pairs), 0.0)
    except ImpossibleCorrelation as contradiction:
        nearest = contradiction.nearest
    moved = [(a, b, nearest.get((a, b), nearest.get((b, a), value)), kind) for a, b, value, kind in pairs]
    largest = max(abs(new[2] - old[2]) for new, old in zip(moved, pairs, strict=True))
    return Population(marginals, build_copula(marginals, moved), float(largest))


def draw_population(population: Population, sites: int, seed: int) -> dict[str, Floats]:
    """Sites of a population.

    Args:
        population: from :func:`make_population`.
        sites: how many.
        seed: of the draw.

    Returns:
        ``(site,)`` of each variable.
    """
    names = tuple(population.marginals)
    uniform = np.random.default_rng(host_seed(seed, "synthetic population")).uniform(size=(sites, len(names)))
    joined = population.copula.apply(np.clip(uniform, 1e-12, 1 - 1e-12))
    return {name: population.marginals[name].ppf(joined[:, k]) for k, name in enumerate(names)}
