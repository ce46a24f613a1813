"""The only place where members, sites and scenarios become array axes: a model over tiles of an ensemble.

A model is written for one member at one site. Here it is chained to the models of its inputs, given the
draws of a member, and mapped over scenarios, sites and members in one compiled program of fixed shape. A
tile always has that shape (the last ones are padded and cut), so its numbers do not depend on which process,
device or order computed it.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.inputs.series import ar1_noise
from ensemble.inputs.weather import choose_realization, resample_years
from ensemble.keys import draw_key
from ensemble.models.base import BuildSettings, Simulate, resolve
from ensemble.models.members_last import members_last
from ensemble.plan.plan import MEASUREMENT_STREAM, Plan, measured_name
from ensemble.plan.tiling import DEVICE_BATCH, Tile
from ensemble.specs import OutputSpec

OK, NOT_FINITE, OUTSIDE_SUPPORT, BUDGET_OPEN = 0, 1, 2, 3
FAILURES = {
    NOT_FINITE: "an output is not finite",
    OUTSIDE_SUPPORT: "an output left its physical range",
    BUDGET_OPEN: "the mass budget is not closed",
}
# An output may leave its support by this many units in the last place of its largest value.
ROUNDING_ULPS = 64

# Parameters of mallopt(3), and the largest block, in bytes, that the C library may keep for later when it is freed.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BLOCK = 8 * 2**20

Values = Mapping[str, Any]


@dataclass(frozen=True)
class TileResult:
    """One finished tile, padding cut off.

    Args:
        tile: which members and sites.
        outputs: by output name, shape (members, scenarios, sites, *dims).
        failed: reason code of each (member, site), 0 where it succeeded, uint8.
        draws: by stream, what was drawn, shape (members,) or (members, sites).
    """

    tile: Tile
    outputs: Mapping[str, np.ndarray]
    failed: np.ndarray
    draws: Mapping[str, np.ndarray]


def propagate(plan: Plan, tiles: Iterable[int]) -> Iterator[TileResult]:
    """Compute tiles, one whole tile a device, and yield them in the order in which they were asked for.

    The next tile is prepared and dispatched before the last one is fetched, so that drawing, computing and
    whatever the caller does with a result overlap.
    """
    devices = jax.local_devices()[: plan.study.record.execution.devices]
    _give_back_blocks()
    with jax.enable_x64(plan.float64):
        program = tile_program(plan)
        running: deque[tuple[Tile, Mapping[str, np.ndarray], Any]] = deque()
        for count, index in enumerate(tiles):
            tile = plan.tile(index)
            draws = plan.draws(tile.padded_members, tile.padded_sites)
            arguments = jax.device_put(tile_arguments(plan, tile, draws), devices[count % len(devices)])
            running.append((tile, draws, program(*arguments)))
            if len(running) > len(devices):
                yield _finish(plan.streams_by_site, *running.popleft())
        while running:
            yield _finish(plan.streams_by_site, *running.popleft())


@cache
def _give_back_blocks() -> None:
    """Have the C library (glibc) give the arrays of a finished tile back to the system, in place of keeping them.

    Left alone it raises its own limits to the size of what was freed last, every thread then keeps some blocks of a
    tile's size, and the memory of a run creeps up with the number of its tiles. Changes no number.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK)
        library.mallopt(M_TRIM_THRESHOLD, 4 * KEPT_BLOCK)


def _finish(by_site: frozenset[str], tile: Tile, draws: Mapping[str, np.ndarray], result: Any) -> TileResult:
    outputs, failed = jax.device_get(result)
    members, sites = tile.members, tile.sites
    outputs = {name: array[:members, :, :sites] for name, array in outputs.items()}
    kept = {name: array[:members, :sites] if name in by_site else array[:members, 0] for name, array in draws.items()}
    return TileResult(tile, outputs, failed[:members, :sites], kept)


def tile_arguments(plan: Plan, tile: Tile, draws: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """What the compiled program of a plan takes for one tile, in the plan's precision."""
    real = np.float64 if plan.float64 else np.float32
    sites = tile.padded_sites
    base = {
        name: array[:, sites if array.shape[1] > 1 else slice(None)].astype(real)
        for name, array in plan.base.values.items()
    }
    indices = {
        label: plan.design.draw_index(label, tile.padded_members).astype(np.uint32) for label in plan.keyed_streams
    }
    numbers = {name: array.astype(real) for name, array in draws.items()}
    return numbers, indices, sites.astype(np.uint32), base


def tile_program(plan: Plan) -> Callable[..., Any]:
    """The compiled program of a plan: draws, draw indices, sites and base inputs to outputs and failures."""
    at_one_site = _over_scenarios(plan)

    def member(numbers: Values, indices: Values, sites: jax.Array, base: Values) -> Any:
        shared = {name: value.shape[0] == 1 for name, value in numbers.items()}
        one_site = {name: value.shape[1] == 1 for name, value in base.items()}
        numbers = {name: value[0] if shared[name] else value for name, value in numbers.items()}
        base = {name: value[:, 0] if one_site[name] else value for name, value in base.items()}
        axes = (
            {name: None if shared[name] else 0 for name in numbers},
            None,
            0,
            {name: None if one_site[name] else 1 for name in base},
        )
        outputs, failed = jax.vmap(at_one_site, in_axes=axes, out_axes=(1, 0))(numbers, indices, sites, base)
        return outputs, failed

    def program(numbers: Values, indices: Values, sites: jax.Array, base: Values) -> Any:
        # A store is filled by one kind of device only, so the batch may depend on it.
        batch = plan.batch if jax.default_backend() == "cpu" else min(DEVICE_BATCH, plan.tiling.tile_members)
        if not jax.tree.leaves((numbers, indices)):  # a deterministic study: one member, nothing drawn
            return jax.tree.map(lambda a: a[None], member(numbers, indices, sites, base))
        return jax.lax.map(lambda drawn: member(drawn[0], drawn[1], sites, base), (numbers, indices), batch_size=batch)

    return jax.jit(program)


def _over_scenarios(plan: Plan) -> Callable[..., Any]:
    """One member at one site in every scenario; a failure in any scenario fails them all."""
    one = member_function(plan, mapped=True)
    count = len(plan.base.scenarios)

    def scenarios(numbers: Values, indices: Values, site: jax.Array, base: Values) -> Any:
        same = {name: value.shape[0] == 1 for name, value in base.items()}
        base = {name: value[0] if same[name] else value for name, value in base.items()}
        axes = {name: None if same[name] else 0 for name in base}
        mapped = jax.vmap(one, in_axes=(None, None, None, axes, 0))
        outputs, status = mapped(numbers, indices, site, base, jnp.arange(count, dtype=jnp.uint32))
        return outputs, status.max(axis=0)

    return scenarios


def member_function(plan: Plan, mapped: bool = False) -> Callable[..., Any]:
    """One member at one site in one scenario: ``(draws, draw indices, site, base, scenario) -> (outputs, status)``.

    This is the function that propagation maps, the delta check differentiates and inference evaluates.
    ``mapped`` says that it is mapped and not differentiated in reverse: see :mod:`ensemble.models.members_last`.
    """
    evaluate = chain(plan, mapped)
    names = tuple(spec.name for spec in plan.outputs)

    def one(numbers: Values, indices: Values, site: Any, base: Values, scenario: Any) -> Any:
        results = evaluate(numbers, indices, site, base)
        outputs = {name: results[name] for name in names}
        status = _status(plan, outputs, results)
        outputs |= _measured(plan, outputs, indices, site, scenario)
        return outputs, status

    return one


def chain(plan: Plan, mapped: bool = False) -> Callable[[Values, Values, Any, Values], dict[str, Any]]:
    """Perturbed inputs, derived inputs, model: one pure function from the draws of a member to its outputs."""
    inputs, simulate = perturbed_inputs(plan), _with_options(plan, mapped)

    def evaluate(numbers: Values, indices: Values, site: Any, base: Values) -> dict[str, Any]:
        return simulate(inputs(numbers, indices, site, base), numbers)

    return evaluate


def perturbed_inputs(plan: Plan) -> Callable[[Values, Values, Any, Values], dict[str, Any]]:
    """What the model reads for one member: every input after its draws, derived inputs after theirs."""
    derive = [
        (name, resolve(model.build)(BuildSettings(model.default_options()))) for name, model in plan.bound.derivations
    ]

    def evaluate(numbers: Values, indices: Values, site: Any, base: Values) -> dict[str, Any]:
        values = dict(base)
        for name in base:
            values[name] = perturb(plan, name, values, numbers, indices, site)
        for name, model in derive:
            values[name] = model(values)[name]
            values[name] = perturb(plan, name, values, numbers, indices, site)
        return values

    return evaluate


def _with_options(plan: Plan, mapped: bool) -> Callable[[Values, Values], dict[str, Any]]:
    """The model under its options; uncertain options choose between compiled branches."""
    names = tuple(spec.name for spec in plan.outputs)

    def built(options: Mapping[str, Any]) -> Simulate:
        model = plan.bound.model
        simulate = model.simulator(BuildSettings(options, plan.steps_per_record, names))
        return members_last(simulate) if mapped and model.members_last else simulate

    if not plan.uncertainty.options:
        simulate = built(plan.bound.options)
        return lambda values, numbers: simulate(values)
    branches = [built({**plan.bound.options, **choice}) for choice in plan.option_choices]
    kept = (*names, plan.bound.model.balance)

    def pick(values: Values, numbers: Values) -> dict[str, Any]:
        code = plan.option_code({entry.label: numbers[entry.label] for entry in plan.uncertainty.options})
        arms = [lambda v, run=run: {k: x for k, x in run(v).items() if k in kept} for run in branches]
        return jax.lax.switch(jnp.asarray(code, jnp.int32), arms, dict(values))

    return pick


def perturb(plan: Plan, name: str, values: Values, numbers: Values, indices: Values, site: Any) -> Any:
    """One input after everything that is uncertain about it: value, weather, offsets and factors, then noise."""
    value = values[name]
    uncertain = plan.uncertainty
    for scalar in uncertain.scalars:
        if scalar.input == name and scalar.how == "value":
            value = jnp.broadcast_to(numbers[scalar.label], jnp.shape(value))
    for history in uncertain.weather:
        if name in history.values:
            value = _weather(plan, history, name, value, indices)
    for scalar in uncertain.scalars:
        if scalar.input == name and scalar.how != "value":
            draw = numbers[scalar.label]
            value = value + draw if scalar.how == "offset" else value * draw
    for noise in uncertain.noises:
        if noise.input == name:
            value = _noise(plan, noise, value, indices, site)
    return value


def _weather(plan: Plan, history: Any, name: str, value: Any, indices: Values) -> Any:
    """Weather of this member; the lead (equilibrium year) stays as given. The key has no site: coherent in space."""
    calendar = plan.base.calendar
    assert calendar is not None
    table = jnp.asarray(history.values[name], value.dtype)
    key = draw_key(plan.seed, history.label, indices[history.label])
    if history.kind == "years":
        run = resample_years(key, table, calendar.steps // table.shape[1], history.block)
    else:
        run = choose_realization(key, table)
    return jnp.concatenate([value[: calendar.axis.lead], run])


def _noise(plan: Plan, noise: Any, value: Any, indices: Values, site: Any) -> Any:
    calendar = plan.base.calendar
    assert calendar is not None
    key = draw_key(plan.seed, noise.label, indices[noise.label], site if noise.per == "site" else None)
    series = ar1_noise(key, calendar.steps, noise.sd, noise.autocorrelation, noise.how, value.dtype)
    lead, run = value[: calendar.axis.lead], value[calendar.axis.lead :]
    return jnp.concatenate([lead, run + series if noise.how == "offset" else run * series])


def _status(plan: Plan, outputs: Values, results: Values) -> jax.Array:
    """Reason code of a failure, the most basic first."""
    status = jnp.zeros((), jnp.uint8)
    balance = plan.bound.model.balance
    if balance is not None:
        status = jnp.where(jnp.abs(results[balance]) <= plan.budget_tolerance, status, BUDGET_OPEN)
    for spec in plan.outputs:
        status = jnp.where(_inside(spec, outputs[spec.name]), status, OUTSIDE_SUPPORT)
    for spec in plan.outputs:
        status = jnp.where(jnp.all(jnp.isfinite(outputs[spec.name])), status, NOT_FINITE)
    return status.astype(jnp.uint8)


def _inside(spec: OutputSpec, value: Any) -> Any:
    low, high = spec.support
    slack = ROUNDING_ULPS * jnp.finfo(value.dtype).eps * jnp.max(jnp.abs(value))
    return jnp.all((value >= low - slack) & (value <= high + slack))


def _measured(plan: Plan, outputs: Values, indices: Values, site: Any, scenario: Any) -> dict[str, Any]:
    """Observed outputs with a measurement error on top: what a laboratory would report of this member."""
    measured = {}
    for name, error in plan.measurement_errors.items():
        value = outputs[name]
        key = jax.random.fold_in(
            draw_key(plan.seed, f"measurement of {name}", indices[MEASUREMENT_STREAM], site), scenario
        )
        sd = jnp.hypot(error.relative * jnp.abs(value), jnp.asarray(error.absolute, value.dtype))
        measured[measured_name(name)] = value + sd * jax.random.normal(key, value.shape, value.dtype)
    return measured
