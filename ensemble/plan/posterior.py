"""The joint posterior of a calibration as an uncertain input: all its numbers of one draw stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from ensemble.config import StudyFile
from ensemble.config.uncertain import Uncertain
from ensemble.plan.bind import BaseInputs, BoundModel
from ensemble.plan.scalars import ScalarDraw

GROUP = "calibration/posterior"


@dataclass(frozen=True)
class PosteriorNumber:
    """One number of a posterior.

    Args:
        input, how: the input it acts on, and whether it replaces, is added to, or multiplies it.
        draws: in internal units, (draws,) or (draws, sites).
    """

    input: str
    how: Literal["value", "offset", "factor"]
    draws: np.ndarray


@dataclass(frozen=True)
class PosteriorDraw(ScalarDraw):
    """A number that is drawn from a joint posterior, together with all others of the same posterior.

    Args:
        joint: name of the posterior's stream: all its numbers use the same draw of it.
        draws: posterior draws in internal units, (draws,) or (draws, sites).
    """

    joint: str = ""
    draws: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def stream(self) -> str:
        """Stream of the posterior it belongs to."""
        return self.joint

    def values(self, uniforms: np.ndarray, sites: np.ndarray) -> np.ndarray:
        """Draws in internal units, (members, 1) or (members, sites); uniforms as in :class:`ensemble.plan.scalars.ScalarDraw`."""
        index = np.minimum((uniforms[:, 0] * len(self.draws)).astype(np.int64), len(self.draws) - 1)
        chosen = self.draws[index]
        return chosen[:, None] if chosen.ndim == 1 else chosen[:, sites]

    def sd(self) -> np.ndarray:
        """Standard deviation of the draws, () or (sites,)."""
        return self.draws.std(axis=0, ddof=1)


def read_posterior(
    study: StudyFile, bound: BoundModel, base: BaseInputs, label: str, entry: Uncertain
) -> list[PosteriorDraw]:
    """The numbers of a joint posterior, each bound to its input.

    Raises:
        InputError: there is no such posterior, it failed its gate, or it does not fit the study.
    """
    key = ("uncertain", label)
    assert entry.posterior is not None
    try:
        found = load_posterior(study.path(entry.posterior), base.sites.names, entry.unchecked)
    except ValueError as error:
        raise study.error(key, str(error)) from None
    specs, drawn = {**bound.specs, **bound.derived_specs}, []
    for name, number in found.items():
        if number.input not in specs:
            text = f"the posterior has the input '{number.input}', which {bound.model.name} does not read here"
            raise study.error(key, text)
        spec = specs[number.input]
        drawn.append(
            PosteriorDraw(
                name,
                spec.name,
                number.how,
                "member",
                number.draws.mean(axis=0),
                spec.support,
                joint=label,
                draws=number.draws,
            )
        )
    return drawn


def load_posterior(store: Path, sites: Sequence[str], unchecked: bool = False) -> dict[str, PosteriorNumber]:
    """Read a posterior.

    Draws are put in the order of their first principal component, so that neighbouring members of a Sobol design get
    neighbouring draws; every draw is used equally often.

    Args:
        store: store of a calibration.
        sites: of the study; needed where a number differs by site.
        unchecked: use it although its diagnostics failed.

    Raises:
        ValueError: there is no finished calibration, it failed, or it lacks a site.
    """
    if not (store / "calibration_checks" / "zarr.json").is_file():
        raise ValueError(f"there is no finished calibration in {store}; run `ensemble calibrate` first")
    data = xr.open_zarr(store, group=GROUP, consolidated=False).load()
    if not data.attrs["passed"] and not unchecked:
        raise ValueError(
            f"the posterior in {store} failed its diagnostics and must not be used; "
            "calibrate again, or say {posterior: STORE, unchecked: true}"
        )
    found = {}
    for name, array in data.data_vars.items():
        if array.attrs["kind"] != "input":
            continue
        stacked = array.stack(sample=("chain", "draw"), create_index=False).transpose("sample", ...)
        if "site" in stacked.dims:
            known = [str(site) for site in data["site"].values]
            missing = [site for site in sites if site not in known]
            if missing:
                raise ValueError(
                    f"'{name}' was calibrated by site and the posterior has no site '{missing[0]}'; allowed: {', '.join(known)}"
                )
            stacked = stacked.isel(site=[known.index(site) for site in sites])
        found[str(name)] = PosteriorNumber(array.attrs["input"], array.attrs["how"], stacked.values)
    order = _order([number.draws for number in found.values()])
    return {name: PosteriorNumber(n.input, n.how, n.draws[order]) for name, n in found.items()}


def _order(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Order of the draws along their first principal component."""
    table = np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
    spread = table.std(axis=0)
    table = (table - table.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    return np.argsort(table @ np.linalg.svd(table, full_matrices=False)[2][0], kind="stable")
