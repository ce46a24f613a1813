"""RothC and the column on a GPU: the same numbers as the CPU, the same twice, and how fast against a counted floor.

    python benchmarks/gpu.py [--members 1000000] [--columns 100000] [--nuts SECONDS]

Runs on whatever JAX finds, so that on a machine without a GPU the parity and the logic are checked on the CPU
against itself; give small numbers there, for example `--members 4096 --columns 16`.

* Parity: the model on this device and on the CPU, float64 to 1e-12 and float32 within 64 units in the last place
  for each year (relative to the largest value of a series).
* Repeats: five runs, bit for bit.
* Month loop: members x 1,200 months, float32, shared and own forcing, unroll 1, 12, 24, and the model itself. The
  floor is counted: bytes that must move and operations that must be done for a member, over what this device
  reached in a copy and in chains of exponentials and of multiply-adds, measured here.
* Column: milliseconds for a member and 1,000 years, forward and gradient.
* `--nuts SECONDS`: the Highfield calibration on the CPU and here, whole commands; a small fit is often faster on a CPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from month_loop import EVERYTHING, MONTHS, YEARS, drivers, model_members, parameters

from ensemble.models import scan
from ensemble.models.base import BuildSettings
from ensemble.models.examples import example_inputs
from ensemble.models.registry import load_model

# Of one member and month: exponentials (the factor of temperature, four pools), other operations, and of one
# member's months under own forcing the bytes of two driver series.
EXPONENTIALS, OTHERS = 5, 40
# Operations beside one exponential in the measured chain, and its length.
BESIDE, CHAIN = 3, 512
PARITY64, ULPS_A_YEAR = 1e-12, 64


def timed(run: Callable[[], object], repeats: int = 5) -> float:
    """Best wall seconds after one call that compiles."""
    jax.block_until_ready(run())
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(run())
        best = min(best, time.perf_counter() - started)
    return best


class Limits(NamedTuple):
    """What this device reaches: bytes a second of a copy, and seconds of one operation on one number."""

    bandwidth: float
    exponential: float  # with the three operations beside it
    other: float

    def floor(self, members: int, moved: int) -> float:
        """Least seconds of the month loop: the operations, or the bytes, whichever takes longer."""
        beside = OTHERS - BESIDE * EXPONENTIALS
        month = EXPONENTIALS * self.exponential + beside * self.other
        return max(members * MONTHS * month, moved / self.bandwidth)


def limits(size: int) -> Limits:
    """Measured on ``size`` numbers; chains of dependent operations, compiled into one pass over memory."""
    values = jnp.linspace(0.1, 0.9, size, dtype=jnp.float32)
    half, one = jnp.float32(0.5), jnp.float32(1.0)
    copy = jax.jit(lambda a: a + one)
    large = jnp.zeros(16 * size, jnp.float32)  # a copy that lasts much longer than its launch

    def chain(step: Callable[[jax.Array, jax.Array], jax.Array]) -> float:
        def spent(length: int) -> float:
            loop = jax.jit(lambda a: jax.lax.fori_loop(0, length, lambda i, x: step(x, a), a, unroll=length))
            return timed(lambda: loop(values))

        return (spent(CHAIN) - spent(CHAIN // 2)) / (CHAIN // 2 * size)

    return Limits(
        2 * large.nbytes / timed(lambda: copy(large)),
        chain(lambda x, a: jnp.exp(-x) * a + x * half),
        chain(lambda x, a: x * a + half),
    )


def month_loop(own: bool, unroll: int) -> Callable[..., jax.Array]:
    """The bare loop of the yardsticks as one scan; drivers shaped (1200,) or (1200, members)."""

    def run(p: jax.Array, temperature: jax.Array, factor: jax.Array, plant: jax.Array) -> jax.Array:
        rates, (ratio, scale, offset, dpm) = p[:4] / 12.0, p[4:]
        to_bio, to_hum = 0.46 / (ratio + 1.0), 0.54 / (ratio + 1.0)

        def month(pools: tuple[jax.Array, ...], now: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, ...], None]:
            t, f, c = now
            warmth = 47.91 / (1.0 + jnp.exp(106.06 / (t + offset + 18.27)))
            left = [pool * jnp.exp(-k * (warmth * f)) for pool, k in zip(pools, rates, strict=True)]
            lost = sum(pool - rest for pool, rest in zip(pools, left, strict=True))
            given = scale * c
            d, r, b, h = left
            return (d + given * dpm, r + given * (1.0 - dpm), b + to_bio * lost, h + to_hum * lost), None

        start = tuple(jnp.full(p.shape[1], value, p.dtype) for value in (1.0, 5.0, 1.0, 30.0))
        return jnp.stack(jax.lax.scan(month, start, (temperature, factor, plant), unroll=unroll)[0])

    return jax.jit(run)


def rothc(outputs: tuple[str, ...], real: type) -> Callable[..., dict[str, jax.Array]]:
    """RothC over members, yearly records."""
    model = load_model("rothc")
    options = model.default_options() | {"spinup": "given"}
    simulate = model.simulator(BuildSettings(options, 12, outputs))
    base = {name: np.asarray(v, real) for name, v in example_inputs(model, {"spinup": "given"}, YEARS).items()}

    def one(member: dict[str, jax.Array]) -> dict[str, jax.Array]:
        member = dict(member)
        scale, offset = member.pop("scale"), member.pop("offset")
        values = base | member
        values["temperature"] = values["temperature"] + offset
        values["plant_carbon"] = values["plant_carbon"] * scale
        found = simulate(values)
        return {name: found[name] for name in outputs}

    return jax.jit(jax.vmap(one))


def parity(members: int) -> bool:
    """Largest relative differences from the CPU, and whether repeats are bit-identical; whether all is well."""
    good, cpu = True, jax.devices("cpu")[0]
    for real, bound in ((np.float64, PARITY64), (np.float32, ULPS_A_YEAR * YEARS * np.finfo(np.float32).eps)):
        with jax.enable_x64(real is np.float64):
            inputs = {name: np.asarray(v, real) for name, v in model_members(parameters(members)).items()}
            program = rothc(EVERYTHING[:2], real)
            here = jax.device_get(program(inputs))
            with jax.default_device(cpu):
                there = jax.device_get(program({name: jax.device_put(v, cpu) for name, v in inputs.items()}))
            gap = max(float(np.max(np.abs(here[n] - there[n]) / np.max(np.abs(there[n])))) for n in here)
            again = all(
                np.array_equal(here[n], found[n])
                for found in (jax.device_get(program(inputs)) for _ in range(5))
                for n in here
            )
        good = good and gap <= bound and again
        print(f"{np.dtype(real).name}: largest relative difference from the CPU {gap:.2e} (bound {bound:.2e}), "
              f"five repeats {'bit-identical' if again else 'DIFFER'}", flush=True)  # fmt: skip
    return good


def speed(members: int) -> None:
    """The table of the month loop."""
    reached = limits(max(members, 2**24 if jax.default_backend() == "gpu" else 2**20))
    print(f"\nreached here: {reached.bandwidth / 1e9:.0f} GB/s in a copy, {1e-9 / reached.exponential:.1f} G exponentials/s, "
          f"{1e-9 / reached.other:.1f} G multiply-adds/s")  # fmt: skip
    print(
        f"{members:,} members x {MONTHS:,} months, float32\n{'':<34} {'ms':>9} {'member-years/s':>15} {'of the floor':>12}"
    )

    def line(label: str, run: Callable[[], object], floor: float, repeats: int = 5) -> None:
        spent = timed(run, repeats)
        print(f"{label:<34} {1e3 * spent:>9.2f} {members * YEARS / spent:>15,.0f} {spent / floor:>12.2f}", flush=True)

    parameter = jnp.asarray(parameters(members))
    for own in (False, True):
        driver = {name: jnp.asarray(v) for name, v in drivers(members if own else None).items()}
        moved = (12 + (2 * MONTHS if own else 0)) * 4 * members
        for unroll in (1, 12, 24):
            loop = month_loop(own, unroll)
            arguments = (parameter, driver["temperature"], driver["factor"], driver["plant"])
            line(f"{'own' if own else 'shared'} forcing, unroll {unroll}", lambda loop=loop, given=arguments: loop(*given),
                 reached.floor(members, moved))  # fmt: skip
        del driver
    inputs = {name: jnp.asarray(value) for name, value in model_members(parameters(members)).items()}
    for months in (1, 12, 24):
        scan.months_in_a_step = lambda months=months: months
        program = rothc(("soc",), np.float32)
        line(f"the model: stock, yearly, unroll {months}", lambda program=program: program(inputs),
             reached.floor(members, 4 * members * YEARS))  # fmt: skip


def column(members: int, years: int = 1000) -> None:
    """The soil column, forward and gradient with respect to the anchored parameters."""
    from column import program
    from loess_claims import ANCHORED
    from loess_runs import ALL_RUNS, inputs_of

    copies = -(-members // len(ALL_RUNS))

    def stocks(parameters: dict[str, jax.Array]) -> jax.Array:
        inputs = inputs_of(ALL_RUNS, years, parameters)
        return program()({n: jnp.tile(v, (copies,) + (1,) * (v.ndim - 1)) for n, v in inputs.items()})["soc"][:, -1]

    parameters = {name: jnp.asarray(value, float) for name, value in ANCHORED.items()}
    for name, run in (("forward", jax.jit(stocks)), ("gradient", jax.jit(jax.grad(lambda p: stocks(p).sum())))):
        try:
            spent = timed(lambda run=run: run(parameters), 1)
        except jax.errors.JaxRuntimeError as error:
            print(f"column, {name}: {str(error).splitlines()[0][:200]}", flush=True)
            continue
        count = copies * len(ALL_RUNS)
        print(f"column, {count:,} members x {years} years, {name}: {spent:.1f} s, "
              f"{1e6 * spent / count / years:.4f} ms a member and 1,000 years", flush=True)  # fmt: skip


def nuts(patience: float) -> None:
    """One calibration as a command, on the CPU and on what JAX finds."""
    study = Path(__file__).parents[1] / "configs" / "calibrate_highfield.yaml"
    for where in ("cpu", ""):  # before this process takes most of the GPU's memory for itself
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", "from ensemble.cli import main; main()", "calibrate", str(study)]
            started = time.perf_counter()
            try:
                done = subprocess.run(
                    [*command, "--out", f"{folder}/s.zarr"], timeout=patience,
                    env=os.environ | {"JAX_PLATFORMS": where}, check=False, capture_output=True, text=True,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                print(f"NUTS on {where or 'what JAX finds'}: not done after {patience} s", flush=True)
                continue
            print(
                f"NUTS on {where or 'what JAX finds'}: {time.perf_counter() - started:.1f} s, exit code {done.returncode}",
                flush=True,
            )
            if done.returncode:
                print(done.stderr[-2000:])


def main() -> int:
    """Print everything; 1 if the numbers differ."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--members", type=int, default=1_000_000)
    options.add_argument("--columns", type=int, default=100_000)
    options.add_argument("--nuts", type=float, default=0.0, metavar="SECONDS", help="longest wait for one fit; 0: none")
    options.add_argument("--no-loop", action="store_true", help="leave the month loop out")
    asked = options.parse_args()
    if hasattr(os, "sched_setaffinity"):  # month_loop keeps to one core
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if asked.nuts:
        nuts(asked.nuts)
    device = jax.devices()[0]
    print(f"device: {device.platform} {device.device_kind}, jax {jax.__version__}")
    good = parity(min(asked.members, 4096))
    if not asked.no_loop:
        speed(asked.members)
    if asked.columns:
        column(asked.columns)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
