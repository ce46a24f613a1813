"""Bins of the histograms that stand in for members that are not kept.

They are fixed by a pilot of the first members before the store is made, and kept in it, so that every tile,
worker and resumed run counts into the same bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ensemble.plan import Plan
from ensemble.plan.tiling import HISTOGRAM_BINS, Tiling
from ensemble.propagate import propagate
from ensemble.store import Place, is_there, open_store
from ensemble.summary import Bins, pilot_bins

GROUP = "bins"
PILOT_MEMBERS = 256


@dataclass(frozen=True)
class Histograms:
    """Bins by output; none where members are kept."""

    bins: Mapping[str, Bins]

    @property
    def number(self) -> int:
        """Bins of each histogram; 0 for none."""
        return next(iter(self.bins.values())).number if self.bins else 0

    def dataset(self) -> xr.Dataset:
        """As it is stored: ``<output>_low`` and ``<output>_width``."""
        variables = {}
        for name, entry in self.bins.items():
            dims = tuple(f"{name}_axis_{axis}" for axis in range(entry.low.ndim))
            variables[f"{name}_low"] = (dims, entry.low, {"long_name": "lower end of the first bin"})
            variables[f"{name}_width"] = (dims, entry.width, {"long_name": "width of a bin"})
        return xr.Dataset(variables, attrs={"bins": self.number})


def bins_for(plan: Plan, path: Place) -> Histograms:
    """Bins of a plan: none, those of the store that is there, or those of a pilot."""
    if plan.keep_members:
        return Histograms({})
    if is_there(path / GROUP):
        data = open_store(path).dataset(GROUP)
        names = [spec.name for spec in plan.stored_outputs]
        number = int(data.attrs["bins"])
        return Histograms({n: Bins(data[f"{n}_low"].values, data[f"{n}_width"].values, number) for n in names})
    return _pilot(plan)


def _pilot(plan: Plan) -> Histograms:
    members = min(plan.most_members, PILOT_MEMBERS)
    small = replace(plan, tiling=Tiling(members, len(plan.sites), members, plan.tiling.tile_sites))
    found: dict[str, list[Bins]] = {}
    for result in propagate(small, range(small.tiling.count)):
        for name, values in result.outputs.items():
            found.setdefault(name, []).append(pilot_bins(values, result.failed, HISTOGRAM_BINS))
    return Histograms(
        {
            name: Bins(
                np.concatenate([b.low for b in blocks], axis=1),
                np.concatenate([b.width for b in blocks], axis=1),
                HISTOGRAM_BINS,
            )
            for name, blocks in found.items()
        }
    )
