"""From a stated correlation to the correlation of the normal scores behind it, and back.

Spearman's rank correlation of a Gaussian copula is 6/pi arcsin(r/2) whatever the marginals (Kruskal 1958,
J. Am. Stat. Assoc. 53, 814-861). Pearson's depends on them. With each quantile function expanded in
normalised Hermite polynomials of its score, x = sum a_k h_k(z), Mehler's formula gives

    corr(r) = sum_{k>=1} a_k b_k r^k / (sd_a sd_b),

which is solved for r (the NORTA problem: Cario & Nelson 1997; Xiao 2014, Probab. Eng. Mech. 38, 57-66).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from ensemble.inputs.distributions import Distribution
from ensemble.inputs.tabulated import Atoms
from ensemble.inputs.truncation import UNIT_RULE

# Terms of the expansion; steps of two discrete marginals fall off slowly and get more.
_TERMS, _TERMS_OF_STEPS = 256, 1000
# Pairs of steps up to which the covariance of two discrete marginals is integrated instead.
_PAIRS_OF_STEPS = 64 * 64
# Trapezoidal rule over the scores: spectrally accurate for smooth quantile functions.
_SCORES = np.linspace(-14.0, 14.0, 2801)
_DENSITY = np.exp(-0.5 * _SCORES**2) / np.sqrt(2.0 * np.pi)


def latent_from_rank(rank: float) -> float:
    """Correlation of the scores for a Spearman rank correlation of continuous marginals."""
    return 2.0 * float(np.sin(np.pi * rank / 6.0))


def rank_from_latent(latent: float) -> float:
    """Inverse of :func:`latent_from_rank`."""
    return 6.0 / np.pi * float(np.arcsin(latent / 2.0))


@dataclass(frozen=True)
class PearsonCurve:
    """Pearson correlation of two marginals as a function of the correlation of their scores.

    Args:
        inside: the curve between -1 and 1.
        range: lowest and highest value that any dependence of these marginals can have (the Frechet
            bounds), reached at -1 and 1.
    """

    inside: Callable[[float], float]
    range: tuple[float, float]

    def at(self, latent: float) -> float:
        """Pearson correlation at a correlation of the scores, -1 to 1."""
        if abs(latent) == 1.0:
            return self.range[0] if latent < 0.0 else self.range[1]
        return float(self.inside(latent))

    def solve(self, pearson: float) -> float:
        """Correlation of the scores for a Pearson correlation inside :attr:`range`."""
        return float(optimize.root_scalar(lambda r: self.at(r) - pearson, bracket=(-1.0, 1.0), xtol=1e-14).root)


def pearson_curve(first: Distribution, second: Distribution) -> PearsonCurve:
    """The curve of two marginals, to 1e-6 (1e-4 for two discrete ones of more than 64 values each).

    Args:
        first, second: marginals, each one number (not one a site) with a mean and an sd above 0.
    """
    ends = _coupled(first, second, True), _coupled(first, second, False)
    steps = [law for law in (first.law, second.law) if isinstance(law, Atoms)]
    scale = float(first.sd * second.sd)
    if len(steps) == 2 and len(steps[0].labels) * len(steps[1].labels) <= _PAIRS_OF_STEPS:
        covariance = _steps_covariance(steps[0], steps[1])
        return PearsonCurve(lambda latent: covariance(latent) / scale, ends)
    series = _close(_mehler(first, second, _TERMS_OF_STEPS if len(steps) == 2 else _TERMS) / scale, *ends)
    return PearsonCurve(lambda latent: float(np.polynomial.polynomial.polyval(latent, series)), ends)


def _mehler(first: Distribution, second: Distribution, terms: int) -> np.ndarray:
    """Covariance as a power series in the correlation of the scores; coefficients from power 0."""
    return np.concatenate([[0.0], _hermite(first, terms) * _hermite(second, terms)])


def _close(series: np.ndarray, low: float, high: float) -> np.ndarray:
    """Put what is left beyond the last term into the next two powers, so that both ends are exact."""
    count = len(series)
    left_high = high - series.sum()
    left_low = low - (series * (-1.0) ** np.arange(count)).sum()
    even, odd = (left_high + left_low) / 2.0, (left_high - left_low) / 2.0
    return np.concatenate([series, (even, odd) if count % 2 == 0 else (odd, even)])


def _steps_covariance(first: Atoms, second: Atoms) -> Callable[[float], float]:
    """Covariance of two step functions of correlated scores.

    Each pair of steps adds its jumps times P(both above) - P(above) P(above), which is the integral of the
    bivariate normal density at the two thresholds over the correlation sin(angle) (Drezner & Wesolowsky
    1990, J. Stat. Comput. Simul. 35, 101-107).
    """
    h, k = special.ndtri(first.steps[:-1])[:, None, None], special.ndtri(second.steps[:-1])[None, :, None]
    jumps = np.diff(first.labels)[:, None] * np.diff(second.labels)[None, :]
    node, _, weight = UNIT_RULE

    def covariance(latent: float) -> float:
        angle = float(np.arcsin(latent))
        sine, cosine = np.sin(angle * node), np.cos(angle * node)
        density = np.exp(-(h * h + k * k - 2.0 * h * k * sine) / (2.0 * cosine**2)) / (2.0 * np.pi)
        return float((jumps * (density @ weight)).sum() * angle)

    return covariance


@lru_cache(maxsize=2)
def _polynomials(terms: int) -> np.ndarray:
    """Normalised Hermite polynomials h_1 ... h_terms on the score grid, times the density."""
    return _hermite_values(_SCORES, terms)[1:] * _DENSITY


def _hermite_values(z: np.ndarray, terms: int) -> np.ndarray:
    """h_0 ... h_terms at ``z``; sqrt(k+1) h_{k+1} = z h_k - sqrt(k) h_{k-1}."""
    values = np.empty((terms + 1, len(z)))
    values[0], values[1] = 1.0, z
    for k in range(1, terms):
        values[k + 1] = (z * values[k] - np.sqrt(k) * values[k - 1]) / np.sqrt(k + 1.0)
    return values


def _hermite(marginal: Distribution, terms: int) -> np.ndarray:
    """Coefficients a_1 ... a_terms of the quantile function of a score."""
    law = marginal.law
    if not isinstance(law, Atoms):
        values = marginal.from_score(_SCORES)
        return _polynomials(terms) @ values * (_SCORES[1] - _SCORES[0])
    thresholds, jumps = special.ndtri(law.steps[:-1]), np.diff(law.labels)
    density = np.exp(-0.5 * thresholds**2) / np.sqrt(2.0 * np.pi)
    below = _hermite_values(thresholds, terms)[:-1] / np.sqrt(np.arange(1, terms + 1))[:, None]
    return below @ (density * jumps)


def _coupled(first: Distribution, second: Distribution, opposed: bool) -> float:
    """Pearson correlation when both move together, or one against the other."""
    steps = first.law.steps if isinstance(first.law, Atoms) else np.array([1.0])
    other = second.law.steps if isinstance(second.law, Atoms) else np.array([1.0])
    ends = np.unique(np.concatenate([[0.0], steps, 1.0 - other if opposed else other, [1.0]]))
    start, width = ends[:-1, None], np.diff(ends)[:, None]
    node, complement, weight = UNIT_RULE
    p, s = start + width * node, (1.0 - ends[1:, None]) + width * complement
    x = first.law.quantile(p, s) - first.mean
    y = second.law.quantile(s, p) if opposed else second.law.quantile(p, s)
    return float((width * weight * x * (y - second.mean)).sum() / (first.sd * second.sd))
