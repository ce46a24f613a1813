"""Statistics over members against whole-array NumPy, closed forms and known coverage."""

import warnings
from itertools import pairwise
from math import erf, exp, pi, sqrt

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import qmc

from ensemble import summary
from ensemble.specs import OutputSpec
from ensemble.summary import skill

R = 16
SOC = OutputSpec(
    "soc", "t C/ha", "soil organic carbon", ("time",), support=(0, np.inf), standard_name="soil_mass_content_of_carbon"
)


def members(n=1600, scenarios=2, sites=3, times=5, dtype=np.float32, seed=0, level=50.0):
    rng = np.random.default_rng(seed)
    values = level + rng.normal(size=(n, scenarios, sites, times)) * np.arange(1, times + 1)
    return values.astype(dtype)


def cut(outputs, failed, blocks, above=None, bins=None):
    """Summaries of consecutive blocks of members, as tiles would give them."""
    edges = np.cumsum([0, *blocks])
    replicate = np.arange(edges[-1]) % R
    return {
        tile: summary.summarise_tile(
            {k: v[a:b] for k, v in outputs.items()}, failed[a:b], replicate[a:b], R, above, bins
        )
        for tile, (a, b) in enumerate(pairwise(edges))
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [0.0, 1e6])
def test_merged_tiles_equal_the_whole_array(dtype, level):
    values = members(dtype=dtype, level=level)
    failed = np.zeros(values.shape[::2][:2], np.uint8)
    failed[[3, 70, 71], [0, 1, 1]] = 2
    values[3, :, 0], values[70, 1, 1], values[71, :, 1] = np.nan, np.inf, -np.inf
    bins = {"soc": summary.pilot_bins(values[:200], failed[:200], 64)}
    tiles = cut({"soc": values}, failed, [700, 16, 1, 883], {"soc": (51.0,)}, bins)
    merged = summary.merge([2, 0, 3, 1], tiles.__getitem__)["soc"]
    found = summary.estimate(merged)
    assert (merged.failed == failed.astype(bool).sum(axis=0)).all() and (found.count == 1600 - merged.failed).all()
    for site in range(3):
        kept = values[failed[:, site] == 0, :, site].astype(np.float64)
        np.testing.assert_allclose(found.mean[:, site], kept.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found.sd[:, site], kept.std(axis=0, ddof=1), rtol=1e-12 if level == 0 else 1e-9)
        np.testing.assert_allclose(found.probability_above[0, :, site], (kept > 51).mean(axis=0), rtol=1e-12)
        assert (merged.minimum[:, site] == kept.min(axis=0)).all() and (
            merged.maximum[:, site] == kept.max(axis=0)
        ).all()
    assert (merged.histogram.sum(axis=-1) == found.count[:, None]).all()


def test_the_order_of_tiles_changes_no_bit_and_a_tile_counts_once():
    values = members()
    tiles = cut({"soc": values}, np.zeros((1600, 3), np.uint8), [400] * 4)
    one, other = (summary.merge(order, tiles.__getitem__)["soc"] for order in ([0, 1, 2, 3], [3, 1, 0, 2]))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    with pytest.raises(ValueError, match="each tile once"):
        summary.merge([0, 1, 1], tiles.__getitem__)


def test_blocks_of_sites_join_to_the_whole():
    values, failed = members(), np.zeros((1600, 3), np.uint8)
    whole = cut({"soc": values}, failed, [1600], {"soc": (50.0, 52.0)})[0]
    parts = [cut({"soc": values[:, :, s]}, failed[:, s], [1600], {"soc": (50.0, 52.0)})[0] for s in ([0, 1], [2])]
    joined = summary.join_sites(parts)["soc"]
    assert all(np.array_equal(a, b) for a, b in zip(joined, whole["soc"], strict=True))


def gaussian_runs(runs, points, sobol):
    """Many independent ensembles of one Gaussian output, (members, 1, runs): every site is a run."""
    draws = np.empty((points * R, 1, runs, 1))
    for run in range(runs):
        if sobol:
            seeds = np.random.SeedSequence([7, run]).spawn(R)
            u = np.stack([qmc.Sobol(1, rng=np.random.default_rng(s)).random(points)[:, 0] for s in seeds], axis=1)
            draws[:, 0, run, 0] = stats.norm.ppf(u.reshape(-1))
        else:
            draws[:, 0, run, 0] = np.random.default_rng([7, run]).normal(size=points * R)
    return draws


@pytest.mark.parametrize("sobol", [False, True])
def test_intervals_cover_the_truth_as_often_as_they_say(sobol):
    runs = 400
    values = gaussian_runs(runs, 64, sobol)
    failed, replicate = np.zeros((len(values), runs), np.uint8), np.arange(len(values)) % R
    made = summary.tile_moments(values, failed, replicate, R, above=(1.0,))
    found = summary.estimate(made)
    levels = (0.05, 0.25, 0.5, 0.9)
    quantiles = summary.exact_quantiles(values, failed, replicate, R, levels)
    truths = {
        "mean": (found.mean, found.mean_standard_error, 0.0),
        "sd": (found.sd, found.sd_standard_error, 1.0),
        "above 1": (found.probability_above[0], found.probability_above_standard_error[0], stats.norm.sf(1.0)),
    }
    for index, level in enumerate(levels):
        truths[f"quantile {level}"] = (quantiles.value[index], quantiles.standard_error[index], stats.norm.ppf(level))
    half = summary.student(R)
    for name, (value, error, truth) in truths.items():
        covered = (np.abs(value - truth) <= half * error).mean()
        # Sobol points in one dimension put exactly a quarter of a replicate below the quartile: an error is then
        # stated as one member, and the interval is safe rather than sharp.
        assert 0.92 <= covered <= (1.0 if sobol else 0.985), (name, covered)


def test_standard_error_of_the_mean_is_that_of_the_replicates():
    values = members(scenarios=1, sites=1, times=1, dtype=np.float64)[:, 0, 0, 0]
    found = summary.estimate(
        summary.tile_moments(values.reshape(-1, 1, 1, 1), np.zeros((1600, 1), np.uint8), np.arange(1600) % R, R)
    )
    groups = values.reshape(-1, R).mean(axis=0)
    assert found.mean_standard_error.item() == pytest.approx(groups.std(ddof=1) / sqrt(R), rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 1.2])
def test_histogram_quantiles_keep_their_bound(shift):
    """Also with a pilot that misses most of the members (shift) and a cell that does not vary."""
    rng = np.random.default_rng(3)
    values = np.exp(rng.normal(size=(6400, 1, 2, 4)) * 0.6)
    values[200:] += shift
    values[:, :, :, 3] = 7.0
    failed = np.zeros((6400, 2), np.uint8)
    failed[::9, 1] = 1
    bins = summary.pilot_bins(values[:200], failed[:200], 100)
    made = summary.tile_moments(values, failed, np.arange(6400) % R, R, bins=bins)
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    found = summary.histogram_quantiles(made.histogram, bins, made.minimum, made.maximum, levels)
    for site in range(2):
        kept = values[failed[:, site] == 0, 0, site]
        exact = np.quantile(kept, levels, axis=0, method="inverted_cdf")
        bound = found.bin_error[:, 0, site]
        assert (np.abs(found.value[:, 0, site] - exact) <= bound + 1e-12).all()
        assert (bound[:, 3] == 0).all() and (found.standard_error[:, 0, site, 3] == 0).all()
        assert (bound[1:4, :3] < 0.1 * (exact[4] - exact[0])[:3]).all()
    density = stats.lognorm(0.6).pdf(1.0)
    expected = sqrt(0.25 / 6400) / density
    assert found.standard_error[2, 0, 0, 0] == pytest.approx(expected, rel=0.2)


def test_exact_quantiles_leave_failed_pairs_out_and_reading_in_blocks_changes_nothing():
    values, failed = members(), np.zeros((1600, 3), np.uint8)
    failed[5:300, 1], failed[:, 2] = 1, 3
    values[5:300, :, 1] = np.nan
    replicate, levels = np.arange(1600) % R, (0.05, 0.5, 0.95)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = summary.exact_quantiles(values, failed, replicate, R, levels)
    kept = np.delete(values[:, :, 1], np.s_[5:300], axis=0)
    np.testing.assert_allclose(whole.value[:, :, 1], np.quantile(kept, levels, axis=0), rtol=1e-6)
    assert np.isnan(whole.value[:, :, 2]).all() and np.isnan(whole.standard_error[:, :, 2]).all()
    for size in (1, 100_000, 10**9):
        part = summary.stored_quantiles(values, failed, replicate, R, levels, block_bytes=size)
        np.testing.assert_array_equal(part.value, whole.value)
        np.testing.assert_array_equal(part.standard_error, whole.standard_error)


def test_a_site_where_all_failed_is_missing_not_wrong():
    values, failed = np.full((32, 1, 2, 3), np.nan), np.zeros((32, 2), np.uint8)
    values[:, :, 0], failed[:, 1] = 4.0, 1
    bins = summary.pilot_bins(values, failed, 8)
    made = summary.summarise_tile({"soc": values}, failed, np.arange(32) % R, R, {"soc": (3.0,)}, {"soc": bins})
    histogram = summary.histogram_quantiles(
        made["soc"].histogram, bins, made["soc"].minimum, made["soc"].maximum, (0.5,)
    )
    data = summary.statistics_dataset(
        made, {"soc": SOC}, {"scenario": ["a"], "site": ["x", "y"]}, {"soc": histogram}, {"soc": (3.0,)}
    )
    assert data.members_used.values.tolist() == [32, 0] and data.members_failed.values.tolist() == [0, 32]
    for name in data.data_vars:
        if "site" in data[name].dims and name not in ("members_used", "members_failed"):
            assert data[name].isel(site=1).isnull().all(), name
            assert data[name].isel(site=0).notnull().all(), name


def test_one_member_has_no_spread_to_tell():
    made = summary.tile_moments(np.full((1, 1, 1, 2), 5.0), np.zeros((1, 1), np.uint8), np.zeros(1, int), 1)
    found = summary.estimate(made)
    assert (found.mean == 5.0).all() and np.isnan(found.sd).all() and np.isnan(found.mean_standard_error).all()


def test_paired_differences_cancel_what_scenarios_share():
    shared = np.random.default_rng(1).normal(size=(320, 1, 1, 1)) * 10
    outputs = {"soc": 50 + shared + np.array([0.0, 3.0]).reshape(1, 2, 1, 1)}
    made = summary.summarise_tile(
        summary.paired_differences(outputs, ["soc"]), np.zeros((320, 1), np.uint8), np.arange(320) % R, R
    )
    found = summary.estimate(made["soc_difference"])
    np.testing.assert_allclose(found.mean[:, 0, 0], [0, 3])
    np.testing.assert_allclose(found.sd[:, 0, 0], 0, atol=1e-12)


def test_statistics_carry_cf_attributes():
    values, failed, replicate = members(), np.zeros((1600, 3), np.uint8), np.arange(1600) % R
    made = summary.summarise_tile({"soc": values}, failed, replicate, R, {"soc": (40.0, 60.0)})
    quantiles = {"soc": summary.exact_quantiles(values, failed, replicate, R, (0.05, 0.5, 0.95))}
    coordinates = {"scenario": ["a", "b"], "site": list("xyz"), "time": np.arange(5.0)}
    data = summary.statistics_dataset(made, {"soc": SOC}, coordinates, quantiles, {"soc": (40.0, 60.0)})
    assert data.soc_mean.dims == ("scenario", "site", "time") and data.soc_quantile.dims[0] == "quantile"
    assert data.soc_mean.attrs["cell_methods"] == "time: point member: mean"
    assert data.soc_sd.attrs["cell_methods"] == "time: point member: standard_deviation"
    assert data.soc_mean.attrs["standard_name"] == "soil_mass_content_of_carbon"
    assert data.soc_mean_standard_error.attrs["standard_name"] == "soil_mass_content_of_carbon standard_error"
    assert data.soc_probability_above.dims[0] == "soc_threshold" and data.soc_probability_above.attrs["units"] == "1"
    for name in data.data_vars:
        assert {"units", "long_name"} <= set(data[name].attrs), name
        for linked in data[name].attrs.get("ancillary_variables", "").split():
            assert linked in data, (name, linked)
    assert data.attrs["degrees_of_freedom"] == R - 1


def test_wrong_shapes_are_refused():
    values = members()
    with pytest.raises(ValueError, match="need \\(1600, 3\\)"):
        summary.tile_moments(values, np.zeros((1600, 2)), np.arange(1600) % R, R)
    with pytest.raises(ValueError, match="replicate 16 is not allowed"):
        summary.tile_moments(values, np.zeros((1600, 3)), np.arange(1600) % 17, R)


def test_delta_sd_of_a_linear_model_is_exact_and_a_curved_one_is_warned_about():
    rng = np.random.default_rng(5)
    jacobian, root = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 4))
    covariance = root @ root.T
    expected = np.sqrt([[jacobian[:, i, j] @ covariance @ jacobian[:, i, j] for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(summary.delta_sd(jacobian, covariance), expected, rtol=1e-12)
    apart = summary.first_order_contributions(jacobian, np.array([1.0, 2.0, 0.5, 3.0]))
    np.testing.assert_allclose(
        np.sqrt((apart**2).sum(axis=0)), summary.delta_sd(jacobian, np.diag([1.0, 4.0, 0.25, 9.0])), rtol=1e-12
    )
    x = rng.normal(size=100_000)
    curved, mean = np.std(np.exp(x)), np.mean(np.exp(x))  # gradient at 0 says 1, the truth is 2.16
    sds = np.array([curved, 1.0, 1e-9]).reshape(1, 1, 3)
    found = summary.delta_warnings(np.ones((1, 1, 3)), sds, np.full((1, 1, 3), mean), ["a"], ["x"])
    assert len(found) == 1 and found[0].record == 0 and found[0].share == 0.5
    with pytest.raises(ValueError, match="covariance has shape"):
        summary.delta_sd(jacobian, np.eye(3))


def test_crps_of_a_gaussian_ensemble():
    """Closed form: Gneiting & Raftery 2007, doi 10.1198/016214506000001437, eq. 21; fair, so unbiased from 8 members."""
    y = 0.7
    exact = y * erf(y / sqrt(2)) + 2 * exp(-y * y / 2) / sqrt(2 * pi) - 1 / sqrt(pi)
    big = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    assert skill.crps(big, np.array([y])).item() == pytest.approx(exact, abs=2e-4)
    small = skill.crps(np.random.default_rng(0).normal(size=(8, 40_000)), np.full(40_000, y))
    assert small.mean() == pytest.approx(exact, abs=4 * small.std() / 200)
    with pytest.raises(ValueError, match="CRPS of 1 member"):
        skill.crps(big[:1], np.array([y]))


def forecast(observed, sd_parameter=2.0, error=1.0, n=8000):
    """A forecast of N(50, sd_parameter) shared by all times, and observations of one site."""
    rng = np.random.default_rng(11)
    shape = (n, 1, 1, len(observed))
    simulated = np.broadcast_to(50 + sd_parameter * rng.normal(size=(n, 1, 1, 1)), shape)
    measured = simulated + error * rng.normal(size=shape)
    rows = {"variable": "soc", "scenario": "a", "site": "x", "record": range(len(observed)), "value": observed}
    table = pd.DataFrame(rows)
    at = [skill.at_observations(v, table, ["a"], ["x"]) for v in (simulated, measured)]
    found = skill.observation_skill(table, *at)
    return found, skill.group_skill(found, *at, by=["variable", "scenario", "site"]).iloc[0]


def test_coverage_counts_and_a_good_forecast_is_not_accused():
    table, group = forecast([50.2, 52.0, 53.9, 48.5, 50.1])
    assert table["predictive_high_90"].iloc[0] == pytest.approx(50 + 1.645 * sqrt(5), abs=0.1)
    assert table["parameter_high_50"].iloc[0] == pytest.approx(50 + 0.674 * 2, abs=0.1)
    assert (group.n, group.inside_parameter_90, group.inside_predictive_90) == (
        5,
        4,
        4 + 0,
    ) or group.inside_predictive_90 == 5
    assert group.bias == pytest.approx(-(0.2 + 2 + 3.9 - 1.5 + 0.1) / 5, abs=0.1)
    assert "within what the stated uncertainty allows" in group.sentence


def test_a_misfit_is_said_plainly_and_shared_errors_are_allowed_for():
    _, off = forecast([58.0, 59.0, 58.5, 57.5, 58.2])
    assert off.inside_predictive_90 == 0 and "misfit" in off.sentence and "too low" in off.sentence
    # All five 3.5 too low: every one inside or near the band's edge, and not improbable, as one shared error explains it.
    _, shared = forecast([46.5] * 5)
    assert shared.chance_bias > 0.05 and "misfit" not in shared.sentence
