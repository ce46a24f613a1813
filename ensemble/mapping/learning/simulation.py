"""Conditional realisations of the residual field: they meet the residuals of the samples and vary away from them.

A realisation is an unconditional field plus the kriging of what it misses at the samples (Journel & Huijbregts
1978, Mining Geostatistics, ch. VII), with unknown means (universal kriging). Several targets share the noise of their
fields, so that their errors are correlated as the residuals of the samples are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from ensemble.inputs.covariance import SpatialCorrelation
from ensemble.inputs.fields import GridFields, draw_grid_fields, grid_fields
from ensemble.inputs.grids import Grid
from ensemble.inputs.point_fields import PointFields, draw_point_fields, point_fields
from ensemble.keys import host_seed
from ensemble.mapping.learning.residuals import FieldParameters, Places

Floats = NDArray[np.floating[Any]]

DISTANCES_AT_ONCE = 1 << 20  # of sites to samples, held at one time
FEATURES = 256  # of the field over covariates
SITES_AT_ONCE = 16384


class GridSampler(NamedTuple):
    """Smooth fields on a projected grid: at its sites, and at the samples in the cells that hold them.

    Args:
        grid: whose valid cells are the sites.
        sample_cells: ``(sample,)`` flat index of the cell of each sample.
        fields: one variable for each range in use.
        ranges: ``(variable,)`` km.
    """

    grid: Grid
    sample_cells: NDArray[np.int64]
    fields: GridFields
    ranges: tuple[float, ...]

    def smooth(
        self, ranges: Sequence[float], mixing: Floats, seed: int, stream: str, draw: int
    ) -> tuple[Floats, Floats]:
        """One field a target, at the sites ``(target, site)`` and at the samples ``(target, sample)``."""
        roots = self.fields.roots[[self.ranges.index(length) for length in ranges]]
        fields = self.fields._replace(roots=roots, mixing=mixing)
        drawn = np.asarray(draw_grid_fields(fields, seed, stream, [draw]))[0]
        flat = drawn.reshape(len(drawn), -1)
        return drawn[:, self.grid.rows, self.grid.columns], flat[:, self.sample_cells].astype(float)


class PointSampler(NamedTuple):
    """Smooth fields at scattered sites and samples together; samples come first.

    Args:
        samples: how many of the points are samples.
        fields: one variable for each range in use.
        ranges: ``(variable,)`` km.
    """

    samples: int
    fields: PointFields
    ranges: tuple[float, ...]

    def smooth(
        self, ranges: Sequence[float], mixing: Floats, seed: int, stream: str, draw: int
    ) -> tuple[Floats, Floats]:
        """As :meth:`GridSampler.smooth`."""
        chosen = [self.ranges.index(length) for length in ranges]
        roots, nuggets = tuple(self.fields.roots[k] for k in chosen), np.zeros(len(chosen))
        fields = PointFields(self.fields.points, roots, nuggets, mixing)
        drawn = draw_point_fields(fields, seed, stream, [draw])[0]
        return drawn[:, self.samples :], drawn[:, : self.samples]


Sampler = GridSampler | PointSampler


def make_sampler(
    sample_place: ArrayLike, site_place: ArrayLike, grid: Grid | None, parameters: Sequence[Sequence[FieldParameters]]
) -> Sampler:
    """Prepare the fields of all ranges that the realisations of any target use.

    Args:
        sample_place, site_place: ``(n, axis)`` km.
        grid: whose cells the sites are; ``None`` for scattered sites or a grid in degrees.
        parameters: by target, by realisation.
    """
    ranges = tuple(sorted({p.range for target in parameters for p in target}))
    correlations = [SpatialCorrelation(range=length) for length in ranges]
    where = np.asarray(sample_place, float)
    if grid is not None and grid.projected:
        x0, dx, y0, dy = (part * grid.metres / 1000 for part in grid.transform)
        column = np.clip(np.floor((where[:, 0] - x0) / dx), 0, grid.shape[1] - 1).astype(np.int64)
        row = np.clip(np.floor((where[:, 1] - y0) / dy), 0, grid.shape[0] - 1).astype(np.int64)
        fields = grid_fields(grid.shape, grid.cell_km, correlations)
        return GridSampler(grid, row * grid.shape[1] + column, fields, ranges)
    points = np.concatenate([where, np.asarray(site_place, float)])
    return PointSampler(len(where), point_fields(points, correlations), ranges)


class Conditioner(NamedTuple):
    """Kriging with unknown means for one set of parameters.

    Args:
        factor: Cholesky factor of the correlation of the samples.
        solved: ``(sample, term)`` that correlation's inverse applied to the terms of the mean.
        gram: ``(term, term)`` the terms against ``solved``: the precision of the means.
    """

    factor: Any
    solved: Floats
    gram: Floats

    def weights(self, misses: Floats) -> tuple[Floats, Floats]:
        """Means ``(term, draw)`` and dual weights ``(sample, draw)`` that meet ``(sample, draw)`` misses."""
        means = np.linalg.solve(self.gram, self.solved.T @ misses)
        return means, cho_solve(self.factor, misses, check_finite=False) - self.solved @ means


def make_conditioner(samples: Places, parameters: FieldParameters) -> Conditioner:
    """Factorise the correlation of the samples."""
    matrix = parameters.smooth(*samples.distances(samples))
    matrix[np.diag_indices_from(matrix)] += parameters.nugget
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    solved = cho_solve(factor, samples.mean_terms, check_finite=False)
    return Conditioner(factor, solved, samples.mean_terms.T @ solved)


def conditional_covariance(samples: Places, sites: Places, parameters: FieldParameters) -> Floats:
    """Covariance ``(site, site)`` of the smooth part of the field given the samples, with unknown means."""
    conditioner = make_conditioner(samples, parameters)
    cross = parameters.smooth(*samples.distances(sites))
    short = sites.mean_terms - cross.T @ conditioner.solved
    known = cross.T @ cho_solve(conditioner.factor, cross, check_finite=False)
    means = short @ np.linalg.solve(conditioner.gram, short.T)
    return parameters.variance * (parameters.smooth(*sites.distances(sites)) - known + means)


def alike_field(places: Sequence[Places], reach: float, rng: np.random.Generator) -> list[Floats]:
    """One field ``(n,)`` of unit variance over weighted covariates, at several sets of places.

    Random Fourier features (Rahimi & Recht 2007): frequencies of the Matérn function of smoothness 3/2 follow a
    multivariate t distribution with 3 degrees of freedom. They are drawn anew for each field, so that the covariance
    over fields is exact.
    """
    count = places[0].covariates.shape[1]
    frequency = rng.standard_normal((count, FEATURES)) / reach / np.sqrt(rng.chisquare(3, FEATURES) / 3)
    phase, weight = rng.uniform(0, 2 * np.pi, FEATURES), rng.standard_normal(FEATURES) * np.sqrt(2 / FEATURES)
    frequency, phase, weight = (item.astype(np.float32) for item in (frequency, phase, weight))
    found = []
    for place in places:
        values = np.empty(len(place.covariates), np.float32)
        for start in range(0, len(values), SITES_AT_ONCE):
            here = slice(start, start + SITES_AT_ONCE)
            values[here] = np.cos(place.covariates[here].astype(np.float32) @ frequency + phase) @ weight
        found.append(values)
    return found


class ScoreFields(NamedTuple):
    """Everything that draws conditional fields of scores.

    Args:
        samples, sites: where they are.
        scores: ``(target, sample)`` normal scores of the residuals.
        parameters: by target, by realisation.
        sampler: of the part that is alike in space.
        mixing: ``(target, target)`` lower triangular; its product with its transpose is the correlation of the targets.
        conditioners: by target's parameters with a variance of 1.
        seed: of the draws.
    """

    samples: tuple[Places, ...]
    sites: tuple[Places, ...]
    scores: Floats
    parameters: tuple[tuple[FieldParameters, ...], ...]
    sampler: Sampler
    mixing: Floats
    conditioners: tuple[dict[FieldParameters, Conditioner], ...]
    seed: int

    def draw(self, draws: Sequence[int]) -> NDArray[np.float32]:
        """Conditional scores ``(draw, target, site)`` of the realisations of these numbers.

        Numbers beyond the drawn parameters use these again, with noise of their own.
        """
        targets, sites = len(self.scores), len(self.sites[0].km)
        fields = np.empty((len(draws), targets, sites), np.float32)
        misses = np.empty((targets, self.scores.shape[1], len(draws)))
        for row, draw in enumerate(draws):
            fields[row], at_samples = self._unconditional([t[draw % len(t)] for t in self.parameters], draw)
            misses[:, :, row] = self.scores - at_samples
        for k, parameters in enumerate(self.parameters):
            used = [parameters[draw % len(parameters)]._replace(variance=1.0) for draw in draws]
            self._condition(k, fields[:, k], misses[k], used)
        return fields

    def _unconditional(self, own: list[FieldParameters], draw: int) -> tuple[Floats, Floats]:
        """Fields that know nothing of the samples' residuals: ``(target, site)`` and ``(target, sample)``."""
        shared = self.sampler.smooth([p.range for p in own], self.mixing, self.seed, "map residuals", draw)
        rng = np.random.default_rng([*host_seed(self.seed, "map residuals"), draw])
        mixing = self.mixing.astype(np.float32)
        alone = [
            mixing @ rng.standard_normal((len(own), n), np.float32)
            for n in (len(self.sites[0].km), self.scores.shape[1])
        ]
        result = []
        alike = [
            alike_field((self.sites[k], self.samples[k]), p.reach, rng) if p.alike else [np.float32(0)] * 2
            for k, p in enumerate(own)
        ]
        for side in range(2):
            parts = [
                np.sqrt(p.variance)
                * (
                    np.sqrt(max(p.spatial, 0.0)) * shared[side][k]
                    + np.sqrt(p.alike) * alike[k][side]
                    + np.sqrt(p.nugget) * alone[side][k]
                )
                for k, p in enumerate(own)
            ]
            result.append(np.stack(parts))
        return result[0], result[1]

    def _condition(self, target: int, fields: Floats, misses: Floats, used: list[FieldParameters]) -> None:
        """Add the means and the kriging of ``(sample, draw)`` misses to ``(draw, site)``, block by block of sites; one
        solution and one table of correlations serve all draws with the same parameters.
        """
        groups: dict[FieldParameters, list[int]] = {}
        for row, p in enumerate(used):
            groups.setdefault(p, []).append(row)
        weights, terms = np.empty(misses.T.shape, np.float32), self.sites[target].mean_terms
        for p, rows in groups.items():
            means, dual = self.conditioners[target][p].weights(misses[:, rows])
            weights[rows] = dual.T
            for row, mean in zip(rows, means.T, strict=True):
                fields[row] += terms @ mean
        samples = _in_float32(self.samples[target])
        step = max(1, DISTANCES_AT_ONCE // len(samples.km))
        for start in range(0, fields.shape[1], step):
            here = slice(start, start + step)
            block = _in_float32(self.sites[target].at(here))
            distance, unlike = block.distances(samples)
            for p, rows in groups.items():
                fields[rows, here] += weights[rows] @ p.smooth(distance, unlike).T.astype(np.float32)


def _in_float32(places: Places) -> Places:
    return Places(places.km.astype(np.float32), places.covariates.astype(np.float32))


def score_fields(
    samples: Sequence[Places],
    sites: Sequence[Places],
    scores: ArrayLike,
    parameters: Sequence[Sequence[FieldParameters]],
    grid: Grid | None,
    seed: int,
) -> ScoreFields:
    """Prepare conditional fields.

    Args:
        samples, sites: of each target; places are the same, covariates are weighted for the target.
        scores: ``(target, sample)``.
        parameters: by target, by realisation.
        grid: whose cells the sites are; ``None`` for scattered sites.
        seed: of the draws.
    """
    z = np.asarray(scores, float)
    conditioners = tuple(
        {p: make_conditioner(where, p) for p in {p._replace(variance=1.0) for p in own}}
        for where, own in zip(samples, parameters, strict=True)
    )
    between = np.atleast_2d(np.corrcoef(z)) if len(z) > 1 else np.eye(1)
    mixing = np.linalg.cholesky(between + 1e-9 * np.eye(len(z)))
    sampler = make_sampler(samples[0].km, sites[0].km, grid, parameters)
    return ScoreFields(
        tuple(samples), tuple(sites), z, tuple(map(tuple, parameters)), sampler, mixing, conditioners, seed
    )
