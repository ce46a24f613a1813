"""Speed of learned maps: fits, evaluation of trees against the library's own, and a million pixels of realisations.

    python benchmarks/mapping.py [--fits 1000] [--pixels 1000000] [--draws 100]

Ratios come from one run, the ways of a comparison taking turns. Memory is the growth of the peak while realisations are
drawn in batches and handed over.
"""

import argparse
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ensemble.inputs.grids import Grid
from ensemble.mapping.learning.residuals import FieldParameters, Places
from ensemble.mapping.learning.simulation import score_fields
from ensemble.mapping.learning.trees import TreeSettings, fit_trees, predict, tree_tables


def fits(count):
    """Models of 264 of 293 samples with the paper's settings, on all cores."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(264, 10))
    y = x[:, 0] + np.sin(x[:, 1]) + x[:, 2] * x[:, 3] + rng.normal(size=264)
    started, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda seed: fit_trees(x, y, TreeSettings(), seed), range(count)):
            pass  # none is kept: a model and its samples are some 5 MB
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    print(
        f"{count} fits of 264 samples, 1600 trees: {wall:.1f} s on {os.cpu_count()} cores, {cpu / count:.2f} s of CPU each"
    )
    return fit_trees(x, y, TreeSettings(), 1)


def evaluation(model, rounds=3, pixels=4000):
    """Tables against LightGBM's own prediction, in turns."""
    x = np.random.default_rng(1).normal(size=(pixels, 10))
    tables, times = tree_tables(model), {"tables": [], "LightGBM": []}
    for _ in range(rounds):
        for name, run in (("tables", tables.predict), ("LightGBM", lambda x: predict(model, x))):
            started = time.process_time()
            run(x)
            times[name].append((time.process_time() - started) / pixels * 1e6)
    own, library = (min(times[name]) for name in ("tables", "LightGBM"))
    difference = np.abs(tables.predict(x) - predict(model, x)).max()
    print(
        f"1600 trees a pixel: tables {own:.1f} us, LightGBM {library:.1f} us, ratio {library / own:.1f}; largest difference {difference:.1e}"
    )


def realisations(pixels, draws):
    """Conditional fields of a square grid from 293 samples, 16 at a time."""
    side = int(np.sqrt(pixels))
    rng = np.random.default_rng(2)
    grid = Grid((side, side), "", (0.0, 1.0, float(side), -1.0), True, 1000.0, *np.divmod(np.arange(side * side), side))
    km = np.column_stack([grid.columns + 0.5, side - grid.rows - 0.5])
    chosen = rng.choice(side * side, 293, replace=False)
    parameters = [FieldParameters(side / 20, 0.4), FieldParameters(side / 10, 0.3, 1.0, 0.2, 1.0)]
    covariates = np.column_stack([np.sin(km[:, 0] / side * 6), np.cos(km[:, 1] / side * 6)])
    sites, samples = Places(km, covariates), Places(km[chosen], covariates[chosen])
    fields = score_fields([samples], [sites], rng.normal(size=(1, 293)), [parameters], grid, 1)
    fields.draw(range(2))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    used, peaks = time.process_time(), []
    for first in range(0, draws, 16):
        fields.draw(range(first, min(first + 16, draws)))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(
        f"{side * side:,} pixels x {draws} realisations: {time.perf_counter() - started:.1f} s ({time.process_time() - used:.1f} s of CPU); "
        f"peak memory {before / 1024:.0f} MB before, {peaks[0] / 1024:.0f} MB after the first 16, {peaks[-1] / 1024:.0f} MB after all"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("fits", 1000), ("pixels", 1_000_000), ("draws", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    evaluation(fits(given.fits))
    realisations(given.pixels, given.draws)


if __name__ == "__main__":
    main()
