"""RothC: monthly turnover of soil organic carbon in one topsoil, with the dry-land options and radiocarbon.

Source: Coleman and Jenkinson, RothC description, version 2.0.0 (2025), and the official codes of that version;
Farina et al. (2013), doi 10.1016/j.geoderma.2013.01.021. Stocks and inputs are t C/ha, deficits mm. A series has
twelve months of an equilibrium year, then the months of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.decomposition import Pools, add, decay, decay_vector, kept_parts
from ensemble.models.initial_pools import (
    equilibrium,
    fraction_pools,
    inverse_scale,
    legacy_equilibrium,
    pedotransfer_pools,
)
from ensemble.models.linear import Affine, from_step
from ensemble.models.modifiers import recurring_deficit
from ensemble.models.radiocarbon import DECAY_PER_MONTH, delta14c, next_activities
from ensemble.models.rothc_site import (
    Drivers,
    Factors,
    Inputs,
    Site,
    make_drivers,
    make_site,
    part,
    prepare,
    rate_factors,
)
from ensemble.models.scan import MONTHS, scan_months

LEAD = 12
RATES = ("rate_temperature", "rate_moisture", "rate_cover")


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
        return _march(make_site(inputs, options), _run_months(inputs, start, options), start, settings)

    return simulate


def _run_months(inputs: Inputs, start: Start, options: Mapping[str, Any]) -> Drivers:
    """Drivers of the run, plant carbon scaled where the inverse spin-up says so."""
    every_month = options["spinup"] == "inverse" and options["inverse_input"] == "every_month"
    return part(make_drivers(inputs, options, start.plant_scale if every_month else 1.0), slice(LEAD, None))


def initial_state(inputs: Inputs, options: Mapping[str, Any]) -> Start:
    """Pools, activities and deficit before the first month, by the option ``spinup``; inputs from :func:`prepare`."""
    site, year = make_site(inputs, options), part(make_drivers(inputs, options), slice(LEAD))
    if options["spinup"] == "legacy":
        return _legacy(site, year)
    deficit = recurring_deficit(year.water, year.cover, site.limits)
    one = jnp.ones_like(deficit)
    if options["spinup"] == "given":
        return _known(site, Pools(*(inputs[f"initial_{pool}"] for pool in Pools._fields)), deficit, options)
    if options["spinup"] == "pedotransfer":
        return _known(site, pedotransfer_pools(inputs["soc_measured"], inputs["iom"], inputs["clay"]), deficit, options)
    rates = rate_factors(site, deficit, year).rate
    if options["spinup"] == "fractions":
        settled = equilibrium(rates, site.arriving(year), site.kinetics)
        return _known(site, fraction_pools(inputs["pom_measured"], inputs["maom_measured"], settled), deficit, options)
    scale = one
    if options["spinup"] == "inverse":
        by_plants, by_manure = (
            equilibrium(rates, site.arriving(alone), site.kinetics)
            for alone in (year._replace(manure=0.0 * year.manure), year._replace(plant=0.0 * year.plant))
        )
        scale = inverse_scale(by_plants, by_manure, inputs["iom"], inputs["soc_measured"])
    arriving = site.arriving(year._replace(plant=year.plant * scale))
    activities = None
    if year.modern is not None:
        activities = equilibrium(rates, arriving.scaled(year.modern), site.kinetics, DECAY_PER_MONTH)
    return Start(equilibrium(rates, arriving, site.kinetics), activities, deficit, scale)


def _known(site: Site, pools: Pools, deficit: jax.Array, options: Mapping[str, Any]) -> Start:
    """A start from pools that are known, with one activity for all of them."""
    activities = None
    if options["radiocarbon"]:
        activities = pools.scaled(site.inputs["initial_modern"] / 100.0)
    return Start(pools, activities, deficit, jnp.ones_like(deficit))


def _legacy(site: Site, year: Drivers) -> Start:
    def year_rates(deficit: jax.Array) -> tuple[jax.Array, jax.Array]:
        factors = rate_factors(site, deficit, year)
        return factors.rate, factors.deficit[-1]

    modern = jnp.ones_like(year.plant) if year.modern is None else year.modern
    settled = legacy_equilibrium(year_rates, site.arriving(year), modern, site.kinetics)
    activities = None if year.modern is None else settled.activities
    return Start(settled.pools, activities, settled.deficit, jnp.ones_like(settled.deficit))


class State(NamedTuple):
    """What a block of months hands to the next; scalars, t C/ha but for the deficit.

    Args:
        pools, activities, deficit: as in :class:`Start`.
        unexplained: change of stock minus input plus CO2, summed block by block.
        turnover: initial stock plus input so far.
    """

    pools: Pools
    activities: Pools | None
    deficit: jax.Array
    unexplained: jax.Array
    turnover: jax.Array


class Carbon(NamedTuple):
    """Stocks at the end of a month (or of some), and the carbon respired in it, t C/ha."""

    pools: Pools
    activities: Pools | None
    co2: jax.Array


def _march(site: Site, run: Drivers, start: Start, settings: BuildSettings) -> dict[str, jax.Array]:
    """The run in blocks of one record (or of one year of monthly records), gradients checkpointed by block."""
    months, steps = run.temperature.size, settings.steps_per_record
    if months % steps:
        raise ValueError(f"{months} months cannot be cut into records of {steps}; give a multiple of {steps}")
    monthly, block = steps == 1, steps if steps > 1 else MONTHS
    wanted = _wanted(settings)

    def one(state: State, months: Drivers) -> tuple[State, dict[str, jax.Array]]:
        factors = rate_factors(site, state.deficit, months)
        carbon, last = _months(site, state, months, factors.rate, monthly)
        co2, given = jnp.sum(carbon.co2), jnp.sum(months.plant + months.manure)
        change = Pools(*(new - old for new, old in zip(last.pools, state.pools, strict=True))).total
        unexplained, turnover = state.unexplained + (change - given + co2), state.turnover + given
        record = _record(site, carbon, factors, wanted, monthly)
        record["balance"] = jnp.abs(unexplained) / jnp.maximum(turnover, 1e-30)
        return State(last.pools, last.activities, factors.deficit[-1], unexplained, turnover), record

    zero = jnp.zeros_like(start.deficit)
    state = State(start.pools, start.activities, start.deficit, zero, start.pools.total)
    blocks = jax.tree.map(lambda series: _cut(series, block), run)
    _, records = jax.lax.scan(jax.checkpoint(one, prevent_cse=False), state, blocks)
    balance = jnp.max(records.pop("balance"))
    outputs = {name: values.reshape(-1)[: months // steps] for name, values in records.items()}
    return outputs | {"balance": balance, "plant_carbon_scale": start.plant_scale}


def _cut(series: jax.Array, block: int) -> jax.Array:
    """A series as (blocks, months); a last year that is not whole is filled up with its last month."""
    missing = -series.size % block
    whole = jnp.pad(series, (0, missing), mode="edge") if missing else series
    return whole.reshape(-1, block)


def _wanted(settings: BuildSettings) -> frozenset[str]:
    """Names of the time series to return; everything where the settings name nothing."""
    every = {"soc", "iom", "co2", "smd", *Pools._fields, *RATES}
    every |= {"pom", "maom"} if settings.options["fractions"] else set()
    every |= {"delta14c"} if settings.options["radiocarbon"] else set()
    return frozenset(every & set(settings.outputs) if settings.outputs else every)


def _months(site: Site, state: State, months: Drivers, rates: jax.Array, monthly: bool) -> tuple[Carbon, Carbon]:
    """Carbon through the months of a block: what is recorded of it, and its end.

    Recorded is each month where months are recorded, else the end of the block with its CO2 summed; single months
    are then never kept.
    """

    def month(before: Carbon, drivers: tuple[jax.Array, Drivers]) -> tuple[Carbon, Carbon | None]:
        rate, now = drivers
        kept, arriving = kept_parts(rate, site.kinetics), site.arriving(now)
        decayed, lost = decay(before.pools, kept, site.kinetics)
        activities = before.activities
        if activities is not None and now.modern is not None:
            activities = next_activities(activities, kept, arriving, now.modern, site.kinetics)
        pools, co2 = add(decayed, arriving), site.kinetics.to_co2 * lost
        after = Carbon(pools, activities, before.co2 + co2)
        return after, after._replace(co2=co2) if monthly else None

    first = Carbon(state.pools, state.activities, jnp.zeros_like(state.turnover))
    last, each = scan_months(month, first, (rates, months))
    return last if each is None else each, last


def _record(
    site: Site, carbon: Carbon, factors: Factors, wanted: frozenset[str], monthly: bool
) -> dict[str, jax.Array]:
    """The wanted outputs of one block: (months,) where months are recorded, else scalars."""
    total, iom = carbon.pools.total, site.inputs["iom"]
    outputs = carbon.pools._asdict() | {
        "co2": carbon.co2,
        "soc": total + iom,
        "iom": jnp.broadcast_to(iom, total.shape),
        "pom": carbon.pools.dpm + carbon.pools.rpm,
        "maom": carbon.pools.bio + carbon.pools.hum,
    }
    outputs["smd"] = factors.deficit if monthly else factors.deficit[-1]
    for name, series in zip(RATES, factors[:3], strict=True):
        outputs[name] = series if monthly else jnp.mean(series)
    if carbon.activities is not None:
        outputs["delta14c"] = delta14c(total, carbon.activities.total, iom)
    return {name: value for name, value in outputs.items() if name in wanted}


def monthly_rates(inputs: Arrays, settings: BuildSettings) -> jax.Array:
    """Product of the rate factors of every month of the run, times ``rate_scale``, shape (n,).

    It does not depend on the rate constants or on carbon, so a calibration of those computes it once.
    """
    inputs = prepare(inputs)
    site, drivers = make_site(inputs, settings.options), make_drivers(inputs, settings.options)
    return _run_rates(site, drivers) * inputs["rate_scale"]


def _run_rates(site: Site, drivers: Drivers) -> jax.Array:
    year = part(drivers, slice(LEAD))
    deficit = recurring_deficit(year.water, year.cover, site.limits)
    return rate_factors(site, deficit, part(drivers, slice(LEAD, None))).rate


def pools_by_month(inputs: Inputs, settings: BuildSettings, start: jax.Array) -> jax.Array:
    """Active pools (dpm, rpm, bio, hum) at the end of every month, t C/ha, shape (n, 4).

    Args:
        inputs: from :func:`prepare`.
        settings: options; records play no part.
        start: pools before the first month, t C/ha, shape (4,).
    """
    site, drivers = make_site(inputs, settings.options), make_drivers(inputs, settings.options)
    run = _run_months(inputs, initial_state(inputs, settings.options), settings.options)
    kept = jnp.stack(kept_parts(_run_rates(site, drivers), site.kinetics), axis=1)
    arriving = jnp.stack(site.arriving(run), axis=1)

    def month(pools: jax.Array, drivers: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        kept, new = drivers
        pools = decay_vector(pools, kept, site.kinetics) + new
        return pools, pools

    return jax.lax.scan(month, start, (kept, arriving))[1]


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
    site = make_site(inputs, settings.options)
    run = _run_months(inputs, initial_state(inputs, settings.options), settings.options)
    rates, arriving, kinetics = (
        _run_rates(site, make_drivers(inputs, settings.options)),
        site.arriving(run),
        site.kinetics,
    )
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
                return add(decayed, new.scaled(constant)), None

            return jnp.stack(scan_months(month, Pools(*start), drivers)[0])

        return from_step(columns, len(Pools._fields), rates.dtype)

    return jax.vmap(segment)(index, inside)
