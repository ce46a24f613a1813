"""Protection of soil organic carbon: the four rate modifiers of SoilGen 3.8.2 and their minimum.

Source: van der Meij and Finke, "Modelling long-term soil organic carbon sequestration under varying
environmental drivers and internal protection mechanisms", Table 1. A modifier of 1 is no protection, the
floor (0.8 in the paper) full protection; the modifier that applies is the smallest.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

# Order of the mechanisms wherever they are numbered (0 is no mechanism).
MECHANISMS = ("clay", "mooh", "aggregation", "pores")


def clay_modifier(clay_1_1: jax.Array, clay_2_1: jax.Array, floor: jax.Array | float = 0.8) -> jax.Array:
    """Bonding to clay minerals: ``floor + (1 - floor) K / (K + S)``.

    Args:
        clay_1_1, clay_2_1: masses K of 1:1 and S of 2:1 clay minerals, any common unit, at least 0.
        floor: value where all clay is 2:1 (B1, 0.8 in Table 1). Without any clay the modifier is 1.
    """
    total = clay_1_1 + clay_2_1
    present = total > 0.0
    share = jnp.where(present, clay_1_1 / jnp.where(present, total, 1.0), 1.0)
    return floor + (1.0 - floor) * share


def mooh_modifier(metals: jax.Array, strength: jax.Array | float = 5.0, floor: jax.Array | float = 0.8) -> jax.Array:
    """Metal oxyhydroxides: ``max(floor, exp(-strength (Al + Fe)))``.

    Args:
        metals: summed Al3+, Fe2+ and Fe3+ in the soil solution, mmol dm-3, at least 0.
        strength: B2, dm3 mmol-1 (5 in Table 1).
        floor: smallest value (0.8 in Table 1, reached at 0.0446 mmol dm-3).
    """
    return jnp.maximum(floor, jnp.exp(-strength * metals))


def aggregation_modifier(
    base_saturation: jax.Array,
    calcite: jax.Array,
    by_bases: jax.Array | float = 0.2,
    by_calcite: jax.Array | float = 0.2,
) -> jax.Array:
    """Aggregation: ``min(1 - B3a BS, 1 - B3b calcite)``.

    Args:
        base_saturation: fraction of the exchange sites, 0 to 1 (Table 1 writes it in %).
        calcite: mass fraction, 0 to 1.
        by_bases, by_calcite: B3a and B3b (0.2 both in Table 1).
    """
    return jnp.minimum(1.0 - by_bases * base_saturation, 1.0 - by_calcite * calcite)


def pore_modifier(wet: jax.Array, dry: jax.Array, floor: jax.Array | float = 0.8) -> jax.Array:
    """Pores too small for microbes: ``floor + (1 - floor) meso / (meso + micro)``.

    Args:
        wet: water content at -20 hPa (meso + micro pores), above 0.
        dry: water content at -600 hPa (micro pores), same unit.
        floor: value without mesopores (B4, 0.8 in Table 1).
    """
    return floor + (1.0 - floor) * (1.0 - dry / wet)


def strongest(modifiers: Sequence[jax.Array], width: jax.Array | float | None = None) -> jax.Array:
    """The modifier that applies: the smallest, exactly or smoothly.

    Args:
        modifiers: modifiers of the mechanisms at work, any common shape; empty means no protection.
        width: ``None`` for the exact minimum of Table 1; else the width ``w`` of the smooth minimum
            ``-w log(sum(exp(-d / w)) / n)``, which has a gradient in every modifier, equals them where they
            are equal, and exceeds the exact minimum by at most ``w log(n)``.
    """
    if not modifiers:
        return jnp.asarray(1.0)
    if width is None or len(modifiers) == 1:
        smallest = modifiers[0]
        for modifier in modifiers[1:]:
            smallest = jnp.minimum(smallest, modifier)
        return smallest
    stacked = jnp.stack(jnp.broadcast_arrays(*modifiers))
    return -width * (jax.nn.logsumexp(-stacked / width, axis=0) - jnp.log(float(len(modifiers))))
