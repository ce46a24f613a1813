"""Which input causes the variance of a region's total: the members of the decomposition, summed over sites.

Errors that sites share, or that are alike in space, weigh more in the total than at a site, and errors of each
site's own nearly vanish in it; the shares of the total cannot be had from those of the sites.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ensemble.config.stages import Decompose
from ensemble.inference.decomposition import Decomposition
from ensemble.inference.decomposition.sample import Outputs
from ensemble.pipeline.decomposition_layout import Columns, coordinates_for, decomposition_dataset
from ensemble.pipeline.totals import ALL, regions_of
from ensemble.plan import Plan

GROUP = "decomposition_of_totals"


@dataclass(frozen=True)
class Totalled:
    """Totals (members, columns) of one output by scenario, class and record, from the outputs of all sites.

    A member that failed at any site has no total.

    Args:
        outputs: outputs of all sites.
        first: column of ``outputs`` at which the output begins.
        shape_of: its scenarios, sites and own axes.
        weights: (sites, classes).
    """

    outputs: Outputs
    first: int
    shape_of: tuple[int, ...]
    weights: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Members and columns."""
        return self.outputs.shape[0], int(np.prod(self.shape_of)) // self.shape_of[1] * self.weights.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Precision of the outputs."""
        return np.dtype(self.outputs.dtype)

    def __getitem__(self, members: slice) -> np.ndarray:
        """Totals of some members, (members, columns)."""
        values = self.outputs[members][:, self.first : self.first + int(np.prod(self.shape_of))]
        values = values.reshape(len(values), *self.shape_of).astype(np.float64)
        return np.einsum("masr,sc->macr", values.reshape(*values.shape[:3], -1), self.weights).reshape(len(values), -1)


def totals_columns(plan: Plan, columns: Columns) -> Columns | None:
    """Columns of the totals; ``None`` where the study wants none of an output that is decomposed."""
    if plan.study.record.totals is None:
        return None
    regions = regions_of(plan)
    names = [spec.name for spec in columns.outputs]
    if regions.output.name not in names:
        return None
    shape = columns.shapes[names.index(regions.output.name)]
    spec = replace(regions.output, long_name=f"total of {regions.output.long_name}", units="t C")
    made = Columns.of((spec,), [(shape[0], len(regions.classes), *shape[2:])])
    return replace(made, sites=np.zeros_like(made.sites))


def totalled(plan: Plan, columns: Columns, outputs: Outputs) -> Totalled:
    """The totals of the members of a decomposition, t C."""
    regions = regions_of(plan)
    position = [spec.name for spec in columns.outputs].index(regions.output.name)
    first = sum(int(np.prod(shape)) for shape in columns.shapes[:position])
    return Totalled(outputs, first, columns.shapes[position], regions.weights)


def totals_dataset(plan: Plan, columns: Columns, found: Decomposition, settings: Decompose) -> xr.Dataset:
    """The group ``/decomposition_of_totals``: as ``/decomposition``, with classes of sites in place of sites."""
    here = coordinates_for(plan, columns)
    here = here.drop_vars([name for name, values in here.coords.items() if "site" in values.dims])
    named = here.assign_coords(
        site=("site", list(regions_of(plan).classes), {"long_name": f"class of sites, or {ALL}"})
    )
    return (
        decomposition_dataset(columns, found, settings, named).rename(site="class").assign_attrs(what="regional total")
    )
