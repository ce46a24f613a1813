"""Three by three zones: potential against its uncertainty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]

LEVELS = ("low", "medium", "high")


class Zones(NamedTuple):
    """A map of nine classes, ``3 * uncertainty level + potential level`` with levels low 0, medium 1, high 2.

    Args:
        zone: same shape as the maps, -1 where there is no value.
        potential_limits, uncertainty_limits: (lower, upper) limits of the medium level.
    """

    zone: NDArray[np.int8]
    potential_limits: tuple[float, float]
    uncertainty_limits: tuple[float, float]


class ZoneRow(NamedTuple):
    """One class: its name, area (km2), share of the whole (%), and area-weighted means of the two maps."""

    name: str
    area: float
    share: float
    potential: float
    uncertainty: float


def deviation_limits(values: ArrayLike, spread: float = 1.0) -> tuple[float, float]:
    """Mean minus and plus ``spread`` mean absolute deviations, the limits of the medium level.

    Wang et al. (2026, Catena 110145) zone by a "mean deviation method" that they do not define; this is our
    reading of it.

    Args:
        values: any shape, NaN where there is no value.
        spread: number of mean absolute deviations, > 0.
    """
    if not spread > 0:
        raise ValueError(f"the spread of zones must be above 0, got {spread:g}")
    value = np.asarray(values, float)
    mean = float(np.nanmean(value))
    deviation = float(np.nanmean(np.abs(value - mean)))
    return mean - spread * deviation, mean + spread * deviation


def zone_map(potential: ArrayLike, uncertainty: ArrayLike, spread: float = 1.0) -> Zones:
    """Nine zones of potential against uncertainty.

    Args:
        potential, uncertainty: maps of one shape, NaN where there is no value.
        spread: as in :func:`deviation_limits`.

    Raises:
        ValueError: maps of different shapes.
    """
    maps = [np.asarray(item, float) for item in (potential, uncertainty)]
    if maps[0].shape != maps[1].shape:
        raise ValueError(f"potential {maps[0].shape} and uncertainty {maps[1].shape} must be maps of one shape")
    limits = [deviation_limits(item, spread) for item in maps]
    level = [(item >= low).astype(int) + (item > high) for item, (low, high) in zip(maps, limits, strict=True)]
    valid = np.isfinite(maps[0]) & np.isfinite(maps[1])
    return Zones(np.where(valid, 3 * level[1] + level[0], -1).astype(np.int8), limits[0], limits[1])


def zone_table(zones: Zones, potential: ArrayLike, uncertainty: ArrayLike, areas: ArrayLike) -> tuple[ZoneRow, ...]:
    """Area and means of each of the nine classes.

    Args:
        zones: from :func:`zone_map`.
        potential, uncertainty: the maps.
        areas: km2 of each pixel, broadcast to the maps.
    """
    area = np.broadcast_to(np.asarray(areas, float), zones.zone.shape)
    maps = [np.nan_to_num(np.asarray(item, float)) for item in (potential, uncertainty)]
    whole = float(area[zones.zone >= 0].sum())
    rows = []
    for code in range(9):
        here = zones.zone == code
        held = float(area[here].sum())
        means = [float((area * item)[here].sum()) / held if held > 0 else float("nan") for item in maps]
        name = f"{LEVELS[code % 3]} mean, {LEVELS[code // 3]} uncertainty"
        rows.append(ZoneRow(name, held, 100 * held / whole, *means))
    return tuple(rows)
