"""Indicators against kept libraries, closed forms and simulations with a known answer, member by member."""

import itertools
import warnings

import numpy as np
import pymannkendall
import pytest
import scipy.stats

from ensemble.indicators import (
    contiguity_weights,
    distance_weights,
    distribution,
    gini,
    global_moran,
    grid_weights,
    hurst,
    hurst_of_noise,
    linear_trend,
    local_moran,
    nearest_weights,
    sequential_mann_kendall,
)
from ensemble.inputs.geodesy import geocentric

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import esda
    import libpysal

RNG = np.random.default_rng(2022)
SERIES = RNG.normal(size=(3, 4, 21)).cumsum(axis=-1)


def same_one_by_one(function, values):
    """A batch gives what its rows give one at a time."""
    batch = function(values)
    for index in np.ndindex(values.shape[:-1]):
        for whole, alone in zip(batch, function(values[index]), strict=True):
            whole = np.asarray(whole)
            if whole.ndim >= len(index) and whole.shape[: len(index)] == values.shape[:-1]:
                np.testing.assert_allclose(whole[index], alone, rtol=1e-10, atol=1e-12)


# ---- trends


def test_linear_trend_is_least_squares():
    found = linear_trend(SERIES)
    for index in np.ndindex(3, 4):
        kept = scipy.stats.linregress(np.arange(1, 22), SERIES[index])
        mine = [part[index] for part in found]
        np.testing.assert_allclose(mine, [kept.slope, kept.intercept, kept.stderr, kept.pvalue], rtol=1e-9)
    n, i = 21, np.arange(1, 22)
    printed = (n * (i * SERIES).sum(-1) - i.sum() * SERIES.sum(-1)) / (n * (i**2).sum() - i.sum() ** 2)
    np.testing.assert_allclose(found.slope, printed, rtol=1e-10)
    exact = linear_trend(2.0 + 3.0 * i)
    np.testing.assert_allclose([exact.slope, exact.intercept, exact.p_value], [3, 2, 0], atol=1e-12)


def test_sequential_mann_kendall_ends_at_the_kept_mann_kendall_statistic():
    found = sequential_mann_kendall(SERIES)
    for index in np.ndindex(3, 4):
        for step in (8, 15, 21):
            kept = pymannkendall.original_test(SERIES[index][:step])
            np.testing.assert_allclose(found.forward[index][step - 1], kept.s / np.sqrt(kept.var_s), rtol=1e-12)
        kept = pymannkendall.original_test(SERIES[index][5:])
        np.testing.assert_allclose(found.backward[index][5], kept.s / np.sqrt(kept.var_s), rtol=1e-12)
    assert (found.forward[..., 0] == 0).all() and (found.backward[..., -1] == 0).all()
    same_one_by_one(sequential_mann_kendall, SERIES)


def test_sequential_mann_kendall_in_the_words_of_its_definition():
    x = SERIES[0, 0]
    s, uf = 0, [0.0]
    for k in range(2, 22):
        s += sum(x[k - 1] > x[j] for j in range(k - 1))
        uf.append((s - k * (k - 1) / 4) / np.sqrt(k * (k - 1) * (2 * k + 5) / 72))
    np.testing.assert_allclose(sequential_mann_kendall(x).forward, uf, rtol=1e-12, atol=1e-15)


def test_sequential_mann_kendall_finds_a_shift_and_keeps_its_level():
    rng = np.random.default_rng(3)
    shifted = rng.normal(size=(400, 40)) + np.where(np.arange(40) < 20, 0.0, 1.2)
    found = sequential_mann_kendall(shifted)
    one = found.changes.sum(-1) == 1
    where = np.nanmean(found.crossing[one], axis=-1)
    assert one.mean() > 0.5
    assert abs(np.median(where) - 19.5) < 2
    # Without a trend the last UF leaves its bounds in about 5 % of the series.
    still = sequential_mann_kendall(rng.normal(size=(8000, 30)))
    assert abs((np.abs(still.forward[:, -1]) > still.bound).mean() - 0.05) < 0.008
    np.testing.assert_allclose(still.bound, 1.959964, atol=1e-6)


# ---- Hurst


def noise_with_memory(exponent, steps, draws, seed):
    lag = np.arange(steps, dtype=float)
    two = 2 * exponent
    covariance = 0.5 * ((lag + 1) ** two - 2 * lag**two + np.abs(lag - 1) ** two)
    root = np.linalg.cholesky(scipy.linalg.toeplitz(covariance))
    return np.random.default_rng(seed).normal(size=(draws, steps)) @ root.T


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.8])
def test_block_variances_have_their_closed_form(exponent):
    steps = 40
    found = hurst(noise_with_memory(exponent, steps, 20000, 5))
    m = found.block_lengths
    blocks = steps // m
    np.testing.assert_array_equal(m, np.arange(1, 11))
    power = 2 * exponent - 2
    # Around the mean of the blocks themselves, hence the second term.
    expected = m**power - (blocks * m) ** power
    np.testing.assert_allclose(found.variances.mean(0), expected, rtol=0.03)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.8])
def test_hurst_recovers_a_known_exponent_of_long_series(exponent):
    found = hurst(noise_with_memory(exponent, 1000, 60, 6), least_blocks=25).exponent
    assert abs(found.mean() - exponent) < 0.06


def test_a_trend_looks_like_memory_until_it_is_removed():
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(500, 21))
    trending = noise + 0.5 * np.arange(21)
    assert hurst(trending).exponent.mean() > 0.9
    np.testing.assert_allclose(hurst(trending, detrend=True).exponent, hurst(noise, detrend=True).exponent, rtol=1e-8)
    same_one_by_one(lambda x: (hurst(x).exponent,), SERIES)


def test_twenty_one_years_cannot_tell_memory_from_none():
    mean, lower, upper = hurst_of_noise(21)
    assert mean < 0.5 and lower < 0.2 and upper > 0.65
    np.testing.assert_array_equal(hurst(SERIES).block_lengths, [1, 2, 3, 4, 5])


def test_hurst_of_a_constant_is_undefined():
    assert np.isnan(hurst(np.full(20, 7.3)).exponent)
    assert np.isnan(hurst(3.1 + 0.7 * np.arange(20), detrend=True).exponent)


# ---- Moran


def kept_weights(weights):
    matrix = weights.matrix.tocoo()
    neighbours = {i: [] for i in range(len(weights.names))}
    values = {i: [] for i in neighbours}
    for i, j, w in zip(matrix.row, matrix.col, matrix.data, strict=True):
        neighbours[int(i)].append(int(j))
        values[int(i)].append(float(w))
    return libpysal.weights.W(neighbours, values, silence_warnings=True)


POINTS = RNG.uniform(0, 10, size=(40, 2))
WEIGHTS = {
    "queen": grid_weights(5, 8),
    "rook": grid_weights(5, 8, "rook"),
    "nearest": nearest_weights(POINTS, 4),
    "distance": distance_weights(POINTS, 4.0),
    "inverse distance": distance_weights(POINTS, 4.0, power=1.0),
}


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("by_row", [False, True])
def test_moran_equals_the_kept_library(kind, by_row):
    weights = WEIGHTS[kind].by_row() if by_row else WEIGHTS[kind]
    values = np.random.default_rng(8).normal(size=(3, 40))
    found = global_moran(values, weights)
    near = local_moran(values, weights)
    n, total = 40, weights.matrix.sum()
    for member in range(3):
        w = kept_weights(weights)
        kept = esda.Moran(values[member], w, transformation="o", permutations=0)
        np.testing.assert_allclose([found.statistic[member], found.expected], [kept.I, kept.EI], rtol=1e-10)
        kept = esda.Moran_Local(values[member], w, transformation="o", permutations=0)
        # The library divides by the sample variance, equation 11 by the mean square.
        np.testing.assert_allclose(near.statistic[member] * (n - 1) / n, kept.Is, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(near.quadrant[member], kept.q)
    np.testing.assert_allclose(near.statistic.sum(-1) / total, found.statistic, rtol=1e-10)


def test_weights_equal_the_kept_library():
    def same(mine, kept):
        np.testing.assert_allclose(mine.matrix.toarray(), kept.full()[0], rtol=1e-12)

    same(WEIGHTS["queen"], libpysal.weights.lat2W(5, 8, rook=False))
    same(WEIGHTS["rook"], libpysal.weights.lat2W(5, 8, rook=True))
    same(WEIGHTS["nearest"], libpysal.weights.KNN(POINTS, 4))
    same(WEIGHTS["distance"], libpysal.weights.DistanceBand(POINTS, 4.0, silence_warnings=True))
    distance = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=-1) + np.eye(40)
    within = (distance <= 4.0) & ~np.eye(40, dtype=bool)
    np.testing.assert_allclose(WEIGHTS["inverse distance"].matrix.toarray(), within / distance, rtol=1e-12)
    borders = [(str(i), str(j)) for i, j in zip(*WEIGHTS["rook"].matrix.nonzero(), strict=True) if i < j]
    same(contiguity_weights(borders, [str(i) for i in range(40)]), libpysal.weights.lat2W(5, 8, rook=True))
    np.testing.assert_allclose(WEIGHTS["inverse distance"].by_row().matrix.sum(1), 1, rtol=1e-12)
    cities = geocentric([116.4, 117.2, 121.5], [39.9, 39.1, 31.2])  # Beijing, Tianjin, Shanghai
    assert nearest_weights(cities, 1).matrix.toarray().argmax(1).tolist() == [1, 0, 1]


def smooth_field():
    weights = grid_weights(6, 6).by_row()
    return weights, (np.eye(36) + weights.matrix.toarray()) @ np.random.default_rng(9).normal(size=36)


def test_permutation_probability_agrees_with_the_kept_library_and_keeps_its_level():
    weights, smooth = smooth_field()
    kept = esda.Moran(smooth, kept_weights(weights), transformation="o", permutations=999)
    assert abs(global_moran(smooth, weights, 999, seed=1).p_value - min(2 * kept.p_sim, 1)) < 0.03
    noise = np.random.default_rng(14).normal(size=(1500, 36))
    found = global_moran(noise, weights, 99)
    assert abs((found.p_value < 0.05).mean() - 0.05) < 0.018
    assert abs(found.statistic.mean() - found.expected) < 3 * found.statistic.std() / np.sqrt(1500)
    side = local_moran(noise[:60], weights, 99).p_value
    assert abs((side < 0.05).mean() - 0.10) < 0.03  # one-sided towards either end
    assert np.isnan(global_moran(np.full(36, 2.2), weights, 9).p_value)


def test_local_probability_is_that_of_all_arrangements():
    weights = contiguity_weights(
        [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("a", "c")], list("abcdef")
    )
    values = np.random.default_rng(15).normal(size=6)
    found = local_moran(values, weights, 20000, seed=2).p_value
    matrix, z = weights.matrix.toarray(), values - values.mean()
    for i in range(6):
        lags = [matrix[i, np.arange(6) != i] @ order for order in itertools.permutations(np.delete(z, i))]
        larger = np.mean(z[i] * np.array(lags) >= z[i] * (matrix[i] @ z) - 1e-12)
        assert abs(found[i] - min(larger, 1 - larger)) < 0.015


@pytest.mark.slow
def test_local_probability_agrees_with_the_kept_library():
    weights, smooth = smooth_field()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = esda.Moran_Local(smooth, kept_weights(weights), transformation="o", permutations=999, seed=1)
    assert np.abs(local_moran(smooth, weights, 999, seed=1).p_value - kept.p_sim).max() < 0.05


# ---- Gini


def pairs(values):
    return np.abs(values[:, None] - values[None, :]).mean() / 2


def test_gini_of_positive_values_is_that_of_all_pairs():
    values = np.random.default_rng(10).lognormal(size=(5, 33))
    found = gini(values)
    for member in range(5):
        expected = pairs(values[member]) / values[member].mean()
        for form in (found.surplus, found.sum, found.weighted, found.normalised):
            np.testing.assert_allclose(form[member], expected, rtol=1e-10)
    assert (found.deficit == 0).all() and (found.surplus_share == 1).all()


def test_gini_splits_signs():
    values = np.random.default_rng(11).normal(0.3, 1, size=(6, 25))
    values[0] = np.abs(values[0])
    values[1, :5] = 0.0
    found = gini(values)
    for member, row in enumerate(values):
        parts = []
        for kept in (row[row < 0], row[row > 0]):
            parts.append(pairs(kept) / abs(kept.mean()) if len(kept) else 0.0)
        p1, p2 = (row < 0).mean(), (row > 0).mean()
        whole = pairs(row) / np.abs(row).mean()
        expected = [*parts, p1, p2, sum(parts), p1 * parts[0] + p2 * parts[1], whole]
        np.testing.assert_allclose([part[member] for part in found], expected, rtol=1e-9, atol=1e-12)
    same_one_by_one(gini, values)


def test_gini_has_the_textbook_properties():
    values = np.random.default_rng(12).normal(size=(4, 20))
    for scale, sign in itertools.product((0.01, 50.0), (1, -1)):
        scaled = gini(sign * scale * values)
        base = gini(values)
        np.testing.assert_allclose(scaled.normalised, base.normalised, rtol=1e-10)
        np.testing.assert_allclose(scaled.sum, base.sum, rtol=1e-10)
    for value in (-2.3, 4.7):
        equal = gini(np.full(12, value))
        np.testing.assert_allclose([equal.sum, equal.weighted, equal.normalised], 0, atol=1e-12)
    uniform = gini(np.linspace(0, 1, 4001)).normalised
    np.testing.assert_allclose(uniform, 1 / 3, atol=1e-3)
    # The printed sum can exceed one; the normalised form cannot.
    extreme = np.concatenate([np.full(50, -1e-3), [-100], np.full(50, 1e-3), [100]])
    assert gini(extreme).sum > 1 > gini(extreme).normalised
    assert np.isnan(gini(np.zeros(5)).normalised)


# ---- members and wrong input


def test_distribution_over_members():
    values = np.random.default_rng(13).normal(1.0, 2.0, size=(5000, 3))
    values[::10, 2] = np.nan
    values[:, 1] = np.nan
    found = distribution(values, (0.1, 0.5))
    kept = values[~np.isnan(values[:, 2]), 2]
    np.testing.assert_allclose(found.mean[2], kept.mean())
    np.testing.assert_allclose(found.sd[2], kept.std(ddof=1))
    np.testing.assert_allclose(found.quantiles[:, 2], np.quantile(kept, (0.1, 0.5)))
    np.testing.assert_allclose(found.above_zero[[0, 2]], [(values[:, 0] > 0).mean(), (kept > 0).mean()])
    np.testing.assert_allclose(found.defined, [1, 0, 0.9])
    assert np.isnan([found.mean[1], found.sd[1], found.quantiles[0, 1]]).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hurst(np.arange(4.0)), "4 steps are too few for a Hurst exponent; needed: 12 or more"),
        (lambda: hurst(np.arange(40.0), least_blocks=1), "least_blocks 1 is not allowed"),
        (lambda: linear_trend([1.0, 2.0]), "2 steps are too few for a linear trend"),
        (lambda: sequential_mann_kendall([1.0, np.nan, 2.0, 3.0]), "1 values .* not finite"),
        (lambda: sequential_mann_kendall(np.arange(9.0), 95), "confidence 95 is not allowed"),
        (lambda: gini([1.0]), "1 places are too few"),
        (lambda: global_moran(np.ones(5), grid_weights(2, 3)), "5 places have values but 6 have weights"),
        (lambda: distance_weights([[0, 0], [1, 0], [9, 9]], 2.0, names=["a", "b", "c"]), r"1 of 3 places have no neighbour \(c\)"),
        (lambda: contiguity_weights([("a", "b")], ["a", "b", "Hainan"]), r"no neighbour \(Hainan\)"),
        (lambda: contiguity_weights([("a", "x")], ["a", "b"]), "names 'x', which is not among the places"),
        (lambda: nearest_weights(np.eye(3), 3), "3 neighbours are not possible among 3 places"),
        (lambda: nearest_weights([[0, 0], [0, 0], [1, 1]], 1), "two places lie on the same point"),
        (lambda: grid_weights(3, 3, "bishop"), "the rule 'bishop' is not allowed"),
        (lambda: distance_weights(np.eye(3), 0.0), "radius 0 is not allowed"),
        (lambda: distribution(np.empty((0, 3))), "at least one member"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
