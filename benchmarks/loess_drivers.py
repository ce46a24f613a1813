"""The driver ranking of the paper's Table 3 with uncertain parameters: one ANOVA for each perturbed column.

Every set of parameters runs all 72 scenarios to year 10,000; eta squared of each driver is taken from its own
regression. Prints medians, 90 % intervals over the sets, and how often each driver comes in each place.

    python benchmarks/loess_drivers.py [sets] [seed]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from loess_anchor import design_matrix
from loess_claims import ANCHORED
from loess_runs import ALL_RUNS, END, MECHANISMS, columns, inputs_of, smoothed

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
# Sets whose runs are computed side by side.
AT_ONCE = 8
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
    for part in TERMS.values():
        others = np.delete(matrix, list(part), axis=1)
        base = np.linalg.qr(others)[0]
        own = matrix[:, list(part)]
        parts.append(np.linalg.qr(own - base @ (base.T @ own))[0])
    return np.concatenate(parts, axis=1)


def stocks_of(programs: Sequence[Callable[..., Any]], drawn: Sequence[dict[str, float]]) -> np.ndarray:
    """Smoothed stocks of the regression, shape (sets, rows); all runs of all sets are members of one program."""
    parameters = {name: np.repeat([one[name] for one in drawn], len(ALL_RUNS)).astype(np.float32) for name in drawn[0]}
    inputs = inputs_of(ALL_RUNS * len(drawn), END, parameters)
    rows = []
    for program in programs:
        stock = np.asarray(program(inputs)["soc"], float).reshape(len(drawn), len(ALL_RUNS), END)
        rows.append(
            [[smoothed(s, run.path)[STEP - 1 :: STEP] for s, run in zip(one, ALL_RUNS, strict=True)] for one in stock]
        )
    return np.concatenate([np.asarray(part).reshape(len(drawn), -1) for part in rows], axis=1)


def main(sets: int = 1000, seed: int = 1) -> None:
    """Run and print."""
    basis = squares(design_matrix()[0])
    term = np.repeat(np.arange(len(TERMS)), [len(part) for part in TERMS.values()])
    programs = [jax.jit(columns(option, ("soc",))) for option in MECHANISMS.values()]
    drawn, found, began = draw(sets, seed), [], time.perf_counter()
    for first in range(0, sets, AT_ONCE):
        for response in stocks_of(programs, drawn[first : first + AT_ONCE]):
            explained = np.bincount(term, (basis.T @ response) ** 2)
            found.append(100.0 * explained / ((response - response.mean()) ** 2).sum())
        print(f"{len(found)} of {sets} sets, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
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
