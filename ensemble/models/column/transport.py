"""Movement of soil between layers: mixing, removal and burial. Every operator conserves what it moves.

``content`` holds amounts per area, shape (tracers, layers); every tracer moves with the soil alike.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def blend(content: jax.Array, taking: jax.Array, share: jax.Array) -> jax.Array:
    """Take a part of every layer, mix it, and give it back by soil mass.

    Ploughing takes all of the ploughed layers; bioturbation takes a small part of the layers it reaches
    in each step.

    Args:
        content: amounts, shape (tracers, layers).
        taking: fraction of each layer that is taken, 0 to 1, shape (layers,).
        share: part of the mixture that each layer gets back, sums to 1, shape (layers,).
    """
    taken = content * taking
    return content - taken + taken.sum(axis=-1, keepdims=True) * share


def remove_top(
    content: jax.Array, depth: jax.Array, thickness: jax.Array, below: jax.Array, rounds: int
) -> tuple[jax.Array, jax.Array]:
    """Erode the surface: the soil moves up through the fixed layers, parent material enters below.

    Upwind in ``rounds`` equal steps, none deeper than the thinnest layer. It is exact where one round is
    one layer (an event of 5 cm in layers of 5 cm), and differentiable in the depth everywhere.

    Args:
        content: amounts, shape (tracers, layers).
        depth: soil removed, cm, at least 0, at most ``rounds`` times the thinnest layer.
        thickness: cm, shape (layers,).
        below: amounts in 1 cm of the material that enters, shape (tracers,).
        rounds: number of steps, at least 1.

    Returns:
        New amounts, and the amounts that left at the surface, shape (tracers,).
    """
    part = depth / (rounds * thickness)
    entering = (below * depth / rounds)[:, None]
    lost = jnp.zeros_like(below)
    for _ in range(rounds):
        moved = content * part
        lost = lost + moved[:, 0]
        content = content - moved + jnp.concatenate([moved[:, 1:], entering], axis=1)
    return content, lost


def add_top(
    content: jax.Array, depth: jax.Array, thickness: jax.Array, above: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Bury the surface under a deposit: the soil moves down, the deepest soil leaves the column.

    Args:
        content, thickness: as in :func:`remove_top`.
        depth: deposit, cm, at least 0, at most the thinnest layer.
        above: amounts in 1 cm of the deposit, shape (tracers,).

    Returns:
        New amounts, and the amounts that left at the base, shape (tracers,).
    """
    moved = content * (depth / thickness)
    entering = (above * depth)[:, None]
    return content - moved + jnp.concatenate([entering, moved[:, :-1]], axis=1), moved[:, -1]


def erosion_events(rate: jax.Array, depth: float) -> jax.Array:
    """Turn a yearly erosion rate into whole events, as SoilGen does.

    An event removes ``depth`` in the year in which the summed rate completes it. The number of events
    is an integer, so the result has no gradient in the rate.

    Args:
        rate: erosion, cm yr-1, shape (years,).
        depth: soil removed by one event, cm.

    Returns:
        Soil removed in each year, cm, shape (years,).
    """
    # A sum of decimals may fall short of a whole event by rounding: 2e-4 of an event is far above that, and
    # below one year of an event every 1,000 years.
    completed = jnp.floor(jnp.cumsum(rate) / depth + 2e-4)
    return jnp.diff(completed, prepend=jnp.zeros_like(completed[:1])) * depth
