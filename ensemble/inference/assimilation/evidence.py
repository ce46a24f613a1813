"""The likelihood of a calibration, date by date: how probable each date was given the dates before it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from ensemble.inference.calibration.errors import LOG_2PI
from ensemble.inference.calibration.problem import Problem


def date_densities(problem: Problem) -> Callable[[jax.Array], jax.Array]:
    """Log density of the values of each date given those of all earlier dates, from independent prior scores (size,).

    With rows in the order of time, Cholesky's factor of their covariance conditions each on those before it, so one
    factor gives the evidence of every date; it equals the Kalman filter's
    (:class:`~ensemble.inference.assimilation.system.System`), which a test holds to 1e-8.

    Returns:
        A function to an array (dates,), dates rising.
    """
    times = problem.rows["time"].to_numpy(float)
    order = np.argsort(times, kind="stable")
    dates, number = np.unique(times[order], return_inverse=True)
    errors = problem.errors
    logs = np.where(errors.is_log, np.log(np.where(errors.is_log, errors.values, 1.0)), 0.0)[order]

    def densities(scores: jax.Array) -> jax.Array:
        values = problem.parameters.values(scores)
        predicted = problem.predict(values)
        covariance = errors.covariance(predicted, values, problem.extra(values, predicted))
        factor = jnp.linalg.cholesky(covariance[np.ix_(order, order)])
        white = solve_triangular(factor, errors.residual(predicted)[order], lower=True)
        each = -0.5 * (white**2 + LOG_2PI) - jnp.log(jnp.diagonal(factor)) - jnp.asarray(logs)
        found = jax.ops.segment_sum(each, jnp.asarray(number), len(dates))
        return jnp.where(jnp.isfinite(found), found, -1e10)

    return densities
