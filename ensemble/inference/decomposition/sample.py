"""The outputs of the members of a design, read a block of rows at a time, and what one pass over them tells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ensemble.design.pick_freeze import PickFreezeDesign, crossed_pairs
from ensemble.inference.decomposition.moments import Layout, layout_of, rows_at_once

# Spread of an output, relative to its size and in units of its precision, that is rounding and not variance.
ROUNDING = 64.0
MAX_FAILED = 0.01


class Outputs(Protocol):
    """Outputs (members, columns), sliced along members: a NumPy or Zarr array, or what reads tiles of a store."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Members and columns."""
        ...

    @property
    def dtype(self) -> Any:
        """Their type."""
        ...

    def __getitem__(self, members: slice, /) -> Any:
        """The outputs of some members, (members, columns)."""
        ...


@dataclass(frozen=True)
class Sample:
    """Outputs of the members of a design, and what the columns are.

    Args:
        design: the pick-freeze design.
        outputs: (members, columns) row by row; a failed member is not finite.
        places: (columns,) which column of ``usable`` a column of the outputs follows.
        usable: (rows, sites) rows without a failed member at a site.
        mean: (columns,) of the usable rows.
        varying: (columns,) whether values differ by more than rounding.
        layout: roles of the blocks of a row.
    """

    design: PickFreezeDesign
    outputs: Outputs
    places: np.ndarray
    usable: np.ndarray
    mean: np.ndarray
    varying: np.ndarray
    layout: Layout

    @property
    def complete(self) -> np.ndarray:
        """Rows (rows,) that are usable in all columns."""
        return np.all(self.usable, axis=1)

    @property
    def dropped(self) -> np.ndarray:
        """Rows dropped of every column, (columns,)."""
        return (~self.usable).sum(0)[self.places]


def blocks_of(design: PickFreezeDesign, outputs: Outputs) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows: which rows, and their outputs (rows, members of a row, columns)."""
    members, columns = len(design.blocks), outputs.shape[1]
    step = rows_at_once(members, columns, design.replicates)
    for first in range(0, design.rows, step):
        rows = slice(first, min(first + step, design.rows))
        y = np.asarray(outputs[rows.start * members : rows.stop * members])
        yield rows, y.reshape(-1, members, columns)


def member_points(design: PickFreezeDesign, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Independent probabilities (members, inputs) and scrambles (members,) of the members of some rows."""
    members = np.arange(rows.start * len(design.blocks), rows.stop * len(design.blocks))
    return design.uniforms(design.inputs, members), design.replicate(members)


def make_sample(
    design: PickFreezeDesign, outputs: Outputs, places: np.ndarray | None = None, max_failed: float = MAX_FAILED
) -> Sample:
    """A sample of a design, from one pass over its outputs.

    Args:
        design: the pick-freeze design.
        outputs: (members, columns) row by row; a failed member is not finite.
        places: (columns,) the site of every column; a failure at a site drops the row at that site. One site
            by default.
        max_failed: largest share of dropped rows.

    Raises:
        ValueError: outputs that do not fit the design, too many failures, no output that varies.
    """
    if len(design.blocks) * design.rows != outputs.shape[0]:
        raise ValueError(f"the design has {design.members} members but there are {outputs.shape[0]} results")
    columns = outputs.shape[1]
    sites, place = np.unique(np.zeros(columns, int) if places is None else places, return_inverse=True)
    usable = np.ones((design.rows, len(sites)), bool)
    total, count = np.zeros(columns), np.zeros(columns)
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    for rows, y in blocks_of(design, outputs):
        row, column = np.nonzero(~np.isfinite(y).all(1))
        usable[rows.start + row, place[column]] = False
        fine = usable[rows][:, place]
        counted: Any = True if fine.all() else fine[:, None]
        total += y.sum((0, 1), dtype=np.float64, where=counted)
        count += fine.sum(0) * y.shape[1]
        low = np.minimum(low, y.min((0, 1), initial=np.inf, where=counted))
        high = np.maximum(high, y.max((0, 1), initial=-np.inf, where=counted))
    _refuse_failures(usable, max_failed)
    precision = np.finfo(outputs.dtype).eps if np.issubdtype(outputs.dtype, np.floating) else 0.0
    varying = high - low > ROUNDING * precision * np.maximum(np.abs(low), np.abs(high))
    if not varying.any():
        raise ValueError("no output varies between the members, so shares of its variance are 0/0")
    layout = layout_of(design.blocks, bool(crossed_pairs(design)))
    return Sample(design, outputs, place, usable, total / np.maximum(count, 1), varying, layout)


def _refuse_failures(usable: np.ndarray, max_failed: float) -> None:
    dropped = float(1.0 - usable.mean(0).min(initial=1.0))
    if dropped > max_failed:
        raise ValueError(
            f"{float(f'{100 * dropped:.2g}'):g} % of the rows hold a failed member, so the shares would be biased; "
            f"allowed: at most {100 * max_failed:g} %"
        )
