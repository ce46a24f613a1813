"""Draws from the posterior: NUTS with chains side by side, or the Gaussian at the mode with importance weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS

from ensemble.inference.calibration.modes import Modes

STATISTICS = ("diverging", "energy", "num_steps", "accept_prob", "potential_energy")
# Chains start this many posterior standard deviations (of the Gaussian at the mode) around the best mode.
_START_SPREAD = 1.5


class Draws(NamedTuple):
    """Draws of a posterior.

    Args:
        coordinates: straightened coordinates, shape (chains, draws, size).
        statistics: of each step, by the sampler's names, shape (chains, draws).
    """

    coordinates: np.ndarray
    statistics: dict[str, np.ndarray]


def nuts(
    potential: Callable[[jax.Array], jax.Array],
    modes: Modes,
    chains: int,
    warmup: int,
    draws: int,
    target_accept: float,
    seed: int,
) -> Draws:
    """NUTS (Hoffman and Gelman, 2014) in coordinates that are whitened at the best mode.

    Args:
        potential: minus the log posterior of coordinates of shape (size,).
        modes: the modes; the curvature at the best one gives the linear coordinates.
        chains, warmup, draws: how many; chains run side by side as one vectorised program.
        target_accept: acceptance rate that the step size aims at.
        seed: of the chains.
    """
    centre, factor = jnp.asarray(modes.best), jnp.asarray(modes.factor)

    def whitened(y: jax.Array) -> jax.Array:
        return potential(centre + factor @ y)

    first, second = jax.random.split(jax.random.key(seed))
    start = _START_SPREAD * jax.random.normal(first, (chains, centre.size))
    kernel = NUTS(potential_fn=whitened, dense_mass=True, target_accept_prob=target_accept)
    sampler = MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    sampler.run(second, init_params=start if chains > 1 else start[0], extra_fields=STATISTICS)
    y = np.asarray(sampler.get_samples(group_by_chain=True)).reshape(chains, draws, -1)
    extra = sampler.get_extra_fields(group_by_chain=True)
    statistics = {name: np.asarray(extra[name]).reshape(chains, draws) for name in STATISTICS}
    return Draws(modes.best + y @ modes.factor.T, statistics)


def laplace(
    modes: Modes, potential: Callable[[jax.Array], jax.Array], chains: int, draws: int, seed: int
) -> tuple[Draws, np.ndarray]:
    """Draws of the Gaussian at the best mode, and their log importance weights to the posterior, (chains, draws).

    The weights say how good the approximation is (k-hat of their Pareto smoothing); the draws are not reweighted.
    """
    y = jax.random.normal(jax.random.key(seed), (chains * draws, modes.best.size))
    points = jnp.asarray(modes.best) + y @ jnp.asarray(modes.factor).T
    energies = jax.jit(lambda points: jax.lax.map(potential, points, batch_size=256))(points)
    weights = -np.asarray(energies) + 0.5 * np.asarray((y**2).sum(axis=1))
    shape = chains, draws
    statistics = {"potential_energy": np.asarray(energies).reshape(shape)}
    return Draws(np.asarray(points).reshape(*shape, -1), statistics), weights.reshape(shape)
