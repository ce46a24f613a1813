"""The free parameters of a calibration as one vector of standard normal scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ensemble.config.calibration import Calibrate, Spread
from ensemble.inference.calibration.score_map import ScoreMap, score_map
from ensemble.inputs.distributions import Distribution, make_distribution
from ensemble.plan import Plan

POSITIVE = (0.0, np.inf)


@dataclass(frozen=True)
class Parameter:
    """One free parameter, one a site, or one that varies between groups.

    Args:
        label: name in the posterior.
        count: scores it takes: 1, or one a site; or 1 and one a group.
        axis: axis of its value: empty, ``site``, or the column whose values are the groups.
        law: prior distribution in the unit it is written in.
        value: from its scores, () or (groups,), to values in internal units.
        units, long_name: for the store.
        kind: ``input`` for an entry of `uncertain`, ``error`` for a spread of the likelihood, ``spread`` of groups.
        input, how: the input it acts on, and whether it replaces, is added to, or multiplies it.
        spread: label of the standard deviation between its groups, in scores; empty where it does not vary.
    """

    label: str
    count: int
    axis: str
    law: Distribution
    value: ScoreMap
    units: str
    long_name: str
    kind: str = "input"
    input: str = ""
    how: str = "value"
    spread: str = ""


def common(label: str) -> str:
    """Name of the value around which the groups of a parameter vary."""
    return f"{label}_common"


def new_group(label: str) -> str:
    """Name of a parameter's value in a group that was not among those calibrated."""
    return f"{label}_new"


@dataclass(frozen=True)
class Parameters:
    """All free parameters, their order in the vector, and the correlation of their priors.

    Args:
        entries: the parameters in order.
        groups: names of the groups along each axis; ``site`` among them.
        members: group of each pair of scenario and site along each axis, (pairs,) each.
        mixing: factor of the prior correlation of the scores, (size, size); the identity where independent.
            It may be traced.
    """

    entries: tuple[Parameter, ...]
    groups: Mapping[str, tuple[str, ...]]
    members: Mapping[str, np.ndarray]
    mixing: Any

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(entry.count for entry in self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every coordinate: ``label``, or ``label[group]`` (of one that varies, its deviation)."""
        names: list[str] = []
        for entry in self.entries:
            names += [entry.label] if entry.spread or entry.count == 1 else []
            names += [f"{entry.label}[{group}]" for group in self.groups[entry.axis]] if entry.count > 1 else []
        return tuple(names)

    def offset(self, label: str) -> int:
        """Place of a parameter's first score in the vector."""
        labels = [entry.label for entry in self.entries]
        return sum(entry.count for entry in self.entries[: labels.index(label)])

    def values(self, scores: jax.Array) -> dict[str, jax.Array]:
        """Values in internal units by label, () or (groups,), from independent scores of shape (size,).

        A parameter that varies has the value ``Q(z + t u)`` in a group, with the quantile function Q of its prior, a
        common score z, the spread t and a deviation u of the group, all standard normal a priori (not centred); and
        ``Q(z)`` as :func:`common`.
        """
        if not (isinstance(self.mixing, np.ndarray) and np.array_equal(self.mixing, np.eye(self.size))):
            scores = jnp.asarray(self.mixing) @ scores
        parts = {entry.label: scores[self.offset(entry.label) :][: entry.count] for entry in self.entries}
        values = {
            entry.label: entry.value(parts[entry.label] if entry.count > 1 else parts[entry.label][0])
            for entry in self.entries
            if not entry.spread
        }
        for entry in self.varied:
            part = parts[entry.label]
            values[common(entry.label)] = entry.value(part[0])
            values[entry.label] = entry.value(part[0] + values[entry.spread] * part[1:])
        return values

    @property
    def varied(self) -> tuple[Parameter, ...]:
        """The parameters that vary between groups."""
        return tuple(entry for entry in self.entries if entry.spread)

    def in_new_groups(self, scores: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        """Value of each parameter that varies in a group that was not calibrated: one draw, by :func:`new_group`."""
        values, mixed = self.values(scores), jnp.asarray(self.mixing) @ scores
        deviations = jax.random.normal(key, (len(self.varied),))
        return {
            new_group(entry.label): entry.value(mixed[self.offset(entry.label)] + values[entry.spread] * deviation)
            for entry, deviation in zip(self.varied, deviations, strict=True)
        }

    def by_pair(self, values: Mapping[str, jax.Array], labels: Iterable[str]) -> dict[str, jax.Array]:
        """Some values for every pair: (pairs,) where they differ, else ()."""
        axes = {entry.label: entry.axis for entry in self.entries}
        return {name: values[name][self.members[axes[name]]] if axes[name] else values[name] for name in labels}


def make_parameters(plan: Plan, settings: Calibrate, rows: pd.DataFrame) -> Parameters:
    """Every entry of `uncertain` that is a number, and every spread that has a prior.

    Args:
        plan: the study.
        settings: its key `calibrate`.
        rows: observations, with the number of their ``pair`` of scenario and site.

    Raises:
        InputError: nothing is free, an uncertain option, a prior without density, or groups that cannot be.
    """
    for option in plan.uncertainty.options:
        text = "a calibration cannot draw an option; calibrate once for each of its values"
        raise plan.study.error(("uncertain", option.label), text)
    for label in set(settings.vary) - {scalar.label for scalar in plan.uncertainty.scalars}:
        names = ", ".join(scalar.label for scalar in plan.uncertainty.scalars)
        raise plan.study.error(
            ("calibrate", "vary", label), f"there is no such number under uncertain; allowed: {names}"
        )
    groups, members = _groups(plan, settings, rows)
    sites = np.array([plan.sites.index(site) for site in groups["site"]])
    entries = [_input(plan, settings, scalar, sites, groups) for scalar in plan.uncertainty.scalars]
    entries += [
        _spread(plan, ("calibrate", *key), label, spread, units, text)
        for label, (key, spread, units, text) in spreads(settings).items()
        if isinstance(spread, Mapping) or key[0] == "vary"
    ]
    if not entries:
        raise plan.study.error(("calibrate",), "nothing is free: give the numbers to calibrate under uncertain")
    bare = Parameters(tuple(entries), groups, members, np.empty(0))
    return replace(bare, mixing=_mixing(plan, bare))


def _groups(
    plan: Plan, settings: Calibrate, rows: pd.DataFrame
) -> tuple[dict[str, tuple[str, ...]], dict[str, np.ndarray]]:
    """Groups of every axis, and which of them each pair belongs to."""
    pairs = rows.drop_duplicates("pair").sort_values("pair")
    groups = {"site": tuple(site for site in plan.sites if site in set(pairs["site"]))}
    for label, entry in settings.vary.items():
        key, axis = ("calibrate", "vary", label, "by"), entry.by
        if axis not in rows:
            raise plan.study.error(key, f"the observations have no column '{axis}'; allowed: {', '.join(rows.columns)}")
        if np.any(rows.groupby("pair")[axis].nunique(dropna=False).to_numpy() > 1):
            text = f"'{axis}' differs between rows of one scenario and site, which have one model run"
            raise plan.study.error(key, text)
        if axis != "site":
            groups[axis] = tuple(dict.fromkeys(pairs[axis].astype(str)))
    members = {a: np.array([names.index(str(name)) for name in pairs[a]]) for a, names in groups.items()}
    return groups, members


def refuse_lone_groups(plan: Plan, settings: Calibrate, parameters: Parameters) -> None:
    """Refuse what varies between groups of which there is one: a calibration would learn nothing of the spread.

    A twin does not ask this: others may be measured later.

    Raises:
        InputError: an entry of ``vary`` has one group alone.
    """
    for label, entry in settings.vary.items():
        if len(parameters.groups[entry.by]) < 2:
            text = f"there is one {entry.by} alone, so nothing can vary between them"
            raise plan.study.error(("calibrate", "vary", label, "by"), text)


def spreads(settings: Calibrate) -> dict[str, tuple[tuple[str, ...], Spread, str, str]]:
    """Every standard deviation of the likelihood by its label: key in `calibrate`, value, unit, meaning."""
    found: dict[str, tuple[tuple[str, ...], Spread, str, str]] = {}
    if settings.error_scale is not None:
        found["error_scale"] = ("error_scale",), settings.error_scale, "1", "factor on the stated errors"
    for name, source in settings.errors.items():
        which = "relative" if source.relative is not None else "absolute"
        spread = source.relative if source.relative is not None else source.absolute
        if spread is None:  # as large as the table says
            continue
        units = "1" if which == "relative" else "unit of the output"
        found[f"error_{name}"] = ("errors", name, which), spread, units, f"standard deviation of the error '{name}'"
    for name, vary in settings.vary.items():
        text = f"standard deviation of {name} between groups, in standard deviations of its prior"
        found[f"{name}_spread"] = ("vary", name, "spread"), vary.spread, "1", text
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


def _input(
    plan: Plan, settings: Calibrate, scalar: Any, sites: np.ndarray, groups: Mapping[str, tuple[str, ...]]
) -> Parameter:
    law = scalar.distribution
    if law is None:
        text = f"a {plan.study.record.design.type} design sets inputs and draws none; a calibration needs distributions"
        raise plan.study.error(("design",), text)
    law, vary = law.at(sites) if law.shape else law, settings.vary.get(scalar.label)
    if vary is not None and (scalar.per == "site" or law.shape):
        text = "it differs between sites already, with the stated distribution; use per: member"
        raise plan.study.error(("calibrate", "vary", scalar.label), text)
    at = _score_map(plan, ("uncertain", scalar.label), law)
    spec = {**plan.bound.specs, **plan.bound.derived_specs}[scalar.input]
    axis = vary.by if vary else "site" if scalar.per == "site" or law.shape else ""
    count = 1 + len(groups[axis]) if vary else len(sites) if scalar.per == "site" else 1
    units = "1" if scalar.how == "factor" else spec.units
    what = {"value": "", "offset": "offset of ", "factor": "factor on "}[scalar.how] + spec.long_name

    def value(z: jax.Array) -> jax.Array:
        return at(jnp.broadcast_to(z, law.shape) if law.shape else z) * scalar.factor + scalar.offset

    spread = f"{scalar.label}_spread" if vary else ""
    return Parameter(scalar.label, count, axis, law, value, units, what, "input", scalar.input, scalar.how, spread)


def _spread(plan: Plan, key: tuple[str, ...], label: str, spread: Spread, units: str, text: str) -> Parameter:
    if not isinstance(spread, Mapping):
        raise plan.study.error(key, "a spread that is learnt needs a distribution; for a known one use per: site")
    try:
        law = make_distribution(spread, POSITIVE)
    except ValueError as error:
        raise plan.study.error(key, str(error)) from None
    kind = "spread" if key[1] == "vary" else "error"
    return Parameter(label, 1, "", law, _score_map(plan, key, law), units, text, kind)


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
        varied = {entry.label for entry in parameters.varied}  # of one that varies, the common score
        for site in range(max(1 if name in varied else counts[name] for name in copula.names)):
            places = [start + site for start in starts]
            mixing[np.ix_(places, places)] = factor
    return mixing
