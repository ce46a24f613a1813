"""Status, export and size of a store."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from store_writers import PROVENANCE, STUDY, TIMES, make_stage, run, tile_of, whole

from ensemble.errors import StoreRefused
from ensemble.store import (
    ArrayTemplate,
    Stage,
    Tiling,
    export_csv,
    export_netcdf,
    open_store,
    open_writer,
    store_status,
)


def test_status_from_files_alone(path):
    stage = make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage], {"title": "field"}) as store:
        empty = store_status(path).stages[0]
        for tile in (0, 1, 2):
            store.write_tile("members", tile, tile_of(stage, full, tile))
            time.sleep(0.02)
        status = store_status(path)
    part = status.stages[0]
    assert (empty.tiles_done, empty.updated, empty.pairs_per_second, empty.seconds_left) == (0, None, None, None)
    assert (part.tiles, part.tiles_done, part.members, part.members_done) == (6, 3, 40, 16)
    assert (part.pairs, part.pairs_done, status.complete) == (120, 80, False)
    failed = np.argwhere(full["members/failed"][:16])
    both = np.argwhere(full["members/failed"][16:32, :2]) + np.array([16, 0])
    assert part.pairs_failed == len(failed) + len(both) > 0
    assert {(f["member"], f["site"]) for f in part.failed} == {tuple(p) for p in [*failed, *both]}
    assert part.failed[0]["reason"] == "not finite"
    assert part.pairs_per_second > 0
    assert part.seconds_left == pytest.approx(40 / part.pairs_per_second)
    assert json.loads(json.dumps(status.as_dict()))["stages"][0]["tiles_done"] == 3
    assert "3 of 6 tiles, 16 of 40 members" in "\n".join(status.lines())
    run(path)
    assert store_status(path).complete and store_status(path).stages[0].seconds_left == 0
    assert "finished: statistics" in store_status(path).lines()


def test_status_and_verify_load_no_jax(finished):
    code = (
        "import sys\nfrom ensemble.store import store_status, verify_store\n"
        f"assert store_status({str(finished)!r}).complete and not verify_store({str(finished)!r})\n"
        "assert 'jax' not in sys.modules\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_export_reads_back(path, tmp_path):
    stage = make_stage()
    run(path, stage)
    store, full = open_store(path), whole(stage)
    files = {file.name: file for file in export_csv(store, tmp_path / "tables")}
    table = pd.read_csv(files["members_by_member_scenario_site_time.csv"], comment="#")
    assert list(table.columns) == ["member", "scenario", "site", "time", "soc"]
    found = table.set_index(["member", "scenario", "site", "time"]).soc.to_xarray()
    np.testing.assert_array_equal(found.astype("f4"), full["members/soc"])
    assert list(found.time.values) == [str(t)[:10] for t in TIMES]
    text = files["members_by_member_scenario_site_time.csv"].read_text()
    assert "# soc: soil organic carbon [t C/ha]" in text and "# title: field" in text
    with xr.open_dataset(next(f for f in export_netcdf(store, tmp_path / "nc") if f.name == "members.nc")) as data:
        np.testing.assert_array_equal(data.soc, full["members/soc"])
        np.testing.assert_array_equal(data.time.astype("datetime64[s]"), TIMES)
        assert data.soc.attrs["long_name"] == "soil organic carbon"
        assert data.attrs["Conventions"] == "CF-1.11" and json.loads(data.attrs["study"]) == STUDY
        assert list(data.site.values) == ["plot 0", "plot 1", "plot 2"]
    with (
        open_writer(path.with_name("part.zarr"), PROVENANCE, [stage]) as part,
        pytest.raises(StoreRefused, match="0 of 6"),
    ):
        export_csv(part, tmp_path / "tables", ["members"])


def test_memory_does_not_grow_with_the_number_of_tiles(path):
    import tracemalloc

    tiling = Tiling({"member": 4}, {"member": 4 * 300})
    stage = Stage("members", tiling, (ArrayTemplate("members/soc", ("member", "time"), (1200, 8000)),))
    chance = np.random.default_rng(1)
    with open_writer(path, PROVENANCE, [stage]) as store:
        sizes = []
        tracemalloc.start()
        for tile in range(150):
            store.write_tile("members", tile, {"members/soc": chance.random((4, 8000), "f4")})
            if tile in (50, 149):
                sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert sizes[1] - sizes[0] < 2_500_000  # the tiles in between hold 12.7 MB
        assert store.missing_tiles() == list(range(150, 300))
