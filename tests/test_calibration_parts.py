"""Parts of a calibration against closed forms: filter, shared errors, priors, coordinates, left-out densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Literal
from scipy import stats

from ensemble.inference.assimilation.ensemble_kalman import analysis
from ensemble.inference.calibration.coordinates import gentle
from ensemble.inference.calibration.errors import ErrorModel, Source, gaussian_log_density
from ensemble.inference.calibration.hoist import hoist
from ensemble.inference.calibration.importance import left_out_density, power_sensitivity
from ensemble.inference.calibration.kalman import Dates, State, filtered, interval_noise, pool_covariance, step
from ensemble.inference.calibration.score_map import score_map
from ensemble.inputs.distributions import make_distribution
from ensemble.models.linear import Affine, trajectory

POOLS, COUNT = 4, 9


def rothc_like(rng):
    """Maps of a leaking, feeding, four-pool model, and noise relative to its pools."""
    matrix = np.diag(rng.uniform(0.3, 0.98, POOLS)) + np.triu(rng.uniform(0, 0.1, (POOLS, POOLS)), 1).T
    maps = Affine(jnp.asarray(np.stack([matrix] * COUNT)), jnp.asarray(rng.uniform(0, 2, (COUNT, POOLS))))
    start = State(jnp.asarray(rng.uniform(1, 30, POOLS)), jnp.asarray(np.diag(rng.uniform(0.1, 2, POOLS))))
    noise = interval_noise(maps, start.mean, jnp.asarray(rng.uniform(1, 9, COUNT)), jnp.asarray(0.03))
    observe = jnp.ones((COUNT, 2, POOLS)).at[:, 1, :2].set(0.0)
    error = jnp.stack([jnp.asarray([[4.0, 1.0], [1.0, 3.0]])] * COUNT)
    offset = jnp.full((COUNT, 2), 5.0)
    measured = jnp.asarray(rng.normal(40, 6, (COUNT, 2)))
    return start, Dates(maps, noise, observe, offset, error, measured)


@pytest.mark.parametrize("seed", range(5))
def test_filter_equals_the_dense_gaussian_and_sequential_equals_batch(x64, seed):
    start, dates = rothc_like(np.random.default_rng(seed))
    end, densities = filtered(start, dates)
    mean = trajectory(dates.maps, start.mean)
    expected = jnp.einsum("dvp,dp->dv", dates.observe, mean) + dates.offset
    pools = pool_covariance(dates.maps, dates.noise, start.covariance)
    dense = jnp.einsum("avp,abpq,bwq->avbw", dates.observe, pools, dates.observe)
    dense = dense.reshape(2 * COUNT, 2 * COUNT) + jax.scipy.linalg.block_diag(*dates.error)
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    batch = gaussian_log_density((dates.measured - expected).reshape(-1), dense)
    assert abs(float(densities.sum() - batch)) < 1e-10 * abs(float(batch))
    first, rest = (jax.tree.map(lambda a, part=part: a[part], dates) for part in (slice(None, 4), slice(4, None)))
    state, before = filtered(start, first)
    after_end, after = filtered(state, rest)
    assert abs(float(before.sum() + after.sum() - densities.sum())) < 1e-8
    np.testing.assert_allclose(after_end.mean, end.mean, rtol=1e-10)


STATEMENTS = [
    {"distribution": "normal", "mean": 3, "sd": 2},
    {"distribution": "lognormal", "median": 0.02, "cv": 0.4},
    {"distribution": "truncated_normal", "mean": 2, "sd": 1, "lower": 0},
    {"distribution": "uniform", "minimum": 2, "maximum": 5},
    {"distribution": "triangular", "minimum": 0, "mode": 1, "maximum": 4},
    {"distribution": "beta", "mean": 0.3, "sd": 0.1, "minimum": 0, "maximum": 1},
    {"distribution": "gamma", "mean": 2, "sd": 1},
]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s["distribution"])
def test_a_prior_is_the_studys_own(x64, statement):
    law = make_distribution(statement)
    scores = np.linspace(-5.5, 5.5, 997)
    values = np.asarray(score_map(law)(jnp.asarray(scores)))
    np.testing.assert_allclose(values, law.from_score(scores), rtol=1e-6, atol=1e-9 * float(law.sd))  # 2e-7 at a kink
    assert (np.diff(values) > 0).all()
    slope = jax.vmap(jax.grad(score_map(law)))(jnp.asarray(scores))
    assert np.isfinite(slope).all() and (np.asarray(slope) > 0).all()


def test_values_without_density_are_refused():
    with pytest.raises(ValueError, match="no density"):
        score_map(make_distribution({"distribution": "discrete", "values": [1, 2]}))


def test_what_does_not_depend_on_the_parameters_is_done_once(x64):
    def model(fixed, free):
        slow = jax.lax.scan(lambda c, x: (c + jnp.sin(x), c), 0.0, fixed["series"])[1]
        return {"y": slow * free["k"] + fixed["shift"], "constant": slow.sum()}

    fixed = {"series": jnp.linspace(0.0, 3.0, 50), "shift": jnp.ones(50)}
    quick = hoist(model, fixed, {"k": jnp.asarray(1.0)})
    expected = model(fixed, {"k": 1.7})
    for name, value in quick({"k": jnp.asarray(1.7)}).items():
        np.testing.assert_array_equal(value, expected[name])
    assert "scan" not in str(jax.make_jaxpr(quick)({"k": jnp.asarray(1.0)}))


def test_a_wall_keeps_the_density(x64):
    points = jnp.linspace(-6.0, 40.0, 200_001)
    scores, slopes = jax.vmap(lambda c: gentle(c, 1.2))(points)
    np.testing.assert_allclose(slopes, np.gradient(np.asarray(scores), np.asarray(points)), rtol=1e-4)
    mass = np.trapezoid(stats.norm.pdf(scores) * slopes, points)
    assert mass == pytest.approx(stats.norm.cdf(float(scores[-1])) - stats.norm.cdf(float(scores[0])), abs=1e-6)
    assert float(gentle(jnp.asarray(-3.0), 1.2)[0]) == pytest.approx(-3.0, abs=1e-3)


def errors_of(values, below=None):
    """Two plots at three dates, with errors of rows, plots and dates."""
    plots, dates = np.array([0, 1] * 3), np.array([0, 0, 1, 1, 2, 2])
    sources = (
        Source("error_plot", True, np.equal.outer(plots, plots).astype(float), None),
        Source("error_date", True, np.equal.outer(dates, dates).astype(float), 0.03),
    )
    below = np.zeros(6, bool) if below is None else below
    years = 10.0 * dates
    walk = np.ones((6, 6))
    return ErrorModel(
        values,
        np.full(6, np.sqrt(np.log1p(0.05**2))),
        np.ones(6, bool),
        below,
        years,
        sources,
        1.0,
        walk,
        None,
        {"model_error": 0.02},
    )


def test_shared_errors_are_integrated_out_exactly(x64):
    values = np.array([50.0, 52.0, 41.0, 45.0, 35.0, 37.0])
    predicted = np.array([51.0, 51.0, 42.0, 42.0, 36.0, 36.0])
    errors = errors_of(values)
    found = float(errors.log_likelihood(jnp.asarray(predicted), {"error_plot": jnp.asarray(0.07)}))
    # the same by simulation of the effects: the density averaged over plot, date and walk effects
    rng = np.random.default_rng(0)
    draws = 400_000
    plot, date = 0.07 * rng.normal(size=(draws, 2)), 0.03 * rng.normal(size=(draws, 3))
    walk = np.cumsum(
        0.02 * np.sqrt(10) * np.concatenate([np.zeros((draws, 1)), rng.normal(size=(draws, 2))], axis=1), axis=1
    )
    effect = plot[:, [0, 1] * 3] + date[:, [0, 0, 1, 1, 2, 2]] + walk[:, [0, 0, 1, 1, 2, 2]]
    sd = np.sqrt(np.log1p(0.05**2))
    logs = stats.norm.logpdf(np.log(values / predicted) - effect, 0.0, sd).sum(axis=1) - np.log(values).sum()
    assert found == pytest.approx(np.logaddexp.reduce(logs) - np.log(draws), abs=0.03)


def test_a_left_out_group_is_the_joint_density_less_that_of_the_rest(x64):
    values = np.array([50.0, 52.0, 41.0, 45.0, 35.0, 37.0])
    predicted, spreads = jnp.asarray(values * 1.03), {"error_plot": jnp.asarray(0.07)}
    errors = errors_of(values)
    groups = tuple(np.flatnonzero(np.array([0, 0, 1, 1, 2, 2]) == k) for k in range(3))
    precision = jnp.linalg.inv(errors.covariance(predicted, spreads))
    found = left_out_density(errors, precision, precision @ errors.residual(predicted), groups)
    whole = errors.log_likelihood(predicted, spreads)
    for rows, density in zip(groups, found, strict=True):
        rest = np.setdiff1d(np.arange(6), rows)
        without = errors.rows(rest).log_likelihood(predicted[rest], spreads)
        assert float(density) == pytest.approx(float(whole - without), abs=1e-10)


def test_a_value_below_the_detection_limit_adds_its_probability_given_the_others(x64):
    values = np.array([50.0, 52.0, 41.0, 45.0, 35.0, 30.0])
    predicted = jnp.asarray([51.0, 51.0, 42.0, 42.0, 36.0, 36.0])
    spreads = {"error_plot": jnp.asarray(0.07)}
    errors = errors_of(values, np.array([False] * 5 + [True]))
    found = float(errors.log_likelihood(predicted, spreads))
    # the same by the density of all six rows, summed over everything below the limit
    seen = errors_of(values)
    limits = np.linspace(1e-3, 30.0, 4001)
    dense = np.tile(seen.residual(predicted), (limits.size, 1))
    dense[:, 5] = np.log(limits / 36.0)
    covariance = seen.covariance(predicted, spreads)
    logs = jax.vmap(lambda r: gaussian_log_density(r, covariance))(dense) - seen.log_jacobian
    density = np.exp(np.asarray(logs) + np.log(30.0) - np.log(limits))
    assert found == pytest.approx(np.log(np.trapezoid(density, limits)), abs=1e-4)


FACTORISATIONS = ("cholesky", "triangular_solve", "lu", "eigh")


def unordered(function, *arguments):
    """Pairs of factorisations or solves of a program of which neither waits for the other."""
    closed = jax.make_jaxpr(function)(*arguments)
    pairs, known = [], []

    def walk(jaxpr, before):
        """What each variable waits for, as sets of numbers in ``known``."""
        waits, done = dict(zip(jaxpr.invars, before, strict=True)), {}
        for equation in jaxpr.eqns:
            inputs = [waits.get(v, frozenset()) for v in equation.invars if not isinstance(v, Literal)]
            here = frozenset().union(*inputs)
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            inner = getattr(inner, "jaxpr", inner)
            same = equation.primitive.name, str(equation.invars), str(equation.params)
            if same in done:  # XLA keeps one of two that are the same
                waits |= dict.fromkeys(equation.outvars, done[same])
                continue
            if equation.primitive.name in FACTORISATIONS:
                pairs.extend((known[k], equation.primitive.name) for k in set(range(len(known))) - here)
                here |= {len(known)}
                known.append(equation.primitive.name)
                done[same] = here
            elif inner is not None and len(inner.invars) == len(equation.invars):
                parts = [frozenset() if isinstance(v, Literal) else waits.get(v, frozenset()) for v in equation.invars]
                for outer, found in zip(equation.outvars, walk(inner, parts), strict=True):
                    waits[outer] = found
                continue
            waits |= dict.fromkeys(equation.outvars, here)
        return [frozenset() if isinstance(v, Literal) else waits.get(v, frozenset()) for v in jaxpr.outvars]

    walk(closed.jaxpr, [frozenset()] * len(closed.jaxpr.invars))
    return pairs, known


def test_no_two_factorisations_can_wait_for_each_other(x64):
    # mapped over chains each takes all of jaxlib's threads and waits for them
    errors = errors_of(np.full(6, 40.0), np.array([False] * 5 + [True]))

    def likelihood(point):
        level = jnp.linalg.solve(jnp.eye(6) + 0.1 * point[0], 40.0 + point)  # as the equilibrium of a model
        return errors.log_likelihood(level, {"error_plot": 0.07 * jnp.exp(point[1])})

    start, dates = rothc_like(np.random.default_rng(1))
    for function, argument in (
        (likelihood, jnp.zeros(6)),
        (jax.grad(likelihood), jnp.zeros(6)),
        (lambda mean: step(State(mean, start.covariance), jax.tree.map(lambda a: a[0], dates)), start.mean),
        (lambda key: analysis(jnp.ones((5, 2)), jnp.ones((5, 3)), jnp.ones(3), jnp.eye(3), key), jax.random.key(1)),
    ):
        pairs, known = unordered(function, argument)
        assert not pairs and len(known) >= 3
    side_by_side, _ = unordered(lambda a: jnp.linalg.cholesky(a) + jnp.linalg.inv(a), jnp.eye(3))
    assert side_by_side


def test_the_closed_form_derivative_is_that_of_the_factorisation(x64):
    rng = np.random.default_rng(2)
    residual, root = jnp.asarray(rng.normal(size=5)), jnp.asarray(rng.normal(size=(5, 5)) + 3.0 * np.eye(5))

    def plain(residual, covariance):
        factor = jnp.linalg.cholesky(covariance)
        white = jnp.linalg.solve(factor, residual)
        return -0.5 * (white @ white + 5 * np.log(2 * np.pi)) - jnp.log(jnp.diagonal(factor)).sum()

    for function in (jax.value_and_grad, jax.jacfwd):
        here, there = (
            function(lambda r, root, f=f: f(r * root[0, 0], root @ root.T), argnums=(0, 1))(residual, root)
            for f in (gaussian_log_density, plain)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), here, there)


def test_power_scaling_sees_which_of_prior_and_data_decides():
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(4000, 2))
    only_first = -0.5 * draws[:, 0] ** 2
    found = power_sensitivity(draws, only_first)
    assert found[0] > 0.05 > found[1]


def test_noise_on_the_pools_of_rothc_is_the_filters_likelihood(x64):
    from ensemble.inference.calibration.problem import noise_covariance
    from ensemble.models.base import BuildSettings
    from ensemble.models.examples import example_inputs
    from ensemble.models.registry import builtin_models
    from ensemble.models.rothc_calibration import pool_maps

    model, records = builtin_models()["rothc"], (0, 3, 5, 9)
    inputs = example_inputs(model, years=10)
    settings = BuildSettings(model.default_options(), 12, ("soc",))
    maps, start, observe = pool_maps(settings, records)(inputs)
    simulated = model.simulator(settings)(inputs)["soc"][np.array(records)]
    years, rate = jnp.asarray([1.0, 3.0, 2.0, 4.0]), jnp.asarray(0.02)
    expected = trajectory(maps, start).sum(axis=1) + inputs["iom"]
    np.testing.assert_allclose(expected, simulated, rtol=1e-12)
    rows, error = np.arange(4), 1.5
    covariance = noise_covariance(maps, start, years, rate, observe["soc"], rows) + error**2 * jnp.eye(4)
    measured = simulated + jnp.asarray([1.0, -2.0, 0.5, 1.0])
    one = jnp.ones((4, 1, 4))
    dates = Dates(
        maps, interval_noise(maps, start, years, rate), one, jnp.full((4, 1), float(inputs["iom"])),
        jnp.full((4, 1, 1), error**2), measured[:, None],
    )  # fmt: skip
    _, densities = filtered(State(start, jnp.zeros((4, 4))), dates)
    dense = gaussian_log_density(measured - simulated, covariance)
    assert abs(float(densities.sum() - dense)) < 1e-10 * abs(float(dense))


@pytest.mark.parametrize("steps", [1, 12])
def test_rothc_at_some_records_is_rothc(x64, steps):
    from ensemble.models.base import BuildSettings
    from ensemble.models.examples import example_inputs
    from ensemble.models.registry import builtin_models
    from ensemble.models.rothc_calibration import STOCKS, at_records

    model, records = builtin_models()["rothc"], (0, 3, 8)
    settings = BuildSettings(model.default_options() | {"fractions": True}, steps, STOCKS)
    inputs = example_inputs(model, years=10)
    whole, some = model.simulator(settings)(inputs), at_records(settings, records)(inputs)
    for name in STOCKS:
        np.testing.assert_allclose(some[name], np.broadcast_to(whole[name], (120 // steps,))[list(records)], rtol=1e-12)
    assert at_records(BuildSettings(model.default_options(), steps, ("soc", "co2")), records) is None
