"""Small models with known answers, for tests of everything around a model."""

import math

import jax
import jax.numpy as jnp

from ensemble import BuildSettings, InputSpec, Model, OptionSpec, OutputSpec, TimeAxis

POSITIVE = (0.0, math.inf)


def build_decay(settings: BuildSettings):
    """One pool; `law` chooses between continuous and discrete decay."""
    traces.append(settings)

    def simulate(inputs):
        rate = inputs["decay_rate"] / 12.0
        kept = jnp.exp(-rate) if settings.options["law"] == "exponential" else 1.0 - rate

        def month(carbon, arriving):
            left = carbon * kept
            return left + arriving, (left + arriving, carbon - left)

        last, (soc, co2) = jax.lax.scan(month, inputs["initial_carbon"], inputs["plant_carbon"])
        n = settings.steps_per_record
        turnover = inputs["initial_carbon"] + inputs["plant_carbon"].sum()
        balance = jnp.abs(inputs["plant_carbon"].sum() - co2.sum() - last + inputs["initial_carbon"]) / turnover
        return {"soc": soc[n - 1 :: n], "co2": co2.reshape(-1, n).sum(axis=1), "balance": balance * inputs["leak"]}

    return simulate


traces: list[BuildSettings] = []

DECAY = Model(
    name="decay",
    title="one pool",
    inputs=(
        InputSpec("decay_rate", "yr-1", "decay rate", default=0.05),
        InputSpec("initial_carbon", "t C/ha", "carbon at the start", support=POSITIVE),
        InputSpec("leak", "1", "how much of a rounding error is shown as imbalance", default=1.0),
        InputSpec("plant_carbon", "t C/ha", "plant carbon a month", dims=("time",), support=POSITIVE),
    ),
    outputs=(
        OutputSpec("soc", "t C/ha", "soil organic carbon", dims=("time",), support=POSITIVE),
        OutputSpec("co2", "t C/ha", "carbon respired", dims=("time",), kind="flux"),
    ),
    options=(OptionSpec("law", "exponential", ("exponential", "linear"), "form of the decay"),),
    build=build_decay,
    time=TimeAxis("month"),
    balance="balance",
)


def build_yield(settings: BuildSettings):
    """Plant carbon from a yield."""
    return lambda inputs: {"plant_carbon": inputs["grain_yield"] * inputs["carbon_share"]}


YIELD = Model(
    name="yield_to_carbon",
    title="plant carbon from a yield",
    inputs=(
        InputSpec("grain_yield", "t/ha", "grain yield a month", dims=("time",), support=POSITIVE),
        InputSpec("carbon_share", "1", "carbon per unit of yield", default=0.5, support=POSITIVE),
    ),
    outputs=(OutputSpec("plant_carbon", "t C/ha", "plant carbon", dims=("time",)),),
    build=build_yield,
    derives="plant_carbon",
)

MODEL_FILE = "from toy_models import DECAY, YIELD\n"
STUDY = """\
model: my_model.py:DECAY
inputs:
  period: {start: 2000, end: 2004}
  initial_carbon: 50
  plant_carbon: 0.2
uncertain:
  decay_rate: {distribution: lognormal, median: 0.05, cv: 0.3}
  start: {input: initial_carbon, as: factor, distribution: lognormal, median: 1, cv: 0.1, per: site}
  weather: {input: plant_carbon, as: factor, distribution: lognormal, cv: 0.5, autocorrelation: 0.3}
scenarios:
  usual: {}
  improved: {inputs: {plant_carbon: 0.3}}
design: {members: 128, seed: 3}
"""


def write_toy(folder, text=STUDY):
    """A study of the toy model in a folder."""
    (folder / "my_model.py").write_text(MODEL_FILE)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def compiled_once(folder):
    """Environment of processes that keep their compiled programs in a folder; one that is killed may spoil it."""
    return {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
