"""Samples and sites of a learned map: read, matched with their covariates, and checked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.config import StudyFile
from ensemble.config.learning import Learn
from ensemble.errors import InputError, SuspiciousInput
from ensemble.inputs.geodesy import geocentric
from ensemble.inputs.grids import Grid, GridTable
from ensemble.inputs.sources import SiteTable
from ensemble.inputs.tables import Table, read_table

Floats = NDArray[np.floating[Any]]

SAME = 0.9999  # correlation from which two columns are one quantity in other units
HUGE = 8.0  # robust standard deviations from the median
NAMED = 5  # cases that a sentence names

KEY = ("mapping", "learn")


class Samples(NamedTuple):
    """Samples with everything that a map is learned from.

    Args:
        km: ``(sample, axis)``.
        x: ``(sample, covariate)``.
        targets: ``(sample,)`` by name, in the unit of the target.
        classes: ``(sample,)`` class of each, empty where the study names none.
        lines: ``(sample,)`` line of each in its file.
    """

    km: Floats
    x: Floats
    targets: dict[str, Floats]
    classes: tuple[str, ...]
    lines: NDArray[np.int64]


class Sites(NamedTuple):
    """Where the map is wanted.

    Args:
        km: ``(site, axis)``.
        x: ``(site, covariate)``.
        areas: ``(site,)`` ha; ones where the site table has none.
        classes: ``(site,)`` class of each, empty where the study names none.
        grid: whose cells the sites are; ``None`` for a table.
    """

    km: Floats
    x: Floats
    areas: Floats
    classes: tuple[str, ...]
    grid: Grid | None


class Material(NamedTuple):
    """What a map is learned from and for.

    Args:
        samples: the samples.
        sites: where the map is wanted; ``None`` where the study has no sites.
        covariates: names of the covariates; a category has one for each value, ``land_use=2``.
        notes: what was left out or found suspicious, one sentence each.
    """

    samples: Samples
    sites: Sites | None
    covariates: tuple[str, ...]
    notes: tuple[str, ...]


def read_material(study: StudyFile, learn: Learn, sites: SiteTable) -> Material:
    """Read, match and check samples and sites; suspicious things are warned of and noted.

    Raises:
        InputError: a column, place or layer is missing; a covariate is constant, doubled, or the target itself; a
            value cannot be learned.
    """
    file = study.path(learn.samples)
    table = read_table(file, study.error((*KEY, "samples"), f"the file {file} does not exist"))
    notes: list[str] = []
    grid: Grid | None = getattr(sites.table, "grid", None)
    km, cells = _places(table, grid)
    kept = np.arange(len(table))
    if grid is not None:
        kept, at = _on_grid(table, grid, cells, notes)
        assert sites.table is not None
        columns = {name: _text_or_numbers(sites.table, learn, name) for name in learn.covariates}
        sampled = {name: values[at] for name, values in columns.items()}
    else:
        sampled = {name: _text_or_numbers(table, learn, name) for name in learn.covariates}
        columns = {} if sites.table is None else {n: _text_or_numbers(sites.table, learn, n) for n in learn.covariates}
    names, x, x_sites = _encode(learn, sampled, columns, notes)
    lines = table.lines[kept]
    samples = Samples(
        km[kept], x, _targets(study, learn, table, kept, notes), _classes(learn, table, kept, sites), lines
    )
    _check_covariates(study, learn, names, samples)
    _note_same_places(samples, notes)
    found = None if sites.table is None else _sites(learn, sites.table, grid, x_sites)
    if found is not None:
        _note_classes(samples, found, notes)
    for note in notes:
        warnings.warn(SuspiciousInput(note), stacklevel=2)
    return Material(samples, found, names, tuple(notes))


def _places(table: Table, grid: Grid | None) -> tuple[Floats, Floats]:
    """Places of samples in km, and in the unit of the grid's CRS where there is a grid."""
    degrees = {"longitude", "latitude"} <= set(table.columns)
    if not degrees and not {"x_km", "y_km"} <= set(table.columns):
        raise InputError("samples need the columns longitude and latitude, or x_km and y_km", table.file, 1)
    if not degrees:
        if grid is not None and not grid.projected:
            raise InputError("the rasters are in degrees; samples need longitude and latitude", table.file, 1)
        place = np.column_stack([table.numbers("x_km"), table.numbers("y_km")])
        return place, place if grid is None else place * 1000 / grid.metres
    longitude, latitude = table.numbers("longitude"), table.numbers("latitude")
    try:
        round_earth = geocentric(longitude, latitude)
    except ValueError as error:
        raise InputError(str(error), table.file) from None
    if grid is None:
        return round_earth, round_earth
    from rasterio.crs import CRS
    from rasterio.warp import transform

    x, y = transform(CRS.from_epsg(4326), CRS.from_wkt(grid.crs), longitude.tolist(), latitude.tolist())[:2]
    place = np.column_stack([x, y])
    return place * grid.metres / 1000 if grid.projected else round_earth, place


def _on_grid(table: Table, grid: Grid, place: Floats, notes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the samples in a valid cell, and the site number of that cell."""
    x0, dx, y0, dy = grid.transform
    column = np.floor((place[:, 0] - x0) / dx).astype(np.int64)
    row = np.floor((place[:, 1] - y0) / dy).astype(np.int64)
    inside = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
    if not inside.any():
        raise InputError("no sample lies inside the rasters; is their coordinate system the same?", table.file)
    number = np.full(grid.shape, -1, np.int64)
    number[grid.rows, grid.columns] = np.arange(len(grid.rows))
    site = np.where(inside, number[np.where(inside, row, 0), np.where(inside, column, 0)], -1)
    lost = np.flatnonzero(site < 0)
    if len(lost):
        shown = ", ".join(str(table.lines[k]) for k in lost[:NAMED])
        notes.append(
            f"{len(lost)} of {len(table)} samples lie outside the rasters or in a cell without all covariates and are "
            f"left out (lines {shown}{', ...' if len(lost) > NAMED else ''} of {table.file.name})"
        )
    masked = grid.shape[0] * grid.shape[1] - len(grid.rows)
    if masked:
        notes.append(f"{masked} of {grid.shape[0] * grid.shape[1]} cells lack a covariate and are not mapped")
    kept = np.flatnonzero(site >= 0)
    if not len(kept):
        raise InputError("no sample lies in a cell with all covariates", table.file)
    return kept, site[kept]


def _text_or_numbers(table: Table, learn: Learn, name: str) -> NDArray[Any]:
    return np.array(table.text(name)) if name in learn.categories else table.numbers(name)


def _encode(
    learn: Learn, sampled: dict[str, NDArray[Any]], wanted: dict[str, NDArray[Any]], notes: list[str]
) -> tuple[tuple[str, ...], Floats, Floats]:
    """Covariates of samples and sites as numbers; a category becomes one column for each value the samples have."""
    names: list[str] = []
    parts: list[list[Floats]] = [[], []]
    for name in learn.covariates:
        if name not in learn.categories:
            names.append(name)
            parts[0].append(np.asarray(sampled[name], float))
            parts[1].append(np.asarray(wanted.get(name, np.empty(0)), float))
            continue
        levels = np.unique(sampled[name])
        there = wanted.get(name, np.empty(0, str))
        new = np.setdiff1d(there, levels)
        if len(new):
            share = 100 * np.isin(there, new).mean()
            notes.append(f"{name}: {', '.join(map(str, new[:NAMED]))} has no sample; it is {share:.1f} % of the sites")
        for level in levels[1:] if len(levels) == 2 else levels:
            names.append(f"{name}={level}")
            parts[0].append((sampled[name] == level).astype(float))
            parts[1].append((there == level).astype(float))
    return tuple(names), np.column_stack(parts[0]), np.column_stack(parts[1])


def _targets(
    study: StudyFile, learn: Learn, table: Table, kept: NDArray[np.int64], notes: list[str]
) -> dict[str, Floats]:
    found = {}
    for name, target in learn.targets.items():
        column = target.column or name
        values = table.numbers(column)[kept]
        if target.transform == "log" and (values <= 0).any():
            row = int(kept[int(np.argmax(values <= 0))])
            raise table.error(row, column, "the logarithm needs a value above 0; leave out transform: log")
        scale = np.log(values) if target.transform == "log" else values
        if np.ptp(scale) == 0:
            raise study.error((*KEY, "targets", name), f"all samples have the value {values[0]:g}")
        middle = np.median(scale)
        robust = 1.4826 * np.median(np.abs(scale - middle))
        far = np.flatnonzero(np.abs(scale - middle) > HUGE * robust) if robust > 0 else np.empty(0, int)
        if len(far):
            shown = ", ".join(f"{values[k]:g} in line {table.lines[kept[k]]}" for k in far[:NAMED])
            notes.append(
                f"{name}: {len(far)} {'value lies' if len(far) == 1 else 'values lie'} more than {HUGE:g} robust sd from the median: {shown}"
            )
        found[name] = values
    return found


def _classes(learn: Learn, table: Table, kept: NDArray[np.int64], sites: SiteTable) -> tuple[str, ...]:
    """Class of each sample; a code has the name that the raster of classes gives it."""
    if learn.by is None or learn.by not in table.columns:
        return ()
    known = sites.table.names.get(learn.by, {}) if isinstance(sites.table, GridTable) else {}
    names, text = {str(code): name for code, name in known.items()}, table.text(learn.by)
    return tuple(names.get(text[k], text[k]) for k in kept)


def _sites(learn: Learn, table: Table, grid: Grid | None, x: Floats) -> Sites:
    if grid is not None and grid.projected:
        km = np.column_stack([table.numbers("x_km"), table.numbers("y_km")])
    elif {"longitude", "latitude"} <= set(table.columns):
        km = geocentric(table.numbers("longitude"), table.numbers("latitude"))
    else:
        km = np.column_stack([table.numbers("x_km"), table.numbers("y_km")])
    areas = table.numbers("area_ha") if "area_ha" in table.columns else np.ones(len(km))
    classes = () if learn.by is None else tuple(table.text(learn.by))
    return Sites(km, x, areas, classes, grid)


def _check_covariates(study: StudyFile, learn: Learn, names: Sequence[str], samples: Samples) -> None:
    """Refuse constant and doubled covariates, and one that is a target in other units."""
    key = (*KEY, "covariates")
    for k, name in enumerate(names):
        if np.ptp(samples.x[:, k]) == 0:
            raise study.error(key, f"'{name}' is {samples.x[0, k]:g} at every sample; leave it out")
    among = np.atleast_2d(np.corrcoef(samples.x, rowvar=False))
    for i, j in zip(*np.nonzero(np.abs(np.triu(among, 1)) > SAME), strict=True):
        raise study.error(
            key, f"'{names[i]}' and '{names[j]}' are one quantity (correlation {among[i, j]:.5f}); leave one out"
        )
    for target, values in samples.targets.items():
        for k, name in enumerate(names):
            r = float(np.corrcoef(samples.x[:, k], values)[0, 1])
            if abs(r) > SAME:
                raise study.error(
                    key, f"'{name}' is the target '{target}' in other units (correlation {r:.5f}); leave it out"
                )


def _note_same_places(samples: Samples, notes: list[str]) -> None:
    _, first, count = np.unique(samples.km, axis=0, return_index=True, return_counts=True)
    if (count > 1).any():
        where, shared = samples.lines[first[count > 1]], int((count > 1).sum())
        notes.append(
            f"{int(count[count > 1].sum())} samples share {shared} {'place' if shared == 1 else 'places'} "
            f"(first: line {where[0]}); they stay together in cross-validation"
        )


def _note_classes(samples: Samples, sites: Sites, notes: list[str]) -> None:
    if not samples.classes:
        return
    for name in dict.fromkeys(sites.classes):
        if name not in samples.classes:
            inside = np.array([c == name for c in sites.classes])
            share = 100 * sites.areas[inside].sum() / sites.areas.sum()
            notes.append(f"the class {name} ({share:.1f} % of the area) has no sample; its map rests on other classes")
