"""RothC in the forms that a calibration needs: the stocks at some dates alone, and the ridge of its posterior."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ensemble.models.base import Arrays, BuildSettings, Simulate
from ensemble.models.decomposition import Pools
from ensemble.models.linear import Affine
from ensemble.models.rothc import affine_segments, initial_state, pools_by_month, prepare

FRACTIONS = {"pom": ("dpm", "rpm"), "maom": ("bio", "hum")}
STOCKS = ("soc", "iom", *FRACTIONS, *Pools._fields)
# Width, t C/ha, of the soft edge where the inert pool reaches the last observed stock.
_EDGE = 4.0


def at_records(settings: BuildSettings, records: tuple[int, ...]) -> Simulate | None:
    """RothC's stocks at the end of some records, month by month with the four pools as one vector.

    Nothing but the pools is carried from month to month: rate factors do not depend on carbon and are computed before
    the loop (once in a calibration of rates and inputs), so a month is one small kernel. Composite maps between the
    dates are as fast for four plots and three times slower for thirteen, whose matrices leave the processor's cache.

    Args:
        settings: as for :func:`ensemble.models.rothc.build`.
        records: rising record numbers, from 0.

    Returns:
        ``simulate`` with series of shape ``(len(records),)``; ``None`` where an output is not a stock of carbon.
    """
    if not settings.outputs or not set(settings.outputs) <= set(STOCKS) or settings.options["radiocarbon"]:
        return None
    ends = jnp.asarray([(record + 1) * settings.steps_per_record - 1 for record in records])

    def simulate(inputs: Arrays) -> dict[str, jax.Array]:
        inputs = prepare(inputs)
        start = jnp.stack(initial_state(inputs, settings.options).pools)
        pools = Pools(*pools_by_month(inputs, settings, start)[ends].T)
        outputs = pools._asdict() | {"iom": jnp.broadcast_to(inputs["iom"], pools.hum.shape)}
        outputs |= {name: sum(outputs[pool] for pool in both) for name, both in FRACTIONS.items()}
        outputs["soc"] = pools.total + inputs["iom"]
        return {name: outputs[name] for name in settings.outputs} | {"balance": jnp.zeros_like(start[0])}

    return simulate


def pool_maps(settings: BuildSettings, records: tuple[int, ...]) -> Callable[[Arrays], tuple[Affine, jax.Array, dict]]:
    """RothC as a linear model between records, for process noise on its pools.

    Args:
        settings: as for :func:`ensemble.models.rothc.build`.
        records: rising record numbers, from 0.

    Returns:
        A function from the inputs to the maps of the intervals that end at the records (the first begins with the run),
        the pools before the first, shape (4,), and for each stock the vector that takes the pools to it.
    """
    boundaries = [0, *((record + 1) * settings.steps_per_record for record in records)]
    observe = {"soc": jnp.ones(4)} | {name: jnp.eye(4)[k] for k, name in enumerate(Pools._fields)}
    observe |= {name: observe[first] + observe[second] for name, (first, second) in FRACTIONS.items()}

    def maps(inputs: Arrays) -> tuple[Affine, jax.Array, dict]:
        inputs = prepare(inputs)
        start = jnp.stack(initial_state(inputs, settings.options).pools)
        return affine_segments(inputs, settings, boundaries), start, observe

    return maps


def log_k_hum(inputs: Arrays, observed: Arrays) -> jax.Array:
    """Logarithm of the humus rate that explains a decline, given the inert pool and the scale of the rates.

    The part of the stock that is not inert falls by ``exp(-k t)``, so that
    ``k t = log((first - iom) / (last - iom))``: with a larger inert pool the same decline needs a larger rate.
    ``last - iom`` is kept positive by a softplus, so that the curve is finite for every inert pool.

    Args:
        inputs: ``iom`` (t C/ha), ``rate_scale`` and, where the run starts from it, ``soc_measured``.
        observed: ``first`` and ``last`` stock (t C/ha) and the ``years`` between them.
    """
    iom = inputs["iom"]
    first = inputs.get("soc_measured", observed["first"])
    left = _EDGE * jax.nn.softplus((observed["last"] - iom) / _EDGE)
    started = left + jax.nn.softplus(first - observed["last"])
    return jnp.log(jnp.log(started / left)) - jnp.log(inputs["rate_scale"] * observed["years"])


def largest_iom(observed: Arrays) -> float:
    """Inert pool (t C/ha) that the fit ends at: what is left at the last date cannot be less than what is inert."""
    return observed["last"]
