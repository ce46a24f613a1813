"""The soil column as a model: from inputs to yearly outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, isqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.models.base import BuildSettings, Mismatch, Simulate
from ensemble.models.column.layers import make_layers
from ensemble.models.column.members import each_member, members_of, weighted
from ensemble.models.column.site import Site, prepare
from ensemble.models.column.smoothing import moving_mean, phase_begins, years_between_events
from ensemble.models.column.start import initial_state
from ensemble.models.column.transport import erosion_events
from ensemble.models.column.year import Choices, Column, Year, budgets, modifiers, step
from ensemble.models.records.column import COLUMN

MILLIMETRES_PER_CENTIMETRE = 10.0
DIMS = {spec.name: spec.dims for spec in COLUMN.inputs}
ONE_YEAR = {name: () if name in Year._fields else dims for name, dims in DIMS.items()}
SMOOTHED = ("soc", "soc_0_25", "soc_25_75", "soc_25_100")
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

    def once(inputs: Mapping[str, Any]) -> tuple[Site, Column]:
        site = prepare(inputs, choices.layers, options["productivity"], choices.mixing_steps, choices.monthly)
        first = Year(*(inputs[name] for name in Year._fields))
        return site, initial_state(options["initial"], first, site, inputs, choices)

    def simulate(inputs: Mapping[str, Any]) -> dict[str, Any]:
        years = _years(inputs, choices, options["erosion"])
        first = {name: value if name not in Year._fields else getattr(years, name)[0] for name, value in inputs.items()}
        members = members_of(inputs, DIMS)
        site, state = each_member(once, first, ONE_YEAR, members)
        found = _run(state, years, site, inputs, choices, wanted)
        return found | _smoothed(found, inputs, choices, options["erosion"], wanted)

    return simulate


def choose(options: Mapping[str, Any]) -> Choices:
    """Static choices from the options; raises as :func:`build`."""
    layers = make_layers(options["layers"])
    depth = float(options["event_depth"])
    if not 0.0 < depth < layers.bottom[-1]:
        text = f"an erosion event of {depth:g} cm would empty the column of {layers.bottom[-1]:g} cm"
        raise Mismatch(f"{text}; allowed: above 0, below the depth of the column", "options.event_depth")
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
    start = budgets(state.soil, state.litter)

    def advance(carry: Any, year: Year) -> Any:
        state, imbalance, gained = carry
        state, flows = step(state, year, site, inputs, choices)
        record = _stocks(state, site, inputs, choices, wanted)
        names = ("carbon_input", "co2", "soc_lost", "calcite_leached", "bases_leached")
        record |= {name: getattr(flows, name) for name in names}
        return (state, imbalance + flows.imbalance, gained + flows.gained), record

    (state, imbalance, gained), record = checkpointed_scan(advance, (state, 0.0 * start, start), years)
    missing = jnp.abs(imbalance) / jnp.maximum(gained, 1e-30)
    record = {name: jnp.moveaxis(series, 0, 1) if name in PROFILES else series for name, series in record.items()}
    return record | {"balance": jnp.max(missing, axis=0)}


def _stocks(
    state: Column, site: Site, inputs: Mapping[str, Any], choices: Choices, wanted: set[str]
) -> dict[str, jax.Array]:
    """State outputs at the end of a year; profiles only where they are wanted."""
    layers, everything = choices.layers, not wanted
    carbon, litter = state.soil.pools.total, state.litter.total
    depths = ((0.0, 100.0), (0.0, 25.0), (25.0, 75.0), (25.0, 100.0))
    whole, top, sub, below = weighted(np.stack([layers.within(*span) for span in depths]), carbon)
    upper = layers.within(0.0, 40.0)
    record = {
        "soc": whole + litter,
        "soc_0_25": top + litter,
        "soc_25_75": sub,
        "soc_25_100": below,
        "soc_ectorganic": litter,
        "calcite_stock": state.soil.minerals.calcite.sum(axis=0),
        "base_saturation": weighted(upper, state.soil.minerals.bases) / weighted(upper, site.weathering.capacity),
    }
    if everything or wanted & {"protection", *PROFILES}:
        modifier, number = modifiers(state.soil, site, inputs, choices)
        total = carbon.sum(axis=0)
        some, mean = total > 0.0, modifier.mean(axis=0)
        record["protection"] = jnp.where(some, (modifier * carbon).sum(axis=0) / jnp.where(some, total, 1.0), mean)
        profiles = {
            "soc_profile": carbon,
            "calcite_profile": state.soil.minerals.calcite / site.mass,
            "base_saturation_profile": state.soil.minerals.bases / site.weathering.capacity,
            "protection_profile": modifier,
            "mechanism_profile": number,
        }
        record |= {name: value for name, value in profiles.items() if everything or name in wanted}
    return record


def _smoothed(
    found: Mapping[str, jax.Array], inputs: Mapping[str, Any], choices: Choices, erosion: str, wanted: set[str]
) -> dict[str, jax.Array]:
    """The stocks without the saw-teeth of erosion events, where they are wanted; a phase is one of land use."""
    names = [name for name in SMOOTHED if not wanted or f"{name}_smoothed" in wanted]
    if not names or erosion != "event":  # without events there is nothing to smooth
        return {f"{name}_smoothed": found[name] for name in names}
    window = years_between_events(inputs["erosion"] / MILLIMETRES_PER_CENTIMETRE, choices.event_depth)
    begins = phase_begins(*(inputs[name] for name in ("erosion", "crop", "plough_depth")))
    return {f"{name}_smoothed": moving_mean(found[name], window, begins) for name in names}


def checkpointed_scan(advance: Callable[[Any, Any], Any], carry: Any, series: Any) -> Any:
    """``jax.lax.scan`` in blocks whose inside is recomputed for the gradient.

    Reverse mode keeps the state at the start of each block and, inside one block, of each year: memory
    grows with the square root of the number of years.
    """
    length = jax.tree.leaves(series)[0].shape[0]
    block = _block(length)
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


def _block(length: int) -> int:
    """Years in a block: near the square root; a divisor where there is one, so that the year compiles once."""
    root = max(1, isqrt(length))
    divisors = [block for block in range(root // 2 + 1, 2 * root + 1) if length % block == 0]
    return min(divisors, key=lambda block: abs(block - root), default=root)
