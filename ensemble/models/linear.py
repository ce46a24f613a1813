"""Affine maps ``C -> A C + u``: what a month, a year or a century does to the pools of a linear model.

Conditional on its rates, RothC is linear in its pools, so an equilibrium is a solve, a repeated climate is a
repeated map, and the run between two dates is one map. Maps are built by running the model's own step on the
columns of the identity (:func:`from_step`), so there is no second copy of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Affine(NamedTuple):
    """An affine map, or a stack of them along leading axes.

    Args:
        matrix: shape (..., pools, pools).
        offset: shape (..., pools).
    """

    matrix: jax.Array
    offset: jax.Array


def from_step(step: Callable[[jax.Array, jax.Array], jax.Array], size: int, dtype: Any) -> Affine:
    """The map of a step that is affine in its pools, exact to rounding.

    Args:
        step: ``(columns, constant) -> columns`` on shape (size, size + 1); it must treat every column alike
            and multiply its input with ``constant`` (shape (size + 1,): 0 for the columns of the matrix, 1 for
            the offset).
        size: number of pools.
        dtype: floating type.
    """
    start = jnp.eye(size, size + 1, dtype=dtype)
    constant = jnp.zeros(size + 1, dtype).at[size].set(1.0)
    columns = step(start, constant)
    return Affine(columns[:, :size], columns[:, size])


def apply(affine: Affine, pools: jax.Array) -> jax.Array:
    """``A C + u`` for pools of shape (..., size)."""
    return jnp.einsum("...ij,...j->...i", affine.matrix, pools) + affine.offset


def compose(first: Affine, second: Affine) -> Affine:
    """The map that does ``first``, then ``second``."""
    return Affine(second.matrix @ first.matrix, apply(second, first.offset))


def identity(size: int, dtype: Any) -> Affine:
    """The map that changes nothing."""
    return Affine(jnp.eye(size, dtype=dtype), jnp.zeros(size, dtype))


def compose_all(maps: Affine) -> Affine:
    """The map that does a stack of maps one after the other, first axis first (a scan: unrolled it is slower)."""
    start = identity(maps.offset.shape[-1], maps.offset.dtype)
    return jax.lax.scan(lambda done, one: (compose(done, one), None), start, maps)[0]


def repeat(affine: Affine, times: int) -> Affine:
    """The map that does ``affine`` ``times`` times, by squaring.

    Raises:
        ValueError: ``times`` is negative.
    """
    if times < 0:
        raise ValueError(f"a map cannot be repeated {times} times; allowed: 0 or more")
    result = identity(affine.offset.shape[-1], affine.offset.dtype)
    while times:
        if times & 1:
            result = compose(result, affine)
        times >>= 1
        if times:
            affine = compose(affine, affine)
    return result


def trajectory(maps: Affine, start: jax.Array) -> jax.Array:
    """Pools after each map of a stack, shape (maps, size), from pools of shape (size,)."""

    def one(pools: jax.Array, affine: Affine) -> tuple[jax.Array, jax.Array]:
        pools = apply(affine, pools)
        return pools, pools

    return jax.lax.scan(one, start, maps)[1]


def fixed_point(affine: Affine) -> jax.Array:
    """Pools that the map does not change, ``(I - A)^-1 u``, shape (..., size); exact gradients by the solve."""
    size = affine.offset.shape[-1]
    system = jnp.eye(size, dtype=affine.offset.dtype) - affine.matrix
    return jnp.linalg.solve(system, affine.offset[..., None])[..., 0]
