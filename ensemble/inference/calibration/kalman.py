"""Process noise on the pools of a linear model: the Kalman filter's likelihood, and the same as one Gaussian.

Pools follow ``C_k = A_k C_{k-1} + u_k + w_k`` with ``w_k ~ N(0, Q_k)`` and are observed as ``y_k = H_k C_k + v_k``,
``v_k ~ N(0, R_k)``. Where the noise does not depend on the unknown pools this is exact. Source: Sarkka (2013),
Bayesian Filtering and Smoothing, Cambridge, chapter 4.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from ensemble.inference.calibration.errors import white_log_density
from ensemble.models.linear import Affine, apply


class State(NamedTuple):
    """Gaussian knowledge of the pools: mean, shape (pools,), and covariance, shape (pools, pools)."""

    mean: jax.Array
    covariance: jax.Array


class Dates(NamedTuple):
    """A linear Gaussian model between and at its dates, leading axis dates.

    Args:
        maps: what the interval before each date does to the pools.
        noise: covariance that the process adds in the interval, (dates, pools, pools).
        observe: from pools to the measured values, (dates, values, pools).
        offset: what is added to them (inert carbon), (dates, values).
        error: covariance of the measurement errors, (dates, values, values).
        measured: the values, (dates, values).
    """

    maps: Affine
    noise: jax.Array
    observe: jax.Array
    offset: jax.Array
    error: jax.Array
    measured: jax.Array


def step(state: State, date: Dates) -> tuple[State, jax.Array]:
    """Knowledge after one date, and the log density of what was measured there given all before.

    Args:
        state: knowledge after the date before.
        date: one date (no leading axis).
    """
    mean = apply(date.maps, state.mean)
    covariance = date.maps.matrix @ state.covariance @ date.maps.matrix.T + date.noise
    innovation = date.measured - date.observe @ mean - date.offset
    spread = date.observe @ covariance @ date.observe.T + date.error
    # one factor, and its solves in a row: two side by side can wait for each other (`white_log_density`)
    factor = jnp.linalg.cholesky(spread)
    both = jnp.concatenate([innovation[:, None], date.observe @ covariance], axis=1)
    white = solve_triangular(factor, both, lower=True)
    gain = solve_triangular(factor, white[:, 1:], lower=True, trans=1).T
    kept = jnp.eye(mean.size, dtype=mean.dtype) - gain @ date.observe
    updated = kept @ covariance @ kept.T + gain @ date.error @ gain.T  # Joseph's form keeps it symmetric and positive
    return State(mean + gain @ innovation, updated), white_log_density(white[:, 0], factor)


def filtered(start: State, dates: Dates) -> tuple[State, jax.Array]:
    """Knowledge after the last date, and the log density of each date given those before it, shape (dates,).

    The sum of the densities is the log evidence; going on from the returned state with later dates gives the same as
    filtering all at once.
    """
    return jax.lax.scan(step, start, dates)


def pool_covariance(maps: Affine, noise: jax.Array, start: jax.Array) -> jax.Array:
    """Covariance of the pools at all dates under process noise, shape (dates, dates, pools, pools).

    Block (j, i) for j >= i is ``A_j ... A_{i+1} P_i`` with ``P_i = A_i P_{i-1} A_i' + Q_i``.

    Args:
        maps: what the interval before each date does, leading axis dates.
        noise: covariance added in each interval, (dates, pools, pools).
        start: covariance before the first interval, (pools, pools).
    """
    count = noise.shape[0]

    def forward(before: jax.Array, interval: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        matrix, added = interval
        now = matrix @ before @ matrix.T + added
        return now, now

    _, own = jax.lax.scan(forward, start, (maps.matrix, noise))
    index = jnp.arange(count)

    def later(blocks: jax.Array, interval: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        matrix, date = interval
        moved = jnp.einsum("ij,djk->dik", matrix, blocks)
        blocks = jnp.where((index < date)[:, None, None], moved, jnp.where((index == date)[:, None, None], own, 0.0))
        return blocks, blocks

    _, lower = jax.lax.scan(later, jnp.zeros_like(own), (maps.matrix, index))
    upper = jnp.einsum("jikl->ijlk", lower)
    same = (index[:, None] == index[None, :])[..., None, None]
    return jnp.where(same, lower, lower + upper)


def interval_noise(maps: Affine, start: jax.Array, years: jax.Array, rate: jax.Array) -> jax.Array:
    """Noise that each interval adds when every pool does a relative random walk: (dates, pools, pools).

    The variance is ``rate^2 C_k^2`` a year with C_k the noise-free pools at the end of the interval (its scale is then
    fixed given the parameters, which keeps the model linear and Gaussian).

    Args:
        maps: of the intervals.
        start: pools before the first, (pools,).
        years: length of each interval, (dates,).
        rate: standard deviation per square root of a year, as a fraction of the pool.
    """

    def forward(pools: jax.Array, one: Affine) -> tuple[jax.Array, jax.Array]:
        pools = apply(one, pools)
        return pools, pools

    _, course = jax.lax.scan(forward, start, maps)
    return jax.vmap(jnp.diag)(rate**2 * years[:, None] * course**2)
