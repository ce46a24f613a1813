"""How a forecast stands against measurements: coverage, bias, error, CRPS, and the misfit in plain words.

Parameter bands hold what the ensemble says about the truth; predictive bands add the measurement error of an
observation and are what a measurement should be compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

# Central levels at which observations are counted.
LEVELS = (0.5, 0.9)
# Columns of rows that are differences between two scenarios: the scenario, and the one that was subtracted.
CONTRAST = ("arm", "reference")
# A misfit this improbable, if the stated uncertainty were right, is said to be one.
SUSPICIOUS = 0.05


def crps(members: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Fair continuous ranked probability score, in the unit of the observation; 0 is perfect.

    Mean distance of the members to the observation minus half the mean distance between two different members
    (Ferro 2014, doi 10.1002/qj.2270, eq. 5).

    Args:
        members: shape (m, n), m of 2 or more.
        observed: shape (n,).

    Raises:
        ValueError: fewer than two members.
    """
    count = len(members)
    if count < 2:
        raise ValueError(f"a CRPS of {count} member is not defined; allowed: 2 or more")
    ordered = np.sort(members.astype(np.float64), axis=0)
    weights = 2.0 * np.arange(1, count + 1) - count - 1.0  # sum over pairs of |x_i - x_j|, from sorted members
    between = weights @ ordered / (count * (count - 1.0))
    return np.abs(ordered - observed).mean(axis=0) - between


def at_observations(values: Any, observations: pd.DataFrame, scenarios: Any, sites: Any) -> np.ndarray:
    """Members of one output at each observation, shape (members, n).

    Args:
        values: shape (members, scenarios, sites) or (members, scenarios, sites, time).
        observations: rows of that output, with columns ``scenario``, ``site`` and ``record`` (index in time).
        scenarios, sites: names, in the order of the axes.
    """
    arms = pd.Index(scenarios).get_indexer(pd.Index(observations["scenario"]))
    places = pd.Index(sites).get_indexer(pd.Index(observations["site"]))
    records = observations["record"].to_numpy(int)
    rows = zip(arms, places, records, strict=True)
    columns = [values[:, a, p] if len(values.shape) == 3 else values[:, a, p, t] for a, p, t in rows]
    return np.stack([np.asarray(column) for column in columns], axis=1)


def observation_skill(observations: pd.DataFrame, simulated: np.ndarray, measured: np.ndarray) -> pd.DataFrame:
    """The table of observations with bands of the forecast beside each.

    Args:
        observations: n rows with at least ``value``; every column is kept.
        simulated: members without measurement error, shape (members, n).
        measured: members as they would be measured, shape (members, n).

    Returns:
        Added columns: ``mean``; ``parameter_low_50``, ``parameter_high_50``, ``predictive_low_50``, ... and the
        same for 90; ``inside_parameter_50``, ``inside_predictive_50``, ... ; ``residual`` (observed minus mean);
        ``crps`` of the predictive members.
    """
    table = observations.reset_index(drop=True).copy()
    value = table["value"].to_numpy(float)
    table["mean"] = simulated.mean(axis=0, dtype=np.float64)
    for kind, members in (("parameter", simulated), ("predictive", measured)):
        for level in LEVELS:
            low, high = _band(members, level)
            percent = f"{100 * level:.0f}"
            table[f"{kind}_low_{percent}"], table[f"{kind}_high_{percent}"] = low, high
            table[f"inside_{kind}_{percent}"] = (value >= low) & (value <= high)
    table["residual"] = value - table["mean"]
    table["crps"] = crps(measured, value)
    return table


def _band(members: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(members, [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0)
    return low, high


def group_skill(skill: pd.DataFrame, simulated: np.ndarray, measured: np.ndarray, by: list[str]) -> pd.DataFrame:
    """Coverage and errors of each group of observations.

    The two probabilities use the ensemble itself, so they allow for what the observations of a group share:
    each predictive member is taken for the truth once. ``chance_coverage`` is the share of members that would
    have as few values inside their 90 % predictive bands as were observed, ``chance_bias`` the share whose mean
    residual would be as large, on either side.

    Args:
        skill: result of :func:`observation_skill`.
        simulated, measured: as there, columns in the same order.
        by: columns that make a group, for instance ``["variable", "scenario", "site"]``.

    Returns:
        One row a group: the columns of ``by``, ``n``, ``inside_parameter_50``, ``inside_parameter_90``,
        ``inside_predictive_50``, ``inside_predictive_90`` (counts), ``bias`` (simulated minus observed),
        ``rmse``, ``crps``, ``mean_observed``, ``chance_coverage``, ``chance_bias`` and ``sentence``; ``arm`` and
        ``reference`` where ``skill`` has them (a reference that is not empty makes the rows differences).
    """
    rows = []
    for columns in skill.groupby(by, sort=False).indices.values():
        rest: pd.DataFrame = skill.iloc[columns]
        row: dict[str, Any] = {name: rest[name].iloc[0] for name in by} | {"n": len(rest)}
        for name in (f"inside_{kind}_{100 * level:.0f}" for kind in ("parameter", "predictive") for level in LEVELS):
            row[name] = int(rest[name].to_numpy().sum())
        residual = rest["residual"].to_numpy(float)
        row["bias"] = -float(residual.mean())
        row["rmse"] = float(np.sqrt((residual**2).mean()))
        row["crps"] = float(rest["crps"].to_numpy().mean())
        row["mean_observed"] = float(rest["value"].to_numpy().mean())
        row |= {name: rest[name].iloc[0] for name in CONTRAST if name in rest}
        row |= _chances(rest, simulated[:, columns], measured[:, columns])
        row["sentence"] = misfit_sentence(row)
        rows.append(row)
    return pd.DataFrame(rows)


def _chances(rows: pd.DataFrame, simulated: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    low, high = rows["predictive_low_90"].to_numpy(), rows["predictive_high_90"].to_numpy()
    inside = ((measured >= low) & (measured <= high)).sum(axis=1)
    residual = (measured - rows["mean"].to_numpy()).mean(axis=1)
    as_large = np.abs(residual) >= abs(rows["residual"].to_numpy(float).mean())
    observed = rows["inside_predictive_90"].to_numpy().sum()
    return {
        "chance_coverage": float((inside <= observed).mean()),
        "chance_bias": float(as_large.mean()),
    }


def misfit_sentence(group: dict[str, Any]) -> str:
    """What a row of :func:`group_skill` says, for a reader who wants no jargon."""
    n, inside, bias = group["n"], group["inside_predictive_90"], group["bias"]
    side = "too high" if bias > 0 else "too low"
    share = 100.0 * abs(bias) / abs(group["mean_observed"]) if group["mean_observed"] else float("nan")
    what = "differences" if group.get("reference") else "observations"
    text = f"{inside} of {n} {what} lie inside the 90 % predictive band; the mean forecast is {share:.0f} % {side}."
    chance = 2.0 * min(group["chance_coverage"], group["chance_bias"])  # two looks at the same data (Bonferroni)
    if chance >= SUSPICIOUS:
        return text + " This is within what the stated uncertainty allows."
    return text + (
        f" This is a misfit: if the stated uncertainty were right, it would happen in {_percent(chance)} of cases,"
        " so the model or its inputs lack something here."
    )


def _percent(share: float) -> str:
    return "fewer than 0.1 %" if share < 1e-3 else f"{100 * share:.1f} %"
