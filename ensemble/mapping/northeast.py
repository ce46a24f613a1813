"""Published statistics of Wang et al. (2026, Catena 110145) and landscapes made from them, with a known truth.

The paper's 293 samples are not public. A landscape here has its ten covariates with the limits, moments and
correlations of its Tables 1 and 2, laid out in space as Gaussian fields. Behind the saturation potentials stand three
soil properties, silt and clay, organic carbon and bulk density, with the moments that reproduce Table 1
(docs/papers/northeast_china.md). What the correlations of Table 2 leave unexplained is, in stated shares, a nonlinear
function of covariates, a field without covariates, and noise of its own at every point.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.special import ndtr

from ensemble.inputs.covariance import SpatialCorrelation
from ensemble.inputs.fields import GridFields, draw_grid_fields, grid_fields
from ensemble.keys import host_seed
from ensemble.mapping.synthetic import Moments, Population

Floats = NDArray[np.floating[Any]]

# Table 1, n = 293: minimum, maximum, mean, sd, skewness, kurtosis. SOCpH and SOCpE: potentials, kg C m-2.
TABLE_1 = {
    name: Moments(*values)
    for name, values in json.loads("""{
"SOCpH": [1.10, 12.68, 5.64, 2.57, 0.42, 2.57], "SOCpE": [0.61, 14.60, 6.33, 2.96, 0.44, 2.57],
"elevation": [1, 1682, 225.12, 169.25, 2.84, 21.12], "PLC": [-0.06, 0.06, 0.0, 0.01, -0.12, 11.45],
"PRC": [-0.03, 0.11, 0.0, 0.01, 2.61, 17.70], "SG": [0.02, 15.64, 1.49, 1.96, 3.12, 17.27],
"SA": [4.40, 359.42, 176.28, 99.15, 0.01, 1.90], "TWI": [6.41, 13.31, 10.36, 1.41, -0.22, 2.40],
"MAT": [-5.75, 8.50, 4.71, 1.97, -0.57, 4.74], "MAP": [339.58, 1226.25, 506.58, 129.25, 1.53, 6.63],
"NDVI": [0.28, 0.90, 0.81, 0.10, -2.01, 8.53], "NPP": [1312, 8120, 3760.32, 951.18, 0.87, 5.03]}""").items()
}
# Table 2, Pearson correlations, lower triangle in the order of Table 1.
_LOWER = [
    [0.96],
    [-0.14, -0.12],
    [-0.02, 0.01, 0.06],
    [-0.03, -0.04, 0.12, -0.49],
    [0.06, 0.04, 0.36, 0.03, 0.48],
    [-0.04, -0.03, -0.13, -0.03, 0.04, -0.09],
    [-0.02, -0.02, -0.56, -0.01, -0.32, -0.7, 0.07],
    [0.52, 0.43, -0.27, 0.01, 0.02, 0.2, -0.01, -0.2],
    [0.01, 0.03, 0.24, 0.05, 0.2, 0.35, 0.04, -0.44, 0.12],
    [-0.19, -0.14, 0.16, 0.04, 0.05, 0.04, -0.02, -0.05, -0.36, 0.15],
    [0.05, 0.06, 0.35, 0.05, 0.25, 0.52, 0.0, -0.67, 0.24, 0.61, 0.16],
]
_NAMES = list(TABLE_1)
TABLE_2 = {(_NAMES[j], _NAMES[i + 1]): value for i, row in enumerate(_LOWER) for j, value in enumerate(row)}
COVARIATES = tuple(_NAMES[2:])
# Table 4: area of farmland, forest, grassland and other land, km2.
AREAS = {"farm": 310862, "forest": 338116, "grass": 33600, "other": 108027}


class Shares(NamedTuple):
    """What the variance that correlations leave unexplained is made of; sums to 1."""

    nonlinear: float = 0.35
    field: float = 0.4
    noise: float = 0.25


DEFAULT_SHARES = Shares()


class Landscape(NamedTuple):
    """A made landscape; every cell is a site.

    Args:
        shape: cells ``(y, x)``.
        cell: side of a cell, km.
        covariates: ``(cell, 10)`` in the order of :data:`COVARIATES`.
        land_use: ``(cell,)`` index into :data:`AREAS`.
        smooth: ``(2, cell)`` scores of the potential and of the split into fines and carbon, without point noise.
        noise: ``(2,)`` standard deviation of the point noise of these scores.
    """

    shape: tuple[int, int]
    cell: float
    covariates: Floats
    land_use: NDArray[np.int64]
    smooth: Floats
    noise: Floats

    @property
    def place(self) -> Floats:
        """Centres of the cells, km, ``(cell, 2)``."""
        y, x = np.divmod(np.arange(self.shape[0] * self.shape[1]), self.shape[1])
        return (np.column_stack([x, self.shape[0] - 1 - y]) + 0.5) * self.cell

    def soil(self, cells: NDArray[np.int64], seed: int) -> dict[str, Floats]:
        """Soil at one point of each of these cells: silt and clay (%), organic carbon (g/kg), bulk density (g cm-3)."""
        rng = np.random.default_rng(host_seed(seed, "points of a landscape"))
        score = self.smooth[:, cells] + self.noise[:, None] * rng.standard_normal((2, len(cells)))
        # Potentials fall with carbon and rise with fines: 0.37 x 16.5 against 5.25 g/kg (Eq. 3).
        fines, carbon = np.array([0.37 * 16.5, 5.25]) / np.hypot(0.37 * 16.5, 5.25)
        return {
            "silt_and_clay": np.clip(67 + 16.5 * (fines * score[0] + carbon * score[1]), 5, 99),
            "soc_concentration": np.maximum(12.8 + 5.25 * (fines * score[1] - carbon * score[0]), 0.8),
            "bulk_density": np.clip(1.3 + 0.1 * rng.standard_normal(len(cells)), 0.9, 1.7),
        }


def make_landscape(
    population: Population,
    shape: tuple[int, int],
    cell: float,
    seed: int,
    number: int = 0,
    shares: Shares = DEFAULT_SHARES,
) -> Landscape:
    """A landscape of a population with the variables of Table 1.

    Args:
        population: of SOCpH and the ten covariates (:func:`~ensemble.mapping.synthetic.make_population`).
        shape: cells ``(y, x)``.
        cell: side of a cell, km.
        seed: of the landscapes.
        number: which of them.
        shares: of the unexplained variance.
    """
    names = population.copula.names
    order = [names.index(name) for name in ("SOCpH", *COVARIATES)]
    correlation = population.copula.correlation[np.ix_(order, order)]
    scores = _covariate_scores(correlation[1:, 1:], shape, cell, seed, number)
    covariates = [population.marginals[name].ppf(ndtr(z)) for name, z in zip(COVARIATES, scores, strict=True)]
    slope = np.linalg.solve(correlation[1:, 1:], correlation[1:, 0])
    explained = float(slope @ correlation[1:, 0])
    own = _fields(2, shape, cell, (5.0, 5.0), seed, "own fields", number)
    hump, product = _nonlinear(scores)
    left = 1 - explained
    first = slope @ scores + np.sqrt(left) * (np.sqrt(shares.nonlinear) * hump + np.sqrt(shares.field) * own[0])
    second = np.sqrt(0.3 + 0.4 * shares.nonlinear) * product + np.sqrt(0.7 * shares.field) * own[1]
    noise = np.sqrt([left * shares.noise, max(0.0, 0.7 - 0.7 * shares.field - 0.4 * shares.nonlinear)])
    land_use = _land_use(dict(zip(COVARIATES, scores, strict=True)), seed + number)
    return Landscape(shape, cell, np.column_stack(covariates), land_use, np.stack([first, second]), noise)


def _fields(
    count: int, shape: tuple[int, int], cell: float, cells: tuple[float, float], seed: int, name: str, number: int
) -> Floats:
    """Independent unit fields ``(count, cell)``, half of one range and half of the other (in cells)."""
    parts = []
    for part, length in enumerate(cells):
        one = _unit_field(shape, cell, length * cell)
        fields = one._replace(roots=np.repeat(one.roots, count, axis=0), mixing=np.eye(count))
        drawn = np.asarray(draw_grid_fields(fields, seed, f"{name} {part}", [number]), float)[0]
        parts.append(drawn.reshape(count, -1))
    return (parts[0] + parts[1]) / np.sqrt(2)


@lru_cache(maxsize=8)
def _unit_field(shape: tuple[int, int], cell: float, length: float) -> GridFields:
    return grid_fields(shape, (cell, cell), [SpatialCorrelation("matern", range=length)])


def _covariate_scores(correlation: Floats, shape: tuple[int, int], cell: float, seed: int, number: int) -> Floats:
    """Standard normal scores ``(covariate, cell)``, with this correlation over the cells of the landscape."""
    fields = _fields(len(correlation), shape, cell, (shape[1] / 5, 2.0), seed, "covariates", number)
    fields -= fields.mean(axis=1, keepdims=True)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(fields)), fields)
    return np.linalg.cholesky(correlation) @ white


def _nonlinear(scores: Floats) -> tuple[Floats, Floats]:
    """Two functions of covariates that are uncorrelated with each covariate: a hump of MAT, and MAT times NPP."""
    z = dict(zip(COVARIATES, scores, strict=True))
    hump, product = -(z["MAT"] ** 2) + z["MAP"] * z["TWI"], z["MAT"] * z["NPP"]
    return tuple((item - item.mean()) / item.std() for item in (hump, product))  # type: ignore[return-value]


def _land_use(z: dict[str, Floats], seed: int) -> NDArray[np.int64]:
    """Classes with the paper's shares of the area: forest on high, steep land, grass where it is dry, the rest mixed."""
    share = np.array(list(AREAS.values())) / sum(AREAS.values())
    cells = len(z["MAP"])
    found = np.zeros(cells, np.int64)
    high = np.argsort(-(z["elevation"] + z["SG"] - z["TWI"]))
    forest, rest = np.split(high, [round(share[1] * cells)])
    found[forest] = 1
    dry = rest[np.argsort(z["MAP"][rest])]
    grass, rest = np.split(dry, [round(share[2] * cells)])
    found[grass] = 2
    other = np.random.default_rng(host_seed(seed, "other land")).permutation(rest)[: round(share[3] * cells)]
    found[other] = 3
    return found


def purposive_sample(landscape: Landscape, samples: int, seed: int, units: int = 27) -> NDArray[np.int64]:
    """Cells sampled as the paper did: about equally many at random in each of 27 clusters of the covariates."""
    rng = np.random.default_rng(host_seed(seed, "purposive sample"))
    z = (landscape.covariates - landscape.covariates.mean(axis=0)) / landscape.covariates.std(axis=0)
    _, unit = kmeans2(z, units, minit="++", rng=rng)
    ranks = np.empty(len(z))
    for one in range(units):
        inside = np.flatnonzero(unit == one)
        ranks[inside] = rng.permutation(len(inside)) + rng.uniform(size=len(inside))
    return np.sort(np.argsort(ranks)[:samples])
