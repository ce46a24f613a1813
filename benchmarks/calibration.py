"""Effective samples per second of a calibration: ensemble, emcee on a numba RothC, and NumPyro on an unoptimised loop.

    pip install emcee numba
    python benchmarks/calibration.py [rounds]

One posterior for all three: Highfield bare fallow (configs/calibrate_highfield.yaml, 14 parameters, 28 measurements).
The rounds are interleaved in one process, so that whatever else the machine does falls on all of them. Every time is
of the processor, compilation included, and every effective sample size is the smallest bulk value over parameters.
``emcee`` has the same likelihood and the rate factors computed once; ``NumPyro`` is what one writes first: the model's
monthly loop with everything in it, in the coordinates of the prior, with NumPyro's defaults.

Then: cost of the gradient against the model alone and its memory, and the number of compiled programs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import arviz
import emcee
import jax
import jax.numpy as jnp
import numba
import numpy as np
from numpyro.infer import MCMC, NUTS

from ensemble.inference.calibration.fit import _stream
from ensemble.inference.calibration.modes import find_modes
from ensemble.inference.calibration.problem import Problem, base_by_pair, make_problem
from ensemble.inference.calibration.sampling import nuts
from ensemble.models.modifiers import recurring_deficit
from ensemble.models.rothc import LEAD
from ensemble.models.rothc_site import make_drivers, make_site, part, prepare, rate_factors
from ensemble.pipeline import load_plan
from ensemble.plan import Plan
from ensemble.propagate import chain

STUDY = Path(__file__).parents[1] / "configs" / "calibrate_highfield.yaml"
WALKERS, STEPS, BURN = 64, 4000, 1500
NAIVE = (40, 20)  # warm-up steps and draws of the unoptimised loop: its cost per effective sample is what counts


class Outcome(NamedTuple):
    """Seconds of the processor, smallest effective sample size, largest R-hat, draws (chains, draws, size)."""

    seconds: float
    ess: float
    rhat: float
    draws: np.ndarray


def judged(seconds: float, draws: np.ndarray) -> Outcome:
    """Rank-normalised diagnostics of draws."""
    columns = np.moveaxis(draws, -1, 0)
    ess = min(float(arviz.ess(column, method="bulk")) for column in columns)
    return Outcome(seconds, ess, max(float(arviz.rhat(column, method="rank")) for column in columns), draws)


def with_ensemble(plan: Plan, problem: Problem, seed: int) -> Outcome:
    """The whole way of `ensemble calibrate` from the bound problem to the draws, default settings."""
    started = time.process_time()
    modes = find_modes(problem.potential, problem.parameters.size, 16, _stream(seed, "starts"))
    draws = nuts(problem.potential, modes, 4, 1000, 1000, 0.9, _stream(seed, "chains"))
    scores = np.asarray(jax.vmap(jax.vmap(problem.straighten))(draws.coordinates)[0])
    return judged(time.process_time() - started, scores)


def unoptimised(plan: Plan, problem: Problem) -> Callable[[jax.Array], jax.Array]:
    """Minus the log posterior of scores with the plain monthly loop, nothing computed beforehand."""
    rows, parameters = problem.rows, problem.parameters
    pairs = rows.drop_duplicates("pair")
    places = np.array([plan.sites.index(name) for name in pairs["site"]])
    base, axes = base_by_pair(plan, np.zeros_like(places), places)
    evaluate = chain(replace(plan, outputs=tuple(spec for spec in plan.outputs if spec.name == "soc")))
    inputs = [scalar.label for scalar in plan.uncertainty.scalars]
    pair, record = rows["pair"].to_numpy(), rows["record"].to_numpy(int)

    def predict(values: Any) -> jax.Array:
        numbers = parameters.by_pair(values, inputs)
        number_axes = {name: 0 if jnp.ndim(value) else None for name, value in numbers.items()}
        run = jax.vmap(lambda n, b: evaluate(n, {}, 0, b)["soc"], in_axes=(number_axes, axes), axis_size=len(places))
        return run(numbers, base)[pair, record]

    plain = replace(problem, predict=predict, straighten=lambda scores: (scores, jnp.zeros(())))
    return plain.potential


def with_numpyro(potential: Callable[[jax.Array], jax.Array], size: int, seed: int) -> Outcome:
    """NumPyro's defaults, chains side by side."""
    started = time.process_time()
    first, second = jax.random.split(jax.random.key(seed))
    warmup, draws = NAIVE
    sampler = MCMC(
        NUTS(potential_fn=potential), num_warmup=warmup, num_samples=draws, num_chains=4, chain_method="vectorized",
        progress_bar=False,
    )  # fmt: skip
    sampler.run(second, init_params=0.5 * jax.random.normal(first, (4, size)))
    return judged(time.process_time() - started, np.asarray(sampler.get_samples(group_by_chain=True)))


@numba.njit(cache=False)
def year(pools, rates, k, arriving, to_bio, to_hum):
    """Twelve months of RothC, in place."""
    for m in range(rates.size):
        left = np.exp(-k * rates[m] / 12.0) * pools
        lost = pools.sum() - left.sum()
        left[2] += to_bio * lost
        left[3] += to_hum * lost
        left += arriving
        pools[:] = left
    return pools


@numba.njit(cache=False)
def stocks(k, stock, iom, lead, run, ends, dpm_part, to_bio, to_hum):
    """Stock of one plot at the ends of some months; the start is the equilibrium scaled to the measured stock."""
    arriving = np.array([dpm_part, 1.0 - dpm_part, 0.0, 0.0]) / 12.0
    nothing = np.zeros(4)
    gone = np.exp(-k * lead.sum() / 12.0)
    pools = year(np.zeros(4), lead, k, arriving, to_bio, to_hum)
    pools[0] /= 1.0 - gone[0]
    pools[1] /= 1.0 - gone[1]
    fed = np.array([pools[0], pools[1], 0.0, 0.0])
    once = year(fed.copy(), lead, k, arriving, to_bio, to_hum)
    from_bio = year(np.array([0.0, 0.0, 1.0, 0.0]), lead, k, nothing, to_bio, to_hum)
    from_hum = year(np.array([0.0, 0.0, 0.0, 1.0]), lead, k, nothing, to_bio, to_hum)
    a, b, c, d = 1.0 - from_bio[2], -from_hum[2], -from_bio[3], 1.0 - from_hum[3]
    fed[2] = (d * once[2] - b * once[3]) / (a * d - b * c)
    fed[3] = (a * once[3] - c * once[2]) / (a * d - b * c)
    pools = fed * (stock - iom) / fed.sum()
    found = np.empty(ends.size)
    begin = 0
    for i in range(ends.size):
        pools = year(pools, run[begin : ends[i]], k, nothing, to_bio, to_hum)
        begin = ends[i]
        found[i] = pools.sum() + iom
    return found


def emcee_posterior(
    plan: Plan, problem: Problem
) -> tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], np.ndarray]]:
    """Log posterior of scores for emcee, and its model, on numba."""
    rows, names = problem.rows, problem.parameters.names
    inputs = prepare(
        {name: jnp.asarray(array[0, 0]) for name, array in plan.base.values.items()} | {"iom": jnp.zeros(())}
    )
    options = plan.bound.options
    site, drivers = make_site(inputs, options), make_drivers(inputs, options)
    head = part(drivers, slice(LEAD))
    deficit = recurring_deficit(head.water, head.cover, site.limits)
    lead = np.asarray(rate_factors(site, deficit, head).rate)
    run = np.asarray(rate_factors(site, deficit, part(drivers, slice(LEAD, None))).rate)
    to_bio, to_hum, dpm_part = (float(x) for x in (site.kinetics.to_bio, site.kinetics.to_hum, 1.44 / 2.44))
    plots = sorted(set(rows["site"]))
    measured = plan.base.values["soc_measured"][0, [plan.sites.index(p) for p in plots]]
    ends = np.array(sorted(set(rows["record"].to_numpy(int)))) + 1
    plot = np.array([plots.index(p) for p in rows["site"]])
    date = np.searchsorted(ends, rows["record"].to_numpy(int) + 1)
    logs = np.log(rows["value"].to_numpy(float))
    own = problem.errors.own
    shared = {source.label: source.together for source in problem.errors.sources}
    laws = {entry.label: entry.law for entry in problem.parameters.entries}

    def values(scores: np.ndarray) -> dict[str, float]:
        return {n: v for n, v in zip(names, scale * np.exp(sigma * scores), strict=True)}

    sigma, scale = (np.array([float(np.ravel(laws[n.split("[")[0]].law.args[i])[0]) for n in names]) for i in (0, 2))

    def model(scores: np.ndarray) -> np.ndarray:
        v = values(scores)
        k = np.array([v[f"k_{pool}"] for pool in ("dpm", "rpm", "bio", "hum")]) * v["rate_scale"]
        found = np.empty((len(plots), ends.size))
        for p, name in enumerate(plots):
            stock = measured[p] * v[f"laboratory[{name}]"] * v["soil_mass"]
            iom = 0.049 * stock**1.139 * v["iom"]
            found[p] = stocks(k, stock, iom, lead, run, ends, dpm_part, to_bio, to_hum)
        return found[plot, date]

    def log_posterior(scores: np.ndarray) -> float:
        predicted, v = model(scores), values(scores)
        if not (predicted > 0).all():
            return -np.inf
        residual = logs - np.log(predicted)
        covariance = np.diag((v["error_scale"] * own) ** 2)
        for label, together in shared.items():
            covariance += v[label] ** 2 * together
        factor = np.linalg.cholesky(covariance)
        white = np.linalg.solve(factor, residual)
        return float(-0.5 * (white @ white + scores @ scores) - np.log(np.diag(factor)).sum())

    return log_posterior, model


def with_emcee(log_posterior: Callable[[np.ndarray], float], size: int, seed: int) -> Outcome:
    """emcee's mix of differential evolution and snooker moves, which needs no gradient; walkers are its chains."""
    started = time.process_time()
    rng = np.random.default_rng(seed)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(WALKERS, size, log_posterior, moves=moves)
    sampler.random_state = np.random.RandomState(seed).get_state()
    sampler.run_mcmc(0.3 * rng.normal(size=(WALKERS, size)), STEPS)
    return judged(time.process_time() - started, np.moveaxis(sampler.get_chain(discard=BURN), 0, 1))


def agreement(problem: Problem, model: Callable, log_posterior: Callable, plain: Callable) -> None:
    """Refuse to compare three different posteriors."""
    scores = 0.5 * np.random.default_rng(0).normal(size=(5, problem.parameters.size))
    there = jax.jit(lambda s: problem.predict(problem.parameters.values(s)))
    np.testing.assert_allclose([model(s) for s in scores], [there(s) for s in scores], rtol=1e-9)
    ours = np.array([float(problem.log_prior(s) + problem.log_likelihood(s)) for s in scores])
    np.testing.assert_allclose(np.diff([log_posterior(s) for s in scores]), np.diff(ours), rtol=1e-8)
    np.testing.assert_allclose([-float(jax.jit(plain)(s)) for s in scores], ours, rtol=1e-8)


def gradient_cost(plan: Plan, problem: Problem, plain: Callable) -> None:
    """Time and memory of the gradient against the function alone, for the plain loop and the pools as one vector."""
    members = 256
    scores = 0.3 * jax.random.normal(jax.random.key(0), (members, problem.parameters.size))
    for name, function in (("pools as one vector", problem.potential), ("monthly loop", plain)):
        found = []
        for form in (function, jax.value_and_grad(function)):
            program = jax.jit(lambda s, form=form: jax.lax.map(form, s, batch_size=32)).lower(scores).compile()
            jax.block_until_ready(program(scores))
            started = time.process_time()
            jax.block_until_ready(program(scores))
            memory = program.memory_analysis().temp_size_in_bytes / 32
            found.append(((time.process_time() - started) / members, memory))
        (forward, kept), (both, more) = found
        print(
            f"{name:19s} model {1e6 * forward:8.0f} us, with gradient {1e6 * both:8.0f} us ({both / forward:4.1f} x); "
            f"memory a member {kept / 1024:6.1f} KB, with gradient {more / 1024:6.1f} KB"
        )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    compiled: list[float] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(seconds) if event.endswith("backend_compile_duration") else None
    )
    with jax.enable_x64(True):
        plan = load_plan(STUDY, (), None, None)
        problem = make_problem(plan, plan.study.record.calibrate)
        plain, (log_posterior, model) = unoptimised(plan, problem), emcee_posterior(plan, problem)
        agreement(problem, model, log_posterior, plain)
        size = problem.parameters.size
        table: dict[str, list[Outcome]] = {"ensemble": [], "emcee, numba": [], "NumPyro, plain loop": []}
        for seed in range(rounds):
            before = len(compiled)
            table["ensemble"].append(with_ensemble(plan, problem, seed))
            print(
                f"programs compiled by ensemble: {len(compiled) - before}, {sum(compiled[before:]):.1f} s", flush=True
            )
            table["emcee, numba"].append(with_emcee(log_posterior, size, seed))
            table["NumPyro, plain loop"].append(with_numpyro(plain, size, seed))
        for name, outcomes in table.items():
            seconds, ess = (float(np.mean([getattr(o, key) for o in outcomes])) for key in ("seconds", "ess"))
            rhat = max(o.rhat for o in outcomes)
            print(
                f"{name:20s} {seconds:7.1f} s  ESS {ess:7.0f}  R-hat {rhat:6.3f}  {ess / seconds:8.2f} ESS/s",
                flush=True,
            )
        gradient_cost(plan, problem, plain)


if __name__ == "__main__":
    main()
