"""What inputs of the column must satisfy together, checked where their values are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ensemble.models.base import Mismatch
from ensemble.models.column.layers import Layers

TEXTURE = ("clay", "silt", "sand")


def check(options: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """The check of the record ``column``: its options together, then :func:`check_inputs`.

    Raises:
        ValueError: layers with gaps or overlaps, an event depth that is impossible, or inputs that do not fit.
    """
    from ensemble.models.column.model import choose  # the model itself, with JAX, is loaded when a study is checked

    layers = choose(options).layers
    found = {name: np.asarray(value) for name, value in inputs.items()}
    check_inputs(found, layers)
    if options["erosion"] == "event":
        _check_events(found["erosion"], float(options["event_depth"]), layers)


def check_inputs(inputs: Mapping[str, np.ndarray], layers: Layers) -> None:
    """Refuse combinations that a single input's support cannot rule out.

    Raises:
        Mismatch: texture that does not sum to 100 %, ploughing or mixing below the column, erosion or
            deposition that would replace a layer in a year, calcite above 1.
    """
    column = float(layers.bottom[-1])
    texture = sum(float(inputs[name]) for name in TEXTURE)
    if abs(texture - 100.0) > 0.5:
        raise Mismatch(f"clay, silt and sand sum to {texture:g} %; they must sum to 100 %", *TEXTURE)
    for name in ("plough_depth", "bioturbation_depth"):
        deepest = float(np.max(inputs[name]))
        if deepest > column:
            text = f"{name} is {deepest:g} cm; at most the depth of the column, {column:g} cm, is allowed"
            raise Mismatch(text, name, "options.layers")
    if float(inputs["calcite"]) > 1.0:
        text = f"calcite is {float(inputs['calcite']):g}; a mass fraction of at most 1 is allowed"
        raise Mismatch(text, "calcite")
    thinnest = float(layers.thickness.min())
    for name in ("erosion", "deposition"):
        fastest = 0.1 * float(np.max(inputs[name]))
        if fastest > thinnest:
            text = f"{name} reaches {fastest:g} cm in a year; at most the thinnest layer, {thinnest:g} cm, is allowed"
            raise Mismatch(text, name, "options.layers")


def _check_events(rate: np.ndarray, depth: float, layers: Layers) -> None:
    """Refuse rates that complete more events in a year than the step moves, which is a layer or one event."""
    most = max(depth, float(layers.thickness.min()))
    fastest = 0.1 * float(np.max(rate))
    removed = np.ceil(fastest / depth - 1e-9) * depth
    if removed > most + 1e-9:
        text = (
            f"erosion reaches {fastest:g} cm in a year, which can complete {removed / depth:.0f} events of {depth:g} cm; "
            f"at most {most:g} cm in a year is allowed: lower it, or give larger events"
        )
        raise Mismatch(text, "erosion", "options.event_depth")
