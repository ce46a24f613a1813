"""Deductions and inventories: worked by hand, by closed form and by simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ensemble.crediting.deductions import (
    credited_precision,
    deduct,
    dependence_table,
    relative_half_width,
    student_factor,
    waterfall,
)
from ensemble.crediting.draw_table import check_draw_table, draw_table, paired_changes, read_draw_table
from ensemble.crediting.inventory import (
    approach_1_trend,
    combined_product,
    combined_sum,
    inventory_table,
    level_of_draws,
)
from ensemble.crediting.rules import RULES, rule_named
from ensemble.crediting.sample_size import allocate, minimum_detectable_change, sample_size
from ensemble.crediting.strata import stratify
from ensemble.crediting.vm0042 import (
    Estimate,
    analytical,
    in_co2e,
    method_variance,
    model_variance_of_difference,
    monte_carlo,
    remeasured,
    removals_and_reductions,
)
from ensemble.mapping.rates import corner_uncertainty, percent, spread

VM0042 = rule_named("vm0042-2.2")
TWO = stratify(["a", "a", "b", "b", "b"], {"a": 100.0, "b": 300.0})
CHANGES = np.array([1.0, 2.0, 0.5, 1.0, 1.5])


def estimate(mean, se, freedom=math.inf, **other):
    return Estimate(mean, se**2, 0.0, freedom, 400.0, **other)


# --- estimates ---------------------------------------------------------------------------------------------------


def test_analytical_route_worked_by_hand():
    """Strata of 100 and 300 ha: means 1.5 and 1.0; sums of squares 0.5 and 0.5."""
    result = analytical(CHANGES, TWO, [0.04, 0.09])
    assert result.mean == pytest.approx((100 * 1.5 + 300 * 1.0) / 400)
    assert result.sampling_variance == pytest.approx((100**2 / 2 * 0.5 + 300**2 / 6 * 0.5) / 400**2)
    assert result.model_variance == pytest.approx((100**2 * 0.04 + 300**2 * 0.09) / 400**2)
    assert result.degrees_of_freedom == 3
    assert model_variance_of_difference(0.5, 0.8) == pytest.approx(0.2)


def test_monte_carlo_route_worked_by_hand():
    draws = CHANGES + np.array([[-1.0], [0.0], [1.0]])
    result = monte_carlo(draws, TWO)
    hand = analytical(CHANGES, TWO, 0.0)
    assert result.mean == pytest.approx(hand.mean)
    assert result.sampling_variance == pytest.approx(hand.sampling_variance)
    assert result.model_variance == pytest.approx(1.0)  # a shift shared by all points does not average out
    assert result.standard_error == pytest.approx(math.sqrt((result.variance) * (1 + 1 / 3)))


def test_both_routes_agree_where_their_assumptions_meet():
    """Model errors shared inside a stratum and independent between strata."""
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(200_000, 2)) * [0.2, 0.3]
    simulated = monte_carlo(CHANGES + errors[:, TWO.member], TWO)
    exact = analytical(CHANGES, TWO, [0.04, 0.09])
    assert simulated.variance == pytest.approx(exact.variance, rel=0.01)


def test_units_change_means_by_44_12_and_variances_by_its_square():
    result = analytical(CHANGES, TWO, 0.1)
    converted = in_co2e(result)
    assert converted.mean == pytest.approx(result.mean * 44 / 12)
    assert converted.variance == pytest.approx(result.variance * (44 / 12) ** 2)
    assert deduct(converted, VM0042).fraction == pytest.approx(deduct(result, VM0042).fraction)
    with pytest.raises(ValueError, match="in t CO2e/ha already"):
        in_co2e(converted)


def test_remeasured_points_have_the_variance_of_their_differences():
    rng = np.random.default_rng(1)
    start = rng.normal(50, 8, 5)
    end = start + rng.normal(1, 0.5, 5)
    control = rng.normal(48, 8, 5)
    result = remeasured((start, end), (control, control + 0.2), TWO, TWO)
    assert result.sampling_variance == pytest.approx(analytical(end - start, TWO, 0.0).sampling_variance)
    assert result.mean == pytest.approx(analytical(end - start, TWO, 0.0).mean - 0.2)
    assert result.degrees_of_freedom == 6
    assert method_variance([1.0, 2.0, 3.0], [1.1, 1.9, 3.2]) == pytest.approx(np.var([-0.1, 0.1, -0.2], ddof=1))


def test_the_variance_of_a_change_on_new_draws_of_points_is_what_the_estimator_says():
    """20,000 samples from a known population: the mean of the estimated variance is the variance of the mean."""
    rng = np.random.default_rng(2)
    samples = rng.normal([1.0, 1.0, 3.0, 3.0, 3.0], [0.5, 0.5, 1.0, 1.0, 1.0], (20_000, 5))
    results = [analytical(row, TWO, 0.0) for row in samples]
    means = np.array([r.mean for r in results])
    assert np.mean([r.sampling_variance for r in results]) == pytest.approx(means.var(), rel=0.03)


# --- deductions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cv", "percent"), [(0.25, 10.8), (0.5, 21.5), (1.0, 43.1), (2.0, 86.1), (2.4, 100.0)])
def test_deduction_by_coefficient_of_variation(cv, percent):
    assert 100 * deduct(estimate(2.0, 2.0 * cv), VM0042).fraction == pytest.approx(percent, abs=0.05)


@pytest.mark.parametrize(("freedom", "factor"), [(5, 0.457), (10, 0.444), (30, 0.435), (math.inf, 0.4307)])
def test_student_factor_of_two_thirds(freedom, factor):
    assert student_factor(2 / 3, freedom) == pytest.approx(factor, abs=5e-4)


def test_a_gain_is_made_smaller_and_a_loss_larger():
    gain, loss = (deduct(estimate(sign * 1.0, 0.5), VM0042) for sign in (1, -1))
    assert gain.credited == pytest.approx(1 - 0.5 * 0.4307, abs=1e-4)
    assert loss.credited == pytest.approx(-1 - 0.5 * 0.4307, abs=1e-4)
    nothing = deduct(estimate(0.0, 0.5), VM0042)
    assert (nothing.fraction, nothing.credited, nothing.uncapped) == (1.0, 0.0, math.inf)


def test_two_of_three_projects_hold_at_least_what_is_credited():
    """Simulated projects with known change: the credited value is below the truth with probability 2/3."""
    rng = np.random.default_rng(3)
    truth, below = 1.0, []
    for _ in range(4000):
        points = truth + rng.normal(0, 0.6, 5)
        error = rng.normal(0, 0.2)
        below.append(
            deduct(analytical(points + error, TWO, np.full(2, 0.04) * 400**2 / (100**2 + 300**2)), VM0042).credited
            < truth
        )
    assert np.mean(below) == pytest.approx(2 / 3, abs=0.02)


def test_credited_precision_is_the_spread_over_independent_ensembles():
    rng = np.random.default_rng(4)

    def ensemble():
        return CHANGES + rng.normal(0, 0.5, (256, 1)) + rng.normal(0, 0.3, (256, 5))

    results = [credited_precision(ensemble(), TWO, VM0042) for _ in range(300)]
    spread = np.std([r.value for r in results])
    assert np.mean([r.standard_error for r in results]) == pytest.approx(spread, rel=0.12)


def test_what_independence_would_have_given_away():
    """A shared error: four equal strata taken as independent halve the model's error; arms taken apart add up."""
    rng = np.random.default_rng(5)
    strata = stratify(np.repeat(list("abcd"), 3), dict.fromkeys("abcd", 100.0))
    shared = rng.normal(0, 1.0, (20_000, 1))
    baseline = -0.5 + 3 * rng.normal(0, 1.0, (20_000, 1)) + np.zeros(12)
    rows = {row.name: row for row in dependence_table(baseline, baseline + 2.0 + shared, strata, VM0042)}
    variance = {name: row.estimate.model_variance for name, row in rows.items()}
    assert variance["joint draws"] == pytest.approx(1.0, rel=0.03)
    assert variance["independent strata"] == pytest.approx(variance["joint draws"] / 4, rel=1e-9)
    assert variance["independent points"] == pytest.approx(variance["joint draws"] / 12, rel=1e-9)
    assert variance["independent scenarios"] == pytest.approx(9 + 10, rel=0.05)
    assert rows["joint draws"].difference_total == 0
    assert rows["independent strata"].difference_total == pytest.approx(400 * 0.4307 * 0.5, rel=0.05)
    assert rows["independent scenarios"].difference_total < -100


def test_waterfall_adds_up():
    deduction = deduct(in_co2e(estimate(1.0, 0.5)), VM0042)
    steps = waterfall(deduction, leakage=50.0, buffer=0.1)
    assert [step.label for step in steps] == ["gross", "uncertainty", "leakage", "buffer", "net"]
    assert steps[0].left == pytest.approx(400 * 44 / 12)
    assert steps[-1].left == pytest.approx(deduction.credited_total * 0.9 - 50)
    assert steps[1].left == pytest.approx(deduction.credited_total)


@pytest.mark.parametrize(
    ("baseline", "project", "cumulative", "expected"),
    [(1.0, 3.0, 3.0, (2.0, 0.0)), (-2.0, 3.0, 3.0, (3.0, 2.0)), (-2.0, -1.0, -1.0, (0.0, 1.0)), (-2.0, 3.0, -4.0, (0.0, 5.0))],
)  # fmt: skip
def test_removals_and_reductions(baseline, project, cumulative, expected):
    result = removals_and_reductions(baseline, project, cumulative)
    assert result == expected
    assert sum(result) == project - baseline


def test_gold_standard_and_fao_half_widths():
    """402: limits mean -+ t s / sqrt(n) at 90 %, what their half-width exceeds 20 % by; FAO: Eqs 12.1, 12.2 and 12.7."""
    rule = rule_named("gold-standard-402-1.0")
    three = Estimate(10.0, 4.0 / 3, 0.0, 2, 1.0)  # sd 2 of three samples
    half = 2.92 * 2 / math.sqrt(3) / 10
    assert relative_half_width(three, rule) == pytest.approx(half, rel=1e-3)
    assert deduct(three, rule).fraction == pytest.approx(half - 0.2, rel=1e-3)
    assert deduct(replace(three, mean=40.0), rule).fraction == 0.0
    draws = np.random.default_rng(6).normal(4.0, 1.0, 400_000)
    assert float(spread(draws).uncertainty) == pytest.approx(196 / 4, rel=0.01)
    assert float(percent(6.0 - 3.0, 4.0)) == pytest.approx(37.5)
    assert float(corner_uncertainty(10.0, 8.0, 10.0, 10.0).manual) == pytest.approx(100 * math.hypot(1.0, 0.8) / 2)


def test_every_rule_says_where_it_comes_from():
    for rule in RULES:
        assert rule.source
        assert rule.text_read or rule.note
    with pytest.raises(ValueError, match=r"no rule is called 'vm0042-1'; allowed: vm0042-2\.2"):
        rule_named("vm0042-1")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: stratify(["a", "a", "b"], {"a": 1.0, "b": 1.0}),
            "stratum b has 1 sample point",
        ),
        (lambda: stratify(["a", "a", "c"], {"a": 1.0}), "no area is given for stratum c"),
        (lambda: stratify(["a", "a"], {"a": 0.0}), "area of stratum a must be above 0 ha"),
        (lambda: monte_carlo(CHANGES[None], TWO), "at least 2 draws"),
        (lambda: monte_carlo(np.full((3, 5), np.nan), TWO), "a draw is missing"),
        (lambda: model_variance_of_difference(1.0, 1.5), "correlation from -1 to 1"),
        (lambda: waterfall(deduct(estimate(1.0, 0.1), VM0042)), "in t C/ha"),
        (lambda: credited_precision(np.ones((20, 5)), TWO, VM0042), "at least 32 draws"),
        (lambda: minimum_detectable_change(1.0, 1), "at least 2 points"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- sample size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocation", ["proportional", "neyman"])
def test_sample_size_is_the_smallest_that_reaches_the_deduction(allocation):
    areas, sd = np.array([100.0, 300.0, 50.0]), np.array([1.0, 3.0, 0.5])
    result = sample_size(1.2, areas, sd, 0.01, 0.10, allocation=allocation)

    def deduction(counts):
        error = math.sqrt(float(((areas / 450 * sd) ** 2 / counts).sum()) + 0.01)
        return student_factor(2 / 3, int(counts.sum()) - 3) * error / 1.2

    assert result.deduction == pytest.approx(deduction(result.counts))
    assert result.deduction <= 0.10
    fewer = max(
        (c for n in range(6, result.points) if (c := allocate(n, areas, sd, allocation)).sum() < result.points),
        key=np.sum,
    )
    assert deduction(fewer) > 0.10


def test_a_deduction_below_the_models_own_cannot_be_sampled_away():
    with pytest.raises(ValueError, match=r"the model's error alone deducts 0\.215"):
        sample_size(1.0, [10.0], [1.0], 0.25, 0.2)


def test_minimum_detectable_change_has_its_power():
    rng = np.random.default_rng(7)
    from scipy.stats import ttest_1samp, ttest_ind

    change = minimum_detectable_change(2.0, 25)
    assert np.mean(ttest_1samp(rng.normal(change, 2.0, (20_000, 25)), 0.0, axis=1).pvalue < 0.05) == pytest.approx(
        0.8, abs=0.015
    )
    change = minimum_detectable_change(2.0, 25, paired=False)
    found = ttest_ind(rng.normal(change, 2.0, (20_000, 25)), rng.normal(0, 2.0, (20_000, 25)), axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.015)


# --- inventory ---------------------------------------------------------------------------------------------------


def test_approach_1_by_hand():
    assert combined_product([3.0, 4.0]) == pytest.approx(5.0)
    assert combined_sum([100.0, 50.0], [10.0, 20.0]) == pytest.approx(math.hypot(1000, 1000) / 150)


def test_both_approaches_agree_for_small_symmetric_errors():
    rng = np.random.default_rng(8)
    shared, own = rng.normal(size=(2, 200_000, 2))
    base = np.array([100.0, 40.0]) * (1 + 0.05 * shared)
    year = np.array([120.0, 36.0]) * (1 + 0.05 * (0.8 * shared + 0.6 * own))
    rows = inventory_table([("cropland", "north"), ("grassland", "north")], base, year)
    for row in rows:
        assert row.approach_1_holds
        assert row.year.uncertainty == pytest.approx(row.year_1.uncertainty, rel=0.01)
        assert row.trend.upper - row.trend.lower == pytest.approx(row.trend_1.upper - row.trend_1.lower, rel=0.02)
        assert row.trend_independent.upper > row.trend_1.upper
    assert rows[0].correlation == pytest.approx(0.8, abs=0.01)
    assert sum(row.contribution for row in rows[:-1]) == pytest.approx(100)
    total = combined_sum([120, 36], [rows[0].year_1.uncertainty, rows[1].year_1.uncertainty])
    assert rows[-1].year_1.uncertainty == pytest.approx(total, rel=0.01)
    assert rows[-1].year_simple == pytest.approx(total, rel=1e-3)


def test_an_inventory_total_of_dependent_lines_is_wider_than_approach_1_says():
    """Lines that share one error: the sum rule is too small by sqrt(2); an area's error is a factor of both years."""
    rng = np.random.default_rng(12)
    shared = 100 * (1 + 0.05 * rng.normal(size=(100_000, 1))) * np.ones((1, 2))
    lines = [("cropland", "north"), ("cropland", "south")]
    rows = inventory_table(lines, shared, 1.2 * shared)
    assert rows[-1].year.uncertainty == pytest.approx(9.8, rel=0.02)
    assert rows[-1].year_simple == pytest.approx(9.8 / math.sqrt(2), rel=0.02)
    area = 1 + 0.05 * rng.normal(size=(100_000, 2))
    rows = inventory_table(lines, shared, 1.2 * shared, area)
    assert rows[0].year_simple == pytest.approx(combined_product([9.8, 9.8]), rel=0.02)
    assert rows[0].year_1.uncertainty == pytest.approx(rows[0].year_simple, rel=0.02)
    assert rows[0].trend.upper - rows[0].trend.lower == pytest.approx(0, abs=1e-9)  # the same area in both years


def test_a_fully_shared_relative_error_leaves_the_trend_exact():
    level = level_of_draws(np.random.default_rng(9).normal(100, 10, 10_000))
    doubled = level._replace(mean=2 * level.mean, lower=2 * level.lower, upper=2 * level.upper)
    trend = approach_1_trend(level, doubled, 1.0)
    assert trend.percent == pytest.approx(100)
    assert trend.upper - trend.lower == pytest.approx(0, abs=1e-4)


def test_skewed_or_wide_categories_are_marked():
    draws = np.random.default_rng(10).lognormal(0, 0.6, (5000, 1))
    assert not inventory_table([("wetland", "south")], draws, draws * 1.1)[0].approach_1_holds
    with pytest.raises(ValueError, match="category a of region n is listed twice"):
        inventory_table([("a", "n"), ("a", "n")], np.ones((3, 2)), np.ones((3, 2)))


# --- draw table --------------------------------------------------------------------------------------------------


@pytest.fixture
def table():
    rng = np.random.default_rng(11)
    base = 40 + np.cumsum(rng.normal(0, 0.2, (6, 3, 4)), axis=2)
    project = base + np.arange(4) * 0.3
    return draw_table(["F1", "F2", "F3"], [2020, 2021, 2022, 2023], {"baseline": base, "project": project},
                      {"baseline": base.mean(0), "project": project.mean(0)}, "planting")  # fmt: skip


def test_draw_table_round_trip(table, tmp_path):
    path = tmp_path / "draws.csv"
    table.assign(draw=table["draw"].where(table["draw"] > 0)).to_csv(path, index=False)
    again = read_draw_table(path)
    baseline, project, sites = paired_changes(again)
    assert sites == ["F1", "F2", "F3"]
    np.testing.assert_allclose(project - baseline, 0.9, atol=1e-9)
    assert baseline.shape == (6, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda t: t.assign(scenario=t["scenario"].replace("project", "with")),
            "scenario must be baseline and project",
        ),
        (lambda t: t.loc[[*t.index, 5]], "row listed twice: site_code F1, scenario baseline, year 2020, draw 5"),
        (lambda t: t[t["year"] != 2021], "years have a gap: 2021 is missing"),
        (lambda t: t[~((t["site_code"] == "F2") & (t["draw"] == 3))], "draw 3 is missing at site F2"),
        (lambda t: t.drop(index=7), "a stock is missing or not finite"),
        (lambda t: t.assign(soc_t_c_ha=t["soc_t_c_ha"].where(t.index != 9, -1.0)), "negative: -1"),
        (
            lambda t: t.assign(soc_t_c_ha=t["soc_t_c_ha"] + (t["scenario"] == "project")),
            "start from different stocks at site F1, draw",
        ),
    ],
)
def test_inconsistent_draw_tables_are_refused(table, damage, message):
    with pytest.raises(ValueError, match=message):
        check_draw_table(damage(table))
