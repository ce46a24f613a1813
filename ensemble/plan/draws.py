"""What each member draws at each site, on the host, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ensemble.design import ChosenDesign, Design, keep_inside, site_uniforms
from ensemble.inputs.copula import GaussianCopula
from ensemble.plan.scalars import ScalarDraw
from ensemble.plan.uncertainty import Uncertainty


def draw_members(
    uncertainty: Uncertainty, design: Design, seed: int, members: np.ndarray, sites: np.ndarray
) -> dict[str, np.ndarray]:
    """Numbers of these members at these sites.

    Args:
        uncertainty: what is uncertain.
        design: which member uses which draw.
        seed: the study's seed.
        members, sites: indices, shapes (m,) and (s,).

    Returns:
        By stream, in the order of the study, float64 in internal units, shape (m, 1) where all sites of a
        member share the number, else (m, s).
    """
    if isinstance(design, ChosenDesign):
        drawn = {scalar.label: _chosen(scalar, design, members, sites)[0] for scalar in uncertainty.scalars}
        for option in uncertainty.options:
            drawn[option.label] = design.codes(option.label, members)[:, None].astype(np.float64)
    else:
        drawn = _shared(uncertainty, design, members, sites) | _by_site(uncertainty, design, seed, members, sites)
    order = (*uncertainty.scalars, *uncertainty.options)
    return {entry.label: drawn[entry.label] for entry in order}


def moved_inside(uncertainty: Uncertainty, design: Design, sites: np.ndarray) -> dict[str, int]:
    """By stream, how many (member, site) values of a half-range design were moved to the edge of the support."""
    if not isinstance(design, ChosenDesign):
        return {}
    members = np.arange(design.members)
    counts = {s.label: int(_chosen(s, design, members, sites)[1].sum()) for s in uncertainty.scalars}
    return {label: count for label, count in counts.items() if count}


def _chosen(
    scalar: ScalarDraw, design: ChosenDesign, members: np.ndarray, sites: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Values that the design sets, and which of them were moved into the support."""
    base = np.broadcast_to(scalar.base, (max(len(np.atleast_1d(scalar.base)), 1),))
    base = base if len(base) == 1 else base[sites]
    values = design.values(scalar.label, members, base)
    if design.kind not in ("half_range", "corners"):
        return values, np.zeros(values.shape, dtype=bool)
    return keep_inside(values, scalar.support)


def _shared(uncertainty: Uncertainty, design: Design, members: np.ndarray, sites: np.ndarray) -> dict[str, np.ndarray]:
    """Draws that all sites of a member share, from the design's uniform numbers."""
    streams = list(uncertainty.shared_streams)
    uniforms = design.uniforms(streams, members)
    own = [scalar.label for scalar in uncertainty.scalars_per("member") if scalar.stream == scalar.label]
    columns = [streams.index(label) for label in own]
    uniforms[:, columns] = _dependent(uncertainty.copulas, "member", uniforms[:, columns])
    drawn = {
        scalar.label: scalar.values(uniforms[:, [streams.index(scalar.stream)]], sites)
        for scalar in uncertainty.scalars_per("member")
    }
    for option in uncertainty.options:
        assert option.distribution is not None  # only a design that sets values has none
        codes = option.distribution.codes(uniforms[:, [streams.index(option.label)]])
        drawn[option.label] = codes.astype(np.float64)
    return drawn


def _by_site(
    uncertainty: Uncertainty, design: Design, seed: int, members: np.ndarray, sites: np.ndarray
) -> dict[str, np.ndarray]:
    """Draws that differ by site, from counters."""
    scalars = uncertainty.scalars_per("site")
    if not scalars:
        return {}
    columns: list[np.ndarray] = []
    for scalar in scalars:
        index, alike = design.draw_index(scalar.label, members), uncertainty.fields.get(scalar.label)
        columns.append(
            site_uniforms(seed, scalar.label, index, sites) if alike is None else alike.uniforms(seed, index, sites)
        )
    if uncertainty.copulas and "site" in uncertainty.copulas:
        uniforms = np.stack(columns, axis=-1)
        dependent = _dependent(uncertainty.copulas, "site", uniforms.reshape(-1, len(scalars))).reshape(uniforms.shape)
        columns = list(np.moveaxis(dependent, -1, 0))
    return {scalar.label: scalar.values(column, sites) for scalar, column in zip(scalars, columns, strict=True)}


def _dependent(copulas: Mapping[str, GaussianCopula] | None, per: str, uniforms: np.ndarray) -> np.ndarray:
    copula = (copulas or {}).get(per)
    return uniforms if copula is None else copula.apply(uniforms)
