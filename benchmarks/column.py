"""Speed and memory of the soil column at 20 layers.

Milliseconds per member and 1,000 years, wall clock and processor time (which a busy machine changes less),
forward and gradient, float32 and float64; and the growth of memory with the number of years.

    python benchmarks/column.py [members] [years]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from loess_claims import ANCHORED
from loess_runs import ALL_RUNS, inputs_of

from ensemble.models.base import BuildSettings
from ensemble.models.records.column import COLUMN

STOCKS = ("soc", "soc_0_25", "soc_25_75", "soc_25_100")


def program(outputs: tuple[str, ...] = STOCKS, last: bool = True) -> Callable[[Any], Any]:
    """The column over members, stocks and balance only; ``last``: members on the last axis, as in a propagation."""
    simulate = COLUMN.simulator(BuildSettings(COLUMN.default_options(), 1, outputs))

    def one(inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        found = simulate(inputs)
        return {name: found[name] for name in (*outputs, "balance")}

    def all_of(inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        found = one({name: jnp.moveaxis(value, 0, -1) for name, value in inputs.items()})
        return {name: jnp.moveaxis(value, -1, 0) for name, value in found.items()}

    return all_of if last else jax.vmap(one)


def timed(run: Callable[[Any], Any], inputs: Any, repeats: int = 3) -> tuple[float, float, float]:
    """Seconds to compile and run once, and the best wall and processor seconds of a run."""
    began = time.perf_counter()
    jax.block_until_ready(run(inputs))
    first = time.perf_counter() - began
    wall, busy = [], []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        jax.block_until_ready(run(inputs))
        wall.append(time.perf_counter() - began)
        busy.append(time.process_time() - used)
    return first, min(wall), min(busy)


def main(members: int, years: int) -> None:
    """Print one line a case."""
    runs = tuple(ALL_RUNS[i % len(ALL_RUNS)] for i in range(members))
    for x64 in (False, True):
        with jax.enable_x64(x64):
            inputs = inputs_of(runs, years, ANCHORED)
            forward, mapped = jax.jit(program()), jax.jit(program(last=False))

            columns = program()

            def final(parameters: dict[str, Any], columns: Any = columns) -> jax.Array:
                return columns(inputs_of(runs, years, parameters))["soc"][:, -1].sum()

            parameters = {name: jnp.asarray(value, float) for name, value in ANCHORED.items()}
            for label, run, given in (
                ("forward", forward, inputs),
                ("forward, jax.vmap", mapped, inputs),
                ("gradient", jax.jit(jax.grad(final)), parameters),
            ):
                first, wall, busy = timed(run, given)
                scale = 1e6 / (members * years)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
                print(f"{'float64' if x64 else 'float32'} {label}: {scale * wall:.2f} ms wall, {scale * busy:.2f} ms processor "
                      f"per member and 1,000 years; first call {first:.1f} s; peak so far {peak:.2f} GB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(*(int(v) for v in (sys.argv[1:] or ("240", "200"))))
