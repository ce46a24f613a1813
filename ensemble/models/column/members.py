"""Members on further axes: what the yearly step of the column needs to run many members side by side.

Every array of the yearly step has its own axes first (tracers, pools, layers) and any number of axes of members
after them; scalars of a member have those axes alone. NumPy's rules of broadcasting then do the rest, and the
last axis, along which memory is contiguous, is one of members. Nothing below changes for a single member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def along_layers(values: np.ndarray, like: jax.Array) -> jax.Array:
    """Constants of the layers, shape (layers,), that broadcast against ``like`` of shape (layers, *members)."""
    return jnp.asarray(values, like.dtype).reshape(-1, *(1,) * (like.ndim - 1))


def weighted(weights: np.ndarray, amounts: jax.Array) -> jax.Array:
    """Products of a fixed matrix (rows, layers) with amounts (layers, *members): shape (rows, *members)."""
    return jnp.tensordot(jnp.asarray(weights, amounts.dtype), amounts, axes=1)


def summed(amounts: jax.Array) -> jax.Array:
    """Sum over the layers, the first axis; a product with ones, which compiles to faster code than a reduction."""
    return jnp.tensordot(jnp.ones(len(amounts), amounts.dtype), amounts, axes=1)


def at_once(unit: jax.Array, amounts: list[jax.Array]) -> jax.Array:
    """Arrays of one shape (*members) times 1, stacked, as a sum of products over an axis of length 2.

    XLA computes such a sum before what follows. Without it, what is spread over the layers next would be computed
    again for each of them. ``unit`` holds 1 and 0, shape (2, *members), where the compiler cannot see them.
    """
    stacked = jnp.stack(amounts)
    return jnp.einsum("k...,kp...->p...", unit, jnp.stack([stacked, stacked]))


def members_of(inputs: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]]) -> tuple[int, ...]:
    """Shape of the axes of members that inputs have after their own axes; empty for one member."""
    return np.broadcast_shapes(*(jnp.shape(value)[len(dims[name]) :] for name, value in inputs.items()))


def each_member(
    function: Callable[[Mapping[str, Any]], Any],
    inputs: Mapping[str, Any],
    dims: Mapping[str, tuple[str, ...]],
    members: tuple[int, ...],
) -> Any:
    """``function`` of one member's inputs, for all members: results with the axes of members last.

    For what happens once in a run. Axes of members that an input lacks, or has of length 1, are filled.
    """
    if not members:
        return function(inputs)
    flat = {}
    for name, value in inputs.items():
        own = jnp.shape(value)[: len(dims[name])]
        filled = jnp.reshape(
            value, (*own, *(1,) * (len(own) + len(members) - jnp.ndim(value)), *jnp.shape(value)[len(own) :])
        )
        flat[name] = jnp.broadcast_to(filled, (*own, *members)).reshape(*own, -1)
    mapped = jax.vmap(function, in_axes=-1, out_axes=-1)(flat)
    return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:-1], *members), mapped)
