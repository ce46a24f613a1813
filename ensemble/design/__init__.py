"""The design: which members there are, and which draw of each uncertain input a member uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ensemble.design.base import Design
from ensemble.design.chosen import ChosenDesign, corners, factorial, half_range, keep_inside, sweep
from ensemble.design.counters import counter_uniforms, site_uniforms
from ensemble.design.points import sobol_points
from ensemble.design.sampled import REPLICATES, SampledDesign
from ensemble.design.single import SingleDesign

__all__ = [
    "REPLICATES",
    "ChosenDesign",
    "Design",
    "SampledDesign",
    "SingleDesign",
    "corners",
    "counter_uniforms",
    "factorial",
    "half_range",
    "keep_inside",
    "make_design",
    "site_uniforms",
    "sobol_points",
    "sweep",
]

KINDS = ("sobol", "latin_hypercube", "monte_carlo", "factorial", "sweep", "half_range")


def make_design(
    kind: str,
    members: int,
    seed: int,
    streams: Sequence[str],
    levels: Mapping[str, Any] | None = None,
    errors: Mapping[str, float] | None = None,
    replicates: int = REPLICATES,
) -> Design:
    """The design that a study asks for.

    Args:
        kind: one of :data:`KINDS`.
        members: members wanted; chosen designs make as many as their levels do.
        seed: the study's seed.
        streams: the scalar inputs that all sites of a member share, in a fixed order.
        levels: levels of each input, for ``factorial`` and ``sweep``.
        errors: one error of each input, for ``half_range``.
        replicates: independent randomisations of a drawn design, at least 16.

    Raises:
        ValueError: unknown kind, missing levels or errors, too many inputs for Sobol points.
    """
    if kind in ("sobol", "latin_hypercube", "monte_carlo"):
        return SampledDesign(kind, tuple(streams), members, seed, replicates)
    if kind in ("factorial", "sweep"):
        if not levels:
            raise ValueError(f"a {kind} design needs levels")
        return factorial(levels) if kind == "factorial" else sweep(levels)
    if kind == "half_range":
        if not errors:
            raise ValueError("a half_range design needs errors")
        return half_range(errors)
    raise ValueError(f"no design is called '{kind}'; allowed: {', '.join(KINDS)}")
