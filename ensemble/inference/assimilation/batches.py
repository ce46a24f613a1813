"""A function of one particle over many, some at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def over_particles(function: Callable[[Any], Any], particles: Any, batch: int) -> Any:
    """``vmap`` of a function in batches, so that memory does not grow with the number of particles.

    Unlike ``jax.lax.map`` with a batch it takes results that hold no number at all (a state of size 0).

    Args:
        function: of one particle.
        particles: tree of arrays with the same leading axis.
        batch: particles evaluated at once; the last batch is filled up and cut.
    """
    count = jax.tree.leaves(particles)[0].shape[0]
    batch = min(batch, count)
    number = -(-count // batch)

    def blocks(array: Any) -> Any:
        filled = jnp.concatenate([array, jnp.repeat(array[-1:], number * batch - count, axis=0)])
        return filled.reshape(number, batch, *array.shape[1:])

    found = jax.lax.map(jax.vmap(function), jax.tree.map(blocks, particles))
    return jax.tree.map(lambda a: a.reshape(number * batch, *a.shape[2:])[:count], found)
