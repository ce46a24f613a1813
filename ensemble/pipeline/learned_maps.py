"""What the store says of the maps themselves: statistics of realisations, where not to trust them, totals, new sites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from ensemble.config.learning import Learn
from ensemble.inputs.sources import SiteTable
from ensemble.mapping.averaging import stacked_weights
from ensemble.mapping.learning.applicability import Applicability, applicability
from ensemble.mapping.learning.checking import REPEATS_OF_PAPER
from ensemble.mapping.learning.metrics import skill
from ensemble.mapping.learning.next_samples import next_samples
from ensemble.mapping.learning.samples import Material, Sites
from ensemble.mapping.learning.trees import fit_trees, tree_tables
from ensemble.mapping.totals import TotalsState, add_block, finish_totals, start_totals
from ensemble.mapping.zoning import INSIDE, OUTSIDE, zone_flags, zone_map
from ensemble.pipeline.layout import places_of
from ensemble.pipeline.learned_skill import ALL, TargetResult
from ensemble.store import StoreWriter
from ensemble.units import conversion

REALIZATIONS = "realizations"
SITES_IN_TILE = 16384
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WEIGHTINGS = ("arithmetic", "R2", "stacked")


def map_groups(
    store: StoreWriter,
    sites: SiteTable,
    material: Material,
    results: tuple[TargetResult, ...],
    wanted: Learn,
    seed: int,
) -> dict[str, xr.Dataset]:
    """The groups ``maps``, ``map_totals`` and ``next_samples``."""
    assert material.sites is not None
    trusted = _trusted(material, results)
    maps, totals, ranks = _maps_and_totals(store, sites, material.sites, results, wanted, trusted)
    found = {
        "maps": maps.assign(_more(material, results, trusted, maps, seed)),
        "map_totals": totals.assign(rank=ranks),
    }
    if wanted.next_samples:
        found["next_samples"] = _next(material, results, wanted, seed)
    return found


def _trusted(material: Material, results: tuple[TargetResult, ...]) -> Applicability:
    """Area of applicability by the mean importance over targets."""
    assert material.sites is not None
    importance = np.mean([r.learned.validation.gains.mean(axis=(0, 1)) for r in results], axis=0)
    samples, sites = material.samples, material.sites
    folds = results[0].learned.validation.folds[0]
    return applicability(samples.x, sites.x, importance, folds, samples.km, sites.km)


def _classes(sites: Sites, trusted: Applicability) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names of classes, and by labelling the class of each site: land use, and whether the map can be trusted."""
    labels = sites.classes or (ALL,) * len(sites.km)
    names = tuple(dict.fromkeys(labels))
    number = {name: k for k, name in enumerate(names)}
    return names, [np.array([number[c] for c in labels]), np.where(trusted.inside, 0, 1)]


def _blocks(store: StoreWriter, sites: int, names: list[str]) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """All realisations of one block of sites after another."""
    data = store.dataset(REALIZATIONS)
    for start in range(0, sites, SITES_IN_TILE):
        here = slice(start, min(start + SITES_IN_TILE, sites))
        yield here, {name: data[name].isel(site=here).values for name in names}


def _maps_and_totals(
    store: StoreWriter,
    table: SiteTable,
    sites: Sites,
    results: tuple[TargetResult, ...],
    wanted: Learn,
    trusted: Applicability,
) -> tuple[xr.Dataset, xr.Dataset, Any]:
    names = [r.name for r in results]
    averages = _averages(results, wanted)
    labels, numbers = _classes(sites, trusted)
    keys = [*names, *averages]
    states = {
        key: [start_totals(wanted.realizations, len(labels)), start_totals(wanted.realizations, 2)] for key in keys
    }
    layers = {f"{n}_{kind}": np.empty(len(sites.km), np.float32) for n in keys for kind in ("mean", "sd")}
    layers |= {f"{n}_quantile": np.empty((len(QUANTILES), len(sites.km)), np.float32) for n in names}  # type: ignore[dict-item]
    layers |= {f"{r.name}_above_{t:g}": np.empty(len(sites.km), np.float32) for r in results for t in r.entry.above}
    for here, block in _blocks(store, len(sites.km), names):
        for key, weights in averages.items():
            block[key] = np.tensordot(weights, np.stack([block[n] for n in wanted.average]), axes=1)
        for key, values in block.items():
            layers[f"{key}_mean"][here], layers[f"{key}_sd"][here] = values.mean(axis=0), values.std(axis=0, ddof=1)
            states[key] = [
                add_block(s, values, sites.areas[here], c[here]) for s, c in zip(states[key], numbers, strict=True)
            ]
        for result in results:
            layers[f"{result.name}_quantile"][:, here] = np.quantile(block[result.name], QUANTILES, axis=0)
            for level in result.entry.above:
                layers[f"{result.name}_above_{level:g}"][here] = (block[result.name] > level).mean(axis=0)
    units = {r.name: r.entry.units for r in results} | {key: results[0].entry.units for key in averages}
    first = states[names[0]][0].draws.sum(axis=1)
    rank = (
        "realization",
        np.argsort(np.argsort(first)),
        {"long_name": f"rank of a realisation by the total of {names[0]}"},
    )
    maps = _map_dataset(table, layers, units)
    return maps, _totals_dataset(states, labels, units, averages, wanted), rank


def _averages(results: tuple[TargetResult, ...], wanted: Learn) -> dict[str, np.ndarray]:
    """Weights over the averaged targets, by name of the average."""
    if not wanted.average:
        return {}
    chosen = [next(r for r in results if r.name == name) for name in wanted.average]
    predicted = np.stack([r.learned.back(r.learned.validation.predictions).mean(axis=0) for r in chosen])
    observed = np.stack([r.learned.observed for r in chosen])
    r2 = np.array([max(skill(o, p).r2, 0.0) for o, p in zip(observed, predicted, strict=True)])
    weights = (
        np.full(len(chosen), 1 / len(chosen)),
        r2 / r2.sum() if r2.sum() > 0 else np.full(len(chosen), 1 / len(chosen)),
        stacked_weights(predicted, observed.mean(axis=0)),
    )
    return {f"average_{kind}": w for kind, w in zip(WEIGHTINGS, weights, strict=True)}


def _map_dataset(table: SiteTable, layers: dict[str, np.ndarray], units: dict[str, str]) -> xr.Dataset:
    variables = {}
    for name, values in layers.items():
        key = max((k for k in units if name.startswith(k)), key=len)
        unit = "1" if "_above_" in name else units[key]
        dims = ("quantile", "site") if values.ndim == 2 else ("site",)
        what = name.removeprefix(f"{key}_").replace("above_", "probability above ")
        variables[name] = (dims, values, {"units": unit, "long_name": f"{what} of {key} over realisations"})
    coordinates = {"site": np.array(table.names), "quantile": list(QUANTILES), **places_of(table.table)}
    return xr.Dataset(variables, coordinates)


def _totals_dataset(
    states: dict[str, list[TotalsState]],
    labels: tuple[str, ...],
    units: dict[str, str],
    averages: dict[str, np.ndarray],
    wanted: Learn,
) -> xr.Dataset:
    """Totals by class and by trust: t C where the target is carbon per area, else means over the area."""
    carbon = [_factor(units[key]) for key in states]
    rows = []
    for key, factor in zip(states, carbon, strict=True):
        both = [
            finish_totals(s, n, factor, QUANTILES)
            for s, n in zip(states[key], (labels, ("inside", "outside")), strict=True)
        ]
        rows.append([*both[0], *both[1][:2]])
    header = [*labels, "all", INSIDE, OUTSIDE]
    areas = np.array([row.area for row in rows[0]])
    over = np.array([1.0 if _is_carbon(units[key]) else np.nan for key in states])
    scale = np.where(np.isnan(over)[:, None], 1 / np.maximum(areas, 1e-12)[None], 1.0)
    kinds = ("independent", "modelled", "dependent")
    sd = np.array([[[getattr(r, f"sd_{k}") for k in kinds] for r in row] for row in rows]) * scale[..., None]
    quantiles = np.array([[list(r.quantiles.values()) for r in row] for row in rows]) * scale[..., None]
    mean = np.array([[r.mean for r in row] for row in rows]) * scale
    shown = ["t C" if _is_carbon(units[key]) else units[key] for key in states]
    weights = {f"weights_{key}": [float(w) for w in value] for key, value in averages.items()}
    return xr.Dataset(
        {
            "mean": (("map", "class"), mean, {"long_name": "total, or mean over the area where the map is no carbon per area"}),
            "sd": (("map", "class", "assumption"), sd, {"long_name": "standard deviation with errors of sites taken as stated"}),
            "quantile_of_total": (("map", "class", "quantile"), quantiles),
            "area": (("class",), areas, {"units": "ha"}),
        },
        {"map": list(states), "class": header, "assumption": list(kinds), "quantile": list(QUANTILES)},
        {"units": shown, "realizations": wanted.realizations, "averaged": list(wanted.average), **weights},
    )  # fmt: skip


def _is_carbon(units: str) -> bool:
    try:
        conversion(units, "t C/ha")
    except ValueError:
        return False
    return True


def _factor(units: str) -> float:
    return conversion(units, "t C/ha")[0] if _is_carbon(units) else 1.0


def _more(
    material: Material, results: tuple[TargetResult, ...], trusted: Applicability, maps: xr.Dataset, seed: int
) -> dict[str, Any]:
    """Layers that say where the map must not be trusted, its zones, what the trees alone say, and the paper's sd."""
    assert material.sites is not None
    x = material.sites.x
    found: dict[str, Any] = {
        "dissimilarity": ("site", trusted.dissimilarity.astype(np.float32), {"units": "1", "long_name": "dissimilarity to the samples, as a multiple of the mean distance between them", "threshold": trusted.threshold}),
        "applicable": ("site", trusted.inside.astype(np.int8), {"units": "1", "long_name": "inside the area of applicability"}),
        "extrapolated": ("site", trusted.extrapolated.astype(np.int8), {"units": "1", "long_name": "covariates outside the range of the samples"}),
        "nearest_sample": ("site", trusted.distance.astype(np.float32), {"units": "km", "long_name": "distance to the nearest sample"}),
    }  # fmt: skip
    for number, result in enumerate(results):
        learned, units = result.learned, result.entry.units
        y = np.log(learned.observed) if result.entry.transform == "log" else learned.observed
        fits = [
            fit_trees(material.samples.x, y, result.settings.trees, seed + 31 * number + k)
            for k in range(REPEATS_OF_PAPER)
        ]
        repeats = learned.back(np.array([tree_tables(fit).predict(x) for fit in fits]))
        variance = learned.model_variance(x)
        part = variance / (variance + learned.unexplained_at(material.sites.classes))
        pair = [maps[f"{result.name}_{kind}"].values for kind in ("mean", "sd")]
        zones = zone_map(*pair, trusted=trusted.inside)
        paper = zone_map(repeats.mean(axis=0), repeats.std(axis=0, ddof=1), trusted=trusted.inside)
        found |= {
            f"{result.name}_trees": ("site", learned.back(learned.mean(x)).astype(np.float32), {"units": units, "long_name": f"{result.name} by the trees alone"}),
            f"{result.name}_model_share": ("site", part.astype(np.float32), {"units": "1", "long_name": "share of the residual variance that bootstrap models explain"}),
            f"{result.name}_repeats_sd": ("site", repeats.std(axis=0, ddof=1).astype(np.float32), {"units": units, "long_name": "standard deviation over repeated fits, which is no prediction error"}),
            f"{result.name}_zone": ("site", zones.zone, {"long_name": "zone of mean against sd over realisations", **zone_flags(zones.names)}),
            f"{result.name}_repeats_zone": ("site", paper.zone, {"long_name": "zone of mean against sd over repeated fits, as the paper zones", **zone_flags(paper.names)}),
        }  # fmt: skip
    return found


def _next(material: Material, results: tuple[TargetResult, ...], wanted: Learn, seed: int) -> xr.Dataset:
    """New sites for the total of the first target: area times the local scale of its residuals is the load of a site."""
    assert material.sites is not None
    result, sites, samples = results[0], material.sites, material.samples
    learned = result.learned
    slope = learned.back(learned.mean(sites.x)) if result.entry.transform == "log" else 1.0
    load = sites.areas * learned.scale(sites.x, sites.classes) * learned.scores.sd * slope
    places = [learned.places(part.km, part.x, part.classes) for part in (samples, sites)]
    chosen = next_samples(*places, load, learned.field.best, wanted.next_samples, seed)
    where = [c.site for c in chosen]
    names = ["x_km", "y_km"] if sites.km.shape[1] == 2 else ["x_km", "y_km", "z_km"]
    return xr.Dataset(
        {
            "site": ("rank", where, {"long_name": "number of the site"}),
            "sd_after": ("rank", [c.sd_after for c in chosen], {"units": "1", "long_name": "sd of the total after this sample and those before it, as a share of now"}),
            "nearest_sample": ("rank", np.linalg.norm(sites.km[where][:, None] - samples.km[None], axis=-1).min(axis=1), {"units": "km"}),
            **{name: ("rank", sites.km[where, k], {"units": "km"}) for k, name in enumerate(names)},
        },
        {"rank": np.arange(1, len(where) + 1)},
        {"target": result.name, "class": [sites.classes[k] if sites.classes else "" for k in where]},
    )  # fmt: skip
