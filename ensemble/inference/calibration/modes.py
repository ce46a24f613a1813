"""The search for modes: many starts, a table of where they ended, and the curvature at the best of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ensemble.execute.progress import progress

# A start has converged where no component of the gradient exceeds this (scores have unit prior sd).
GRADIENT = 1e-2
# Two ends are one mode where they are closer than this, in posterior standard deviations of the best mode.
_SAME = 0.5
# Starts are drawn from the prior, drawn together by this factor: its far tails are seldom where modes are.
_START_SPREAD = 0.7
# Curvature below this fraction of the prior's is taken as noise of the differences, not as a flat posterior.
_LEAST_CURVATURE = 0.25
_STEP = 1e-3
_ITERATIONS = 150
# Iterations between two reports of progress.
_BLOCK = 10

Potential = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Modes:
    """Where the starts of an optimisation ended.

    Args:
        ends: coordinates, best first, (starts, size).
        log_posterior: unnormalised, falling, (starts,).
        gradient: largest component of each gradient, (starts,).
        mode: number of the mode that each start found, 0 for the best, -1 where it did not converge.
        factor: Cholesky factor of the covariance at the best mode, (size, size).
    """

    ends: np.ndarray
    log_posterior: np.ndarray
    gradient: np.ndarray
    mode: np.ndarray
    factor: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Coordinates of the best mode, (size,)."""
        return self.ends[0]

    @property
    def count(self) -> int:
        """Number of different modes that were found."""
        return int(self.mode.max()) + 1

    @property
    def warning(self) -> str:
        """One sentence where there are several modes, or none was reached; empty otherwise."""
        if self.mode[0] < 0:
            return f"no start converged: the largest gradient at the best end is {self.gradient[0]:.2g}"
        if self.count == 1:
            return ""
        firsts = [int(np.argmax(self.mode == k)) for k in range(self.count)]
        falls = ", ".join(f"{self.log_posterior[0] - self.log_posterior[k]:.3g}" for k in firsts[1:])
        return f"{self.count} modes were found; the others lie {falls} below the best in log posterior"


def find_modes(potential: Potential, size: int, starts: int, seed: int, quiet: bool = True) -> Modes:
    """Minimise a potential from many starts side by side (L-BFGS with backtracking, optax).

    Args:
        potential: minus the log posterior of coordinates of shape (size,), prior standard normal.
        size: number of coordinates.
        starts: number of starts; the first is the prior's centre, the others are drawn from it.
        seed: of the starts.
        quiet: show no progress.
    """
    points = _START_SPREAD * jax.random.normal(jax.random.key(seed), (starts, size))
    points = points.at[0].set(0.0)
    ends, values, gradients = _minimise_all(potential, points, quiet)
    values = np.where(np.isfinite(values), values, np.inf)
    order = np.argsort(values, kind="stable")
    ends, values, gradients = np.asarray(ends)[order], values[order], np.asarray(gradients)[order]
    covariance = np.asarray(jax.jit(partial(inverse_curvature, potential))(ends[0]))
    factor = np.linalg.cholesky(covariance)
    return Modes(ends, -values, gradients, _modes(ends, values, gradients, factor), factor)


def _minimise_all(potential: Potential, points: jax.Array, quiet: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where every start ends, as :func:`minimise`, in blocks of iterations of one compiled program."""
    state = jax.jit(jax.vmap(_search))(points)
    block = jax.jit(jax.vmap(partial(_go_on, potential), in_axes=(0, None)))
    with progress("starts", len(points), 0, "ended", quiet) as advance:
        ended = 0
        for until in range(_BLOCK, _ITERATIONS + _BLOCK, _BLOCK):
            state = block(state, min(until, _ITERATIONS))
            now = int((~jax.vmap(_unfinished)(state)).sum()) if until < _ITERATIONS else len(points)
            advance(now - ended)
            ended = now
            if ended == len(points):
                break
    return state.point, optax.tree.get(state.memory, "value"), state.steepest


class _Search(NamedTuple):
    """An optimisation on its way: point, memory of the solver, largest component of the gradient, iterations."""

    point: jax.Array
    memory: Any
    steepest: jax.Array
    count: jax.Array


_SOLVER = optax.lbfgs(
    memory_size=10, linesearch=optax.scale_by_backtracking_linesearch(max_backtracking_steps=15, store_grad=True)
)


def minimise(potential: Potential, start: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where L-BFGS from one start ends, its value, and the largest component of its gradient; pure JAX."""
    end = _go_on(potential, _search(start), _ITERATIONS)
    return end.point, optax.tree.get(end.memory, "value"), end.steepest


def _search(start: jax.Array) -> _Search:
    return _Search(start, _SOLVER.init(start), jnp.full((), jnp.inf, start.dtype), jnp.zeros((), jnp.int32))


def _unfinished(state: _Search) -> jax.Array:
    return (state.count < _ITERATIONS) & (state.steepest > 0.1 * GRADIENT)


def _go_on(potential: Potential, state: _Search, until: int | jax.Array) -> _Search:
    """The search after it ended, or after its iteration ``until``."""
    value_and_gradient = optax.value_and_grad_from_state(potential)

    def step(state: _Search) -> _Search:
        value, gradient = value_and_gradient(state.point, state=state.memory)
        update, memory = _SOLVER.update(
            gradient, state.memory, state.point, value=value, grad=gradient, value_fn=potential
        )
        point: Any = optax.apply_updates(state.point, update)
        return _Search(point, memory, jnp.abs(optax.tree.get(memory, "grad")).max(), state.count + 1)

    return jax.lax.while_loop(lambda s: _unfinished(s) & (s.count < until), step, state)


def inverse_curvature(potential: Potential, point: jax.Array) -> jax.Array:
    """Inverse of the curvature of a potential at a point, by central differences of its gradient, (size, size).

    Directions in which the potential is flatter than a quarter of the prior's curvature are taken at that value.
    """
    size = point.size
    shifts = _STEP * jnp.concatenate([jnp.eye(size), -jnp.eye(size)])
    gradients = jax.vmap(jax.grad(potential))(point + shifts)
    hessian = (gradients[:size] - gradients[size:]) / (2.0 * _STEP)
    values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2.0)
    return (vectors / jnp.maximum(values, _LEAST_CURVATURE)) @ vectors.T


def _modes(ends: np.ndarray, values: np.ndarray, gradients: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Number of the mode at each end: ends that lie together are one."""
    white = np.linalg.solve(factor, ends.T).T
    centres: list[np.ndarray] = []
    modes = np.full(len(ends), -1)
    for k in np.flatnonzero((gradients <= GRADIENT) & np.isfinite(values)):
        distances = [float(np.abs(white[k] - centre).max()) for centre in centres]
        if not distances or min(distances) > _SAME:
            centres.append(white[k])
            distances.append(0.0)
        modes[k] = int(np.argmin(distances))
    return modes
