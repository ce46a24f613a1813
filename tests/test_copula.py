"""Copula: realised correlations, attainable ranges, impossible matrices, conditional laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from scipy.stats import qmc

from ensemble.inputs.copula import ImpossibleCorrelation, build_copula, nearest_correlation
from ensemble.inputs.distributions import make_distribution
from ensemble.inputs.latent import latent_from_rank, pearson_curve, rank_from_latent

MARGINALS = {
    "lognormal": make_distribution({"distribution": "lognormal", "mean": 2.0, "cv": 1.0}),
    "narrow": make_distribution({"distribution": "lognormal", "mean": 2.0, "cv": 0.5}),
    "uniform": make_distribution({"distribution": "uniform", "minimum": 1.0, "maximum": 3.0}),
    "normal": make_distribution({"distribution": "normal", "mean": 1.0, "sd": 3.0}),
    "cut": make_distribution({"distribution": "normal", "mean": 1.0, "sd": 0.9}, (0.0, np.inf)),
    "triangular": make_distribution({"distribution": "triangular", "minimum": 0.0, "mode": 0.1, "maximum": 1.0}),
    "beta": make_distribution({"distribution": "beta", "alpha": 0.5, "beta": 0.5}),
    "coin": make_distribution({"distribution": "discrete", "values": [0, 1]}),
    "die": make_distribution({"distribution": "discrete", "values": [1, 2, 9], "probabilities": [0.2, 0.5, 0.3]}),
    "sample": make_distribution({"distribution": "empirical", "values": np.random.default_rng(0).gumbel(size=300)}),
}
LATENT = np.array([-0.999, -0.9, -0.4, 0.2, 0.7, 0.99])


def lognormals(r):
    a, b = np.sqrt(np.log(2.0)), np.sqrt(np.log(1.25))
    return np.expm1(a * b * r) / np.sqrt(np.expm1(a * a) * np.expm1(b * b))


@pytest.mark.parametrize(
    ("first", "second", "exact"),
    [
        ("lognormal", "narrow", lognormals),
        ("uniform", "uniform", lambda r: 6.0 / np.pi * np.arcsin(r / 2.0)),
        ("normal", "normal", lambda r: r),
        ("coin", "coin", lambda r: 2.0 / np.pi * np.arcsin(r)),
        ("normal", "coin", lambda r: r * np.sqrt(2.0 / np.pi)),
        ("normal", "uniform", lambda r: r * np.sqrt(3.0 / np.pi)),
    ],
)
def test_pearson_closed_forms(first, second, exact):
    curve = pearson_curve(MARGINALS[first], MARGINALS[second])
    np.testing.assert_allclose([curve.at(r) for r in LATENT], exact(LATENT), atol=1e-6)
    np.testing.assert_allclose(curve.range, (exact(-1.0), exact(1.0)), atol=1e-9)
    target = 0.6 * curve.range[0]
    assert curve.at(curve.solve(target)) == pytest.approx(target, abs=1e-10)


def test_pearson_against_a_plane_of_scores():
    """Any two marginals against 2^18 quasi-random points: an independent route, to its own error."""
    w = special.ndtri(np.concatenate([qmc.Sobol(2, rng=seed).random(2**15) for seed in range(8)]))
    for latent in (-0.7, 0.45, 0.9):
        z = latent * w[:, 0] + np.sqrt(1.0 - latent**2) * w[:, 1]
        first = {name: m.from_score(w[:, 0]) for name, m in MARGINALS.items()}
        second = {name: m.from_score(z) for name, m in MARGINALS.items()}
        for a, b in (
            ("die", "coin"),
            ("die", "cut"),
            ("sample", "beta"),
            ("triangular", "lognormal"),
            ("cut", "sample"),
        ):
            realised = np.mean((first[a] - MARGINALS[a].mean) * (second[b] - MARGINALS[b].mean))
            expected = realised / (MARGINALS[a].sd * MARGINALS[b].sd)
            assert pearson_curve(MARGINALS[a], MARGINALS[b]).at(latent) == pytest.approx(expected, abs=1e-3)


def test_many_steps_agree_with_few():
    """The series for long lists of values and the integral for short ones meet."""
    values = np.linspace(-1.0, 2.0, 70) ** 3
    many = make_distribution({"distribution": "empirical", "values": values, "method": "resample"})
    short = make_distribution({"distribution": "empirical", "values": values[:58], "method": "resample"})
    series, integral = pearson_curve(many, many), pearson_curve(many, short)
    z = special.ndtri(qmc.Sobol(2, rng=1).random(2**17))
    for latent in (-0.8, 0.6, 0.95):
        other = latent * z[:, 0] + np.sqrt(1.0 - latent**2) * z[:, 1]
        for curve, second in ((series, many), (integral, short)):
            realised = np.corrcoef(many.from_score(z[:, 0]), second.from_score(other))[0, 1]
            assert curve.at(latent) == pytest.approx(realised, abs=1e-3)


def test_realised_correlations_and_marginals():
    names = ("lognormal", "uniform", "die", "normal")
    marginals = {name: MARGINALS[name] for name in names}
    copula = build_copula(
        marginals,
        [
            ("lognormal", "uniform", 0.6, "pearson"),
            ("die", "lognormal", -0.3, "pearson"),
            ("uniform", "normal", 0.4, "rank"),
        ],
    )
    u = copula.apply(qmc.Sobol(4, rng=3).random(2**17))
    x = [marginals[name].ppf(u[:, column]) for column, name in enumerate(names)]
    realised = np.corrcoef(x)
    assert realised[0, 1] == pytest.approx(0.6, abs=3e-3)
    assert realised[0, 2] == pytest.approx(-0.3, abs=3e-3)
    assert realised[2, 3] == pytest.approx(0.0, abs=3e-3)
    assert stats.spearmanr(u[:, 1], u[:, 3])[0] == pytest.approx(0.4, abs=3e-3)
    for column in u.T:
        assert stats.kstest(column, "uniform").statistic < 2e-3


def test_what_depends_on_nothing_keeps_its_numbers():
    marginals = {name: MARGINALS[name] for name in ("normal", "uniform", "beta")}
    u = np.random.default_rng(0).random((50, 3))
    independent = build_copula(marginals, [])
    np.testing.assert_array_equal(independent.apply(u), u)
    copula = build_copula(marginals, [("beta", "uniform", 0.5, "rank")])
    np.testing.assert_array_equal(copula.apply(u)[:, :2], u[:, :2])
    np.testing.assert_array_equal(copula.apply(u[10:20]), copula.apply(u)[10:20])
    edge = copula.apply(np.array([[0.5, 1 - 1e-16, 1 - 1e-16], [0.5, 1e-300, 1e-300]]))
    assert ((edge > 0.0) & (edge < 1.0)).all()
    assert latent_from_rank(rank_from_latent(0.37)) == pytest.approx(0.37, abs=1e-15)


def test_conditional_law_is_that_of_the_joint():
    marginals = {name: MARGINALS[name] for name in ("normal", "uniform", "beta", "cut")}
    copula = build_copula(
        marginals,
        [("normal", "uniform", 0.5, "rank"), ("normal", "cut", -0.6, "rank"), ("uniform", "beta", 0.3, "rank")],
    )
    u, fresh = np.random.default_rng(5).random((2, 200_000, 4))
    joint = copula.apply(u)
    given = copula.conditional(["cut", "uniform"])
    assert given.free == ("normal", "beta")
    redrawn = joint.copy()
    redrawn[:, [0, 2]] = given.apply(joint[:, [3, 1]], fresh[:, :2])
    np.testing.assert_allclose(np.corrcoef(special.ndtri(redrawn).T), copula.correlation, atol=0.01)
    everything = copula.conditional([]).apply(np.empty((5, 0)), u[:5])
    np.testing.assert_allclose(everything, joint[:5], atol=1e-12)
    with pytest.raises(ValueError, match="no input 'clay'"):
        copula.conditional(["clay"])


def test_impossible_correlations_offer_possible_ones():
    marginals = {name: MARGINALS[name] for name in ("normal", "uniform", "lognormal", "beta")}
    pairs = [
        ("normal", "uniform", 0.9, "rank"),
        ("uniform", "lognormal", 0.75, "pearson"),
        ("normal", "lognormal", -0.5, "rank"),
    ]
    with pytest.raises(
        ImpossibleCorrelation, match=r"cannot hold together.*nearest possible are normal and uniform 0"
    ) as caught:
        build_copula(marginals, pairs)
    offer = caught.value.nearest
    assert set(offer) == {("normal", "uniform"), ("uniform", "lognormal"), ("normal", "lognormal")}
    kinds = {(a, b): kind for a, b, _, kind in pairs}
    accepted = build_copula(marginals, [(a, b, value, kinds[a, b]) for (a, b), value in offer.items()])
    assert np.linalg.eigvalsh(accepted.correlation)[0] > 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 7), st.integers(0, 10**6))
def test_nearest_correlation_is_nearest(size, seed):
    """Higham's conditions: valid, and no valid matrix on the way to other valid matrices is closer."""
    rng = np.random.default_rng(seed)
    matrix = np.clip(rng.normal(0.0, 0.8, (size, size)), -0.99, 0.99)
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T + np.eye(size)
    near = nearest_correlation(matrix, 0.01)
    np.testing.assert_allclose(np.diag(near), 1.0)
    assert np.linalg.eigvalsh(near)[0] > 0.01 - 1e-6
    for _ in range(20):
        w = rng.normal(size=(size, 2 * size))
        other = 0.9 * np.corrcoef(w) + 0.1 * np.eye(size)
        # The projection on a convex set makes an obtuse angle with every direction into the set.
        assert ((matrix - near) * (other - near)).sum() <= 1e-6


def test_higham_2002_example():
    """The 4 x 4 example of Higham (2002), section 4, to the four printed decimals."""
    matrix = np.array([[2.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 2]])
    near = nearest_correlation(matrix)
    expected = np.array(
        [
            [1.0, -0.8084, 0.1916, 0.1068],
            [-0.8084, 1.0, -0.6562, 0.1916],
            [0.1916, -0.6562, 1.0, -0.8084],
            [0.1068, 0.1916, -0.8084, 1.0],
        ]
    )
    np.testing.assert_allclose(near, expected, atol=5e-5)


REFUSED = [
    ([("normal", "clay", 0.5, "rank")], "names 'clay'"),
    ([("normal", "normal", 0.5, "rank")], "with itself"),
    ([("normal", "uniform", 0.5, "rank"), ("uniform", "normal", 0.4, "rank")], "given twice"),
    ([("normal", "uniform", 1.0, "rank")], "correlation of 1 between normal and uniform is not allowed"),
    ([("normal", "uniform", 0.5, "kendall")], "kind 'kendall' is not allowed"),
    ([("lognormal", "normal", -0.9, "pearson")], "not attainable: their distributions allow -0.83[0-9]* to 0.83"),
    ([("site", "normal", 0.5, "pearson")], "site differs by site; use kind: rank"),
    ([("names", "normal", 0.5, "pearson")], "has names, not numbers"),
    ([("one", "normal", 0.5, "pearson")], "one does not vary"),
]


@pytest.mark.parametrize(("pairs", "sentence"), REFUSED)
def test_wrong_correlations_get_one_sentence(pairs, sentence):
    marginals = MARGINALS | {
        "site": make_distribution({"distribution": "normal", "mean": [1.0, 2.0], "sd": 1.0}),
        "names": make_distribution({"distribution": "discrete", "values": ["a", "b"]}),
        "one": make_distribution({"distribution": "discrete", "values": [3]}),
    }
    with pytest.raises(ValueError, match=sentence) as caught:
        build_copula(marginals, pairs)
    assert "\n" not in str(caught.value)
