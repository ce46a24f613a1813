"""Averages of models, zones, totals and synthetic populations; the tables of Wang et al. (2026)."""

import numpy as np
import pytest
from northeast_china import AREAS, R2, TABLE_1, TABLE_2, TABLE_4, TOTALS

from ensemble.inputs.covariance import SpatialCorrelation, variance_of_sum
from ensemble.inputs.fields import draw_grid_fields, grid_fields
from ensemble.mapping.averaging import average_models
from ensemble.mapping.synthetic import Moments, draw_population, make_population, moment_distribution, sample_moments
from ensemble.mapping.totals import add_block, class_totals, finish_totals, start_totals
from ensemble.mapping.zoning import zone_flags, zone_map, zone_table

CLASSES = list(AREAS)


# --- Table 4 of the paper ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["H", "E", "mean", "R2w"])
def test_table_4_totals_follow_from_its_means_and_areas(column):
    """Means are printed to 0.01 kg m-2, which leaves 0.005 x area of freedom in each total.

    Two R2-weighted means need a little more: forest is 6.5447 printed as 6.55, other land 7.6454 printed as 7.64.
    """
    means = np.array([[TABLE_4[column][name][0] for name in CLASSES]] * 2)
    rows = class_totals(means, list(AREAS.values()), CLASSES, scale=1e-3)
    for row in rows[:-1]:
        assert row.mean == pytest.approx(TABLE_4[column][row.name][1], abs=0.0055 * row.area / 1000)
    assert rows[-1].mean == pytest.approx(TOTALS[column], abs=0.005 * 790605 / 1000)
    assert rows[-1].area == 790605
    assert sum(TABLE_4[column][name][1] for name in CLASSES) == pytest.approx(TOTALS[column], abs=0.011)


def test_table_4_averages_follow_from_its_models():
    models = np.array([[TABLE_4[model][name][1] for name in CLASSES] for model in ("H", "E")])
    plain, weighted = average_models(models), average_models(models, R2)
    np.testing.assert_allclose(plain.mean, [TABLE_4["mean"][name][1] for name in CLASSES], atol=0.006)
    np.testing.assert_allclose(weighted.mean, [TABLE_4["R2w"][name][1] for name in CLASSES], atol=0.02)
    assert plain.mean.sum() - weighted.mean.sum() == pytest.approx(2.82, abs=0.02)
    np.testing.assert_allclose(plain.between_sd, np.diff(models, axis=0)[0] / 2)
    with pytest.raises(ValueError, match="need 2 weights"):
        average_models(models, [1.0, -1.0])


# --- totals ------------------------------------------------------------------------------------------------------


def test_totals_lie_between_independent_and_dependent_and_meet_the_closed_form():
    correlation = SpatialCorrelation(range=3.0)
    fields = grid_fields((20, 20), (1.0, 1.0), [correlation])
    drawn = np.asarray(draw_grid_fields(fields, 1, "soc", np.arange(8000)), float).reshape(8000, 400)
    values = 50 + 10 * drawn
    areas = np.linspace(80, 120, 400)
    classes = ["west" if k % 20 < 8 else "east" for k in range(400)]
    rows = {row.name: row for row in class_totals(values, areas, classes)}
    for name, row in rows.items():
        inside = np.array([name in ("all", c) for c in classes])
        weights = np.where(inside, areas * 10, 0.0).reshape(20, 20)
        assert row.sd_modelled == pytest.approx(np.sqrt(variance_of_sum(weights, correlation, (1.0, 1.0))), rel=0.03)
        assert row.sd_independent == pytest.approx(np.sqrt((weights**2).sum()), rel=0.01)
        assert row.sd_dependent == pytest.approx(weights.sum(), rel=0.01)
        assert row.sd_independent < row.sd_modelled < row.sd_dependent
        assert row.mean == pytest.approx(50 * areas[inside].sum(), rel=0.02)
        low, high = row.interval("modelled")
        assert low == pytest.approx(row.quantiles[0.05], abs=0.12 * row.sd_modelled)
        assert high == pytest.approx(row.quantiles[0.95], abs=0.12 * row.sd_modelled)
    assert rows["all"].mean == pytest.approx(rows["west"].mean + rows["east"].mean)


def test_totals_do_not_depend_on_the_blocks():
    rng = np.random.default_rng(0)
    values, areas, classes = rng.normal(5, 1, (50, 30)), rng.uniform(1, 2, 30), rng.integers(0, 3, 30)
    values[:, 4] = np.nan
    classes[7] = -1
    whole = add_block(start_totals(50, 3), values, areas, classes)
    state = start_totals(50, 3)
    for part in (slice(0, 7), slice(7, 20), slice(20, 30)):
        state = add_block(state, values[:, part], areas[part], classes[part])
    for one, other in zip(whole, state, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert finish_totals(whole, ["a", "b", "c"])[-1].area == pytest.approx(areas.sum() - areas[4] - areas[7])


@pytest.mark.parametrize(
    ("values", "areas", "message"),
    [
        ([[1.0, 2.0], [1.0, 2.0]], [1.0, np.nan], "1 pixels have no area"),
        ([[1.0, np.nan], [1.0, 2.0]], [1.0, 1.0], "a value in some members only"),
    ],
)
def test_totals_without_areas_or_with_half_a_pixel_are_refused(values, areas, message):
    with pytest.raises(ValueError, match=message):
        class_totals(values, areas, ["a", "a"])


# --- zones -------------------------------------------------------------------------------------------------------


def test_zones_by_mean_absolute_deviation():
    potential = np.array([[0.0, 5.0, 10.0], [0.0, 5.0, 10.0], [0.0, np.nan, 10.0]])
    uncertainty = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    zones = zone_map(potential, uncertainty)
    assert zones.zone.tolist() == [[0, 1, 2], [3, 4, 5], [6, -1, 8]]
    assert zones.uncertainty_limits == pytest.approx((1 - 2 / 3, 1 + 2 / 3))
    rows = zone_table(zones, potential, uncertainty, 25.0)
    assert sum(row.area for row in rows) == 8 * 25.0
    assert sum(row.share for row in rows) == pytest.approx(100)
    assert rows[2].name == "high mean, low uncertainty"
    assert (rows[2].potential, rows[2].uncertainty) == (10.0, 0.0)
    assert np.isnan(rows[7].potential)
    with pytest.raises(ValueError, match="maps of one shape"):
        zone_map(potential, uncertainty[:2])


def test_a_place_not_to_be_trusted_is_a_zone_of_its_own_and_moves_no_limit():
    potential, uncertainty = np.array([0.0, 5.0, 10.0, 1e4]), np.array([0.0, 1.0, 2.0, np.nan])
    inside = np.array([True, True, True, False])
    alone = zone_map(potential[:3], uncertainty[:3])
    zones = zone_map(potential, np.where(inside, uncertainty, 1e4), trusted=inside)
    assert zones.zone.tolist() == [*alone.zone.tolist(), 9]
    assert zones.potential_limits == alone.potential_limits and zones.uncertainty_limits == alone.uncertainty_limits
    assert zone_map(potential, uncertainty, trusted=inside).zone[3] == -1  # no value is no zone
    rows = zone_table(zones, potential, uncertainty, [1.0, 1.0, 1.0, 3.0])
    assert len(alone.names) == 9 and rows[9].name == "outside area of applicability"
    assert (rows[9].area, rows[9].share) == (3.0, 50.0) and sum(row.area for row in rows) == 6.0
    assert (zone_map(potential, uncertainty, trusted=~inside).zone[:3] == 9).all()
    flags = zone_flags(zones.names)
    assert len(flags["flag_values"]) == len(flags["flag_meanings"].split()) == 11


# --- synthetic population ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def population():
    return make_population(TABLE_1, TABLE_2)


def test_marginals_have_the_published_moments(population):
    grid = (np.arange(50_000) + 0.5) / 50_000
    for name, wanted in TABLE_1.items():
        got = sample_moments(population.marginals[name].ppf(grid))
        assert got.mean == pytest.approx(wanted.mean, abs=0.01 * wanted.sd), name
        assert got.sd == pytest.approx(wanted.sd, rel=0.01), name
        assert got.skewness == pytest.approx(wanted.skewness, abs=0.2), name
        assert got.kurtosis == pytest.approx(wanted.kurtosis, rel=0.13), name
        assert wanted.minimum <= got.minimum <= got.maximum <= wanted.maximum


def test_a_large_population_has_the_published_correlations(population):
    assert population.adjusted == 0.0
    sites = draw_population(population, 60_000, seed=1)
    for (a, b), value in TABLE_2.items():
        assert np.corrcoef(sites[a], sites[b])[0, 1] == pytest.approx(value, abs=0.02), (a, b)


def test_293_sites_reproduce_the_tables_within_sampling_error(population):
    """Of 90 statistics (means, sds, correlations) about one in a hundred should be beyond 2.58 standard errors."""
    n, beyond = 293, 0
    sites = draw_population(population, n, seed=3)
    for name, wanted in TABLE_1.items():
        got = sample_moments(sites[name])
        beyond += abs(got.mean - wanted.mean) > 2.58 * wanted.sd / np.sqrt(n)
        beyond += abs(got.sd / wanted.sd - 1) > 2.58 * np.sqrt((wanted.kurtosis - 1) / (4 * n))
    for (a, b), value in TABLE_2.items():
        beyond += abs(np.arctanh(np.corrcoef(sites[a], sites[b])[0, 1]) - np.arctanh(value)) > 2.58 / np.sqrt(n - 3)
    assert beyond <= 4


@pytest.mark.parametrize("moments", [Moments(0, 1, 2, 0.1, 0, 3), Moments(0, 10, 5, 1, 2, 3)])
def test_impossible_statistics_are_refused(moments):
    with pytest.raises(ValueError, match="no distribution has mean"):
        moment_distribution(moments)
