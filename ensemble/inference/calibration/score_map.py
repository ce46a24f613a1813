"""The study's own distributions as differentiable functions of a standard normal score.

A parameter is sampled by its score ``z`` with a standard normal prior, and its value is the quantile function of
the stated distribution at ``z``; the prior is therefore exactly the study's, whatever the family and its limits.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from ensemble.inputs.distributions import Distribution
from ensemble.inputs.truncation import Truncated

# Scores beyond these have a probability below 1e-15; the quantile function is continued by its end value.
SCORE_LIMIT = 8.0
# Knots of the spline: its error is h^4 / 384 times the fourth derivative, 1e-12 for a curve of unit scale (2e-7 next to
# the kink of a triangular distribution).
_KNOTS = 4097

ScoreMap = Callable[[jax.Array], jax.Array]


def score_map(law: Distribution) -> ScoreMap:
    """The quantile function of a continuous distribution at ``ndtr(z)``, differentiable in JAX.

    Uncut normal and lognormal curves are closed forms. All others (truncated, uniform, triangular, beta, gamma,
    empirical, ...) are a cubic spline through 4097 exact values between scores of -8 and 8.

    Args:
        law: the distribution, with one set of parameters or one a site.

    Returns:
        A function from scores of shape (), or (sites,), to values of the same shape.

    Raises:
        ValueError: the distribution is a list of values, so that it has no density.
    """
    if law.discrete:
        raise ValueError(f"a {law.family} distribution has no density; a calibration needs continuous priors")
    if isinstance(law.law, Truncated) and law.law.generic in ("norm", "lognorm") and not _cut(law.law):
        return _closed(law.law)
    return _spline(law)


def _cut(law: Truncated) -> bool:
    return bool(np.any(law.tails[0] + law.tails[1] > 1e-15))


def _closed(law: Truncated) -> ScoreMap:
    if law.generic == "norm":
        mean, sd = (np.asarray(part, dtype=np.float64) for part in law.args)
        return lambda z: jnp.asarray(mean) + jnp.asarray(sd) * z
    sigma, location, scale = (np.asarray(part, dtype=np.float64) for part in law.args)
    return lambda z: jnp.asarray(location) + jnp.asarray(scale) * jnp.exp(jnp.asarray(sigma) * z)


def _spline(law: Distribution) -> ScoreMap:
    knots = np.linspace(-SCORE_LIMIT, SCORE_LIMIT, _KNOTS)
    values = law.from_score(knots[:, None] if law.shape else knots)
    pieces = CubicSpline(knots, values).c  # (4, knots - 1) or (4, knots - 1, sites)
    step = knots[1] - knots[0]

    def at(z: jax.Array) -> jax.Array:
        inside = jnp.clip(z, -SCORE_LIMIT, SCORE_LIMIT)
        index = jnp.clip(jnp.floor((inside + SCORE_LIMIT) / step).astype(jnp.int32), 0, _KNOTS - 2)
        t = inside - (-SCORE_LIMIT + step * index)
        chosen = jnp.asarray(pieces)
        if law.shape:
            a, b, c, d = (chosen[k, index, jnp.arange(chosen.shape[2])] for k in range(4))
        else:
            a, b, c, d = (chosen[k, index] for k in range(4))
        return ((a * t + b) * t + c) * t + d

    return at
