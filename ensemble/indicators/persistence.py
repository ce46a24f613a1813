"""Hurst exponent by the aggregated variance of block means, for all members at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ensemble.indicators.checks import Floats, read_values
from ensemble.indicators.trends import linear_trend

# A variance of fewer block means is noise, and a line needs three block lengths.
LEAST_BLOCKS = 4
LEAST_LENGTHS = 3


class Hurst(NamedTuple):
    """Hurst exponent and what it was read from.

    Args:
        exponent: H, shape of the batch; NaN for a constant series. 0.5 without memory; not cut at 0 or 1.
        block_lengths: shape (m,), steps in a block.
        variances: variance of the block means, shape (..., m).
    """

    exponent: Floats
    block_lengths: np.ndarray
    variances: Floats


def hurst(values: ArrayLike, detrend: bool = False, least_blocks: int = LEAST_BLOCKS) -> Hurst:
    """Hurst exponent from the variance of block means, which falls as ``m^(2H - 2)`` (Taqqu et al. 1995).

    Blocks of m = 1, 2, ... steps, as long as ``least_blocks`` of them fit; H is one plus half the slope of log
    variance on log m (Zhang et al. 2022, equations 7 and 8). The variance of K blocks around their own mean is
    ``m^(2H - 2) (1 - K^(2H - 2))``, so few blocks pull H down, the more the larger it is: long series should
    ask for 25 blocks or more, short ones cannot. A trend adds variance that blocks do not average away, so
    it drives H towards 1 whatever the memory; ``detrend`` takes the least-squares line out first. Twenty
    years allow five block lengths: :func:`hurst_of_noise` says how wide H then is without any memory.

    Args:
        values: shape (..., n), n of three times ``least_blocks`` (12) or more.
        detrend: remove the line of each series first.
        least_blocks: fewest blocks whose variance is used, 2 or more.

    Raises:
        ValueError: the series is too short or not finite, or fewer than two blocks are asked for.
    """
    if least_blocks < 2:
        raise ValueError(f"least_blocks {least_blocks} is not allowed; allowed: 2 or more")
    series = read_values(values, least_blocks * LEAST_LENGTHS, "a Hurst exponent", "steps")
    n = series.shape[-1]
    if detrend:
        line = linear_trend(series)
        series = series - line.intercept[..., None] - line.slope[..., None] * np.arange(1, n + 1)
    lengths = np.arange(1, n // least_blocks + 1)
    variances = np.stack([_block_variance(series, int(m)) for m in lengths], axis=-1)
    # Rounding leaves a constant series, or a line without its trend, a variance of about eps squared.
    floor = (64 * np.finfo(np.float64).eps * np.abs(np.asarray(values, dtype=np.float64)).max(axis=-1)) ** 2
    varied = (variances > floor[..., None]).all(axis=-1)
    logs = np.log(np.where(varied[..., None], variances, 1.0))
    x = np.log(lengths) - np.log(lengths).mean()
    slope = logs @ x / (x @ x)
    return Hurst(np.where(varied, 1 + slope / 2, np.nan), lengths, variances)


def _block_variance(series: Floats, length: int) -> Floats:
    blocks = series.shape[-1] // length
    means = series[..., : blocks * length].reshape(*series.shape[:-1], blocks, length).mean(axis=-1)
    return means.var(axis=-1)


def hurst_of_noise(
    steps: int, detrend: bool = False, confidence: float = 0.95, draws: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean, lower and upper limit of H for independent normal values: what "no memory" looks like.

    Args:
        steps: length of the series, 12 or more.
        detrend: as in :func:`hurst`.
        confidence: share of memoryless series between the limits.
        draws: series simulated.
        seed: of the simulation.
    """
    noise = np.random.default_rng(seed).normal(size=(draws, steps))
    exponents = hurst(noise, detrend).exponent
    lower, upper = np.quantile(exponents, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(exponents.mean()), float(lower), float(upper)
