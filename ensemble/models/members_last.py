"""Mapping with members last, for models that take further axes after their own (``Model.members_last``).

``jax.vmap`` puts the axis of members first in every loop over time, so that layers are contiguous in memory and
vector instructions work on twenty numbers at a time. With members last they work on thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from ensemble.models.base import Simulate


def members_last(simulate: Simulate) -> Simulate:
    """The same function, which every ``jax.vmap`` around it calls once, with its axis added last.

    Inputs that are not mapped get an axis of length 1. The result has derivatives in forward mode only.

    Args:
        simulate: from a model whose record says ``members_last``.
    """

    @custom_vmap
    def mapped(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return simulate(inputs)

    @mapped.def_vmap
    def rule(size: int, is_mapped: tuple[Mapping[str, bool]], inputs: Mapping[str, Any]) -> tuple[Any, Any]:
        along = is_mapped[0]
        moved = {n: jnp.moveaxis(v, 0, -1) if along[n] else jnp.asarray(v)[..., None] for n, v in inputs.items()}
        found = jax.tree.map(lambda a: jnp.moveaxis(a, -1, 0), mapped(moved))
        return found, jax.tree.map(lambda _: True, found)

    return lambda inputs: mapped(dict(inputs))
