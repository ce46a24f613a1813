"""What `uncertain` and `correlation` say, bound to the model: scalars, noise series, weather, options, fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ensemble.config import StudyFile
from ensemble.inputs.copula import GaussianCopula
from ensemble.plan.bind import BaseInputs, BoundModel
from ensemble.plan.dependence import read_copulas
from ensemble.plan.fields import FieldDraws, read_fields
from ensemble.plan.noises import NoiseSeries, read_noise
from ensemble.plan.options import OptionDraw, option_set_by_design, read_option
from ensemble.plan.posterior import read_posterior
from ensemble.plan.realizations import MapDraw, read_realizations
from ensemble.plan.scalars import ScalarDraw, read_scalar, set_by_design
from ensemble.plan.weather import WeatherHistory, read_weather


@dataclass(frozen=True)
class Uncertainty:
    """Everything that differs between members.

    Args:
        scalars, noises, weather, options: the sources, in the order of the study.
        copulas: dependence of the scalars by ``per``; ``None`` where they are independent.
        notes: sentences for the user (what truncation changed, what is independent).
        fields: draws by site that are alike in space, by label.
    """

    scalars: tuple[ScalarDraw, ...] = ()
    noises: tuple[NoiseSeries, ...] = ()
    weather: tuple[WeatherHistory, ...] = ()
    options: tuple[OptionDraw, ...] = ()
    copulas: Mapping[str, GaussianCopula] | None = None
    notes: tuple[str, ...] = ()
    fields: Mapping[str, FieldDraws] = field(default_factory=dict)

    @property
    def shared_streams(self) -> tuple[str, ...]:
        """Streams of the uniform numbers that all sites of a member share; a joint posterior is one of them."""
        entries = (*self.scalars_per("member"), *self.options)
        return tuple(dict.fromkeys(entry.stream if isinstance(entry, ScalarDraw) else entry.label for entry in entries))

    def scalars_per(self, per: str) -> tuple[ScalarDraw, ...]:
        """The scalars drawn per member, or per member and site."""
        return tuple(scalar for scalar in self.scalars if scalar.per == per)

    @property
    def unlearned(self) -> tuple[str, ...]:
        """Maps that the study is still to learn: it can be checked, not run."""
        return tuple(s.label for s in self.scalars if isinstance(s, MapDraw) and s.values_of is None)

    @property
    def trusted(self) -> np.ndarray | None:
        """``(site,)`` whether the learned maps that the study uses may be trusted there; ``None`` without such maps."""
        masks = [s.trusted for s in self.scalars if isinstance(s, MapDraw) and s.values_of is not None]
        return np.all(masks, axis=0) if masks else None

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of all streams."""
        return tuple(entry.label for entry in (*self.scalars, *self.options, *self.noises, *self.weather))


def read_uncertainty(study: StudyFile, bound: BoundModel, base: BaseInputs) -> Uncertainty:
    """Bind every entry of `uncertain`.

    Raises:
        InputError: an entry names nothing, contradicts another, or describes an impossible distribution.
    """
    found: dict[str, list[Any]] = {"scalars": [], "noises": [], "weather": [], "options": []}
    levels = study.record.design.levels or study.record.design.errors or {}
    for label in levels:
        if label.startswith("options."):
            found["options"].append(option_set_by_design(study, bound, label))
        else:
            found["scalars"].append(set_by_design(study, bound, base, label))
    for label, entry in study.record.uncertain.items():
        if levels and entry.weather is None and entry.autocorrelation is None:
            text = f"a {study.record.design.type} design sets inputs and draws none; move '{label}' to levels or leave it out"
            raise study.error(("uncertain", label), text)
        if entry.posterior is not None:
            found["scalars"] += read_posterior(study, bound, base, label, entry)
        elif entry.realizations is not None:
            found["scalars"] += read_realizations(study, bound, base, label, entry)
        elif entry.weather is not None:
            found["weather"].append(read_weather(study, bound, base, label, entry))
        elif (entry.input or label).startswith("options."):
            found["options"].append(read_option(study, bound, label, entry))
        elif entry.autocorrelation is not None:
            found["noises"].append(read_noise(study, bound, base, label, entry))
        else:
            found["scalars"].append(read_scalar(study, bound, base, label, entry))
    _refuse_twice_by_value(study, found["scalars"])
    scalars = tuple(found["scalars"])
    _refuse_names_twice(study, scalars)
    notes = [f"{s.label}: {s.distribution.note}" for s in scalars if s.distribution and s.distribution.note]
    notes += [f"{s.label}: {s.note}" for s in scalars if isinstance(s, MapDraw) and s.note]
    fields = read_fields(study, base.sites, [s.label for s in scalars if s.per == "site"])
    notes += [f"{label}: alike in space, {entry.describe}" for label, entry in fields.items()]
    return Uncertainty(
        scalars,
        tuple(found["noises"]),
        tuple(found["weather"]),
        tuple(found["options"]),
        read_copulas(study, scalars),
        tuple(notes),
        fields,
    )


def _refuse_twice_by_value(study: StudyFile, scalars: list[ScalarDraw]) -> None:
    seen: dict[str, str] = {}
    for scalar in scalars:
        if scalar.how == "value":
            if scalar.input in seen:
                text = f"{scalar.input} is already replaced by '{seen[scalar.input]}'; use as: offset or factor"
                raise study.error(("uncertain", scalar.label), text)
            seen[scalar.input] = scalar.label


def _refuse_names_twice(study: StudyFile, scalars: tuple[ScalarDraw, ...]) -> None:
    labels = [scalar.label for scalar in scalars]
    for label in labels:
        if labels.count(label) > 1:
            raise study.error(("uncertain", label), f"'{label}' is part of the posterior already; leave it out")
