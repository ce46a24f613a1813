"""What stays the same through the years of one member: soil, climate and vegetation, prepared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensemble.models.column.decay import Modes, decay_modes, to_modes
from ensemble.models.column.layers import Layers
from ensemble.models.column.members import along_layers
from ensemble.models.column.pedogenesis import Minerals, Weathering
from ensemble.models.decomposition import Kinetics, Pools, make_kinetics
from ensemble.models.hydraulics import MineralSoil, mineral_soil
from ensemble.models.modifiers import (
    clay_limits,
    deficits,
    rate_cover,
    rate_moisture,
    rate_temperature,
    recurring_deficit,
)
from ensemble.models.productivity import PRODUCTIVITY

# RothC's moisture deficit is that of the upper 23 cm; the column takes it for all layers.
MOISTURE_DEPTH = 23.0
# Litter, lime, crushed rock and what fauna takes from the ectorganic layer enter this part of the soil, cm.
SURFACE_DEPTH = 5.0
# Depth to which the topsoil equations of hydraulic properties apply, cm.
TOPSOIL_DEPTH = 30.0


class Soil(NamedTuple):
    """What soil holds and moves with it: RothC pools (t C ha-1) and minerals, each of shape (layers,)."""

    pools: Pools
    minerals: Minerals


class Plants(NamedTuple):
    """Vegetation: natural (first row) and crop (second row).

    Args:
        litter: carbon that enters before harvest, t C ha-1 yr-1, by pool, into the layers and, last, the
            ectorganic layer, each of shape (2, layers + 1).
        modifier: temperature x moisture x cover x depth in each month, of the layers and, last, the
            ectorganic layer, shape (2, 12, layers + 1).
    """

    litter: Pools
    modifier: jax.Array


class Site(NamedTuple):
    """Constants of one member.

    Args:
        mass: fine soil of each layer, kg m-2, shape (layers,).
        parent: content of 1 cm of parent material, scalars.
        mixing: part of the reached soil that fauna mixes in a year, yr-1.
        reached: fraction of each layer that fauna reaches, shape (layers,).
        share: how the mixture returns to the layers, shape (layers,).
        surface: share of each layer in what enters at the surface, shape (layers,).
        incorporation: rate from the ectorganic layer into the soil, yr-1.
        plants: vegetation.
        seasons: rate modifiers of the parts of a year, natural and crop, shape (2, parts, steps, layers + 1):
            months with monthly decay, else one step times its length in years.
        kinetics: rates and partition of RothC.
        modes: modes of decay.
        arriving: litter of a year in modes, natural and crop, each of shape (2, layers + 1).
        unit: 1 and 0, shape (2,): see :func:`ensemble.models.column.members.at_once`.
        texture: hydraulic properties of the layers without organic matter, shape (layers,).
        weathering: rates of pedogenesis.
    """

    mass: jax.Array
    parent: Soil
    mixing: jax.Array
    reached: jax.Array
    share: jax.Array
    surface: jax.Array
    incorporation: jax.Array
    plants: Plants
    seasons: jax.Array
    kinetics: Kinetics
    modes: Modes
    arriving: Pools
    unit: jax.Array
    texture: MineralSoil
    weathering: Weathering


def reach(layers: Layers, depth: jax.Array) -> jax.Array:
    """Fraction of each layer above a depth (cm), 0 to 1, shape (layers,)."""
    top, thickness = (along_layers(edge, depth[None]) for edge in (layers.top, layers.thickness))
    return jnp.clip((depth - top) / thickness, 0.0, 1.0)


def prepare(inputs: Mapping[str, Any], layers: Layers, productivity: str, parts: int, monthly: bool) -> Site:
    """Constants of one member from its inputs; the other arguments are the model's options."""
    thickness = jnp.asarray(layers.thickness, inputs["bulk_density"].dtype)
    per_cm = 10.0 * inputs["bulk_density"]  # kg m-2 in 1 cm
    mass = per_cm * thickness
    reached = reach(layers, inputs["bioturbation_depth"])
    mixed = reached * mass
    kinetics = make_kinetics(inputs)
    plants = _plants(inputs, layers, productivity)
    seasons = plants.modifier.reshape(2, parts, 12 // parts, -1)
    modes = decay_modes(kinetics)
    topsoil = jnp.asarray(layers.middle < TOPSOIL_DEPTH, mass.dtype)
    return Site(
        mass=mass,
        parent=_parent_material(inputs, per_cm),
        mixing=0.1 * inputs["bioturbation"] / mixed.sum(),  # t ha-1 = 0.1 kg m-2
        reached=reached,
        share=mixed / mixed.sum(),
        surface=jnp.asarray(layers.spread(min(SURFACE_DEPTH, float(layers.bottom[-1]))), mass.dtype),
        incorporation=inputs["litter_incorporation"],
        plants=plants,
        seasons=seasons if monthly else seasons.sum(axis=2, keepdims=True) / 12.0,
        kinetics=kinetics,
        modes=modes,
        arriving=to_modes(plants.litter, modes),
        unit=jnp.stack([jnp.ones_like(per_cm), jnp.zeros_like(per_cm)]),
        texture=mineral_soil(inputs["clay"], inputs["silt"], inputs["bulk_density"], topsoil),
        weathering=Weathering(
            leaching=0.001 * inputs["drainage"] * inputs["calcite_solubility"],
            acid=0.001 * inputs["drainage"] * inputs["acidity"],
            capacity=0.001 * inputs["exchange_capacity"] * mass,
            full=inputs["base_saturation_full"],
            least=inputs["base_saturation_least"],
            release=inputs["release_rate"],
            clay=inputs["clay_weathering"],
        ),
    )


def _parent_material(inputs: Mapping[str, Any], per_cm: jax.Array) -> Soil:
    """Content of 1 cm of parent material: calcareous, with the base saturation that calcite holds."""
    clay = 0.01 * inputs["clay"] * per_cm
    # Without calcite nothing holds the saturation at its maximum.
    calcareous = inputs["calcite"] > 0.0
    saturation = jnp.where(calcareous, inputs["base_saturation_full"], inputs["base_saturation_least"])
    zero = jnp.zeros_like(per_cm)
    minerals = Minerals(
        inputs["calcite"] * per_cm,
        saturation * 0.001 * inputs["exchange_capacity"] * per_cm,
        inputs["clay_1_1_share"] * clay,
        (1.0 - inputs["clay_1_1_share"]) * clay,
        zero,
    )
    return Soil(Pools(zero, zero, zero, zero), minerals)


def _plants(inputs: Mapping[str, Any], layers: Layers, productivity: str) -> Plants:
    forest = inputs["forest"]

    def natural(name: str) -> jax.Array:
        return (1.0 - forest) * inputs[f"grass_{name}"] + forest * inputs[f"forest_{name}"]

    if productivity == "given":
        production = inputs["net_primary_production"]
    else:
        production = PRODUCTIVITY[productivity](inputs["temperature"].mean(), inputs["precipitation"].sum())
    production = production * inputs["production_factor"]
    grass_roots, forest_roots = inputs["grass_root_share"], inputs["forest_root_share"]
    by_roots = (1.0 - forest) * grass_roots * _roots(
        layers, inputs["grass_root_beta"]
    ) + forest * forest_roots * _roots(layers, inputs["forest_root_beta"])
    litter = (1.0 - forest) * (1.0 - grass_roots)
    top = jnp.asarray(layers.spread(min(SURFACE_DEPTH, float(layers.bottom[-1]))), by_roots.dtype)
    crop_roots = inputs["crop_root_share"]
    crop = crop_roots * _roots(layers, inputs["crop_root_beta"]) + (1.0 - crop_roots) * top
    split = jnp.stack([_split(natural("dpm_rpm_ratio")), _split(inputs["crop_dpm_rpm_ratio"])])
    on_surface = forest * (1.0 - forest_roots)
    placed = jnp.stack([
        jnp.append(by_roots + litter * top, on_surface),
        jnp.append(crop, 0.0) * inputs["crop_input_factor"],
    ])  # fmt: skip
    return Plants(Pools(*(production * part[:, None] * placed for part in split.T)), _modifiers(inputs, layers))


def _split(ratio: jax.Array) -> jax.Array:
    """Litter by pool (DPM, RPM, BIO, HUM) for a DPM / RPM ratio, sums to 1."""
    zero = jnp.zeros_like(ratio)
    return jnp.stack([ratio / (1.0 + ratio), 1.0 / (1.0 + ratio), zero, zero])


def _roots(layers: Layers, beta: jax.Array) -> jax.Array:
    """Share of each layer in the roots of the column, ``1 - beta**depth`` (Jackson et al. 1996), sums to 1."""
    edges = jnp.asarray([0.0, *layers.bottom], beta.dtype)
    reached = 1.0 - jnp.exp(edges * jnp.log(beta))
    return jnp.diff(reached) / reached[-1]


def _modifiers(inputs: Mapping[str, Any], layers: Layers) -> jax.Array:
    """Rate modifiers by vegetation and month, in the layers and, last, in the ectorganic layer."""
    surface = inputs["temperature"]
    middle = jnp.asarray(layers.middle, surface.dtype)

    def warmth(temperature: jax.Array) -> jax.Array:
        scale, slope, shift = (inputs[f"temperature_factor_{name}"] for name in ("scale", "slope", "shift"))
        return rate_temperature(temperature, scale, slope, shift, inputs["frost_threshold"])

    at_depth = warmth(soil_temperature(surface, middle, inputs["damping_depth"]))
    at_depth = at_depth * jnp.exp(-middle / inputs["decay_depth"])
    by_place = jnp.concatenate([at_depth, warmth(surface)[:, None]], axis=1)
    gain = inputs["precipitation"] - inputs["potential_evapotranspiration"]
    limits = clay_limits(inputs["clay"], jnp.asarray(MOISTURE_DEPTH, gain.dtype))

    def seasonal(cover: jax.Array) -> jax.Array:
        deficit = deficits(recurring_deficit(gain, cover, limits), gain, cover, limits)
        return rate_moisture(deficit, limits, inputs["moisture_factor_minimum"]) * rate_cover(
            cover, inputs["cover_factor"]
        )

    season = jnp.stack([seasonal(jnp.ones_like(gain)), seasonal(inputs["crop_cover"])])
    return season[:, :, None] * by_place


def soil_temperature(surface: jax.Array, depth: jax.Array, damping_depth: jax.Array) -> jax.Array:
    """Temperature of each month in the soil: conduction of a yearly cycle, harmonic by harmonic.

    The k-th harmonic is damped by ``exp(-z sqrt(k) / D)`` and late by the same angle (van Wijk and de Vries
    1963); D is the damping depth of the yearly wave.

    Args:
        surface: temperature of twelve months, degC, shape (12,).
        depth: cm, shape (layers,).
        damping_depth: D, cm.

    Returns:
        degC, shape (12, layers).
    """
    waves = jnp.fft.rfft(surface)
    order = jnp.sqrt(jnp.arange(7, dtype=surface.dtype))[:, None]
    angle = order * depth.astype(surface.dtype) / damping_depth
    return jnp.fft.irfft(waves[:, None] * jnp.exp(-angle) * (jnp.cos(angle) - 1j * jnp.sin(angle)), 12, axis=0)
