"""Totals of regions by class, with the errors of pixels independent, as modelled, and fully dependent.

Members hold whatever dependence was modelled, so their totals carry it. The same pixel standard deviations
also give the two bounds: independent errors nearly vanish in a large region, fully dependent ones add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

Floats = NDArray[np.floating[Any]]


class TotalsState(NamedTuple):
    """Running sums over blocks of pixels, one for each class; memory does not grow with the pixels.

    Args:
        draws: ``(member, class)`` totals.
        independent: ``(class,)`` sum of squared area times sd.
        dependent: ``(class,)`` sum of area times sd.
        areas: ``(class,)``.
    """

    draws: Floats
    independent: Floats
    dependent: Floats
    areas: Floats


class TotalsRow(NamedTuple):
    """Total of one class.

    Args:
        name: of the class.
        area: in the unit of the areas.
        mean: total.
        sd_independent, sd_modelled, sd_dependent: standard deviation of the total under each assumption.
        quantiles: of the modelled total.
    """

    name: str
    area: float
    mean: float
    sd_independent: float
    sd_modelled: float
    sd_dependent: float
    quantiles: dict[float, float]

    def interval(self, assumption: str, coverage: float = 0.9) -> tuple[float, float]:
        """Normal interval of the total under ``independent``, ``modelled`` or ``dependent`` errors."""
        half = float(norm.ppf((1 + coverage) / 2)) * getattr(self, f"sd_{assumption}")
        return self.mean - half, self.mean + half


def start_totals(members: int, classes: int) -> TotalsState:
    """Sums before the first block."""
    return TotalsState(np.zeros((members, classes)), np.zeros(classes), np.zeros(classes), np.zeros(classes))


def add_block(state: TotalsState, values: ArrayLike, areas: ArrayLike, classes: ArrayLike) -> TotalsState:
    """Sums with one more block of pixels.

    Args:
        state: sums so far.
        values: ``(member, pixel)`` per unit of area, all members of each pixel; NaN in all members where
            there is no value.
        areas: ``(pixel,)``.
        classes: ``(pixel,)`` index of each pixel's class, negative for none.

    Raises:
        ValueError: an area that is missing or negative where there is a value; a pixel that only some
            members hold.
    """
    value, area, label = np.asarray(values, float), np.asarray(areas, float), np.asarray(classes, int)
    held = np.isfinite(value)
    used = held.any(axis=0) & (label >= 0)
    if not held[:, used].all():
        raise ValueError("a pixel has a value in some members only; a total needs all of them or none")
    if not (area[used] >= 0).all():
        raise ValueError(
            f"{int((~(area[used] >= 0)).sum())} pixels have no area, or a negative one; a total needs an area for each"
        )
    value, area, label = value[:, used], area[used], label[used]
    weight = np.zeros((area.size, state.areas.size))
    weight[np.arange(area.size), label] = area
    error = value.std(axis=0, ddof=1)
    return TotalsState(
        state.draws + value @ weight,
        state.independent + weight.T**2 @ error**2,
        state.dependent + weight.T @ error,
        state.areas + weight.sum(axis=0),
    )


def finish_totals(
    state: TotalsState, names: Sequence[str], scale: float = 1.0, quantiles: Sequence[float] = (0.05, 0.5, 0.95)
) -> tuple[TotalsRow, ...]:
    """A row for each class and one for all together.

    Args:
        state: sums over all blocks.
        names: ``(class,)``.
        scale: factor to the unit of the totals, such as 1e-4 from (kg m-2) ha to ... or 1e-3 from
            (kg m-2) km2 to Tg.
        quantiles: of the modelled totals.
    """
    draws = np.concatenate([state.draws, state.draws.sum(axis=1, keepdims=True)], axis=1) * scale
    independent = np.append(state.independent, state.independent.sum())
    dependent = np.append(state.dependent, state.dependent.sum())
    areas = np.append(state.areas, state.areas.sum())
    levels = np.quantile(draws, quantiles, axis=0)
    return tuple(
        TotalsRow(
            name,
            float(areas[k]),
            float(draws[:, k].mean()),
            scale * float(np.sqrt(independent[k])),
            float(draws[:, k].std(ddof=1)),
            scale * float(dependent[k]),
            {float(q): float(level) for q, level in zip(quantiles, levels[:, k], strict=True)},
        )
        for k, name in enumerate((*names, "all"))
    )


def class_totals(
    values: ArrayLike,
    areas: ArrayLike,
    classes: Sequence[str],
    scale: float = 1.0,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
) -> tuple[TotalsRow, ...]:
    """Totals by class of values that fit in memory.

    Args:
        values: ``(member, pixel)`` per unit of area.
        areas: ``(pixel,)``.
        classes: ``(pixel,)`` names; rows come in order of first appearance.
        scale, quantiles: as in :func:`finish_totals`.
    """
    names = list(dict.fromkeys(classes))
    index = np.array([names.index(item) for item in classes], dtype=int)
    value = np.asarray(values, float)
    return finish_totals(add_block(start_totals(len(value), len(names)), value, areas, index), names, scale, quantiles)
