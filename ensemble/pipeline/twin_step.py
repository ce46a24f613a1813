"""What the journal says of a date: how it was forecast, what it taught, and what is known after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from ensemble.inference.assimilation.engine import Belief, Engine, Forecast
from ensemble.inference.assimilation.futures import LAYERS
from ensemble.inference.assimilation.particles import Step
from ensemble.twin.score import score_rows

# A pool whose probability of being below zero exceeds this is flagged.
FLAGGED = 1e-3


def step_record(
    engine: Engine, rows: pd.DataFrame, date: int, before: Belief, after: Belief, ahead: Forecast, forecast: Forecast,
    done: Step,
) -> dict[str, Any]:  # fmt: skip
    """Plain data about one date.

    Args:
        engine: of the twin.
        rows: measurements with ids, in the order of the engine's.
        date: number of the date.
        before, after: knowledge before and after it.
        ahead, forecast: forecasts made before and after it.
        done: what taking it in did.
    """
    own = np.flatnonzero(~ahead.rows["of_grid"].to_numpy(bool))
    mine = engine.rows_of(date)
    # measured rows keep their order in the forecast, which begins after the date before
    first = int((engine.problem.rows["time"].to_numpy(float) < engine.dates[date]).sum())
    order = np.flatnonzero(engine.problem.rows["time"].to_numpy(float) >= engine.dates[date])
    columns = own[np.searchsorted(order, mine)]
    assert len(own) == len(rows) - first
    scores = score_rows(list(rows["id"].iloc[mine]), rows.iloc[mine], ahead.layers[3][:, columns])
    nan_free = {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in done._asdict().items()}
    return {
        "scores": scores,
        "taken_in": nan_free,
        "parameters": _parameters(engine, before, after, forecast),
        "state": _state(engine, forecast),
        "errors": _errors(forecast),
    }


def _moments(belief: Belief) -> tuple[np.ndarray, np.ndarray]:
    weights = np.exp(belief.log_weights)
    mean = weights @ belief.scores
    return mean, np.sqrt(weights @ (belief.scores - mean) ** 2)


def _parameters(engine: Engine, before: Belief, after: Belief, forecast: Forecast) -> list[dict[str, Any]]:
    """Each coordinate: contraction from the prior, bits learnt at this date (Gaussian), and its value where it has one."""
    (m0, s0), (m1, s1) = _moments(before), _moments(after)
    s0, s1 = np.maximum(s0, 1e-12), np.maximum(s1, 1e-12)
    bits = (np.log(s0 / s1) + (s1**2 + (m1 - m0) ** 2) / (2.0 * s0**2) - 0.5) / np.log(2.0)
    found = []
    for k, name in enumerate(after.names):
        entry = {"name": name, "score": float(m1[k]), "contraction": float(1.0 - s1[k] ** 2), "bits": float(bits[k])}
        draws = forecast.parameters.get(name)
        if draws is not None and draws.ndim == 1:
            entry |= {"mean": float(draws.mean()), "sd": float(draws.std(ddof=1))}
            entry |= {f"q{100 * p:02.0f}": float(np.quantile(draws, p)) for p in (0.05, 0.5, 0.95)}
        found.append(entry)
    return found


def _state(engine: Engine, forecast: Forecast) -> list[dict[str, Any]]:
    """The pools today of every measured pair; the filter's state is not cut at zero, and what lies below is named."""
    if forecast.now is None or engine.problem.pools is None:
        return []
    mean, spread = forecast.now
    pairs = engine.system.problem.rows.drop_duplicates("pair").sort_values("pair")
    found = []
    places = list(zip(pairs["scenario"], pairs["site"], strict=True))
    for scenario, site in places:
        # an arm that branches off today was not measured itself: its state is that of the arm it continues
        pair = places.index((engine.settings.continues.get(scenario, scenario), site))
        for pool, name in enumerate(engine.problem.pools.names):
            m, s = mean[:, pair, pool], np.maximum(spread[:, pair, pool], 1e-12)
            below = float(norm.cdf(-m / s).mean())
            total = float(np.sqrt(m.var(ddof=1) + (s**2).mean()))
            found.append(
                {
                    "scenario": str(scenario), "site": str(site), "pool": name, "mean": float(m.mean()), "sd": total,
                    "below_zero": below, "flagged": below > FLAGGED,
                }
            )  # fmt: skip
    return found


def _errors(forecast: Forecast) -> list[dict[str, Any]]:
    """Standard deviation that each error adds at the last date of each pair's forecast, their sums, and the mean."""
    rows = forecast.rows.loc[forecast.rows["of_grid"].to_numpy(bool)]
    found = []
    for key, part in rows.groupby(["scenario", "site", "variable"], sort=False):
        times = part["time"].to_numpy(float)
        last = int(part.index[np.argmax(times)])
        here = forecast.layers[:, :, last]
        added = np.diff(here, axis=0, prepend=0.0)  # layers share their draws, so a difference is one error alone
        sds = {name: float(added[k].std(ddof=1)) for k, name in enumerate(LAYERS)}
        sds |= {"mean": float(here[2].mean()), "truth": float(here[2].std(ddof=1)), "total": float(here[3].std(ddof=1))}
        place = dict(zip(("scenario", "site", "variable"), map(str, key), strict=True))  # type: ignore[arg-type]
        found.append({**place, "time": float(times.max()), **sds})
    return found
