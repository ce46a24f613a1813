"""Inputs that are one uncertain number a member, or a member and site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.design.chosen import read_levels
from ensemble.design.counters import BLOCK
from ensemble.inputs.checks import check_values
from ensemble.inputs.distributions import Distribution, make_distribution
from ensemble.inputs.tables import read_table
from ensemble.plan.bind import BaseInputs, BoundModel, did_you_mean
from ensemble.plan.entries import STATEMENT, target, to_internal
from ensemble.specs import InputSpec

How = Literal["value", "offset", "factor"]


@dataclass(frozen=True)
class ScalarDraw:
    """One number a member (or a member and site) draws, or that the design sets.

    Args:
        label: its name under `uncertain`; also the name of its stream.
        input: input it acts on.
        how: it replaces the input, is added to it, or multiplies it.
        per: ``member`` or ``site``.
        base: its central value in internal units, shape () or (sites,).
        support: range that keeps the input physically possible, internal units, numbers or (sites,).
        distribution: of the number as written in the study; ``None`` where the design sets it.
        factor, offset: take the written number to the internal unit.
    """

    label: str
    input: str
    how: How
    per: Literal["member", "site"]
    base: np.ndarray
    support: tuple[Any, Any]
    distribution: Distribution | None = None
    factor: float = 1.0
    offset: float = 0.0

    @property
    def stream(self) -> str:
        """Stream of its uniform numbers: its own, unless it is drawn together with others."""
        return self.label

    @property
    def differs_by_site(self) -> bool:
        """Whether the sites of a member get different numbers."""
        return self.per == "site" or np.ndim(self.base) > 0

    def values(self, uniforms: np.ndarray, sites: np.ndarray) -> np.ndarray:
        """Draws in internal units.

        Args:
            uniforms: shape (members, 1) where all sites share the probability, else (members, sites).
            sites: site indices, shape (sites,), for a distribution that differs by site.
        """
        assert self.distribution is not None
        law = self.distribution.at(sites) if self.distribution.shape else self.distribution
        drawn = np.empty(np.broadcast_shapes(uniforms.shape, law.shape))
        step = max(1, BLOCK // max(drawn[:1].size, 1))
        for start in range(0, len(drawn), step):
            rows = slice(start, start + step)
            drawn[rows] = np.asarray(law.ppf(uniforms[rows]), dtype=np.float64) * self.factor + self.offset
        return drawn

    def sd(self) -> np.ndarray:
        """Standard deviation in internal units, shape () or (sites,); 0 where the design sets the number."""
        return np.zeros(()) if self.distribution is None else np.asarray(self.distribution.sd) * self.factor


def read_scalar(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain) -> ScalarDraw:
    """Bind an entry that is one number with a distribution.

    Raises:
        InputError: it names no input, or describes an impossible distribution.
    """
    spec = target(study, bound, label, entry)
    factor, offset = to_internal(study, spec, label, entry)
    low, high = _support(spec, entry, base.values.get(spec.name))
    limits = ((low - offset) / factor, (high - offset) / factor)
    distribution = _distribution(study, base, label, entry, limits)
    central = np.asarray(distribution.mean, dtype=np.float64) * factor + offset
    return ScalarDraw(label, spec.name, entry.as_, entry.per, central, (low, high), distribution, factor, offset)


def set_by_design(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str) -> ScalarDraw:
    """An input that a factorial, sweep or half-range design sets.

    Raises:
        InputError: there is no such input, it is a series, or a level lies outside its support.
    """
    settings = study.record.design
    key = ("design", "levels" if settings.levels else "errors", label)
    if label not in bound.specs:
        raise study.error(key, f"there is no input '{label}'; {did_you_mean(label, bound.specs)}")
    spec, values = bound.specs[label], base.values[label]
    if spec.dims:
        raise study.error(key, f"{label} is a series; a design sets single numbers")
    if settings.type != "factorial" and len(values) > 1:
        raise study.error(key, f"{label} differs between scenarios; a {settings.type} design needs one base value")
    if settings.levels:
        for value in read_levels(label, (settings.written_levels() or {})[label]):
            check_values(spec, np.asarray(value, dtype=np.float64), lambda _, text: study.error(key, text))
    central = values[0] if values.shape[1] > 1 else values[0, 0]
    return ScalarDraw(label, label, "value", "site" if np.ndim(central) else "member", central, spec.support)


def _support(spec: InputSpec, entry: Uncertain, values: np.ndarray | None) -> tuple[Any, Any]:
    """Range of the draw that keeps the input inside its physical support; by site for an offset drawn by site."""
    low, high = spec.support
    how = entry.as_
    if how == "value":
        return low, high
    if values is None or np.isnan(values).all():  # derived, or read from a map: known only for a member
        return (0.0, np.inf) if how == "factor" and low >= 0 else (-np.inf, np.inf)
    if how == "offset":
        others = tuple(
            axis for axis in range(values.ndim) if axis != 1 or entry.per == "member" or values.shape[1] == 1
        )
        return low - values.min(axis=others), high - values.max(axis=others)
    known = values[(values != 0) & ~np.isnan(values)]
    lowest = np.where(known > 0, low, high) / known
    highest = np.where(known > 0, high, low) / known
    below = float(lowest.max(initial=-np.inf))
    return (max(below, 0.0) if low >= 0 else below), float(highest.min(initial=np.inf))


def _distribution(
    study: StudyFile, base: BaseInputs, label: str, entry: Uncertain, support: tuple[Any, Any]
) -> Distribution:
    statement = {name: value for name in STATEMENT if (value := getattr(entry, name)) is not None}
    for name, value in statement.items():
        statement[name] = _columns(study, base, (label, name), value)
    if entry.file is not None:
        file = study.path(entry.file)
        table = read_table(file, study.error(("uncertain", label, "file"), f"the file {file} does not exist"))
        if entry.column is None:
            raise study.error(("uncertain", label), f"give column: which column of {entry.file} holds the values")
        statement["values"] = table.numbers(entry.column)
    try:
        return make_distribution({"distribution": entry.distribution, **statement}, support)
    except ValueError as error:
        raise study.error(("uncertain", label), str(error)) from None


def _columns(study: StudyFile, base: BaseInputs, key: tuple[str, str], value: Any) -> Any:
    """A text stands for a column of the site table: one number a site."""
    if isinstance(value, Mapping):
        return {probability: _columns(study, base, key, item) for probability, item in value.items()}
    if not isinstance(value, str) or key[1] in ("method", "values"):
        return value
    if base.sites.table is None:
        raise study.error(("uncertain", *key), f"'{value}' needs a site table; give the key sites, or a number")
    numbers = base.sites.table.numbers(value)
    if key[1] in ("sd", "cv") and not (numbers > 0).all():
        row = int(np.argmax(~(numbers > 0)))
        text = f"{numbers[row]:g} is not allowed as the {key[1]} of uncertain.{key[0]}; allowed: above 0"
        raise base.sites.table.error(row, value, f"{text} ({int((~(numbers > 0)).sum())} of {len(numbers)} sites)")
    return numbers
