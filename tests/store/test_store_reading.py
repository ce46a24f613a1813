"""Reading: plain xarray opens the tree, and readers ask the ledger what is finished."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from store_writers import PROVENANCE, STUDY, TIMES, make_stage, run, tile_of, whole

from ensemble.errors import StoreRefused
from ensemble.store import open_store, open_writer, verify_store

YEARS_1_TO_40 = (np.datetime64("0001-01", "M") + np.arange(1, 481)).astype("datetime64[s]") - np.timedelta64(1, "D")
TO_2100 = (np.datetime64("1843", "Y") + np.arange(1, 259)).astype("datetime64[s]") - np.timedelta64(1, "D")


@pytest.mark.parametrize(
    "times", [TIMES, TO_2100, YEARS_1_TO_40, np.arange(0.0, 500.0, 10.0)], ids=["1843", "2100", "1-40", "float"]
)
def test_plain_xarray_reads_the_tree(path, times):
    stage = make_stage(times=times)
    run(path, stage)
    with warnings.catch_warnings():  # xarray looks for consolidated metadata first, and decodes year 1 by cftime
        warnings.simplefilter("ignore")
        tree = xr.open_datatree(path, engine="zarr")
    assert {"/members", "/inputs", "/partial", "/statistics", "/ledger/members"} <= set(tree.groups)
    full, members = whole(stage), tree["members"].to_dataset()
    np.testing.assert_array_equal(members.soc, full["members/soc"])
    assert members.soc.attrs["units"] == "t C/ha"
    assert list(members.site.values) == ["plot 0", "plot 1", "plot 2"]
    assert "latitude" in members.coords
    assert tree.attrs["study"] == STUDY
    assert tree.attrs["tiling"]["blocks"] == {"member": 16, "site": 2}
    read = open_store(path).dataset("members").time
    if times.dtype.kind == "M":
        assert read.dtype == "datetime64[s]"
        assert [str(t)[:10] for t in members.time.values[[0, -1]]] == [str(t)[:10] for t in times[[0, -1]]]
    np.testing.assert_array_equal(read, times)


def test_readers_ask_the_ledger(path):
    stage = make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage]) as store:
        store.write_tile("members", 0, tile_of(stage, full, 0))
        store.write_tile("members", 5, tile_of(stage, full, 5))
        (path / "ledger/members/entries/c/5/0").unlink()  # its bytes are there, but it is not finished
        with pytest.raises(StoreRefused, match=r"members of .* is not finished: 1 of 6 tiles"):
            store.dataset("members")
        with pytest.raises(StoreRefused, match=r"tile 5 of members .* is not finished"):
            store.read_tile("members", 5)
        with pytest.raises(StoreRefused, match="has no finished group statistics; it has inputs, members, partial"):
            store.dataset("statistics")
        with pytest.raises(StoreRefused, match="has no stage forecast; it has members"):
            store.missing_tiles("forecast")
        masked = store.tree("mask")
    finished = np.zeros((40, 3), bool)
    finished[:16, :2] = True
    np.testing.assert_array_equal(masked["members"].finished, finished)
    soc = np.where(finished[:, None, :, None], full["members/soc"], np.nan)
    np.testing.assert_array_equal(masked["members"].soc, soc)
    np.testing.assert_array_equal(masked["members"].failed, np.where(finished, full["members/failed"], 255))
    np.testing.assert_array_equal(masked["inputs"]["clay"], np.where(np.arange(40) < 16, full["inputs/clay"], np.nan))
    np.testing.assert_array_equal(masked["inputs"]["depth"], np.where([1, 1, 0], full["inputs/depth"], np.nan))
    np.testing.assert_array_equal(np.isnan(masked["partial"]["mean"]).all("time"), [0, 1, 1, 1, 1, 1])


def test_stages_have_ledgers_of_their_own_and_groups_lie_above_them(finished):
    other = make_stage("decomposition/members", members=16, prefix="decomposition/", times=np.arange(3.0))
    full = whole(other)
    with open_writer(finished, PROVENANCE, [make_stage()]) as store:
        store.add_stage(other)
        for tile in store.missing_tiles("decomposition/members"):
            store.write_tile("decomposition/members", tile, tile_of(other, full, tile))
        store.write_group("decomposition", xr.Dataset({"total": ("parameter", [0.5])}, {"parameter": ["clay"]}))
        store.write_group("decomposition", xr.Dataset({"total": ("parameter", [0.7])}, {"parameter": ["clay"]}))
        with pytest.raises(StoreRefused, match=r"group members .* is filled by stage members"):
            store.write_group("members", xr.Dataset())
        with pytest.raises(StoreRefused, match=r"another layout \(tiling.blocks.member: 16 -> 8\)"):
            store.add_stage(replace(other, tiling=replace(other.tiling, blocks={"member": 8, "site": 2})))
    assert verify_store(finished) == []
    tree = open_store(finished).tree()
    assert float(tree["decomposition"].total[0]) == 0.7
    np.testing.assert_array_equal(tree["decomposition/members"].soc, full["decomposition/members/soc"])
    assert tree["members"].sizes["member"] == 40
