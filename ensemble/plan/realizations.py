"""Realisations of learned maps as uncertain inputs: a member uses one realisation, of all maps and at all sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.plan.bind import BaseInputs, BoundModel
from ensemble.plan.posterior import PosteriorDraw
from ensemble.units import conversion

GROUP = "realizations"
CHECKED_SITES = 4096  # whose values are compared with the physical range


@dataclass(frozen=True)
class MapDraw(PosteriorDraw):
    """An input that is a map; a member reads one realisation of it, from the store of the maps.

    Args:
        joint: name of the stream: all maps of one store use the same realisation.
        draws: ``(realization,)`` at the first site, in internal units; their correlation stands for that of all sites.
        values_of: ``(realization, site)``, lazy, in the map's unit; ``None`` while the maps are not learned.
        order: ``(realization,)`` number of the realisation of each rank, by the regional total, so that neighbouring
            members of a Sobol design get neighbouring realisations.
        spread: ``(site,)`` standard deviation in internal units.
        trusted: ``(site,)`` whether the site lies inside the area of applicability.
        note: what was done to values beyond the physical range; empty where there are none.
    """

    values_of: Any = None
    order: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    spread: np.ndarray = field(default_factory=lambda: np.empty(0))
    trusted: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    note: str = ""

    def values(self, uniforms: np.ndarray, sites: np.ndarray) -> np.ndarray:
        """Realisations in internal units, ``(members, sites)``; their ranks are spread as evenly as the design is."""
        rank = np.minimum((uniforms[:, 0] * len(self.order)).astype(np.int64), len(self.order) - 1)
        drawn, place = np.unique(self.order[rank], return_inverse=True)
        there, back = np.unique(sites, return_inverse=True)
        block = self.values_of.isel(realization=drawn, site=there).values
        values = np.asarray(block, np.float64)[np.ix_(place, back)] * self.factor + self.offset
        return np.clip(values, *self.support)

    def sd(self) -> np.ndarray:
        """Standard deviation at each site."""
        return self.spread


def read_realizations(
    study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain
) -> list[MapDraw]:
    """Every map of a store whose name is an input of the model.

    Raises:
        InputError: there are no such maps, or they are of other sites.
    """
    assert entry.realizations is not None
    key, store = ("uncertain", label), study.path(entry.realizations)
    learn = study.record.mapping.learn if study.record.mapping else None
    if not (store / "skill" / "zarr.json").is_file():
        if learn is None:
            raise study.error(key, f"there are no finished maps in {store}; run `ensemble map` first")
        return [_unlearned(study, bound, label, name) for name in learn.targets if name in bound.specs]
    try:
        return _learned(bound, base.sites.names, label, store)
    except ValueError as error:
        raise study.error(key, str(error)) from None


def _unlearned(study: StudyFile, bound: BoundModel, label: str, name: str) -> MapDraw:
    """A map that this study is still to learn: everything but its values can be checked."""
    spec = bound.specs[name]
    return MapDraw(name, name, "value", "member", np.full(1, np.nan), spec.support, joint=label)


def _learned(bound: BoundModel, sites: Sequence[str], label: str, store: Path) -> list[MapDraw]:
    drawn = xr.open_zarr(store, group=GROUP, consolidated=False)
    maps = xr.open_zarr(store, group="maps", consolidated=False)
    if [str(s) for s in drawn["site"].values] != list(sites):
        raise ValueError(f"the maps in {store} are of other sites than this study's")
    rank = xr.open_zarr(store, group="map_totals", consolidated=False)["rank"].values
    trusted, found = maps["applicable"].values > 0, []
    for name in drawn.data_vars:
        if name not in bound.specs:
            continue
        spec, array = bound.specs[str(name)], drawn[name]
        if spec.dims:
            raise ValueError(f"{name} is a series; a map can only be a number at each site")
        factor, offset = conversion(array.attrs.get("display_units", array.attrs["units"]), spec.units)
        first = array.isel(site=slice(0, CHECKED_SITES)).values * factor + offset
        beyond = float(((first < spec.support[0]) | (first > spec.support[1])).mean())
        note = (
            f"{100 * beyond:.2g} % of its realisations lie beyond the physical range and are set to its limit"
            if beyond
            else ""
        )
        mean, sd = (maps[f"{name}_{kind}"].values.astype(float) for kind in ("mean", "sd"))
        found.append(
            MapDraw(
                str(name), spec.name, "value", "member", mean * factor + offset, spec.support, None, factor, offset,
                label, first[:, 0], array, np.argsort(rank), sd * factor, trusted, note,
            )
        )  # fmt: skip
    if not found:
        raise ValueError(f"none of the maps {', '.join(map(str, drawn.data_vars))} is an input of {bound.model.name}")
    return found
