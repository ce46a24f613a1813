"""The free parameters of a calibration as one vector of standard normal scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.config.calibration import Calibrate, Spread
from ensemble.inference.calibration.score_map import ScoreMap, score_map
from ensemble.inputs.distributions import Distribution, make_distribution
from ensemble.plan import Plan

POSITIVE = (0.0, np.inf)


@dataclass(frozen=True)
class Parameter:
    """One free parameter, or one a site.

    Args:
        label: name in the posterior.
        count: scores it takes: 1, or one a site.
        by_site: whether its value has a site axis.
        law: prior distribution in the unit it is written in.
        value: from its scores, () or (sites,), to values in internal units.
        units, long_name: for the store.
        kind: ``input`` for an entry of `uncertain`, ``error`` for a spread of the likelihood.
        input, how: the input it acts on, and whether it replaces, is added to, or multiplies it.
    """

    label: str
    count: int
    by_site: bool
    law: Distribution
    value: ScoreMap
    units: str
    long_name: str
    kind: str = "input"
    input: str = ""
    how: str = "value"


@dataclass(frozen=True)
class Parameters:
    """All free parameters, their order in the vector, and the correlation of their priors.

    Args:
        entries: the parameters in order.
        sites: names of the sites that have observations.
        mixing: factor of the prior correlation of the scores, (size, size); the identity where independent.
    """

    entries: tuple[Parameter, ...]
    sites: tuple[str, ...]
    mixing: np.ndarray

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(entry.count for entry in self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every coordinate, ``label`` or ``label[site]``."""
        names: list[str] = []
        for entry in self.entries:
            names += [f"{entry.label}[{site}]" for site in self.sites] if entry.count > 1 else [entry.label]
        return tuple(names)

    def offset(self, label: str) -> int:
        """Place of a parameter's first score in the vector."""
        labels = [entry.label for entry in self.entries]
        return sum(entry.count for entry in self.entries[: labels.index(label)])

    def values(self, scores: jax.Array) -> dict[str, jax.Array]:
        """Values in internal units by label, () or (sites,), from independent scores of shape (size,)."""
        if not np.array_equal(self.mixing, np.eye(self.size)):
            scores = jnp.asarray(self.mixing) @ scores
        values, start = {}, 0
        for entry in self.entries:
            part = scores[start : start + entry.count]
            values[entry.label] = entry.value(part if entry.count > 1 else part[0])
            start += entry.count
        return values


def make_parameters(plan: Plan, settings: Calibrate, sites: Sequence[int]) -> Parameters:
    """Every entry of `uncertain` that is a number, and every spread of the likelihood that has a prior.

    Args:
        plan: the study.
        settings: its key `calibrate`.
        sites: numbers of the sites that have observations.

    Raises:
        InputError: an uncertain option, or a prior without density.
    """
    for option in plan.uncertainty.options:
        text = "a calibration cannot draw an option; calibrate once for each of its values"
        raise plan.study.error(("uncertain", option.label), text)
    entries = [_input(plan, scalar, np.asarray(sites)) for scalar in plan.uncertainty.scalars]
    entries += [
        _spread(plan, ("calibrate", *key), label, spread, units, text)
        for label, (key, spread, units, text) in spreads(settings).items()
        if isinstance(spread, Mapping)
    ]
    names = tuple(plan.sites[site] for site in sites)
    bare = Parameters(tuple(entries), names, np.empty(0))
    return Parameters(bare.entries, names, _mixing(plan, bare))


def spreads(settings: Calibrate) -> dict[str, tuple[tuple[str, ...], Spread, str, str]]:
    """Every standard deviation of the likelihood by its label: key in `calibrate`, value, unit, meaning."""
    found: dict[str, tuple[tuple[str, ...], Spread, str, str]] = {}
    if settings.error_scale is not None:
        found["error_scale"] = ("error_scale",), settings.error_scale, "1", "factor on the stated errors"
    for name, source in settings.errors.items():
        which = "relative" if source.relative is not None else "absolute"
        spread = source.relative if source.relative is not None else source.absolute
        assert spread is not None
        units = "1" if which == "relative" else "unit of the output"
        found[f"error_{name}"] = ("errors", name, which), spread, units, f"standard deviation of the error '{name}'"
    model = settings.model_error
    if model is not None:
        found["model_error"] = (
            ("model_error", "sd"),
            model.sd,
            "1",
            f"standard deviation of the model error ({model.kind})",
        )
        if model.timescale is not None:
            text = "correlation time of the model error"
            found["model_error_timescale"] = ("model_error", "timescale"), model.timescale, "yr", text
    return found


def _input(plan: Plan, scalar: Any, sites: np.ndarray) -> Parameter:
    law = scalar.distribution
    if law is None:
        text = f"a {plan.study.record.design.type} design sets inputs and draws none; a calibration needs distributions"
        raise plan.study.error(("design",), text)
    law = law.at(sites) if law.shape else law
    at = _score_map(plan, ("uncertain", scalar.label), law)
    spec = {**plan.bound.specs, **plan.bound.derived_specs}[scalar.input]
    by_site = scalar.per == "site" or bool(law.shape)
    count = len(sites) if scalar.per == "site" else 1
    units = "1" if scalar.how == "factor" else spec.units
    what = {"value": "", "offset": "offset of ", "factor": "factor on "}[scalar.how] + spec.long_name

    def value(z: jax.Array) -> jax.Array:
        return at(jnp.broadcast_to(z, law.shape) if law.shape else z) * scalar.factor + scalar.offset

    return Parameter(scalar.label, count, by_site, law, value, units, what, "input", scalar.input, scalar.how)


def _spread(
    plan: Plan, key: tuple[str, ...], label: str, spread: Mapping[str, Any], units: str, text: str
) -> Parameter:
    try:
        law = make_distribution(spread, POSITIVE)
    except ValueError as error:
        raise plan.study.error(key, str(error)) from None
    return Parameter(label, 1, False, law, _score_map(plan, key, law), units, text, "error")


def _score_map(plan: Plan, key: tuple[str, ...], law: Distribution) -> Callable[[jax.Array], jax.Array]:
    try:
        return score_map(law)
    except ValueError as error:
        raise plan.study.error(key, str(error)) from None


def _mixing(plan: Plan, parameters: Parameters) -> np.ndarray:
    mixing = np.eye(parameters.size)
    counts = {entry.label: entry.count for entry in parameters.entries}
    for copula in (plan.uncertainty.copulas or {}).values():
        factor = np.linalg.cholesky(copula.correlation)
        starts = [parameters.offset(name) for name in copula.names]
        for site in range(max(counts[name] for name in copula.names)):
            places = [start + site for start in starts]
            mixing[np.ix_(places, places)] = factor
    return mixing
