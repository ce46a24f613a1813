"""Weather ensembles: whole years of a history resampled, or one of several realizations.

The key carries no site and no variable: called with one key for temperature, rain and evaporation of every
site, the same years are taken for all of them, so what happened together stays together.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def year_sequence(key: jax.Array, history: int, years: int, block: int = 1) -> jax.Array:
    """Which year of a history each year of the run is: the circular block bootstrap.

    Blocks of consecutive years start anywhere with equal probability and wrap from the last year to the
    first, so every year is equally likely in every place (Politis & Romano 1992, in Exploring the Limits
    of Bootstrap, 263-270). ``block=1`` draws years independently.

    Args:
        key: key of this member's draw, without a site.
        history: number of years in the history.
        years: number of years in the run.
        block: consecutive years kept together, 1 to ``history``.

    Returns:
        Integers ``(years,)`` from 0 to ``history - 1``.
    """
    starts = jax.random.randint(key, (-(-years // block),), 0, history, "int32")
    return ((starts[:, None] + jnp.arange(block)) % history).reshape(-1)[:years]


def resample_years(key: jax.Array, history: jax.Array, years: int, block: int = 1) -> jax.Array:
    """A driver made of whole years of its history.

    Args:
        key: key of this member's draw, the same for every variable and site.
        history: ``(years of history, steps a year)``.
        years: number of years in the run.
        block: consecutive years kept together.

    Returns:
        ``(years * steps a year,)``.
    """
    return history[year_sequence(key, history.shape[0], years, block)].reshape(-1)


def choose_realization(key: jax.Array, realizations: jax.Array) -> jax.Array:
    """One realization of a driver, each with equal probability.

    Args:
        key: key of this member's draw, the same for every variable and site.
        realizations: ``(realizations, steps)``.

    Returns:
        ``(steps,)``.
    """
    return realizations[jax.random.randint(key, (), 0, realizations.shape[0], "int32")]
