"""Bind a study to its model: which inputs exist, what their values are, what the time axis is."""

from __future__ import annotations

import difflib
import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.config import StudyFile
from ensemble.config.given import Forcing
from ensemble.errors import InputError, SuspiciousInput
from ensemble.inputs.calendar import Calendar
from ensemble.inputs.sources import ForcingTable, SiteTable, SourceReader, read_forcing, read_sites
from ensemble.models.base import Model, resolve
from ensemble.models.registry import load_model
from ensemble.specs import InputSpec, OutputSpec

SINGLE_SCENARIO = "study"


@dataclass(frozen=True)
class BoundModel:
    """A model, the models that derive its inputs, and the options they are built with.

    Args:
        model: the main model.
        derivations: ``(input name, model that derives it)`` in the order of evaluation.
        options: value of every option of the main model.
        specs: every input the chain reads, by name; derived inputs are not among them.
        derived_specs: specs of the derived inputs.
        coordinates: values of the axes other than time.
    """

    model: Model
    derivations: tuple[tuple[str, Model], ...]
    options: Mapping[str, Any]
    specs: Mapping[str, InputSpec]
    derived_specs: Mapping[str, InputSpec]
    coordinates: Mapping[str, np.ndarray]

    @property
    def default_outputs(self) -> tuple[OutputSpec, ...]:
        """Outputs that the model gives under these options."""
        return tuple(spec for spec in self.model.outputs if spec.given(self.options))


@dataclass(frozen=True)
class BaseInputs:
    """Central values of every input.

    Args:
        values: by input name, shape (1 or scenarios, 1 or sites, *dims), float64, internal units.
        calendar: time axis; ``None`` for a formula.
        scenarios: scenario names; one name where the study has none.
        sites: the sites.
        files: every file that was read, for checksums.
    """

    values: Mapping[str, np.ndarray]
    calendar: Calendar | None
    scenarios: tuple[str, ...]
    sites: SiteTable
    files: tuple[Path, ...]


def bind_model(study: StudyFile) -> BoundModel:
    """Find the study's model, check its options, and chain the models of its inputs.

    Raises:
        InputError: unknown model, option, option value or deriving model.
    """
    record = study.record
    try:
        model = load_model(record.model, study.folder)
    except ValueError as error:
        raise study.error(("model",), str(error)) from None
    if model.time is None and any("time" in spec.dims for spec in (*model.inputs, *model.outputs)):
        text = f"{model.name} is a model of an input and has no time axis of its own; name it under that input"
        raise study.error(("model",), text)
    options = _options(study, model)
    chain = _derivations(study, model, options)
    arms = _option_arms(study, options)
    specs = {spec.name: spec for spec in model.inputs if any(spec.used(arm) for arm in arms)}
    for _, deriving in chain:
        chosen = deriving.default_options()
        for spec in deriving.inputs:
            if spec.used(chosen):
                specs.setdefault(spec.name, spec)
    derived = {name: specs.pop(name) for name, _ in chain}
    try:
        coordinates = resolve(model.coordinates)(options) if model.coordinates is not None else {}
    except ValueError as error:
        names = getattr(error, "names", ())
        raise study.error(_key_of_mismatch(study, "", names, ("options",)), str(error)) from None
    for _, deriving in chain:
        extra = resolve(deriving.coordinates)(deriving.default_options()) if deriving.coordinates is not None else {}
        coordinates = {**extra, **coordinates}
    return BoundModel(model, chain, options, specs, derived, coordinates)


def _option_arms(study: StudyFile, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of options that members may use: the study's own, and those that are drawn or set by design."""
    drawn: dict[str, list[Any]] = {}
    for label, entry in study.record.uncertain.items():
        if (entry.input or label).startswith("options."):
            drawn[(entry.input or label).removeprefix("options.")] = list(entry.values or ())
    for label, values in (study.record.design.levels or {}).items():
        if label.startswith("options.") and isinstance(values, list):
            drawn[label.removeprefix("options.")] = list(values)
    choices = [values or [options.get(name)] for name, values in drawn.items()]
    return [{**options, **dict(zip(drawn, values, strict=True))} for values in itertools.product(*choices)]


def _options(study: StudyFile, model: Model) -> dict[str, Any]:
    known = {option.name: option for option in model.options}
    for name, value in study.record.options.items():
        if name not in known:
            raise study.error(("options", name), f"{model.name} has no such option; {did_you_mean(name, known)}")
        choices = known[name].choices
        if choices and value not in choices:
            shown = ", ".join(str(choice) for choice in choices)
            raise study.error(("options", name), f"'{value}' is not allowed; allowed: {shown}")
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in study.record.options.items()}
    return {**model.default_options(), **given}


def _derivations(study: StudyFile, model: Model, options: Mapping[str, Any]) -> tuple[tuple[str, Model], ...]:
    """Deriving models in the order in which they can be evaluated (what feeds another comes first)."""
    wanted = {name: s.model for name, s in study.record.inputs.sources().items() if s.model is not None}
    chain: list[tuple[str, Model]] = []

    def add(name: str, reference: str, above: tuple[str, ...]) -> None:
        key = ("inputs", name, "model")
        if name in above:
            raise study.error(key, f"{' -> '.join((*above, name))} derive each other in a circle")
        if name in (known for known, _ in chain):
            return
        try:
            deriving = load_model(reference, study.folder)
        except ValueError as error:
            raise study.error(key, str(error)) from None
        if name not in {output.name for output in deriving.outputs}:
            outputs = ", ".join(output.name for output in deriving.outputs)
            raise study.error(key, f"{reference} does not give {name}; it gives {outputs}")
        for spec in deriving.inputs:
            if spec.name in wanted:
                add(spec.name, wanted[spec.name], (*above, name))
        chain.append((name, deriving))

    for spec in model.inputs:
        if spec.name in wanted and spec.used(options):
            add(spec.name, wanted[spec.name], ())
    return tuple(chain)


def did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    """What is allowed instead of an unknown name, the closest first."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return (f"did you mean '{close[0]}'? " if close else "") + f"allowed: {', '.join(known)}"


def read_inputs(study: StudyFile, bound: BoundModel) -> BaseInputs:
    """Read the central value of every input.

    Raises:
        InputError: an input is unknown, missing, or impossible; names file, line, key and what is allowed.
    """
    sites = read_sites(study)
    _refuse_unknown(study, bound)
    forcing, calendar = _time_axis(study, bound, sites)
    sizes = {name: len(values) for name, values in bound.coordinates.items() if not name.endswith("_bounds")}
    reader = SourceReader(study, sites, calendar, sizes)
    scenarios = tuple(study.record.scenarios) or (SINGLE_SCENARIO,)
    tables = _scenario_forcing(study, bound, sites, forcing, calendar)
    values = {}
    for spec in bound.specs.values():
        arms = _arms_of_input(study, reader, spec, scenarios, tables)
        if all(arm is arms[0] or np.array_equal(arm, arms[0]) for arm in arms):
            values[spec.name] = arms[0][None]
        else:
            shape = np.broadcast_shapes(*(arm.shape for arm in arms))
            values[spec.name] = np.stack([np.broadcast_to(arm, shape) for arm in arms])
    _check_together(study, bound, values, scenarios, sites.names)
    return BaseInputs(values, calendar, scenarios, sites, _files(study, sites))


def _check_together(
    study: StudyFile,
    bound: BoundModel,
    values: Mapping[str, np.ndarray],
    scenarios: Sequence[str],
    sites: Sequence[str],
) -> None:
    """Refuse inputs that are possible one by one and do not fit together, and warn, by the model's own check."""
    check = bound.model.check
    if check is None or bound.derivations:
        return
    run, said = resolve(check), list[tuple[str, str]]()
    for scenario, arm in enumerate(scenarios):
        for site, name in enumerate(sites):
            here = {n: a[min(scenario, len(a) - 1), min(site, a.shape[1] - 1)] for n, a in values.items()}
            place = f"site {name}: " if len(sites) > 1 else ""
            try:
                said += [(name, place + text) for text in run(bound.options, here) or ()]
            except ValueError as error:
                key = _key_of_mismatch(study, arm, getattr(error, "names", ()))
                raise study.error(key, place + str(error)) from None
    if said:
        places = len({name for name, _ in said})
        more = f" (and {places - 1} more sites)" if places > 1 else ""
        warnings.warn(SuspiciousInput(str(study.error(("inputs",), said[0][1] + more))), stacklevel=2)


def _key_of_mismatch(
    study: StudyFile, scenario: str, names: Sequence[str], otherwise: tuple[str, ...] = ("inputs",)
) -> tuple[str, ...]:
    """Key of the first of these inputs or options that the study gives, ``otherwise`` where it gives none."""
    record = study.record
    for name in names:
        if name.startswith("options.") and name.removeprefix("options.") in record.options:
            return ("options", name.removeprefix("options."))
        if scenario in record.scenarios and name in record.scenarios[scenario].inputs:
            return ("scenarios", scenario, "inputs", name)
        if name in record.inputs.sources():
            return ("inputs", name)
    return otherwise


def _refuse_unknown(study: StudyFile, bound: BoundModel) -> None:
    every = {spec.name: spec for spec in bound.model.inputs} | dict(bound.specs) | dict(bound.derived_specs)
    places = [("inputs", study.record.inputs.sources())]
    places += [(f"scenarios.{name}.inputs", arm.inputs) for name, arm in study.record.scenarios.items()]
    for place, sources in places:
        for name, source in sources.items():
            key = (*place.split("."), name)
            if name not in every:
                raise study.error(key, f"{bound.model.name} has no such input; {did_you_mean(name, every)}")
            if source.model is not None and place != "inputs":
                raise study.error(key, "a model of an input is given once, under inputs, for all scenarios")
            if name in bound.derived_specs and source.model is None:
                raise study.error(key, f"{name} is derived by a model; scenarios may change what that model reads")


def _time_axis(study: StudyFile, bound: BoundModel, sites: SiteTable) -> tuple[ForcingTable | None, Calendar | None]:
    given, axis = study.record.inputs, bound.model.time
    if axis is None:
        for name in ("forcing", "period"):
            if getattr(given, name) is not None:
                raise study.error(("inputs", name), f"{bound.model.name} is a formula without a time axis")
        return None, None
    if (given.forcing is None) == (given.period is None):
        raise study.error(("inputs",), "give either forcing (a table of driver series) or period (start and end year)")
    if given.forcing is not None:
        forcing = read_forcing(study, ("inputs", "forcing"), given.forcing.file, axis, sites)
        return forcing, forcing.calendar
    assert given.period is not None
    years = given.period.end - given.period.start + 1
    return None, Calendar(axis, given.period.start * axis.per_year, years * axis.per_year)


Tables = dict[str, tuple[ForcingTable, Forcing, tuple[str | int, ...]]]


def _scenario_forcing(
    study: StudyFile, bound: BoundModel, sites: SiteTable, forcing: ForcingTable | None, calendar: Calendar | None
) -> Tables:
    """Forcing table of each scenario, with its settings and key."""
    tables: Tables = {}
    if forcing is not None and study.record.inputs.forcing is not None:
        for name in (*study.record.scenarios, SINGLE_SCENARIO):
            tables[name] = (forcing, study.record.inputs.forcing, ("inputs", "forcing"))
    for name, scenario in study.record.scenarios.items():
        if scenario.forcing is None:
            continue
        key = ("scenarios", name, "forcing")
        if bound.model.time is None:
            raise study.error(key, f"{bound.model.name} is a formula without a time axis")
        table = read_forcing(study, key, scenario.forcing.file, bound.model.time, sites)
        if table.calendar != calendar:
            raise study.error(key, "the table does not cover the same months as the study")
        tables[name] = (table, scenario.forcing, key)
    return tables


def _arms_of_input(
    study: StudyFile, reader: SourceReader, spec: InputSpec, scenarios: tuple[str, ...], tables: Tables
) -> list[np.ndarray]:
    """Central value of one input in each scenario; what the study gives for all of them is read once."""
    given = spec.name in study.record.inputs.sources()
    shared = reader.read(spec, study.record.inputs.sources()[spec.name], ("inputs", spec.name)) if given else None
    own = {name for name, arm in study.record.scenarios.items() if spec.name in arm.inputs}
    return [
        shared if shared is not None and name not in own else _one_input(study, reader, spec, name, tables)
        for name in scenarios
    ]


def _one_input(study: StudyFile, reader: SourceReader, spec: InputSpec, scenario: str, tables: Tables) -> np.ndarray:
    """Central value of one input in one scenario: its own, that of its table, or the default."""
    arm = study.record.scenarios.get(scenario)
    if arm is not None and spec.name in arm.inputs:
        return reader.read(spec, arm.inputs[spec.name], ("scenarios", scenario, "inputs", spec.name))
    if "time" in spec.dims and scenario in tables:
        table, settings, key = tables[scenario]
        if settings.columns.get(spec.name, spec.name) in table.table.columns or spec.default is None:
            return reader.from_forcing(spec, table, settings, key)
    if spec.default is None and spec.name not in _mapped(study):
        table = reader.sites.table
        hint = f"; for the column of the table of sites write {spec.name}: {{column: {spec.name}}}"
        known = hint if table is not None and spec.name in table.columns else ""
        raise study.error(("inputs", spec.name), f"this input is required ({spec.long_name}, {spec.units}){known}")
    return reader.default(spec)


def _mapped(study: StudyFile) -> set[str]:
    """Inputs without a central value of their own (NaN), which every member reads from a realisation of a map."""
    learn = study.record.mapping.learn if study.record.mapping else None
    found: set[str] = set()
    for entry in study.record.uncertain.values():
        if entry.realizations is not None:
            arrays = (study.path(entry.realizations) / "realizations").glob("*/zarr.json")
            found |= {path.parent.name for path in arrays} or set(learn.targets if learn else ())
    return found


def _files(study: StudyFile, sites: SiteTable) -> tuple[Path, ...]:
    record = study.record
    written = [record.inputs.forcing and record.inputs.forcing.file]
    places = record.sites
    written += [places] if isinstance(places, str | None) else [layer.file for layer in places.rasters.values()]
    for arm in (record.inputs.sources(), *(scenario.inputs for scenario in record.scenarios.values())):
        written += [source.file or (source.raster and source.raster.file) for source in arm.values()]
    written += [scenario.forcing and scenario.forcing.file for scenario in record.scenarios.values()]
    written += [entry.file for entry in record.uncertain.values()]
    written += [record.observations and record.observations.file]
    if ".py:" in record.model:
        written.append(record.model.rpartition(":")[0])
    maps = [study.path(entry.realizations) / "zarr.json" for entry in record.uncertain.values() if entry.realizations]
    paths = {study.path(file) for file in written if file} | {path for path in maps if path.is_file()}
    folders = {path for path in paths if path.is_dir()}  # a Zarr store: every file in it counts
    inside = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    return tuple(sorted((paths - folders) | inside))


__all__ = ["BaseInputs", "BoundModel", "InputError", "bind_model", "read_inputs"]
