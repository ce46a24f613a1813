"""The public API: the command line in three lines of Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xarray as xr

from ensemble.pipeline import decompose_plan, describe_plan, load_plan, run_plan, store_of
from ensemble.plan import Plan
from ensemble.store import Place, StageStatus, Store, open_store, store_status


@dataclass(frozen=True)
class Study:
    """A study that was read, bound to its model and checked.

    Args:
        plan: what a run of it would do.
    """

    plan: Plan

    @property
    def default_store(self) -> Place:
        """Where :meth:`run` writes when it is not told."""
        return store_of(self.plan)

    def describe(self) -> str:
        """The plan in words, as `ensemble validate` prints it."""
        return "\n".join(describe_plan(self.plan, self.default_store))

    def run(self, out: Place | str | None = None, quiet: bool = False) -> Result:
        """Compute what is missing in a store, and open it.

        Args:
            out: the store; ``results/STUDY.zarr`` by default.
            quiet: show no progress.

        Raises:
            StoreRefused: the store belongs to another study, platform or process, or cannot be written.
            Stopped: more members failed than the study allows.
        """
        path = store_of(self.plan, out)
        run_plan(self.plan, path, quiet=quiet)
        return open_result(path)

    def decompose(self, out: Place | str | None = None, quiet: bool = False) -> Result:
        """Only the decomposition that the study asks for; arguments and refusals as in :meth:`run`."""
        path = store_of(self.plan, out)
        decompose_plan(self.plan, path, quiet=quiet)
        return open_result(path)


@dataclass(frozen=True)
class Result:
    """A store, read lazily.

    Args:
        store: the store.
    """

    store: Store

    @property
    def path(self) -> Place:
        """Where it lies."""
        return self.store.path

    @cached_property
    def members(self) -> xr.Dataset:
        """Outputs of every member: dims member, scenario, site, and depth and time as they apply."""
        return self.store.dataset("members")

    @cached_property
    def inputs(self) -> xr.Dataset:
        """What every member drew."""
        return self.store.dataset("inputs")

    @cached_property
    def statistics(self) -> xr.Dataset:
        """Mean, sd, quantiles and probabilities over members, each with its standard error."""
        return self.store.dataset("statistics")

    @cached_property
    def tree(self) -> xr.DataTree:
        """Everything, as one tree."""
        return self.store.tree()

    @property
    def status(self) -> StageStatus:
        """Progress and failed members."""
        return next(stage for stage in store_status(self.path).stages if stage.stage == "members")


def load(path: Path | str, overrides: Sequence[str] = (), seed: int | None = None, members: int | None = None) -> Study:
    """Read and check a study.

    Args:
        path: study file.
        overrides: ``key=value`` texts, as ``--set`` takes them.
        seed, members: replace those of the study.

    Raises:
        InputError: anything is wrong with it; one sentence names file, line, key and what is allowed.
    """
    return Study(load_plan(path, overrides, seed, members))


def open_result(path: Place | str) -> Result:
    """Open a store that a run left behind.

    Raises:
        StoreRefused: there is none, or another version of the format made it.
    """
    return Result(open_store(path))
