"""Ensemble Kalman methods, for models that are not linear in what is to be learned.

``analysis`` is the filter with perturbed measurements (Burgers, van Leeuwen and Evensen 1998, doi
10.1175/1520-0493(1998)126<1719:ASITEK>2.0.CO;2); ``es_mda`` the smoother with multiple data assimilation (Emerick and
Reynolds 2013, doi 10.1016/j.cageo.2012.03.011). Localisation multiplies covariances with the function of Gaspari and
Cohn (1999, doi 10.1002/qj.49712555417, equation 4.10).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve


def analysis(
    ensemble: jax.Array,
    predicted: jax.Array,
    measured: jax.Array,
    errors: jax.Array,
    key: jax.Array,
    inflation: float = 1.0,
    taper: tuple[jax.Array, jax.Array] | None = None,
) -> jax.Array:
    """The ensemble after measurements are taken in.

    Args:
        ensemble: what is to be learned, (members, size).
        predicted: what each member says the measurements are, without their errors, (members, values).
        measured: (values,).
        errors: covariance of the errors, of each member, (members, values, values), or of all (values, values).
        key: of the perturbations.
        inflation: factor on the deviations from the mean before the update.
        taper: factors on the covariances of what is learned with the measurements, (size, values), and of these with
            each other, (values, values).

    Returns:
        (members, size).
    """
    members = len(ensemble)
    errors = jnp.broadcast_to(errors, (members, measured.size, measured.size))
    mean, expected = ensemble.mean(axis=0), predicted.mean(axis=0)
    away, off = inflation * (ensemble - mean), inflation * (predicted - expected)
    cross, own = away.T @ off / (members - 1), off.T @ off / (members - 1)
    if taper is not None:
        cross, own = cross * taper[0], own * taper[1]
    # one factorisation of all matrices: two side by side can wait for each other (`calibration.errors.white_log_density`)
    factors = jnp.linalg.cholesky(jnp.concatenate([errors, (own + errors.mean(axis=0))[None]]))
    gain = cho_solve((factors[-1], True), cross.T).T
    normal = jax.random.normal(key, (members, measured.size))
    noise = jnp.einsum("mij,mj->mi", factors[:-1], normal)
    return mean + away + (measured + noise - expected - off) @ gain.T


def es_mda(
    scores: jax.Array,
    simulate: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    measured: jax.Array,
    key: jax.Array,
    times: int = 4,
    taper: tuple[jax.Array, jax.Array] | None = None,
) -> jax.Array:
    """Parameters after all measurements are taken in `times` times, each with their errors inflated as often.

    Args:
        scores: draws of the prior, (members, size).
        simulate: from scores (members, size) to what is measured (members, values), and the covariance of the errors of
            each member (members, values, values).
        measured: (values,).
        key: of the perturbations.
        times: assimilations; the inflations add up to one full use of the data.
        taper: as in :func:`analysis`.
    """
    for one in jax.random.split(key, times):
        predicted, errors = simulate(scores)
        scores = analysis(scores, predicted, measured, times * errors, one, 1.0, taper)
    return scores


def gaspari_cohn(distance: jax.Array, radius: float) -> jax.Array:
    """A correlation that falls from 1 to 0 at a distance (compact support), in the unit of the distance."""
    r = 2.0 * jnp.abs(distance) / radius
    near = 1.0 + r**2 * (-5.0 / 3.0 + r * (5.0 / 8.0 + r * (0.5 - 0.25 * r)))
    safe = jnp.where(r > 1.0, r, 1.0)
    far = (
        4.0 + safe * (-5.0 + safe * (5.0 / 3.0 + safe * (5.0 / 8.0 + safe * (-0.5 + safe / 12.0)))) - 2.0 / (3.0 * safe)
    )
    return jnp.where(r <= 1.0, near, jnp.where(r < 2.0, far, 0.0))
