"""A map of more pixels takes no more memory than the few bytes a pixel that its plan holds: counted, not timed."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ensemble.pipeline import load_plan, run_plan, statistics
from ensemble.pipeline.blocks import sound_members
from ensemble.pipeline.maps import write_maps
from ensemble.pipeline.totals import totals_of
from ensemble.plan import Plan
from ensemble.store import Store, open_store
from ensemble.summary import quantiles

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("rioxarray")

SIDES = 32, 96
STUDY = """\
model: stock
sites: {rasters: {soc: soc.tif, density: density.tif}}
inputs: {soc_concentration: {column: soc}, bulk_density: {column: density}, depth: 30}
uncertain:
  soc: {input: soc_concentration, as: factor, distribution: lognormal, median: 1, cv: 0.2, per: site}
  bias: {input: soc_concentration, as: factor, distribution: lognormal, median: 1, cv: 0.05}
outputs: {variables: [soc_stock]}
totals: {}
design: {members: 64, seed: 1}
store: {members: keep, tile: {members: 64, sites: 256}}
"""


def study_of(folder: Path, side: int) -> Path:
    """A study of ``side`` x ``side`` pixels of 1 km."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "float32", "crs": "EPSG:32632"}
    place = rasterio.transform.from_origin(5e5, 5.5e6, 1000, 1000)
    for name, low, high in (("soc", 10, 40), ("density", 1.1, 1.6)):
        with rasterio.open(folder / f"{name}.tif", "w", **profile, transform=place) as file:
            file.write(rng.uniform(low, high, (side, side)).astype("float32"), 1)
    (folder / "map.yaml").write_text(STUDY)
    return folder / "map.yaml"


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> list[tuple[Plan, Store]]:
    """A small and a large map, each run into a store."""
    folder, found = tmp_path_factory.mktemp("maps"), []
    for side in SIDES:
        plan = load_plan(study_of(folder / str(side), side), (), None, None)
        run_plan(plan, folder / f"{side}.zarr", quiet=True)
        found.append((plan, open_store(folder / f"{side}.zarr")))
    return found


def most_bytes(act: Callable[[], object]) -> tuple[int, int]:
    """Bytes that are still held when ``act`` has returned something, and the most on the way."""
    gc.collect()
    tracemalloc.start()
    try:
        result = act()
        gc.collect()
        held, most = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return held, most


def bytes_a_pixel(small: int, large: int) -> float:
    return (large - small) / (SIDES[1] ** 2 - SIDES[0] ** 2)


def test_a_plan_holds_a_few_bytes_a_pixel(tmp_path):
    files = [study_of(tmp_path / str(side), side) for side in SIDES]
    load_plan(files[0], (), None, None)  # what is made once, whatever the size
    held = [most_bytes(lambda file=file: load_plan(file, (), None, None))[0] for file in files]
    # Two layers as stored (4 each), row and column (4 each), two central inputs (8 each).
    assert bytes_a_pixel(*held) < 40


def test_statistics_take_blocks_of_pixels(maps, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK_BYTES", 1)  # one tile of 256 pixels at a time
    monkeypatch.setattr(quantiles.stored_quantiles, "__defaults__", (256 * 64 * 4,))

    def all_blocks(plan, store):
        return sum(data.sizes["site"] for _, data in statistics.member_statistics(plan, store, {}))

    assert [all_blocks(*one) for one in maps] == [side**2 for side in SIDES]
    most = [most_bytes(lambda one=one: all_blocks(*one))[1] for one in maps]
    assert bytes_a_pixel(*most) < 64  # some 48 that the ledger holds of the coordinates; all statistics alone are 96


def test_totals_take_blocks_of_pixels(maps, monkeypatch):
    monkeypatch.setattr("ensemble.pipeline.blocks.READ_BYTES", 256 * 64 * 4)
    for plan, store in maps:
        assert sound_members(store.dataset("members")).all()
        totals_of(plan, store)
    most = [most_bytes(lambda one=one: totals_of(*one))[1] for one in maps]
    # Areas, labels and classes, 8 bytes each and some twice; the names of the pixels alone would be more, members 256.
    assert bytes_a_pixel(*most) < 80


def test_maps_are_written_one_grid_at_a_time(maps, tmp_path):
    for (_, store), side in zip(maps, SIDES, strict=True):
        write_maps(store, tmp_path / f"first {side}")
    most = [
        most_bytes(lambda store=store, side=side: write_maps(store, tmp_path / f"again {side}"))[1]
        for (_, store), side in zip(maps, SIDES, strict=True)
    ]
    # Row and column (8 each) and one grid on its way, 8 before and after packing (more copies in zarr 3.4: 124 in all);
    # all statistics and grids are 192.
    assert bytes_a_pixel(*most) < 144
