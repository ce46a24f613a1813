"""Draws from the posterior: NUTS with chains side by side, or the Gaussian at the mode with importance weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS

from ensemble.execute.progress import progress
from ensemble.inference.calibration.modes import Modes

STATISTICS = ("diverging", "energy", "num_steps", "accept_prob", "potential_energy")
# Chains start this many posterior standard deviations (of the Gaussian at the mode) around the best mode.
_START_SPREAD = 1.5
# Steps of the first window in which NumPyro learns the mass matrix: from so few steps a dense matrix of as many parameters
# is singular, its step size collapses and trees reach their limit. More parameters get a diagonal one; the coordinates
# are whitened already.
_FIRST_WINDOW = 25
# Steps of all chains between two reports of progress; a signal is heeded there too.
_BLOCK = 25


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
    quiet: bool = True,
) -> Draws:
    """NUTS (Hoffman and Gelman, 2014) in coordinates that are whitened at the best mode.

    Warm-up and sampling are the steps of NumPyro's own loop, in blocks of one compiled program.

    Args:
        potential: minus the log posterior of coordinates of shape (size,).
        modes: the modes; the curvature at the best one gives the linear coordinates.
        chains, warmup, draws: how many; chains run side by side as one vectorised program.
        target_accept: acceptance rate that the step size aims at.
        seed: of the chains.
        quiet: show no progress.
    """
    centre, factor = jnp.asarray(modes.best), jnp.asarray(modes.factor)

    def whitened(y: jax.Array) -> jax.Array:
        return potential(centre + factor @ y)

    first, second = jax.random.split(jax.random.key(seed))
    start = _START_SPREAD * jax.random.normal(first, (chains, centre.size))
    dense = centre.size < _FIRST_WINDOW
    kernel = NUTS(potential_fn=whitened, dense_mass=dense, target_accept_prob=target_accept)
    keys, start = (jax.random.split(second, chains), start) if chains > 1 else (second, start[0])
    state = jax.jit(lambda keys, start: kernel.init(keys, warmup, start, (), {}))(keys, start)
    block = jax.jit(partial(_block, kernel))
    state, _ = _steps(block, state, warmup, "warm-up", quiet)
    _, path = _steps(block, state, draws, "sampling", quiet)
    y = path.pop("z").reshape(draws, chains, -1).swapaxes(0, 1)
    statistics = {name: path[name].reshape(draws, chains).T for name in STATISTICS}
    return Draws(modes.best + y @ modes.factor.T, statistics)


def _block(kernel: NUTS, state: Any, count: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """The state after up to a block of steps, and what they left, (block, ...); zeros after the last step."""

    def step(place: jax.Array, carry: tuple[Any, dict[str, jax.Array]]) -> tuple[Any, dict[str, jax.Array]]:
        state, path = carry
        state = kernel.sample(state, (), {})
        return state, {name: path[name].at[place].set(getattr(state, name)) for name in path}

    kept = ("z", *STATISTICS)
    path = {name: jnp.zeros((_BLOCK, *getattr(state, name).shape), getattr(state, name).dtype) for name in kept}
    return jax.lax.fori_loop(0, count, step, (state, path))


def _steps(
    block: Callable[..., tuple[Any, dict[str, jax.Array]]], state: Any, count: int, title: str, quiet: bool
) -> tuple[Any, dict[str, np.ndarray]]:
    """The state after some steps, and what they left, leading axis steps."""
    parts: list[dict[str, np.ndarray]] = []
    with progress(title, count, 0, "steps", quiet) as advance:
        for begin in range(0, count, _BLOCK):
            wanted = min(_BLOCK, count - begin)
            state, path = block(state, wanted)
            parts.append({name: np.asarray(values)[:wanted] for name, values in path.items()})
            advance(wanted)
    return state, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
