"""From the state of a date onwards: what the model says, with each error added in turn.

Layers of a forecast, each adding one error to the one before:

``parameter``
    the model's truth at each particle, its state at the mean that the measurements left;
``state``
    the state drawn from what the measurements left;
``process``
    noise on the pools, and the course of the model error, from the date onwards;
``measurement``
    what a laboratory would report: shared errors and that of the row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.inference.assimilation.batches import over_particles
from ensemble.inference.assimilation.system import System
from ensemble.inference.calibration.kalman import Dates, State, step
from ensemble.models.linear import apply, trajectory

LAYERS = ("parameter", "state", "process", "measurement")


class Now(NamedTuple):
    """What is known at a date, one particle.

    Args:
        state: of the system, after the values of the date.
        pools: mean of the pools, (pairs, pools); ``None`` for a model without noise on its pools.
        spread: their standard deviation given the particle, (pairs, pools).
    """

    state: State
    pools: jax.Array | None
    spread: jax.Array | None


def make_known(system: System, given: np.ndarray, batch: int) -> Callable[[jax.Array, Any], Now]:
    """What the exact filter knows at a date.

    Args:
        system: of the rows that were measured and those to be forecast.
        given: 1 for rows whose values are taken in, (rows,).
        batch: particles evaluated in one step.

    Returns:
        A function from scores (particles, size) and the number of the last date that is taken in (-1 for none).
    """

    def one(scores: jax.Array, last: jax.Array) -> Now:
        values = system.problem.parameters.values(scores)
        dates = only(system, system.dates(values)[0], given)

        def learn(state: State, now: tuple[Dates, jax.Array]) -> tuple[State, None]:
            after, _ = step(state, now[0])
            return jax.tree.map(lambda new, old: jnp.where(now[1] <= last, new, old), after, state), None

        known, _ = jax.lax.scan(learn, system.start(values), (dates, jnp.arange(len(system.times))))
        return _now(system, values, known, last)

    return jax.jit(lambda scores, last: over_particles(lambda s: one(s, last), scores, batch))


@jax.jit
def draw_states(state: State, keys: jax.Array) -> jax.Array:
    """One draw of the state of each particle, (particles, size)."""

    def one(state: State, key: jax.Array) -> jax.Array:
        values, vectors = jnp.linalg.eigh(state.covariance)  # it may be singular
        root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
        return state.mean + root @ jax.random.normal(key, state.mean.shape)

    return jax.vmap(one)(state, keys)


def make_layers(system: System, origin: np.ndarray, batch: int) -> Callable[..., jax.Array]:
    """Layers of every row after a date.

    Args:
        system: of the rows that were measured and those to be forecast.
        origin: element of the state that each element continues after the date of the forecast, itself in most cases;
            arms of a study that branch off there continue the arm that was measured, with the same noise, (size,).
        batch: particles evaluated in one step.

    Returns:
        A function from scores (particles, size), mean and draw of the state at a date (particles, state size), the
        number of the date (-1 for the start) and keys to layers (particles, 4, rows); rows up to the date mean nothing.
    """

    def one(scores: jax.Array, mean: jax.Array, drawn: jax.Array, key: jax.Array, last: jax.Array) -> jax.Array:
        values = system.problem.parameters.values(scores)
        dates, predicted = system.dates(values)
        first, second = jax.random.split(key)

        def move(carry: tuple, now: tuple[Dates, jax.Array, jax.Array]) -> tuple[tuple, tuple]:
            date, normal, number = now
            noise = (jnp.sqrt(jnp.diagonal(date.noise)) * normal)[origin]  # noise of pools and courses is diagonal
            later = tuple(apply(date.maps, x) + added for x, added in zip(carry, (0.0, 0.0, noise), strict=True))
            carry = jax.tree.map(lambda new, old: jnp.where(number > last, new, old), later, carry)
            return carry, carry

        normals = jax.random.normal(first, (len(system.times), system.size))
        start = mean[origin], drawn[origin], drawn[origin]
        _, courses = jax.lax.scan(move, start, (dates, normals, jnp.arange(len(system.times))))
        away = _rows(system, values, predicted, courses, second)
        return jnp.where(system.problem.errors.is_log, predicted * jnp.exp(away), predicted + away)

    return jax.jit(
        lambda scores, mean, drawn, keys, last: over_particles(
            lambda a: one(a[0], a[1], a[2], a[3], last), (scores, mean, drawn, keys), batch
        )
    )


def only(system: System, dates: Dates, given: np.ndarray) -> Dates:
    """Dates at which the rows that are not given say nothing: they observe nothing, and are 0 under N(0, 1)."""
    taken = jnp.asarray(np.append(given.astype(float), 0.0)[system.slots])
    both = taken[:, :, None] * taken[:, None, :]
    return dates._replace(
        observe=dates.observe * taken[:, :, None],
        error=dates.error * both + jax.vmap(jnp.diag)(1.0 - taken),
        measured=dates.measured * taken,
    )


def _rows(system: System, values: dict, predicted: jax.Array, courses: tuple, key: jax.Array) -> jax.Array:
    """Deviation of each layer at each row, on the scale of the likelihood, (4, rows)."""
    parts = system.problem.errors.parts(predicted, values)
    loadings = system.loadings(values, predicted, parts)
    rows = system.problem.rows["time"].to_numpy(float)
    date = np.searchsorted(system.times, rows)
    mean, drawn, noisy = ((loadings * system.of_model * course[date]).sum(axis=1) for course in courses)
    whole = (loadings * courses[2][date]).sum(axis=1)
    first, second = jax.random.split(key)
    own = jnp.sqrt(system.problem.errors.own_variance(values)) * jax.random.normal(first, whole.shape)
    whole = whole + own
    for number, part in enumerate(parts):
        if part.kind == "static":
            group = within_date_groups(system, number)
            normal = jax.random.normal(jax.random.fold_in(second, number), (len(rows) + 1,))
            whole = whole + jnp.where(group >= 0, normal[group], 0.0) * part.weight
    return jnp.stack([mean, drawn, noisy, whole])


def within_date_groups(system: System, part: int) -> np.ndarray:
    """Number of the group of each row in which rows of one date share an error, -1 for none, (rows,)."""
    together = system.problem.errors.sources[part].together
    linked = np.zeros(len(together))
    for entry in system.shared:
        if entry.part == part:
            linked = linked + entry.rows
    first = together.argmax(axis=1)
    return np.where((np.diag(together) > 0) & (linked == 0), first, -1)


def _now(system: System, values: dict, known: State, last: jax.Array) -> Now:
    if not system.pools:
        return Now(known, None, None)
    course = system.problem.pools
    assert course is not None
    maps, start, _ = course.build(values)
    pools = jax.vmap(trajectory)(maps, start)
    record = jnp.asarray(system.records_of_dates)[jnp.maximum(last, 0)]
    size, shape = system.pairs * system.pools, (system.pairs, system.pools)
    deviation = known.mean[:size].reshape(shape)
    spread = jnp.sqrt(jnp.maximum(jnp.diagonal(known.covariance)[:size], 0.0)).reshape(shape)
    return Now(known, jnp.where(last < 0, start, pools[:, record] + deviation), spread)
