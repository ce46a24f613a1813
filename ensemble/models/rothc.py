"""RothC: monthly turnover of soil organic carbon in one topsoil, with the dry-land options and radiocarbon.

Source: Coleman and Jenkinson, RothC description, version 2.0.0 (2025), and the official codes of that version;
Farina et al. (2013), doi 10.1016/j.geoderma.2013.01.021. Stocks and inputs are t C/ha, deficits mm. A series has
twelve months of an equilibrium year, then the months of the run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.decomposition import Kinetics, Pools, add, arrivals, decay, kept_parts, make_kinetics
from ensemble.models.initial_pools import equilibrium, inverse_scale, legacy_equilibrium, pedotransfer_pools
from ensemble.models.linear import Affine, from_step
from ensemble.models.modifiers import (
    MoistureLimits,
    clay_limits,
    deficits,
    rate_cover,
    rate_moisture,
    rate_temperature,
    recurring_deficit,
    van_genuchten_limits,
)
from ensemble.models.radiocarbon import DECAY_PER_MONTH, delta14c

LEAD, MONTHS = 12, 12
SERIES = (
    "temperature", "precipitation", "pan_evaporation", "plant_carbon", "manure_carbon", "plant_cover",
    "dpm_rpm_ratio", "modern_carbon",
)  # fmt: skip
KEPT_ISOTOPE = math.exp(-DECAY_PER_MONTH)

Inputs = Mapping[str, jax.Array]


class Factors(NamedTuple):
    """Rate factors and moisture deficit (mm) of some months, each of shape (months,)."""

    temperature: jax.Array
    moisture: jax.Array
    cover: jax.Array
    deficit: jax.Array

    @property
    def rate(self) -> jax.Array:
        """Product of the three rate factors."""
        return self.temperature * self.moisture * self.cover


class Start(NamedTuple):
    """State before the first month of the run.

    Args:
        pools: active carbon, t C/ha.
        activities: active carbon times the part that is modern, t C/ha; ``None`` without radiocarbon.
        deficit: moisture deficit, mm.
        plant_scale: factor that the inverse spin-up found, else 1.
    """

    pools: Pools
    activities: Pools | None
    deficit: jax.Array
    plant_scale: jax.Array


def build(settings: BuildSettings) -> Simulate:
    """RothC for one member at one site under the given options; see :data:`ensemble.models.records.rothc.OUTPUTS`.

    Returns:
        ``simulate(inputs)``; series of shape (12 + n,) or scalars that hold for every month. Records group
        ``settings.steps_per_record`` months: stocks and deficit are those at the end, CO2 is summed, rate
        factors are averaged. The extra scalar ``balance`` is the largest imbalance of the carbon budget
        relative to the initial active stock plus cumulative input.

    Raises:
        ValueError: (when called) the months of the run are not a multiple of ``steps_per_record``.
    """
    options = settings.options

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        inputs = prepare(inputs)
        start = initial_state(inputs, options)
        run = _run_months(inputs, start, options)
        return _march(inputs, run, start, settings)

    return simulate


def prepare(inputs: Arrays) -> dict[str, jax.Array]:
    """Inputs in one floating type, series broadcast to one length (12 + n,)."""
    dtype = jnp.result_type(0.0, *inputs.values())
    arrays = {name: jnp.asarray(value, dtype) for name, value in inputs.items()}
    length = max(arrays[name].size for name in SERIES if name in arrays)
    return arrays | {name: jnp.broadcast_to(arrays[name], (length,)) for name in SERIES if name in arrays}


def moisture_limits(inputs: Inputs, options: Mapping[str, Any]) -> MoistureLimits:
    """Deficits (mm) at which this soil's behaviour changes, under the options ``moisture`` and ``bare``."""
    to_wilting = options["bare"] == "wilting_point"
    if options["moisture"] == "standard":
        return clay_limits(inputs["clay"], inputs["depth"], to_wilting)
    soil = (inputs[name] for name in ("clay", "silt", "organic_carbon", "bulk_density", "depth"))
    return van_genuchten_limits(*soil, options["moisture"] == "van_genuchten_dry", to_wilting)


def rate_factors(inputs: Inputs, months: Inputs, deficit: jax.Array, limits: MoistureLimits) -> Factors:
    """Rate factors of consecutive months.

    Args:
        inputs: scalars of the site and the response functions.
        months: ``temperature, precipitation, pan_evaporation, plant_cover`` of the months, each (months,).
        deficit: moisture deficit before the first of them, mm.
        limits: of the soil.
    """
    coefficients = (inputs[f"temperature_factor_{name}"] for name in ("scale", "slope", "shift"))
    deficit = deficits(deficit, _water_gain(inputs, months), months["plant_cover"], limits)
    return Factors(
        rate_temperature(months["temperature"], *coefficients, inputs["frost_threshold"]),
        rate_moisture(deficit, limits, inputs["moisture_factor_minimum"]),
        rate_cover(months["plant_cover"], inputs["cover_factor"]),
        deficit,
    )


def _water_gain(inputs: Inputs, months: Inputs) -> jax.Array:
    return months["precipitation"] - inputs["pan_coefficient"] * months["pan_evaporation"]


def _lead(inputs: Inputs) -> dict[str, jax.Array]:
    return {name: inputs[name][:LEAD] for name in SERIES if name in inputs}


def _run_months(inputs: Inputs, start: Start, options: Mapping[str, Any]) -> dict[str, jax.Array]:
    """Series of the run, plant carbon scaled where the inverse spin-up says so."""
    run = {name: inputs[name][LEAD:] for name in SERIES if name in inputs}
    if options["spinup"] == "inverse" and options["inverse_input"] == "every_month":
        run["plant_carbon"] = run["plant_carbon"] * start.plant_scale
    return run


def _arriving(inputs: Inputs, months: Inputs) -> Pools:
    return arrivals(
        months["plant_carbon"],
        months["manure_carbon"],
        months["dpm_rpm_ratio"],
        inputs["manure_dpm"],
        inputs["manure_hum"],
    )


def initial_state(inputs: Inputs, options: Mapping[str, Any]) -> Start:
    """Pools, activities and deficit before the first month, by the option ``spinup``; inputs from :func:`prepare`."""
    limits, kinetics, lead = moisture_limits(inputs, options), make_kinetics(inputs), _lead(inputs)
    one = jnp.ones_like(kinetics.to_bio)
    if options["spinup"] == "legacy":
        return _legacy(inputs, lead, limits, kinetics, options["radiocarbon"])
    deficit = recurring_deficit(_water_gain(inputs, lead), lead["plant_cover"], limits)
    if options["spinup"] in ("given", "pedotransfer"):
        if options["spinup"] == "given":
            pools = Pools(*(inputs[f"initial_{pool}"] for pool in Pools._fields))
        else:
            pools = pedotransfer_pools(inputs["soc_measured"], inputs["iom"], inputs["clay"])
        activities = None
        if options["radiocarbon"]:
            activities = Pools(*(pool * inputs["initial_modern"] / 100.0 for pool in pools))
        return Start(pools, activities, deficit, one)
    rates = rate_factors(inputs, lead, deficit, limits).rate
    scale = one
    if options["spinup"] == "inverse":
        none = jnp.zeros_like(lead["plant_carbon"])
        by_plants = equilibrium(rates, _arriving(inputs, lead | {"manure_carbon": none}), kinetics)
        by_manure = equilibrium(rates, _arriving(inputs, lead | {"plant_carbon": none}), kinetics)
        scale = inverse_scale(by_plants, by_manure, inputs["iom"], inputs["soc_measured"])
        lead = lead | {"plant_carbon": lead["plant_carbon"] * scale}
    arriving = _arriving(inputs, lead)
    activities = None
    if options["radiocarbon"]:
        modern = Pools(*(new * lead["modern_carbon"] / 100.0 for new in arriving))
        activities = equilibrium(rates, modern, kinetics, DECAY_PER_MONTH)
    return Start(equilibrium(rates, arriving, kinetics), activities, deficit, scale)


def _legacy(inputs: Inputs, lead: Inputs, limits: MoistureLimits, kinetics: Kinetics, radiocarbon: bool) -> Start:
    def year_rates(deficit: jax.Array) -> tuple[jax.Array, jax.Array]:
        factors = rate_factors(inputs, lead, deficit, limits)
        return factors.rate, factors.deficit[-1]

    modern = lead["modern_carbon"] / 100.0 if radiocarbon else jnp.ones_like(lead["plant_carbon"])
    settled = legacy_equilibrium(year_rates, _arriving(inputs, lead), modern, kinetics, KEPT_ISOTOPE)
    activities = settled.activities if radiocarbon else None
    return Start(settled.pools, activities, settled.deficit, jnp.ones_like(kinetics.to_bio))


class Carry(NamedTuple):
    """What a month hands to the next; scalars, t C/ha but for the deficit."""

    pools: Pools
    activities: Pools | None
    deficit: jax.Array
    unexplained: jax.Array  # change - input + CO2, summed over the months so far
    turnover: jax.Array  # initial stock plus input so far


class Month(NamedTuple):
    """What a month leaves to be recorded; scalars, or a year of them where months are recorded."""

    pools: Pools
    activity: jax.Array | None
    co2: jax.Array


def _march(inputs: Inputs, run: Inputs, start: Start, settings: BuildSettings) -> dict[str, jax.Array]:
    """The run in blocks of one record (or of one year of monthly records), gradients checkpointed by block."""
    months, steps = run["temperature"].size, settings.steps_per_record
    if months % steps:
        raise ValueError(f"{months} months cannot be cut into records of {steps}; give a multiple of {steps}")
    block = steps if steps > 1 else MONTHS
    blocks = {name: _cut(series, block) for name, series in run.items()}
    limits, kinetics = moisture_limits(inputs, settings.options), make_kinetics(inputs)
    wanted = _wanted(settings)

    def one(carry: Carry, months: Inputs) -> tuple[Carry, dict[str, jax.Array]]:
        factors = rate_factors(inputs, months, carry.deficit, limits)
        carry, recorded = _block(carry, factors.rate, months, inputs, kinetics, monthly=steps == 1)
        record = _record(factors, recorded, inputs["iom"], wanted, monthly=steps == 1)
        record["balance"] = jnp.abs(carry.unexplained) / jnp.maximum(carry.turnover, 1e-30)
        return carry._replace(deficit=factors.deficit[-1]), record

    zero = jnp.zeros_like(start.deficit)
    carry = Carry(start.pools, start.activities, start.deficit, zero, start.pools.total)
    _, records = jax.lax.scan(jax.checkpoint(one, prevent_cse=False), carry, blocks)
    balance = jnp.max(records.pop("balance"))
    outputs = {name: values.reshape(-1)[: months // steps] for name, values in records.items()}
    return outputs | {"balance": balance, "plant_carbon_scale": start.plant_scale}


def _cut(series: jax.Array, block: int) -> jax.Array:
    """A series as (blocks, months); a last year that is not whole is filled up with its last month."""
    count = -(-series.size // block)
    return jnp.pad(series, (0, count * block - series.size), mode="edge").reshape(count, block)


def _wanted(settings: BuildSettings) -> frozenset[str]:
    """Names of the time series to return; everything where the settings name nothing."""
    every = {"soc", "iom", "co2", "smd", *Pools._fields, *(f"rate_{name}" for name in Factors._fields[:3])}
    every |= {"delta14c"} if settings.options["radiocarbon"] else set()
    return frozenset(every & set(settings.outputs) if settings.outputs else every)


def _block(
    carry: Carry, rates: jax.Array, months: Inputs, inputs: Inputs, kinetics: Kinetics, monthly: bool
) -> tuple[Carry, Month]:
    """The months of one block: the carry at its end, and its months (or, for a longer record, end and sum)."""
    split = inputs["manure_dpm"], inputs["manure_hum"]

    def month(state: tuple[Carry, jax.Array], drivers: tuple[jax.Array, Inputs]) -> tuple[Any, Month | None]:
        carry, respired = state
        rate, now = drivers
        kept = kept_parts(rate, kinetics)
        arriving = arrivals(now["plant_carbon"], now["manure_carbon"], now["dpm_rpm_ratio"], *split)
        decayed, lost = decay(carry.pools, kept, kinetics)
        pools, co2 = add(decayed, arriving), kinetics.to_co2 * lost
        activities = carry.activities
        if activities is not None:
            aged = Pools(*(KEPT_ISOTOPE * value for value in decay(activities, kept, kinetics)[0]))
            activities = add(aged, Pools(*(new * (now["modern_carbon"] / 100.0) for new in arriving)))
        given = now["plant_carbon"] + now["manure_carbon"]
        change = Pools(*(new - old for new, old in zip(pools, carry.pools, strict=True))).total
        unexplained = carry.unexplained + (change - given + co2)
        carry = Carry(pools, activities, carry.deficit, unexplained, carry.turnover + given)
        recorded = Month(pools, activities.total if activities is not None else None, co2) if monthly else None
        return (carry, respired + co2), recorded

    state = carry, jnp.zeros_like(carry.turnover)
    (carry, respired), recorded = jax.lax.scan(month, state, (rates, dict(months)), unroll=4)
    if recorded is None:
        recorded = Month(carry.pools, carry.activities.total if carry.activities is not None else None, respired)
    return carry, recorded


def _record(
    factors: Factors, recorded: Month, iom: jax.Array, wanted: frozenset[str], monthly: bool
) -> dict[str, jax.Array]:
    """The wanted outputs of one block: (12,) where months are recorded, else scalars."""
    total = recorded.pools.total
    outputs = recorded.pools._asdict() | {
        "co2": recorded.co2,
        "soc": total + iom,
        "iom": jnp.broadcast_to(iom, total.shape),
    }
    outputs["smd"] = factors.deficit if monthly else factors.deficit[-1]
    for name in Factors._fields[:3]:
        series = getattr(factors, name)
        outputs[f"rate_{name}"] = series if monthly else jnp.mean(series)
    if recorded.activity is not None:
        outputs["delta14c"] = delta14c(total, recorded.activity, iom)
    return {name: values for name, values in outputs.items() if name in wanted}


def monthly_rates(inputs: Arrays, settings: BuildSettings) -> jax.Array:
    """Product of the rate factors of every month of the run, times ``rate_scale``, shape (n,).

    It does not depend on the rate constants or on carbon, so a calibration of those computes it once.
    """
    inputs = prepare(inputs)
    limits, lead = moisture_limits(inputs, settings.options), _lead(inputs)
    deficit = recurring_deficit(_water_gain(inputs, lead), lead["plant_cover"], limits)
    run = {name: inputs[name][LEAD:] for name in SERIES if name in inputs}
    return rate_factors(inputs, run, deficit, limits).rate * inputs["rate_scale"]


def affine_segments(inputs: Arrays, settings: BuildSettings, boundaries: Sequence[int]) -> Affine:
    """The run between dates as exact affine maps of the four active pools (dpm, rpm, bio, hum).

    All segments are built side by side, in a scan as long as the longest of them.

    Args:
        inputs: as for ``simulate``.
        settings: options; records play no part.
        boundaries: month counts, rising, from 0 to at most n: segment i leads from the end of month
            ``boundaries[i]`` to the end of month ``boundaries[i + 1]``.

    Returns:
        Maps with leading axis ``len(boundaries) - 1``, pools in t C/ha. With ``inverse`` they hold the scaled
        plant carbon.

    Raises:
        ValueError: boundaries do not rise or leave the run.
    """
    inputs = prepare(inputs)
    months = inputs["temperature"].size - LEAD
    pairs = list(itertools.pairwise(boundaries))
    if not pairs or boundaries[0] < 0 or boundaries[-1] > months or any(b <= a for a, b in pairs):
        raise ValueError(f"segment boundaries {list(boundaries)} are not allowed; allowed: rising, 0 to {months}")
    run = _run_months(inputs, initial_state(inputs, settings.options), settings.options)
    rates = monthly_rates(inputs | {"rate_scale": jnp.ones_like(inputs["rate_scale"])}, settings)
    arriving, kinetics = _arriving(inputs, run), make_kinetics(inputs)
    longest = max(b - a for a, b in pairs)
    index = jnp.asarray([[a + k for k in range(longest)] for a, _ in pairs])
    inside = jnp.asarray([[a + k < b for k in range(longest)] for a, b in pairs])
    index = jnp.minimum(index, months - 1)

    def segment(index: jax.Array, inside: jax.Array) -> Affine:
        drivers = jnp.where(inside, rates[index], 0.0), Pools(*(jnp.where(inside, new[index], 0.0) for new in arriving))

        def columns(start: jax.Array, constant: jax.Array) -> jax.Array:
            def month(pools: Pools, drivers: tuple[jax.Array, Pools]) -> tuple[Pools, None]:
                rate, new = drivers
                decayed, _ = decay(pools, kept_parts(rate, kinetics), kinetics)
                return add(decayed, Pools(*(value * constant for value in new))), None

            return jnp.stack(jax.lax.scan(month, Pools(*start), drivers)[0])

        return from_step(columns, len(Pools._fields), rates.dtype)

    return jax.vmap(segment)(index, inside)
