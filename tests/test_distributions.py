"""Distributions: what is stated holds for the final distribution, in both tails, or is refused."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from scipy import special, stats

from ensemble.inputs.distributions import make_distribution
from ensemble.inputs.families import FAMILIES, PARAMETERS, families_table, parameters_table
from ensemble.inputs.truncation import Truncated

INF = np.inf
SIGMA = np.sqrt(np.log(1.25))
LIMITS = [(-INF, INF), (0.0, INF), (0.05, 0.9), (0.2, 0.7)]
CONTINUOUS = [name for name in FAMILIES if name not in ("discrete", "empirical")]
STATED = {
    ("mean", "sd"): {"mean": 0.4, "sd": 0.1},
    ("mean", "cv"): {"mean": 0.4, "cv": 0.25},
    ("median", "sd"): {"median": 0.4, "sd": 0.1},
    ("median", "cv"): {"median": 0.4, "cv": 0.25},
    ("minimum", "maximum"): {"minimum": 0.1, "maximum": 0.8},
    ("minimum", "mode", "maximum"): {"minimum": 0.1, "mode": 0.3, "maximum": 0.8},
    ("alpha", "beta"): {"alpha": 2.0, "beta": 3.5},
    ("shape", "scale"): {"shape": 4.0, "scale": 0.1},
}
QUANTILES = {2: {0.1: 0.3, 0.8: 0.5}, 3: {0.1: 0.3, 0.5: 0.4, 0.9: 0.55}}


def every_statement():
    for name in CONTINUOUS:
        for form in FAMILIES[name].forms:
            stated = {"quantiles": QUANTILES[FAMILIES[name].quantiles]} if form == ("quantiles",) else STATED[form]
            for limits in LIMITS:
                if not (name == "truncated_normal" and limits[1] == INF and limits[0] == -INF):
                    yield pytest.param({"distribution": name, **stated}, limits, id=f"{name}-{'+'.join(form)}-{limits}")


def moment(distribution, power, about=0.0):
    """Moment by Gauss-Legendre on the quantile function, decade by decade into both tails: its own route."""
    tail = 10.0 ** np.arange(-14, 0)
    ends = np.concatenate([tail, np.linspace(0.15, 0.85, 29), 1.0 - tail[::-1]])
    node, weight = np.polynomial.legendre.leggauss(40)
    width = np.diff(ends)[:, None] / 2.0
    values = (distribution.ppf(ends[:-1, None] + width * (node + 1.0)) - about) ** power
    return float((width * weight * values).sum())


@pytest.mark.parametrize(("spec", "limits"), list(every_statement()))
def test_stated_numbers_hold_after_truncation(spec, limits):
    distribution = make_distribution(spec, limits)
    low, high = distribution.support
    assert limits[0] <= low < high <= limits[1]
    mean = moment(distribution, 1)
    sd = np.sqrt(moment(distribution, 2, mean))
    assert distribution.mean == pytest.approx(mean, rel=1e-8)
    assert distribution.sd == pytest.approx(sd, rel=1e-7)
    achieved = {"mean": mean, "sd": sd, "cv": sd / abs(mean), "median": float(distribution.ppf(0.5))}
    for key in achieved.keys() & spec.keys():
        assert achieved[key] == pytest.approx(spec[key], rel=1e-6)
    for probability, value in spec.get("quantiles", {}).items():
        assert distribution.cdf(value) == pytest.approx(probability, abs=1e-9)
        assert distribution.ppf(probability) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    ("spec", "frozen"),
    [
        ({"distribution": "normal", "mean": 3.0, "sd": 2.0}, stats.norm(3, 2)),
        (
            {"distribution": "lognormal", "mean": 3.0, "cv": 0.5},
            stats.lognorm(SIGMA, scale=3.0 * np.exp(-(SIGMA**2) / 2)),
        ),
        ({"distribution": "uniform", "minimum": -1.0, "maximum": 4.0}, stats.uniform(-1, 5)),
        ({"distribution": "log_uniform", "minimum": 0.1, "maximum": 4.0}, stats.loguniform(0.1, 4)),
        ({"distribution": "triangular", "minimum": 1.0, "mode": 2.0, "maximum": 5.0}, stats.triang(0.25, 1, 4)),
        ({"distribution": "pert", "minimum": 1.0, "mode": 2.0, "maximum": 5.0}, stats.beta(2.0, 4.0, 1, 4)),
        ({"distribution": "beta", "mean": 0.3, "sd": 0.1}, stats.beta(6.0, 14.0)),
        ({"distribution": "gamma", "mean": 3.0, "cv": 0.5}, stats.gamma(4.0, scale=0.75)),
    ],
)
def test_closed_forms(spec, frozen):
    distribution, u = make_distribution(spec), np.array([1e-12, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9])
    np.testing.assert_allclose(distribution.ppf(u), frozen.ppf(u), rtol=1e-10)
    np.testing.assert_allclose(distribution.cdf(frozen.ppf(u)), u, rtol=1e-9, atol=1e-15)
    assert distribution.mean == pytest.approx(frozen.mean(), rel=1e-11)
    assert distribution.sd == pytest.approx(frozen.std(), rel=1e-10)


@pytest.mark.parametrize("cut", [-12.0, -5.0, 0.0, 5.0, 12.0, 30.0])
def test_far_tails_keep_their_digits(cut):
    """A standard normal cut at 30 sd: S(x) = (1 - u) S(cut), solved in logarithms."""
    law = Truncated("norm", (np.asarray(0.0), np.asarray(1.0)), np.asarray(cut), np.asarray(np.inf))
    u = np.array([1e-9, 0.1, 0.5, 0.9, 1 - 1e-9])
    x = law.quantile(u, 1.0 - u)
    expected = stats.truncnorm(cut, np.inf).ppf(u)
    np.testing.assert_allclose(x, expected, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(special.log_ndtr(-x), np.log1p(-u) + special.log_ndtr(-cut), rtol=1e-12, atol=1e-13)
    mirrored = Truncated("norm", law.args, np.asarray(-np.inf), np.asarray(-cut))
    np.testing.assert_allclose(mirrored.quantile(1.0 - u, u), -x, rtol=1e-13)


def test_beta_inverse_where_the_root_finder_fails():
    """SciPy 1.17's betaincinv gives NaN for the first shapes below 1e-17, and wrong digits for the second."""
    for a, b in ((1.0124612738920395, 0.8388964840819757), (1.67, 0.163), (2.0, 200.0)):
        law = Truncated("beta", tuple(np.asarray(v) for v in (a, b, 0.0, 1.0)), np.asarray(0.0), np.asarray(1.0))
        p = 10.0 ** np.arange(-30.0, 0.0)
        np.testing.assert_allclose(special.betainc(a, b, law.quantile(p, 1.0 - p)), p, rtol=1e-9)
        assert law.mean_sd()[0] == pytest.approx(a / (a + b), rel=1e-12)


names = st.sampled_from(["normal", "lognormal", "beta", "gamma"])


@settings(max_examples=100, deadline=None)
@given(
    names,
    st.floats(0.05, 0.95),
    st.floats(0.02, 0.6),
    st.floats(0.0, 0.5),
    st.floats(1.0, 3.0),
    st.lists(st.floats(1e-9, 1 - 1e-9), min_size=1, max_size=8),
)
def test_round_trip(name, mean, cv, lower, upper, u):
    """cdf(ppf(u)) = u and the stated moments hold, or one sentence says why not."""
    try:
        distribution = make_distribution(
            {"distribution": name, "mean": mean, "cv": cv, "lower": lower * mean, "upper": upper * mean + 0.1}
        )
    except ValueError:
        reject()
    assert distribution.mean == pytest.approx(mean, rel=1e-7)
    assert distribution.sd == pytest.approx(cv * mean, rel=1e-6)
    x = distribution.ppf(np.array(sorted(u)))
    assert (np.diff(x) >= 0).all()
    low, high = distribution.support
    assert ((x >= low) & (x <= high)).all()
    # Four last bits of x: next to an end where the density is infinite they are a visible probability.
    step = 4.0 * np.spacing(x)
    assert (distribution.cdf(np.maximum(x - step, low)) <= np.array(sorted(u)) + 1e-9).all()
    assert (distribution.cdf(np.minimum(x + step, high)) >= np.array(sorted(u)) - 1e-9).all()


def test_numbers_by_site_are_solved_site_by_site():
    mean, sd = np.array([10.0, 25.0, 10.0, 4.0]), np.array([2.0, 10.0, 2.0, 3.0])
    together = make_distribution({"distribution": "normal", "mean": mean, "sd": sd, "upper": 60.0}, (0.0, INF))
    u = np.linspace(0.01, 0.99, 7)[:, None]
    x = together.ppf(u)
    assert x.shape == (7, 4)
    assert together.shape == (4,)
    for site in range(4):
        alone = make_distribution(
            {"distribution": "normal", "mean": mean[site], "sd": sd[site], "upper": 60.0}, (0, INF)
        )
        np.testing.assert_allclose(x[:, site], alone.ppf(u[:, 0]), rtol=1e-9)
    np.testing.assert_allclose(together.mean, mean, rtol=1e-9)
    np.testing.assert_array_equal(together.at([1, 3]).ppf(u), x[:, [1, 3]])
    by_limit = make_distribution(
        {"distribution": "gamma", "mean": 5.0, "cv": 0.4}, (np.array([0.0, 2.0]), np.array([9.0, 20.0]))
    )
    np.testing.assert_allclose(by_limit.mean, 5.0, rtol=1e-9)
    np.testing.assert_array_equal(by_limit.support, [[0.0, 2.0], [9.0, 20.0]])


def test_discrete_numbers_and_names():
    numbers = make_distribution({"distribution": "discrete", "values": [5, 1, 2], "probabilities": [0.3, 0.2, 0.5]})
    assert numbers.values == (1.0, 2.0, 5.0)
    np.testing.assert_array_equal(numbers.ppf([0.1, 0.2, 0.21, 0.7, 0.71]), [1, 1, 2, 2, 5])
    np.testing.assert_allclose(numbers.cdf([0.5, 1.0, 3.0, 5.0]), [0.0, 0.2, 0.7, 1.0])
    assert numbers.mean == pytest.approx(2.7)
    assert numbers.sd == pytest.approx(np.sqrt(0.2 + 2.0 + 7.5 - 2.7**2))
    words = make_distribution({"distribution": "discrete", "values": ["hassink", "elustondo"]})
    assert words.discrete
    assert words.ppf([0.3, 0.8]).tolist() == ["hassink", "elustondo"]
    np.testing.assert_array_equal(words.codes([0.3, 0.8]), [0, 1])
    cut = make_distribution(
        {"distribution": "discrete", "values": [-1, 1, 3], "probabilities": [0.5, 0.25, 0.25]}, (0, INF)
    )
    assert cut.values == (1.0, 3.0)
    assert cut.mean == pytest.approx(2.0)
    assert "50 %" in cut.note


def test_empirical():
    sample = np.random.default_rng(1).gamma(3.0, 2.0, 500)
    drawn = make_distribution({"distribution": "empirical", "values": sample})
    u = np.array([0.01, 0.3, 0.5, 0.77, 0.999])
    np.testing.assert_allclose(drawn.ppf(u), np.quantile(sample, u), rtol=1e-12)
    np.testing.assert_allclose(drawn.cdf(drawn.ppf(u)), u, rtol=1e-10)
    fine = (np.arange(400_000) + 0.5) / 400_000
    assert (drawn.mean, drawn.sd) == pytest.approx((drawn.ppf(fine).mean(), drawn.ppf(fine).std()), rel=1e-7)
    cut = make_distribution({"distribution": "empirical", "values": sample, "lower": 2.0, "upper": 9.0})
    inside = (drawn.cdf(9.0) - drawn.cdf(2.0), drawn.cdf(2.0))
    np.testing.assert_allclose(cut.ppf(u), drawn.ppf(inside[1] + u * inside[0]), rtol=1e-10)
    assert "cut and renormalised" in cut.note
    again = make_distribution({"distribution": "empirical", "values": sample, "method": "resample"})
    assert set(again.ppf(np.random.default_rng(2).random(200))) <= set(sample)
    assert (again.mean, again.sd) == pytest.approx((sample.mean(), sample.std()))
    tied = make_distribution({"distribution": "empirical", "values": [1.0, 2.0, 2.0, 2.0, 4.0]})
    np.testing.assert_allclose(tied.cdf([1.0, 1.5, 2.0, 3.0, 4.0]), [0.0, 0.125, 0.75, 0.875, 1.0])


def test_notes_say_what_was_cut():
    native = make_distribution({"distribution": "uniform", "minimum": -1.0, "maximum": 3.0}, (0.0, INF))
    assert "25 % of the uniform distribution lies outside 0 to inf" in native.note
    assert native.mean == pytest.approx(1.5)
    solved = make_distribution({"distribution": "normal", "mean": 1.0, "sd": 0.5}, (0.0, INF))
    assert "stated numbers hold" in solved.note
    assert make_distribution({"distribution": "normal", "mean": 20.0, "sd": 2.0}, (0.0, 100.0)).note == ""


REFUSED = [
    ({"distribution": "nromal", "mean": 1, "sd": 1}, "did you mean 'normal'"),
    ({"distribution": "normal", "mean": 1, "scale": 1}, "takes no 'scale'"),
    ({"distribution": "normal", "mean": 1}, "is stated by mean or median with sd or cv; two quantiles; found mean"),
    ({"distribution": "normal", "mean": 1, "sd": 1, "cv": 1}, "found cv \\+ mean \\+ sd"),
    ({"distribution": "normal", "mean": 1, "sd": 0}, "sd 0 is not allowed"),
    ({"distribution": "normal", "mean": 1, "sd": float("nan")}, "sd nan is not allowed"),
    (
        {"distribution": "normal", "mean": 1e300, "sd": 1},
        "mean of size 1e\\+300 is not allowed; allowed: 1e-30 to 1e\\+30",
    ),
    ({"distribution": "gamma", "shape": 1e-9, "scale": 1}, "shape of size 1e-09 is not allowed"),
    ({"distribution": "normal", "mean": 5, "sd": 1e-12}, "too narrow to differ from one number"),
    ({"distribution": "uniform", "minimum": 5, "maximum": 5 + 1e-12}, "too narrow"),
    ({"distribution": "pert", "minimum": 5, "mode": 5, "maximum": 5}, "too narrow"),
    ({"distribution": "lognormal", "quantiles": {0.1: 5, 0.9: 5 + 1e-12}}, "too narrow"),
    ({"distribution": "normal", "mean": "clay", "sd": 1}, "mean 'clay' is not a number"),
    ({"distribution": "normal", "mean": [[1.0]], "sd": 1}, "mean has 2 axes"),
    ({"distribution": "normal", "mean": [1.0, 2.0], "sd": [1.0, 2.0, 3.0]}, "one value a site"),
    ({"distribution": "normal", "mean": 0, "cv": 0.1}, "centred on 0"),
    ({"distribution": "normal", "mean": 1, "sd": 1, "lower": 5, "upper": 4}, "leave no room"),
    ({"distribution": "normal", "mean": 1, "sd": 1, "lower": 2}, "mean 1 is not possible: the limits are 2 to inf"),
    ({"distribution": "normal", "mean": 1, "sd": 1.5, "lower": 0}, "its sd stays below 1"),
    ({"distribution": "normal", "mean": 0.3, "sd": 0.26, "lower": 0, "upper": 1}, "its sd stays below 0.2456"),
    ({"distribution": "normal", "mean": [5.0, 1.0], "sd": [1.0, 2.0], "lower": 0}, "at site number 2"),
    ({"distribution": "truncated_normal", "mean": 1, "sd": 1}, "needs lower or upper"),
    (
        {"distribution": "lognormal", "mean": -1, "cv": 1},
        "mean -1 is not possible: a lognormal distribution lives above 0",
    ),
    ({"distribution": "log_uniform", "minimum": 0, "maximum": 1}, "minimum 0 is not possible"),
    ({"distribution": "uniform", "minimum": 3, "maximum": 2}, "minimum 3 must lie below maximum 2"),
    ({"distribution": "uniform", "minimum": 1, "maximum": 2, "lower": 3}, "exclude the whole uniform distribution"),
    ({"distribution": "uniform", "mean": 1, "sd": 1, "lower": 0}, "it would reach from -0.73"),
    ({"distribution": "triangular", "minimum": 1, "mode": 5, "maximum": 4}, "mode 5 must lie below maximum 4"),
    ({"distribution": "beta", "mean": 0.5, "sd": 0.6}, "no beta distribution"),
    ({"distribution": "beta", "mean": 0.9, "sd": 0.28}, "little more than its two ends"),
    ({"distribution": "beta", "mean": 1.5, "sd": 0.1}, "mean 1.5 is not possible"),
    ({"distribution": "normal", "quantiles": {0.1: 3, 0.9: 2}}, "must rise"),
    ({"distribution": "normal", "quantiles": {5: 1, 95: 2}}, "between 0 and 1"),
    ({"distribution": "normal", "quantiles": {0.1: 1, 0.5: 2, 0.9: 3}}, "2 quantiles; found 3"),
    ({"distribution": "normal", "quantiles": [1, 2]}, "probability: value"),
    ({"distribution": "normal", "quantiles": {"low": 1, "high": 2}}, "probability: value"),
    ({"distribution": "triangular", "quantiles": {0.1: 0.0, 0.5: 0.01, 0.9: 10.0}}, "no triangular distribution"),
    ({"distribution": "discrete", "values": []}, "values is empty"),
    ({"distribution": "discrete", "values": [1, 1]}, "name one value twice"),
    ({"distribution": "discrete", "values": [1, 2], "probabilities": [1]}, "do not fit"),
    ({"distribution": "discrete", "values": [1, 2], "probabilities": [0.5, 0.6]}, "with a sum of 1"),
    ({"distribution": "discrete", "values": [1, 2], "upper": 0}, "exclude the whole discrete"),
    ({"distribution": "empirical", "values": [1.0]}, "at least two different values"),
    ({"distribution": "empirical", "values": [1.0, float("nan")]}, "values contain nan; allowed: finite numbers"),
    ({"distribution": "discrete", "values": [1.0, 1e300]}, "values contain 1e\\+300"),
    ({"distribution": "lognormal", "quantiles": {0.4: 0.06, 0.41: 35.0}}, "sd of its logarithm .* is too wide"),
    ({"distribution": "gamma", "mean": 1, "cv": 100}, "too skewed"),
    ({"distribution": "normal", "mean": 0.001, "sd": 1, "lower": 0, "upper": 100}, "its sd stays below 0.001"),
    ({"distribution": "empirical", "values": [1.0, 2.0], "lower": 3}, "exclude the whole empirical"),
    ({"distribution": "empirical", "values": [1.0, 2.0], "method": "kde"}, "interpolate, resample"),
]


@pytest.mark.parametrize(("spec", "sentence"), REFUSED)
def test_wrong_statements_get_one_sentence(spec, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make_distribution(spec)
    assert "\n" not in str(caught.value)


def test_a_distribution_travels_between_processes():
    for spec in ({"distribution": "beta", "mean": 0.3, "sd": 0.1}, {"distribution": "discrete", "values": ["a", "b"]}):
        distribution = make_distribution(spec)
        copy = pickle.loads(pickle.dumps(distribution))
        np.testing.assert_array_equal(copy.ppf([0.1, 0.9]), distribution.ppf([0.1, 0.9]))


def test_codes_need_a_list():
    with pytest.raises(ValueError, match="no list of values"):
        make_distribution({"distribution": "normal", "mean": 0, "sd": 1}).codes(0.5)


def test_the_table_of_families_is_complete():
    used = set(itertools.chain.from_iterable(family.keys for family in FAMILIES.values()))
    assert used == set(PARAMETERS)


def test_the_documentation_holds_the_tables():
    page = (Path(__file__).parents[1] / "docs" / "uncertainty.md").read_text(encoding="utf-8")
    assert families_table() in page
    assert parameters_table() in page
