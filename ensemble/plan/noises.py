"""Noise on driver series: as many random numbers as there are steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.inputs.series import check_noise
from ensemble.plan.bind import BaseInputs, BoundModel
from ensemble.plan.entries import STATEMENT, target, to_internal


@dataclass(frozen=True)
class NoiseSeries:
    """AR(1) noise on a driver series, drawn anew in every step inside the compiled program.

    Args:
        label, input, per: as in :class:`ensemble.plan.scalars.ScalarDraw`.
        how: ``offset`` (normal, mean 0) or ``factor`` (lognormal, mean 1).
        sd: standard deviation of the offset (internal units), or coefficient of variation of the factor.
        autocorrelation: correlation of neighbouring steps.
    """

    label: str
    input: str
    how: Literal["offset", "factor"]
    per: Literal["member", "site"]
    sd: float
    autocorrelation: float


def read_noise(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain) -> NoiseSeries:
    """Bind an entry that is autocorrelated noise on a driver series.

    Raises:
        InputError: its input is no series, it is not stated as noise, or it could leave the input's support.
    """
    spec = target(study, bound, label, entry)
    key = ("uncertain", label)
    if "time" not in spec.dims:
        raise study.error(key, f"{spec.name} is not a series; leave out autocorrelation")
    wanted = {"offset": "normal", "factor": "lognormal"}.get(entry.as_)
    if entry.distribution != wanted:
        raise study.error(
            key, "noise is as: offset with distribution: normal, or as: factor with distribution: lognormal"
        )
    how: Literal["offset", "factor"] = "offset" if entry.as_ == "offset" else "factor"
    needed = "sd" if how == "offset" else "cv"
    spread = getattr(entry, needed)
    given = [name for name in STATEMENT if getattr(entry, name) is not None]
    if given != [needed] or isinstance(spread, str):
        found = ", ".join(given) or "nothing"
        raise study.error(key, f"noise as: {how} is stated by {needed}, one number, and nothing else; found {found}")
    factor, _ = to_internal(study, spec, label, entry)
    assert entry.autocorrelation is not None
    values = base.values.get(spec.name)
    ends = (0.0, 0.0) if values is None else (float(values.min()), float(values.max()))
    support = (-np.inf, np.inf) if values is None else spec.support
    try:
        check_noise(how, spread * factor, entry.autocorrelation, ends, support)
    except ValueError as error:
        raise study.error(key, str(error)) from None
    return NoiseSeries(label, spec.name, how, entry.per, spread * factor, entry.autocorrelation)
