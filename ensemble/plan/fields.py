"""Errors of sites that are alike in space: the `fields` of a study, bound to the places of its sites."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from ensemble.config import StudyFile
from ensemble.config.uncertain import SpatialField
from ensemble.inputs.covariance import SpatialCorrelation
from ensemble.inputs.fields import GridFields, draw_grid_fields, grid_fields
from ensemble.inputs.geodesy import geocentric
from ensemble.inputs.grids import Grid
from ensemble.inputs.point_fields import PointFields, draw_point_fields, point_fields
from ensemble.inputs.sources import SiteTable
from ensemble.inputs.tables import Table

# Fields of one block of draws are held in memory up to this size, beyond it in a temporary file.
HELD_BYTES = 256 * 2**20
BLOCK = 16
OPEN = (2.0**-1022, 1.0 - 2.0**-53)


@dataclass(eq=False)
class FieldDraws:
    """Draws of one spatial field at any of the sites.

    A field needs all sites at once, a tile has a few of them, so the fields of the last block of draws are
    kept while the tiles of those members pass by.

    Args:
        label: the entry of `uncertain`; also the name of the stream.
        sampler: fields on a grid, or at points.
        cells: ``(site,)`` flat index of each site's cell on the grid; ``None`` for points.
        sites: number of sites.
        describe: the correlation in words, with its conventions.
    """

    label: str
    sampler: GridFields | PointFields
    cells: np.ndarray | None
    sites: int
    describe: str
    _held: tuple[bytes, np.ndarray] | None = field(default=None, repr=False)

    def uniforms(self, seed: int, draws: np.ndarray, sites: np.ndarray) -> np.ndarray:
        """Uniform numbers that are alike at sites near each other.

        Args:
            seed: the study's seed.
            draws: draw indices ``(n,)``.
            sites: site indices ``(s,)``.

        Returns:
            ``(n, s)``, strictly between 0 and 1.
        """
        distinct, place = np.unique(np.asarray(draws), return_inverse=True)
        key = np.int64(seed).tobytes() + distinct.tobytes()
        if self._held is None or self._held[0] != key:
            self._held = (key, self._scores(seed, distinct))
        scores = self._held[1][:, sites][place]
        return np.clip(ndtr(scores.astype(np.float64)), *OPEN)

    def _scores(self, seed: int, draws: np.ndarray) -> np.ndarray:
        shape = (len(draws), self.sites)
        if len(draws) * self.sites * 4 <= HELD_BYTES:
            scores: Any = np.empty(shape, np.float32)
        else:
            scores = np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=shape)  # noqa: SIM115
        for start in range(0, len(draws), BLOCK):
            block = draws[start : start + BLOCK]
            if isinstance(self.sampler, GridFields):
                drawn = np.asarray(draw_grid_fields(self.sampler, seed, self.label, block)).reshape(len(block), -1)
                scores[start : start + len(block)] = drawn[:, self.cells]
            else:
                scores[start : start + len(block)] = draw_point_fields(self.sampler, seed, self.label, block)[:, 0]
        return scores


def read_fields(study: StudyFile, sites: SiteTable, by_site: Sequence[str]) -> Mapping[str, FieldDraws]:
    """Every entry of `fields`.

    Args:
        study: the study.
        sites: its sites.
        by_site: entries of `uncertain` that differ by site.

    Raises:
        InputError: an entry is not one of them, sites have no places, or a range does not fit the grid.
    """
    found = {}
    for label, entry in study.record.fields.items():
        key = ("fields", label)
        if label not in by_site:
            allowed = ", ".join(by_site) or "none here"
            raise study.error(key, f"'{label}' is not an entry of uncertain with per: site; allowed: {allowed}")
        correlation = _correlation(entry)
        try:
            sampler, cells = _sampler(sites.table, correlation)
        except ValueError as error:
            raise study.error(key, str(error)) from None
        found[label] = FieldDraws(label, sampler, cells, len(sites.names), correlation.describe())
    return found


def _correlation(entry: SpatialField) -> SpatialCorrelation:
    return SpatialCorrelation(entry.model, entry.range, entry.range_is, entry.nugget, entry.smoothness, entry.support)


def _sampler(
    table: Table | None, correlation: SpatialCorrelation
) -> tuple[GridFields | PointFields, np.ndarray | None]:
    grid: Grid | None = getattr(table, "grid", None)
    if grid is not None and grid.projected:
        cells = np.ravel_multi_index((grid.rows, grid.columns), grid.shape)
        return grid_fields(grid.shape, grid.cell_km, [correlation]), cells
    if grid is not None and correlation.support == "point":
        raise ValueError("support: point needs a projected grid, whose cells are equal; reproject it, or state block")
    return point_fields(places(table), [correlation]), None


def places(table: Table | None) -> np.ndarray:
    """Cartesian coordinates of sites, km: columns x_km and y_km, or longitude and latitude (degrees).

    Raises:
        ValueError: the site table has neither pair.
    """
    columns = {} if table is None else table.columns
    if table is not None and {"x_km", "y_km"} <= set(columns):
        return np.column_stack([table.numbers("x_km"), table.numbers("y_km")])
    if table is not None and {"longitude", "latitude"} <= set(columns):
        return geocentric(table.numbers("longitude"), table.numbers("latitude"))
    raise ValueError("sites need places: columns longitude and latitude (degrees), or x_km and y_km, in the site table")
