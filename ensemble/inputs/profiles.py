"""Soil profiles: layers sampled at any depth, brought to a fixed depth or to an equivalent soil mass.

Both routes are linear in the measured values, so each is returned as a matrix of weights: the result is
``weights @ values`` and its covariance ``weights @ covariance @ weights.T``, with nothing simulated.
Depths are cm below the surface, masses and stocks Mg/ha. Everything here is NumPy in float64.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
MassSpline = Literal["cubic", "linear"]
DensityBasis = Literal["fine_earth", "fine_per_total", "total"]

CARBON_FACTOR = 0.58  # organic carbon in organic matter, by convention
ROCK_DENSITY = 2.65  # Mg m-3, density of quartz and of most coarse fragments (Poeplau et al. 2017, SOIL 3)


class LinearEstimate(NamedTuple):
    """A linear result with its covariance.

    Args:
        mean: ``(target,)``, in the unit of the values.
        covariance: ``(target, target)``, in that unit squared.
        weights: ``(target, layer)``, dimensionless.
    """

    mean: Floats
    covariance: Floats
    weights: Floats


def check_layers(tops: ArrayLike, bottoms: ArrayLike, name: str = "profile") -> tuple[Floats, Floats]:
    """Layer limits as arrays, in order of depth.

    Args:
        tops, bottoms: ``(layer,)``, cm, from the surface down.
        name: what a message calls the profile.

    Raises:
        ValueError: no layer, a layer without thickness, above the surface or out of order, or two that overlap.
    """
    top, bottom = np.asarray(tops, float), np.asarray(bottoms, float)
    if top.ndim != 1 or top.shape != bottom.shape or not top.size:
        raise ValueError(f"{name} needs one top and one bottom for each of its layers, and at least one layer")
    if not np.isfinite(top).all() or not np.isfinite(bottom).all() or (bottom <= top).any() or (top < 0).any():
        raise ValueError(f"{name} has a layer whose bottom is not below its top, or that starts above the surface")
    for upper in range(top.size - 1):
        if top[upper + 1] < top[upper]:
            raise ValueError(
                f"{name} has layers out of order: {top[upper + 1]:g}-{bottom[upper + 1]:g} cm stands below"
                f" {top[upper]:g}-{bottom[upper]:g} cm; write them from the surface down"
            )
        if top[upper + 1] < bottom[upper] - 1e-9:
            raise ValueError(
                f"{name} has layers that overlap: {top[upper]:g}-{bottom[upper]:g} cm"
                f" and {top[upper + 1]:g}-{bottom[upper + 1]:g} cm"
            )
    return top, bottom


def spline_weights(
    tops: ArrayLike, bottoms: ArrayLike, limits: ArrayLike, smoothing: float = 0.1, name: str = "profile"
) -> Floats:
    """Weights that turn layer means into means over target depths, by the equal-area quadratic spline.

    The spline is quadratic inside a layer, linear across a gap, with a continuous slope, and minimises the
    misfit of the layer means plus ``smoothing`` times the integral of the squared slope; as ``smoothing``
    goes to zero it keeps the mean of every layer (Bishop, McBratney & Laslett 1999, Geoderma 91, 27-45,
    doi 10.1016/S0016-7061(99)00003-8; the matrices as in R package mpspline2). It may leave the range of
    the data, also below zero, between very different layers: see the negative means, never clip silently.

    Args:
        tops, bottoms: ``(layer,)``, cm.
        limits: ``(target + 1,)`` increasing depths that bound the targets, cm, inside the sampled depth.
        smoothing: the spline's lambda, >= 0; 0.1 is the usual choice.
        name: what a message calls the profile.

    Returns:
        ``(target, layer)``; every row sums to one.

    Raises:
        ValueError: bad layers or limits, or a target that reaches above or below the sampled depth.
    """
    top, bottom = check_layers(tops, bottoms, name)
    edges = np.asarray(limits, float)
    if edges.ndim != 1 or edges.size < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"depth limits must increase, got {edges.tolist()}")
    if smoothing < 0:
        raise ValueError(f"the smoothing of a spline must be 0 or more, got {smoothing:g}")
    if edges[0] < top[0] - 1e-9 or edges[-1] > bottom[-1] + 1e-9:
        raise ValueError(
            f"{name} is sampled from {top[0]:g} to {bottom[-1]:g} cm and says nothing about {edges[0]:g}-{edges[-1]:g} cm"
        )
    means, slopes = _spline_operators(top, bottom, smoothing)
    integral = np.array([_integral(edge, top, bottom, means, slopes) for edge in edges])
    return np.diff(integral, axis=0) / np.diff(edges)[:, None]


def spline_means(
    tops: ArrayLike,
    bottoms: ArrayLike,
    values: ArrayLike,
    covariance: ArrayLike,
    limits: ArrayLike,
    smoothing: float = 0.1,
) -> LinearEstimate:
    """Means over target depths with their covariance, by :func:`spline_weights`.

    Args:
        tops, bottoms, limits, smoothing: as in :func:`spline_weights`.
        values: ``(layer,)`` layer means of any property.
        covariance: ``(layer, layer)`` of their errors; a vector is taken as variances.
    """
    weights = spline_weights(tops, bottoms, limits, smoothing)
    errors = np.asarray(covariance, float)
    errors = np.diag(errors) if errors.ndim == 1 else errors
    return LinearEstimate(weights @ np.asarray(values, float), weights @ errors @ weights.T, weights)


def _spline_operators(top: Floats, bottom: Floats, smoothing: float) -> tuple[Floats, Floats]:
    """Operators ``(layer, layer)`` to the fitted layer means and ``(layer + 1, layer)`` to the knot slopes.

    Knot 0 is the top of the first layer and knot i the bottom of layer i; across a gap the slope is constant.
    """
    n, thickness, gap = top.size, bottom - top, top[1:] - bottom[:-1]
    if n == 1:
        return np.eye(1), np.zeros((2, 1))
    roughness = np.diag(2 * (thickness[:-1] + thickness[1:]) + 6 * gap)
    roughness += np.diag(thickness[1:-1], 1) + np.diag(thickness[1:-1], -1)
    difference = np.diff(np.eye(n), axis=0)
    inner = np.linalg.solve(roughness, difference)
    means = np.linalg.inv(np.eye(n) + 6 * n * smoothing * difference.T @ inner)
    return means, np.vstack([np.zeros(n), 6 * inner @ means, np.zeros(n)])


def _integral(depth: float, top: Floats, bottom: Floats, means: Floats, slopes: Floats) -> Floats:
    """Operator ``(layer,)`` to the integral of the spline from the first top down to one depth."""
    total = np.zeros(top.size)
    for layer, (upper, lower) in enumerate(zip(top, bottom, strict=True)):
        thickness = lower - upper
        curvature = (slopes[layer + 1] - slopes[layer]) / (2 * thickness)
        start = means[layer] - slopes[layer] * thickness / 2 - curvature * thickness**2 / 3
        part = np.clip(depth - upper, 0.0, thickness)
        total = total + start * part + slopes[layer] * part**2 / 2 + curvature * part**3 / 3
        if depth > lower and layer + 1 < top.size:
            part = min(depth, top[layer + 1]) - lower
            end = start + slopes[layer] * thickness + curvature * thickness**2
            total = total + end * part + slopes[layer + 1] * part**2 / 2
    return total


def fine_soil_mass(
    bulk_density: ArrayLike, coarse_fragments: ArrayLike, thickness: ArrayLike, basis: DensityBasis = "fine_earth"
) -> Floats:
    """Mass of fine soil (< 2 mm) of layers, Mg/ha.

    The stock of organic carbon is this mass times its mass fraction; multiplying a concentration of fine
    soil by the mass of the whole soil counts stones as soil (Poeplau, Vos & Don 2017, SOIL 3, 61-66, doi
    10.5194/soil-3-61-2017: 2-10 % too much on average, over 100 % above 30 vol % of stones).

    Args:
        bulk_density: Mg m-3 (= g cm-3), any shape.
        coarse_fragments: volume fraction of fragments > 2 mm in the whole soil, 0 <= v < 1.
        thickness: cm.
        basis: what the density is of: ``fine_earth`` mass of fine soil in the volume of fine soil,
            ``fine_per_total`` mass of fine soil in the whole volume ("adjusted for coarse fragments"),
            ``total`` mass of the whole soil in the whole volume, with stones of 2.65 Mg m-3.

    Raises:
        ValueError: coarse fragments outside [0, 1), stones heavier than the soil, an unknown basis.
    """
    density, stones, depth = (np.asarray(item, float) for item in (bulk_density, coarse_fragments, thickness))
    if (stones < 0).any() or (stones >= 1).any():
        worst = float(stones.max() if (stones >= 1).any() else stones.min())
        raise ValueError(f"coarse fragments must be a volume fraction from 0 to below 1, got {worst:g}")
    if basis == "fine_earth":
        fine = density * (1 - stones)
    elif basis == "fine_per_total":
        fine = density * np.ones_like(stones)
    elif basis == "total":
        fine = density - stones * ROCK_DENSITY
        if (fine <= 0).any():
            raise ValueError(
                "stones of 2.65 Mg m-3 would weigh more than the whole soil: check bulk density or its basis"
            )
    else:
        raise ValueError(f"the basis of bulk density must be fine_earth, fine_per_total or total, got '{basis}'")
    return fine * depth * 100.0


def organic_carbon(organic_matter: ArrayLike, factor: float = CARBON_FACTOR) -> Floats:
    """Organic carbon from organic matter, in the same mass unit.

    Args:
        organic_matter: mass fraction or percentage.
        factor: carbon in organic matter; 0.58 by convention, 0.50 to 0.58 in soils (Pribyl 2010, Geoderma
            156, 75-83, doi 10.1016/j.geoderma.2010.02.003).

    Raises:
        ValueError: a factor outside 0.4 to 0.72, the range Pribyl reports.
    """
    if not 0.4 <= factor <= 0.72:
        raise ValueError(f"carbon is 0.4 to 0.72 of organic matter, got {factor:g}")
    return np.asarray(organic_matter, float) * factor


def mass_weights(masses: ArrayLike, reference: ArrayLike, method: MassSpline = "cubic") -> Floats:
    """Weights that turn layer stocks into cumulative stocks at reference soil masses.

    Cumulative carbon is interpolated against cumulative mass through the origin and every layer's bottom,
    with a natural-ended cubic spline or straight lines (Wendt & Hauser 2013, Eur. J. Soil Sci. 64, 58-65, doi
    10.1111/ejss.12002; von Haden et al. 2020, Glob. Change Biol. 26, 3759-3770, doi 10.1111/gcb.15124).

    Args:
        masses: ``(..., layer)`` mass of mineral or fine soil of each layer from the surface down, Mg/ha.
        reference: ``(target,)`` or ``(..., target)`` cumulative masses, Mg/ha, at most the mass of the whole core.
        method: ``cubic`` or ``linear``.

    Returns:
        ``(..., target, layer)`` weights on layer stocks.

    Raises:
        ValueError: a mass that is not above zero, or a reference outside the core (nothing is extrapolated).
    """
    layer, target = np.asarray(masses, float), np.atleast_1d(np.asarray(reference, float))
    if not (layer > 0).all():
        raise ValueError(f"the soil mass of a layer must be above 0 Mg/ha, got {float(layer.min()):g}")
    bottom = np.cumsum(layer, axis=-1)
    whole = bottom[..., -1:]
    outside = ~((target > 0) & (target <= whole * (1 + 1e-9)))
    if outside.any():
        worst = tuple(np.argwhere(outside)[0])
        asked, held = (float(np.broadcast_to(item, outside.shape)[worst]) for item in (target, whole))
        raise ValueError(f"a reference soil mass of {asked:g} Mg/ha is outside the core, which holds {held:g} Mg/ha")
    if method not in ("cubic", "linear"):
        raise ValueError(f"the spline of equivalent soil mass is cubic or linear, got '{method}'")
    reached = (np.minimum(target, whole)[..., None] - (bottom - layer)[..., None, :]) / layer[..., None, :]
    straight = np.clip(reached, 0.0, 1.0)
    return straight if method == "linear" else straight + _bending(layer, reached)


def _bending(layer: Floats, reached: Floats) -> Floats:
    """What a natural cubic spline adds to straight lines, as weights on layer stocks.

    Args:
        layer: ``(..., layer)`` masses.
        reached: ``(..., target, layer)`` depth of the target below each layer's top in thicknesses of the layer.
    """
    count = layer.shape[-1]
    # Second derivatives at the knots; slopes of the straight lines are concentrations, stock over mass.
    matrix = np.zeros((*layer.shape[:-1], count - 1, count - 1))
    inner = np.arange(count - 1)
    matrix[..., inner, inner] = 2 * (layer[..., :-1] + layer[..., 1:])
    matrix[..., inner[1:], inner[:-1]] = matrix[..., inner[:-1], inner[1:]] = layer[..., 1:-1]
    slopes = 6 * np.diff(np.eye(count), axis=0) / layer[..., None, :]
    curvature = np.zeros((*layer.shape[:-1], count + 1, count))
    curvature[..., 1:-1, :] = np.linalg.solve(matrix, slopes) if count > 1 else 0.0
    own = np.clip((reached > 0).sum(axis=-1) - 1, 0, count - 1)  # the layer that a target lies in
    part = np.take_along_axis(reached, own[..., None], axis=-1)
    thickness = np.take_along_axis(layer, own, axis=-1)[..., None]
    upper, lower = (np.take_along_axis(curvature, (own + step)[..., None], axis=-2) for step in (0, 1))
    return thickness**2 / 6 * (((1 - part) ** 3 - (1 - part)) * upper + (part**3 - part) * lower)


def equivalent_mass_stock(
    masses: ArrayLike, stocks: ArrayLike, reference: ArrayLike, method: MassSpline = "cubic"
) -> Floats:
    """Cumulative stocks at reference soil masses, Mg/ha.

    Args:
        masses, reference, method: as in :func:`mass_weights`.
        stocks: ``(layer,)`` organic carbon of each layer, Mg/ha.
    """
    return mass_weights(masses, reference, method) @ np.asarray(stocks, float)
