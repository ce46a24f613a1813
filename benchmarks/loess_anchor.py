"""Anchor the column to the fitted half of the paper's claims: Gauss-Newton through 10,000 years.

Forward-mode derivatives of all 72 runs in eight numbers, a weak prior on each, steps of at most 0.6.
Prints every iteration. docs/papers/soilgen.md says what is fitted and was written first.

    python benchmarks/loess_anchor.py [iterations] ['{"acidity": 0.04}']
"""

from __future__ import annotations

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from loess_runs import ALL_RUNS, END, MECHANISMS, PATHS, PHASES, WINDOW, simulate

# First guess and prior standard deviation of the logarithm (of the logit for parts of a whole).
FREE = {
    "production_factor_dry": (0.71, 0.5),
    "production_factor_wet": (0.51, 0.5),
    "crop_input_factor": (1.2, 0.3),
    "drainage_dry": (80.0, 0.5),
    "acidity": (0.06, 1.0),
    "clay_1_1_share": (0.45, 0.5),
    "base_saturation_full": (0.85, 1.0),
    "crop_root_share": (0.5, 1.5),
}
SHARES = ("clay_1_1_share", "base_saturation_full", "crop_root_share")
FIXED = {"drainage_wet": 200.0}
# Fitted statistic: the paper's number, and the standard deviation it is fitted with.
TARGETS = {
    "intercept (19)": (110.2, 3.0),
    "wet (12)": (-34.8, 3.0),
    "agriculture (13)": (-21.5, 2.0),
    "E2 (15)": (-21.3, 4.0),
    "E3 (15)": (-49.7, 6.0),
    "clay effect % (3)": (12.0, 1.0),
    "aggregation early % (4)": (20.0, 1.0),
    "aggregation end % (6)": (8.0, 1.0),
    "aggregation less clay in year 5000, % (7)": (0.0, 1.0),
    "extensive / natural (10)": (0.80, 0.02),
    "largest dry subsoil deficit (22)": (-17.0, 3.0),
    "largest wet subsoil surplus (22)": (10.0, 3.0),
}
STEP = 10  # years between the rows of the regression


def transform(values: np.ndarray) -> np.ndarray:
    """Free numbers on the scale on which they are fitted."""
    return np.asarray([np.log(v / (1.0 - v)) if n in SHARES else np.log(v) for n, v in zip(FREE, values, strict=True)])


def back(scaled: jax.Array) -> dict[str, jax.Array]:
    """Free numbers by name from the scale on which they are fitted."""
    return {n: jax.nn.sigmoid(v) if n in SHARES else jnp.exp(v) for n, v in zip(FREE, scaled, strict=True)}


def design_matrix() -> tuple[np.ndarray, list[str]]:
    """Rows (mechanism, run, year) of the paper's regression, treatment coding, years END // STEP."""
    years = np.arange(STEP - 1, END, STEP)
    phase = np.searchsorted([stop for _, stop in PHASES], years, side="right")
    names = ["intercept", *"acmpx", "wet", "E1", "E2", "E3", "agriculture", "year"]
    rows = []
    for mechanism in MECHANISMS:
        for run in ALL_RUNS:
            farmed, levels = PATHS[run.path]
            erosion = np.asarray(levels)[phase]
            columns = [np.ones_like(years)]
            columns += [np.full_like(years, mechanism == m) for m in "acmpx"]
            columns += [np.full_like(years, run.climate == "wet")]
            columns += [erosion == level for level in ("E1", "E2", "E3")]
            columns += [farmed & (years >= 8000), years + 1]
            rows.append(np.stack([np.asarray(c, float) for c in columns], axis=-1))
    return np.concatenate(rows), names


def moving_average(stock: jax.Array, path: str) -> jax.Array:
    """:func:`loess_runs.smoothed` of one series, traceable."""
    summed = jnp.concatenate([jnp.zeros(1, stock.dtype), jnp.cumsum(stock)])
    parts = []
    for (start, stop), level in zip(PHASES[:3], PATHS[path][1], strict=False):
        end = np.arange(start, stop) + 1
        first = np.maximum(end - WINDOW[level], start)
        parts.append((summed[end] - summed[first]) / (end - first))
    return jnp.concatenate(parts)


def statistics(logs: jax.Array) -> jax.Array:
    """Value of every target, in the order of ``TARGETS``; differentiable."""
    parameters = {**back(logs), **FIXED}
    outputs = {m: simulate(option, ALL_RUNS, END, parameters) for m, option in MECHANISMS.items()}
    rows = [moving_average(outputs[m]["soc"][i], run.path)[STEP - 1 :: STEP]
            for m in MECHANISMS for i, run in enumerate(ALL_RUNS)]  # fmt: skip
    matrix, names = design_matrix()
    solver = jnp.asarray(np.linalg.pinv(matrix), rows[0].dtype)
    fitted = dict(zip(names, solver @ jnp.concatenate(rows), strict=True))

    def index(climate: str, path: str) -> int:
        return [(r.climate, r.path) for r in ALL_RUNS].index((climate, path))

    dry = index("dry", "natural E0")
    effect = {m: 100.0 * (outputs[m]["soc"][dry] / outputs["n"]["soc"][dry] - 1.0) for m in "ac"}

    def difference(climate: str, path: str) -> jax.Array:
        natural = "natural E0" if path == "farmed E0" else "natural E1"
        stock = outputs["x"]["soc_25_75"][:, END - 1]
        return stock[index(climate, path)] - stock[index(climate, natural)]

    farmed = outputs["n"]["soc"][index("dry", "farmed E0"), 9899] / outputs["n"]["soc"][dry, 9899]
    return jnp.stack([
        fitted["intercept"], fitted["wet"], fitted["agriculture"], fitted["E2"], fitted["E3"],
        effect["c"][7999], effect["a"][1499], effect["a"][7999], effect["a"][4999] - effect["c"][4999],
        farmed, difference("dry", "farmed E3"), difference("wet", "farmed E0"),
    ])  # fmt: skip


def fit(iterations: int, begin: dict[str, float]) -> dict[str, float]:
    """Damped Gauss-Newton; the prior stays at the first guess. Prints statistics and numbers of every iteration.

    Args:
        iterations: number of Jacobians.
        begin: where to start, by name; the first guess where a name is missing.
    """
    value_and_jacobian = jax.jit(lambda x: (statistics(x), jax.jacfwd(statistics)(x)))
    start = transform(np.asarray([guess for guess, _ in FREE.values()]))
    prior = 1.0 / np.asarray([spread for _, spread in FREE.values()])
    wanted, weight = (np.asarray(v) for v in zip(*((t, 1.0 / s) for t, s in TARGETS.values()), strict=True))
    logs = transform(np.asarray([begin.get(name, guess) for name, (guess, _) in FREE.items()]))
    best = (np.inf, logs)
    for iteration in range(iterations):
        began = time.perf_counter()
        values, slopes = (np.asarray(v) for v in value_and_jacobian(jnp.asarray(logs)))
        residual = np.concatenate([(values - wanted) * weight, (logs - start) * prior])
        cost = float(residual @ residual)
        best = min(best, (cost, logs.copy()), key=lambda pair: pair[0])
        shown = {name: round(float(v), 4) for name, v in back(jnp.asarray(logs)).items()}
        print(json.dumps({"iteration": iteration, "cost": round(cost, 2), "s": round(time.perf_counter() - began, 1),
                          "parameters": shown,
                          "values": dict(zip(TARGETS, np.round(values, 3).tolist(), strict=True))}), flush=True)  # fmt: skip
        system = np.concatenate([slopes * weight[:, None], np.diag(prior)])
        logs = logs + np.clip(-np.linalg.lstsq(system, residual, rcond=None)[0], -0.6, 0.6)
    return {name: float(v) for name, v in back(jnp.asarray(best[1])).items()}


if __name__ == "__main__":
    with jax.enable_x64(True):
        given = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
        print(json.dumps(fit(int(sys.argv[1]) if len(sys.argv) > 1 else 6, given)))
