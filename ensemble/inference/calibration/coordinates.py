"""Coordinates in which a posterior is nearer to a Gaussian: ridges made straight, steep ends made gentle.

A model declares them (:class:`~ensemble.models.base.Ridge`, :class:`~ensemble.models.base.Wall`); their constants are
computed here from the observations of the site whose stock fell most. The prior is kept exactly: a ridge moves one
score by a function of the others, which preserves volume, and a wall stretches one score, with its Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ensemble.inference.calibration.hoist import hoist
from ensemble.inference.calibration.parameters import Parameter, Parameters
from ensemble.models.base import resolve
from ensemble.plan import Plan
from ensemble.propagate import perturbed_inputs

# A curve through the first and the last observation needs a decline that stands out from the errors.
_LEAST_DECLINE, _LEAST_YEARS = 0.2, 5.0
# Beyond a wall a coordinate moves its score this much more slowly; the turn takes about this many scores.
_BEYOND, _TURN = 0.1, 0.4

Straighten = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


class Site(NamedTuple):
    """Where the constants come from: pair of scenario and site, the number of each, observed decline."""

    pair: int
    arm: int
    place: int
    observed: dict[str, float]


def straight_coordinates(
    plan: Plan, rows: pd.DataFrame, parameters: Parameters, arms: np.ndarray, places: np.ndarray
) -> Straighten:
    """From straightened coordinates to scores and the logarithm of the Jacobian.

    Args:
        plan: the study.
        rows: observations, with ``pair`` and ``held_out``.
        parameters: the free parameters.
        arms, places: scenario and site of each pair.
    """
    walls, ridges = [], []
    for wall in plan.bound.model.walls:
        entry, site = _entry(plan, parameters, wall.input), _site(rows, wall.variable, arms, places)
        if entry is not None and site is not None:
            turn = _turn(plan, parameters, entry, wall.input, site, float(resolve(wall.limit)(site.observed)))
            walls += [] if turn is None else [(parameters.offset(entry.label), turn)]
    for ridge in plan.bound.model.ridges:
        entry, site = _entry(plan, parameters, ridge.input), _site(rows, ridge.variable, arms, places)
        if entry is not None and site is not None:
            shift = _shift(plan, parameters, entry, resolve(ridge.centre), site)
            ridges.append((parameters.offset(entry.label), shift))

    def straighten(coordinates: jax.Array) -> tuple[jax.Array, jax.Array]:
        scores, jacobian = coordinates, jnp.zeros(())
        for place, turn in walls:
            score, slope = gentle(coordinates[place], turn)
            scores, jacobian = scores.at[place].set(score), jacobian + jnp.log(slope)
        for place, shift in ridges:
            scores = scores.at[place].add(shift(scores.at[place].set(0.0)))
        return scores, jacobian

    return straighten


def gentle(coordinate: jax.Array, turn: float) -> tuple[jax.Array, jax.Array]:
    """A score that follows its coordinate up to a wall and moves ten times more slowly beyond; and its slope."""
    ahead = (turn - coordinate) / _TURN
    score = turn - (1.0 - _BEYOND) * _TURN * jax.nn.softplus(ahead) - _BEYOND * (turn - coordinate)
    return score, _BEYOND + (1.0 - _BEYOND) * jax.nn.sigmoid(ahead)


def _entry(plan: Plan, parameters: Parameters, name: str) -> Parameter | None:
    """The one positive number that all sites share and that acts on an input; ``None`` where there is no such."""
    labels = {s.label for s in plan.uncertainty.scalars if s.input == name and s.how != "offset"}
    found = [entry for entry in parameters.entries if entry.label in labels and not entry.axis]
    return found[0] if len(found) == 1 else None


def _site(rows: pd.DataFrame, variable: str, arms: np.ndarray, places: np.ndarray) -> Site | None:
    """The pair whose value fell most between its first and last fitted observation."""
    best: tuple[float, Site] | None = None
    for pair, group in rows[(rows["variable"] == variable) & ~rows["held_out"]].groupby("pair"):
        time, value = (np.asarray(group[name], float) for name in ("time", "value"))
        first, last = float(value[np.argmin(time)]), float(value[np.argmax(time)])
        years = float(np.ptp(time))
        fall, index = (1.0 - last / first if first > 0 else 0.0), int(str(pair))
        if years >= _LEAST_YEARS and fall >= _LEAST_DECLINE and (best is None or fall > best[0]):
            observed = {"first": first, "last": last, "years": years}
            best = fall, Site(index, int(arms[index]), int(places[index]), observed)
    return None if best is None else best[1]


def _inputs_at(plan: Plan, parameters: Parameters, site: Site) -> tuple[dict[str, jax.Array], Callable[..., Any]]:
    """Central inputs of a site, and the function from them and the scores to what the model reads there."""
    read = perturbed_inputs(plan)
    labels = {scalar.label for scalar in plan.uncertainty.scalars}
    base = {
        name: jnp.asarray(array[site.arm if array.shape[0] > 1 else 0, site.place if array.shape[1] > 1 else 0])
        for name, array in plan.base.values.items()
    }

    def inputs(base: Mapping[str, Any], scores: jax.Array) -> dict[str, Any]:
        by_pair = parameters.by_pair(parameters.values(scores), labels)
        numbers = {k: v[site.pair] if jnp.ndim(v) else v for k, v in by_pair.items()}
        return read(numbers, {}, 0, base)

    return base, inputs


def _shift(
    plan: Plan, parameters: Parameters, entry: Parameter, centre: Callable[..., jax.Array], site: Site
) -> Callable[[jax.Array], jax.Array]:
    """By how much a score moves along its ridge, from the other scores; 0 at the centre of the prior."""
    base, inputs = _inputs_at(plan, parameters, site)
    origin = jnp.zeros(parameters.size)
    quick = hoist(lambda base, scores: centre(inputs(base, scores), site.observed), base, origin)
    low, high = (float(entry.value(jnp.asarray(z))) for z in (-0.5, 0.5))
    slope = float(np.log(high / low)) if low > 0.0 else np.inf
    reference = float(quick(origin))
    return lambda scores: (quick(scores) - reference) / slope


def _turn(plan: Plan, parameters: Parameters, entry: Parameter, name: str, site: Site, limit: float) -> float | None:
    """Score at which an input reaches a limit, all others at their centre; ``None`` outside of -8 to 8."""
    base, inputs = _inputs_at(plan, parameters, site)
    place = parameters.offset(entry.label)

    def reached(scores: jax.Array) -> jax.Array:
        return jax.vmap(lambda z: inputs(base, jnp.zeros(parameters.size).at[place].set(z))[name])(scores)

    grid = jnp.linspace(-8.0, 8.0, 1601)
    values = np.asarray(jax.jit(reached)(grid))
    above = np.flatnonzero(values >= limit)
    return float(grid[above[0]]) if len(above) and above[0] > 0 else None
