"""Conditional realisations of the residual field: they meet the residuals of the samples and vary away from them.

A realisation is an unconditional field plus the kriging of what it misses at the samples (Journel & Huijbregts
1978, Mining Geostatistics, ch. VII), with an unknown mean. Several targets share the noise of their fields, so that
their errors are correlated as the residuals of the samples are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from ensemble.inputs.fields import GridFields, draw_grid_fields, grid_fields
from ensemble.inputs.grids import Grid
from ensemble.inputs.point_fields import PointFields, draw_point_fields, point_fields
from ensemble.keys import host_seed
from ensemble.mapping.learning.residuals import FieldParameters

Floats = NDArray[np.floating[Any]]

DISTANCES_AT_ONCE = 1 << 20  # of sites to samples, held at one time


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
    correlations = [next(p for t in parameters for p in t if p.range == length).correlation() for length in ranges]
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
    """Kriging with an unknown mean for one pair of range and nugget.

    Args:
        factor: Cholesky factor of the correlation of the samples.
        ones: that correlation's inverse applied to ones.
    """

    factor: Any
    ones: Floats

    def weights(self, misses: Floats) -> tuple[float, Floats]:
        """Mean and dual weights ``(sample,)`` that meet ``(sample,)`` misses."""
        solved = cho_solve(self.factor, misses, check_finite=False)
        mean = float(solved.sum() / self.ones.sum())
        return mean, solved - mean * self.ones


def make_conditioner(place: ArrayLike, parameters: FieldParameters) -> Conditioner:
    """Factorise the correlation of the samples at ``(sample, axis)``."""
    where = np.asarray(place, float)
    distance = np.linalg.norm(where[:, None] - where[None], axis=-1)
    matrix = (1 - parameters.nugget) * np.exp(-distance / parameters.range)
    matrix[np.diag_indices_from(matrix)] = 1.0
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    return Conditioner(factor, cho_solve(factor, np.ones(len(where)), check_finite=False))


class ScoreFields(NamedTuple):
    """Everything that draws conditional fields of scores.

    Args:
        sample_place, site_place: ``(n, axis)`` km.
        scores: ``(target, sample)`` normal scores of the residuals.
        parameters: by target, by realisation.
        sampler: of the smooth part.
        mixing: ``(target, target)`` lower triangular; its product with its transpose is the correlation of the targets.
        conditioners: by target's range and nugget.
        seed: of the draws.
    """

    sample_place: Floats
    site_place: Floats
    scores: Floats
    parameters: tuple[tuple[FieldParameters, ...], ...]
    sampler: Sampler
    mixing: Floats
    conditioners: dict[tuple[float, float], Conditioner]
    seed: int

    def draw(self, draws: Sequence[int]) -> NDArray[np.float32]:
        """Conditional scores ``(draw, target, site)`` of the realisations of these numbers."""
        targets, sites = len(self.scores), len(self.site_place)
        fields = np.empty((len(draws), targets, sites), np.float32)
        jobs: list[tuple[int, int, FieldParameters, Floats]] = []
        for row, draw in enumerate(draws):
            own = [target[draw] for target in self.parameters]
            ranges = [p.range for p in own]
            smooth, at_samples = self.sampler.smooth(ranges, self.mixing, self.seed, "map residuals", draw)
            rng = np.random.default_rng([*host_seed(self.seed, "map nugget"), draw])
            noise = self.mixing.astype(np.float32) @ rng.standard_normal((targets, sites), np.float32)
            noise_there = self.mixing @ rng.standard_normal((targets, self.scores.shape[1]))
            for k, p in enumerate(own):
                sd, shared, alone = np.sqrt(p.variance), np.sqrt(1 - p.nugget), np.sqrt(p.nugget)
                fields[row, k] = sd * (shared * smooth[k] + alone * noise[k])
                misses = self.scores[k] - sd * (shared * at_samples[k] + alone * noise_there[k])
                mean, weights = self.conditioners[p.range, p.nugget].weights(misses)
                fields[row, k] += mean
                jobs.append((row, k, p, (1 - p.nugget) * weights))
        self._add_kriging(fields, jobs)
        return fields

    def _add_kriging(self, fields: Floats, jobs: list[tuple[int, int, FieldParameters, Floats]]) -> None:
        """Add the kriged misses, block by block of sites; one table of correlations serves a range."""
        by_range: dict[float, list[tuple[int, int, Floats]]] = {}
        for row, k, p, weights in jobs:
            by_range.setdefault(p.range, []).append((row, k, weights))
        samples = self.sample_place.astype(np.float32)
        step = max(1, DISTANCES_AT_ONCE // len(samples))
        for start in range(0, len(self.site_place), step):
            here = slice(start, start + step)
            block = self.site_place[here].astype(np.float32)
            distance = np.sqrt(((block[:, None] - samples[None]) ** 2).sum(axis=-1))
            for length, group in by_range.items():
                rows, targets = [g[0] for g in group], [g[1] for g in group]
                weights = np.stack([g[2] for g in group]).astype(np.float32)
                fields[rows, targets, here] += weights @ np.exp(-distance / np.float32(length)).T


def score_fields(
    sample_place: ArrayLike,
    site_place: ArrayLike,
    scores: ArrayLike,
    parameters: Sequence[Sequence[FieldParameters]],
    grid: Grid | None,
    seed: int,
) -> ScoreFields:
    """Prepare conditional fields; arguments as :class:`ScoreFields` has them."""
    where, there, z = (np.asarray(item, float) for item in (sample_place, site_place, scores))
    pairs = {(p.range, p.nugget): p for target in parameters for p in target}
    conditioners = {pair: make_conditioner(where, p) for pair, p in pairs.items()}
    between = np.atleast_2d(np.corrcoef(z)) if len(z) > 1 else np.eye(1)
    mixing = np.linalg.cholesky(between + 1e-9 * np.eye(len(z)))
    sampler = make_sampler(where, there, grid, parameters)
    return ScoreFields(where, there, z, tuple(map(tuple, parameters)), sampler, mixing, conditioners, seed)
