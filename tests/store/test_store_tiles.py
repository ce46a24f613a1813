"""Tiles: every number has one writer, and what is read is what was written."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_writers import PROVENANCE, files_of, make_stage, tile_of, whole

from ensemble.errors import StoreRefused
from ensemble.store import ArrayTemplate, Tiling, open_store, open_writer, store_status, verify_store

lengths = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None)
@given(lengths, lengths, lengths)
def test_every_number_has_one_writer(a, b, c):
    tiling = Tiling({"member": a[0], "y": b[0], "x": c[0]}, {"member": a[1], "y": b[1], "x": c[1]})
    for dims in [("member", "y", "x"), ("member", "x"), ("y",), ("tile",), ("time",)]:
        axes = {**tiling.shape, "tile": tiling.count, "time": 3}
        written = np.zeros([axes[d] for d in dims], int)
        for tile in range(tiling.count):
            if tiling.owns(tile, dims):
                written[tuple(tiling.region(tile).get(d, slice(None)) for d in dims)] += 1
        assert (written == 1).all()
    assert sum(tiling.pairs(tile) for tile in range(tiling.count)) == np.prod(list(tiling.shape.values()))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_round_trip_in_any_order(tmp_path, data):
    members, sites = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 5))
    blocks = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 6))
    stage = make_stage(members=members, sites=sites, blocks=blocks)
    full, digests = whole(stage), set()
    for attempt in range(2):
        order = data.draw(st.permutations(range(stage.tiling.count)))
        path = tmp_path / f"{time.time_ns()}-{attempt}.zarr"
        with open_writer(path, PROVENANCE, [stage]) as store:
            for tile in order:
                assert store.write_tile("members", tile, tile_of(stage, full, tile))
                assert not store.write_tile("members", tile, tile_of(stage, full, tile))
            assert store.missing_tiles() == []
        digests.add(store.digest())
    assert len(digests) == 1
    for array in stage.arrays:
        found = open_store(path).dataset(array.group)[array.name]
        assert found.dims == array.dims
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, full[array.path])


def test_a_tile_is_one_whole_shard_of_each_array(path):
    stage = make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage]) as store:
        before = set(files_of(path))
        store.write_tile("members", 3, tile_of(stage, full, 3))
        made = {p.relative_to(path).as_posix() for p in set(files_of(path)) - before}
        # block 1 of members, block 1 of sites: what lacks an axis belongs to other tiles
        expected = {"members/soc/c/1/0/1/0", "members/failed/c/1/1", "inputs/draw/c/1/1", "partial/mean/c/3/0"}
        assert made == {*expected, "ledger/members/entries/c/3/0"}
        good = tile_of(stage, full, 0)
        for wrong, message in [
            ({**good, "members/soc": good["members/soc"][:8]}, r"members/soc of tile 0 is float32\(8, 2, 2, 24\)"),
            ({**good, "inputs/clay": good["inputs/clay"].astype("f4")}, "inputs/clay of tile 0 is float32"),
            ({k: v for k, v in good.items() if k != "inputs/clay"}, "lacks array inputs/clay"),
            ({**good, "members/co2": good["inputs/clay"]}, "has no array members/co2"),
        ]:
            with pytest.raises(ValueError, match=message):
                store.write_tile("members", 0, wrong)
        with pytest.raises(ValueError, match="there is no tile 6; allowed: 0 to 5"):
            store.write_tile("members", 6, good)
        changed = tile_of(stage, full, 3)
        changed["members/soc"] = changed["members/soc"] + 1
        with pytest.raises(StoreRefused, match=r"members/soc of tile 3 was finished .* with other numbers"):
            store.write_tile("members", 3, changed)
        assert store.missing_tiles() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrays": (ArrayTemplate("members/soc", ("member",), (39,)),)}, "has length 39; its tiles cover 40"),
        (
            {"arrays": (ArrayTemplate("members/soc", ("member",), (40,), chunks=(5,)),)},
            r"do not divide its shard \(16,\)",
        ),
        ({"arrays": (ArrayTemplate("soc", ("member",), (40,)),)}, "soc lies in no group"),
        ({"arrays": 2 * (ArrayTemplate("members/failed", ("member",), (40,)),)}, "members/failed is written twice"),
        ({"flags": "members/flag"}, "has no array members/flag"),
        ({"name": "a.b"}, "has a dot in its name"),
    ],
)
def test_a_stage_that_contradicts_itself_is_refused(path, change, message):
    with (
        pytest.raises(ValueError, match=message),
        open_writer(path, PROVENANCE, [replace(make_stage(), **{"flags": None, **change})]),
    ):
        pass
    assert not path.exists()
    assert not list(path.parent.glob(".*.partial"))


def test_chunks_of_a_large_tile_hold_whole_series_of_ten_thousand_members():
    tiling = Tiling({"member": 65536, "site": 64}, {"member": 10**6, "site": 1000})
    array = ArrayTemplate("members/soc", ("member", "scenario", "site", "time"), (10**6, 3, 1000, 150))
    chunks = array.inner_chunks(tiling)
    assert chunks == (8192, 3, 1, 150)
    assert all(s % c == 0 for s, c in zip(array.shards(tiling), chunks, strict=True))
    prime = ArrayTemplate("members/soc", ("member", "time"), (20011, 10)).inner_chunks(
        Tiling({"member": 20011}, {"member": 20011})
    )
    assert prime == (20011, 10)


def test_nan_has_one_form_and_other_bits_stay(path):
    stage = make_stage()
    tile = tile_of(stage, whole(stage), 0)
    bits = np.array([0xFFC00000, 0x7FC00001, 0x80000000, 0x7F800000], "u4").view("f4")  # NaNs, -0, infinity
    tile["members/soc"] = np.resize(bits, tile["members/soc"].shape).astype("f4")
    with open_writer(path, PROVENANCE, [stage]) as store:
        store.write_tile("members", 0, tile)
        found = store.read_tile("members", 0)["members/soc"].ravel()[:4].view("u4")
    assert [hex(b) for b in found] == ["0x7fc00000", "0x7fc00000", "0x80000000", "0x7f800000"]


def test_a_tile_in_which_all_failed_is_kept(path):
    stage = make_stage()
    tile = {
        name: np.full_like(v, np.nan if v.dtype.kind == "f" else 1)
        for name, v in tile_of(stage, whole(stage), 0).items()
    }
    with open_writer(path, PROVENANCE, [stage]) as store:
        store.write_tile("members", 0, tile)
    assert verify_store(path) == []
    assert store_status(path).stages[0].pairs_failed == 32
    np.testing.assert_array_equal(open_store(path).read_tile("members", 0)["members/soc"], tile["members/soc"])
