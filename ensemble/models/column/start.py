"""Initial state of the column: bare parent material, a given or uniform carbon profile, or equilibrium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ensemble.models.column.site import Site, Soil
from ensemble.models.column.year import Choices, Column, Year, modifiers, turnover
from ensemble.models.decomposition import Pools

# Protection by pores follows the carbon; the solve is repeated so often (each repeat gains about two digits).
REPEATS = 8


def initial_state(initial: str, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices) -> Column:
    """State before the first year.

    Args:
        initial: ``none`` (parent material without carbon), ``given`` or ``uniform`` (that carbon in the
            proportions of the pools at equilibrium; as :func:`_in_proportion` where there is none), ``equilibrium`` (of the first year's vegetation).
        year: drivers of the first year.
        site, inputs, choices: the member.
    """
    thickness = jnp.asarray(choices.layers.thickness, site.mass.dtype)
    soil = jax.tree.map(lambda amount: amount * thickness, site.parent)
    zero = jnp.zeros((), thickness.dtype)
    state = Column(soil, Pools(zero, zero, zero, zero), zero)
    if initial == "none":
        return state
    balanced = equilibrium(state, year, site, inputs, choices)
    if initial == "equilibrium":
        return balanced
    carbon = inputs["initial_soc"] if initial == "given" else inputs["initial_stock"] * thickness / thickness.sum()
    return state._replace(soil=soil._replace(pools=_in_proportion(carbon, balanced.soil.pools, site)))


def _in_proportion(carbon: jax.Array, pools: Pools, site: Site) -> Pools:
    """Carbon of each layer in the proportions of the pools there.

    Where nothing arrives in the first year there is no equilibrium; carbon is then what lasts without input, the
    slowest mode of decay.
    """
    held = pools.total > 0.0
    slowest = site.modes.vectors[:, -1]
    scale = jnp.where(held, carbon / jnp.where(held, pools.total, 1.0), 0.0)
    rest = jnp.where(held, 0.0, carbon) / slowest.sum()
    return Pools(*(pool * scale + rest * part for pool, part in zip(pools, slowest, strict=True)))


def equilibrium(state: Column, year: Year, site: Site, inputs: Mapping[str, Any], choices: Choices) -> Column:
    """Carbon at which a year without events changes nothing, by a linear solve; minerals are held.

    The yearly map of the carbon is affine while protection is held: ``C -> A C + u``, so
    ``C = (I - A)**-1 u``. Protection by pores follows the carbon, so the solve is repeated with the
    protection of the last one.
    """
    minerals = state.soil.minerals

    def joined(pools: Pools, litter: Pools) -> jax.Array:
        return jnp.stack([jnp.append(*pair) for pair in zip(pools, litter, strict=True)])

    def solve(carbon: jax.Array, _: None) -> tuple[jax.Array, None]:
        held = modifiers(Soil(Pools(*carbon[:, :-1]), minerals), site, inputs, choices)[0]

        def yearly(flat: jax.Array) -> jax.Array:
            now = flat.reshape(carbon.shape)
            soil = Soil(Pools(*now[:, :-1]), minerals)
            soil, litter, _, _ = turnover(soil, Pools(*now[:, -1]), year, site, inputs, choices, held)
            return joined(soil.pools, litter).ravel()

        zero = jnp.zeros(carbon.size, carbon.dtype)
        offset = yearly(zero)
        matrix = jax.jacfwd(yearly)(zero)
        return jnp.linalg.solve(jnp.eye(zero.size, dtype=zero.dtype) - matrix, offset).reshape(carbon.shape), None

    carbon = joined(state.soil.pools, state.litter)
    carbon, _ = jax.lax.scan(solve, carbon, None, length=REPEATS)
    return state._replace(soil=Soil(Pools(*carbon[:, :-1]), minerals), litter=Pools(*carbon[:, -1]))
