"""A calibration as a function: from a vector of scores to the model at every observation and its log posterior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ensemble.config.calibration import Calibrate
from ensemble.inference.calibration.coordinates import straight_coordinates
from ensemble.inference.calibration.errors import ErrorModel, make_error_model
from ensemble.inference.calibration.hoist import hoist
from ensemble.inference.calibration.kalman import interval_noise, pool_covariance
from ensemble.inference.calibration.parameters import Parameters, make_parameters
from ensemble.models.base import BuildSettings, Simulate, resolve
from ensemble.models.linear import Affine
from ensemble.plan import Plan
from ensemble.propagate import chain, perturbed_inputs

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """Everything that a sampler needs, and nothing of the study file.

    Args:
        parameters: the free parameters.
        rows: every observation, with ``held_out`` for those kept for testing.
        errors: errors of all rows.
        predict: from parameter values to the model at every row, shape (rows,).
        straighten: from coordinates in which the posterior is nearer to a Gaussian, shape (size,), to scores and the
            logarithm of the Jacobian.
        pool_noise: from parameter values to the covariance of all rows by process noise on the pools; ``None`` without.
        pools: the pools that get this noise; ``None`` without.
        notes: sentences for the user.
    """

    parameters: Parameters
    rows: pd.DataFrame
    errors: ErrorModel
    predict: Callable[[Values], jax.Array]
    straighten: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    pool_noise: Callable[[Values], jax.Array] | None = None
    pools: PoolCourse | None = None
    notes: tuple[str, ...] = ()

    def extra(self, values: Values, predicted: jax.Array) -> jax.Array | None:
        """Covariance of all rows by process noise on the pools, on the scale of the likelihood; ``None`` without it."""
        if self.pool_noise is None:
            return None
        scale = jnp.where(self.errors.is_log, 1.0 / jnp.where(self.errors.is_log, predicted, 1.0), 1.0)
        return self.pool_noise(values) * jnp.outer(scale, scale)

    @property
    def training(self) -> np.ndarray:
        """Numbers of the rows that are fitted."""
        return np.flatnonzero(~self.rows["held_out"].to_numpy(bool))

    def log_prior(self, scores: jax.Array) -> jax.Array:
        """Log density of the scores, standard normal up to a constant."""
        return -0.5 * scores @ scores

    def log_likelihood(self, scores: jax.Array) -> jax.Array:
        """Log density of the fitted rows at scores of shape (size,)."""
        return self.log_likelihood_at(self.parameters.values(scores))

    def log_likelihood_at(self, values: Values) -> jax.Array:
        """Log density of the fitted rows at parameter values by label."""
        rows = self.training
        predicted = self.predict(values)
        extra = self.extra(values, predicted)
        extra = None if extra is None else extra[np.ix_(rows, rows)]
        return self.errors.rows(rows).log_likelihood(predicted[rows], values, extra)

    def potential(self, coordinates: jax.Array) -> jax.Array:
        """Minus the log posterior at straightened coordinates of shape (size,); large where it is not finite."""
        scores, jacobian = self.straighten(coordinates)
        total = self.log_prior(scores) + self.log_likelihood(scores) + jacobian
        return jnp.where(jnp.isfinite(total), -total, 1e10)


def make_problem(plan: Plan, settings: Calibrate) -> Problem:
    """Bind the observations of a study to its model.

    Raises:
        InputError: no observations, a hold-out that names nothing, an output with axes besides time, an error that
            cannot be, or a prior without density.
    """
    rows, parameters, errors = bind_rows(plan, settings)
    plan, notes = _without_series(plan)
    pairs = rows.drop_duplicates("pair")[["scenario", "site"]]
    arms = np.array([plan.scenarios.index(name) for name in pairs["scenario"]])
    places = np.array([plan.sites.index(name) for name in pairs["site"]])
    predict = _predictor(plan, rows, parameters, arms, places)
    straighten = straight_coordinates(plan, rows, parameters, arms, places)
    course = _pool_course(plan, settings, rows, parameters, arms, places)
    noise = _pool_noise(course, rows)
    if noise is not None and errors.is_log.any():
        notes.append("process noise on the pools is exact for normal errors; with lognormal errors it is linearised")
    return Problem(parameters, rows, errors, predict, straighten, noise, course, (*notes, *_few(rows, parameters)))


def bind_rows(plan: Plan, settings: Calibrate) -> tuple[pd.DataFrame, Parameters, ErrorModel]:
    """What the rows of a study decide: which are fitted, what is free, and their errors.

    Raises:
        InputError: as :func:`make_problem`.
    """
    rows = checked_rows(plan, settings)
    rows["pair"] = rows.groupby(["scenario", "site"], sort=False).ngroup()
    parameters = make_parameters(plan, settings, rows)
    calendar = plan.base.calendar
    start = 0.0 if calendar is None else calendar.first / calendar.axis.per_year
    try:
        return rows, parameters, make_error_model(rows, settings, start)
    except ValueError as error:
        raise plan.study.error(("calibrate",), str(error)) from None


def _few(rows: pd.DataFrame, parameters: Parameters) -> tuple[str, ...]:
    count = int((~rows["held_out"].to_numpy(bool)).sum())
    if count >= parameters.size:
        return ()
    free = parameters.size - count
    known = "1 direction among them is" if free == 1 else f"{free} directions among them are"
    return (
        f"{'1 observation informs' if count == 1 else f'{count} observations inform'} {parameters.size} free parameters: at least {known} known from the prior alone",
    )


def checked_rows(plan: Plan, settings: Calibrate) -> pd.DataFrame:
    """The observations of a plan that fit its model, with ``held_out``.

    Raises:
        InputError: there are none, a hold-out, a likelihood or an error that names nothing, another depth, or an output
            with axes besides time.
    """
    rows = plan.observations.reset_index(drop=True).copy()
    if rows.empty:
        raise plan.study.error(("calibrate",), "a calibration needs observations")
    held = np.zeros(len(rows), bool)
    for column, values in settings.hold_out.items():
        key = ("calibrate", "hold_out", column)
        if column not in rows:
            raise plan.study.error(
                key, f"the observations have no column '{column}'; allowed: {', '.join(rows.columns)}"
            )
        here = rows[column].astype(str).isin(values).to_numpy()
        if not here.any():
            raise plan.study.error(key, f"no observation has {column} {' or '.join(values)}")
        held |= here
    if held.all():
        raise plan.study.error(("calibrate", "hold_out"), "every observation is held out; none is left to fit")
    _refuse_other_depth(plan, rows)
    _refuse_unobserved(plan, settings, rows)
    dims = {spec.name: spec.dims for spec in plan.outputs}
    for name in rows["variable"].unique():
        if set(dims[name]) - {"time"}:
            text = f"{name} has the axes {', '.join(dims[name])}; a calibration needs an output along time alone"
            raise plan.study.error(("observations",), text)
    return rows.assign(held_out=held)


def _refuse_unobserved(plan: Plan, settings: Calibrate, rows: pd.DataFrame) -> None:
    """Refuse a likelihood or an error of an output that no row measures: it would have no effect."""
    observed = tuple(rows["variable"].unique())
    named = {("errors", name, "variable"): entry.variable for name, entry in settings.errors.items() if entry.variable}
    if isinstance(settings.likelihood, dict):
        named |= {("likelihood", name): name for name in settings.likelihood}
    for key, name in named.items():
        if name not in observed:
            text = f"no observation is of '{name}'; allowed: {', '.join(observed)}"
            raise plan.study.error(("calibrate", *key), text)


def _refuse_other_depth(plan: Plan, rows: pd.DataFrame) -> None:
    """Refuse measurements of another depth than the model's soil has."""
    if "depth" not in rows or "depth" not in plan.base.values:
        return
    depth = plan.base.values["depth"]
    known = rows[rows["depth"].notna()]
    for site, scenario, measured in zip(known["site"], known["scenario"], known["depth"], strict=True):
        place = plan.sites.index(str(site)) if depth.shape[1] > 1 else 0
        arm = plan.scenarios.index(str(scenario)) if depth.shape[0] > 1 else 0
        here = float(depth[arm, place])
        if abs(float(measured) - here) > 1e-6 * here:
            text = f"a measurement at {site} is of {measured:g} cm and the model's soil is {here:g} cm deep"
            raise plan.study.error(("observations",), text)


def _without_series(plan: Plan) -> tuple[Plan, list[str]]:
    uncertain = plan.uncertainty
    dropped = [entry.label for entry in (*uncertain.noises, *uncertain.weather)]
    notes = (
        [f"{', '.join(dropped)}: held at the stated weather; the calibration does not draw series"] if dropped else []
    )
    return replace(plan, uncertainty=replace(uncertain, noises=(), weather=())), notes


def _at_records(plan: Plan, names: tuple[str, ...], records: tuple[int, ...]) -> tuple[Plan, tuple[int, ...]]:
    """The plan with a model that gives some records alone, where it has such a form; and the records it gives."""
    model = plan.bound.model
    outputs = tuple(spec for spec in plan.outputs if spec.name in names)
    settings = BuildSettings(plan.bound.options, plan.steps_per_record, names)
    fast: Simulate | None = None
    if model.at_records is not None:
        fast = resolve(model.at_records)(settings, records)
    if fast is None:
        return replace(plan, outputs=outputs), tuple(range(plan.record_count))
    quick = replace(model, build=lambda _: fast)
    return replace(plan, outputs=outputs, bound=replace(plan.bound, model=quick)), records


def _predictor(
    plan: Plan, rows: pd.DataFrame, parameters: Parameters, arms: np.ndarray, places: np.ndarray
) -> Callable[[Values], jax.Array]:
    names = tuple(rows["variable"].unique())
    records = tuple(sorted({int(record) for record in rows["record"]}))
    plan, given = _at_records(plan, names, records)
    evaluate = chain(plan)
    base, axes = base_by_pair(plan, arms, places)
    has_time = {spec.name: "time" in spec.dims for spec in plan.outputs}
    columns = np.searchsorted(given, rows["record"].to_numpy(int))

    def over_pairs(base: Values, values: Values) -> jax.Array:
        by_pair = parameters.by_pair(values, values)
        number_axes = {name: 0 if jnp.ndim(value) else None for name, value in by_pair.items()}
        mapped = jax.vmap(
            lambda numbers, at: evaluate(numbers, {}, 0, at), in_axes=(number_axes, axes), axis_size=len(arms)
        )
        outputs = mapped(by_pair, base)
        found = jnp.zeros(len(rows))
        for name in names:
            series = outputs[name] if has_time[name] else outputs[name][:, None]
            here = np.flatnonzero(rows["variable"] == name)
            column = columns[here] if has_time[name] else np.zeros(len(here), int)
            found = found.at[here].set(series[rows["pair"].to_numpy()[here], column])
        return found

    inputs = {scalar.label for scalar in plan.uncertainty.scalars}
    example = {k: v for k, v in parameters.values(jnp.zeros(parameters.size)).items() if k in inputs}
    quick = hoist(over_pairs, base, example)
    return lambda values: quick({name: values[name] for name in example})


def noise_covariance(
    maps: Affine, start: jax.Array, years: jax.Array, rate: jax.Array, observe: jax.Array, records: np.ndarray
) -> jax.Array:
    """Covariance of an output at some records of one pair under noise on its pools, shape (rows, rows).

    It is the covariance that the Kalman filter integrates over, as one matrix, so that errors shared by dates or plots
    can be added to it; :mod:`~ensemble.inference.calibration.kalman` gives the same likelihood without them.

    Args:
        maps, start, years, rate: as in :func:`~ensemble.inference.calibration.kalman.interval_noise`.
        observe: from the pools to the output, (pools,).
        records: place of each row among the dates, (rows,).
    """
    noise = interval_noise(maps, start, years, rate)
    pools = pool_covariance(maps, noise, jnp.zeros((start.size, start.size)))
    return jnp.einsum("p,abpq,q->ab", observe, pools, observe)[np.ix_(records, records)]


@dataclass(frozen=True)
class PoolCourse:
    """The pools of every (scenario, site) pair between records, and how much noise they get there.

    Args:
        build: from parameter values to maps (pairs, records, ...), pools before the first (pairs, pools), and the vector
            that takes pools to the observed stock (pools,).
        records: rising record numbers; interval i ends at record i.
        years: length of each interval, (records,).
        rate: noise per square root of a year as a fraction of each pool, from parameter values.
        names: of the pools.
    """

    build: Callable[[Values], tuple[Affine, jax.Array, jax.Array]]
    records: tuple[int, ...]
    years: np.ndarray
    rate: Callable[[Values], Any]
    names: tuple[str, ...]


def _pool_course(
    plan: Plan, settings: Calibrate, rows: pd.DataFrame, parameters: Parameters, arms: np.ndarray, places: np.ndarray
) -> PoolCourse | None:
    wanted, model = settings.model_error, plan.bound.model
    if wanted is None or wanted.kind != "pools":
        return None
    names: tuple[str, ...] = tuple(rows["variable"].unique())
    if model.pool_maps is None or len(names) != 1:
        text = f"process noise on the pools needs one observed stock of a linear model; {model.name} with {', '.join(names)} is not"
        raise plan.study.error(("calibrate", "model_error"), text)
    records = tuple(sorted({int(record) for record in rows["record"]}))
    build = resolve(model.pool_maps)(BuildSettings(plan.bound.options, plan.steps_per_record, names), records)
    calendar, read = plan.base.calendar, perturbed_inputs(plan)
    assert calendar is not None
    years = np.diff([0, *(record + 1 for record in records)]) * plan.steps_per_record / calendar.axis.per_year
    base, axes = base_by_pair(plan, arms, places)
    labels = {scalar.label for scalar in plan.uncertainty.scalars}

    def every_pair(base: Values, values: Values) -> tuple[Affine, jax.Array, jax.Array]:
        numbers = parameters.by_pair(values, labels)
        number_axes = {name: 0 if jnp.ndim(value) else None for name, value in numbers.items()}

        def one(numbers: Values, base: Values) -> tuple[Affine, jax.Array, jax.Array]:
            maps, start, observe = build(read(numbers, {}, 0, base))
            return maps, start, observe[names[0]]

        mapped: Any = jax.vmap(one, in_axes=(number_axes, axes), out_axes=(0, 0, None), axis_size=len(arms))
        return mapped(numbers, base)

    example = {k: v for k, v in parameters.values(jnp.zeros(parameters.size)).items() if k in labels}
    quick = hoist(every_pair, base, example)
    rate = float(wanted.sd) if isinstance(wanted.sd, float | int) else None
    first = {name: value if axes[name] is None else value[0] for name, value in base.items()}
    numbers = {k: v if jnp.ndim(v) == 0 else v[0] for k, v in parameters.by_pair(example, labels).items()}
    observe = jax.jit(lambda base: build(read(numbers, {}, 0, base))[2])(first)  # the maps are not needed and not made
    by_place = {int(np.argmax(v)): name for name, v in observe.items() if np.count_nonzero(v) == 1}
    return PoolCourse(
        lambda values: quick({name: values[name] for name in example}),
        records,
        years,
        lambda values: values["model_error"] if rate is None else rate,
        tuple(by_place[place] for place in sorted(by_place)),
    )


def _pool_noise(course: PoolCourse | None, rows: pd.DataFrame) -> Callable[[Values], jax.Array] | None:
    """Covariance of all rows by process noise on the pools, from parameter values; pairs are independent."""
    if course is None:
        return None
    columns = np.searchsorted(course.records, rows["record"].to_numpy(int))
    pair = rows["pair"].to_numpy()
    every, together = np.arange(len(course.records)), np.equal.outer(pair, pair)
    years = jnp.asarray(course.years)

    def covariance(values: Values) -> jax.Array:
        maps, start, observe = course.build(values)
        rate = course.rate(values)
        blocks = jax.vmap(lambda maps, start: noise_covariance(maps, start, years, rate, observe, every))(maps, start)
        return jnp.where(together, blocks[pair[:, None], columns[:, None], columns[None, :]], 0.0)

    return covariance


def base_by_pair(
    plan: Plan, arms: np.ndarray, places: np.ndarray
) -> tuple[dict[str, jax.Array], dict[str, int | None]]:
    """Central inputs of every (scenario, site) pair; what all share has no pair axis."""
    base: dict[str, jax.Array] = {}
    axes: dict[str, int | None] = {}
    for name, array in plan.base.values.items():
        by_arm, by_site = array.shape[0] > 1, array.shape[1] > 1
        if by_arm or by_site:
            chosen = array[arms if by_arm else np.zeros_like(arms), places if by_site else np.zeros_like(places)]
            base[name], axes[name] = jnp.asarray(chosen), 0
        else:
            base[name], axes[name] = jnp.asarray(array[0, 0]), None
    return base, axes


__all__ = ["PoolCourse", "Problem", "base_by_pair", "bind_rows", "make_problem"]
