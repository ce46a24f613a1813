"""Organic-carbon stocks of sampled fields with their measurement errors: Monte Carlo, and one error at a time.

Errors of the laboratory and of the core are independent of each other by default: they come from different
samples and instruments. Across soils carbon and bulk density are correlated (about -0.4 in DSP4SH), but that
is variation between soils, no correlation of errors; it applies where one of the two is mapped, predicted or
filled by a pedotransfer function, and is then declared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensemble.inputs.layer_table import Field
from ensemble.inputs.profiles import DensityBasis, fine_soil_mass, mass_weights, spline_weights
from ensemble.keys import host_seed

Floats = NDArray[np.floating[Any]]

LARGEST_STONES = 0.95
SOURCES = ("laboratory", "laboratory_bias", "bulk_density", "stones", "depth", "conversion")


@dataclass(frozen=True)
class MeasurementErrors:
    """Errors of sampling and measuring a layer; coefficients of variation unless said otherwise.

    Args:
        laboratory: of one carbon measurement, new in every layer.
        laboratory_bias: of the laboratory, shared by all layers and fields of a draw.
        bulk_density: of one core, new in every layer.
        stones: of the estimated volume of coarse fragments, new in every layer.
        depth: standard deviation of the sampled depth, cm, one draw a field.
        correlation: of the errors of carbon and bulk density in a layer; 0 for measured values.
        conversion: of the carbon in organic matter, shared by all fields, where carbon was not measured itself.
            Factors reach from 0.50 to 0.58 (Pribyl 2010), of which 0.05 is about half the width.
    """

    laboratory: float = 0.03
    laboratory_bias: float = 0.03
    bulk_density: float = 0.06
    stones: float = 0.30
    depth: float = 1.0
    correlation: float = 0.0
    conversion: float = 0.05

    def __post_init__(self) -> None:
        for name in SOURCES:
            value, largest = getattr(self, name), 100.0 if name == "depth" else 1.0
            if not 0 <= value <= largest:
                unit = "cm" if name == "depth" else "a fraction: 0.03 is 3 %"
                raise ValueError(f"the error of {name} must be from 0 to {largest:g} ({unit}), got {value:g}")
        if not -1 < self.correlation < 1:
            raise ValueError(f"the correlation of errors must lie between -1 and 1, got {self.correlation:g}")


class Measured(NamedTuple):
    """One realisation of a field's measurements; arrays ``(..., layer)``, depth error ``(...)`` in cm."""

    soc: Floats
    bulk_density: Floats
    stones: Floats
    depth_error: Floats


@dataclass(frozen=True, eq=False)
class FieldStock:
    """Stock of one field.

    Args:
        name: of the field.
        central: t C/ha from the numbers as measured.
        draws: ``(draw,)`` t C/ha.
        own_sd: standard deviation without the errors that all fields share, t C/ha.
        half_range: by source of error, half of the difference between the stock with the error added and
            taken away in all layers, t C/ha (Zhou et al. 2023, Fig. 1).
        floored: draws in which a number would have become negative, or stones reached 95 %.
    """

    name: str
    central: float
    draws: Floats
    own_sd: float
    half_range: dict[str, float]
    floored: int


def field_stocks(
    fields: tuple[Field, ...],
    errors: MeasurementErrors,
    draws: int,
    seed: int,
    depth: float = 30.0,
    mass: float | None = None,
    basis: DensityBasis = "fine_earth",
) -> tuple[FieldStock, ...]:
    """Stocks of fields to a fixed depth, or to an equivalent mass of fine soil.

    To a depth, the carbon density of layers is resampled by the equal-area spline, so nothing but the
    weights of layers depends on how they were sampled. An error of depth adds or takes the carbon density at
    the limit. To a mass, carbon is read off the cumulative curve, which takes out errors of depth and most of
    those of bulk density.

    Args:
        fields: from :func:`ensemble.inputs.layer_table.read_layer_table`.
        errors: of measurement.
        draws: Monte Carlo draws.
        seed: of the draws.
        depth: cm.
        mass: Mg/ha of fine soil; the depth is then ignored.
        basis: what bulk density is of (:func:`ensemble.inputs.profiles.fine_soil_mass`).

    Raises:
        ValueError: a field does not reach the depth or mass; stones of 100 %.
    """
    bias, factor = (
        np.random.default_rng(host_seed(seed, name)).standard_normal(draws)
        for name in ("laboratory bias", "carbon in organic matter")
    )
    shared = {
        converted: np.maximum(0.0, (1 + errors.laboratory_bias * bias) * (1 + converted * errors.conversion * factor))
        for converted in (False, True)
    }
    return tuple(_field_stock(field, errors, shared[field.converted], seed, depth, mass, basis) for field in fields)


def _field_stock(
    field: Field,
    errors: MeasurementErrors,
    shared: Floats,
    seed: int,
    depth: float,
    mass: float | None,
    basis: DensityBasis,
) -> FieldStock:
    measured = Measured(field.soc, field.bulk_density, field.stones, np.zeros(()))
    drawn, floored = _perturbed(field, errors, len(shared), seed)
    half = {}
    for source in SOURCES if field.converted else SOURCES[:-1]:
        low, high = (_stock(field, _shifted(measured, errors, source, sign), depth, mass, basis) for sign in (-1, 1))
        half[source] = abs(float(high) - float(low)) / 2
    central = float(_stock(field, measured, depth, mass, basis))
    own = _stock(field, drawn, depth, mass, basis)  # linear in carbon, so shared factors stand outside
    floored += int((shared == 0).sum())
    return FieldStock(field.name, central, own * shared, float(own.std(ddof=1)), half, floored)


def _perturbed(field: Field, errors: MeasurementErrors, draws: int, seed: int) -> tuple[Measured, int]:
    """Realisations of the errors of a field's own, and how many had a number moved inside its limits."""
    rng = np.random.default_rng(host_seed(seed, f"measurement of {field.name}"))
    laboratory, core, stones = rng.standard_normal((3, draws, field.soc.size))
    core = errors.correlation * laboratory + np.sqrt(1 - errors.correlation**2) * core
    raw = Measured(
        field.soc * (1 + errors.laboratory * laboratory),
        field.bulk_density * (1 + errors.bulk_density * core),
        field.stones * (1 + errors.stones * stones),
        errors.depth * rng.standard_normal(draws),
    )
    kept = _inside(raw)
    moved = [(a != b).any(axis=-1) for a, b in zip(raw[:3], kept[:3], strict=True)]
    return kept, int(np.logical_or.reduce(moved).sum())


def _shifted(measured: Measured, errors: MeasurementErrors, source: str, sign: int) -> Measured:
    step = sign * getattr(errors, source)
    if source == "depth":
        return measured._replace(depth_error=np.asarray(step, float))
    name = "soc" if source in ("laboratory", "laboratory_bias", "conversion") else source
    return _inside(measured._replace(**{name: getattr(measured, name) * (1 + step)}))


def _inside(raw: Measured) -> Measured:
    return Measured(
        np.maximum(raw.soc, 0.0),
        np.maximum(raw.bulk_density, 0.01),
        np.clip(raw.stones, 0.0, LARGEST_STONES),
        raw.depth_error,
    )


def _stock(field: Field, measured: Measured, depth: float, mass: float | None, basis: DensityBasis) -> Floats:
    """Stock of every realisation, t C/ha."""
    fine = fine_soil_mass(measured.bulk_density, measured.stones, 1.0, basis)  # Mg/ha in one cm
    if mass is None:
        whole = spline_weights(field.tops, field.bottoms, [0.0, depth], name=f"field '{field.name}'")[0] * depth
        limit = spline_weights(field.tops, field.bottoms, [max(0.0, depth - 1.0), depth])[0]
        carbon = fine * measured.soc / 100
        return carbon @ whole + np.maximum(measured.depth_error, -depth) * (carbon @ limit)
    if field.tops[0] > 0 or (field.tops[1:] > field.bottoms[:-1] + 1e-9).any():
        raise ValueError(
            f"field '{field.name}' has a gap; an equivalent soil mass needs layers without gaps from the surface"
        )
    masses = fine * (field.bottoms - field.tops)
    stocks = masses * measured.soc / 100
    if masses.ndim == 1:
        return _to_mass(field, masses, np.asarray(mass)) @ stocks
    reach = np.minimum(mass, masses.sum(axis=1))
    scale = mass / reach  # a core that a draw made too light is continued at its mean concentration
    return (_to_mass(field, masses, reach[:, None]) * stocks).sum(axis=1) * scale


def _to_mass(field: Field, masses: Floats, mass: Floats) -> Floats:
    """Weights on layer stocks ``(..., layer)``; a core that does not hold the mass is refused by name."""
    try:
        return mass_weights(masses, mass)[..., 0, :]
    except ValueError as error:
        raise ValueError(f"field '{field.name}': {error}") from None
