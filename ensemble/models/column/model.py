"""The soil column as a model: from inputs to yearly outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, isqrt
from typing import Any

import jax
import jax.numpy as jnp

from ensemble.models.base import BuildSettings, Simulate
from ensemble.models.column.layers import make_layers
from ensemble.models.column.site import BASES, CALCITE, POOLS, Site, prepare
from ensemble.models.column.start import initial_state
from ensemble.models.column.transport import erosion_events
from ensemble.models.column.year import Choices, Column, Year, budgets, modifiers, step

MILLIMETRES_PER_CENTIMETRE = 10.0
PROFILES = ("soc_profile", "calcite_profile", "base_saturation_profile", "protection_profile", "mechanism_profile")


def build(settings: BuildSettings) -> Simulate:
    """Build the column for one set of options.

    Raises:
        ValueError: layers with gaps or overlaps, an event depth that is not positive or reaches below the
            column.
    """
    options = settings.options
    choices = choose(options)
    wanted = set(settings.outputs)

    def simulate(inputs: Mapping[str, Any]) -> dict[str, Any]:
        site = prepare(inputs, choices.layers, options["productivity"], choices.mixing_steps, choices.monthly)
        years = _years(inputs, choices, options["erosion"])
        first = jax.tree.map(lambda series: series[0], years)
        state = initial_state(options["initial"], first, site, inputs, choices)
        return _run(state, years, site, inputs, choices, wanted)

    return simulate


def choose(options: Mapping[str, Any]) -> Choices:
    """Static choices from the options; raises as :func:`build`."""
    layers = make_layers(options["layers"])
    depth = float(options["event_depth"])
    if not 0.0 < depth < layers.bottom[-1]:
        raise ValueError(f"an erosion event of {depth:g} cm would empty the column of {layers.bottom[-1]:g} cm; "
                         "allowed: above 0, below the depth of the column")  # fmt: skip
    rounds = ceil(depth / layers.thickness.min() - 1e-9) if options["erosion"] == "event" else 1
    return Choices(layers, options["mechanism"], options["minimum"] == "smooth", options["decay"] == "monthly",
                   int(options["mixing_steps"]), depth, rounds)  # fmt: skip


def _years(inputs: Mapping[str, Any], choices: Choices, erosion: str) -> Year:
    """Drivers of every year, each of shape (years,)."""
    eroded = inputs["erosion"] / MILLIMETRES_PER_CENTIMETRE
    if erosion == "event":
        eroded = erosion_events(eroded, choices.event_depth)
    return Year(
        crop=inputs["crop"],
        harvest=inputs["harvest"],
        plough_depth=inputs["plough_depth"],
        erosion=eroded,
        deposition=inputs["deposition"] / MILLIMETRES_PER_CENTIMETRE,
        lime=inputs["lime"],
        base_addition=inputs["base_addition"],
        clay_addition=inputs["clay_addition"],
        mineral_addition=inputs["mineral_addition"],
    )


def _run(
    state: Column, years: Year, site: Site, inputs: Mapping[str, Any], choices: Choices, wanted: set[str]
) -> dict[str, Any]:
    """Step through the years and collect outputs; the imbalances of the steps are summed, not the stocks."""
    zero = jnp.zeros(3, state.soil.dtype)

    def advance(carry: Any, year: Year) -> Any:
        state, imbalance, gained = carry
        state, flows = step(state, year, site, inputs, choices)
        record = _stocks(state, site, inputs, choices, wanted)
        names = ("carbon_input", "co2", "soc_lost", "calcite_leached", "bases_leached")
        record |= {name: getattr(flows, name) for name in names}
        return (state, imbalance + flows.imbalance, gained + flows.gained), record

    start = budgets(state.soil, state.litter)
    (state, imbalance, gained), record = checkpointed_scan(advance, (state, zero, start), years)
    missing = jnp.abs(imbalance) / jnp.maximum(gained, 1e-30)
    record = {name: jnp.moveaxis(series, 0, -1) for name, series in record.items()}
    return record | {"balance": jnp.max(missing)}


def _stocks(
    state: Column, site: Site, inputs: Mapping[str, Any], choices: Choices, wanted: set[str]
) -> dict[str, jax.Array]:
    """State outputs at the end of a year; profiles only where they are wanted."""
    layers, everything = choices.layers, not wanted
    carbon, litter = state.soil[POOLS].sum(axis=0), state.litter.sum()

    def between(upper: float, lower: float) -> jax.Array:
        return carbon @ jnp.asarray(layers.within(upper, lower), carbon.dtype)

    upper = jnp.asarray(layers.within(0.0, 40.0), carbon.dtype)
    record = {
        "soc": between(0.0, 100.0) + litter,
        "soc_0_25": between(0.0, 25.0) + litter,
        "soc_25_75": between(25.0, 75.0),
        "soc_25_100": between(25.0, 100.0),
        "soc_ectorganic": litter,
        "calcite_stock": state.soil[CALCITE].sum(),
        "base_saturation": (state.soil[BASES] @ upper) / (site.weathering.capacity @ upper),
    }
    if everything or wanted & {"protection", *PROFILES}:
        modifier, number = modifiers(state.soil, site, inputs, choices)
        total = carbon.sum()
        some = total > 0.0
        record |= {"protection": jnp.where(some, (modifier @ carbon) / jnp.where(some, total, 1.0), modifier.mean())}
        profiles = {
            "soc_profile": carbon,
            "calcite_profile": state.soil[CALCITE] / site.mass,
            "base_saturation_profile": state.soil[BASES] / site.weathering.capacity,
            "protection_profile": modifier,
            "mechanism_profile": number,
        }
        record |= {name: value for name, value in profiles.items() if everything or name in wanted}
    return record


def checkpointed_scan(advance: Callable[[Any, Any], Any], carry: Any, series: Any) -> Any:
    """``jax.lax.scan`` in blocks whose inside is recomputed for the gradient.

    Reverse mode keeps the state at the start of each block and, inside one block, of each year: memory
    grows with the square root of the number of years.
    """
    length = jax.tree.leaves(series)[0].shape[0]
    block = max(1, isqrt(length))
    whole = length // block * block
    head = jax.tree.map(lambda x: x[:whole].reshape(-1, block, *x.shape[1:]), series)
    tail = jax.tree.map(lambda x: x[whole:], series)
    one = jax.checkpoint(advance, prevent_cse=False)

    @jax.checkpoint
    def inner(carry: Any, part: Any) -> Any:
        return jax.lax.scan(one, carry, part)

    carry, first = jax.lax.scan(inner, carry, head)
    first = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), first)
    if whole == length:
        return carry, first
    carry, last = inner(carry, tail)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
