"""Randomness that belongs to a draw, never to a chunk, a device or an order of execution.

Every random number in the package comes from a key made here, from the study's seed, the name of a stream
(an input, a noise series, a spatial field) and the index of a draw. Two members that share a draw index
share that stream exactly; the design decides who shares what.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # designs and decompositions of given outputs need no JAX
    import jax


def stream_number(stream: str) -> int:
    """Stable 32-bit number of a stream's name (the same on every platform and Python)."""
    return zlib.crc32(stream.encode("utf-8"))


def stream_key(seed: int, stream: str) -> jax.Array:
    """Key of a stream; its draws fold their index into it."""
    import jax

    return jax.random.fold_in(jax.random.key(seed), stream_number(stream))


def draw_key(seed: int, stream: str, draw: jax.typing.ArrayLike, site: jax.typing.ArrayLike | None = None) -> jax.Array:
    """Key of one draw of one stream, traceable in ``draw`` and ``site``.

    Args:
        seed: the study's seed.
        stream: name of the stream.
        draw: draw index, a non-negative integer below 2**32 (scalar, may be traced).
        site: site index for streams that differ between sites; ``None`` for streams shared by all.
    """
    import jax

    key = jax.random.fold_in(stream_key(seed, stream), draw)
    return key if site is None else jax.random.fold_in(key, site)


def host_seed(seed: int, stream: str) -> list[int]:
    """Entropy for a NumPy or SciPy generator of a stream that is drawn on the host."""
    return [seed, stream_number(stream)]
