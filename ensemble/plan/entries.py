"""What every entry of `uncertain` states: the input it acts on, its unit, its numbers."""

from __future__ import annotations

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.plan.bind import BoundModel, did_you_mean
from ensemble.specs import InputSpec
from ensemble.units import conversion

STATEMENT = (
    "mean", "sd", "cv", "median", "mode", "minimum", "maximum", "quantiles", "lower", "upper",
    "alpha", "beta", "shape", "scale", "values", "probabilities", "method",
)  # fmt: skip


def target(study: StudyFile, bound: BoundModel, label: str, entry: Uncertain) -> InputSpec:
    """The input that an entry acts on.

    Raises:
        InputError: there is none of that name, or a model derives it and the entry would replace it.
    """
    name = entry.input or label
    specs = {**bound.specs, **bound.derived_specs}
    if name not in specs:
        raise study.error(("uncertain", label), f"there is no input '{name}'; {did_you_mean(name, specs)}")
    if name in bound.derived_specs and entry.as_ == "value":
        raise study.error(("uncertain", label), f"{name} is derived by a model; use as: factor or offset")
    return specs[name]


def to_internal(study: StudyFile, spec: InputSpec, label: str, entry: Uncertain) -> tuple[float, float]:
    """Factor and offset that take a number as written to the input's internal unit.

    Raises:
        InputError: the unit is not one of this quantity, or a factor has one.
    """
    if entry.as_ == "factor":
        if entry.units not in (None, "1"):
            raise study.error(("uncertain", label, "units"), "a factor has no unit")
        return 1.0, 0.0
    try:
        factor, offset = conversion(entry.units or spec.units, spec.units)
    except ValueError as error:
        raise study.error(("uncertain", label, "units"), str(error)) from None
    return factor, offset if entry.as_ == "value" else 0.0
