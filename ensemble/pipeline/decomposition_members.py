"""The members of a decomposition: computed tile by tile, kept in the store, read back a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ensemble.design.pick_freeze import PickFreezeDesign
from ensemble.errors import StoreRefused
from ensemble.execute.progress import progress
from ensemble.pipeline.layout import coordinates_of
from ensemble.plan import Plan, with_design
from ensemble.propagate import propagate
from ensemble.specs import OutputSpec
from ensemble.store import ArrayTemplate, Stage, StoreWriter, Tiling
from ensemble.summary import cf_attributes

GROUP = "decomposition"


class Batch(NamedTuple):
    """Rows that one doubling added: a plan of their own, its design, and the stage that holds their members."""

    plan: Plan
    design: PickFreezeDesign
    stage: str


class Members:
    """Outputs (members, columns) of all batches, one after another, NaN where a member failed.

    They stay in the store; a slice reads the tiles that hold it, and only the last block of tiles is kept.

    Args:
        store: the store.
        batches: what was computed.
    """

    def __init__(self, store: StoreWriter, batches: tuple[Batch, ...]) -> None:
        self.store, self.batches = store, batches
        self._kept: tuple[tuple[str, int], np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Members and columns."""
        plan = self.batches[0].plan
        own = sum(int(np.prod(plan.output_shape(spec))) for spec in plan.outputs)
        return sum(batch.plan.members for batch in self.batches), own * len(plan.scenarios) * len(plan.sites)

    @property
    def dtype(self) -> np.dtype:
        """Precision of the study."""
        return np.dtype(np.float64 if self.batches[0].plan.float64 else np.float32)

    def __getitem__(self, members: slice) -> np.ndarray:
        """Outputs of some members, (members, columns)."""
        start, stop, _ = members.indices(self.shape[0])
        return np.concatenate(list(self._parts(start, stop)))

    def with_batch(self, batch: Batch) -> Members:
        """The members of one more batch after these."""
        return Members(self.store, (*self.batches, batch))

    def _parts(self, start: int, stop: int) -> Iterator[np.ndarray]:
        first = 0
        for batch in self.batches:
            size = batch.plan.tiling.tile_members
            for block in range(batch.plan.tiling.blocks[0]):
                end = first + min(size, batch.plan.members - block * size)
                if start < end and stop > first:
                    yield self._block(batch, block)[max(start - first, 0) : stop - first]
                first = end

    def _block(self, batch: Batch, block: int) -> np.ndarray:
        here = batch.stage, block
        if self._kept is None or self._kept[0] != here:
            self._kept = None  # the last one goes before the next one comes
            self._kept = here, _read_block(self.store, batch, block)
        return self._kept[1]


def _read_block(store: StoreWriter, batch: Batch, block: int) -> np.ndarray:
    """Outputs (members, columns) of one block of members at all sites."""
    plan, name = batch.plan, batch.stage
    across = plan.tiling.blocks[1]
    tiles = [store.read_tile(name, block * across + k) for k in range(across)]
    failed = np.concatenate([tile[f"{name}/failed"] for tile in tiles], axis=1)[:, None] > 0
    columns = []
    for spec in plan.outputs:
        values = np.concatenate([tile[f"{name}/{spec.name}"] for tile in tiles], axis=2)
        lost = failed.reshape(*failed.shape, *(1,) * len(spec.dims))
        columns.append(np.where(lost, np.nan, values).reshape(len(values), -1))
    return np.concatenate(columns, axis=1)


def compute_batch(
    plan: Plan,
    design: PickFreezeDesign,
    first_row: int,
    outputs: tuple[OutputSpec, ...],
    number: int,
    store: StoreWriter,
    quiet: bool,
) -> Batch:
    """Compute what is missing of the rows from ``first_row`` on.

    Raises:
        StoreRefused: the store holds members of another design.
    """
    part = design.continuation(first_row) if first_row else design
    batch = Batch(with_design(plan, part, outputs), part, f"{GROUP}/members" + (f"_{number + 1}" if number else ""))
    plan, _, name = batch
    store.add_stage(_stage(plan, name))
    entries = store.entries(name)
    missing = [tile for tile in range(plan.tiling.count) if tile not in entries]
    done = sum(entry.pairs for entry in entries.values())
    title, pairs = f"{plan.study.name}, decomposition", plan.members * len(plan.sites)
    with progress(title, pairs, done, "members", quiet) as advance:
        for result in propagate(plan, missing):
            arrays = {f"{name}/{output}": values for output, values in result.outputs.items()}
            store.write_tile(name, result.tile.index, arrays | {f"{name}/failed": result.failed.astype(np.uint8)})
            advance(result.failed.size)
    if store.dataset(name).attrs["design_digest"] != plan.design.digest():
        raise StoreRefused(f"{name} of {store.path} holds members of another design; choose another store or remove it")
    return batch


def _stage(plan: Plan, name: str) -> Stage:
    """The members of a decomposition; their draws follow from the design, whose digest they carry."""
    tiling = Tiling(
        {"member": plan.tiling.tile_members, "site": plan.tiling.tile_sites},
        {"member": plan.members, "site": len(plan.sites)},
    )
    shape = (plan.members, len(plan.scenarios), len(plan.sites))
    dtype = "float64" if plan.float64 else "float32"
    arrays = [
        ArrayTemplate(
            f"{name}/{spec.name}",
            ("member", "scenario", "site", *spec.dims),
            (*shape, *plan.output_shape(spec)),
            dtype,
            cf_attributes(spec),
        )
        for spec in plan.outputs
    ]
    arrays.append(ArrayTemplate(f"{name}/failed", ("member", "site"), (plan.members, len(plan.sites)), "uint8"))
    attributes = {"design": plan.design.kind, "design_digest": plan.design.digest(), "comment": plan.design.note}
    coordinates = {name: coordinates_of(plan, plan.members).assign_attrs(attributes)}
    return Stage(name, tiling, tuple(arrays), coordinates, {name: {}}, f"{name}/failed")
