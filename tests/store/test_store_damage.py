"""Damage: a changed byte is found, named, struck and repaired."""

import random

import pytest
from store_writers import files_of, flip, make_stage, run, stamps

from ensemble.errors import Damaged
from ensemble.store import open_store, verify_store


def test_every_changed_byte_is_found_and_named(path):
    run(path, make_stage(members=10, sites=2))
    chance = random.Random(11)
    for file in files_of(path):
        good, key = file.read_bytes(), file.relative_to(path).as_posix()
        for bad in (
            flip(good, chance.randrange(len(good)), 1 << chance.randrange(8)),
            good[: chance.randrange(len(good))],
        ):
            file.write_bytes(bad)
            assert key in {damage.file for damage in verify_store(path, strike=False)}, key
        if "/c/" in key and not key.startswith("ledger"):
            file.unlink()
            (damage,) = verify_store(path, strike=False)
            assert damage.file == key and "missing" in damage.problem
        file.write_bytes(good)
    assert verify_store(path) == []


@pytest.mark.parametrize(
    ("key", "tiles", "says"),
    [
        ("members/soc/c/1/0/1/0", [3], "(array members/soc, tile 3 of members)"),
        ("members/failed/c/0/0", [0], "(array members/failed, tile 0 of members)"),
        ("inputs/clay/c/2", [4], "(array inputs/clay, tile 4 of members)"),
        ("partial/mean/c/5/0", [5], "(array partial/mean, tile 5 of members)"),
        ("ledger/members/entries/c/2/0", [2], "(array ledger, tile 2 of members)"),
        ("ledger/members/zarr.json", [], "(members)"),
        ("ledger/members/copy/zarr.json", [], "(members)"),
        ("ledger/members/entries/zarr.json", [], "(members)"),
        ("ledger/zarr.json", [], "(members)"),
        ("zarr.json", [], "(members)"),
        ("members/zarr.json", [], "(members)"),
        ("members/soc/zarr.json", [], "(members)"),
        ("members/time/c/0", [], "(members)"),
        ("statistics/soc_mean/c/0/0/0", [], "(statistics)"),
        ("statistics/zarr.json", [], "(statistics)"),
        ("statistics/soc_mean/zarr.json", [], "(statistics)"),
        ("ledger/statistics/zarr.json", [], "(statistics)"),
    ],
)
def test_damage_is_struck_and_repaired_by_the_next_run(finished, pattern, key, tiles, says):
    path, expected = finished, pattern[1]
    others = stamps(path, "members/soc/c/**/*")
    file = path / key
    good = file.read_bytes()
    how = sum(key.encode()) % 3
    file.write_bytes([flip(good, len(good) // 2), good[: len(good) // 3], b""][how])
    damages = verify_store(path)
    assert [damage.file for damage in damages] == [key]
    assert says in str(damages[0])
    assert open_store(path).missing_tiles() == tiles
    assert run(path) == expected
    assert verify_store(path) == []
    if "statistics" not in key:
        assert file.read_bytes() == good or key.startswith("ledger/members/entries/c")
    after = stamps(path, "members/soc/c/**/*")
    assert {p for p in others if after[p] != others[p]} <= {path / f"members/soc/c/{t // 2}/0/{t % 2}/0" for t in tiles}


def test_a_read_of_a_damaged_tile_says_so(finished):
    file = finished / "members/soc/c/0/0/0/0"
    file.write_bytes(flip(file.read_bytes(), 100))
    with pytest.raises(
        Damaged, match=r"members/soc, tile 0 of members is damaged: .*members/soc/c/0/0/0/0 cannot be decoded"
    ):
        open_store(finished).read_tile("members", 0)


@pytest.mark.parametrize("key", ["members/soc/zarr.json", "members/time/c/0", "statistics/soc_mean/zarr.json"])
def test_a_group_is_not_decoded_by_damaged_metadata(finished, key):
    good = (finished / key).read_bytes()
    (finished / key).write_bytes(flip(good, len(good) // 2))
    with pytest.raises(Damaged, match=f"{key} is damaged; run `ensemble verify "):
        open_store(finished).dataset(key.partition("/")[0])


def test_a_lost_record_is_made_again_from_the_study_and_the_tiles_stay(finished, pattern):
    path, expected = finished, pattern[1]
    before = stamps(path, "members/soc/c/**/*")
    for name in ("zarr.json", "copy/zarr.json"):
        (path / "ledger/members" / name).write_bytes(b"{}")
    (path / "members/soc/zarr.json").write_bytes(b"[")
    (damage,) = verify_store(path)
    assert damage.file == "ledger/members/zarr.json"
    assert run(path) == expected
    assert stamps(path, "members/soc/c/**/*") == before
    assert verify_store(path) == []


def test_damage_beyond_repair_is_said(finished):
    for key in ("zarr.json", "ledger/members/zarr.json", "ledger/members/copy/zarr.json"):
        data = (finished / key).read_bytes()
        (finished / key).write_bytes(data.replace(b'"seed": 7', b'"seed": 8') if key == "zarr.json" else b"")
    (damage,) = verify_store(finished)
    assert damage.lost
    with pytest.raises(Damaged, match=r"zarr.json is damaged, and so are its copies"):
        run(finished)
