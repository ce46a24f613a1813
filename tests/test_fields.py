"""Errors that are alike in space: distances, correlation functions, fields, and the variance of an average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import dblquad

from ensemble.inputs.covariance import SpatialCorrelation, cell_correlation, variance_of_sum, variance_of_sum_at_points
from ensemble.inputs.fields import draw_grid_fields, grid_fields
from ensemble.inputs.geodesy import cell_areas, geocentric
from ensemble.inputs.point_fields import draw_point_fields, point_fields

EXPONENTIAL = SpatialCorrelation(range=3.0)


def grid_points(ny, nx):
    x, y = np.meshgrid(np.arange(nx, dtype=float), np.arange(ny, dtype=float))
    return np.column_stack([x.ravel(), y.ravel()])


# --- correlation functions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_closed_matern_forms_meet_the_general_one(smoothness):
    distance = np.array([0.0, 0.2, 1.0, 4.0])
    closed = SpatialCorrelation("matern", 2.0, smoothness=smoothness)(distance)
    general = SpatialCorrelation("matern", 2.0, smoothness=smoothness + 1e-7)(distance)
    np.testing.assert_allclose(closed, general, atol=1e-6)


@pytest.mark.parametrize("model", ["exponential", "matern"])
def test_effective_range_is_where_five_percent_are_left(model):
    correlation = SpatialCorrelation(model, 12.0, range_is="effective", nugget=0.3)
    assert correlation.smooth(12.0) == pytest.approx(0.05, abs=1e-9)
    assert correlation(12.0) == pytest.approx(0.7 * 0.05, abs=1e-9)
    assert correlation(0.0) == 1.0
    assert "effective range (correlation 0.05) 12 km" in correlation.describe()


def test_point_support_averages_over_the_cell():
    point = SpatialCorrelation(range=2.0, nugget=0.25, support="point")
    kept = float(cell_correlation(point, 0.0, 0.0, (1.0, 1.0)))
    exact = dblquad(lambda u, v: 4 * (1 - u) * (1 - v) * np.exp(-np.hypot(u, v) / 2), 0, 1, 0, 1)[0]
    assert kept == pytest.approx(0.75 * exact, rel=2e-3)
    assert float(cell_correlation(EXPONENTIAL, 0.0, 0.0, (1.0, 1.0))) == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"range": 0.0}, "above 0"), ({"nugget": 1.0}, "0 to below 1"), ({"smoothness": -1.0}, "smoothness")],
)
def test_impossible_correlations_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpatialCorrelation(**arguments)


# --- the ellipsoid -----------------------------------------------------------------------------------------------


def test_cell_areas_and_distances_agree_with_pyproj():
    geod = pytest.importorskip("pyproj").Geod(ellps="WGS84")
    edges = np.array([60.0, 59.5, 10.0, 9.9, -30.0])
    for area, north, south in zip(cell_areas(edges, 0.25), edges[:-1], edges[1:], strict=True):
        lon = np.concatenate([np.linspace(0, 0.25, 400), np.linspace(0.25, 0, 400)])
        lat = np.concatenate([np.full(400, north), np.full(400, south)])
        assert area == pytest.approx(abs(geod.polygon_area_perimeter(lon, lat)[0]) / 1e6, rel=1e-6)
    assert cell_areas([90, -90], 360.0)[0] == pytest.approx(510_065_621.7, rel=1e-9)
    a, b = geocentric([5.0, 6.1], [50.0, 50.7])
    surface = geod.inv(5.0, 50.0, 6.1, 50.7)[2] / 1000
    assert np.linalg.norm(a - b) == pytest.approx(surface, rel=2e-5)


def test_a_latitude_beyond_the_pole_is_refused():
    with pytest.raises(ValueError, match="latitude must lie between -90 and 90 degrees, got 500000"):
        geocentric([3.0], [500000.0])


# --- the variance of an average ----------------------------------------------------------------------------------


def test_fast_and_direct_closed_forms_agree():
    weights = np.random.default_rng(0).uniform(0.5, 2.0, (7, 9))
    correlation = SpatialCorrelation("matern", 3.0, nugget=0.2)
    direct = variance_of_sum_at_points(weights.ravel(), grid_points(7, 9), correlation)
    assert variance_of_sum(weights, correlation, (1.0, 1.0)) == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("support", ["block", "point"])
@pytest.mark.parametrize("reach", [0.5, 1.0, 2.0, 5.0, 10.0])
def test_embedding_has_the_closed_form_variance_of_the_mean(reach, support):
    """Exactly, from the eigenvalues: the mean is a linear form in the noise."""
    correlation = SpatialCorrelation(range=reach, nugget=0.1, support=support)
    fields = grid_fields((24, 24), (1.0, 1.0), [correlation])
    assert fields.clipped[0] < 1e-9
    window = np.zeros(fields.padded)
    window[:24, :24] = 1 / 24**2
    spectrum = np.abs(np.fft.fft2(window)) ** 2 / window.size
    half = fields.roots[0] ** 2
    full = np.concatenate(
        [half, np.roll(half[::-1, ::-1], 1, axis=0)[:, 1 - fields.padded[1] % 2 : half.shape[1] - 1]], axis=1
    )
    closed = variance_of_sum(np.full((24, 24), 1 / 24**2), correlation, (1.0, 1.0))
    assert (full * spectrum).sum() == pytest.approx(closed, rel=1e-9)


def variance_of_drawn_means(size, reach, count, stream):
    fields = grid_fields((size, size), (1.0, 1.0), [SpatialCorrelation(range=reach)])
    means = [
        np.asarray(draw_grid_fields(fields, 7, stream, np.arange(start, start + 2000)).mean(axis=(1, 2, 3)), float)
        for start in range(0, count, 2000)
    ]
    closed = variance_of_sum(np.full((size, size), size**-2.0), SpatialCorrelation(range=reach), (1.0, 1.0))
    return np.concatenate(means).var() / closed


@pytest.mark.parametrize("reach", [0.5, 5.0])
def test_drawn_means_have_the_closed_form_variance(reach):
    """20,000 fields: the ratio has a standard error of 1 %."""
    assert variance_of_drawn_means(16, reach, 20_000, "quick") == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("reach", [0.5, 1.0, 2.0, 5.0, 10.0])
def test_drawn_means_have_the_closed_form_variance_at_all_ranges(reach):
    """60,000 fields of 64 x 64: the ratio has a standard error of 0.6 %."""
    assert variance_of_drawn_means(64, reach, 60_000, "long") == pytest.approx(1.0, abs=0.02)


def test_ignoring_correlation_understates_the_error_of_a_mean():
    """sd with correlation over sd without: 4.8 at a range of 2 cells and about 20 at 10, on 64 x 64 cells."""
    weights = np.full((64, 64), 64**-2.0)
    ratio = [64 * np.sqrt(variance_of_sum(weights, SpatialCorrelation(range=r), (1.0, 1.0))) for r in (2.0, 10.0)]
    assert ratio[0] == pytest.approx(4.8, abs=0.1)
    assert ratio[1] == pytest.approx(20, abs=0.6)


# --- drawn fields ------------------------------------------------------------------------------------------------


def test_grid_fields_have_the_wanted_correlation_in_space_and_between_variables():
    correlations = [SpatialCorrelation(range=2.0), SpatialCorrelation("matern", 4.0, nugget=0.3)]
    between = np.array([[1.0, -0.5], [-0.5, 1.0]])
    fields = grid_fields((12, 15), (1.0, 1.0), correlations, between)
    drawn = np.asarray(draw_grid_fields(fields, 1, "pair", np.arange(20_000)), float)
    np.testing.assert_allclose(drawn.mean(axis=(0, 2, 3)), 0.0, atol=0.03)
    for variable, correlation in enumerate(correlations):
        for lag in (0, 1, 3):
            product = (drawn[:, variable, :, : 15 - lag] * drawn[:, variable, :, lag:]).mean()
            assert product == pytest.approx(float(correlation(lag)), abs=0.02)
    assert (drawn[:, 0] * drawn[:, 1]).mean() == pytest.approx(-0.5, abs=0.01)


def test_a_draw_is_the_same_in_any_block_and_in_float64():
    fields = grid_fields((9, 11), (1.0, 2.0), [EXPONENTIAL])
    whole = np.asarray(draw_grid_fields(fields, 4, "soc", np.arange(40)))
    part = np.asarray(draw_grid_fields(fields, 4, "soc", np.arange(17, 24)))
    np.testing.assert_array_equal(whole[17:24], part)
    with jax.enable_x64(True):
        assert draw_grid_fields(fields, 4, "soc", np.arange(2), jnp.float64).dtype == jnp.float64
    points = point_fields(grid_points(3, 4), [EXPONENTIAL])
    np.testing.assert_array_equal(
        draw_point_fields(points, 4, "soc", np.arange(9))[5:], draw_point_fields(points, 4, "soc", np.arange(5, 9))
    )


@pytest.mark.parametrize("dense", [True, False])
def test_point_fields_have_the_wanted_covariance(dense):
    place = np.random.default_rng(2).uniform(0, 10, (60, 2))
    correlations = [SpatialCorrelation(range=3.0, nugget=0.2), SpatialCorrelation(range=3.0, nugget=0.2)]
    between = np.array([[1.0, 0.6], [0.6, 1.0]])
    fields = point_fields(place, correlations, between, neighbours=25, dense_points=2000 if dense else 10)
    drawn = draw_point_fields(fields, 3, "sites", np.arange(8_000))
    wanted = correlations[0](np.linalg.norm(place[:, None] - place[None], axis=-1))
    np.testing.assert_allclose(np.cov(drawn[:, 0].T), wanted, atol=0.06)
    np.testing.assert_allclose((drawn[:, 0] * drawn[:, 1]).mean(axis=0), 0.6, atol=0.05)


@pytest.mark.parametrize("reach", [1.0, 10.0, 40.0])
def test_vecchia_keeps_the_variance_of_the_mean_within_two_percent(reach):
    """Exactly, from the sparse factor: variance of w^T field = |deviations * triangle^-T w|^2."""
    place = np.random.default_rng(5).uniform(0, 100, (4000, 2))
    correlation = SpatialCorrelation(range=reach)
    (root,) = point_fields(place, [correlation]).roots
    weights = np.full(4000, 1 / 4000)
    form = root.triangle.solve(weights[root.order], trans="T") * root.deviations
    assert form @ form == pytest.approx(variance_of_sum_at_points(weights, place, correlation), rel=0.02)


def test_grid_and_points_have_the_same_variance_of_the_mean():
    correlation = SpatialCorrelation(range=4.0)
    drawn = draw_point_fields(point_fields(grid_points(8, 8), [correlation]), 1, "same", np.arange(10_000))
    closed = variance_of_sum(np.full((8, 8), 1 / 64), correlation, (1.0, 1.0))
    assert drawn.mean(axis=(1, 2)).var() == pytest.approx(closed, rel=0.04)


def test_a_range_that_no_periodic_grid_holds_is_refused(monkeypatch):
    monkeypatch.setattr("ensemble.inputs.fields.LARGEST_GRID", 4000)
    with pytest.raises(ValueError, match="a correlation range of 30 is too long for a grid of 20 x 20 cells"):
        grid_fields((20, 20), (1.0, 1.0), [SpatialCorrelation("matern", 30.0)])


@pytest.mark.parametrize(
    ("reaches", "between", "message"),
    [
        ((0.3, 20.0), 0.95, "correlation 0.95 between variables 1 and 2 cannot be reached"),
        ((3.0, 3.0), np.array([[1, 0.5], [0.4, 1]]), "symmetric 2 x 2 matrix"),
    ],
)
def test_impossible_correlations_between_variables_are_refused(reaches, between, message):
    matrix = between if isinstance(between, np.ndarray) else np.array([[1, between], [between, 1]])
    with pytest.raises(ValueError, match=message):
        grid_fields((16, 16), (1.0, 1.0), [SpatialCorrelation(range=r) for r in reaches], matrix)
