"""Taking in measurements one date after the other, against dense Gaussians, conjugate posteriors and NUTS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from twin_studies import LINE, LINE_DATA, POOLS, POOLS_DATA, folder

from ensemble.inference.assimilation.engine import make_engine
from ensemble.inference.assimilation.ensemble_kalman import analysis, es_mda, gaspari_cohn
from ensemble.inference.assimilation.evidence import date_densities
from ensemble.inference.assimilation.particles import systematic
from ensemble.inference.assimilation.system import make_system
from ensemble.inference.calibration.fit import calibrate
from ensemble.inference.calibration.kalman import Dates, State, filtered, step
from ensemble.inference.calibration.problem import make_problem
from ensemble.models.linear import Affine
from ensemble.pipeline import load_plan


def problem_of(path, text=POOLS, data=POOLS_DATA):
    plan = load_plan(folder(path, text, data), (), None, None)
    return make_problem(plan, plan.study.record.calibrate)


ERRORS = {
    "pools": POOLS,
    "logarithms": POOLS.replace("likelihood: normal", "likelihood: lognormal"),
    "walk": POOLS.replace("{kind: pools, sd: 0.02}", "{kind: random_walk, sd: 0.02, shared_by: [scenario]}"),
    "ar1": POOLS.replace("{kind: pools, sd: 0.02}", "{kind: ar1, sd: 0.03, timescale: 6}"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_the_filter_has_the_evidence_of_the_batch(x64, tmp_path, kind):
    problem = problem_of(tmp_path, ERRORS[kind])
    system, scores = make_system(problem), jnp.asarray(np.random.default_rng(0).normal(size=problem.parameters.size))
    values = problem.parameters.values(scores)
    dates, _ = jax.jit(system.dates)(values)
    end, densities = filtered(system.start(values), dates)
    each = system.log_densities(densities)
    dense, batch = jax.jit(lambda s: (date_densities(problem)(s), problem.log_likelihood(s)))(scores)
    np.testing.assert_allclose(each, dense, atol=1e-10)
    assert float(each.sum()) == pytest.approx(float(batch), abs=1e-10)
    # one date after the other, stopped and taken up again
    first, rest = (jax.tree.map(lambda a, part=part: a[part], dates) for part in (slice(None, 2), slice(2, None)))
    middle, before = filtered(system.start(values), first)
    last, after = filtered(middle, rest)
    assert float(before.sum() + after.sum()) == pytest.approx(float(densities.sum()), abs=1e-8)
    np.testing.assert_allclose(last.mean, end.mean, atol=1e-10)


def test_the_order_within_a_date_does_not_matter(x64, tmp_path):
    header, *rows = POOLS_DATA.split()
    turned = "\n".join([header, rows[1], rows[0], rows[3], rows[2], *rows[4:]]) + "\n"
    scores = jnp.asarray([0.3, -0.4])
    problems = [problem_of(tmp_path, ERRORS["walk"], data) for data in (POOLS_DATA, turned)]
    found = [np.asarray(jax.jit(date_densities(problem))(scores)) for problem in problems]
    np.testing.assert_allclose(found[0], found[1], atol=1e-11)


def test_a_value_below_a_detection_limit_is_refused(x64, tmp_path):
    data = "scenario,time,value,below_detection\nkept,2001,41,\nmore,2004,40,true\n"
    with pytest.raises(ValueError, match="in 2005 is below a detection limit"):
        make_system(problem_of(tmp_path, data=data))


def closed_form(rows):
    """Mean and covariance of the conjugate posterior of the line, and the log evidence, after some rows."""
    design = np.column_stack([np.ones(len(rows)), rows[:, 0] - 1999])
    errors = 0.25 * np.eye(len(rows)) + 0.16 * np.equal.outer(rows[:, 0], rows[:, 0])
    weight, prior = np.linalg.inv(errors), np.diag([1 / 4, 1])
    covariance = np.linalg.inv(design.T @ weight @ design + prior)
    mean = covariance @ (design.T @ weight @ rows[:, 1] + prior @ [1, 0])
    spread = design @ np.diag([4.0, 1.0]) @ design.T + errors
    away = rows[:, 1] - design @ [1, 0]
    evidence = -0.5 * (away @ np.linalg.solve(spread, away) + np.linalg.slogdet(2 * np.pi * spread)[1])
    return mean, covariance, evidence


LINE_ROWS = np.array([[float(cell) for cell in line.split(",")] for line in LINE_DATA.split()[1:]])


def engine_of(path, *overrides):
    plan = load_plan(folder(path, LINE, LINE_DATA), overrides, None, None)
    record = plan.study.record
    return make_engine(plan, plan.observations, record.calibrate, record.twin, plan.seed)


def line_values(engine, belief):
    values = engine.values(jnp.asarray(belief.scores))
    return np.stack([values["base"], values["slope"]], axis=1), np.exp(belief.log_weights)


def test_particles_follow_the_conjugate_posterior_date_by_date(x64, tmp_path):
    engine = engine_of(tmp_path, "twin.particles=4096")
    belief, evidence, moved = engine.begin(), 0.0, 0
    for date, time in enumerate(engine.dates):
        belief, done = engine.absorb(belief, date)
        evidence, moved = evidence + done.log_evidence, moved + (done.sweeps > 0)
        mean, covariance, expected = closed_form(LINE_ROWS[LINE_ROWS[:, 0] < time])
        draws, weights = line_values(engine, belief)
        sd = np.sqrt(np.diag(covariance))
        assert (np.abs(weights @ draws - mean) < 5 * sd / np.sqrt(500)).all()  # a quarter of the particles count
        np.testing.assert_allclose(np.sqrt(weights @ (draws - weights @ draws) ** 2), sd, rtol=0.08)
        assert evidence == pytest.approx(expected, abs=0.12)
    assert moved >= 2  # resampling and moves were needed


@pytest.mark.parametrize("method", ["smc", "es_mda", "enkf"])
def test_the_order_within_a_date_changes_no_method(x64, tmp_path, method):
    """Within Monte Carlo error: the two values of the first date swap their draws of noise."""
    header, *rows = LINE_DATA.split()
    found = []
    for data in (rows, [rows[1], rows[0], *rows[2:]]):
        text = "\n".join([header, *data]) + "\n"
        plan = load_plan(folder(tmp_path, LINE, text), (f"twin.method={method}", "twin.particles=4096"), None, None)
        engine = make_engine(plan, plan.observations, plan.study.record.calibrate, plan.study.record.twin, plan.seed)
        belief, _ = engine.absorb(engine.begin(), 0)
        draws, weights = line_values(engine, belief)
        mean = weights @ draws
        found.append((mean, np.sqrt(weights @ (draws - mean) ** 2)))
    (first, sd), (turned, turned_sd) = found
    if method == "smc":  # weights come from the joint density of a date, which knows no order
        np.testing.assert_allclose(first, turned, rtol=1e-9)
    assert (np.abs(first - turned) < 5 * sd * np.sqrt(2 / 4096)).all()
    np.testing.assert_allclose(sd, turned_sd, rtol=5 * np.sqrt(2 / 4096))


def test_ensemble_smoother_and_filter_follow_it_too(x64, tmp_path):
    mean, covariance, _ = closed_form(LINE_ROWS)
    for method in ("es_mda", "enkf"):
        engine = engine_of(tmp_path, f"twin.method={method}", "twin.particles=4096")
        belief = engine.begin()
        for date in range(len(engine.dates)):
            belief, _ = engine.absorb(belief, date)
        draws, weights = line_values(engine, belief)
        sd = np.sqrt(np.diag(covariance))
        assert (np.abs(weights @ draws - mean) < 0.12 * sd).all(), method
        np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.08, err_msg=method)


def test_layers_of_a_forecast_add_up_to_the_conjugate_predictive(x64, tmp_path):
    engine = engine_of(tmp_path, "twin.particles=4096", "twin.forecast_draws=4096")
    belief, date = engine.begin(), 2
    for number in range(date + 1):
        belief, _ = engine.absorb(belief, number)
    forecast = engine.forecast(belief, date)
    mean, covariance, _ = closed_form(LINE_ROWS[LINE_ROWS[:, 0] < engine.dates[date]])
    last = forecast.rows["time"].idxmax()
    design = np.array([1.0, float(forecast.rows["time"][last]) - 2000.0])
    for layer, more in ((0, 0.0), (2, 0.0), (3, 0.25 + 0.16)):
        draws = forecast.layers[layer][:, last]
        sd = np.sqrt(design @ covariance @ design + more)
        assert abs(draws.mean() - design @ mean) < 0.12 * sd
        assert draws.std() == pytest.approx(sd, rel=0.08)


def test_arms_that_branch_off_share_state_and_noise(x64, tmp_path):
    data = "\n".join(line for line in POOLS_DATA.split("\n") if not line.startswith("more"))
    text = POOLS.replace("twin: {", "twin: {continues: {more: kept}, ")
    rows = "\n".join(f"{year},{2 if year < 2013 else 3}" for year in range(2000, 2020))
    study = folder(tmp_path, text, data)
    (tmp_path / "more.csv").write_text(f"year,drive\n{rows}\n")
    plan = load_plan(study, (), None, None)
    record = plan.study.record
    engine = make_engine(plan, plan.observations, record.calibrate, record.twin, 1)
    belief = engine.begin()
    for date in range(len(engine.dates)):
        belief, _ = engine.absorb(belief, date)
    forecast = engine.forecast(belief, len(engine.dates) - 1)
    truth = {
        arm: forecast.layers[2][:, ((forecast.rows["scenario"] == arm) & (forecast.rows["time"] == time)).to_numpy()][
            :, 0
        ]
        for arm in ("kept", "more")
        for time in (2013.0,)
    }
    np.testing.assert_allclose(truth["kept"], truth["more"], rtol=1e-10)  # the same until their inputs differ
    end = forecast.rows["time"].max()
    kept, more = (
        forecast.layers[2][:, ((forecast.rows["scenario"] == arm) & (forecast.rows["time"] == end)).to_numpy()][:, 0]
        for arm in ("kept", "more")
    )
    assert (more > kept).all() and (more - kept).std() < 0.3 * np.hypot(more.std(), kept.std())
    assert forecast.now[0].shape[1:] == (2, 2) and engine.problem.pools.names == ("fast", "slow")


def kalman_case(rng):
    prior = rng.normal(size=(3, 3))
    observe, spread = jnp.asarray(rng.normal(size=(2, 3))), jnp.asarray([[0.5, 0.2], [0.2, 0.8]])
    return jnp.asarray(prior @ prior.T + np.eye(3)), observe, spread, jnp.asarray(rng.normal(size=2) * 2)


def test_the_ensemble_filter_converges_to_kalman(x64):
    covariance, observe, spread, measured = kalman_case(np.random.default_rng(3))
    gain = covariance @ observe.T @ jnp.linalg.inv(observe @ covariance @ observe.T + spread)
    mean, after = gain @ measured, covariance - gain @ observe @ covariance
    root, sizes, errors = jnp.linalg.cholesky(covariance), (64, 256, 1024, 4096), []
    for members in sizes:

        def one(key, members=members):
            first, second = jax.random.split(key)
            ensemble = jax.random.normal(first, (members, 3)) @ root.T
            found = analysis(ensemble, ensemble @ observe.T, measured, spread, second)
            return jnp.concatenate([found.mean(axis=0) - mean, (jnp.cov(found.T) - after).ravel()])

        away = jax.vmap(one)(jax.random.split(jax.random.key(members), 200))
        errors.append(float(jnp.sqrt((away**2).sum(axis=1).mean())))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.6 < slope < -0.45, (slope, errors)
    assert errors[-1] < 0.15 * errors[0]


def test_the_smoother_is_exact_for_a_linear_model_with_many_members(x64):
    covariance, observe, spread, measured = kalman_case(np.random.default_rng(4))
    root = jnp.linalg.cholesky(covariance)
    scores = jax.random.normal(jax.random.key(1), (20_000, 3))
    found = es_mda(
        scores,
        lambda s: (s @ (observe @ root).T, jnp.broadcast_to(spread, (len(s), 2, 2))),
        measured,
        jax.random.key(2),
    )
    state = State(jnp.zeros(3), covariance)
    gain = covariance @ observe.T @ jnp.linalg.inv(observe @ covariance @ observe.T + spread)
    mean, after = state.mean + gain @ measured, covariance - gain @ observe @ covariance
    values = found @ root.T
    np.testing.assert_allclose(values.mean(axis=0), mean, atol=0.04 * float(jnp.sqrt(after.max())))
    np.testing.assert_allclose(jnp.cov(values.T), after, atol=0.04 * float(after.max()))


def test_localisation_is_a_correlation_with_compact_support():
    distance = np.abs(np.subtract.outer(np.linspace(0, 30, 40), np.linspace(0, 30, 40)))
    factors = np.asarray(gaspari_cohn(jnp.asarray(distance), 8.0))
    assert np.allclose(np.diag(factors), 1.0) and (factors[distance >= 8.0] == 0).all()
    assert np.linalg.eigvalsh(factors).min() > -1e-5
    assert float(gaspari_cohn(jnp.asarray(4.0), 8.0)) == pytest.approx(5 / 24, abs=1e-6)  # their equation at z = c


def test_inflation_and_taper_act_on_the_update():
    rng = np.random.default_rng(5)
    ensemble = jnp.asarray(rng.normal(size=(400, 2)))
    predicted, measured = ensemble[:, :1], jnp.asarray([2.0])
    alone = jnp.asarray([[1.0], [0.0]]), jnp.ones((1, 1))
    key, spread = jax.random.key(0), jnp.asarray([[0.5]])
    found = analysis(ensemble, predicted, measured, spread, key, 1.0, alone)
    # a parameter beyond the radius learns nothing: only the mean is taken off and put back
    np.testing.assert_allclose(found[:, 1], ensemble[:, 1], rtol=0, atol=1e-6)
    wide = analysis(ensemble, predicted, measured, spread, key, 1.5)
    assert float(wide[:, 0].mean()) > float(analysis(ensemble, predicted, measured, spread, key)[:, 0].mean())


def test_systematic_resampling_takes_floor_or_ceiling():
    weights = np.random.default_rng(6).dirichlet(np.ones(50))
    for offset in (0.0, 0.3, 0.999):
        counts = np.bincount(systematic(weights, offset), minlength=50)
        assert (np.abs(counts - 50 * weights) < 1.0 + 1e-9).all() and counts.sum() == 50


def test_step_of_kalman_takes_rows_in_any_split(x64):
    """Two values of one date with independent errors may be taken in together or one after the other."""
    covariance, observe, _, measured = kalman_case(np.random.default_rng(7))
    spread = jnp.diag(jnp.asarray([0.5, 0.8]))
    still = Affine(jnp.eye(3), jnp.zeros(3))
    start = State(jnp.zeros(3), covariance)
    both, density = step(start, Dates(still, jnp.zeros((3, 3)), observe, jnp.zeros(2), spread, measured))
    for order in ((0, 1), (1, 0)):
        state, total = start, 0.0
        for k in order:
            date = Dates(
                still,
                jnp.zeros((3, 3)),
                observe[k : k + 1],
                jnp.zeros(1),
                spread[k : k + 1, k : k + 1],
                measured[k : k + 1],
            )
            state, one = step(state, date)
            total = total + one
        np.testing.assert_allclose(state.mean, both.mean, atol=1e-12)
        assert float(total) == pytest.approx(float(density), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pools", "walk"])
def test_particles_agree_with_nuts(x64, tmp_path, kind):
    plan = load_plan(folder(tmp_path, ERRORS[kind], POOLS_DATA), ("twin.particles=4096",), None, None)
    record = plan.study.record
    fit = calibrate(make_problem(plan, record.calibrate), record.calibrate, 5)
    assert not fit.problems
    engine = make_engine(plan, plan.observations, record.calibrate, record.twin, 5)
    belief = engine.begin()
    for date in range(len(engine.dates)):
        belief, _ = engine.absorb(belief, date)
    weights, nuts = np.exp(belief.log_weights), fit.scores.reshape(-1, fit.scores.shape[-1])
    mean = weights @ belief.scores
    sd = np.sqrt(weights @ (belief.scores - mean) ** 2)
    error = nuts.std(axis=0) * np.sqrt(1 / 1000 + 1 / 1000)  # at least 1,000 effective draws of each
    assert (np.abs(mean - nuts.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(sd, nuts.std(axis=0), rtol=0.1)
