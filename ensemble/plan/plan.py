"""One immutable plan: study, model, inputs, uncertainty, design and tiles, bound and checked.

Validating, running and submitting a study all start from the same plan; whatever is wrong with a study has
been said by the time a plan exists.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ensemble.config import StudyFile
from ensemble.design import Design, SampledDesign, SingleDesign, make_design
from ensemble.inputs.observations import read_observations
from ensemble.plan.bind import BaseInputs, BoundModel, bind_model, did_you_mean, read_inputs
from ensemble.plan.draws import draw_members
from ensemble.plan.tiling import HISTOGRAM_BINS, Tile, Tiling, choose_batch, choose_tiling
from ensemble.plan.uncertainty import Uncertainty, read_uncertainty
from ensemble.specs import OutputSpec

# Largest imbalance of a closed budget, relative to initial stock plus cumulative input: in float64 for the
# whole run, in float32 for each year of it.
BUDGET_FLOAT64 = 1e-12
BUDGET_FLOAT32_PER_YEAR = 1e-5
# Members are kept by default up to this many bytes.
KEEP_BYTES = 2 * 10**9
# Bytes of one draw by site while a tile is drawn: about four arrays of eight bytes a number.
DRAW_BYTES = 32
MEASUREMENT_STREAM = "measurement"


@dataclass(frozen=True)
class MeasurementError:
    """Standard deviation of one measurement: ``hypot(relative * value, absolute)``."""

    relative: float
    absolute: float


@dataclass(frozen=True)
class Plan:
    """Everything that a run is, before anything is computed.

    Args:
        study: the study and its file.
        bound: model, derivations, options and specs.
        base: central inputs and the time axis.
        uncertainty: what differs between members.
        design: which member draws what.
        outputs: outputs that are kept, in order.
        steps_per_record: model steps in an output record.
        observations: measurements, see :func:`~ensemble.inputs.observations.read_observations`.
        tiling: shape of the tiles.
    """

    study: StudyFile
    bound: BoundModel
    base: BaseInputs
    uncertainty: Uncertainty
    design: Design
    outputs: tuple[OutputSpec, ...]
    steps_per_record: int
    observations: pd.DataFrame
    tiling: Tiling

    @property
    def seed(self) -> int:
        """The study's seed."""
        return self.study.record.design.seed

    @property
    def float64(self) -> bool:
        """Whether the run is in double precision."""
        return self.study.record.precision == "float64"

    @property
    def members(self) -> int:
        """Number of members, after the design rounded it."""
        return self.design.members

    @property
    def sites(self) -> Sequence[str]:
        """Names of the sites."""
        return self.base.sites.names

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios."""
        return self.base.scenarios

    @cached_property
    def years(self) -> float:
        """Length of the run in years; 1 for a formula."""
        calendar = self.base.calendar
        return 1.0 if calendar is None else calendar.steps / calendar.axis.per_year

    @property
    def budget_tolerance(self) -> float:
        """Largest relative imbalance of a budget that counts as closed."""
        return BUDGET_FLOAT64 if self.float64 else BUDGET_FLOAT32_PER_YEAR * max(1.0, self.years)

    @cached_property
    def measurement_errors(self) -> dict[str, MeasurementError]:
        """Error of a future measurement of each observed output, for predictive bands."""
        settings = self.study.record.observations
        errors = {}
        for name, rows in self.observations.groupby("variable"):
            if settings is not None and settings.error is not None:
                errors[str(name)] = MeasurementError(settings.error.relative or 0.0, settings.error.absolute or 0.0)
            else:
                typical = float(np.median(rows["error"] / rows["value"].abs()))
                errors[str(name)] = MeasurementError(typical, 0.0)
        return errors

    @cached_property
    def stored_outputs(self) -> tuple[OutputSpec, ...]:
        """The outputs, then each observed output as it would be measured."""
        by_name = {spec.name: spec for spec in self.outputs}
        measured = [
            replace(
                by_name[name],
                name=measured_name(name),
                long_name=f"{by_name[name].long_name}, as it would be measured",
                support=(-math.inf, math.inf),
                standard_name=None,
            )
            for name in self.measurement_errors
        ]
        return (*self.outputs, *measured)

    @property
    def keyed_streams(self) -> tuple[str, ...]:
        """Streams that are drawn inside the compiled program, from a key per draw index."""
        drawn = (*self.uncertainty.noises, *self.uncertainty.weather)
        return (*(entry.label for entry in drawn), *((MEASUREMENT_STREAM,) if self.measurement_errors else ()))

    @cached_property
    def option_choices(self) -> list[dict[str, Any]]:
        """Every combination of the uncertain options, in the order of their code."""
        entries = self.uncertainty.options
        return [
            dict(zip((entry.option for entry in entries), values, strict=True))
            for values in itertools.product(*(entry.values for entry in entries))
        ]

    def option_code(self, codes: Mapping[str, Any]) -> Any:
        """Number of a combination in :attr:`option_choices` from the code of each uncertain option."""
        number: Any = 0
        for entry in self.uncertainty.options:
            number = number * len(entry.values) + codes[entry.label]
        return number

    def draws(self, members: np.ndarray, sites: np.ndarray) -> dict[str, np.ndarray]:
        """What these members draw at these sites.

        Args:
            members: member indices, shape (m,).
            sites: site indices, shape (s,).

        Returns:
            By stream, float64 in internal units, shape (m, 1) where all sites share it, else (m, s).
        """
        return draw_members(self.uncertainty, self.design, self.seed, members, sites)

    @cached_property
    def streams_by_site(self) -> frozenset[str]:
        """Streams whose numbers differ between the sites of a member."""
        return frozenset(s.label for s in self.uncertainty.scalars if s.differs_by_site)

    def tile(self, index: int) -> Tile:
        """The tile of a number."""
        return self.tiling.tile(index)

    @cached_property
    def batch(self) -> int:
        """Members in one step of the compiled loop on a CPU, from the study alone."""
        drawn = (*self.uncertainty.noises, *self.uncertainty.weather)
        steps = self.base.calendar.length if drawn and self.base.calendar is not None else 0
        return choose_batch(self.tiling.tile_members, steps * (8 if self.float64 else 4))

    @cached_property
    def record_count(self) -> int:
        """Output records in time; 1 for a formula."""
        return 1 if self.base.calendar is None else self.base.calendar.steps // self.steps_per_record

    def times(self) -> np.ndarray | None:
        """Time coordinate of the outputs: end of each record; ``None`` for a formula."""
        return None if self.base.calendar is None else self.base.calendar.record_times(self.steps_per_record)

    def output_shape(self, spec: OutputSpec) -> tuple[int, ...]:
        """Shape of an output's own axes."""
        sizes = {name: len(values) for name, values in self.bound.coordinates.items()}
        return tuple(self.record_count if dim == "time" else sizes[dim] for dim in spec.dims)

    @property
    def pair_bytes(self) -> int:
        """Bytes of output of one member at one site, all scenarios."""
        numbers = sum(math.prod(self.output_shape(spec)) for spec in self.stored_outputs)
        return numbers * len(self.scenarios) * (8 if self.float64 else 4)

    @property
    def site_bytes(self) -> int:
        """Bytes of the sums over members that a tile keeps of one site: moments, exceedances, histogram."""
        above, bins = self.study.record.outputs.above, 0 if self.keep_members else HISTOGRAM_BINS + 2
        numbers = sum(
            math.prod(self.output_shape(spec))
            * (self.design.replicates * (2 + len(above.get(spec.name, ()))) + 2 + bins)
            for spec in self.stored_outputs
        )
        return 8 * numbers * len(self.scenarios)

    @property
    def most_members(self) -> int:
        """Members that the run may grow to, where the study says when to stop; else their number."""
        stop = self.study.record.design.stop
        return self.members if stop is None else max(self.members, stop.max_members)

    @property
    def keep_members(self) -> bool:
        """Whether every member is written."""
        record = self.study.record
        needs = (record.totals, record.credits, record.indicators, record.sequestration, record.recovery)
        joint = any(item for item in (*needs, record.inventory))  # these need joint members
        choice = "keep" if joint else record.store.members
        small = self.pair_bytes * self.most_members * len(self.sites) <= KEEP_BYTES
        return choice == "keep" or (choice == "auto" and small)


def measured_name(output: str) -> str:
    """Name of an output with a measurement error on top."""
    return f"{output}_with_measurement_error"


def make_plan(study: StudyFile) -> Plan:
    """Bind and check a study.

    Raises:
        InputError: anything is wrong with it; one sentence names file, line, key and what is allowed.
    """
    bound = bind_model(study)
    base = read_inputs(study, bound)
    uncertainty = read_uncertainty(study, bound, base)
    outputs, steps = _outputs(study, bound), _steps_per_record(study, bound, base)
    by_name = {spec.name: spec for spec in bound.model.outputs}
    observations = read_observations(study, by_name, base.scenarios, base.sites.names, base.calendar, steps)
    for name in observations["variable"].unique():
        if name not in {spec.name for spec in outputs}:
            outputs = (*outputs, by_name[name])
    design = _design(study, uncertainty)
    plan = Plan(study, bound, base, uncertainty, design, outputs, steps, observations, Tiling(design.members, 1, 1, 1))
    plan = replace(plan, tiling=_tiling(plan))
    _check_stop(plan)
    return plan


def _check_stop(plan: Plan) -> None:
    stop, key = plan.study.record.design.stop, ("design", "stop")
    if stop is None:
        return
    if not isinstance(plan.design, SampledDesign):
        raise plan.study.error(key, "nothing is uncertain, so there is nothing to wait for; leave stop out")
    points = plan.members // plan.design.replicates
    if points & (points - 1):
        text = (
            f"members are doubled from {plan.members}; allowed: {plan.design.replicates} x a power of 2, such as 1024"
        )
        raise plan.study.error(("design", "members"), text)
    if plan.members % plan.tiling.tile_members:
        text = f"{plan.members} members are not whole tiles of {plan.tiling.tile_members}; with stop they must be"
        raise plan.study.error(("store", "tile", "members"), text)
    if stop.max_members < plan.members:
        text = f"max_members {stop.max_members} is below the members to begin with ({plan.members})"
        raise plan.study.error((*key, "max_members"), text)
    names = [spec.name for spec in plan.outputs]
    if stop.output is not None and stop.output not in names:
        text = f"there is no output '{stop.output}' in this study; allowed: {', '.join(names)}"
        raise plan.study.error((*key, "output"), text)
    if stop.credited is not None and plan.study.record.credits is None:
        raise plan.study.error((*key, "credited"), "the study has no credits; give credits, or mean")


def with_design(plan: Plan, design: Design, outputs: tuple[OutputSpec, ...]) -> Plan:
    """The plan of a stage of its own: another design and outputs, no measurements, tiles that fit."""
    empty = Tiling(design.members, 1, 1, 1)
    changed = replace(plan, design=design, outputs=outputs, observations=plan.observations[:0], tiling=empty)
    return replace(changed, tiling=_tiling(changed))


def with_members(plan: Plan, members: int) -> Plan:
    """The plan of a longer or shorter ensemble, tile by tile the same.

    Args:
        plan: a plan whose design draws its members.
        members: whole tiles of them.
    """
    assert isinstance(plan.design, SampledDesign) and members % plan.tiling.tile_members == 0
    return replace(plan, design=replace(plan.design, requested=members), tiling=replace(plan.tiling, members=members))


def _tiling(plan: Plan) -> Tiling:
    calendar, asked = plan.base.calendar, plan.study.record.store.tile
    steps = 1 if calendar is None else calendar.length
    operations = plan.bound.model.cost * steps * len(plan.scenarios) * max(1, len(plan.option_choices))
    tile = asked.members
    if plan.study.record.design.stop is not None and tile is None and isinstance(plan.design, SampledDesign):
        tile = _whole_tile(plan, operations)
    # Numbers that are drawn by site pass through some arrays in double precision, all of them a tile wide.
    drawn = DRAW_BYTES * len(plan.uncertainty.scalars_per("site"))
    return choose_tiling(
        plan.members, len(plan.sites), operations, plan.pair_bytes + drawn, tile, asked.sites, plan.site_bytes
    )


def _whole_tile(plan: Plan, operations: float) -> int:
    """Members of a tile that an ensemble is a whole number of, so that doubling it appends whole tiles."""
    tile = plan.members
    chosen = choose_tiling(plan.members, len(plan.sites), operations, plan.pair_bytes).tile_members
    while tile > chosen:
        tile //= 2
    return tile


def _outputs(study: StudyFile, bound: BoundModel) -> tuple[OutputSpec, ...]:
    available = {spec.name: spec for spec in bound.model.outputs}
    wanted = study.record.outputs.variables
    for index, name in enumerate(wanted or ()):
        if name not in available:
            text = f"{bound.model.name} has no output '{name}'; {did_you_mean(name, available)}"
            raise study.error(("outputs", "variables", index), text)
    chosen = tuple(available[name] for name in dict.fromkeys(wanted)) if wanted else bound.default_outputs
    for name in study.record.outputs.above:
        if name not in {spec.name for spec in chosen}:
            text = f"there is no output '{name}' in this study; {did_you_mean(name, {s.name: s for s in chosen})}"
            raise study.error(("outputs", "above", name), text)
    return chosen


def _steps_per_record(study: StudyFile, bound: BoundModel, base: BaseInputs) -> int:
    asked, axis, calendar = study.record.outputs.frequency, bound.model.time, base.calendar
    key = ("outputs", "frequency")
    if axis is None or calendar is None:
        if asked is not None:
            raise study.error(key, f"{bound.model.name} is a formula without a time axis")
        return 1
    if axis.step == "year":
        if asked == "monthly":
            raise study.error(key, f"{bound.model.name} steps through years; allowed: yearly")
        return 1
    whole = calendar.steps % axis.per_year == 0
    if asked == "yearly" and not whole:
        raise study.error(key, f"the run has {calendar.steps} months, not whole years; allowed: monthly")
    return axis.per_year if asked != "monthly" and whole else 1


def _design(study: StudyFile, uncertainty: Uncertainty) -> Design:
    settings = study.record.design
    if not uncertainty.streams:
        return SingleDesign()
    shared = list(uncertainty.shared_streams)
    try:
        return make_design(
            settings.type, settings.members, settings.seed, shared, settings.written_levels(), settings.errors
        )
    except ValueError as error:
        raise study.error(("design",), str(error)) from None
