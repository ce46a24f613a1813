"""Dependent inputs: Kucherenko's and Shapley effects against closed forms and a second method."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import qmc

from ensemble.design.pick_freeze import pick_freeze
from ensemble.inference.decomposition import decompose
from ensemble.inference.decomposition.dependence import ConditionalMeans, degree_caps
from ensemble.inference.decomposition.shapley import shapley_exact, shapley_permutations
from ensemble.inference.decomposition.surrogate import choose_bases, cross_fit, folds_of

NAMES = ("clay", "soc", "density", "rain")
CORRELATION = np.array([[1.0, 0.6, -0.3, 0.0], [0.6, 1.0, -0.5, 0.0], [-0.3, -0.5, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
SLOPES = np.array([1.0, 2.0, -1.5, 0.8])
GROUPINGS = [None, {"laboratory": ["clay", "soc"]}, {"soil": ["clay", "rain"]}]


def linear_values(groups):
    """Variance of the mean of a linear Gaussian model given every subset of groups, as a share."""
    variance = SLOPES @ CORRELATION @ SLOPES
    values = {}
    for size in range(len(groups) + 1):
        for subset in itertools.combinations(range(len(groups)), size):
            kept = [j for g in subset for j in groups[g]]
            across = CORRELATION[kept] @ SLOPES
            values[subset] = float(across @ np.linalg.solve(CORRELATION[np.ix_(kept, kept)], across)) / variance
    return values


def linear_exact(groups):
    """First, total and Shapley effects of a linear Gaussian model in closed form (Owen & Prieur 2017)."""
    values, count = linear_values(groups), len(groups)
    every = tuple(range(count))
    first = [values[(g,)] for g in every]
    total = [1.0 - values[tuple(k for k in every if k != g)] for g in every]
    shapley = np.zeros(count)
    for g in every:
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for subset in itertools.combinations([k for k in every if k != g], size):
                shapley[g] += weight * (values[tuple(sorted((*subset, g)))] - values[subset])
    return np.array([*first, *total]), shapley


def dependent(u):
    """Correlated scores, as the copula of a study makes them."""
    return ndtri(u) @ np.linalg.cholesky(CORRELATION).T


@pytest.mark.parametrize("groups", GROUPINGS)
def test_linear_gaussian_model_in_closed_form(groups):
    design = pick_freeze(NAMES, 16 * 64, 1, groups=groups, correlation=CORRELATION, dependent=True)
    y = (dependent(design.uniforms(NAMES, np.arange(design.members))) @ SLOPES)[:, None]
    found = decompose(design, y, ("hermite",) * 4)
    positions = [[NAMES.index(name) for name in members] for _, members in design.groups]
    effects, shapley = linear_exact(positions)
    assert found.method == "surrogate"
    np.testing.assert_allclose(found.best.each.value[:, 0], effects, atol=1e-3)
    np.testing.assert_allclose(found.shapley.value[:, 0], shapley, atol=1e-3)
    assert found.shapley.value.sum() == pytest.approx(1.0, abs=1e-9)
    audit = found.audit.each
    assert np.all(np.abs(audit.value[:, 0] - effects) < 2.0 * audit.half_width[:, 0])
    np.testing.assert_allclose(found.halved.value, 0.75 * found.removed.value, rtol=1e-3, atol=1e-9)


def test_conditional_sampling_alone_reaches_a_thousandth():
    design = pick_freeze(NAMES, 2**16, 1, correlation=CORRELATION, dependent=True)
    y = (dependent(design.uniforms(NAMES, np.arange(design.members))) @ SLOPES)[:, None]
    found = decompose(design, y)
    effects, _ = linear_exact([[0], [1], [2], [3]])
    np.testing.assert_allclose(found.best.each.value[:, 0], effects, atol=1e-3)
    assert not np.isclose(found.best.each.value[:4].sum(), 1.0, atol=0.1)


def test_conditional_blocks_keep_the_dependence():
    design = pick_freeze(NAMES, 2**12, 1, correlation=CORRELATION, dependent=True)
    z = dependent(design.uniforms(NAMES, np.arange(design.members))).reshape(design.rows, -1, 4)
    for block, kept in enumerate(design.blocks):
        np.testing.assert_allclose(np.corrcoef(z[:, block].T), CORRELATION, atol=0.03)
        np.testing.assert_allclose(z[:, block][:, list(kept)], z[:, 0][:, list(kept)], atol=1e-6)


def nonlinear(z):
    return (np.exp(0.4 * z[:, 0]) * z[:, 1] + z[:, 2] ** 2 + 0.5 * z[:, 3] * z[:, 0])[:, None]


def test_nonlinear_model_against_sampling_every_subset():
    """The surrogate's conditional means are exact; a brute-force double sample of each subset agrees."""
    u = qmc.Sobol(4, rng=np.random.default_rng(1)).random(4096)
    fold = folds_of(np.arange(4096) % 16)
    y = nonlinear(dependent(u))
    bases = choose_bases(u, y, fold, ("hermite",) * 4, degree_caps(CORRELATION))
    fit = cross_fit(bases, [(u, y, fold)])
    means = ConditionalMeans(bases[0], fit.coefficients[0], CORRELATION)
    w = ndtri(qmc.Sobol(8, rng=np.random.default_rng(2)).random(2**16))
    value = {}
    for size in range(5):
        for subset in itertools.combinations(range(4), size):
            kept, rest = list(subset), [j for j in range(4) if j not in subset]
            inside = np.linalg.cholesky(CORRELATION[np.ix_(kept, kept)]) if kept else np.zeros((0, 0))
            slope = CORRELATION[np.ix_(rest, kept)] @ np.linalg.inv(CORRELATION[np.ix_(kept, kept)])
            spread = CORRELATION[np.ix_(rest, rest)] - slope @ CORRELATION[np.ix_(kept, rest)]
            pair = []
            for half in (w[:, :4], w[:, 4:]):
                z = np.empty((len(w), 4))
                z[:, kept] = w[:, :size] @ inside.T
                z[:, rest] = z[:, kept] @ slope.T + half[:, size:] @ np.linalg.cholesky(spread).T
                pair.append(nonlinear(z)[:, 0])
            value[subset] = np.cov(pair[0], pair[1])[0, 1] if size < 4 else pair[0].var()
            exact = (means.given(subset)[(means.terms > 0).any(1)] ** 2).sum()
            assert exact == pytest.approx(value[subset], abs=0.01 * value.get((0, 1, 2, 3), 3.0) + 1e-9)
    shapley = shapley_exact(means, [[0], [1], [2], [3]])[:, 0]
    brute = np.zeros(4)
    for g in range(4):
        for size in range(4):
            weight = math.factorial(size) * math.factorial(3 - size) / 24.0
            for subset in itertools.combinations([k for k in range(4) if k != g], size):
                brute[g] += weight * (value[tuple(sorted((*subset, g)))] - value[subset])
    np.testing.assert_allclose(shapley, brute, atol=0.01 * brute.sum())
    drawn, error = shapley_permutations(means, [[0], [1], [2], [3]], 100, 1)
    assert np.all(np.abs(drawn[:, 0] - shapley) < 4.0 * error[:, 0] + 1e-9)
    assert drawn.sum() == pytest.approx(shapley.sum(), rel=1e-9)


def test_more_than_twelve_tied_inputs_use_permutations():
    size = 14
    correlation = 0.3 * np.ones((size, size)) + 0.7 * np.eye(size)
    names = [f"x{j}" for j in range(size)]
    design = pick_freeze(names, 64, 1, correlation=correlation, dependent=True)
    z = ndtri(design.uniforms(names, np.arange(design.members))) @ np.linalg.cholesky(correlation).T
    found = decompose(design, z.sum(1, keepdims=True), ("hermite",) * size)
    error = np.abs(found.shapley.value[:, 0] - 1.0 / size)
    assert np.all(error < 2.0 * found.shapley.half_width[:, 0])
    assert 1e-4 < found.shapley.half_width.max() < 0.03
    assert found.shapley.value.sum() == pytest.approx(1.0, abs=1e-6)


def test_single_sobol_indices_are_refused_and_the_grouping_offered():
    with pytest.raises(
        ValueError,
        match=r"'clay' and 'soc' are correlated.*use indices: shapley or kucherenko, or make one group of \[clay, soc, density\]",
    ):
        pick_freeze(NAMES, 64, 1, correlation=CORRELATION)
    with pytest.raises(ValueError, match="second-order effects do not exist"):
        pick_freeze(NAMES, 64, 1, correlation=CORRELATION, dependent=True, second=True)


def test_grouped_sobol_where_no_correlation_crosses_groups():
    groups = {"soil": ["clay", "soc", "density"]}
    design = pick_freeze(NAMES, 16 * 64, 1, groups=groups, correlation=CORRELATION, second=True)
    y = (dependent(design.uniforms(NAMES, np.arange(design.members))) @ SLOPES)[:, None]
    for families in (None, ("hermite",) * 4):
        found = decompose(design, y, families)
        effects, _ = linear_exact([[0, 1, 2], [3]])
        np.testing.assert_allclose(found.best.each.value[:4, 0], effects, atol=0.03 if families is None else 1e-6)
