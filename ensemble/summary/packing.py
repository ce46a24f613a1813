"""A tile's summary as one vector, so that a tile writes one small file an output instead of eight."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ensemble.summary.moments import Summary


@dataclass(frozen=True)
class Packing:
    """Lengths of the axes of one output's :class:`Summary`.

    Args:
        replicates: replicates of the design.
        scenarios, sites: of a whole tile; a short last tile is filled up with empty sites.
        dims: lengths of the output's own axes.
        thresholds: how many exceedances are counted.
        bins: bins of the histogram; 0 for none.
    """

    replicates: int
    scenarios: int
    sites: int
    dims: tuple[int, ...]
    thresholds: int = 0
    bins: int = 0

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of every field of :class:`Summary`, in its order."""
        cells = (self.scenarios, self.sites, *self.dims)
        return (
            (self.replicates, self.sites),
            (self.sites,),
            (self.replicates, *cells),
            (self.replicates, *cells),
            cells,
            cells,
            (self.replicates, self.thresholds, *cells),
            (*cells, self.bins + 2 if self.bins else 0),
        )

    @property
    def length(self) -> int:
        """Length of the vector."""
        return sum(math.prod(shape) for shape in self.shapes)

    def pack(self, summary: Summary) -> np.ndarray:
        """The summary as float64, shape (length,); counts stay exact (below 2**53)."""
        vector, start = np.empty(self.length), 0
        for name, shape in zip(Summary._fields, self.shapes, strict=True):
            stop = start + math.prod(shape)
            field, values = vector[start:stop].reshape(shape), getattr(summary, name)
            if values.shape != shape:  # a short last tile lacks sites
                field[...] = {"minimum": np.inf, "maximum": -np.inf}.get(name, 0.0)
            field[tuple(slice(length) for length in values.shape)] = values
            start = stop
        return vector

    def unpack(self, vector: np.ndarray) -> Summary:
        """The summary behind a vector of :meth:`pack`."""
        fields, start = [], 0
        for name, shape in zip(Summary._fields, self.shapes, strict=True):
            stop = start + math.prod(shape)
            field = vector[start:stop].reshape(shape)
            counted = name in ("count", "failed", "above", "histogram")
            fields.append(field.astype(np.int64) if counted else field)
            start = stop
        return Summary(*fields)
