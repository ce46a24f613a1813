"""Hand-over formats of a finished store."""

from __future__ import annotations

from pathlib import Path

from ensemble.errors import InputError
from ensemble.pipeline.credits import write_draw_table
from ensemble.pipeline.inventories import write_inventory
from ensemble.pipeline.maps import write_gsocseq, write_maps
from ensemble.store import Place, export_csv, export_netcdf, local_folder, open_store

FORMS = {"csv": export_csv, "netcdf": export_netcdf}
PRODUCTS = {"draws": write_draw_table, "geotiff": write_maps, "gsocseq": write_gsocseq, "inventory": write_inventory}
# Groups that mean something to others; the packed sums of the tiles do not.
GROUPS = ("members", "inputs", "statistics", "maps", "map_totals", "realizations")


def export_store(store: Place, form: str, folder: Path | None = None) -> list[Path]:
    """Write the members, inputs and statistics of a store.

    Args:
        store: a finished store.
        form: ``csv``, ``netcdf``; ``draws`` for a draw table of credits; ``geotiff`` for maps of a raster study or learned maps,
            ``gsocseq`` for those that FAO asks for, by its names; ``inventory`` for the table of an inventory.
        folder: where to; beside the store by default, in the working directory for one in a bucket.

    Raises:
        InputError: there is no such form.
        StoreRefused: the store is not finished, or the folder cannot be written.
    """
    if form not in (*FORMS, *PRODUCTS):
        raise InputError(f"--as {form} is not allowed; allowed: {', '.join((*FORMS, *PRODUCTS))}")
    opened, folder = open_store(store), folder or local_folder(store, f"_{form}")
    if form in PRODUCTS:
        return PRODUCTS[form](opened, folder)
    groups = [group for group in GROUPS if group in opened.groups()]
    return FORMS[form](opened, folder, groups)
