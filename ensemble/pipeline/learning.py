"""The mapping stage: maps learned from samples, their checks, and realisations that a study can use as members."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ensemble import __version__
from ensemble.config import StudyFile
from ensemble.config.given import RasterSites
from ensemble.config.learning import Learn
from ensemble.execute.progress import progress
from ensemble.inputs.sources import SiteTable, read_sites
from ensemble.mapping.learning.checking import held_out, parameters_of
from ensemble.mapping.learning.learned import LearnSettings, learn
from ensemble.mapping.learning.samples import KEY, Material, read_material
from ensemble.mapping.learning.simulation import ScoreFields, score_fields
from ensemble.mapping.learning.trees import TreeSettings
from ensemble.mapping.learning.tuning import candidates, tune
from ensemble.mapping.learning.validation import block_folds, cross_validate, random_folds
from ensemble.pipeline.layout import places_of
from ensemble.pipeline.learned_maps import REALIZATIONS, SITES_IN_TILE, map_groups
from ensemble.pipeline.learned_skill import TargetResult, skill_groups
from ensemble.provenance import Provenance, file_checksums, this_platform
from ensemble.report.maps import map_lines, map_page
from ensemble.store import ArrayTemplate, Place, Stage, StoreWriter, Tiling, open_writer, write_whole

BATCH = 16  # realisations drawn and written together
BLOCK_REPEATS = 3  # divisions into spatial blocks; more say little new
OUTER_FOLDS = 5
SAMPLES = "samples"
GROUPS = ("skill", "importance", "answers", "maps", "map_totals", "next_samples")


@dataclass(frozen=True)
class MapResult:
    """What a mapping stage left behind: its store, its report, and what it says, one sentence a line."""

    store: Place
    report: Place
    lines: tuple[str, ...]


def learn_maps(study: StudyFile, path: Place, quiet: bool = False) -> MapResult:
    """Learn the maps of a study into a store of their own, or finish what was begun.

    Raises:
        InputError: the study asks for no maps, or its samples or covariates cannot be used.
        StoreRefused: the store belongs to another study, or cannot be written.
    """
    learn_settings = study.record.mapping.learn if study.record.mapping else None
    if learn_settings is None:
        raise study.error(("mapping",), "the study does not say what maps to learn; add mapping: {learn: ...}")
    sites = read_sites(study)
    material = read_material(study, learn_settings, sites)
    block = _block(learn_settings, material)
    _check_folds(study, learn_settings, material, block)
    provenance = _provenance(study, learn_settings, material)
    stage = _sample_stage(learn_settings, material) if material.sites is None else _stage(learn_settings, sites)
    with open_writer(path, provenance, [stage], _attributes(study)) as store:
        if not store.has_group("skill"):
            results = tuple(_targets(study, learn_settings, material, block, quiet))
            fields = _fields(material, results, learn_settings, study.record.design.seed)
            if fields is None:
                observed = {f"{SAMPLES}/{name}": values for name, values in material.samples.targets.items()}
                store.write_tile(SAMPLES, 0, observed)
            else:
                _realise(store, material, results, fields, learn_settings, quiet)
                for name, data in map_groups(
                    store, sites, material, results, learn_settings, study.record.design.seed
                ).items():
                    store.write_group(name, data)
            for name, data in skill_groups(material, results, learn_settings, block).items():
                store.write_group(name, data)
        groups = {name: store.dataset(name).load() for name in GROUPS if store.has_group(name)}
    report = path.with_name(f"{path.name.removesuffix('.zarr')}.report.html")
    write_whole(report, map_page(groups, str(study.record.title or study.name)).encode())
    return MapResult(path, report, map_lines(groups))


def _targets(study: StudyFile, wanted: Learn, material: Material, block: float, quiet: bool) -> Iterator[TargetResult]:
    """Learn one target after another."""
    seed, samples, checks = study.record.design.seed, material.samples, wanted.validation
    random = np.stack([random_folds(samples.km, checks.folds, seed, r) for r in range(checks.repeats)])
    repeats = range(min(checks.repeats, BLOCK_REPEATS))
    blocks = np.stack([block_folds(samples.km, block, checks.folds, seed, r) for r in repeats])
    outer = {
        "random": random_folds(samples.km, OUTER_FOLDS, seed, 10_000),
        "blocked": block_folds(samples.km, block, OUTER_FOLDS, seed, 10_000),
    }
    threads = os.cpu_count() or 1
    with progress(f"{study.name}, maps", len(wanted.targets), 0, "targets", quiet) as advance:
        for number, (name, entry) in enumerate(wanted.targets.items()):
            own = seed + 101 * number
            trees = TreeSettings(**(entry.trees or wanted.trees).model_dump())
            value = samples.targets[name]
            y = np.log(value) if entry.transform == "log" else value
            tuned = None
            if wanted.tune is not None:
                tried = candidates(trees, **wanted.tune.model_dump())
                tuned = tune(samples.x, y, samples.km, tried, random[0], own, threads)
                trees = tuned.settings
            settings = LearnSettings(trees, wanted.bootstraps, threads=threads, shuffle=True)
            how = (settings, own, entry.transform, samples.classes)
            learned = learn(samples.x, value, samples.km, random, *how)
            blocked = cross_validate(samples.x, y, trees, blocks, own, threads=threads)
            coverage = {
                kind: held_out(samples.x, value, samples.km, folds, *how)
                for kind, folds in (outer.items() if checks.coverage else ())
            }
            yield TargetResult(name, entry, learned, blocked, coverage, tuned, settings)
            advance(1)


def _block(wanted: Learn, material: Material) -> float:
    if wanted.validation.block is not None:
        return wanted.validation.block
    return float(np.linalg.norm(np.ptp(material.samples.km, axis=0))) / 10


def _check_folds(study: StudyFile, wanted: Learn, material: Material, block: float) -> None:
    key = (*KEY, "validation")
    km = material.samples.km
    try:
        random_folds(km, max(wanted.validation.folds, OUTER_FOLDS), 0, 0)
        block_folds(km, block, max(wanted.validation.folds, OUTER_FOLDS), 0, 0)
    except ValueError as error:
        raise study.error(key, str(error)) from None
    smallest = len(km) - -(-len(km) // wanted.validation.folds)
    for name, target in (("trees", None), *wanted.targets.items()):
        trees = wanted.trees if target is None else target.trees
        if trees is not None and trees.bag_fraction * smallest < 2 * trees.minimum_leaf:
            where = (*KEY, "trees") if target is None else (*KEY, "targets", name, "trees")
            text = (
                f"a tree sees {trees.bag_fraction * smallest:.0f} of {len(km)} samples and cannot be split into leaves of "
                f"{trees.minimum_leaf}; lower minimum_leaf or give more samples"
            )
            raise study.error(where, text)


def _fields(material: Material, results: tuple[TargetResult, ...], wanted: Learn, seed: int) -> ScoreFields | None:
    """Conditional fields of all targets together; ``None`` where there are no sites."""
    if material.sites is None:
        return None
    samples, sites = material.samples, material.sites
    return score_fields(
        [r.learned.places(samples.km, samples.x, samples.classes) for r in results],
        [r.learned.places(sites.km, sites.x, sites.classes) for r in results],
        np.stack([r.learned.scores.scores for r in results]),
        [parameters_of(r.learned, wanted.realizations, seed, r.name) for r in results],
        sites.grid,
        seed,
    )


def _realise(
    store: StoreWriter,
    material: Material,
    results: tuple[TargetResult, ...],
    fields: ScoreFields,
    wanted: Learn,
    quiet: bool,
) -> None:
    """Draw and write what is missing of the realisations, some realisations at a time."""
    assert material.sites is not None
    x = material.sites.x
    mean = [r.learned.mean(x) for r in results]
    scale = [r.learned.scale(x, material.sites.classes) for r in results]
    tiling, done = store.tiling(REALIZATIONS), store.entries(REALIZATIONS)
    blocks = -(-len(x) // SITES_IN_TILE)
    with progress("realisations", wanted.realizations, 0, "maps", quiet) as advance:
        for first in range(0, wanted.realizations, BATCH):
            tiles = range(first // BATCH * blocks, (first // BATCH + 1) * blocks)
            draws = range(first, min(first + BATCH, wanted.realizations))
            advance(len(draws))
            if all(tile in done for tile in tiles):
                continue
            scores = fields.draw(draws)
            for tile in tiles:
                here = tiling.region(tile)["site"]
                arrays = {
                    f"{REALIZATIONS}/{r.name}": r.learned.realise(
                        mean[k][here], scale[k][here], scores[:, k, here]
                    ).astype(np.float32)
                    for k, r in enumerate(results)
                }
                store.write_tile(REALIZATIONS, tile, arrays)


def _sample_stage(wanted: Learn, material: Material) -> Stage:
    """What a store without sites holds: the samples."""
    count = len(material.samples.lines)
    arrays = tuple(
        ArrayTemplate(f"{SAMPLES}/{name}", ("sample",), (count,), "float64", {"units": target.units, "long_name": name})
        for name, target in wanted.targets.items()
    )
    lines = xr.Dataset(coords={"sample": ("sample", material.samples.lines, {"long_name": "line of the file"})})
    return Stage(SAMPLES, Tiling({"sample": count}, {"sample": count}), arrays, {SAMPLES: lines}, {SAMPLES: {}})


def _stage(wanted: Learn, sites: SiteTable) -> Stage:
    shape = {"realization": wanted.realizations, "site": len(sites.names)}
    tiling = Tiling(
        {"realization": min(BATCH, wanted.realizations), "site": min(SITES_IN_TILE, len(sites.names))}, shape
    )
    arrays = tuple(
        ArrayTemplate(
            f"{REALIZATIONS}/{name}", ("realization", "site"), tuple(shape.values()), "float32",
            {"units": target.units, "long_name": f"realisation of {name}"},
        )
        for name, target in wanted.targets.items()
    )  # fmt: skip
    coordinates = xr.Dataset(
        coords={"site": ("site", np.array(sites.names), {"long_name": "site"}), **places_of(sites.table)}
    )
    return Stage(REALIZATIONS, tiling, arrays, {REALIZATIONS: coordinates}, {REALIZATIONS: {}})


def _provenance(study: StudyFile, wanted: Learn, material: Material) -> Provenance:
    """Only what the maps depend on: a change of what is done with them does not make them another's."""
    resolved = study.resolved()
    kept: dict[str, Any] = {name: resolved[name] for name in ("title", "sites") if name in resolved}
    kept["mapping"] = {"learn": resolved["mapping"]["learn"]}
    places = study.record.sites
    files = [places] if isinstance(places, str) else []
    files += [layer.file for layer in places.rasters.values()] if isinstance(places, RasterSites) else []
    paths = sorted({study.path(file) for file in (*files, wanted.samples)})
    return Provenance(kept, study.record.design.seed, this_platform(), file_checksums(paths, study.folder))


def _attributes(study: StudyFile) -> dict[str, Any]:
    return {
        "title": f"Maps of {study.record.title or study.name}",
        "source": f"ensemble {__version__}, boosted regression trees (LightGBM) and conditional realisations",
        "license": study.record.license,
        "institution": study.record.institution,
    }
