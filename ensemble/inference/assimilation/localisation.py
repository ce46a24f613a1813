"""Which parameters a measurement may inform: those of a site only from measurements near it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.inference.assimilation.ensemble_kalman import gaspari_cohn
from ensemble.inference.calibration.problem import Problem
from ensemble.inputs.geodesy import geocentric
from ensemble.plan import Plan

Taper = Callable[[np.ndarray], tuple[jax.Array, jax.Array]]


def make_taper(plan: Plan, problem: Problem, radius: float) -> Taper:
    """Factors on covariances by distance (Gaspari and Cohn); parameters that all sites share are not localised.

    Args:
        plan: the study, whose site table has longitude and latitude, or x_km and y_km.
        problem: parameters and rows.
        radius: distance at which nothing is left, km.

    Returns:
        From numbers of rows (-1 for none) to factors of parameters with rows, and of rows with each other.

    Raises:
        ValueError: the sites have no places.
    """
    distance = site_distances(plan)
    sites = list(plan.sites)
    row_site = np.append([sites.index(str(name)) for name in problem.rows["site"]], -1)
    owner: list[int] = []
    for entry in problem.parameters.entries:
        own = [sites.index(name) for name in problem.parameters.groups["site"]] if entry.axis == "site" else []
        owner += [-1] * (entry.count - len(own)) + own if entry.count > 1 else [-1]

    def taper(rows: np.ndarray) -> tuple[jax.Array, jax.Array]:
        here = row_site[rows]
        return _factors(distance, np.array(owner), here, radius), _factors(distance, here, here, radius)

    return taper


def _factors(distance: np.ndarray, first: np.ndarray, second: np.ndarray, radius: float) -> jax.Array:
    apart = np.where((first[:, None] < 0) | (second[None, :] < 0), 0.0, distance[first[:, None], second[None, :]])
    return gaspari_cohn(jnp.asarray(apart), radius)


def site_distances(plan: Plan) -> np.ndarray:
    """Distances between sites, km, (sites, sites).

    Raises:
        ValueError: the site table has no places.
    """
    table = plan.base.sites.table
    if table is not None and {"x_km", "y_km"} <= set(table.columns):
        points = np.stack([table.numbers("x_km"), table.numbers("y_km")], axis=-1)
    elif table is not None and {"longitude", "latitude"} <= set(table.columns):
        points = geocentric(table.numbers("longitude"), table.numbers("latitude"))
    else:
        raise ValueError("a localisation needs places in the site table: longitude and latitude, or x_km and y_km")
    return np.linalg.norm(points[:, None] - points[None], axis=-1)
