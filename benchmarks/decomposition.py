"""Variance decomposition of 100 yearly outputs: this package beside SALib, in one interleaved run.

    python benchmarks/decomposition.py [--rows 16384] [--outputs 100] [--rounds 2]

Ten inputs of Sobol's g-function whose weights drift over the years. Every tool gets its own process in
every round, so that peak memory is its own; both hold all outputs of all members. SALib analyses one output
at a time with 100 bootstrap resamples (its default); here all outputs are analysed at once, with intervals
from 16 scrambles, and once more with the cross-fitted surrogate and its audit.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

INPUTS = 10
WEIGHTS = np.array([0.0, 0.5, 1.0, 2.0, 4.5, 9.0, 20.0, 99.0, 99.0, 99.0])


def model(u, outputs):
    """The g-function of every year (n, outputs), computed in blocks of rows."""
    y = np.empty((len(u), outputs))
    years = np.linspace(0.0, 1.0, outputs)
    for part in np.array_split(np.arange(len(u)), len(u) // 8192 + 1):
        y[part] = 1.0
        for j in range(INPUTS):
            weight = WEIGHTS[j] * (1.0 - years) + WEIGHTS[::-1][j] * years
            y[part] *= (np.abs(4.0 * u[part, j] - 2.0)[:, None] + weight) / (1.0 + weight)
    return y


def exact(outputs):
    years = np.linspace(0.0, 1.0, outputs)
    weight = WEIGHTS[:, None] * (1.0 - years) + WEIGHTS[::-1, None] * years
    part = 1.0 / (3.0 * (1.0 + weight) ** 2)
    whole = np.prod(1.0 + part, axis=0)
    return np.concatenate([part, part * whole / (1.0 + part)]) / (whole - 1.0)


def with_ensemble(rows, outputs, surrogate):
    from ensemble.design.pick_freeze import pick_freeze
    from ensemble.inference.decomposition import decompose

    start = time.perf_counter()
    design = pick_freeze([f"x{j}" for j in range(INPUTS)], rows, 1)
    u = design.uniforms(design.inputs, np.arange(design.members))
    sampled = time.perf_counter()
    y = model(u, outputs)
    del u
    modelled = time.perf_counter()
    found = decompose(design, y, ("legendre",) * INPUTS if surrogate else None)
    done = time.perf_counter()
    value, width = found.best.each.value, found.best.each.half_width
    return (sampled - start, modelled - sampled, done - modelled), value, width


def with_salib(rows, outputs):
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    problem = {"num_vars": INPUTS, "names": [f"x{j}" for j in range(INPUTS)], "bounds": [[0.0, 1.0]] * INPUTS}
    start = time.perf_counter()
    u = sample.sample(problem, rows, calc_second_order=False, seed=1)
    sampled = time.perf_counter()
    y = model(u, outputs)
    modelled = time.perf_counter()
    results = [analyze.analyze(problem, y[:, k], calc_second_order=False, seed=1) for k in range(outputs)]
    done = time.perf_counter()
    value = np.concatenate([np.stack([r[key] for r in results], axis=1) for key in ("S1", "ST")])
    width = np.concatenate([np.stack([r[key] for r in results], axis=1) for key in ("S1_conf", "ST_conf")])
    return (sampled - start, modelled - sampled, done - modelled), value, width


TOOLS = {
    "SALib": with_salib,
    "ensemble, pick-freeze": lambda rows, outputs: with_ensemble(rows, outputs, False),
    "ensemble, surrogate and audit": lambda rows, outputs: with_ensemble(rows, outputs, True),
}


def worker(tool, rows, outputs):
    times, value, width = TOOLS[tool](rows, outputs)
    error = value - exact(outputs)
    print(
        json.dumps(
            {
                "sample": times[0],
                "model": times[1],
                "analyse": times[2],
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
                "rmse": float(np.sqrt((error**2).mean())),
                "inside": float((np.abs(error) <= width).mean()),
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2**14)
    parser.add_argument("--outputs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--worker", choices=TOOLS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.rows, given.outputs)
        return
    found = {tool: [] for tool in TOOLS}
    for _ in range(given.rounds):
        for tool, results in found.items():
            command = [
                sys.executable,
                __file__,
                "--worker",
                tool,
                "--rows",
                str(given.rows),
                "--outputs",
                str(given.outputs),
            ]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            results.append(json.loads(answer.stdout.strip().splitlines()[-1]))
    print(
        f"{INPUTS} inputs, {given.rows} rows of {INPUTS + 2} members, {given.outputs} outputs, medians of {given.rounds} rounds"
    )
    print(
        f"{'tool':32}{'sample s':>10}{'model s':>10}{'analyse s':>11}{'peak MB':>9}{'RMSE':>10}{'in 95 %':>9}{'faster':>8}"
    )
    middle = {
        tool: {key: float(np.median([r[key] for r in results])) for key in results[0]}
        for tool, results in found.items()
    }
    for tool, row in middle.items():
        faster = middle["SALib"]["analyse"] / row["analyse"]
        print(
            f"{tool:32}{row['sample']:10.2f}{row['model']:10.2f}{row['analyse']:11.2f}{row['memory']:9.0f}"
            f"{row['rmse']:10.1e}{row['inside']:9.2f}{faster:7.0f}x"
        )


if __name__ == "__main__":
    main()
