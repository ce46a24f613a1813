"""What `uncertain` and `correlation` say, bound to the model: scalars, noise series, weather, options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.design.chosen import read_levels
from ensemble.inputs.checks import check_values
from ensemble.inputs.copula import GaussianCopula, build_copula
from ensemble.inputs.distributions import Distribution, make_distribution
from ensemble.inputs.series import check_noise
from ensemble.inputs.tables import read_table
from ensemble.plan.bind import BaseInputs, BoundModel, did_you_mean
from ensemble.plan.fields import FieldDraws, read_fields
from ensemble.plan.posterior import load_posterior
from ensemble.plan.weather import WeatherHistory, read_weather
from ensemble.specs import InputSpec
from ensemble.units import conversion

How = Literal["value", "offset", "factor"]
STATEMENT = (
    "mean", "sd", "cv", "median", "mode", "minimum", "maximum", "quantiles", "lower", "upper",
    "alpha", "beta", "shape", "scale", "values", "probabilities", "method",
)  # fmt: skip


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
        return np.asarray(law.ppf(uniforms), dtype=np.float64) * self.factor + self.offset

    def sd(self) -> np.ndarray:
        """Standard deviation in internal units, shape () or (sites,); 0 where the design sets the number."""
        return np.zeros(()) if self.distribution is None else np.asarray(self.distribution.sd) * self.factor


@dataclass(frozen=True)
class PosteriorDraw(ScalarDraw):
    """A number that is drawn from a joint posterior, together with all others of the same posterior.

    Args:
        joint: name of the posterior's stream: all its numbers use the same draw of it.
        draws: posterior draws in internal units, (draws,) or (draws, sites).
    """

    joint: str = ""
    draws: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def stream(self) -> str:
        """Stream of the posterior it belongs to."""
        return self.joint

    def values(self, uniforms: np.ndarray, sites: np.ndarray) -> np.ndarray:
        """Draws in internal units, (members, 1) or (members, sites); uniforms as in :class:`ScalarDraw`."""
        index = np.minimum((uniforms[:, 0] * len(self.draws)).astype(np.int64), len(self.draws) - 1)
        chosen = self.draws[index]
        return chosen[:, None] if chosen.ndim == 1 else chosen[:, sites]

    def sd(self) -> np.ndarray:
        """Standard deviation of the draws, () or (sites,)."""
        return self.draws.std(axis=0, ddof=1)


@dataclass(frozen=True)
class NoiseSeries:
    """AR(1) noise on a driver series, drawn anew in every step inside the compiled program.

    Args:
        label, input, per: as in :class:`ScalarDraw`.
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


@dataclass(frozen=True)
class OptionDraw:
    """A structural choice: which value of a model option a member uses."""

    label: str
    option: str
    distribution: Distribution | None
    values: tuple[Any, ...]


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
        found["options" if label.startswith("options.") else "scalars"].append(
            _set_by_design(study, bound, base, label)
        )
    for label, entry in study.record.uncertain.items():
        if levels and entry.weather is None and entry.autocorrelation is None:
            text = f"a {study.record.design.type} design sets inputs and draws none; move '{label}' to levels or leave it out"
            raise study.error(("uncertain", label), text)
        if entry.posterior is not None:
            found["scalars"] += read_posterior(study, bound, base, label, entry)
        elif entry.weather is not None:
            found["weather"].append(read_weather(study, bound, base, label, entry))
        elif (entry.input or label).startswith("options."):
            found["options"].append(_option(study, bound, label, entry))
        elif entry.autocorrelation is not None:
            found["noises"].append(_noise(study, bound, base, label, entry))
        else:
            found["scalars"].append(_scalar(study, bound, base, label, entry))
    _refuse_twice_by_value(study, found["scalars"])
    scalars = tuple(found["scalars"])
    _refuse_names_twice(study, scalars)
    notes = [f"{s.label}: {s.distribution.note}" for s in scalars if s.distribution and s.distribution.note]
    fields = read_fields(study, base.sites, [s.label for s in scalars if s.per == "site"])
    notes += [f"{label}: alike in space, {entry.describe}" for label, entry in fields.items()]
    return Uncertainty(
        scalars,
        tuple(found["noises"]),
        tuple(found["weather"]),
        tuple(found["options"]),
        _copulas(study, scalars),
        tuple(notes),
        fields,
    )


def read_posterior(
    study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain
) -> list[PosteriorDraw]:
    """The numbers of a joint posterior, each bound to its input.

    Raises:
        InputError: there is no such posterior, it failed its gate, or it does not fit the study.
    """
    key = ("uncertain", label)
    assert entry.posterior is not None
    try:
        found = load_posterior(study.path(entry.posterior), base.sites.names, entry.unchecked)
    except ValueError as error:
        raise study.error(key, str(error)) from None
    specs, drawn = {**bound.specs, **bound.derived_specs}, []
    for name, number in found.items():
        if number.input not in specs:
            text = f"the posterior has the input '{number.input}', which {bound.model.name} does not read here"
            raise study.error(key, text)
        spec = specs[number.input]
        drawn.append(
            PosteriorDraw(
                name,
                spec.name,
                number.how,
                "member",
                number.draws.mean(axis=0),
                spec.support,
                joint=label,
                draws=number.draws,
            )
        )
    return drawn


def _target(study: StudyFile, bound: BoundModel, label: str, entry: Uncertain) -> InputSpec:
    name = entry.input or label
    specs = {**bound.specs, **bound.derived_specs}
    if name not in specs:
        raise study.error(("uncertain", label), f"there is no input '{name}'; {did_you_mean(name, specs)}")
    if name in bound.derived_specs and entry.as_ == "value":
        raise study.error(("uncertain", label), f"{name} is derived by a model; use as: factor or offset")
    return specs[name]


def _scalar(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain) -> ScalarDraw:
    spec = _target(study, bound, label, entry)
    factor, offset = _units(study, spec, label, entry)
    low, high = _support(spec, entry, base.values.get(spec.name))
    limits = ((low - offset) / factor, (high - offset) / factor)
    distribution = _distribution(study, base, label, entry, limits)
    central = np.asarray(distribution.mean, dtype=np.float64) * factor + offset
    return ScalarDraw(label, spec.name, entry.as_, entry.per, central, (low, high), distribution, factor, offset)


def _set_by_design(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str) -> ScalarDraw | OptionDraw:
    """An input that a factorial, sweep or half-range design sets."""
    settings = study.record.design
    key = ("design", "levels" if settings.levels else "errors", label)
    if label.startswith("options."):
        written = (settings.written_levels() or {}).get(label)
        entry = Uncertain(distribution="discrete", values=written if isinstance(written, list) else [])
        return replace(_option(study, bound, label, entry), distribution=None)
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


def _units(study: StudyFile, spec: InputSpec, label: str, entry: Uncertain) -> tuple[float, float]:
    if entry.as_ == "factor":
        if entry.units not in (None, "1"):
            raise study.error(("uncertain", label, "units"), "a factor has no unit")
        return 1.0, 0.0
    try:
        factor, offset = conversion(entry.units or spec.units, spec.units)
    except ValueError as error:
        raise study.error(("uncertain", label, "units"), str(error)) from None
    return factor, offset if entry.as_ == "value" else 0.0


def _support(spec: InputSpec, entry: Uncertain, values: np.ndarray | None) -> tuple[Any, Any]:
    """Range of the draw that keeps the input inside its physical support; by site for an offset drawn by site."""
    low, high = spec.support
    how = entry.as_
    if how == "value":
        return low, high
    if values is None:
        return (0.0, np.inf) if how == "factor" and low >= 0 else (-np.inf, np.inf)
    if how == "offset":
        others = tuple(
            axis for axis in range(values.ndim) if axis != 1 or entry.per == "member" or values.shape[1] == 1
        )
        return low - values.min(axis=others), high - values.max(axis=others)
    bounds = [(low / v, high / v) if v > 0 else (high / v, low / v) for v in np.unique(values[values != 0])]
    lowest = max((b[0] for b in bounds), default=-np.inf)
    return (max(lowest, 0.0) if low >= 0 else lowest), min((b[1] for b in bounds), default=np.inf)


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
    return base.sites.table.numbers(value)


def _option(study: StudyFile, bound: BoundModel, label: str, entry: Uncertain) -> OptionDraw:
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


def _noise(study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain) -> NoiseSeries:
    spec = _target(study, bound, label, entry)
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
    factor, _ = _units(study, spec, label, entry)
    assert entry.autocorrelation is not None
    values = base.values.get(spec.name)
    ends = (0.0, 0.0) if values is None else (float(values.min()), float(values.max()))
    support = (-np.inf, np.inf) if values is None else spec.support
    try:
        check_noise(how, spread * factor, entry.autocorrelation, ends, support)
    except ValueError as error:
        raise study.error(key, str(error)) from None
    return NoiseSeries(label, spec.name, how, entry.per, spread * factor, entry.autocorrelation)


def _refuse_names_twice(study: StudyFile, scalars: tuple[ScalarDraw, ...]) -> None:
    labels = [scalar.label for scalar in scalars]
    for label in labels:
        if labels.count(label) > 1:
            raise study.error(("uncertain", label), f"'{label}' is part of the posterior already; leave it out")


def _refuse_twice_by_value(study: StudyFile, scalars: list[ScalarDraw]) -> None:
    seen: dict[str, str] = {}
    for scalar in scalars:
        if scalar.how == "value":
            if scalar.input in seen:
                text = f"{scalar.input} is already replaced by '{seen[scalar.input]}'; use as: offset or factor"
                raise study.error(("uncertain", scalar.label), text)
            seen[scalar.input] = scalar.label


def _copulas(study: StudyFile, scalars: tuple[ScalarDraw, ...]) -> dict[str, GaussianCopula] | None:
    by_label = {scalar.label: scalar for scalar in scalars}
    pairs: dict[str, list[tuple[str, str, float, str]]] = {}
    for index, entry in enumerate(study.record.correlation):
        first, second = entry.between
        for name in entry.between:
            if name not in by_label:
                text = f"'{name}' is not a number under uncertain; {did_you_mean(name, by_label)}"
                raise study.error(("correlation", index, "between"), text)
        if first == second:
            raise study.error(("correlation", index, "between"), "an input cannot be correlated with itself")
        if by_label[first].per != by_label[second].per:
            text = f"{first} is per {by_label[first].per}, {second} per {by_label[second].per}; correlated inputs share `per`"
            raise study.error(("correlation", index), text)
        pairs.setdefault(by_label[first].per, []).append((first, second, entry.value, entry.kind))
    copulas = {}
    for per, entries in pairs.items():
        members = {s.label: s.distribution for s in scalars if s.per == per and s.distribution is not None}
        try:
            copulas[per] = build_copula(members, entries)
        except ValueError as error:
            raise study.error(("correlation",), str(error)) from None
    return copulas or None
