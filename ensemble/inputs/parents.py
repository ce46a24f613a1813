"""Parents: the uncut curve of each family, in coordinates that a solver can move freely.

A family has two or three unconstrained coordinates (locations, and logarithms of what must be positive).
``PARENTS`` gives the SciPy arguments of a point in these coordinates, and starting points that are exact
where nothing is cut off and the family has a closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

Coordinates = np.ndarray  # (2 or 3, sets)
Fixed = Mapping[str, Any]  # every stated number, (sets,) or (), defaults filled in


@dataclass(frozen=True)
class Parent:
    """The curve of one family.

    Args:
        generic: its name in ``scipy.stats``.
        args: SciPy's arguments from the coordinates (and the fixed keys of a statement).
        from_moments: coordinates from mean and sd of shape ``(sets,)``; NaN where there are none.
        from_quantiles: coordinates from probabilities ``(q,)`` and values ``(q, sets)``.
        native: arguments from the family's own parameters.
        exact: first keys of the forms for which these are the answer as long as nothing is cut off (a
            median is put in the place of the mean); elsewhere they are starting points.
        located: the first coordinate is a location, moved in units of the spread.
        closed: cut anywhere, it is still of its own family, so limits inside a stated spread refuse it.
    """

    generic: str
    args: Callable[[Coordinates, Fixed], tuple[np.ndarray, ...]]
    from_moments: Callable[[np.ndarray, np.ndarray, Fixed], Coordinates] | None
    from_quantiles: Callable[[np.ndarray, np.ndarray, Fixed], Coordinates]
    native: Callable[[Fixed], tuple[np.ndarray, ...]] | None = None
    exact: tuple[str, ...] = ()
    located: bool = False
    closed: bool = False


def _spread(p: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of the normal through the outer quantiles."""
    z = special.ndtri(p)
    sd = (x[-1] - x[0]) / (z[-1] - z[0])
    return x[0] - sd * z[0], sd


def _log_moments(mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of the logarithm of a lognormal with this mean and sd."""
    variance = np.log1p((sd / mean) ** 2)
    return np.log(mean) - variance / 2.0, np.sqrt(variance)


def _lognormal_mean_sd(p: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mu, sigma = _spread(p, np.log(x))
    mean = np.exp(mu + sigma**2 / 2.0)
    return mean, mean * np.sqrt(np.expm1(sigma**2))


def _uniform_quantiles(p: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width = (x[1] - x[0]) / (p[1] - p[0])
    return x[0] - p[0] * width, width


def _beta_moments(mean: np.ndarray, sd: np.ndarray, fixed: Fixed) -> Coordinates:
    width = fixed["maximum"] - fixed["minimum"]
    m = (mean - fixed["minimum"]) / width
    size = m * (1.0 - m) / (sd / width) ** 2 - 1.0
    return np.log([m * size, (1.0 - m) * size])


def _gamma_moments(mean: np.ndarray, sd: np.ndarray, fixed: Fixed) -> Coordinates:
    return np.log([(mean / sd) ** 2, sd**2 / mean])


def _three_point(p: np.ndarray, x: np.ndarray, fixed: Fixed) -> Coordinates:
    left, right = 1.5 * (x[1] - x[0]), 1.5 * (x[2] - x[1])
    return np.array([x[1] - left, np.log(left), np.log(right)])


def _pert_args(minimum: np.ndarray, left: np.ndarray, right: np.ndarray, fixed: Fixed) -> tuple[np.ndarray, ...]:
    width, weight = left + right, fixed["shape"]
    return 1.0 + weight * left / width, 1.0 + weight * right / width, minimum, width


def _triangular_args(minimum: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, ...]:
    return left / (left + right), minimum, left + right


def _beta_args(alpha: np.ndarray, beta: np.ndarray, fixed: Fixed) -> tuple[np.ndarray, ...]:
    return alpha, beta, np.asarray(fixed["minimum"]), np.asarray(fixed["maximum"] - fixed["minimum"])


_ZERO, _ONE = np.asarray(0.0), np.asarray(1.0)

_NORMAL = Parent(
    "norm",
    lambda t, f: (t[0], np.exp(t[1])),
    lambda m, s, f: np.array([m, np.log(s)]),
    lambda p, x, f: np.array([(ms := _spread(p, x))[0], np.log(ms[1])]),
    exact=("mean", "median", "quantiles"),
    located=True,
)

PARENTS: dict[str, Parent] = {
    "normal": _NORMAL,
    "truncated_normal": _NORMAL,
    "lognormal": Parent(
        "lognorm",
        lambda t, f: (np.exp(t[1]), _ZERO, np.exp(t[0])),
        lambda m, s, f: np.array([(ms := _log_moments(m, s))[0], np.log(ms[1])]),
        lambda p, x, f: np.array([(ms := _spread(p, np.log(x)))[0], np.log(ms[1])]),
        exact=("mean", "quantiles"),
    ),
    "uniform": Parent(
        "uniform",
        lambda t, f: (t[0], np.exp(t[1])),
        lambda m, s, f: np.array([m - np.sqrt(3.0) * s, np.log(np.sqrt(12.0) * s)]),
        lambda p, x, f: np.array([(mw := _uniform_quantiles(p, x))[0], np.log(mw[1])]),
        native=lambda v: (v["minimum"], v["maximum"] - v["minimum"]),
        exact=("mean", "median", "quantiles"),
        located=True,
        closed=True,
    ),
    "log_uniform": Parent(
        "loguniform",
        lambda t, f: (np.exp(t[0]), np.exp(t[0] + np.exp(t[1])), _ZERO, _ONE),
        lambda m, s, f: np.array([(ms := _log_moments(m, s))[0] - np.sqrt(3.0) * ms[1], np.log(np.sqrt(12.0) * ms[1])]),
        lambda p, x, f: np.array([(mw := _uniform_quantiles(p, np.log(x)))[0], np.log(mw[1])]),
        native=lambda v: (v["minimum"], v["maximum"], _ZERO, _ONE),
        exact=("quantiles",),
        closed=True,
    ),
    "triangular": Parent(
        "triang",
        lambda t, f: _triangular_args(t[0], np.exp(t[1]), np.exp(t[2])),
        None,
        _three_point,
        native=lambda v: _triangular_args(v["minimum"], v["mode"] - v["minimum"], v["maximum"] - v["mode"]),
        located=True,
    ),
    "pert": Parent(
        "beta",
        lambda t, f: _pert_args(t[0], np.exp(t[1]), np.exp(t[2]), f),
        None,
        _three_point,
        native=lambda v: _pert_args(v["minimum"], v["mode"] - v["minimum"], v["maximum"] - v["mode"], v),
        located=True,
    ),
    "beta": Parent(
        "beta",
        lambda t, f: _beta_args(np.exp(t[0]), np.exp(t[1]), f),
        _beta_moments,
        lambda p, x, f: _beta_moments(*_spread(p, x), f),
        native=lambda v: _beta_args(v["alpha"], v["beta"], v),
        exact=("mean",),
    ),
    "gamma": Parent(
        "gamma",
        lambda t, f: (np.exp(t[0]), _ZERO, np.exp(t[1])),
        _gamma_moments,
        lambda p, x, f: _gamma_moments(*_lognormal_mean_sd(p, x), f),
        native=lambda v: (v["shape"], _ZERO, v["scale"]),
        exact=("mean",),
    ),
}
