"""Geometry of the column: what is fixed when it is compiled, in NumPy.

Depths are in cm from the surface, positive downwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ensemble.models.base import Mismatch

KEY = "options.layers"
SHAPE = "layers {!r} must be thicknesses or (top, bottom) pairs in cm"


class Layers(NamedTuple):
    """Layer boundaries: ``top`` and ``bottom``, cm, shape (layers,)."""

    top: np.ndarray
    bottom: np.ndarray

    @property
    def thickness(self) -> np.ndarray:
        """Thickness of each layer, cm, shape (layers,)."""
        return self.bottom - self.top

    @property
    def middle(self) -> np.ndarray:
        """Depth of the middle of each layer, cm, shape (layers,)."""
        return 0.5 * (self.top + self.bottom)

    def within(self, upper: float, lower: float) -> np.ndarray:
        """Fraction of each layer that lies between two depths, 0 to 1, shape (layers,)."""
        overlap = np.minimum(self.bottom, lower) - np.maximum(self.top, upper)
        return np.clip(overlap, 0.0, None) / self.thickness

    def spread(self, depth: float) -> np.ndarray:
        """Share of each layer in something spread evenly from the surface to ``depth``; sums to 1."""
        part = self.within(0.0, depth) * self.thickness
        return part / part.sum()


def make_layers(option: Any) -> Layers:
    """Layers from the ``layers`` option.

    Args:
        option: thicknesses from the surface down (cm), or (top, bottom) pairs (cm).

    Raises:
        Mismatch: no layer, a thickness that is not positive, a first layer below the surface, layers that
            overlap or leave a gap.
    """
    try:
        values = np.asarray(option, dtype=float)
    except (TypeError, ValueError):
        raise Mismatch(SHAPE.format(option), KEY) from None
    if values.ndim == 1 and values.size:
        bottom = np.cumsum(values)
        top = bottom - values
    elif values.ndim == 2 and values.shape[1] == 2:
        top, bottom = values.T
    else:
        raise Mismatch(SHAPE.format(option), KEY)
    if not np.all(bottom - top > 0.0):
        number = int(np.argmax(~(bottom - top > 0.0))) + 1
        raise Mismatch(f"layer {number} has no thickness; every layer needs one", KEY)
    if top[0] != 0.0:
        raise Mismatch(f"the first layer starts at {top[0]:g} cm; it must start at the surface, 0 cm", KEY)
    for i, (above, below) in enumerate(zip(bottom[:-1], top[1:], strict=True)):
        if not np.isclose(above, below, rtol=0.0, atol=1e-9):
            fault = "overlaps" if below < above else "leaves a gap to"
            text = f"layer {i + 2} starts at {below:g} cm and {fault} the layer above, which ends at {above:g} cm"
            raise Mismatch(text, KEY)
    return Layers(top, bottom)


def coordinates(options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Axes other than time: ``depth`` (layer middles, cm), ``depth_bounds`` (layers, 2) and ``month`` (1 to 12)."""
    layers = make_layers(options["layers"])
    return {
        "depth": layers.middle,
        "depth_bounds": np.stack([layers.top, layers.bottom], axis=1),
        "month": np.arange(1, 13),
    }
