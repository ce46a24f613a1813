"""What a fit says in numbers: the posterior in ArviZ's schema, and one table of everything that was checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ensemble.inference.calibration.fit import Fit
from ensemble.inference.calibration.importance import power_sensitivity
from ensemble.inference.calibration.parameters import Parameter, common, new_group
from ensemble.inference.calibration.predictive import seen_rows
from ensemble.inputs.calendar import instant
from ensemble.summary.skill import crps
from ensemble.units import cf_units

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLER = {
    "diverging": "diverging", "energy": "energy", "num_steps": "n_steps", "accept_prob": "acceptance_rate",
}  # fmt: skip
TEXTS = ("scenario", "site", "variable")


def arviz_groups(fit: Fit) -> dict[str, xr.Dataset]:
    """Groups of ArviZ's schema: posterior, prior, sample_stats, posterior_predictive, log_likelihood, observed and
    constant data; all along ``chain`` and ``draw``, rows along ``observation``.
    """
    rows = fit.problem.rows
    training = seen_rows(fit.problem)
    every = {"observation": np.arange(len(rows))}
    texts = {name: ("observation", rows[name].astype(str).to_numpy()) for name in TEXTS}
    numbers = {name: ("observation", rows[name].to_numpy(float)) for name in ("time", "error")}
    held = {"held_out": ("observation", rows["held_out"].to_numpy(np.int8))}
    expected = {"value": (("chain", "draw", "observation"), fit.prior_replicated)}
    groups = {
        "prior_predictive": xr.Dataset(expected, {**_chains(fit.prior_replicated), **every}),
        "posterior": _draws(fit, fit.values),
        "prior": _draws(fit, fit.prior),
        "sample_stats": _statistics(fit),
        "posterior_predictive": _along(fit, {"value": fit.replicated, "model": fit.predicted}, every["observation"]),
        "log_likelihood": _along(fit, {"value": fit.log_likelihood}, training),
        "observed_data": xr.Dataset({"value": ("observation", rows["value"].to_numpy(float))}, every),
        "constant_data": xr.Dataset({**texts, **numbers, **held}, every),
    }
    note = {"inference_library": "numpyro", "modeling_interface": "ensemble"}
    return {name: data.assign_attrs(note) for name, data in groups.items()}


def _chains(array: np.ndarray) -> dict[str, np.ndarray]:
    return {"chain": np.arange(array.shape[0]), "draw": np.arange(array.shape[1])}


def _draws(fit: Fit, values: dict[str, np.ndarray]) -> xr.Dataset:
    """Draws by label; of a parameter that varies between groups, those of the groups, of what is common to them, and of
    a new group. A forecast reads the variables of kind ``input``: by site, or of a new group of any other kind.
    """
    parameters = fit.problem.parameters
    variables: dict[str, Any] = {}
    for entry in parameters.entries:
        attributes = {
            "units": cf_units(entry.units) if entry.kind == "input" else "1",
            "display_units": entry.units,
            "long_name": entry.long_name,
            "kind": entry.kind,
            "input": entry.input,
            "how": entry.how,
        }
        forecast = not entry.spread or entry.axis == "site"
        own = attributes if forecast else attributes | {"kind": "group"}
        variables[entry.label] = ("chain", "draw", *([entry.axis] if entry.axis else [])), values[entry.label], own
        if entry.spread:
            shared = attributes | {"kind": "common", "long_name": f"{entry.long_name}, common value"}
            variables[common(entry.label)] = ("chain", "draw"), values[common(entry.label)], shared
            new = attributes | {"long_name": f"{entry.long_name}, a new {entry.axis}"}
            new |= {"kind": "group"} if forecast else {}
            variables[new_group(entry.label)] = ("chain", "draw"), values[new_group(entry.label)], new
    chains = _chains(values[parameters.entries[0].label])
    return xr.Dataset(variables, {**chains, **{axis: list(names) for axis, names in parameters.groups.items()}})


def _statistics(fit: Fit) -> xr.Dataset:
    data = {new: (("chain", "draw"), fit.statistics[old]) for old, new in SAMPLER.items() if old in fit.statistics}
    data["lp"] = ("chain", "draw"), -fit.statistics["potential_energy"]
    return xr.Dataset(data, _chains(fit.scores))


def _along(fit: Fit, arrays: dict[str, np.ndarray], observation: np.ndarray) -> xr.Dataset:
    data = {name: (("chain", "draw", "observation"), array) for name, array in arrays.items()}
    return xr.Dataset(data, {**_chains(fit.scores), "observation": observation})


def checks(fit: Fit) -> xr.Dataset:
    """Everything that was checked, with attributes ``passed`` (1 or 0), ``problems`` and ``notes``."""
    scores = fit.scores.reshape(-1, fit.scores.shape[-1])
    data: dict[str, Any] = {}
    data |= _parameters(fit, scores)
    data |= _modes(fit)
    data |= _observations(fit)
    for name, left in fit.left_out.items():
        data[f"elpd_{name}"] = f"left_{name}", left.elpd
        data[f"pareto_k_{name}"] = f"left_{name}", left.k
    names = list(fit.problem.parameters.names)
    coordinates = {"parameter": names, "other": names, "quantile": list(LEVELS)}
    coordinates |= {f"left_{name}": list(left.names) for name, left in fit.left_out.items()}
    if fit.diagnostics is not None:
        data["bfmi"] = "chain", fit.diagnostics.bfmi
    attributes = {
        "passed": int(not fit.problems),
        "problems": list(fit.problems) or [""],
        "warnings": list(warnings_of(fit)) or [""],
        "notes": list(fit.problem.notes) or [""],
        "method": "nuts" if fit.diagnostics is not None else "laplace",
        "divergences": fit.diagnostics.divergences if fit.diagnostics is not None else 0,
        "approximation_k": fit.approximation_k if fit.approximation_k is not None else -1.0,
        "rows_independent": int(fit.problem.errors.rows(fit.problem.training).independent),
        "model_error": int(has_model_error(fit)),
    }
    return xr.Dataset(data, coordinates, attributes)


def has_model_error(fit: Fit) -> bool:
    """Whether the likelihood has an error of the model itself (along time, or on its pools)."""
    errors = fit.problem.errors
    return errors.walk is not None or errors.ar1 is not None or fit.problem.pool_noise is not None


def _parameters(fit: Fit, scores: np.ndarray) -> dict[str, Any]:
    parameters = fit.problem.parameters
    mixed = scores @ parameters.mixing.T
    values, prior = (
        np.concatenate([_flat(source, e) for e in parameters.entries], axis=1) for source in (fit.values, fit.prior)
    )
    found: dict[str, Any] = {
        "posterior_mean": ("parameter", values.mean(axis=0)),
        "posterior_sd": ("parameter", values.std(axis=0, ddof=1)),
        "posterior_quantile": (("quantile", "parameter"), np.quantile(values, LEVELS, axis=0)),
        "prior_quantile": (("quantile", "parameter"), np.quantile(prior, LEVELS, axis=0)),
        "contraction": ("parameter", 1.0 - mixed.var(axis=0, ddof=1)),
        "prior_sensitivity": ("parameter", power_sensitivity(scores, -0.5 * (scores**2).sum(axis=1))),
        "likelihood_sensitivity": ("parameter", power_sensitivity(scores, _log_likelihood(fit, scores))),
        "correlation": (("parameter", "other"), np.corrcoef(mixed.T)),
        "partial_correlation": (("parameter", "other"), partial_correlation(mixed)),
    }
    if fit.diagnostics is not None:
        for name in ("rhat", "ess_bulk", "ess_tail"):
            found[name] = "parameter", getattr(fit.diagnostics, name)[:-1]
    return found


def _flat(values: dict[str, np.ndarray], entry: Parameter) -> np.ndarray:
    """Draws (draws, coordinates) of a parameter; of one whose prior differs by site, at the first site."""
    draws = values[entry.label].reshape(-1, *values[entry.label].shape[2:])
    if entry.spread:
        return np.concatenate([values[common(entry.label)].reshape(-1, 1), draws], axis=1)
    if draws.ndim == 1:
        return draws[:, None]
    return draws if entry.count > 1 else draws[:, :1]


def _log_likelihood(fit: Fit, scores: np.ndarray) -> np.ndarray:
    lp = -fit.statistics["potential_energy"].ravel()
    return lp + 0.5 * (scores**2).sum(axis=1)


def partial_correlation(draws: np.ndarray) -> np.ndarray:
    """Correlation of each pair given all other parameters, from the precision of the draws (draws, size)."""
    precision = np.linalg.inv(np.cov(draws.T).reshape(draws.shape[1], -1))
    scale = np.sqrt(np.diag(precision))
    partial = -precision / np.outer(scale, scale)
    np.fill_diagonal(partial, 1.0)
    return partial


# Two parameters that the data hardly tell apart; and how much of the prior spread must be left of a direction.
_CLOSE, _FREE = 0.8, 0.9


def warnings_of(fit: Fit) -> tuple[str, ...]:
    """Several modes, pairs of parameters that the data cannot tell apart, and parameters that they say nothing of."""
    found = [fit.modes.warning] if fit.modes.warning else []
    names = fit.problem.parameters.names
    mixed = fit.scores.reshape(-1, len(names)) @ fit.problem.parameters.mixing.T
    plain, partial = np.corrcoef(mixed.T), partial_correlation(mixed)
    for i in range(len(names)):
        for j in range(i):
            strongest = max((plain[i, j], partial[i, j]), key=abs)
            if abs(strongest) >= _CLOSE:
                given = "" if strongest == plain[i, j] else ", given the others"
                found.append(
                    f"The data hardly tell {names[j]} and {names[i]} apart: their posterior correlation is "
                    f"{strongest:.2f}{given}; fix one of them, or measure one of them directly"
                )
    silent = [name for name, sd in zip(names, mixed.std(axis=0), strict=True) if sd**2 > _FREE]
    if silent:
        found.append(f"The data say hardly anything of {', '.join(silent)}: their posterior is the prior")
    return (*found, *_surprising(fit))


def _surprising(fit: Fit) -> tuple[str, ...]:
    """Measurements that no draw of the prior comes near: another unit or depth, or a prior that is too narrow."""
    rows, expected = fit.problem.rows, fit.prior_replicated[0]
    value = rows["value"].to_numpy(float)
    above = (value > expected.max(axis=0)) & ~fit.problem.errors.below  # a limit may well lie above all draws
    outside = np.flatnonzero((value < expected.min(axis=0)) | above)
    if not len(outside):
        return ()
    row = rows.iloc[outside[0]]
    low, high = expected[:, outside[0]].min(), expected[:, outside[0]].max()
    return (
        f"{len(outside)} of {len(rows)} measurements lie outside of all {len(expected)} draws of the prior, the first "
        f"{row['variable']} {row['value']:g} at {instant(row['time'])} (prior {low:.3g} to {high:.3g}): check unit, depth and prior",
    )


def _modes(fit: Fit) -> dict[str, Any]:
    return {
        "start_log_posterior": ("start", fit.modes.log_posterior),
        "start_gradient": ("start", fit.modes.gradient),
        "start_mode": ("start", fit.modes.mode),
    }


def _observations(fit: Fit) -> dict[str, Any]:
    """Each row with its bands and scores, and its own left-out density where rows are independent."""
    rows = fit.problem.rows
    replicated = fit.replicated.reshape(-1, len(rows))
    model = fit.predicted.reshape(-1, len(rows))
    value = rows["value"].to_numpy(float)
    below = (replicated < value).mean(axis=0)
    before = fit.prior_replicated[0]
    return {
        "scenario": ("observation", rows["scenario"].astype(str).to_numpy()),
        "site": ("observation", rows["site"].astype(str).to_numpy()),
        "variable": ("observation", rows["variable"].astype(str).to_numpy()),
        "time": ("observation", rows["time"].to_numpy(float)),
        "value": ("observation", value),
        "held_out": ("observation", rows["held_out"].to_numpy(np.int8)),
        "below_detection": ("observation", fit.problem.errors.below.astype(np.int8)),
        "model_quantile": (("quantile", "observation"), np.quantile(model, LEVELS, axis=0)),
        "predictive_quantile": (("quantile", "observation"), np.quantile(replicated, LEVELS, axis=0)),
        "predictive_mean": ("observation", replicated.mean(axis=0)),
        "rank": ("observation", below),
        "crps": ("observation", crps(replicated, value)),
        "prior_predictive_quantile": (("quantile", "observation"), np.quantile(before, LEVELS, axis=0)),
        "prior_rank": ("observation", (before < value).mean(axis=0)),
        "prior_crps": ("observation", crps(before, value)),
    }
