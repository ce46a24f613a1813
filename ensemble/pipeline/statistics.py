"""From finished tiles to the group ``/statistics``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

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

# Summaries of blocks of sites are merged side by side up to this many bytes; their statistics take some times that.
BLOCK_BYTES = 32 * 2**20
# Gradients are taken one site after another; maps of more sites go without, which would take longer than their members.
LINEARISED_SITES = 2000


def statistics_of(plan: Plan, store: Store, bins: Mapping[str, Bins]) -> Iterator[xr.Dataset]:
    """Mean, sd, quantiles and probabilities of every output, each with its standard error, and the delta check.

    They come in blocks of sites, in order, so that memory does not grow with the number of sites.
    """
    for sites, data in member_statistics(plan, store, bins):
        yield data.assign(_first_order(plan, sites))


def member_statistics(plan: Plan, store: Store, bins: Mapping[str, Bins]) -> Iterator[tuple[slice, xr.Dataset]]:
    """Which sites, and the same without the delta check: from finished tiles alone."""
    specs = {spec.name: spec for spec in plan.stored_outputs}
    above = plan.study.record.outputs.above
    members = store.dataset("members", without=("site",))
    for columns in _columns_at_once(plan, bins):
        summaries = _merged(plan, store, bins, columns)
        first = columns[0] * plan.tiling.tile_sites
        sites = slice(first, min(first + len(columns) * plan.tiling.tile_sites, len(plan.sites)))
        here = coordinates_of(plan, sites=sites)
        coordinates = {str(name): here.coords[name] for name in here.coords}
        quantiles = {name: _quantiles(plan, members, name, summary, bins, sites) for name, summary in summaries.items()}
        yield sites, statistics_dataset(summaries, specs, coordinates, quantiles, above)


def _columns_at_once(plan: Plan, bins: Mapping[str, Bins]) -> Iterator[range]:
    """Blocks of sites of the tiling, as many at once as fit; all of a small study."""
    number = next(iter(bins.values())).number if bins else 0
    column = 8 * sum(packing_of(plan, spec.name, number).length for spec in plan.stored_outputs)
    count, step = plan.tiling.blocks[1], max(1, BLOCK_BYTES // column)
    for start in range(0, count, step):
        yield range(start, min(start + step, count))


def _merged(plan: Plan, store: Store, bins: Mapping[str, Bins], columns: Sequence[int]) -> dict[str, Summary]:
    """Summaries of all members, merged in tile order within each block of sites, then side by side."""
    member_blocks, site_blocks = plan.tiling.blocks
    number = next(iter(bins.values())).number if bins else 0
    packings = {spec.name: packing_of(plan, spec.name, number) for spec in plan.stored_outputs}

    def read(tile: int) -> dict[str, Summary]:
        vectors = store.read_tile(STAGE, tile, [f"tiles/{name}" for name in packings])
        return {name: packing.unpack(vectors[f"tiles/{name}"][0]) for name, packing in packings.items()}

    blocks = []
    for block in columns:
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


def _quantiles(
    plan: Plan, members: xr.Dataset, name: str, summary: Summary, bins: Mapping[str, Bins], sites: slice
) -> Quantiles:
    levels = tuple(sorted(plan.study.record.outputs.quantiles))
    if bins:
        return histogram_quantiles(summary.histogram, bins[name].at(sites), summary.minimum, summary.maximum, levels)
    replicate = plan.design.replicate(np.arange(plan.members))
    failed = members[FLAGS.rpartition("/")[2]].isel(site=sites)
    return stored_quantiles(members[name].isel(site=sites), failed, replicate, plan.design.replicates, levels)


def _first_order(plan: Plan, sites: slice) -> dict[str, xr.Variable]:
    """Delta standard deviation of every output at some sites, and what each input contributes; not for large maps."""
    flat = linearise(plan, sites) if len(plan.sites) <= LINEARISED_SITES else None
    if flat is None:
        return {}
    variables = {"parameter": xr.Variable("parameter", np.array(flat.labels), {"long_name": "uncertain input"})}
    for spec in plan.outputs:
        moved = first_order_contributions(flat.jacobian[spec.name], flat.sd[:, None])
        sd = delta_sd(moved, flat.correlation)  # of draws in units of their standard deviation
        dims = ("scenario", "site", *spec.dims)
        note = {"comment": "first order, from the model's gradients; noise series and weather are not in it"}
        attributes = cf_attributes(spec) | note
        attributes.pop("standard_name", None)
        variables[f"{spec.name}_sd_delta"] = xr.Variable(dims, sd, attributes)
        one_sd = attributes | {"long_name": f"change of {spec.long_name} for one standard deviation of an input"}
        variables[f"{spec.name}_first_order"] = xr.Variable(("parameter", *dims), moved, one_sd)
    return variables
