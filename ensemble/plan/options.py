"""Model options as structural uncertainty: which of its values a member uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.inputs.distributions import Distribution, make_distribution
from ensemble.plan.bind import BoundModel, did_you_mean


@dataclass(frozen=True)
class OptionDraw:
    """A structural choice: which value of a model option a member uses."""

    label: str
    option: str
    distribution: Distribution | None
    values: tuple[Any, ...]


def read_option(study: StudyFile, bound: BoundModel, label: str, entry: Uncertain) -> OptionDraw:
    """Bind an entry that draws a model option.

    Raises:
        InputError: there is no such option or value, or it is not stated as a discrete distribution.
    """
    name = (entry.input or label).removeprefix("options.")
    known = {option.name: option for option in bound.model.options}
    if name not in known:
        raise study.error(("uncertain", label), f"there is no option '{name}'; {did_you_mean(name, known)}")
    if entry.distribution != "discrete" or not entry.values:
        raise study.error(("uncertain", label), "an option is uncertain by distribution: discrete, with values")
    for value in entry.values:
        if known[name].choices and value not in known[name].choices:
            shown = ", ".join(str(choice) for choice in known[name].choices)
            raise study.error(("uncertain", label, "values"), f"'{value}' is not allowed; allowed: {shown}")
    codes = {"distribution": "discrete", "values": list(range(len(entry.values)))}
    if entry.probabilities is not None:
        codes["probabilities"] = entry.probabilities
    try:
        return OptionDraw(label, name, make_distribution(codes), tuple(entry.values))
    except ValueError as error:
        raise study.error(("uncertain", label), str(error)) from None


def option_set_by_design(study: StudyFile, bound: BoundModel, label: str) -> OptionDraw:
    """An option whose value a factorial, sweep or half-range design sets.

    Raises:
        InputError: there is no such option or value.
    """
    written = (study.record.design.written_levels() or {}).get(label)
    entry = Uncertain(distribution="discrete", values=written if isinstance(written, list) else [])
    return replace(read_option(study, bound, label, entry), distribution=None)
