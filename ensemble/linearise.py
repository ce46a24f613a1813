"""The first-order (delta) view of a plan: gradients of every output with respect to every scalar draw.

One forward-mode pass at the central values, for each scenario and site. It checks the Monte Carlo answer
(for a model that is nearly linear within its errors both agree) and gives the first-order tornado. Noise
series and weather have thousands of dimensions and are left out; structural options stay at their most
probable value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.plan import Plan
from ensemble.plan.posterior import PosteriorDraw
from ensemble.propagate import member_function


@dataclass(frozen=True)
class Linearised:
    """Derivatives at the central values.

    Args:
        labels: the scalar draws, in order.
        sd: standard deviation of each, shape (d, 1 or sites).
        correlation: correlation of their normal scores, shape (d, d).
        jacobian: by output, shape (d, scenarios, sites, *dims).
    """

    labels: tuple[str, ...]
    sd: np.ndarray
    correlation: np.ndarray
    jacobian: Mapping[str, np.ndarray]


def linearise(plan: Plan, sites: slice = slice(None)) -> Linearised | None:
    """Gradients of a plan's outputs at some sites; ``None`` where no scalar is drawn from a distribution."""
    scalars = [s for s in plan.uncertainty.scalars if s.distribution is not None or isinstance(s, PosteriorDraw)]
    if not scalars:
        return None
    quiet = replace(
        plan, uncertainty=replace(plan.uncertainty, noises=(), weather=()), observations=plan.observations[:0]
    )
    count = len(plan.sites)
    centre = np.stack([np.broadcast_to(scalar.base, (count,))[sites] for scalar in scalars])
    sd = np.stack([np.broadcast_to(scalar.sd(), (count,))[sites] for scalar in scalars])
    with jax.enable_x64(plan.float64):
        jacobian = jax.device_get(_jacobians(quiet, tuple(s.label for s in scalars))(*_arguments(quiet, centre, sites)))
    moved = {name: np.moveaxis(array, -1, 0).swapaxes(1, 2) for name, array in jacobian.items()}
    return Linearised(tuple(s.label for s in scalars), sd, _correlation(plan, scalars), moved)


def _arguments(plan: Plan, centre: np.ndarray, sites: slice) -> tuple[Any, ...]:
    real = np.float64 if plan.float64 else np.float32
    base = {
        name: np.broadcast_to(a, (a.shape[0], len(plan.sites), *a.shape[2:]))[:, sites]
        for name, a in plan.base.values.items()
    }
    base = {name: np.moveaxis(array, 1, 0).astype(real) for name, array in base.items()}
    return centre.T.astype(real), base


def _jacobians(plan: Plan, labels: tuple[str, ...]) -> Any:
    """Compiled: (sites, d) centres and base inputs to derivatives of shape (sites, scenarios, *dims, d)."""
    one = member_function(plan)
    codes = {entry.label: _most_probable(entry.distribution) for entry in plan.uncertainty.options}

    def outputs(numbers: jax.Array, base: Mapping[str, Any]) -> Any:
        drawn = {label: numbers[index] for index, label in enumerate(labels)}
        drawn |= {label: jnp.asarray(code, numbers.dtype) for label, code in codes.items()}
        return one(drawn, {}, 0, base, 0)[0]

    def at_site(arguments: tuple[jax.Array, Mapping[str, Any]]) -> Any:
        numbers, base = arguments
        axes = {name: 0 if len(plan.base.values[name]) > 1 else None for name in base}
        base = {name: value if axes[name] == 0 else value[0] for name, value in base.items()}
        arms = jax.vmap(jax.jacfwd(outputs), in_axes=(None, axes), axis_size=len(plan.scenarios))
        return arms(numbers, base)

    return jax.jit(lambda numbers, base: jax.lax.map(at_site, (numbers, base)))


def _most_probable(distribution: Any) -> int:
    probabilities = np.diff(np.concatenate([[0.0], distribution.cdf(np.arange(len(distribution.values)))]))
    return int(np.argmax(probabilities))


def _correlation(plan: Plan, scalars: list[Any]) -> np.ndarray:
    matrix = np.eye(len(scalars))
    for copula in (plan.uncertainty.copulas or {}).values():
        places = [index for index, scalar in enumerate(scalars) if scalar.label in copula.names]
        columns = [copula.names.index(scalars[index].label) for index in places]
        matrix[np.ix_(places, places)] = copula.correlation[np.ix_(columns, columns)]
    for stream in {scalar.stream for scalar in scalars if isinstance(scalar, PosteriorDraw)}:
        places = [index for index, scalar in enumerate(scalars) if scalar.stream == stream]
        drawn = [scalars[index].draws.reshape(len(scalars[index].draws), -1)[:, 0] for index in places]
        matrix[np.ix_(places, places)] = np.atleast_2d(np.corrcoef(drawn))
    return matrix
