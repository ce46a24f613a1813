"""A distribution between limits: the renormalised inverse, exact in both tails, and its moments.

With the parent's F and its complement S = 1 - F, the final quantile function between ``lower`` and
``upper`` is

    F^-1(F(lower) + u (F(upper) - F(lower))),

never the parent's quantile clipped to the limits. Every probability is carried together with its
complement, so that limits far out in either tail lose no digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats

# Double-exponential (tanh-sinh) rule on (0, 1): nodes p, complements s = 1 - p, weights. Takahasi & Mori
# (1974). The ends reach probabilities of 1e-37, so the tails of second moments are inside.
_T = np.linspace(-4.0, 4.0, 101)
_P, _S = special.expit(np.pi * np.sinh(_T)), special.expit(-np.pi * np.sinh(_T))
UNIT_RULE = (_P, _S, _P * _S * np.pi * np.cosh(_T) * (_T[1] - _T[0]))

# Gauss-Legendre on (0, 1), exact for the cubic pieces of a triangular distribution's moments.
_G, _GW = np.polynomial.legendre.leggauss(3)
_G, _GW = (_G + 1.0) / 2.0, _GW / 2.0


class _Beta:
    """The beta distribution by special functions, where SciPy's own warns or gives NaN for a few shapes."""

    @staticmethod
    def _place(x: Any, loc: Any, scale: Any) -> np.ndarray:
        return np.clip((x - loc) / scale, 0.0, 1.0)

    @staticmethod
    def _inverse(a: Any, b: Any, p: Any) -> np.ndarray:
        """Inverse of the regularised incomplete beta function.

        Close to 0 the leading term (p a B(a, b))^(1/a) is exact, and SciPy's root finder is not; where the
        root finder gives up altogether, bisection.
        """
        with np.errstate(divide="ignore", over="ignore"):
            leading = np.exp((np.log(p) + np.log(a) + special.betaln(a, b)) / a)
        x = np.where(leading * (1.0 + b) < 1e-10, leading, special.betaincinv(a, b, p))
        gaps = np.isnan(x)
        if gaps.any():
            a, b, p = (np.broadcast_to(part, x.shape)[gaps] for part in (a, b, p))
            low, high = np.zeros_like(p), np.ones_like(p)
            for _ in range(60):
                middle = (low + high) / 2.0
                below = special.betainc(a, b, middle) < p
                low, high = np.where(below, middle, low), np.where(below, high, middle)
            x[gaps] = (low + high) / 2.0
        return x

    def cdf(self, x: Any, a: Any, b: Any, loc: Any, scale: Any) -> np.ndarray:
        return special.betainc(a, b, self._place(x, loc, scale))

    def sf(self, x: Any, a: Any, b: Any, loc: Any, scale: Any) -> np.ndarray:
        return special.betaincc(a, b, self._place(x, loc, scale))

    def ppf(self, p: Any, a: Any, b: Any, loc: Any, scale: Any) -> np.ndarray:
        return loc + scale * self._inverse(a, b, p)

    def isf(self, s: Any, a: Any, b: Any, loc: Any, scale: Any) -> np.ndarray:
        x = 1.0 - self._inverse(b, a, s)
        low = x < 0.5
        if np.any(low):
            a, b, s = (np.broadcast_to(part, x.shape)[low] for part in (a, b, s))
            x[low] = self._inverse(a, b, 1.0 - s)
        return loc + scale * x

    def support(self, a: Any, b: Any, loc: Any, scale: Any) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(loc), np.asarray(loc + scale)


_BETA = _Beta()


@dataclass(frozen=True, eq=False)
class Truncated:
    """A SciPy distribution restricted to ``[lower, upper]`` and renormalised.

    Args:
        generic: name of the parent in ``scipy.stats``.
        args: its shape parameters, then loc and scale; scalars or arrays of one common shape ``(sites,)``.
        lower, upper: limits, scalars or ``(sites,)``; infinite where there is none.
    """

    generic: str
    args: tuple[np.ndarray, ...]
    lower: np.ndarray
    upper: np.ndarray

    @property
    def parent(self) -> Any:
        """The parent's family: functions of a value or probability and ``args``."""
        return _BETA if self.generic == "beta" else getattr(stats, self.generic)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameters: ``()`` or ``(sites,)``."""
        return np.broadcast_shapes(*(np.shape(value) for value in (*self.args, self.lower, self.upper)))

    @cached_property
    def tails(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parent's probability below the lower limit, above the upper limit, and between them."""
        below, above = self.parent.cdf(self.lower, *self.args), self.parent.sf(self.upper, *self.args)
        low, high = below > 0.5, above > 0.5
        from_top = self.parent.sf(self.lower, *self.args) - above
        from_bottom = self.parent.cdf(self.upper, *self.args) - below
        return below, above, np.where(low, from_top, np.where(high, from_bottom, 1.0 - below - above))

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest value, ``()`` or ``(sites,)`` each."""
        first, last = self.parent.support(*self.args)
        return np.maximum(self.lower, first), np.minimum(self.upper, last)

    def quantile(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Value at probability ``p``, whose complement is ``s = 1 - p``.

        Args:
            p, s: shape ``(..., 1)``, ``(..., sites)`` or, for scalar parameters, any.
        """
        below, above, mass = self.tails
        p, s = np.broadcast_arrays(below + p * mass, above + s * mass)
        x, low = np.empty(p.shape), p <= s
        x[low] = self.parent.ppf(p[low], *self._args_at(low))
        x[~low] = self.parent.isf(s[~low], *self._args_at(~low))
        # Rounding at the very ends only: the inverse is already inside to the last bit or two.
        return np.clip(x, *self.bounds)

    def at(self, sites: np.ndarray) -> Truncated:
        """The law at some sites ``(n,)``; parameters that all sites share stay shared."""
        parts = [part[sites] if np.ndim(part) else part for part in (*self.args, self.lower, self.upper)]
        return Truncated(self.generic, tuple(parts[:-2]), parts[-2], parts[-1])

    def _args_at(self, where: np.ndarray) -> list[np.ndarray]:
        """The parent's arguments at the chosen places of an array that ends in the site axis."""
        return [np.broadcast_to(arg, where.shape)[where] if np.ndim(arg) else arg for arg in self.args]

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of at most ``x``; shape as in :meth:`quantile`."""
        below, above, mass = self.tails
        under, over = self.parent.cdf(x, *self.args), self.parent.sf(x, *self.args)
        # Each difference is taken in the tail where it keeps its digits.
        left = np.where(below > 0.5, self.parent.sf(self.lower, *self.args) - over, under - below)
        right = np.where(above > 0.5, self.parent.cdf(self.upper, *self.args) - under, over - above)
        return np.clip(np.where(left <= right, left / mass, 1.0 - right / mass), 0.0, 1.0)

    def mean_sd(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, of shape ``()`` or ``(sites,)``, to about 1e-12 relative."""
        if self.generic == "lognorm" and not np.any(self.tails[0] + self.tails[1]):
            # Its tail can reach beyond any fixed rule; uncut, it has a closed form.
            return self.parent.mean(*self.args), self.parent.std(*self.args)
        x, w = self._triangle_nodes() if self.generic == "triang" else self._nodes()
        mean = (w * x).sum(0)
        return mean, np.sqrt((w * (x - mean) ** 2).sum(0))

    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        column = (-1,) + (1,) * len(self.shape)
        p, s, w = (part.reshape(column) for part in UNIT_RULE)
        return self.quantile(p, s), w

    def _triangle_nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes on either side of the mode, where a quantile rule would lose its order at the kink."""
        (first, last), (c, loc, scale) = self.bounds, self.args
        mode = np.clip(loc + c * scale, first, last)
        column = (-1,) + (1,) * len(self.shape)
        g, w = _G.reshape(column), _GW.reshape(column)
        x = np.concatenate([first + (mode - first) * g, mode + (last - mode) * g])
        weight = np.concatenate([(mode - first) * w, (last - mode) * w])
        return x, weight * self.parent.pdf(x, *self.args) / self.tails[2]
