"""Initial state of the column: bare parent material, a given or uniform carbon profile, or equilibrium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ensemble.models.column.site import Site
from ensemble.models.column.year import Choices, Column, Year, modifiers, turnover

# Protection by pores follows the carbon; the solve is repeated so often (each repeat gains about two digits).
REPEATS = 8


def initial_state(initial: str, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices) -> Column:
    """State before the first year.

    Args:
        initial: ``none`` (parent material without carbon), ``given`` or ``uniform`` (that carbon in the
            proportions of the pools at equilibrium), ``equilibrium`` (of the first year's vegetation).
        year: drivers of the first year.
        site, inputs, choices: the member.
    """
    thickness = jnp.asarray(choices.layers.thickness, site.mass.dtype)
    soil = site.parent[:, None] * thickness
    state = Column(soil, jnp.zeros(4, soil.dtype), jnp.zeros((), soil.dtype))
    if initial == "none":
        return state
    balanced = equilibrium(state, year, site, inputs, choices)
    if initial == "equilibrium":
        return balanced
    carbon = inputs["initial_soc"] if initial == "given" else inputs["initial_stock"] * thickness / thickness.sum()
    pools = balanced.soil[:4] / balanced.soil[:4].sum(axis=0)
    return state._replace(soil=soil.at[:4].set(carbon * pools))


def equilibrium(state: Column, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices) -> Column:
    """Carbon at which a year without events changes nothing, by a linear solve; minerals are held.

    The yearly map of the carbon is affine while protection is held: ``C -> A C + u``, so
    ``C = (I - A)**-1 u``. Protection by pores follows the carbon, so the solve is repeated with the
    protection of the last one.
    """
    minerals = state.soil[4:]
    count = state.soil.shape[1]

    def solve(carbon: jax.Array, _: None) -> tuple[jax.Array, None]:
        held = modifiers(jnp.concatenate([carbon[:, :-1], minerals]), site, inputs, choices)[0]

        def yearly(flat: jax.Array) -> jax.Array:
            carbon = flat.reshape(4, count + 1)
            soil = jnp.concatenate([carbon[:, :-1], minerals])
            soil, litter, _, _ = turnover(soil, carbon[:, -1], year, site, inputs, choices, held)
            return jnp.concatenate([soil[:4], litter[:, None]], axis=1).ravel()

        zero = jnp.zeros(4 * (count + 1), carbon.dtype)
        offset = yearly(zero)
        matrix = jax.jacfwd(yearly)(zero)
        return jnp.linalg.solve(jnp.eye(zero.size, dtype=zero.dtype) - matrix, offset).reshape(carbon.shape), None

    carbon = jnp.concatenate([state.soil[:4], state.litter[:, None]], axis=1)
    carbon, _ = jax.lax.scan(solve, carbon, None, length=REPEATS)
    return state._replace(soil=jnp.concatenate([carbon[:, :-1], minerals]), litter=carbon[:, -1])
