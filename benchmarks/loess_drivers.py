"""The driver ranking of the paper's Table 3 with uncertain parameters: one ANOVA for each perturbed column.

Every set of parameters runs all 72 scenarios to year 10,000; eta squared of each driver is taken from its own
regression. Prints medians, 90 % intervals over the sets, and how often each driver comes in each place.

    python benchmarks/loess_drivers.py [sets] [seed]
"""

from __future__ import annotations

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from loess_anchor import design_matrix, moving_average
from loess_claims import ANCHORED
from loess_runs import ALL_RUNS, END, MECHANISMS, simulate

# Coefficient of variation of the lognormal factor on each number; our own judgement of what is not known.
SPREAD = {
    "production_factor": 0.15, "crop_input_factor": 0.15, "drainage": 0.25, "acidity": 0.5, "bioturbation": 0.4,
    "k_rpm": 0.15, "k_bio": 0.15, "k_hum": 0.15, "decay_depth": 0.3, "litter_incorporation": 0.5,
    "calcite_solubility": 0.2, "base_saturation_least": 0.3,
}  # fmt: skip
CENTRE = {
    "crop_input_factor": 1.225, "acidity": 0.042, "bioturbation": 11.9, "k_rpm": 0.3, "k_bio": 0.66, "k_hum": 0.02,
    "decay_depth": 300.0, "litter_incorporation": 0.1, "calcite_solubility": 0.2085, "base_saturation_least": 0.2,
}  # fmt: skip
STEP = 10
TERMS = {"protection": range(1, 6), "climate": (6,), "erosion": range(7, 10), "land use": (10,), "year": (11,)}


def draw(sets: int, seed: int) -> list[dict[str, float]]:
    """Perturbed parameters; one factor for both bioclimates where a number differs between them."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(sets):
        factor = {n: float(np.exp(np.sqrt(np.log1p(c**2)) * rng.standard_normal())) for n, c in SPREAD.items()}
        values = {n: v * factor[n] for n, v in CENTRE.items()}
        drawn.append(values | {n: v * factor[n.rsplit("_", 1)[0]] for n, v in ANCHORED.items()})
    return drawn


def squares(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal columns that each term adds beyond all others: type II, main effects only; shape (rows, 11)."""
    parts = []
    for columns in TERMS.values():
        others = np.delete(matrix, list(columns), axis=1)
        base = np.linalg.qr(others)[0]
        own = matrix[:, list(columns)]
        parts.append(np.linalg.qr(own - base @ (base.T @ own))[0])
    return np.concatenate(parts, axis=1)


def main(sets: int = 1000, seed: int = 1) -> None:
    """Run and print."""
    basis = squares(design_matrix()[0])
    term = np.repeat(np.arange(len(TERMS)), [len(columns) for columns in TERMS.values()])

    @jax.jit
    def stocks(parameters: dict[str, jax.Array]) -> jax.Array:
        rows = []
        for option in MECHANISMS.values():
            stock = simulate(option, ALL_RUNS, END, parameters, outputs=("soc",))["soc"]
            rows += [moving_average(stock[i], run.path)[STEP - 1 :: STEP] for i, run in enumerate(ALL_RUNS)]
        return jnp.concatenate(rows)

    found, began = [], time.perf_counter()
    for parameters in draw(sets, seed):
        response = np.asarray(stocks({n: jnp.asarray(v, jnp.float32) for n, v in parameters.items()}), float)
        explained = np.bincount(term, (basis.T @ response) ** 2)
        found.append(100.0 * explained / ((response - response.mean()) ** 2).sum())
    eta = np.asarray(found)
    place = np.argsort(np.argsort(-eta, axis=1), axis=1)
    report = {}
    for i, name in enumerate(TERMS):
        low, middle, high = np.percentile(eta[:, i], [5, 50, 95]).round(1).tolist()
        report[name] = {"median": middle, "90 %": [low, high],
                        "share of sets in each place": [round(float((place[:, i] == p).mean()), 2) for p in range(5)]}  # fmt: skip
    print(json.dumps({"sets": sets, "seconds": round(time.perf_counter() - began), "eta2 %": report}, indent=1))


if __name__ == "__main__":
    main(*(int(v) for v in sys.argv[1:]))
