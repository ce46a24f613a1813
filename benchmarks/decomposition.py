"""Variance decomposition of 100 yearly outputs: this package beside SALib, in one interleaved run.

    python benchmarks/decomposition.py [--rows 16384] [--outputs 100] [--rounds 2] [--salib-outputs 100]

Ten inputs of Sobol's g-function whose weights drift over the years. Every tool gets its own process in
every round, so that peak memory is its own, and one thread. SALib holds the outputs of all members and analyses one
output at a time with 100 bootstrap resamples (its default). Here the outputs lie in a file and are read a block of
rows at a time, all of them are analysed at once, with intervals from 16 scrambles, and once more with the cross-fitted
surrogate and its audit. What the imports alone need is shown beside the peak. With --salib-outputs 10
SALib, whose time is proportional to the outputs, analyses every tenth and its time is multiplied by ten.
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

INPUTS = 10
PART = 12288
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
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


class OnDisk:
    """Outputs (members, columns) in a file, read in slices of members, as a study reads them from its store."""

    dtype = np.dtype(np.float64)

    def __init__(self, file, shape):
        self.file, self.shape = file, shape

    def __getitem__(self, members):
        start, stop, _ = members.indices(self.shape[0])
        size = self.shape[1]
        part = np.fromfile(self.file, self.dtype, (stop - start) * size, offset=start * size * self.dtype.itemsize)
        return part.reshape(-1, size)


def with_ensemble(rows, outputs, surrogate):
    from ensemble.design.pick_freeze import pick_freeze
    from ensemble.inference.decomposition import decompose

    design = pick_freeze([f"x{j}" for j in range(INPUTS)], rows, 1)
    sampled = modelled = 0.0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outputs"
        with file.open("wb") as handle:
            for first in range(0, design.members, PART):
                start = time.perf_counter()
                u = design.uniforms(design.inputs, np.arange(first, min(first + PART, design.members)))
                middle = time.perf_counter()
                model(u, outputs).tofile(handle)
                sampled, modelled = sampled + middle - start, modelled + time.perf_counter() - middle
        start = time.perf_counter()
        y = OnDisk(file, (design.members, outputs))
        found = decompose(design, y, ("legendre",) * INPUTS if surrogate else None)
        done = time.perf_counter() - start
    value, width = found.best.each.value, found.best.each.half_width
    return (sampled, modelled, done), value, width, np.arange(outputs)


def with_salib(rows, outputs, analysed):
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    problem = {"num_vars": INPUTS, "names": [f"x{j}" for j in range(INPUTS)], "bounds": [[0.0, 1.0]] * INPUTS}
    start = time.perf_counter()
    u = sample.sample(problem, rows, calc_second_order=False, seed=1)
    sampled = time.perf_counter()
    y = model(u, outputs)
    modelled = time.perf_counter()
    chosen = np.linspace(0, outputs - 1, analysed).astype(int)
    results = [analyze.analyze(problem, y[:, k], calc_second_order=False, seed=1) for k in chosen]
    taken = (time.perf_counter() - modelled) * outputs / analysed
    value = np.concatenate([np.stack([r[key] for r in results], axis=1) for key in ("S1", "ST")])
    width = np.concatenate([np.stack([r[key] for r in results], axis=1) for key in ("S1_conf", "ST_conf")])
    return (sampled - start, modelled - sampled, taken), value, width, chosen


TOOLS = {
    "SALib": with_salib,
    "ensemble, pick-freeze": lambda rows, outputs, _: with_ensemble(rows, outputs, False),
    "ensemble, surrogate and audit": lambda rows, outputs, _: with_ensemble(rows, outputs, True),
}


IMPORTS = {
    "SALib": ("SALib.analyze.sobol", "SALib.sample.sobol"),
    "ensemble, pick-freeze": ("ensemble.design.pick_freeze", "ensemble.inference.decomposition"),
    "ensemble, surrogate and audit": ("ensemble.design.pick_freeze", "ensemble.inference.decomposition"),
}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def worker(tool, rows, outputs, analysed):
    for name in IMPORTS[tool]:
        importlib.import_module(name)
    imported = peak()
    times, value, width, chosen = TOOLS[tool](rows, outputs, analysed)
    error = value - exact(outputs)[:, chosen]
    answer = dict(zip(("sample", "model", "analyse"), times, strict=True))
    answer |= {"imports": imported, "memory": peak()}
    answer |= {"rmse": float(np.sqrt((error**2).mean())), "inside": float((np.abs(error) <= width).mean())}
    print(json.dumps(answer))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2**14)
    parser.add_argument("--outputs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--worker", choices=TOOLS)
    parser.add_argument("--salib-outputs", type=int, help="outputs that SALib analyses (default: all)")
    given = parser.parse_args()
    analysed = given.salib_outputs or given.outputs
    if given.worker:
        worker(given.worker, given.rows, given.outputs, analysed)
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
                "--salib-outputs",
                str(analysed),
            ]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | THREADS)
            results.append(json.loads(answer.stdout.strip().splitlines()[-1]))
    print(
        f"{INPUTS} inputs, {given.rows} rows of {INPUTS + 2} members, {given.outputs} outputs, medians of {given.rounds} rounds"
    )
    print(
        f"{'tool':32}{'sample s':>10}{'model s':>10}{'analyse s':>11}{'imports MB':>12}{'peak MB':>9}{'RMSE':>10}{'in 95 %':>9}{'faster':>8}"
    )
    middle = {
        tool: {key: float(np.median([r[key] for r in results])) for key in results[0]}
        for tool, results in found.items()
    }
    for tool, row in middle.items():
        faster = middle["SALib"]["analyse"] / row["analyse"]
        print(
            f"{tool:32}{row['sample']:10.2f}{row['model']:10.2f}{row['analyse']:11.2f}{row['imports']:12.0f}{row['memory']:9.0f}"
            f"{row['rmse']:10.1e}{row['inside']:9.2f}{faster:7.0f}x"
        )


if __name__ == "__main__":
    main()
