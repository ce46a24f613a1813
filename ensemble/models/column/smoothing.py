"""The paper's moving average, which takes the saw-teeth of erosion events out of a yearly stock.

Van der Meij and Finke average over the years before, as many as there are between two events (1000, 100 and 10
years for events of 5 cm at 0.05, 0.5 and 5 mm a year), "adjusted separately for each land-use phase".
Every array has years first; axes of members may follow.
"""

from __future__ import annotations

from functools import reduce

import jax
import jax.numpy as jnp


def phase_begins(*series: jax.Array) -> jax.Array:
    """Index of the first year of the phase that each year belongs to.

    A phase begins in the first year, and wherever one of the series differs from the year before.

    Args:
        series: yearly drivers, each of shape (years, *members) or with axes of members that broadcast.

    Returns:
        Whole numbers, shape (years, *members).
    """
    ndim = max(one.ndim for one in series)
    changed = [jnp.diff(_aligned(one, ndim), axis=0) != 0.0 for one in series]
    begins = reduce(jnp.logical_or, changed)
    first = jnp.zeros((1, *begins.shape[1:]), bool)
    number = _aligned(jnp.arange(len(begins) + 1), ndim)
    return jax.lax.cummax(jnp.where(jnp.concatenate([first, begins]), number, 0), axis=0)


def years_between_events(rate: jax.Array, depth: float) -> jax.Array:
    """Years in which erosion completes an event, to the nearest; 1 without erosion.

    Args:
        rate: erosion, cm yr-1, shape (years, *members).
        depth: soil that an event removes, cm.

    Returns:
        Whole numbers from 1 to the number of years, shape (years, *members).
    """
    eroding = rate > 0.0
    span = jnp.rint(depth / jnp.where(eroding, rate, depth))
    return jnp.clip(span, 1, rate.shape[0]).astype(int)


def moving_mean(stock: jax.Array, window: jax.Array, begins: jax.Array) -> jax.Array:
    """Mean of each year and the years before it, inside its window and its phase.

    Args:
        stock: shape (years, *members).
        window: years averaged over, at least 1; shape (years, *members), broadcasts against ``stock``.
        begins: first year of each year's phase, from :func:`phase_begins`; same.

    Returns:
        Shape and unit of ``stock``; the stock itself where the window is 1.
    """
    level = stock.mean(axis=0)  # sums of differences from it keep their digits over thousands of years
    summed = jnp.cumsum(stock - level, axis=0)
    summed = jnp.concatenate([jnp.zeros_like(summed[:1]), summed])
    window, begins = (jnp.broadcast_to(_aligned(one, stock.ndim), stock.shape) for one in (window, begins))
    end = _aligned(jnp.arange(1, len(stock) + 1), stock.ndim)
    first = jnp.maximum(end - window, begins)
    mean = level + (summed[1:] - jnp.take_along_axis(summed, first, axis=0)) / (end - first)
    # rounding must not take the mean of a stock below what a stock can be
    return jnp.where(end - first == 1, stock, jnp.maximum(mean, 0.0))


def _aligned(values: jax.Array, ndim: int) -> jax.Array:
    """Years first, then axes of length 1 for the members that ``values`` lacks."""
    return values.reshape(len(values), *(1,) * (ndim - values.ndim), *values.shape[1:])
