"""A straight line as a study that has a closed-form posterior: model, study, forecast and measurements."""

MODEL = """\
import jax.numpy as jnp
from ensemble import InputSpec, Model, OutputSpec, TimeAxis

def build(settings):
    return lambda inputs: {"level": inputs["start"] + inputs["slope"] * jnp.cumsum(inputs["drive"])}

LINE = Model(
    name="line", title="a line", build=build, time=TimeAxis("year", per_year=1),
    inputs=(InputSpec("start", "1", "start"), InputSpec("slope", "1", "slope"), InputSpec("drive", "1", "drive", dims=("time",))),
    outputs=(OutputSpec("level", "1", "level", dims=("time",)),),
)
"""
STUDY = """\
model: line.py:LINE
inputs: {period: {start: 2000, end: 2009}, drive: 1, start: 0, slope: 0}
uncertain:
  start: {distribution: normal, mean: 1, sd: 2}
  slope: {distribution: normal, mean: 0, sd: 1}
observations: {file: data.csv, variable: level, error: {absolute: 0.5}}
calibrate:
  likelihood: normal
  errors: {date: {absolute: 0.4, shared_by: [time]}}
  warmup: 300
  draws: 600
"""
FORECAST = """\
model: line.py:LINE
inputs: {period: {start: 2000, end: 2029}, drive: 1, start: 0, slope: 0}
uncertain:
  posterior: fit.zarr
  push: {input: drive, as: factor, distribution: lognormal, median: 1, cv: 0.1}
design: {members: 2048, seed: 2}
decompose: {rows: 64, surrogate: false}
"""
# Two measurements at the first date: they share an error, so they count for less than two.
DATA = "time,value\n2000,1.4\n2000,1.8\n2002,2.9\n2004,2.8\n2006,4.9\n2008,6.1\n2009,5.9\n"


def folder(path, study=STUDY, data=DATA):
    (path / "line.py").write_text(MODEL)
    (path / "data.csv").write_text(data)
    (path / "study.yaml").write_text(study)
    return path / "study.yaml"
