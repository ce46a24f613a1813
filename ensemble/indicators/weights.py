"""Spatial weights: which places are neighbours, and how much each counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from ensemble.indicators.checks import Floats


class Weights(NamedTuple):
    """Weights between places.

    Args:
        matrix: shape (places, places), sparse, zero on the diagonal; row i holds the neighbours of place i.
        names: names of the places, for messages.
    """

    matrix: csr_array
    names: tuple[str, ...]

    def by_row(self) -> Weights:
        """The same neighbours with weights that sum to one in each row."""
        sums = np.asarray(self.matrix.sum(axis=1)).ravel()
        scaled = self.matrix.multiply((1.0 / sums)[:, None])
        return Weights(csr_array(scaled), self.names)


def _weights(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, names: Sequence[str]) -> Weights:
    """Assemble, and refuse a place without neighbours: its lag, and so its Moran statistic, does not exist."""
    n = len(names)
    matrix = csr_array((values, (rows, columns)), shape=(n, n))
    alone = np.flatnonzero(np.bincount(rows, minlength=n) == 0)
    if len(alone):
        shown = ", ".join(str(names[i]) for i in alone[:3]) + (", ..." if len(alone) > 3 else "")
        raise ValueError(
            f"{len(alone)} of {n} places have no neighbour ({shown}); join islands by hand, widen the radius "
            "or use nearest neighbours"
        )
    return Weights(matrix, tuple(names))


def _named(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"place {i + 1}" for i in range(count))
    if len(names) != count:
        raise ValueError(f"{len(names)} names are given for {count} places; needed: one each")
    return tuple(names)


def contiguity_weights(borders: Iterable[tuple[str, str]], names: Sequence[str]) -> Weights:
    """Weight 1 for places that share a border.

    Args:
        borders: pairs of names, each border once, in either order.
        names: every place, in the order of the data.

    Raises:
        ValueError: a border names an unknown place, or a place has none.
    """
    index = {name: i for i, name in enumerate(names)}
    pairs = set()
    for first, second in borders:
        for name in (first, second):
            if name not in index:
                raise ValueError(f"the border {first} - {second} names '{name}', which is not among the places")
        if first == second:
            raise ValueError(f"'{first}' cannot border itself")
        pairs |= {(index[first], index[second]), (index[second], index[first])}
    ends = np.array(sorted(pairs), dtype=int).reshape(-1, 2)
    return _weights(ends[:, 0], ends[:, 1], np.ones(len(ends)), names)


def grid_weights(rows: int, columns: int, rule: Literal["rook", "queen"] = "queen") -> Weights:
    """Weight 1 for cells of a grid that share an edge (rook) or an edge or corner (queen).

    Args:
        rows, columns: size of the grid; places run along the rows.
        rule: which cells are neighbours.

    Raises:
        ValueError: an unknown rule, or a grid of one cell.
    """
    if rule not in ("rook", "queen"):
        raise ValueError(f"the rule '{rule}' is not allowed; allowed: rook, queen")
    steps = [(0, 1), (1, 0)] + ([(1, 1), (1, -1)] if rule == "queen" else [])
    place = np.arange(rows * columns).reshape(rows, columns)
    starts, ends = [], []
    for down, right in steps:
        left = max(-right, 0)
        start = place[: rows - down, left : columns - max(right, 0)]
        end = place[down:, left + right : columns + right if right < 0 else columns]
        starts += [start.ravel(), end.ravel()]
        ends += [end.ravel(), start.ravel()]
    row, column = np.concatenate(starts), np.concatenate(ends)
    return _weights(row, column, np.ones(len(row)), _named(None, rows * columns))


def nearest_weights(points: ArrayLike, neighbours: int, names: Sequence[str] | None = None) -> Weights:
    """Weight 1 for the k nearest places. Not symmetric: b may be near a without a being near b.

    Args:
        points: shape (places, 2 or 3), any length unit; for longitude and latitude pass
            :func:`ensemble.inputs.geodesy.geocentric` of them.
        neighbours: k, from 1 to places - 1.
        names: of the places.

    Raises:
        ValueError: k is not possible, or two places lie on one point.
    """
    where = _points(points)
    count = len(where)
    if not 1 <= neighbours <= count - 1:
        raise ValueError(f"{neighbours} neighbours are not possible among {count} places; allowed: 1 to {count - 1}")
    found = KDTree(where).query(where, neighbours + 1)[1]
    row = np.repeat(np.arange(count), neighbours)
    near = np.asarray(found).reshape(count, neighbours + 1)
    # Points are distinct, so each place is its own nearest point.
    others = near[:, 1:]
    return _weights(row, others.ravel(), np.ones(len(row)), _named(names, count))


def distance_weights(
    points: ArrayLike, radius: float, power: float = 0.0, names: Sequence[str] | None = None
) -> Weights:
    """Weight ``distance^-power`` for places within a radius.

    Args:
        points: as in :func:`nearest_weights`.
        radius: in the unit of the points, above 0.
        power: 0 for equal weights, 1 or 2 for weights that fall with distance.
        names: of the places.

    Raises:
        ValueError: the radius is not above 0, or it leaves a place without a neighbour.
    """
    where = _points(points)
    if not radius > 0:
        raise ValueError(f"radius {radius:g} is not allowed; allowed: above 0")
    pairs = KDTree(where).query_pairs(radius, output_type="ndarray")
    row, column = np.concatenate([pairs, pairs[:, ::-1]]).T
    distance = np.linalg.norm(where[row] - where[column], axis=1)
    return _weights(row, column, distance**-power, _named(names, len(where)))


def _points(points: ArrayLike) -> Floats:
    where = np.asarray(points, dtype=np.float64)
    if where.ndim != 2 or not np.isfinite(where).all():
        raise ValueError(f"points have the shape {where.shape}; needed: finite numbers, (places, 2) or (places, 3)")
    if len(np.unique(where, axis=0)) < len(where):
        raise ValueError("two places lie on the same point; give each its own coordinates")
    return where
