"""Simulation-based calibration of the calibration itself, and of copies of it with one planted fault each.

    python benchmarks/simulated_calibration.py [data sets] [data sets a fault] [figure.svg]

The study has the form of a small fallow experiment: two plots, six dates, two pools and inert carbon, errors that
plots and dates share, a drifting model error, an input that varies between plots by a learnt amount, correlated and
truncated priors, and coordinates with a ridge and a wall. Every fault is on the side of the inference alone.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ensemble.inference.calibration.errors import Source, white_log_density
from ensemble.inference.calibration.parameters import Parameter
from ensemble.inference.calibration.problem import Problem, make_problem
from ensemble.inference.calibration.simulated import Effort, Ranks, rank_truth, simulate
from ensemble.pipeline import load_plan
from ensemble.pipeline.calibrating import panel_of
from ensemble.plan import Plan

MODEL = """
import jax
import jax.numpy as jnp
from ensemble import InputSpec, Model, OutputSpec, TimeAxis
from ensemble.models.base import Ridge, Wall

POSITIVE = (0.0, float("inf"))
NAMES = ("k_fast", "k_slow", "carbon_input", "inert", "start")


def build(settings):
    def simulate(inputs):
        fast, slow = inputs["k_fast"], inputs["k_slow"]
        arriving, years = inputs["carbon_input"], jnp.cumsum(inputs["year"])
        active = inputs["start"] - inputs["inert"]
        kept_fast, kept_slow = jnp.exp(-fast * years), jnp.exp(-slow * years)
        soc = 0.5 * active * (kept_fast + kept_slow) + inputs["inert"]
        soc = soc + arriving * (0.7 * (1 - kept_fast) / fast + 0.3 * (1 - kept_slow) / slow)
        return {"soc": soc}

    return simulate


def log_k_slow(inputs, observed):
    left = 4.0 * jax.nn.softplus((observed["last"] - inputs["inert"]) / 4.0)
    return jnp.log(jnp.log((left + observed["first"] - observed["last"]) / left))


FALLOW = Model(
    name="fallow", title="two pools and inert carbon", build=build, time=TimeAxis("year", per_year=1),
    inputs=(*(InputSpec(n, "1", n, support=POSITIVE) for n in NAMES), InputSpec("year", "1", "year", dims=("time",))),
    outputs=(OutputSpec("soc", "t C/ha", "soil organic carbon", dims=("time",)),),
    ridges=(Ridge("k_slow", log_k_slow, "soc"),), walls=(Wall("inert", lambda seen: seen["last"], "soc"),),
)
"""
STUDY = """
model: fallow.py:FALLOW
precision: float64
sites: sites.csv
inputs: {period: {start: 1960, end: 2009}, year: 1, k_fast: 0.5, k_slow: 0.02, carbon_input: 1.5, inert: 8, start: 60}
uncertain:
  k_fast: {distribution: lognormal, median: 0.5, cv: 0.3}
  k_slow: {distribution: lognormal, median: 0.02, cv: 0.3}
  inert: {distribution: truncated_normal, mean: 8, sd: 2.5, lower: 0, upper: 30}
  carbon_input: {distribution: lognormal, median: 1.5, cv: 0.3}
  first_stock: {input: start, as: factor, distribution: lognormal, median: 1, cv: 0.05, per: site}
correlation: [{between: [k_fast, k_slow], value: 0.9, kind: pearson}]
observations: {file: soc.csv, variable: soc, error: {relative: 0.02}}
calibrate:
  error_scale: {distribution: lognormal, median: 1, cv: 0.3}
  errors:
    plot: {relative: {distribution: lognormal, median: 0.06, cv: 0.5}, shared_by: [site]}
    date: {relative: 0.07, shared_by: [time]}
  vary: {carbon_input: {by: site, spread: {distribution: lognormal, median: 0.7, cv: 0.5}}}
  model_error: {kind: random_walk, sd: {distribution: lognormal, median: 0.01, cv: 0.5}, shared_by: [site]}
"""
# A quantity besides those of every study: correlated rates are seen to be so in their ratio.
OTHERS = {"k_fast / k_slow": lambda values: values["k_fast"] / values["k_slow"]}
FAULT_SETS = 250  # data sets that are fitted with each fault
SITES, YEARS = ("a", "b"), (1961, 1962, 1963, 1970, 1984, 2009)


def study(folder: Path) -> Plan:
    """The study, written to a folder and bound; its measurements only fix the constants of the coordinates."""
    (folder / "fallow.py").write_text(MODEL)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "sites.csv").write_text("\n".join(["site", *SITES]) + "\n")
    rows = [f"{site},{year},{8 + 52 * np.exp(-0.0478 * (year - 1960)):.2f}" for site in SITES for year in YEARS]
    (folder / "soc.csv").write_text("\n".join(["site,time,value", *rows]) + "\n")
    return load_plan(folder / "study.yaml", (), None, None)


def problem_of(plan: Plan) -> Problem:
    """The calibration of a plan."""
    assert plan.study.record.calibrate is not None
    return make_problem(plan, plan.study.record.calibrate)


@dataclass(frozen=True)
class Faulty(Problem):
    """A calibration whose likelihood is raised to a power, with a share of the determinant of its covariance left out."""

    power: Any = 1.0
    forgotten: Any = 0.0

    def log_likelihood_at(self, values: Any) -> jax.Array:
        """As of a problem, but for the faults."""
        predicted = self.predict(values)
        factor = jnp.linalg.cholesky(self.errors.covariance(predicted, values))
        white = solve_triangular(factor, self.errors.residual(predicted), lower=True)
        determinant = 2.0 * jnp.log(jnp.diagonal(factor)).sum()
        right = white_log_density(white, factor) - self.errors.log_jacobian
        return self.power * (right + 0.5 * self.forgotten * determinant)


# What is planted: one number each, 1 where the fault is there. All faults are one compiled program.
FAULTS = (
    "stated error taken twice as large",
    "Jacobian of the wall dropped",
    "model read one year early",
    "error of a date not shared",
    "error of a plot shared by all plots",
    "model error left out",
    "prior of inert carbon too narrow",
    "correlation of the priors left out",
    "determinant of the covariance left out",
    "data never read",
    "every measurement counted twice",
)


def planted(plan: Plan, good: Problem) -> Callable[[jax.Array], Problem]:
    """From the numbers of the faults to a calibration that has them."""
    early = plan.observations.assign(record=np.maximum(plan.observations["record"] - 1, 0))
    predict_early = problem_of(replace(plan, observations=early)).predict
    errors, parameters = good.errors, good.parameters
    alone, together = np.eye(len(good.rows)), np.ones((len(good.rows), len(good.rows)))
    assert errors.walk is not None

    def calibration(fault: jax.Array) -> Problem:
        f = dict(zip(FAULTS, fault, strict=True))

        def shared(source: Source) -> Source:
            name, instead = {
                "error_date": ("error of a date not shared", alone),
                "error_plot": ("error of a plot shared by all plots", together),
            }[source.label]
            return replace(source, together=source.together + f[name] * (instead - source.together))

        def prior(entry: Parameter) -> Parameter:
            scale = 1.0 - 0.4 * f["prior of inert carbon too narrow"]
            return replace(entry, value=lambda z: entry.value(scale * z)) if entry.label == "inert" else entry

        mixing = parameters.mixing + f["correlation of the priors left out"] * (
            np.eye(parameters.size) - parameters.mixing
        )
        wrong_errors = replace(
            errors,
            own=errors.own * (1.0 + f["stated error taken twice as large"]),
            walk=errors.walk * (1.0 - f["model error left out"]),
            sources=tuple(shared(source) for source in errors.sources),
        )

        def predict(values: Any) -> jax.Array:
            right, wrong = good.predict(values), predict_early(values)
            return right + f["model read one year early"] * (wrong - right)

        def straighten(coordinates: jax.Array) -> tuple[jax.Array, jax.Array]:
            scores, jacobian = good.straighten(coordinates)
            return scores, jacobian * (1.0 - f["Jacobian of the wall dropped"])

        return Faulty(
            replace(parameters, entries=tuple(prior(e) for e in parameters.entries), mixing=mixing),
            good.rows,
            wrong_errors,
            predict,
            straighten,
            power=1.0 - f["data never read"] + f["every measurement counted twice"],
            forgotten=f["determinant of the covariance left out"],
        )

    return calibration


def run(count: int, each: int, effort: Effort, seed: int = 1) -> dict[str, Ranks]:
    """Ranks of the calibration (under the key ``as it is``, ``count`` data sets) and of every fault (``each``)."""
    with tempfile.TemporaryDirectory() as folder, jax.enable_x64(True):
        plan = study(Path(folder))
        good = problem_of(plan)
        cases = np.concatenate([np.zeros((count, len(FAULTS))), np.repeat(np.eye(len(FAULTS)), each, axis=0)])
        scores, data = simulate(good, len(cases), seed)
        every = rank_truth(good, scores, data, effort, seed + 1, planted(plan, good), cases, OTHERS, quiet=False)
    parts = np.split(every.ranks, count + each * np.arange(len(FAULTS)))
    return {name: replace(every, ranks=part) for name, part in zip(("as it is", *FAULTS), parts, strict=True)}


def write_figure(path: Path, good: Ranks, faults: dict[str, Ranks]) -> None:
    """The ranks of the calibration as it is, and of every fault, as one SVG file."""
    cells = {f"as it is, {len(good.ranks)} data sets": good, **faults}
    width, height, columns = 372, 292, 3
    parts = []
    for place, (name, ranks) in enumerate(cells.items()):
        svg = panel_of(ranks, f"ranks-{place}", name[:1].upper() + name[1:]).svg
        x, y = place % columns * width, place // columns * height
        box = f'<svg x="{x}" y="{y}" width="{width}" height="{height}"'
        parts.append(
            re.sub(r'style="max-width[^"]*" ', "", svg).replace("<svg", box, 1).replace("var(--type)", "sans-serif")
        )
    rows = -(-len(cells) // columns)
    size = f'viewBox="0 0 {columns * width} {rows * height}"'
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg {names} {size}><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n')


def main() -> None:
    count, each = (int(sys.argv[k]) if len(sys.argv) > k else default for k, default in ((1, 1000), (2, FAULT_SETS)))
    found = run(count, each, Effort())
    for name, ranks in found.items():
        sizes = ranks.departures()
        worst = int(np.argmax(sizes))
        print(f"{name:42s} {len(ranks.ranks):5d} data sets {sizes[worst]:6.2f} x band at {ranks.names[worst]}")
    if len(sys.argv) > 3:
        good = found.pop("as it is")
        write_figure(Path(sys.argv[3]), good, found)


if __name__ == "__main__":
    main()
