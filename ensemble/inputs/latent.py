"""From a stated correlation to the correlation of the normal scores behind it, and back.

Spearman's rank correlation of a Gaussian copula is 6/pi arcsin(r/2) whatever the marginals (Kruskal 1958,
J. Am. Stat. Assoc. 53, 814-861). Pearson's depends on them. With each quantile function expanded in
normalised Hermite polynomials of its score, x = sum a_k h_k(z), Mehler's formula gives

    corr(r) = sum_{k>=1} a_k b_k r^k / (sd_a sd_b),

which is solved for r (the NORTA problem: Cario & Nelson 1997; Xiao 2014, Probab. Eng. Mech. 38, 57-66).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import optimize, special

from ensemble.inputs.distributions import Distribution
from ensemble.inputs.tabulated import Atoms
from ensemble.inputs.truncation import UNIT_RULE

# Terms of the expansion; steps of two discrete marginals fall off slowly and get more.
_TERMS, _TERMS_OF_STEPS = 256, 1000
# Trapezoidal rule over the scores: spectrally accurate for smooth quantile functions.
_SCORES = np.linspace(-14.0, 14.0, 2801)
_DENSITY = np.exp(-0.5 * _SCORES**2) / np.sqrt(2.0 * np.pi)


def latent_from_rank(rank: float) -> float:
    """Correlation of the scores for a Spearman rank correlation of continuous marginals."""
    return 2.0 * float(np.sin(np.pi * rank / 6.0))


def rank_from_latent(latent: float) -> float:
    """Inverse of :func:`latent_from_rank`."""
    return 6.0 / np.pi * float(np.arcsin(latent / 2.0))


class PearsonCurve:
    """Pearson correlation of two marginals as a function of the correlation of their scores.

    Rising from the lowest to the highest value that any dependence of these marginals can have (the
    Frechet bounds, reached at -1 and 1). Accurate to better than 1e-5.

    Args:
        first, second: marginals, each one number (not one a site) with a mean and an sd.
    """

    def __init__(self, first: Distribution, second: Distribution) -> None:
        both_steps = isinstance(first.law, Atoms) and isinstance(second.law, Atoms)
        terms = _TERMS_OF_STEPS if both_steps else _TERMS
        product = _hermite(first, terms) * _hermite(second, terms) / float(first.sd * second.sd)
        signs = (-1.0) ** np.arange(1, terms + 1)
        # What is left beyond the last term is put into the next odd and even power, so both ends are exact.
        high = _coupled(first, second, False) - product.sum()
        low = _coupled(first, second, True) - (product * signs).sum()
        odd, even = (high - low) / 2.0, (high + low) / 2.0
        last = (odd, even) if terms % 2 == 0 else (even, odd)
        self._coefficients = np.concatenate([[0.0], product, last])

    def at(self, latent: float) -> float:
        """Pearson correlation at a correlation of the scores, -1 to 1."""
        return float(np.polynomial.polynomial.polyval(latent, self._coefficients))

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest attainable Pearson correlation."""
        return self.at(-1.0), self.at(1.0)

    def solve(self, pearson: float) -> float:
        """Correlation of the scores for a Pearson correlation inside :attr:`range`."""
        return float(optimize.brentq(lambda r: self.at(r) - pearson, -1.0, 1.0, xtol=1e-14))  # pyright: ignore


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
