"""Quasi-random points by random access: any rows, in any order, without what comes before them.

A draw index ``n`` of a design with R replicates is point ``n // R`` of replicate ``n % R``. Replicates are
independent randomisations of one rule, so the spread of their means is an honest standard error (Owen 1997,
The Annals of Statistics 25(4), 1541-1562), and a longer design only appends points to each of them.
"""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
from scipy.stats import qmc

from ensemble.keys import host_seed

# Dimensions of the direction numbers of Joe & Kuo (2008), SIAM J. Sci. Comput. 30(5), 2635-2654.
SOBOL_DIMENSIONS = qmc.Sobol.MAXDIM

_BITS = 32

# Points that are generated and thrown away rather than jumped over.
_GAP = 256


def sobol_points(seed: int, dimensions: int, replicates: int, draws: np.ndarray) -> np.ndarray:
    """Rows of scrambled Sobol designs (Matousek's linear scramble and a digital shift).

    Args:
        seed: the study's seed.
        dimensions: length of a point.
        replicates: number of scrambles R.
        draws: draw indices ``(n,)``, in any order.

    Returns:
        ``(n, dimensions)`` float64, strictly between 0 and 1: the middle of one of 2**32 cells.
    """
    draws = np.asarray(draws, dtype=np.int64)
    out = np.empty((len(draws), dimensions))
    scramble, point = draws % replicates, draws // replicates
    for number in np.unique(scramble):
        rows = np.flatnonzero(scramble == number)
        out[rows] = _rows_of(_sobol_engine(seed, dimensions, int(number)), point[rows])
    return out + 2.0 ** -(_BITS + 1)


@lru_cache(maxsize=64)
def _sobol_engine(seed: int, dimensions: int, scramble: int) -> qmc.Sobol:
    """One scrambled sequence at its start; copied before it is moved."""
    rng = np.random.default_rng([*host_seed(seed, "sobol design"), scramble])
    return qmc.Sobol(dimensions, scramble=True, bits=_BITS, rng=rng)


def _rows_of(engine: qmc.Sobol, points: np.ndarray) -> np.ndarray:
    """Points of one sequence by their numbers ``(n,)``."""
    wanted, back = np.unique(points, return_inverse=True)
    engine = copy.copy(engine).reset()
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > _GAP) + 1)
    return np.concatenate([_run(engine, run) for run in runs])[back.ravel()]


def _run(engine: qmc.Sobol, run: np.ndarray) -> np.ndarray:
    """Rows ``run`` (rising, nearly without gaps), moving the engine forward to its end."""
    first, count = int(run[0]), int(run[-1] - run[0]) + 1
    if first > engine.num_generated:
        engine.fast_forward(first - engine.num_generated)
    if engine.num_generated > 0:
        return engine.random(count)[run - first]
    # The very first point on its own: SciPy warns about a first batch that is no power of two.
    parts = [engine.random(1)] + ([engine.random(count - 1)] if count > 1 else [])
    return np.concatenate(parts)[run - first]


def latin_hypercube_points(seed: int, dimensions: int, replicates: int, draws: np.ndarray) -> np.ndarray:
    """Rows of replicated Latin hypercubes that grow by doubling.

    Within a replicate, points 2**(b-1) to 2**b - 1 are one Latin hypercube of their own (McKay, Beckman &
    Conover 1979, Technometrics 21(2), 239-245) and point 0 is a plain draw, so a longer design appends
    hypercubes and never redraws one. Arguments and result as in :func:`sobol_points`.
    """
    draws = np.asarray(draws, dtype=np.int64)
    out = np.empty((len(draws), dimensions))
    replicate, point = draws % replicates, draws // replicates
    block = np.frexp(point.astype(float))[1]
    for number, size in np.unique(np.stack([replicate, block], axis=1), axis=0):
        rows = np.flatnonzero((replicate == number) & (block == size))
        first = 0 if size == 0 else 2 ** (int(size) - 1)
        out[rows] = _hypercube(seed, dimensions, int(number), int(size))[point[rows] - first]
    return out


@lru_cache(maxsize=32)
def _hypercube(seed: int, dimensions: int, replicate: int, block: int) -> np.ndarray:
    rng = np.random.default_rng([*host_seed(seed, "latin hypercube design"), replicate, block])
    points = qmc.LatinHypercube(dimensions, rng=rng).random(1 if block == 0 else 2 ** (block - 1))
    return np.clip(points, 2.0**-53, 1.0 - 2.0**-53)
