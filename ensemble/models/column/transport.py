"""Movement of soil between layers: mixing, removal and burial. Every operator conserves what it moves.

``content`` is a tree of amounts per area, each of shape (layers,); all of them move with the soil alike. Axes of
members may follow, here and in every other array.
"""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp

from ensemble.models.column.members import summed

Content = TypeVar("Content")


def blend(content: Content, taking: jax.Array, share: jax.Array) -> Content:
    """Take a part of every layer, mix it, and give it back by soil mass.

    Ploughing takes all of the ploughed layers; bioturbation takes a small part of the layers it reaches
    in each step.

    Args:
        content: amounts, each of shape (layers,).
        taking: fraction of each layer that is taken, 0 to 1, shape (layers,).
        share: part of the mixture that each layer gets back, sums to 1, shape (layers,).
    """

    def mixed(amounts: jax.Array) -> jax.Array:
        taken = amounts * taking
        return amounts - taken + summed(taken) * share

    return jax.tree.map(mixed, content)


def remove_top(
    content: Content, depth: jax.Array, thickness: jax.Array, below: Content, rounds: int
) -> tuple[Content, Content]:
    """Erode the surface: the soil moves up through the fixed layers, parent material enters below.

    Upwind in ``rounds`` equal steps, none deeper than the thinnest layer. It is exact where one round is
    one layer (an event of 5 cm in layers of 5 cm), and differentiable in the depth everywhere.

    Args:
        content: amounts, each of shape (layers,).
        depth: soil removed, cm, at least 0, at most ``rounds`` times the thinnest layer.
        thickness: cm, shape (layers,).
        below: amounts in 1 cm of the material that enters, scalars.
        rounds: number of steps, at least 1.

    Returns:
        New amounts, and the amounts that left at the surface (scalars).
    """
    part = depth / (rounds * thickness)

    def eroded(amounts: jax.Array, material: jax.Array) -> tuple[jax.Array, jax.Array]:
        entering, lost = material * depth / rounds, jnp.zeros_like(amounts[0])
        for _ in range(rounds):
            moved = amounts * part
            lost = lost + moved[0]
            amounts = amounts - moved + jnp.concatenate([moved[1:], _row(entering, moved)])
        return amounts, lost

    return _unzip(content, jax.tree.map(eroded, content, below))


def add_top(content: Content, depth: jax.Array, thickness: jax.Array, above: Content) -> tuple[Content, Content]:
    """Bury the surface under a deposit: the soil moves down, the deepest soil leaves the column.

    Args:
        content, thickness: as in :func:`remove_top`.
        depth: deposit, cm, at least 0, at most the thinnest layer.
        above: amounts in 1 cm of the deposit, scalars.

    Returns:
        New amounts, and the amounts that left at the base (scalars).
    """
    part = depth / thickness

    def buried(amounts: jax.Array, material: jax.Array) -> tuple[jax.Array, jax.Array]:
        moved = amounts * part
        return amounts - moved + jnp.concatenate([_row(material * depth, moved), moved[:-1]]), moved[-1]

    return _unzip(content, jax.tree.map(buried, content, above))


def _row(amount: jax.Array, like: jax.Array) -> jax.Array:
    """One more layer for arrays like ``like``."""
    return jnp.broadcast_to(amount, like[:1].shape)


def _unzip(content: Content, pairs: Content) -> tuple[Content, Content]:
    """Two trees from a tree of pairs."""
    first, second = jax.tree.transpose(jax.tree.structure(content), jax.tree.structure((0, 0)), pairs)
    return first, second


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
    completed = jnp.floor(jnp.cumsum(rate, axis=0) / depth + 2e-4)
    return jnp.diff(completed, axis=0, prepend=jnp.zeros_like(completed[:1])) * depth
