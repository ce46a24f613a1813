"""The store: one Zarr v3 tree on disk, its tile ledger, its integrity, and reading it back.

A stage is described once and made before anything is computed; its tiles are then filled in any order::

    stage = Stage(
        "members",
        Tiling(blocks={"member": 4096, "site": 64}, shape={"member": 16384, "site": 200}),
        (
            ArrayTemplate("members/soc", ("member", "scenario", "site", "time"), (16384, 3, 200, 147), "float32", attrs),
            ArrayTemplate("members/failed", ("member", "site"), (16384, 200), "uint8", flag_attrs),
            ArrayTemplate("inputs/clay", ("member", "site"), (16384, 200), "float64", attrs),
            ArrayTemplate("partial/mean", ("tile", "scenario", "time"), (tiling.count, 3, 147), "float64"),
        ),
        coordinates={"members": xr.Dataset(coords=...), "inputs": xr.Dataset(coords=...)},  # datetime64[s] times
        attrs={"members": {"long_name": ...}},
        flags="members/failed",
    )
    provenance = Provenance(study.resolved(), seed, this_platform(), file_checksums(files, folder))
    with open_writer(path, provenance, [stage], {"title": ..., "Conventions": "CF-1.11"}) as store:
        for tile in store.missing_tiles("members"):
            store.write_tile("members", tile, {"members/soc": ..., "members/failed": ..., "inputs/clay": ...})
        store.add_stage(Stage("decomposition/members", ...))
        if not store.has_group("statistics"):
            store.write_group("statistics", dataset, {"title": ...})

* ``Tiling.region(tile)`` gives the slice of each tiled axis. Tiles are numbered in row-major order of ``blocks``.
  An array may have an axis ``tile`` with one entry a tile. Along a tiled axis that an array lacks only block 0
  writes it; what other tiles give for it is ignored.
* ``open_writer`` creates or resumes; it holds the one writer's lock, which only it, ``verify_store`` and
  nobody else needs. ``open_worker(path, platform)`` opens an existing store to write tiles beside others;
  ``open_shared(path, provenance, stages, attrs)`` makes it too, without a lock. ``Claims`` keep such workers from
  computing the same tile, in files beside the store.
* ``open_store(path)`` reads: ``.attrs``, ``.stages``, ``.tiling(stage)``, ``.finished_tiles(stage)``,
  ``.missing_tiles(stage)``, ``.read_tile(stage, tile, names)`` (checked against its digest),
  ``.dataset(group, unfinished="refuse"|"mask", chunks=None)``, ``.tree()``, ``.digest()``.
* ``store_status(path)`` gives ``.lines()`` and ``.as_dict()``; ``verify_store(path)`` gives the damages, strikes
  them from the ledger and puts metadata back.
* ``export_csv(store, folder)`` and ``export_netcdf(store, folder)`` write hand-over files.

Errors are :class:`~ensemble.errors.StoreRefused` (the store is left as it was), :class:`~ensemble.errors.StoreFull`
(resumable) and :class:`~ensemble.errors.Damaged`, each with one sentence.

What makes it safe: every file is written under another name, flushed and renamed; a tile writes whole shards, one
file an array, and never reads what lay there; its entry in the ledger follows when its data are on disk, one file
a tile; so a kill at any moment, or two workers at the same tile, leave either nothing or the same bytes.
"""

from ensemble.store.claims import TAKE_OVER, Claim, Claims, Owner, drop_claims, read_claims
from ensemble.store.export import export_csv, export_netcdf
from ensemble.store.integrity import Damage, repair_metadata, verify_store
from ensemble.store.lock import jobs_folder
from ensemble.store.place import Place, beside, is_there, local_folder, place, write_whole
from ensemble.store.read import Store, open_store
from ensemble.store.status import StageStatus, Status, store_status
from ensemble.store.template import TILE, ArrayTemplate, Stage, Tiling
from ensemble.store.write import StoreWriter, open_shared, open_worker, open_writer

__all__ = [
    "TAKE_OVER",
    "TILE",
    "ArrayTemplate",
    "Claim",
    "Claims",
    "Damage",
    "Owner",
    "Place",
    "Stage",
    "StageStatus",
    "Status",
    "Store",
    "StoreWriter",
    "Tiling",
    "beside",
    "drop_claims",
    "export_csv",
    "export_netcdf",
    "is_there",
    "jobs_folder",
    "local_folder",
    "open_shared",
    "open_store",
    "open_worker",
    "open_writer",
    "place",
    "read_claims",
    "repair_metadata",
    "store_status",
    "verify_store",
    "write_whole",
]
