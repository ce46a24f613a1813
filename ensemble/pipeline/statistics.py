"""From finished tiles to the group ``/statistics``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from ensemble.linearise import linearise
from ensemble.pipeline.layout import FLAGS, STAGE, coordinates_of, packing_of
from ensemble.plan import Plan
from ensemble.store import Store
from ensemble.summary import (
    Bins,
    Quantiles,
    Summary,
    cf_attributes,
    delta_sd,
    first_order_contributions,
    histogram_quantiles,
    join_sites,
    merge,
    statistics_dataset,
    stored_quantiles,
)


def statistics_of(plan: Plan, store: Store, bins: Mapping[str, Bins]) -> xr.Dataset:
    """Mean, sd, quantiles and probabilities of every output, each with its standard error, and the delta check."""
    summaries = _merged(plan, store, bins)
    specs = {spec.name: spec for spec in plan.stored_outputs}
    known = coordinates_of(plan).drop_vars("member").coords
    coordinates = {str(name): known[name] for name in known}
    quantiles = {name: _quantiles(plan, store, name, summary, bins) for name, summary in summaries.items()}
    above = plan.study.record.outputs.above
    data = statistics_dataset(summaries, specs, coordinates, quantiles, above)
    return data.assign(_first_order(plan))


def _merged(plan: Plan, store: Store, bins: Mapping[str, Bins]) -> dict[str, Summary]:
    """Summaries of all members, merged in tile order within each block of sites, then side by side."""
    member_blocks, site_blocks = plan.tiling.blocks
    number = next(iter(bins.values())).number if bins else 0
    packings = {spec.name: packing_of(plan, spec.name, number) for spec in plan.stored_outputs}

    def read(tile: int) -> dict[str, Summary]:
        vectors = store.read_tile(STAGE, tile, [f"tiles/{name}" for name in packings])
        return {name: packing.unpack(vectors[f"tiles/{name}"][0]) for name, packing in packings.items()}

    blocks = []
    for block in range(site_blocks):
        merged = merge([row * site_blocks + block for row in range(member_blocks)], read)
        real = plan.tile(block).sites
        blocks.append({name: _first_sites(summary, real) for name, summary in merged.items()})
    return join_sites(blocks)


def _first_sites(summary: Summary, sites: int) -> Summary:
    """Cut the empty sites that fill up a short last tile."""
    here = slice(sites)
    return Summary(
        summary.count[:, here],
        summary.failed[here],
        summary.mean[:, :, here],
        summary.m2[:, :, here],
        summary.minimum[:, here],
        summary.maximum[:, here],
        summary.above[:, :, :, here],
        summary.histogram[:, here],
    )


def _quantiles(plan: Plan, store: Store, name: str, summary: Summary, bins: Mapping[str, Bins]) -> Quantiles:
    levels = tuple(sorted(plan.study.record.outputs.quantiles))
    if bins:
        return histogram_quantiles(summary.histogram, bins[name], summary.minimum, summary.maximum, levels)
    group = store.dataset("members")
    replicate = plan.design.replicate(np.arange(plan.members))
    failed = group[FLAGS.rpartition("/")[2]].values
    return stored_quantiles(group[name], failed, replicate, plan.design.replicates, levels)


def _first_order(plan: Plan) -> dict[str, xr.Variable]:
    """Delta standard deviation of every output, and what each input contributes to it."""
    flat = linearise(plan)
    if flat is None:
        return {}
    variables = {"parameter": xr.Variable("parameter", np.array(flat.labels), {"long_name": "uncertain input"})}
    for spec in plan.outputs:
        jacobian = flat.jacobian[spec.name]
        sites = range(jacobian.shape[2])
        sd = np.stack([delta_sd(jacobian[:, :, site], flat.covariance(site)) for site in sites], axis=1)
        by_site = [first_order_contributions(jacobian[:, :, site], flat.sd[:, site]) for site in sites]
        dims = ("scenario", "site", *spec.dims)
        note = {"comment": "first order, from the model's gradients; noise series and weather are not in it"}
        attributes = cf_attributes(spec) | note
        attributes.pop("standard_name", None)
        variables[f"{spec.name}_sd_delta"] = xr.Variable(dims, sd, attributes)
        one_sd = attributes | {"long_name": f"change of {spec.long_name} for one standard deviation of an input"}
        variables[f"{spec.name}_first_order"] = xr.Variable(("parameter", *dims), np.stack(by_site, axis=2), one_sd)
    return variables
