"""Uniform numbers from counters: addressed by stream, draw and site, the same in any order or chunk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.keys import stream_key

if TYPE_CHECKING:  # a design of scalar inputs needs no JAX
    import jax

# Numbers that are made at once; each passes through some arrays on its way.
BLOCK = 2**18


def counter_uniforms(seed: int, stream: str, draws: np.ndarray) -> np.ndarray:
    """One uniform number a draw of a stream.

    Args:
        seed: the study's seed.
        stream: name of the stream.
        draws: draw indices ``(n,)``, integers from 0 to 2**32 - 1, in any order, repeated or not.

    Returns:
        ``(n,)`` float64, strictly between 0 and 1.
    """
    draws, count = _padded(draws)
    return _open_interval(np.asarray(_draw_words()(stream_key(seed, stream), draws))[:count])


def site_uniforms(seed: int, stream: str, draws: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Independent uniform numbers for each draw and site of a stream.

    A number depends on its own draw and site only, so any subset of either gives the same numbers.

    Args:
        seed, stream, draws: as in :func:`counter_uniforms`.
        sites: site indices ``(sites,)``, integers from 0 to 2**32 - 1.

    Returns:
        ``(n, sites)`` float64, strictly between 0 and 1.
    """
    root, uniforms = stream_key(seed, stream), np.empty((len(draws), len(sites)))
    sites, columns = _padded(sites)
    step = max(1, BLOCK // len(sites))
    for start in range(0, len(uniforms), step):
        block, rows = _padded(draws[start : start + step])
        words = np.asarray(_site_words()(root, block, sites))[:rows, :columns]
        uniforms[start : start + step] = _open_interval(words)
    return uniforms


def _padded(indices: np.ndarray) -> tuple[np.ndarray, int]:
    """Indices lengthened to a power of two, so that few shapes are ever compiled, and how many are real."""
    indices = np.asarray(indices)
    length = 1 << max(len(indices) - 1, 0).bit_length()
    return np.resize(indices, length).astype(np.uint32) if len(indices) else np.zeros(1, np.uint32), len(indices)


@cache
def _draw_words() -> Callable[..., Any]:
    import jax

    def words(root: jax.Array, draw: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(root, draw), (2,), "uint32")

    return jax.jit(jax.vmap(words, (None, 0)))


@cache
def _site_words() -> Callable[..., Any]:
    import jax

    def words(root: jax.Array, draw: jax.Array, site: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(jax.random.fold_in(root, draw), site), (2,), "uint32")

    return jax.jit(jax.vmap(jax.vmap(words, (None, None, 0)), (None, 0, None)))


def _open_interval(words: np.ndarray) -> np.ndarray:
    """Two 32-bit words to the middle of one of 2**52 equal cells: never 0, never 1."""
    whole = (words[..., 0].astype(np.uint64) << np.uint64(32)) | words[..., 1]
    return ((whole >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
