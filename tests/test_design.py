"""Designs: append-only, the same in any tiling, honest standard errors."""

import itertools

import numpy as np
import pytest
from scipy import special, stats

from ensemble.design import (
    SampledDesign,
    counter_uniforms,
    factorial,
    half_range,
    keep_inside,
    make_design,
    site_uniforms,
    sweep,
)
from ensemble.design.points import SOBOL_DIMENSIONS

STREAMS = ("clay", "iom", "plant_carbon", "temperature")
DRAWN = ["sobol", "latin_hypercube", "monte_carlo"]


@pytest.mark.parametrize("kind", DRAWN)
def test_a_longer_design_only_appends(kind):
    short, long = (make_design(kind, members, 5, STREAMS) for members in (256, 4096))
    np.testing.assert_array_equal(
        short.uniforms(STREAMS, np.arange(256)), long.uniforms(STREAMS, np.arange(4096))[:256]
    )
    assert short.digest() == long.digest()


@pytest.mark.parametrize("kind", DRAWN)
def test_any_tiling_any_order_any_columns_give_the_same(kind):
    design = make_design(kind, 2048, 5, STREAMS)
    whole = design.uniforms(STREAMS, np.arange(2048))
    assert ((whole > 0.0) & (whole < 1.0)).all()
    for tile in (16, 100, 1000):
        parts = [design.uniforms(STREAMS, np.arange(a, min(a + tile, 2048))) for a in range(0, 2048, tile)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    scattered = np.random.default_rng(0).integers(0, 2048, 300)
    np.testing.assert_array_equal(design.uniforms(STREAMS, scattered), whole[scattered])
    np.testing.assert_array_equal(design.uniforms(("iom", "clay"), scattered), whole[scattered][:, [1, 0]])
    assert design.uniforms((), scattered).shape == (300, 0)
    far = np.array([5, 2_000_003, 900_001])
    np.testing.assert_array_equal(design.uniforms(STREAMS, far)[0], whole[5])


def test_members_are_points_of_scrambles():
    """Member i is point i // 16 of scramble i mod 16, and each scramble is a net of its own."""
    design = make_design("sobol", 16 * 64, 1, STREAMS)
    members = np.arange(design.members)
    u = design.uniforms(STREAMS, members)
    np.testing.assert_array_equal(design.replicate(members), members % 16)
    for scramble in range(16):
        points = u[scramble::16]
        for column in points.T:
            assert sorted((column * 64).astype(int)) == list(range(64))
    assert len({u[scramble::16].tobytes() for scramble in range(16)}) == 16


def test_latin_hypercube_blocks():
    design = make_design("latin_hypercube", 16 * 64, 1, STREAMS)
    u = design.uniforms(STREAMS, np.arange(design.members))
    for replicate in (0, 7):
        points = u[replicate::16]
        for low, high in ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64)):
            for column in points[low:high].T:
                assert sorted((column * (high - low)).astype(int)) == list(range(high - low))


@pytest.mark.parametrize(
    ("kind", "asked", "got"),
    [
        ("sobol", 1, 16),
        ("sobol", 1000, 1024),
        ("sobol", 1024, 1024),
        ("latin_hypercube", 1025, 2048),
        ("monte_carlo", 1000, 1008),
    ],
)
def test_counts_are_rounded_up_and_said(kind, asked, got):
    design = make_design(kind, asked, 1, STREAMS)
    assert design.members == got
    assert (str(got) in design.note) if asked != got else design.note == ""
    assert make_design(kind, 100, 1, STREAMS, replicates=32).members % 32 == 0


def test_digest_changes_with_what_decides_the_draws():
    base = {"kind": "sobol", "members": 64, "seed": 1, "streams": STREAMS}
    changes = [{}, {"kind": "monte_carlo"}, {"seed": 2}, {"streams": STREAMS[:3]}, {"replicates": 32}]
    digests = [make_design(**(base | change)).digest() for change in changes]
    assert len(set(digests)) == len(changes)
    assert factorial({"a": [1, 2]}).digest() != sweep({"a": [1, 2]}).digest() != factorial({"a": [1, 3]}).digest()


def error_ratio(kind, function, exact, members, repeats):
    """RMS error of the mean, and how often the 95 % interval from replicates holds the truth."""
    errors, covered = [], 0
    for seed in range(repeats):
        design = make_design(kind, members, 1000 + seed, STREAMS)
        y = function(design.uniforms(STREAMS, np.arange(design.members)))
        means = y.reshape(-1, design.replicates).mean(0)
        half = stats.t.ppf(0.975, design.replicates - 1) * means.std(ddof=1) / np.sqrt(design.replicates)
        errors.append(means.mean() - exact)
        covered += abs(errors[-1]) <= half
    return np.sqrt(np.mean(np.square(errors))), covered / repeats


def smooth(u):
    return np.exp(0.3 * special.ndtri(u).sum(1) / 2.0)


SMOOTH_MEAN = np.exp(0.5 * 0.3**2)


@pytest.mark.parametrize(("kind", "gain"), [("sobol", 20.0), ("latin_hypercube", 4.0)])
def test_stratified_designs_beat_monte_carlo(kind, gain):
    crude, _ = error_ratio("monte_carlo", smooth, SMOOTH_MEAN, 4096, 12)
    better, _ = error_ratio(kind, smooth, SMOOTH_MEAN, 4096, 12)
    assert crude / better > gain


def test_sobol_error_falls_faster_than_monte_carlo():
    """16 times the points: Monte Carlo gains 4, scrambled Sobol on a smooth function well over 16."""
    few, _ = error_ratio("sobol", smooth, SMOOTH_MEAN, 1024, 12)
    many, _ = error_ratio("sobol", smooth, SMOOTH_MEAN, 16384, 12)
    assert few / many > 16.0


@pytest.mark.parametrize("kind", DRAWN)
def test_replicates_give_honest_intervals(kind):
    _, coverage = error_ratio(kind, smooth, SMOOTH_MEAN, 256, 150)
    # 150 trials at 95 %: 4 binomial standard errors.
    assert abs(coverage - 0.95) < 4.0 * np.sqrt(0.95 * 0.05 / 150)


def test_counters_are_uniform_and_independent():
    draws = np.arange(20_000)
    u = counter_uniforms(3, "clay", draws)
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(counter_uniforms(3, "clay", draws[::-7]), u[::-7])
    for other in (counter_uniforms(3, "iom", draws), counter_uniforms(4, "clay", draws)):
        assert abs(np.corrcoef(u, other)[0, 1]) < 4.5 / np.sqrt(len(draws))


def test_site_uniforms_depend_on_their_own_member_and_site():
    draws, sites = np.arange(300), np.arange(70)
    u = site_uniforms(3, "bulk_density", draws, sites)
    assert u.shape == (300, 70)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(
        site_uniforms(3, "bulk_density", draws[[7, 200]], sites[[69, 0, 3]]), u[[7, 200]][:, [69, 0, 3]]
    )
    correlation = np.corrcoef(u.T)
    assert abs(correlation[np.triu_indices(70, 1)]).max() < 5.5 / np.sqrt(300)


def test_factorial_order():
    design = factorial({"clay": [10, 20], "model": ["hassink", "elustondo", "third"], "depth": [1, 2]})
    assert design.members == 12
    members = np.arange(12)
    rows = list(zip(*(design.codes(name, members) for name in design.streams), strict=True))
    assert rows == list(itertools.product(range(2), range(3), range(2)))
    np.testing.assert_array_equal(design.values("clay", members, base=0.0), [10.0] * 6 + [20.0] * 6)
    assert "12 members" in design.note
    assert design.replicates == 1
    assert (design.replicate(members) == 0).all()
    assert (design.draw_index("weather", members) == 0).all()


def test_sweep_of_zhou_et_al():
    """Experiment 2 of Zhou et al. (2023): SOC 0.1 to 5.9 by 0.2 (30 points), bulk density 0.9 to 1.7 by 0.1 (9)."""
    design = sweep({"soc": {"start": 0.1, "stop": 5.9, "step": 0.2}, "bd": {"start": 0.9, "stop": 1.7, "step": 0.1}})
    assert design.members == 1 + 30 + 9
    members = np.arange(design.members)
    soc, bd = design.values("soc", members, 1.45), design.values("bd", members, np.array([1.3, 1.4]))
    np.testing.assert_allclose(soc[:3], [1.45, 0.1, 0.3])
    np.testing.assert_allclose(soc[30:], [5.9] + [1.45] * 9)
    np.testing.assert_allclose(bd[:31], np.broadcast_to([1.3, 1.4], (31, 2)))
    np.testing.assert_allclose(bd[-1], 1.7)


def test_half_range():
    design = half_range({"soc": 0.77, "bd": 0.15})
    assert design.members == 5
    base = np.array([0.6, 1.45, 3.0])
    soc = design.values("soc", np.arange(5), base)
    np.testing.assert_allclose(soc - base, np.array([0, -0.77, 0.77, 0, 0])[:, None] * np.ones(3), atol=1e-15)
    np.testing.assert_allclose(design.values("bd", np.arange(5), 1.3), [1.3, 1.3, 1.3, 1.15, 1.45])
    inside, moved = keep_inside(soc, (0.1, np.inf))
    assert inside.min() == 0.1
    assert moved.sum() == 1
    assert not keep_inside(design.values("soc", np.arange(5), 0.87), (0.1, np.inf))[1].any()  # 0.87 - 0.77, rounded
    # The half range of a linear model is its slope times the error.
    y = 4.0 * soc[:, 1] - 7.0 * design.values("bd", np.arange(5), 1.3)
    assert abs(y[2] - y[1]) / 2 == pytest.approx(4.0 * 0.77)
    assert abs(y[4] - y[3]) / 2 == pytest.approx(7.0 * 0.15)


REFUSED = [
    (lambda: make_design("halton", 10, 1, STREAMS), "no design is called 'halton'"),
    (lambda: make_design("sobol", 0, 1, STREAMS), "members 0 is not allowed"),
    (lambda: make_design("sobol", 10, 1, STREAMS, replicates=8), "at least 16"),
    (lambda: make_design("sobol", 10, 1, [str(i) for i in range(SOBOL_DIMENSIONS + 1)]), "at most 21201 scalar inputs"),
    (lambda: make_design("sobol", 10, 1, ("clay", "clay")), "name one input twice"),
    (lambda: make_design("sobol", 10, 1, STREAMS).uniforms(["rain"], np.arange(3)), "no input 'rain'"),
    (lambda: make_design("factorial", 10, 1, STREAMS), "needs levels"),
    (lambda: make_design("half_range", 10, 1, STREAMS), "needs errors"),
    (lambda: factorial({"clay": []}), "'clay' has no levels"),
    (lambda: factorial({"clay": [1, 1]}), "one value twice"),
    (lambda: factorial({"clay": 3}), "a list, or start, stop and step; found 3"),
    (lambda: sweep({"clay": {"start": 1, "stop": 2}}), "found start, stop"),
    (lambda: sweep({"clay": {"start": 1, "stop": 2, "step": -1}}), "does not lead from 1 to 2"),
    (lambda: half_range({"clay": 0.0}), "the error of 'clay' is 0"),
    (lambda: sweep({"clay": [1, 2]}).uniforms(["iom"], np.arange(3)), "draws nothing: give 'iom' levels"),
    (lambda: sweep({"clay": [1, 2]}).codes("iom", np.arange(3)), "does not set 'iom'"),
    (lambda: sweep({"clay": [1, 2]}).codes("clay", np.array([3])), "between 0 and 2"),
    (lambda: sweep({"clay": ["a", "b"]}).values("clay", np.arange(3), 0.0), "are names"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED)
def test_wrong_designs_get_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_designs_are_frozen_records():
    design = SampledDesign("sobol", STREAMS, 100, 1)
    with pytest.raises(AttributeError):
        design.seed = 2  # pyright: ignore
