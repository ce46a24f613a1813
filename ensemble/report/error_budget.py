"""Report section of the error budget: each source alone, their linear sum of maxima, their sum in quadrature, the ensemble."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ensemble.report.content import Section, Table
from ensemble.report.numbers import MISSING, number, percent

# Half-width of a 95 % interval of a normal error, in standard deviations.
REACH = 1.959964
Rows = tuple[tuple[str, ...], ...]


def error_budget_section(
    decomposition: xr.Dataset, statistics: xr.Dataset, output: str, titles: Mapping[str, str] | None = None
) -> Section | None:
    """What each source of error adds, and what the three ways of adding them up give.

    A sum of maxima (every error at its limit, all in the same direction, as the uncertainty in Zhang et al. 2022)
    is an upper bound that no interval of a stated level corresponds to; it is shown beside the propagated error.

    Args:
        decomposition: ``/decomposition`` or ``/decomposition_of_totals``, with ``<output>_first_order`` and
            ``<output>_variance``.
        statistics: ``<output>_mean`` and ``<output>_sd`` of the same: ``/statistics``, or those of totals.
        output: the output.
        titles: what scenarios are called.

    Returns:
        The section, at the first site (or of all sites together) and last record; ``None`` where the output was not decomposed.
    """
    if f"{output}_first_order" not in decomposition or f"{output}_mean" not in statistics:
        return None
    titles = dict(titles or {})
    tables = []
    sentences = []
    several = decomposition.sizes["scenario"] > 1
    for arm in decomposition["scenario"].values:
        title = titles.get(str(arm), str(arm))
        rows, sums = _rows(decomposition, statistics, output, str(arm))
        unit = statistics[f"{output}_mean"].attrs.get("display_units", "")
        header = ("source", f"sd alone ({unit})", "half-width, % of the mean", "share of the variance")
        note = "Half-widths are 1.96 standard deviations."
        tables.append(Table(header, rows, f"{title}. {note}" if several else note))
        sentences.append(
            f"{f'{title}: sum' if several else 'Sum'} of maxima {percent(sums[0])}, in quadrature {percent(sums[1])}, ensemble {percent(sums[2])} of the mean"
        )
    lead = "; ".join(sentences) + "."
    note = "The sum of maxima takes every error at its limit and all in one direction; it has no level of confidence. Structural choices are sources too."
    title = "Error budget of the regional total" if "class" in decomposition.dims else "Error budget"
    return Section(title, lead, tables=tuple(tables), notes=(note,))


def _rows(
    decomposition: xr.Dataset, statistics: xr.Dataset, output: str, arm: str
) -> tuple[Rows, tuple[float, float, float]]:
    here = _last(decomposition.sel(scenario=arm))
    whole = _last(statistics.sel(scenario=arm))
    mean, sd = (abs(float(whole[f"{output}_{what}"])) for what in ("mean", "sd"))
    share = np.clip(np.nan_to_num(here[f"{output}_first_order"].values), 0.0, None)
    alone = np.sqrt(share * float(here[f"{output}_variance"]))
    rows = [
        (str(label).replace("_", " "), number(float(one)), percent(float(REACH * one / mean)), percent(float(part)))
        for label, one, part in sorted(
            zip(here["parameter"].values, alone, share, strict=True), key=lambda entry: -float(entry[1])
        )
    ]
    linear, quadrature = float(alone.sum()), float(np.sqrt((alone**2).sum()))
    for label, total in (("sum of maxima (linear)", linear), ("in quadrature", quadrature), ("ensemble", sd)):
        rows.append((label, number(total), percent(REACH * total / mean), MISSING))
    scale = REACH / mean
    return tuple(rows), (scale * linear, scale * quadrature, scale * sd)


def _last(data: xr.Dataset) -> xr.Dataset:
    data = data.isel({dim: 0 for dim in ("site", "class") if dim in data.dims})
    return data.isel({dim: -1 for dim in ("time", "depth") if dim in data.dims})
