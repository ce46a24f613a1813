"""Gradient bounds against total effects, and SALib's methods through the adapter."""

import numpy as np
import pytest
from decomposition_functions import G_WEIGHTS, g_function, ishigami, ishigami_exact
from scipy.special import ndtr, ndtri

from ensemble.design.pick_freeze import pick_freeze
from ensemble.inference.salib_adapter import METHODS, OWN_SAMPLE, salib_analyse, salib_sample
from ensemble.inference.screening import score_slopes, total_effect_bounds


def points(names, rows):
    design = pick_freeze(names, rows, 1)
    members = np.arange(0, design.members, len(design.blocks))
    return design.uniforms(design.inputs, members), design.replicate(members)


def test_bound_is_exact_for_a_linear_function_of_scores():
    u, scramble = points("abc", 4096)
    slopes = np.array([1.0, -2.0, 0.5])
    gradients = np.broadcast_to(slopes[None, :, None], (len(u), 3, 1))
    found = total_effect_bounds(gradients, (ndtri(u) @ slopes)[:, None], scramble)
    np.testing.assert_allclose(found.value[:, 0], slopes**2 / (slopes**2).sum(), atol=2e-3)
    assert np.all(found.half_width < 5e-3)


def test_bound_lies_above_the_total_effect():
    u, scramble = points("abc", 4096)
    x = (2.0 * u - 1.0) * np.pi
    slope = np.stack([score_slopes(lambda z: (2.0 * ndtr(z) - 1.0) * np.pi, ndtri(u[:, j])) for j in range(3)], axis=1)
    partial = np.stack(
        [
            np.cos(x[:, 0]) * (1.0 + 0.1 * x[:, 2] ** 4),
            7.0 * np.sin(2.0 * x[:, 1]),
            0.4 * x[:, 2] ** 3 * np.sin(x[:, 0]),
        ],
        axis=1,
    )
    found = total_effect_bounds((partial * slope)[:, :, None], ishigami(u), scramble)
    assert np.all(found.value[:, 0] - found.half_width[:, 0] > ishigami_exact()[3:6])
    with pytest.raises(ValueError, match="not finite"):
        total_effect_bounds(np.full((len(u), 3, 1), np.nan), ishigami(u), scramble)


@pytest.mark.parametrize("method", METHODS)
def test_salib_methods_find_the_order_of_the_g_function(method):
    names = ["x0", "x1", "x2"]
    given = points(names, 2048 if method == "pawn" else 256)[0]
    u = salib_sample(method, names, {"morris": 50, "fast": 257}[method], 1) if method in OWN_SAMPLE else given
    y = g_function(np.column_stack([u, np.full((len(u), 5), 0.75)]))  # the other five inputs at a factor of 1
    outputs = y if method == "delta" else np.column_stack([y, 3.0 * y + 1.0])
    found = salib_analyse(method, names, u, outputs, 1)
    measure = {"morris": "mu_star", "fast": "ST", "pawn": "median", "delta": "delta"}[method]
    values = found.measures[measure]
    assert values.shape == (3, outputs.shape[1])
    assert np.all(np.diff(values[:, 0]) < 0.0)
    if method == "fast":
        part = 1.0 / (3.0 * (1.0 + G_WEIGHTS[:3]) ** 2)
        whole = np.prod(1.0 + part)
        np.testing.assert_allclose(values[:, 0], part * whole / (1.0 + part) / (whole - 1.0), atol=0.05)


def test_salib_wrong_use():
    with pytest.raises(ValueError, match="no screening method is called 'vars'; allowed: morris, fast, pawn, delta"):
        salib_analyse("vars", "ab", np.zeros((4, 2)), np.zeros((4, 1)), 1)
    with pytest.raises(ValueError, match="one finite result for each of its 4 members"):
        salib_analyse("pawn", "ab", np.zeros((4, 2)), np.zeros((3, 1)), 1)
    with pytest.raises(ValueError, match="'pawn' has no sample of its own"):
        salib_sample("pawn", "ab", 8, 1)
