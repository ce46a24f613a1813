"""Gaussian random fields: errors that are alike in space, keyed by draw.

A field is white noise passed through the square root of a correlation. On a projected grid the root is
applied by FFT on a larger periodic grid (circulant embedding: Dietrich & Newsam 1997, SIAM J. Sci. Comput.
18, doi 10.1137/S1064827592240555), which is exact where the periodic correlation is non-negative definite.
At points it is a Cholesky factor, or for many points the sparse factor of Vecchia's approximation (Vecchia
1988; Katzfuss & Guinness 2021, Stat. Sci. 36, doi 10.1214/19-STS755).

Several variables share the noise: variable v is root_v applied to ``sum_u mixing[v, u] noise_u``. Any ranges
and nuggets then give a valid joint field, with a correlation at one place of mixing mixing^T times an overlap
that is 1 for equal ranges (the intrinsic model of coregionalisation). :func:`mixing_matrix` divides that
overlap out, so that the declared correlation is the correlation of the fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len

from ensemble.inputs.covariance import SpatialCorrelation, cell_correlation
from ensemble.keys import draw_key

Floats = NDArray[np.floating[Any]]

LARGEST_GRID = 1 << 24  # cells of a periodic grid, 64 MB in float32


class GridFields(NamedTuple):
    """Everything needed to draw joint fields on one projected grid.

    Args:
        shape: cells ``(y, x)``.
        roots: ``(variable, padded_y, padded_x // 2 + 1)`` square roots of the eigenvalues.
        mixing: ``(variable, variable)`` lower triangular.
        padded: ``(padded_y, padded_x)`` of the periodic grid.
        clipped: ``(variable,)`` share of the variance that negative eigenvalues below rounding held.
    """

    shape: tuple[int, int]
    roots: Floats
    mixing: Floats
    padded: tuple[int, int]
    clipped: Floats


def grid_fields(
    shape: tuple[int, int],
    cell: tuple[float, float],
    correlations: Sequence[SpatialCorrelation],
    between: ArrayLike | None = None,
) -> GridFields:
    """Prepare joint fields of unit stated variance on a projected grid.

    Args:
        shape: cells ``(y, x)``.
        cell: width and height of a cell, in the unit of the ranges.
        correlations: one for each variable.
        between: ``(variable, variable)`` correlation of the variables at one place; independent if ``None``.

    Raises:
        ValueError: no periodic grid of an allowed size is non-negative definite; the correlation between
            variables cannot be reached with their ranges.
    """
    padded, spectra = _embedding(shape, cell, tuple(correlations))
    negative = [float(-np.minimum(s, 0).sum() / s.sum()) for s in spectra]
    roots = np.stack([np.sqrt(np.maximum(s, 0)) for s in spectra])
    deviations = np.sqrt((roots**2).mean(axis=(1, 2)))
    overlap = np.einsum("uyx,vyx->uv", roots, roots) / roots[0].size / np.outer(deviations, deviations)
    half = padded[1] // 2 + 1
    return GridFields(shape, roots[:, :, :half], mixing_matrix(between, overlap), padded, np.array(negative))


def _embedding(
    shape: tuple[int, int], cell: tuple[float, float], correlations: tuple[SpatialCorrelation, ...]
) -> tuple[tuple[int, int], list[Any]]:
    """Smallest tried periodic grid on which every correlation has non-negative eigenvalues, and these."""
    size = [_fast_length(2 * max(n - 1, 1)) for n in shape]
    while size[0] * size[1] <= LARGEST_GRID:
        lags = [np.minimum(np.arange(n), n - np.arange(n)) for n in size]
        east, north = np.meshgrid(lags[1] * cell[0], lags[0] * cell[1])
        spectra = [np.fft.fft2(cell_correlation(c, east, north, cell)).real for c in correlations]
        if all(s.min() > -1e-9 * s.max() for s in spectra):
            return (size[0], size[1]), spectra
        shorter = 0 if size[0] * cell[1] <= size[1] * cell[0] else 1
        size[shorter] = _fast_length(int(size[shorter] * 1.5))
    longest = max(correlations, key=lambda c: c.length)
    raise ValueError(
        f"a correlation range of {longest.range:g} is too long for a grid of {shape[1]} x {shape[0]} cells of "
        f"{cell[0]:g} x {cell[1]:g}: no periodic grid below {LARGEST_GRID} cells holds it; shorten the range, lower the "
        "smoothness, or draw at points"
    )


def _fast_length(n: int) -> int:
    """Smallest length of at least ``n`` that a real FFT is fast at."""
    return int(next_fast_len(n, real=True) or n)


def mixing_matrix(between: ArrayLike | None, overlap: ArrayLike) -> Floats:
    """Lower-triangular mixing of the noise so that fields have the wanted correlation at one place.

    Args:
        between: ``(variable, variable)`` wanted correlation; identity if ``None``.
        overlap: ``(variable, variable)`` correlation that two fields have when their noise is the same.

    Raises:
        ValueError: not a correlation matrix, or out of reach because the ranges differ too much.
    """
    reach = np.asarray(overlap, float)
    wanted = np.eye(len(reach)) if between is None else np.asarray(between, float)
    if wanted.shape != reach.shape or not np.allclose(wanted, wanted.T) or not np.allclose(np.diag(wanted), 1):
        raise ValueError(
            f"the correlation between variables must be a symmetric {len(reach)} x {len(reach)} matrix with ones"
        )
    noise = wanted / reach
    np.fill_diagonal(noise, 1.0)
    try:
        return np.linalg.cholesky(noise + 1e-12 * np.eye(len(reach)))
    except np.linalg.LinAlgError:
        u, v = np.unravel_index(np.argmax(np.abs(np.triu(noise, 1))), noise.shape)
        raise ValueError(
            f"the correlation {wanted[u, v]:g} between variables {u + 1} and {v + 1} cannot be reached: with these ranges "
            f"and nuggets two fields correlate by {reach[u, v]:.3g} at most, and all pairs must fit together"
        ) from None


def draw_grid_fields(
    fields: GridFields, seed: int, stream: str, draws: ArrayLike, dtype: Any = jnp.float32
) -> jax.Array:
    """Joint fields of the given draws; a draw is the same in whatever block it is asked for.

    Args:
        fields: from :func:`grid_fields`.
        seed, stream: as in :func:`ensemble.keys.draw_key`.
        draws: ``(draw,)`` indices.
        dtype: float32 or float64 (which needs 64-bit JAX).

    Returns:
        ``(draw, variable, y, x)``, mean 0 and the stated variance 1 (less after averaging point support).
    """
    return _grid_draws(
        jnp.asarray(fields.roots, dtype), jnp.asarray(fields.mixing, dtype), jnp.asarray(draws, jnp.uint32),
        seed, stream, fields.shape, fields.padded,
    )  # fmt: skip


def _grid_draws(
    roots: jax.Array,
    mixing: jax.Array,
    draws: jax.Array,
    seed: int,
    stream: str,
    shape: tuple[int, int],
    padded: tuple[int, int],
) -> jax.Array:
    def one(draw: jax.Array) -> jax.Array:
        noise = jax.random.normal(draw_key(seed, stream, draw), (len(mixing), *padded), mixing.dtype)
        mixed = jnp.einsum("vu,uyx->vyx", mixing, noise)
        return jnp.fft.irfft2(roots * jnp.fft.rfft2(mixed), padded)[:, : shape[0], : shape[1]]

    return jax.lax.map(one, draws)


_grid_draws = jax.jit(_grid_draws, static_argnames=("seed", "stream", "shape", "padded"))
