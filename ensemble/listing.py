"""Models as text, tables and JSON, and a commented study to start from; no JAX needed."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.errors import InputError
from ensemble.inputs.checks import allowed
from ensemble.models.base import Model
from ensemble.models.examples import example_period, example_value
from ensemble.models.registry import builtin_models, load_model
from ensemble.specs import InputSpec


def list_models(as_json: bool = False) -> str:
    """Every built-in model, one line each, or as JSON."""
    models = builtin_models().values()
    if as_json:
        return json.dumps([_record(model) for model in models], indent=1)
    width = max(len(model.name) for model in models)
    return "\n".join(f"{model.name:<{width}}  {model.title}" for model in models)


def show_model(name: str, as_json: bool = False) -> str:
    """One model in full: inputs, outputs, options, sources.

    Raises:
        InputError: there is no such model.
    """
    model = _find(name)
    if as_json:
        return json.dumps(_record(model), indent=1)
    lines = [f"{model.name}: {model.title}", f"source: {model.source}", "", "inputs"]
    lines += [f"  {_input_line(spec)}" for spec in model.inputs]
    lines += ["", "outputs"]
    lines += [f"  {spec.name} [{spec.units}] {spec.long_name} ({_axes(spec.dims)})" for spec in model.outputs]
    if model.options:
        lines += ["", "options"]
        for option in model.options:
            choices = f"; one of {', '.join(map(str, option.choices))}" if option.choices else ""
            lines.append(f"  {option.name} = {option.default}{choices}: {option.long_name}")
    return "\n".join(lines)


def _find(name: str) -> Model:
    try:
        return load_model(name)
    except ValueError as error:
        raise InputError(str(error)) from None


def _axes(dims: tuple[str, ...]) -> str:
    return " x ".join(dims) or "one number"


def _input_line(spec: InputSpec) -> str:
    default = "required" if spec.default is None else f"default {spec.default:g}"
    if spec.used_when:
        default += "; only with " + " and ".join(f"{n} = {' or '.join(map(str, v))}" for n, v in spec.used_when)
    source = f" ({spec.source})" if spec.source else ""
    return f"{spec.name} [{spec.units}] {spec.long_name} ({_axes(spec.dims)}); {default}; {allowed(spec)}{source}"


def _record(model: Model) -> dict[str, Any]:
    """A model as JSON-able data; infinite limits become null."""
    return {
        "name": model.name,
        "title": model.title,
        "source": model.source,
        "time_step": model.time.step if model.time else None,
        "inputs": [_plain(spec) for spec in model.inputs],
        "outputs": [_plain(spec) for spec in model.outputs],
        "options": [_plain(option) for option in model.options],
    }


def _plain(record: Any) -> Any:
    if dataclasses.is_dataclass(record):
        return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, list | tuple):
        return [_plain(item) for item in record]
    return None if isinstance(record, float) and not math.isfinite(record) else record


def new_study(name: str) -> str:
    """A commented study of a model, with typical values, that validates as it stands.

    Raises:
        InputError: there is no such model, or it only serves as a model of an input.
    """
    model = _find(name)
    if model.time is None and any("time" in spec.dims for spec in model.inputs):
        raise InputError(
            f"{name} is a model of an input ({model.derives}); write `{model.derives}: {{model: {name}}}` under the "
            "inputs of a study of another model"
        )
    options = model.default_options()
    lines = [
        f"# A study of {model.name}: {model.title}.",
        "# Check it with `ensemble validate`, run it with `ensemble run`.",
        "format: 1",
        f"title: {json.dumps(model.title)}",
        f"model: {model.name}",
        "precision: float32            # or float64",
    ]
    if options:
        lines += ["", "options:"]
        for option in model.options:
            choices = f"; one of {', '.join(map(str, option.choices))}" if option.choices else ""
            lines.append(f"  {option.name}: {json.dumps(option.default)}  # {option.long_name}{choices}")
    lines += ["", "inputs:"]
    if model.time is not None:
        first, last = example_period(model)
        lines.append(f"  period: {{start: {first}, end: {last}}}  # or forcing: drivers.csv")
    used = [spec for spec in model.inputs if spec.used(options)]
    lines += [_new_input(model, spec) for spec in used]
    lines += _new_uncertainty(model, used)
    lines += ["", "outputs:", f"  variables: [{', '.join(s.name for s in model.outputs if s.given(options))}]", ""]
    return "\n".join(lines)


def _new_input(model: Model, spec: InputSpec) -> str:
    note = f"  # {spec.long_name}, {spec.units}; {allowed(spec)}"
    if spec.default is not None:
        return f"  # {spec.name}: {spec.default:g}{note}"
    return f"  {spec.name}: {json.dumps(example_value(model, spec))}{note}"


def _new_uncertainty(model: Model, used: list[InputSpec]) -> list[str]:
    """A ten per cent error of every required scalar, as a place to begin."""
    scalars = [s for s in used if s.default is None and not s.dims]
    positive = [s for s in scalars if np.min(example_value(model, s)) > 0]
    if not positive:
        return []
    lines = ["", "uncertain:", "  # Ten per cent on every number above, as a place to begin; state your own."]
    for spec in positive:
        lines.append(f"  {spec.name}: {{as: factor, distribution: lognormal, median: 1, cv: 0.1}}")
    return [*lines, "", "design: {type: sobol, members: 1024, seed: 1}"]


def write_new_study(name: str, file: Path) -> Path:
    """Write :func:`new_study` to a file.

    Raises:
        InputError: the file exists already, or cannot be written.
    """
    text = new_study(name)
    if file.exists():
        raise InputError("the file exists already; choose another name with --out", file)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"the file cannot be written: {error.strerror}", file) from None
    return file
