"""Gaussian random fields at scattered points: Cholesky for few, Vecchia's sparse factor for many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial import KDTree

from ensemble.inputs.covariance import SpatialCorrelation
from ensemble.inputs.fields import mixing_matrix
from ensemble.keys import draw_key, host_seed

Floats = NDArray[np.floating[Any]]

DENSE_POINTS = 2000  # a dense factor of 2000 points takes 32 MB and 0.1 s
NOISE_BLOCK = 16  # draws of noise made at once, always that many, so that one program is compiled
NEIGHBOURS = 50  # the variance of a mean is then within 2 % for ranges from one spacing to half the region
JITTER = 1e-10  # keeps the factor of two points at one place finite


class VecchiaFactor(NamedTuple):
    """Sparse root of a correlation: field = inverse(unit lower triangle) applied to scaled noise.

    Args:
        order: ``(point,)`` random order in which points are conditioned on earlier ones.
        triangle: factorised unit lower triangle ``I - B`` in that order.
        deviations: ``(point,)`` conditional standard deviations, in that order.
    """

    order: NDArray[np.int64]
    triangle: SuperLU
    deviations: Floats


class PointFields(NamedTuple):
    """Everything needed to draw joint fields at points.

    Args:
        points: number of points.
        roots: one factor of the smooth part for each variable: a dense ``(point, point)`` triangle or a
            :class:`VecchiaFactor`.
        nuggets: ``(variable,)`` share of the variance that is noise of its own at every point.
        mixing: ``(variable, variable)`` lower triangular.
    """

    points: int
    roots: tuple[Floats | VecchiaFactor, ...]
    nuggets: Floats
    mixing: Floats


def point_fields(
    coordinates: ArrayLike,
    correlations: Sequence[SpatialCorrelation],
    between: ArrayLike | None = None,
    neighbours: int = NEIGHBOURS,
    dense_points: int = DENSE_POINTS,
) -> PointFields:
    """Prepare joint fields of unit variance at points.

    Args:
        coordinates: ``(point, axis)`` in the unit of the ranges: projected x and y, or
            :func:`ensemble.inputs.geodesy.geocentric` for longitudes and latitudes.
        correlations: one for each variable, of block or point support alike: a site is where its error is.
        between: ``(variable, variable)`` correlation of the variables at one place; independent if ``None``.
        neighbours: earlier points that a point is conditioned on, above ``dense_points`` points.
        dense_points: largest number of points that are factorised densely and exactly.

    Raises:
        ValueError: the correlation between variables cannot be reached with their ranges.
    """
    place = np.asarray(coordinates, float)
    dense = len(place) <= dense_points
    roots = tuple(_dense_root(place, c) if dense else _vecchia_root(place, c, neighbours) for c in correlations)
    nuggets = np.array([c.nugget for c in correlations])
    overlap = _overlap(place, tuple(correlations)) * np.sqrt(np.outer(1 - nuggets, 1 - nuggets))
    return PointFields(
        len(place), roots, nuggets, mixing_matrix(between, overlap + np.sqrt(np.outer(nuggets, nuggets)))
    )


def _dense_root(place: Floats, correlation: SpatialCorrelation) -> Floats:
    distance = np.linalg.norm(place[:, None, :] - place[None, :, :], axis=-1)
    return np.linalg.cholesky(correlation.smooth(distance) + JITTER * np.eye(len(place)))


def _overlap(place: Floats, correlations: tuple[SpatialCorrelation, ...]) -> Floats:
    """Mean correlation at one place of two fields made from the same noise, on at most 500 of the points."""
    if len(set(correlations)) == 1:
        return np.ones((len(correlations),) * 2)
    some = np.random.default_rng(0).permutation(len(place))[:500]
    roots = [_dense_root(place[np.sort(some)], c) for c in correlations]
    return np.array([[float((a * b).sum() / len(some)) for b in roots] for a in roots])


def _vecchia_root(place: Floats, correlation: SpatialCorrelation, neighbours: int) -> VecchiaFactor:
    order = np.random.default_rng(host_seed(0, "vecchia order")).permutation(len(place))
    ordered = place[order]
    earlier = _earlier_neighbours(ordered, neighbours)
    rows: list[Any]
    columns: list[Any]
    values: list[Any]
    rows, columns, values = [np.arange(len(place))], [np.arange(len(place))], [np.ones(len(place))]
    deviations = np.ones(len(place))
    for start in range(1, len(place), 4096):
        block = np.arange(start, min(start + 4096, len(place)))
        near = earlier[block]
        missing = near < 0
        group = np.concatenate([near, block[:, None]], axis=1)
        spot = ordered[np.maximum(group, 0)]
        joint = correlation.smooth(np.linalg.norm(spot[:, :, None, :] - spot[:, None, :, :], axis=-1))
        among, to = joint[:, :-1, :-1], np.where(missing, 0.0, joint[:, :-1, -1])
        absent = missing[:, :, None] | missing[:, None, :]
        among = np.where(absent, 0.0, among) + np.where(missing[:, :, None], np.eye(near.shape[1]), 0.0)
        weight = np.linalg.solve(among + JITTER * np.eye(near.shape[1]), to[..., None])[..., 0]
        deviations[block] = np.sqrt(np.maximum(1 - (weight * to).sum(axis=1), 1e-12))
        rows.append(np.repeat(block, near.shape[1])[~missing.ravel()])
        columns.append(near[~missing])
        values.append(-weight[~missing])
    triangle = csc_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(len(place), len(place))
    )
    options = {"SymmetricMode": False, "Equil": False}
    return VecchiaFactor(
        order, splu(triangle, permc_spec="NATURAL", diag_pivot_thresh=0.0, options=options), deviations
    )


def _earlier_neighbours(ordered: Floats, neighbours: int) -> NDArray[np.int64]:
    """``(point, neighbours)`` nearest points that come earlier in the order, -1 where there are fewer.

    Points are taken in doubling batches: candidates are the nearest of everything before the batch (always
    enough) and the nearest of the batch itself that happen to come earlier.
    """
    found = np.full((len(ordered), neighbours), -1)
    start, stop = 1, min(2 * neighbours, len(ordered))
    while start < len(ordered):
        batch = np.arange(start, stop)
        trees = [(0, min(start, neighbours), ordered[:start])]
        trees.append((start, min(stop - start, 2 * neighbours), ordered[start:stop]))
        near = [_query(points, ordered[batch], count, offset) for offset, count, points in trees]
        distance, index = (np.concatenate(part, axis=1) for part in zip(*near, strict=True))
        distance = np.where(index < batch[:, None], distance, np.inf)
        best = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
        chosen = np.take_along_axis(index, best, axis=1)
        chosen = np.where(np.isfinite(np.take_along_axis(distance, best, axis=1)), chosen, -1)
        found[batch, : chosen.shape[1]] = chosen
        start, stop = stop, min(2 * stop, len(ordered))
    return found


def _query(points: Floats, where: Floats, count: int, offset: int) -> tuple[Floats, NDArray[np.int64]]:
    nearest: Any = [*range(1, count + 1)]  # a list, so that one neighbour keeps its axis
    distance, index = KDTree(points).query(where, k=nearest)
    return np.asarray(distance), np.asarray(index) + offset


def draw_point_fields(fields: PointFields, seed: int, stream: str, draws: ArrayLike) -> Floats:
    """Joint fields of the given draws; a draw is the same in whatever block it is asked for.

    Args:
        fields: from :func:`point_fields`.
        seed, stream: as in :func:`ensemble.keys.draw_key`.
        draws: ``(draw,)`` indices.

    Returns:
        ``(draw, variable, point)``, mean 0 and variance 1.
    """
    shape = (len(fields.roots), fields.points)
    result = np.empty((np.size(draws), *shape))
    wanted = np.asarray(draws, np.uint32).ravel()
    for start in range(0, wanted.size, NOISE_BLOCK):
        block = wanted[start : start + NOISE_BLOCK]
        noise = np.asarray(_noise(np.resize(block, NOISE_BLOCK), seed, stream, (2, *shape)), float)
        for row, white in enumerate(noise[: block.size], start=start):
            mixed = fields.mixing @ white
            for variable, (root, nugget) in enumerate(zip(fields.roots, fields.nuggets, strict=True)):
                smooth = _apply(root, mixed[0, variable])
                result[row, variable] = np.sqrt(1 - nugget) * smooth + np.sqrt(nugget) * mixed[1, variable]
    return result


@partial(jax.jit, static_argnames=("seed", "stream", "shape"))
def _noise(draws: jax.Array, seed: int, stream: str, shape: tuple[int, ...]) -> jax.Array:
    return jax.lax.map(lambda draw: jax.random.normal(draw_key(seed, stream, draw), shape, "float32"), draws)


def _apply(root: Floats | VecchiaFactor, noise: Floats) -> Floats:
    if not isinstance(root, VecchiaFactor):
        return root @ noise
    field = np.empty_like(noise)
    field[root.order] = root.triangle.solve(root.deviations * noise[root.order])
    return field
