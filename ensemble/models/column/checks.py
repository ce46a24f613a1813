"""What inputs of the column must satisfy together, checked where their values are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ensemble.models.column.layers import Layers


def check(options: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """The check of the record ``column``: its options together, then :func:`check_inputs`.

    Raises:
        ValueError: layers with gaps or overlaps, an event depth that is impossible, or inputs that do not fit.
    """
    from ensemble.models.column.model import choose  # the model itself, with JAX, is loaded when a study is checked

    layers = choose(options).layers
    check_inputs({name: np.asarray(value) for name, value in inputs.items()}, layers)


def check_inputs(inputs: Mapping[str, np.ndarray], layers: Layers) -> None:
    """Refuse combinations that a single input's support cannot rule out.

    Raises:
        ValueError: texture that does not sum to 100 %, ploughing or mixing below the column, erosion or
            deposition that would replace a layer in a year, calcite above 1.
    """
    column = float(layers.bottom[-1])
    texture = float(inputs["clay"] + inputs["silt"] + inputs["sand"])
    if abs(texture - 100.0) > 0.5:
        raise ValueError(f"clay, silt and sand sum to {texture:g} %; they must sum to 100 %")
    for name in ("plough_depth", "bioturbation_depth"):
        deepest = float(np.max(inputs[name]))
        if deepest > column:
            raise ValueError(f"{name} is {deepest:g} cm; at most the depth of the column, {column:g} cm, is allowed")
    if float(inputs["calcite"]) > 1.0:
        raise ValueError(f"calcite is {float(inputs['calcite']):g}; a mass fraction of at most 1 is allowed")
    thinnest = float(layers.thickness.min())
    for name in ("erosion", "deposition"):
        fastest = 0.1 * float(np.max(inputs[name]))
        if fastest > thinnest:
            raise ValueError(
                f"{name} reaches {fastest:g} cm in a year; at most the thinnest layer, {thinnest:g} cm, is allowed"
            )
