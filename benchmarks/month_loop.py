"""Speed of RothC's month loop on one core, against NumPy, numba and a C loop, and of the spin-up against iteration.

    python benchmarks/month_loop.py [--members N ...] [--loop FILE.c]

All contenders run 100 years in float32 in one process on one core, one after the other in every round; the best
CPU time of the rounds counts, so that other work on the machine does not. The yardstick loops do less than the
model: they are given the product of the moisture and cover factors and return the final pools, nothing else.
``model`` is RothC with its own deficit and factors, in batches as propagation makes them: with the parameters of
the yardstick that are parameters of RothC, giving the stock alone as the yardstick does; the same with CO2 and
the carbon budget; and with temperature and plant carbon perturbed as whole series, as a study does.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.models.base import BuildSettings
from ensemble.models.examples import example_inputs
from ensemble.models.registry import load_model
from ensemble.plan.tiling import choose_batch

YEARS, MONTHS = 100, 1200
# The yardstick loops run own drivers for this many members, again and again, so that the drivers fit in memory.
OWN_BLOCK = 16_384
C_SOURCE = Path(__file__).parents[2] / "shared" / "reference" / "limit" / "rothc_loop.c"
START = (1.0, 5.0, 1.0, 30.0)
EVERYTHING = ("soc", "co2", "balance")


def parameters(members: int) -> np.ndarray:
    """(8, members): four rates, CO2 ratio, input scale, temperature offset, DPM part; 10 % about the defaults."""
    rng = np.random.default_rng(0)
    centre = np.array([10.0, 0.3, 0.66, 0.02, 3.51, 1.0, 1.0, 0.59])[:, None]
    values = centre * np.exp(0.1 * rng.standard_normal((8, members)))
    values[6] -= 1.0
    return np.ascontiguousarray(values, np.float32)


def drivers(members: int | None) -> dict[str, np.ndarray]:
    """Temperature, moisture x cover factor and input: (1200,), or (1200, members) for the first two."""
    rng = np.random.default_rng(1)
    shape = (MONTHS,) if members is None else (MONTHS, members)
    year = example_inputs(load_model("rothc"), years=YEARS)
    season = year["temperature"][12:].reshape(-1, *[1] * (len(shape) - 1))
    return {
        "temperature": (season + rng.normal(0, 1.5, shape)).astype(np.float32),
        "factor": rng.uniform(0.2, 1.0, shape).astype(np.float32),
        "plant": year["plant_carbon"][12:].astype(np.float32),
    }


def numpy_loop(parameter: np.ndarray, driver: dict[str, np.ndarray]) -> np.ndarray:
    """The loop with vectors of all members."""
    k, (ratio, scale, offset, dpm) = parameter[:4] / np.float32(12), parameter[4:]
    to_bio, to_hum = np.float32(0.46) / (ratio + 1), np.float32(0.54) / (ratio + 1)
    pools = np.repeat(np.asarray(START, np.float32)[:, None], parameter.shape[1], axis=1)
    for month in range(MONTHS):
        warmth = np.float32(47.91) / (
            1 + np.exp(np.float32(106.06) / (driver["temperature"][month] + offset + np.float32(18.27)))
        )
        left = pools * np.exp(-k * (warmth * driver["factor"][month]))
        lost = (pools - left).sum(axis=0)
        pools = left
        given = scale * driver["plant"][month]
        pools[0] += given * dpm
        pools[1] += given * (1 - dpm)
        pools[2] += to_bio * lost
        pools[3] += to_hum * lost
    return pools


def numba_loop() -> Callable[..., np.ndarray] | None:
    """The loop with a member's months inside, compiled; ``None`` without numba."""
    try:
        import numba
    except ImportError:
        return None

    @numba.njit(fastmath=True)
    def loop(p, temperature, factor, plant, own):
        out = np.empty((4, p.shape[1]), np.float32)
        for i in range(p.shape[1]):
            kd, kr, kb, kh = p[0, i], p[1, i], p[2, i], p[3, i]
            bio, hum = np.float32(0.46) / (p[4, i] + np.float32(1)), np.float32(0.54) / (p[4, i] + np.float32(1))
            d, r, b, h = np.float32(1), np.float32(5), np.float32(1), np.float32(30)
            for m in range(temperature.shape[0]):
                t, f = (temperature[m, i], factor[m, i]) if own else (temperature[m, 0], factor[m, 0])
                warmth = np.float32(47.91) / (
                    np.float32(1) + np.exp(np.float32(106.06) / (t + p[6, i] + np.float32(18.27)))
                )
                x = -warmth * f / np.float32(12)
                nd, nr, nb, nh = d * np.exp(kd * x), r * np.exp(kr * x), b * np.exp(kb * x), h * np.exp(kh * x)
                lost = (d - nd) + (r - nr) + (b - nb) + (h - nh)
                given = p[5, i] * plant[m]
                d, r, b, h = nd + given * p[7, i], nr + given * (1 - p[7, i]), nb + bio * lost, nh + hum * lost
            out[0, i], out[1, i], out[2, i], out[3, i] = d, r, b, h
        return out

    def run(parameter: np.ndarray, driver: dict[str, np.ndarray]) -> np.ndarray:
        own = driver["temperature"].ndim == 2
        shaped = (driver[name].reshape(MONTHS, -1) for name in ("temperature", "factor"))
        return loop(parameter, *shaped, driver["plant"], own)

    return run


def c_loop(source: Path) -> Callable[..., np.ndarray] | None:
    """The C loop of ``source``, compiled here; ``None`` without it or without gcc."""
    if not source.is_file() or shutil.which("gcc") is None:
        return None
    library = Path(tempfile.mkdtemp()) / "loop.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, str(source), "-o", str(library), "-lm"], check=True)
    code = ctypes.CDLL(str(library))

    def run(parameter: np.ndarray, driver: dict[str, np.ndarray]) -> np.ndarray:
        name = "c_poly_f32" if driver["temperature"].ndim == 1 else "c_poly_f32_own"
        out = np.empty((4, parameter.shape[1]), np.float32)
        arrays = (driver["temperature"], driver["factor"], driver["plant"], parameter, out)
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
        getattr(code, name)(ctypes.c_long(parameter.shape[1]), ctypes.c_long(MONTHS), *pointers)
        return out

    return run


def model_loop(kind: str, outputs: tuple[str, ...]) -> Callable[[dict[str, jax.Array]], jax.Array]:
    """RothC over batches of members; what it returns is summed, (members,), so that it cannot be left out."""
    model = load_model("rothc")
    options = {"spinup": "given"}
    simulate = model.simulator(BuildSettings(model.default_options() | options, 12, outputs))
    base = {name: jnp.asarray(value, jnp.float32) for name, value in example_inputs(model, options, YEARS).items()}

    def one(member: dict[str, jax.Array]) -> jax.Array:
        member = dict(member)
        scale, offset = member.pop("scale"), member.pop("offset")
        values = base | member
        if kind == "parameters":
            values["temperature_factor_shift"] = values["temperature_factor_shift"] + offset
        if kind == "series":
            values["temperature"] = values["temperature"] + offset
            values["plant_carbon"] = values["plant_carbon"] * scale
        results = simulate(values)
        return sum(jnp.sum(results[name]) for name in outputs)

    def batch(members: dict[str, jax.Array]) -> jax.Array:
        return jax.vmap(one)(members)

    def run(members: dict[str, jax.Array]) -> jax.Array:
        size = choose_batch(len(members["scale"]), 4 * (MONTHS + 12) if kind == "own" else 0)
        chunks = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), members)
        return jax.lax.map(batch, chunks)

    return jax.jit(run)


def model_members(parameter: np.ndarray) -> dict[str, jax.Array]:
    """The yardstick's parameters as inputs of RothC."""
    names = ("k_dpm", "k_rpm", "k_bio", "k_hum", "co2_ratio_scale", "scale", "offset")
    members = dict(zip(names, map(jnp.asarray, parameter), strict=False))
    members["co2_ratio_scale"] = members["co2_ratio_scale"] * (1.67 / 3.51)
    return members


def measure(cases: dict[str, Callable[[], object]], rounds: int = 3, repeats: int = 1) -> dict[str, float]:
    """Best CPU seconds of ``repeats`` calls of each case, rounds interleaved, after one call that compiles."""
    best = {name: float("inf") for name, case in cases.items() if case() is not None}
    for _ in range(rounds):
        for name in best:
            started = time.process_time()
            for _ in range(repeats):
                cases[name]()
            best[name] = min(best[name], time.process_time() - started)
    return best


def show(title: str, member_years: float, seconds: dict[str, float]) -> None:
    """One block of the table."""
    print(f"\n{title}\n{'':<34} {'M member-years/s':>17} {'/ C loop':>9} {'/ NumPy':>8}")
    for name, spent in seconds.items():
        ratios = (seconds[other] / spent if other in seconds else float("nan") for other in ("C loop", "NumPy"))
        print(f"{name:<34} {member_years / spent / 1e6:>17.2f} {next(ratios):>9.2f} {next(ratios):>8.2f}", flush=True)


def shared_drivers(members: int, loops: dict[str, Callable | None]) -> None:
    """All members under one climate."""
    parameter, driver = parameters(members), drivers(None)
    inputs = model_members(parameter)
    cases: dict[str, Callable[[], object]] = {
        name: (lambda loop=loop: loop(parameter, driver)) for name, loop in loops.items() if loop is not None
    }
    for kind, outputs, label in (
        ("parameters", ("soc",), "model: stock"),
        ("parameters", EVERYTHING, "model: stock, CO2, budget"),
        ("series", EVERYTHING, "model: the same, perturbed series"),
    ):
        program = model_loop(kind, outputs)
        cases[label] = lambda program=program: jax.block_until_ready(program(inputs))
    show(f"{members:,} members, shared drivers", members * YEARS, measure(cases, 2 if members > 10**5 else 4))


def own_drivers(members: int, loops: dict[str, Callable | None]) -> None:
    """Every member under a climate of its own: temperature and moisture factor, or precipitation in the model."""
    block = min(members, OWN_BLOCK)
    parameter, driver = parameters(block), drivers(block)
    rng = np.random.default_rng(2)
    year = example_inputs(load_model("rothc"), years=YEARS)
    rain = (year["precipitation"] * rng.uniform(0.5, 1.5, (block, MONTHS + 12))).astype(np.float32)
    warm = (year["temperature"] + rng.normal(0, 1.5, rain.shape)).astype(np.float32)
    inputs = model_members(parameter) | {"precipitation": jnp.asarray(rain), "temperature": jnp.asarray(warm)}
    cases: dict[str, Callable[[], object]] = {
        name: (lambda loop=loop: loop(parameter, driver)) for name, loop in loops.items() if loop is not None
    }
    program = model_loop("own", EVERYTHING)
    cases["model: stock, CO2, budget"] = lambda: jax.block_until_ready(program(inputs))
    seconds = measure(cases, 1 if members > 10**5 else 3, members // block)
    show(f"{members:,} members, own drivers", members * YEARS, seconds)


def spin_up(members: int = 1024, years: int = 10_000) -> None:
    """The equilibrium by algebra against that many years of iteration by the model itself."""
    model = load_model("rothc")
    base = {
        name: jnp.asarray(value, jnp.float32) for name, value in example_inputs(model, {"spinup": "given"}, 1).items()
    }
    inputs = {
        name: value for name, value in model_members(parameters(members)).items() if name not in ("scale", "offset")
    }

    def stock(spinup: str) -> Callable[[dict[str, jax.Array]], jax.Array]:
        simulate = model.simulator(BuildSettings(model.default_options() | {"spinup": spinup}, 12))
        pools = ("dpm", "rpm", "bio", "hum")

        def iterate(member: dict[str, jax.Array]) -> jax.Array:
            def year(_: int, now: dict[str, jax.Array]) -> dict[str, jax.Array]:
                done = simulate(base | member | now)
                return {f"initial_{pool}": done[pool][0] for pool in pools}

            start = {f"initial_{pool}": jnp.float32(1.0) for pool in pools}
            return sum(jax.lax.fori_loop(0, years, year, start).values())

        one = iterate if spinup == "given" else lambda member: simulate(base | member)["soc"][0]
        return jax.jit(jax.vmap(one))

    analytic, iterated = stock("analytic"), stock("given")
    seconds = measure({
        "analytic": lambda: jax.block_until_ready(analytic(inputs)),
        "iterated": lambda: jax.block_until_ready(iterated(inputs)),
    }, 1)  # fmt: skip
    gap = np.abs(np.asarray(analytic(inputs)) - np.asarray(iterated(inputs)) - np.asarray(base["iom"])).max()
    print(
        f"\nspin-up of {members:,} members: analytic (and one year of run) {seconds['analytic'] * 1e3:.1f} ms, ", end=""
    )
    print(
        f"{years:,} years of iteration {seconds['iterated']:.1f} s: {seconds['iterated'] / seconds['analytic']:,.0f} x"
    )
    print(f"largest difference of the stocks, float32: {gap:.1e} t C/ha")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="*", default=[16_384, 1_048_576])
    parser.add_argument("--loop", type=Path, default=C_SOURCE, help="C source of the yardstick loop")
    asked = parser.parse_args()
    loops = {"NumPy": numpy_loop, "numba": numba_loop(), "C loop": c_loop(asked.loop)}
    print(f"RothC, {YEARS} years of months, float32, one core, CPU time; jax {jax.__version__}")
    for members in asked.members:
        shared_drivers(members, loops)
        own_drivers(members, loops)
    spin_up()


if __name__ == "__main__":
    main()
