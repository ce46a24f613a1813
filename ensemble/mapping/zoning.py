"""Three by three zones: potential against its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]

LEVELS = ("low", "medium", "high")
# The area of applicability parts sites in two; what lies outside it has no zone of the nine.
INSIDE, OUTSIDE = "inside area of applicability", "outside area of applicability"
CLASSES = (*(f"{mean} mean, {sd} uncertainty" for sd in LEVELS for mean in LEVELS), OUTSIDE)


class Zones(NamedTuple):
    """A map of nine classes, ``3 * uncertainty level + potential level`` with levels low 0, medium 1, high 2.

    Args:
        zone: same shape as the maps, -1 where there is no value, 9 where the maps must not be trusted.
        names: of the classes by code, the tenth only where it was said what may be trusted.
        potential_limits, uncertainty_limits: (lower, upper) limits of the medium level.
    """

    zone: NDArray[np.int8]
    names: tuple[str, ...]
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
    """Mean minus and plus ``spread`` mean absolute deviations, the limits of the medium level; NaN without a value.

    Wang et al. (2026, Catena 110145) zone by a "mean deviation method" that they do not define; this is our
    reading of it.

    Args:
        values: any shape, NaN where there is no value.
        spread: number of mean absolute deviations, > 0.
    """
    if not spread > 0:
        raise ValueError(f"the spread of zones must be above 0, got {spread:g}")
    value = np.asarray(values, float)
    if not np.isfinite(value).any():
        return float("nan"), float("nan")
    mean = float(np.nanmean(value))
    deviation = float(np.nanmean(np.abs(value - mean)))
    return mean - spread * deviation, mean + spread * deviation


def zone_map(
    potential: ArrayLike, uncertainty: ArrayLike, spread: float = 1.0, trusted: ArrayLike | None = None
) -> Zones:
    """Nine zones of potential against uncertainty, and a tenth class where the maps must not be trusted.

    Args:
        potential, uncertainty: maps of one shape, NaN where there is no value.
        spread: as in :func:`deviation_limits`.
        trusted: where the maps may be trusted; all of it if ``None``. The limits are those of this part.

    Raises:
        ValueError: maps of different shapes.
    """
    maps = [np.asarray(item, float) for item in (potential, uncertainty)]
    inside = np.ones(maps[0].shape, bool) if trusted is None else np.asarray(trusted, bool)
    if not maps[0].shape == maps[1].shape == inside.shape:
        shapes = f"potential {maps[0].shape}, uncertainty {maps[1].shape} and trust {inside.shape}"
        raise ValueError(f"{shapes} must be maps of one shape")
    limits = [deviation_limits(item[inside], spread) for item in maps]
    level = [(item >= low).astype(int) + (item > high) for item, (low, high) in zip(maps, limits, strict=True)]
    valid = np.isfinite(maps[0]) & np.isfinite(maps[1])
    code = np.where(inside, 3 * level[1] + level[0], CLASSES.index(OUTSIDE))
    names = CLASSES if trusted is not None else CLASSES[:-1]
    return Zones(np.where(valid, code, -1).astype(np.int8), names, limits[0], limits[1])


def zone_flags(names: Sequence[str]) -> dict[str, Any]:
    """CF flags of a variable of zones, -1 for none.

    Args:
        names: of :class:`Zones`.
    """
    words = [name.replace(", ", "_").replace(" ", "_") for name in names]
    return {"units": "1", "flag_values": list(range(-1, len(names))), "flag_meanings": " ".join(["none", *words])}


def zone_table(zones: Zones, potential: ArrayLike, uncertainty: ArrayLike, areas: ArrayLike) -> tuple[ZoneRow, ...]:
    """Area and means of each class.

    Args:
        zones: from :func:`zone_map`.
        potential, uncertainty: the maps.
        areas: km2 of each pixel, broadcast to the maps.
    """
    area = np.broadcast_to(np.asarray(areas, float), zones.zone.shape)
    maps = [np.nan_to_num(np.asarray(item, float)) for item in (potential, uncertainty)]
    whole = float(area[zones.zone >= 0].sum())
    rows = []
    for code, name in enumerate(zones.names):
        here = zones.zone == code
        held = float(area[here].sum())
        means = [float((area * item)[here].sum()) / held if held > 0 else float("nan") for item in maps]
        rows.append(ZoneRow(name, held, 100 * held / whole, *means))
    return tuple(rows)
