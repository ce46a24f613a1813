"""A small linear model with two pools, and studies of it that a twin can follow."""

from pathlib import Path

MODEL = """\
import jax
import jax.numpy as jnp

from ensemble import InputSpec, Model, OutputSpec, TimeAxis
from ensemble.models.linear import Affine, compose_all


def year(inputs):
    fast, slow = jnp.exp(-inputs["k_fast"]), jnp.exp(-inputs["k_slow"])
    matrix = jnp.stack([jnp.stack([fast, 0.0 * fast]), jnp.stack([0.3 * (1.0 - fast), slow])])
    return lambda drive: Affine(matrix, jnp.stack([drive, 0.0 * drive]))


def start(inputs):
    return jnp.stack([0.1 * inputs["start"], 0.9 * inputs["start"]])


def build(settings):
    def simulate(inputs):
        step = year(inputs)

        def move(pools, drive):
            one = step(drive)
            pools = one.matrix @ pools + one.offset
            return pools, pools

        pools = jax.lax.scan(move, start(inputs), inputs["drive"])[1]
        return {"stock": pools.sum(axis=1), "fast": pools[:, 0], "slow": pools[:, 1]}

    return simulate


def pool_maps(settings, records):
    ends = [0, *(record + 1 for record in records)]
    observe = {"stock": jnp.ones(2), "fast": jnp.eye(2)[0], "slow": jnp.eye(2)[1]}

    def maps(inputs):
        step = year(inputs)
        found = []
        for low, high in zip(ends, ends[1:]):
            found.append(compose_all(jax.vmap(step)(inputs["drive"][low:high])))
        return jax.tree.map(lambda *parts: jnp.stack(parts), *found), start(inputs), observe

    return maps


def number(name):
    return InputSpec(name, "1", name)


POOLS = Model(
    name="pools", title="two pools", build=build, pool_maps=pool_maps, time=TimeAxis("year", per_year=1),
    inputs=(number("start"), number("k_fast"), number("k_slow"), InputSpec("drive", "1", "drive", dims=("time",))),
    outputs=tuple(OutputSpec(n, "1", n, dims=("time",)) for n in ("stock", "fast", "slow")),
)


def build_line(settings):
    return lambda inputs: {"level": inputs["base"] + inputs["slope"] * jnp.cumsum(inputs["drive"])}


LINE = Model(
    name="line", title="a line", build=build_line, time=TimeAxis("year", per_year=1),
    inputs=(number("base"), number("slope"), InputSpec("drive", "1", "drive", dims=("time",))),
    outputs=(OutputSpec("level", "1", "level", dims=("time",)),),
)
"""

POOLS = """\
model: model.py:POOLS
precision: float64
inputs: {period: {start: 2000, end: 2019}, drive: 2, start: 40, k_fast: 0.5, k_slow: 0.03}
uncertain:
  start: {distribution: normal, mean: 40, sd: 4}
  k_slow: {distribution: lognormal, median: 0.03, cv: 0.3}
scenarios:
  kept: {inputs: {drive: 2}}
  more: {inputs: {drive: {file: more.csv}}}
observations: {file: data.csv, variable: stock, error: {relative: 0.03}}
calibrate:
  likelihood: normal
  errors:
    date: {relative: 0.02, shared_by: [time]}
    arm: {relative: 0.02, shared_by: [scenario]}
  model_error: {kind: pools, sd: 0.02}
twin: {particles: 256, forecast_draws: 128, horizon: 10}
"""
POOLS_DATA = """\
scenario,time,value
kept,2001,41
more,2001,40.5
kept,2004,39
more,2004,40
kept,2008,37
more,2008,41
kept,2011,36.5
"""

LINE = """\
model: model.py:LINE
precision: float64
inputs: {period: {start: 2000, end: 2029}, drive: 1, base: 0, slope: 0}
uncertain:
  base: {distribution: normal, mean: 1, sd: 2}
  slope: {distribution: normal, mean: 0, sd: 1}
observations: {file: data.csv, variable: level, error: {absolute: 0.5}}
calibrate: {likelihood: normal, errors: {date: {absolute: 0.4, shared_by: [time]}}}
twin: {particles: 1024, forecast_draws: 256, horizon: 10}
"""
# Two measurements at the first date: they share an error, so they count for less than two.
LINE_DATA = "time,value\n2000,1.4\n2000,1.8\n2002,2.9\n2004,2.8\n2006,4.9\n2008,6.1\n2009,5.9\n"


def folder(path: Path, study: str, data: str) -> Path:
    """A study with its model and measurements."""
    (path / "model.py").write_text(MODEL)
    (path / "data.csv").write_text(data)
    rows = "\n".join(f"{year},{2 if year < 2003 else 3}" for year in range(2000, 2020))
    (path / "more.csv").write_text(f"year,drive\n{rows}\n")
    (path / "study.yaml").write_text(study)
    return path / "study.yaml"
