"""Variance decomposition of independent inputs against closed forms."""

import numpy as np
import pytest
from decomposition_functions import g_exact, g_function, ishigami, ishigami_exact, rothc_like

from ensemble.design.pick_freeze import pick_freeze
from ensemble.inference.decomposition import decompose, family_of


def members(design):
    return np.arange(design.members)


def sample(function, names, rows, seed=1, **options):
    design = pick_freeze(names, rows, seed, **options)
    return design, function(design.uniforms(design.inputs, members(design)))


def test_ishigami_to_four_digits_from_a_thousand_runs():
    design, y = sample(ishigami, "abc", 256, second=True)
    found = decompose(design, y, ("legendre",) * 3)
    assert found.method == "surrogate"
    np.testing.assert_allclose(found.best.each.value[:9, 0], ishigami_exact(), atol=1e-4)
    np.testing.assert_allclose(found.best.each.value[9:, 0], [0.0, ishigami_exact()[5], 0.0], atol=1e-4)
    np.testing.assert_allclose(found.audit.each.value[:9, 0], ishigami_exact(), atol=1e-3)
    assert found.held_out_r2[0] > 0.99999
    assert found.shapley.value.sum() == pytest.approx(1.0, abs=1e-9)
    half = ishigami_exact()[5] / 2.0
    np.testing.assert_allclose(found.shapley.value[:, 0] - ishigami_exact()[:3], [half, 0.0, half], atol=1e-4)


@pytest.mark.parametrize("second", [False, True])
def test_pick_freeze_alone_covers_the_g_function(second):
    design, y = sample(g_function, "abcdefgh", 16 * 256, second=second)
    found = decompose(design, y)
    error = np.abs(found.best.each.value[:16, 0] - g_exact())
    assert found.method == "pick-freeze"
    assert found.surrogate is None
    assert not found.rough
    assert np.all(error < 1.6 * found.best.each.half_width[:16, 0])
    assert np.sqrt((error**2).mean()) < 6e-3


def test_groups_hold_what_their_inputs_share():
    design, y = sample(ishigami, "abc", 512, groups={"pair": "ac"}, second=True)
    found = decompose(design, y, ("legendre",) * 3)
    assert design.names == ("pair", "b")
    exact = ishigami_exact()
    np.testing.assert_allclose(found.best.each.value[:4, 0], [exact[7], exact[1]] * 2, atol=1e-4)
    assert found.best.each.value[4, 0] == pytest.approx(1.0, abs=1e-4)


def test_all_columns_at_once_equal_one_at_a_time():
    design, y = sample(rothc_like, "abcdefghij", 512)
    together = decompose(design, y)
    for column in (0, 9):
        alone = decompose(design, y[:, [column]])
        np.testing.assert_allclose(together.best.each.value[:, [column]], alone.best.each.value, rtol=1e-9, atol=1e-12)
    weights = together.variance.value / together.variance.value.sum()
    generalised = together.best.each.value @ weights
    np.testing.assert_allclose(together.best.pooled.value[:, 0], generalised, atol=1e-12)


class Sliced:
    """Outputs that can only be read in slices, and the longest of them."""

    def __init__(self, y):
        self.y, self.shape, self.dtype, self.longest = y, y.shape, y.dtype, 0

    def __getitem__(self, members):
        part = self.y[members]
        self.longest = max(self.longest, len(part))
        return part


def test_outputs_are_read_a_block_of_rows_at_a_time(monkeypatch):
    design, y = sample(ishigami, "abc", 1024)
    y[7] = np.nan
    whole = decompose(design, y, ("legendre",) * 3)
    monkeypatch.setattr("ensemble.inference.decomposition.moments.BLOCK_BYTES", 100 * 8 * 5)
    sliced = Sliced(y)
    found = decompose(design, sliced, ("legendre",) * 3)
    assert sliced.longest == 96 * 5
    assert found.dropped.tolist() == [1]
    for one, other in ((found.best.each, whole.best.each), (found.audit.each, whole.audit.each)):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.half_width, other.half_width, rtol=1e-6, atol=1e-12)


def test_a_failed_member_drops_its_row_and_too_many_refuse():
    design, y = sample(ishigami, "abc", 16 * 256)
    whole = decompose(design, y)
    y[[7, 5000, 15000]] = np.nan
    found = decompose(design, y, ("legendre",) * 3)
    assert found.dropped.tolist() == [3]
    assert any("3 of 4096 rows held a failed member" in note for note in found.notes)
    np.testing.assert_allclose(found.best.each.value[:, 0], ishigami_exact()[:6], atol=1e-4)
    np.testing.assert_allclose(decompose(design, y).best.each.value, whole.best.each.value, atol=5e-3)
    y[: 50 * 5 : 5] = np.nan
    with pytest.raises(ValueError, match=r"1.3 % of the rows hold a failed member.*at most 1 %"):
        decompose(design, y)


def test_a_failure_at_one_site_leaves_the_other():
    design, y = sample(ishigami, "abc", 16 * 256)
    both = np.column_stack([y, y, 2.0 * y])
    both[8, 1] = np.nan
    found = decompose(design, both, places=np.array([0, 1, 1]))
    assert found.dropped.tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.best.each.value[:, 0], decompose(design, y).best.each.value[:, 0], atol=1e-12)


def test_the_audit_wins_where_the_surrogate_is_wrong():
    def ragged(u):
        return (np.sign(np.sin(90.0 * u[:, 0])) + u[:, 1])[:, None]

    design, y = sample(ragged, "ab", 16 * 128)
    found = decompose(design, y, ("legendre",) * 2)
    assert found.method == "pick-freeze"
    first = 1.0 / (1.0 + 1.0 / 12.0)
    assert found.best.each.value[0, 0] == pytest.approx(first, abs=0.03)
    assert abs(found.surrogate.each.value[0, 0] - first) > 0.2
    assert any("audit is used" in note for note in found.notes)


def test_noise_is_one_input_that_the_surrogate_leaves_out():
    design = pick_freeze("ab", 16 * 256, 1, series=["weather"], second=True)
    u, draw = design.uniforms(design.inputs, members(design)), design.draw_index("weather", members(design))
    noise = np.random.default_rng(0).normal(size=draw.max() + 1)[draw]
    found = decompose(design, (3.0 * u[:, 0] + u[:, 1] + (0.5 + u[:, 0]) * noise)[:, None], ("legendre",) * 2)
    parts = {"a": 9.0 / 12.0, "b": 1.0 / 12.0, "weather": 1.0, "a weather": 1.0 / 12.0}
    exact = np.array(
        [parts["a"], parts["b"], 1.0, parts["a"] + parts["a weather"], parts["b"], 1.0 + parts["a weather"]]
    )
    error = np.abs(found.best.each.value[:6, 0] - exact / sum(parts.values()))
    assert np.all(error < 1.6 * found.best.each.half_width[:6, 0])
    assert np.all(error < 0.03)
    assert np.isnan(found.surrogate.each.value[2, 0])
    assert any("leaves out weather" in note for note in found.notes)
    assert found.shapley.value.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("family", ["legendre", "hermite"])
def test_expected_fall_when_an_error_is_halved(family):
    """Against nested sampling: know a score with a quarter of its variance left."""
    from scipy.special import ndtr, ndtri

    def output(u):
        x = u if family == "legendre" else ndtri(u)
        return (np.exp(x[:, 0]) + x[:, 0] ** 2 * x[:, 1] + 2.0 * x[:, 1])[:, None]

    design, y = sample(output, "ab", 1024)
    found = decompose(design, y, (family,) * 2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    weights = weights / weights.sum()
    x = (lambda z: ndtr(z)) if family == "legendre" else (lambda z: z)
    mean = weights @ x(nodes)
    known = np.sqrt(0.75) * nodes[:, None] + 0.5 * nodes[None, :]
    inner = (np.exp(x(known)) + x(known) ** 2 * mean) @ weights
    fall = weights @ inner**2 - (weights @ inner) ** 2
    assert found.halved.value[0, 0] * found.variance.value[0] == pytest.approx(fall, rel=2e-3)
    assert np.all(found.halved.value <= found.removed.value + 1e-9)


def test_a_longer_design_only_appends():
    short, long = pick_freeze("abc", 64, 3), pick_freeze("abc", 256, 3)
    assert short.digest() == long.digest()
    np.testing.assert_array_equal(
        short.uniforms("abc", members(short)), long.uniforms("abc", members(long))[: short.members]
    )
    rest = long.continuation(64)
    np.testing.assert_array_equal(
        rest.uniforms("abc", members(rest)), long.uniforms("abc", members(long))[short.members :]
    )
    assert short.doubled().doubled() == long
    assert short.digest() != pick_freeze("abc", 64, 4).digest()
    assert short.digest() != pick_freeze("abc", 64, 3, groups={"pair": "ab"}).digest()


def test_blocks_share_exactly_what_they_keep():
    design = pick_freeze("ab", 32, 1, series=["noise"], second=True)
    u = design.uniforms(design.inputs, members(design)).reshape(design.rows, -1, 2)
    draws = design.draw_index("noise", members(design)).reshape(design.rows, -1)
    a, b = u[:, 0], u[:, 1]
    for block, kept in enumerate(design.blocks):
        for column in range(2):
            np.testing.assert_array_equal(u[:, block, column], (a if column in kept else b)[:, column])
        np.testing.assert_array_equal(draws[:, block] % 2, 0 if 2 in kept else 1)
    assert len(np.unique(draws)) == 2 * design.rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": "a"}, "at least 2 uncertain inputs or groups; found 1"),
        ({"inputs": "ab", "groups": {"all": "ab"}}, "at least 2 uncertain inputs or groups; found 1"),
        ({"inputs": "ab", "groups": {"soil": ["clay"]}}, "'soil' names 'clay', which is not uncertain; allowed: a, b"),
        ({"inputs": "ab", "groups": {"soil": []}}, "'soil' names nothing"),
        ({"inputs": "abc", "groups": {"x": "ab", "y": "bc"}}, "'b' is in the groups 'x' and 'y'"),
        ({"inputs": "ab", "replicates": 8}, "8 scrambles are too few"),
    ],
)
def test_wrong_designs_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        pick_freeze(**{"rows": 64, "seed": 1} | arguments)


def test_wrong_outputs_are_refused_in_one_sentence():
    design = pick_freeze("ab", 64, 1)
    with pytest.raises(ValueError, match="no output varies between the members, so shares of its variance are 0/0"):
        decompose(design, np.full((design.members, 1), 41.3))
    with pytest.raises(ValueError, match="the design has 256 members but there are 255 results"):
        decompose(design, np.zeros((255, 1)))
    with pytest.raises(ValueError, match="zero variance"):
        family_of(lambda z: np.full_like(z, 2.0))


def test_a_constant_column_has_no_shares_and_leaves_the_others():
    design, y = sample(ishigami, "abc", 256)
    found = decompose(design, np.column_stack([y, np.full(len(y), 3.0)]), ("legendre",) * 3)
    assert np.isnan(found.best.each.value[:, 1]).all()
    np.testing.assert_allclose(found.best.each.value[:, 0], ishigami_exact()[:6], atol=1e-4)
    assert np.isfinite(found.best.pooled.value).all()
