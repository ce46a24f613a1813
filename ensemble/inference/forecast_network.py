"""Emissions from their drivers by a deep ensemble of small back-propagation networks, with held-out error.

The network is that of Zhang et al. (2022, equations 5 and 6): hidden layers of rectified linear units with
thresholds subtracted, a linear output. They print "4 hidden nodes" and "[5 4 8 6]"; it is read here as four
layers, and the sizes are a setting. What a single fit does not have is added: several starts a fold (a deep
ensemble, Lakshminarayanan et al. 2017, NeurIPS 30), errors on rows that the fit never saw, intervals from
those errors (the cross-validation+ of Barber et al. 2021, Annals of Statistics 49(1), 486-507), and a flag
wherever a driver leaves the range of its training values, because outside it the network is a straight line
and no held-out error vouches for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from ensemble.keys import stream_key

DRIVERS = (
    "population", "urbanisation", "gdp", "secondary_share", "energy_intensity", "energy_use", "energy_structure",
)  # fmt: skip
# A network whose hidden units all went silent fits a constant: its training error stays near the variance.
SILENT = 0.9


@dataclass(frozen=True)
class NetworkSettings:
    """How the networks are built and trained.

    Args:
        hidden: units of each hidden layer.
        folds: parts of the rows, each held out once, 2 or more.
        networks: starts in each fold, 1 or more.
        steps: full-batch Adam steps.
        learning_rate: at the start; it falls to zero along a cosine.
        weight_decay: of AdamW.
        seed: of the folds and the starts.
    """

    hidden: tuple[int, ...] = (5, 4, 8, 6)
    folds: int = 5
    networks: int = 12
    steps: int = 1500
    learning_rate: float = 0.02
    weight_decay: float = 1e-4
    seed: int = 0


class Layer(NamedTuple):
    """One layer: ``f(W x - threshold)``; weights (in, out), thresholds (out,)."""

    weights: jax.Array
    thresholds: jax.Array


Network = tuple[Layer, ...]


class Scaling(NamedTuple):
    """Mean and standard deviation that drivers and target are standardised with."""

    driver_mean: np.ndarray
    driver_sd: np.ndarray
    target_mean: float
    target_sd: float


class HeldOut(NamedTuple):
    """Errors on rows whose own fold never saw them.

    Args:
        residuals: observed minus predicted, shape (rows,), in the unit of the target.
        rmse: root mean square of them.
        r_squared: share of the variance that the held-out predictions explain.
        relative: median of |residual| / |observed|.
    """

    residuals: np.ndarray
    rmse: float
    r_squared: float
    relative: float


@dataclass(frozen=True, eq=False)
class ForecastEnsemble:
    """A trained deep ensemble.

    Args:
        networks: parameters with leading axes (fold, start).
        alive: bool, shape (folds, starts); silent networks are left out.
        fold: fold that held each training row out, shape (rows,).
        scaling: of drivers and target.
        lowest, highest: range of each driver in training, shape (drivers,).
        held_out: errors on held-out rows.
    """

    networks: Network
    alive: np.ndarray
    fold: np.ndarray
    scaling: Scaling
    lowest: np.ndarray
    highest: np.ndarray
    held_out: HeldOut


class Forecast(NamedTuple):
    """A forecast at each row of drivers; leading axes are those of the drivers.

    Args:
        mean: of all networks, in the unit of the target.
        network_sd: standard deviation between networks (what another start or fold would have said).
        quantiles: of the predictive distribution, shape (quantile, ...).
        outside: whether each driver lies outside its training range, shape (..., drivers).
        extrapolated: whether any driver does, shape (...).
    """

    mean: np.ndarray
    network_sd: np.ndarray
    quantiles: np.ndarray
    outside: np.ndarray
    extrapolated: np.ndarray


def new_network(key: jax.Array, sizes: Sequence[int], dtype: Any = jnp.float32) -> Network:
    """Random start: normal weights of variance 2 / inputs (He et al. 2015), thresholds slightly below zero.

    Args:
        key: random key.
        sizes: units of every layer, drivers first, output last.
        dtype: of the parameters.
    """
    layers = []
    for k, (n_in, n_out) in zip(jax.random.split(key, len(sizes) - 1), pairwise(sizes), strict=True):
        weights = jax.random.normal(k, (n_in, n_out), dtype) * (2.0 / n_in) ** 0.5
        layers.append(Layer(weights, jnp.full((n_out,), -0.1, dtype)))
    return tuple(layers)


def apply_network(network: Network, drivers: Any) -> Any:
    """Output of one network, shape (...), for standardised drivers (..., drivers) (equations 5 and 6)."""
    x = drivers
    for layer in network[:-1]:
        x = jax.nn.relu(x @ layer.weights - layer.thresholds)
    return (x @ network[-1].weights - network[-1].thresholds)[..., 0]


def fit_forecast(
    drivers: ArrayLike,
    target: ArrayLike,
    settings: NetworkSettings | None = None,
    groups: ArrayLike | None = None,
) -> ForecastEnsemble:
    """Train the ensemble, every fold holding its rows out.

    Args:
        drivers: shape (rows, drivers); one row a year, or a region and year.
        target: emissions, shape (rows,), any mass unit.
        settings: see :class:`NetworkSettings`.
        groups: shape (rows,); rows of one group (a year, a region) are held out together, so that the error
            is that of a new year or region. Default: every row for itself.

    Raises:
        ValueError: the shapes do not fit, a value is not finite, a driver is constant, there are fewer groups
            than folds, or every network of a fold went silent.
    """
    settings = settings or NetworkSettings()
    x, y = _checked(drivers, target, settings)
    fold = _folds(len(y), groups, settings)
    scaling = Scaling(x.mean(axis=0), x.std(axis=0), float(y.mean()), float(y.std()))
    inputs = jnp.asarray((x - scaling.driver_mean) / scaling.driver_sd, jnp.float32)
    wanted = jnp.asarray((y - scaling.target_mean) / scaling.target_sd, jnp.float32)
    seen = jnp.asarray(fold[None, :] != np.arange(settings.folds)[:, None], jnp.float32)
    keys = jax.random.split(stream_key(settings.seed, "forecast networks"), (settings.folds, settings.networks))
    networks, losses = _train_all(settings, inputs, wanted, keys, seen)
    alive = np.asarray(losses) < SILENT
    if not alive.any(axis=1).all():
        text = (
            f"every network of a fold fits a constant; give hidden more than {list(settings.hidden)} or more networks"
        )
        raise ValueError(text)
    unfinished = ForecastEnsemble(
        networks, alive, fold, scaling, x.min(axis=0), x.max(axis=0), HeldOut(np.zeros(0), np.nan, np.nan, np.nan)
    )
    by_fold = _fold_means(unfinished, x)
    residuals = y - by_fold[fold, np.arange(len(y))]
    rmse = float(np.sqrt(np.mean(residuals**2)))
    held_out = HeldOut(
        residuals, rmse, 1 - rmse**2 / scaling.target_sd**2, float(np.median(np.abs(residuals) / np.abs(y)))
    )
    return ForecastEnsemble(networks, alive, fold, scaling, x.min(axis=0), x.max(axis=0), held_out)


def forecast(fitted: ForecastEnsemble, drivers: ArrayLike, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> Forecast:
    """Forecast with intervals: every held-out error on top of the networks that made it.

    The intervals cover at least as often as they say as long as the rows are exchangeable (Barber et al. 2021
    prove 1 - 2 alpha; with 12 starts a fold, 90 % intervals covered 95 % of a known truth). That is not so
    where a driver is outside its training range: such rows are flagged, and their interval is no promise.

    Args:
        fitted: from :func:`fit_forecast`.
        drivers: shape (..., drivers), such as (scenarios, years, 7) or (members, years, 7).
        quantiles: probabilities of the predictive distribution.

    Raises:
        ValueError: another number of drivers than in training, or a value that is not finite.
    """
    x = np.asarray(drivers, dtype=np.float64)
    if x.ndim == 0 or x.shape[-1] != len(fitted.lowest):
        raise ValueError(
            f"{x.shape[-1] if x.ndim else 1} drivers are given; the networks were trained on {len(fitted.lowest)}"
        )
    if not np.isfinite(x).all():
        raise ValueError("a driver is not finite; every year needs all drivers")
    every = _every_network(fitted, x)
    alive = fitted.alive.reshape(-1)
    kept = every.reshape(-1, *every.shape[2:])[alive]
    by_fold = _fold_means(fitted, x)
    shift = fitted.held_out.residuals.reshape(-1, *([1] * (x.ndim - 1)))
    levels = np.quantile(by_fold[fitted.fold] + shift, quantiles, axis=0)
    outside = (x < fitted.lowest) | (x > fitted.highest)
    sd = kept.std(axis=0, ddof=1) if len(kept) > 1 else np.zeros(x.shape[:-1])
    return Forecast(kept.mean(axis=0), sd, levels, outside, np.asarray(outside.any(axis=-1)))


def grow_drivers(last: ArrayLike, growth: ArrayLike) -> np.ndarray:
    """Drivers that grow by a given rate each step: a scenario such as A2 or B1.

    Args:
        last: drivers of the last known year, shape (drivers,).
        growth: relative change of each driver in each step, shape (..., steps, drivers), above -1.

    Returns:
        Drivers of the following steps, shape (..., steps, drivers).

    Raises:
        ValueError: a rate of -1 or less, or shapes that do not fit.
    """
    start, rates = np.asarray(last, dtype=np.float64), np.asarray(growth, dtype=np.float64)
    if rates.ndim < 2 or rates.shape[-1:] != start.shape:
        raise ValueError(f"growth has the shape {rates.shape}; needed: (..., steps, {len(start)})")
    if not (rates > -1.0).all():
        raise ValueError(f"a growth rate of {np.min(rates):g} is not allowed; allowed: above -1")
    return start * np.cumprod(1.0 + rates, axis=-2)


def _checked(drivers: ArrayLike, target: ArrayLike, settings: NetworkSettings) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(drivers, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"drivers have the shape {x.shape} and the target {y.shape}; needed: (rows, drivers) and (rows,)"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a driver or target is not finite; leave out rows with gaps")
    if not settings.hidden or min(settings.hidden) < 1:
        raise ValueError(
            f"hidden {list(settings.hidden)} is not allowed; allowed: one or more layers of one or more units"
        )
    if settings.folds < 2 or settings.networks < 1:
        raise ValueError(
            f"{settings.folds} folds of {settings.networks} networks are not allowed; allowed: 2 or more of 1 or more"
        )
    constant = np.flatnonzero(x.std(axis=0) == 0)
    if len(constant) or y.std() == 0:
        what = f"driver {constant[0] + 1}" if len(constant) else "the target"
        raise ValueError(f"{what} is the same in every row; leave it out")
    return x, y


def _folds(rows: int, groups: ArrayLike | None, settings: NetworkSettings) -> np.ndarray:
    """Fold of each row; groups are dealt out in random order, so that folds are of equal size."""
    _, group = np.unique(np.arange(rows) if groups is None else np.asarray(groups), return_inverse=True)
    if len(group) != rows:
        raise ValueError(f"{len(group)} groups are given for {rows} rows; needed: one each")
    count = int(group.max()) + 1
    if count < settings.folds:
        raise ValueError(f"{count} groups are too few for {settings.folds} folds; needed: at least one a fold")
    order = np.random.default_rng(settings.seed).permutation(count)
    return (np.argsort(order) % settings.folds)[group]


@partial(jax.jit, static_argnums=0)
def _train_all(settings: NetworkSettings, inputs: Any, wanted: Any, keys: jax.Array, seen: Any) -> tuple[Network, Any]:
    """Every start of every fold; compiled once for a shape and its settings."""
    train = partial(_train, settings, inputs, wanted)
    return jax.vmap(jax.vmap(train, (0, None)), (0, 0))(keys, seen)


def _train(settings: NetworkSettings, inputs: Any, wanted: Any, key: jax.Array, seen: Any) -> tuple[Network, Any]:
    """One network on the rows it may see; returns it with its loss relative to the variance it could explain."""
    sizes = (inputs.shape[-1], *settings.hidden, 1)
    schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.steps)
    optimiser = optax.adamw(schedule, weight_decay=settings.weight_decay)

    def loss(network: Network) -> Any:
        return (seen * (apply_network(network, inputs) - wanted) ** 2).sum() / seen.sum()

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        network, state = carry
        updates, state = optimiser.update(jax.grad(loss)(network), state, network)
        return (optax.apply_updates(network, updates), state), None

    network = new_network(key, sizes, inputs.dtype)
    (network, _), _ = jax.lax.scan(step, (network, optimiser.init(network)), None, length=settings.steps)
    mean = (seen * wanted).sum() / seen.sum()
    return network, loss(network) / ((seen * (wanted - mean) ** 2).sum() / seen.sum())


def _every_network(fitted: ForecastEnsemble, drivers: np.ndarray) -> np.ndarray:
    """Prediction of every network, shape (folds, starts, ...), in the unit of the target."""
    scaling = fitted.scaling
    x = jnp.asarray((drivers - scaling.driver_mean) / scaling.driver_sd, jnp.float32)
    run = jax.vmap(jax.vmap(apply_network, (0, None)), (0, None))
    return np.asarray(run(fitted.networks, x), dtype=np.float64) * scaling.target_sd + scaling.target_mean


def _fold_means(fitted: ForecastEnsemble, drivers: np.ndarray) -> np.ndarray:
    """Mean of the networks of each fold that did not go silent, shape (folds, ...)."""
    every = _every_network(fitted, drivers)
    weight = fitted.alive / fitted.alive.sum(axis=1, keepdims=True)
    return np.einsum("fs,fs...->f...", weight, every)
