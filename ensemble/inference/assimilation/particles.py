"""Sequential Monte Carlo for the parameters: weights, systematic resampling, and moves where too few particles count.

Source: Del Moral, Doucet and Jasra (2006), doi 10.1111/j.1467-9868.2006.00553.x; the exponents of a date that is too
informative to be taken in at once are chosen as in Jasra et al. (2011), doi 10.1111/j.1467-9469.2010.00723.x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.inference.assimilation.batches import over_particles

# Particles are resampled and moved where fewer than this share of them count.
LEAST_SHARE = 0.5
# Moves go on until the mean squared jump, in units of the posterior's covariance, is this share of that of
# independent draws (twice the number of parameters), or the limit of steps is reached.
MOVED, MOST_SWEEPS, BLOCK = 0.9, 400, 10
_ACCEPTANCE = 0.25

Densities = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Particles:
    """Weighted draws of the parameters.

    Args:
        scores: independent prior scores, (particles, size).
        log_weights: normalised, so that their exponentials add up to 1, (particles,).
    """

    scores: np.ndarray
    log_weights: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Weights, adding up to 1."""
        return np.exp(self.log_weights)

    @property
    def effective(self) -> float:
        """Effective number of particles, 1 / sum of squared weights."""
        return float(1.0 / (self.weights**2).sum())


class Step(NamedTuple):
    """What taking in a date did.

    Args:
        log_evidence: log density of the date's values given all before.
        information: Kullback-Leibler divergence from before to after, nats, from the particles' own weights.
        effective: effective number of particles right after weighting, the smallest of its exponents.
        exponents: in how many parts the date was taken in.
        sweeps, acceptance: moves of every particle, and the share that was accepted (nan without moves).
        moved: mean squared jump as a share of that of independent draws (nan without moves).
    """

    log_evidence: float
    information: float
    effective: float
    exponents: int
    sweeps: int
    acceptance: float
    moved: float


class Mover:
    """Random-walk moves of all particles at once, for any weighting of the dates.

    Args:
        densities: from scores (size,) to log densities of the dates, (dates,).
        batch: particles evaluated in one step.
    """

    def __init__(self, densities: Densities, batch: int = 64) -> None:
        self._densities = jax.jit(lambda scores: over_particles(densities, scores, batch))
        self._block = jax.jit(self._moves(densities, batch))

    def densities(self, scores: np.ndarray) -> np.ndarray:
        """Log densities of the dates at each particle, (particles, dates)."""
        return np.asarray(self._densities(jnp.asarray(scores)))

    @staticmethod
    def _moves(densities: Densities, batch: int) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
        def log_target(scores: jax.Array, dates: jax.Array) -> jax.Array:
            found = over_particles(densities, scores, batch)
            return jnp.where(dates > 0, found, 0.0) @ dates - 0.5 * (scores**2).sum(axis=1)

        def block(
            scores: jax.Array, dates: jax.Array, factor: jax.Array, scale: jax.Array, key: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            def sweep(state: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple, jax.Array]:
                here, value = state
                first, second = jax.random.split(key)
                new = here + scale * jax.random.normal(first, here.shape) @ factor.T
                ahead = log_target(new, dates)
                taken = jnp.log(jax.random.uniform(second, value.shape)) < ahead - value
                return (jnp.where(taken[:, None], new, here), jnp.where(taken, ahead, value)), taken.mean()

            start = scores, log_target(scores, dates)
            (moved, value), taken = jax.lax.scan(sweep, start, jax.random.split(key, BLOCK))
            return moved, value, taken.mean()

        return block

    def move(self, scores: np.ndarray, dates: np.ndarray, key: jax.Array) -> tuple[np.ndarray, int, float, float]:
        """Move particles that are draws of prior times densities to the power `dates`, leaving that law as it is.

        Returns:
            New scores, sweeps made, share accepted in the last block, and how far particles came (see :data:`MOVED`).
        """
        size = scores.shape[1]
        covariance = np.cov(scores.T).reshape(size, size) + 1e-10 * np.eye(size)
        factor = np.linalg.cholesky(covariance)
        scale, here, sweeps = 2.38 / np.sqrt(size), jnp.asarray(scores), 0
        share = reached = 0.0
        while sweeps < MOST_SWEEPS and reached < MOVED:
            key, now = jax.random.split(key)
            here, _, taken = self._block(here, jnp.asarray(dates), jnp.asarray(factor), scale, now)
            sweeps, share = sweeps + BLOCK, float(taken)
            scale *= np.exp(0.5 * (share - _ACCEPTANCE) / _ACCEPTANCE)
            jumps = np.linalg.solve(factor, (np.asarray(here) - scores).T)
            reached = float((jumps**2).sum(axis=0).mean() / (2.0 * size))
        return np.asarray(here), sweeps, share, reached


def absorb(particles: Particles, mover: Mover, date: int, key: jax.Array) -> tuple[Particles, Step]:
    """Take in one date, in as many parts as keep half of the particles counting.

    Args:
        particles: knowledge after the date before.
        mover: with the densities of all dates; later ones are not looked at.
        date: its number.
        key: of resampling and moves.
    """
    each = mover.densities(particles.scores)
    powers = np.zeros(each.shape[1])
    powers[:date] = 1.0
    log_evidence, gained, least, parts, sweeps, share, reached = 0.0, 0.0, np.inf, 0, 0, np.nan, np.nan
    while powers[date] < 1.0:
        gain = each[:, date]
        part = _largest_part(particles.log_weights, gain, 1.0 - powers[date])
        logs = particles.log_weights + part * gain
        total = float(np.logaddexp.reduce(logs))
        particles = Particles(particles.scores, logs - total)
        log_evidence, parts, powers[date] = log_evidence + total, parts + 1, min(1.0, powers[date] + part)
        least = min(least, particles.effective)
        if particles.effective <= LEAST_SHARE * len(logs) * (1 + 1e-6):
            first, second, key = jax.random.split(key, 3)
            chosen = systematic(particles.weights, float(jax.random.uniform(first)))
            scores, made, share, reached = mover.move(particles.scores[chosen], powers, second)
            particles = Particles(scores, np.full(len(logs), -np.log(len(logs))))
            sweeps, each = sweeps + made, mover.densities(scores)
    gained = float(particles.weights @ each[:, date]) - log_evidence
    return particles, Step(log_evidence, gained, least, parts, sweeps, share, reached)


def systematic(weights: np.ndarray, offset: float, count: int | None = None) -> np.ndarray:
    """Indices of systematic resampling: every particle is taken floor or ceiling of `count` times its weight.

    Args:
        weights: adding up to 1, (n,).
        offset: uniform in 0 to 1.
        count: how many are wanted (default: n).
    """
    count = count or len(weights)
    points = (np.arange(count) + offset) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), points, side="right"), len(weights) - 1)


def _largest_part(log_weights: np.ndarray, gain: np.ndarray, left: float) -> float:
    """Largest exponent, up to `left`, that keeps half of the particles counting."""

    def effective(part: float) -> float:
        logs = log_weights + part * gain
        weights = np.exp(logs - np.logaddexp.reduce(logs))
        return 1.0 / float((weights**2).sum())

    # one that takes it all is best, even where a few more than half would be lost by it: moves follow
    wanted = min(LEAST_SHARE * len(gain), effective(0.0))
    if effective(left) >= 0.5 * wanted:
        return left
    low, high = 0.0, left
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= wanted else (low, middle)
    return max(low, 1e-4 * left)
