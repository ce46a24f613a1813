"""A store in a bucket: a real S3 service on the loopback interface, spoken to by the code that speaks to Amazon's."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from store_writers import PROVENANCE, make_stage, run, tile_of, whole
from toy_models import STUDY, write_toy
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.errors import Damaged, Stopped, StoreRefused
from ensemble.pipeline import load_plan, run_plan, work_plan
from ensemble.store import (
    Claims,
    drop_claims,
    open_shared,
    open_store,
    open_writer,
    place,
    read_claims,
    store_status,
    verify_store,
)
from ensemble.store.lock import WriterLock
from ensemble.store.objects import ObjectFolder, Url
from ensemble.store.place import folder_at, read_file

missing = [name for name in ("obstore", "moto", "flask", "flask_cors") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)} of the extra [test]")
HERE = Path(__file__).parent
SMALL_TILES = ["store.tile.members=16", "design.members=128"]


@pytest.fixture(scope="module")
def service():
    """Environment of a service with one bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-the-test",
    }  # fmt: skip
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, "the service ended"
            time.sleep(0.1)
    import urllib.request

    request = urllib.request.Request(f"{settings['AWS_ENDPOINT_URL']}/bucket", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    yield settings
    process.terminate()
    process.wait(30)


@pytest.fixture
def url(service, monkeypatch, request):
    for key, value in service.items():
        monkeypatch.setenv(key, value)
    return f"s3://bucket/{abs(hash(request.node.name))}/field.zarr"


def keys(url):
    return list(folder_at(url).keys())


def draft_again(url):
    """Another creator of the same store, with other bytes."""
    with folder_at(url).drafted("ledger/members/zarr.json") as draft:
        for key in keys(url):
            draft.write(key, b"of another creator")


def test_the_same_bytes_as_in_a_folder(url, tmp_path):
    assert run(url) == run(tmp_path / "field.zarr")
    assert keys(url) == sorted(
        p.relative_to(tmp_path / "field.zarr").as_posix() for p in (tmp_path / "field.zarr").rglob("*") if p.is_file()
    )
    before = {key: folder_at(url).tag(key) for key in keys(url)}
    run(url)
    assert before == {key: folder_at(url).tag(key) for key in keys(url)}
    assert verify_store(url) == [] and store_status(url).complete
    assert read_file(place(url).with_name(".field.zarr.writer")) is None


@pytest.mark.parametrize(
    "key",
    [
        "members/soc/c/1/0/1/0",
        "ledger/members/entries/c/2/0",
        "ledger/members/copy/zarr.json",
        "zarr.json",
        "statistics/soc_mean/c/0/0/0",
    ],
)
def test_damage_is_named_and_repaired(url, key):
    expected, folder = run(url), folder_at(url)
    good = folder.read(key)
    folder.write(key, good[: len(good) // 2])
    assert [damage.file for damage in verify_store(url)] == [key]
    assert run(url) == expected
    assert verify_store(url, strike=False) == []


def test_a_store_is_made_by_one_of_several_and_finished_by_any(url):
    """A worker that died between the record and the other objects leaves a store that works."""
    stage, full = make_stage(), whole(make_stage())
    one, two = (open_shared(url, PROVENANCE, lambda: [stage], {}) for _ in range(2))
    with pytest.raises(FileExistsError):
        draft_again(url)
    for key in keys(url):
        if not key.startswith("ledger/members/zarr.json"):
            folder_at(url).remove(key)
    for tile in range(6):
        (one, two)[tile % 2].write_tile("members", tile, tile_of(stage, full, tile))
    assert not one.write_tile("members", 3, tile_of(stage, full, 3))
    assert run(url) == run(url.replace("field", "other"))
    assert verify_store(url) == []


def test_claims_are_made_in_one_step_and_taken_over_when_void(url):
    first, second = Claims(url), Claims(url)
    first.owner = second.owner.__class__("elsewhere", 1)
    assert list(first.take("members", [0, 1], lambda tile: False)) == [0, 1]
    assert list(second.take("members", [0, 1, 2], lambda tile: tile == 2)) == []
    assert [claim.owner.host for claim in read_claims(url)["members"]] == ["elsewhere"] * 2
    second.take_over = 1.0
    time.sleep(2.1)
    assert list(second.take("members", [1], lambda tile: False)) == [1]
    first.release_all()
    second.release_all()
    drop_claims(url)
    assert read_claims(url) == {}


def test_one_writer_at_a_time_and_the_note_of_a_dead_one_is_void(url):
    note = place(url).with_name(".field.zarr.writer")
    with open_writer(url, PROVENANCE, [make_stage()]), pytest.raises(StoreRefused, match="is being written by process"):
        run(url)
    folder, name = ObjectFolder(Url(note.bucket, note.key.rpartition("/")[0])), note.name
    folder.write(name, json.dumps({"pid": 1, "host": "elsewhere", "since": 0}).encode())
    with pytest.raises(StoreRefused, match="process 1 on elsewhere"):
        run(url)
    time.sleep(2.1)
    with WriterLock(url, lease=1.0) as lock:  # renewed four times a second of its lease
        tag = folder.tag(name)
        time.sleep(0.6)
        assert folder.tag(name) != tag
        with pytest.raises(StoreRefused):
            WriterLock(url, lease=1.0).__enter__()
        assert lock.store == place(url)
    assert folder.read(name) is None
    with pytest.raises(Stopped, match=r"has taken .* over"), WriterLock(url, lease=100.0):
        folder.write(name, b"{}")
    folder.remove(name)


def test_a_whole_study_in_a_bucket(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = write_toy(tmp_path, STUDY + f"store: {url}\n")
    local = run_plan(load_plan(study, SMALL_TILES, None, None), tmp_path / "local.zarr", quiet=True)
    plan = load_plan(study, SMALL_TILES, None, None)
    assert work_plan(plan, place(url), Claims(url), quiet=True) == 8
    settings = [part for text in SMALL_TILES for part in ("--set", text)]
    done = CliRunner().invoke(app, ["run", str(study), *settings])
    assert done.exit_code == 0, done.output
    assert f"store:  {url}" in done.output and f"report: {url.removesuffix('.zarr')}.report.html" in done.output
    assert open_store(url).digest() == open_store(local.store).digest()
    assert b"<!DOCTYPE html>" in read_file(place(url).with_name("field.report.html"))
    assert CliRunner().invoke(app, ["verify", url]).exit_code == 0
    assert json.loads(CliRunner().invoke(app, ["status", url, "--json"]).output)["complete"]
    exported = CliRunner().invoke(app, ["export", url, "--as", "csv"])
    assert exported.exit_code == 0 and list((tmp_path / "field_csv").glob("*.csv"))
    everything = [folder_at(url).read(key) for key in keys(url)] + [
        p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()
    ]
    assert not [data for data in everything if b"s3cr3t-of-the-test" in data]


def test_killed_and_resumed(url, tmp_path):
    """A worker that is killed loses the tile that it was writing, and nothing else."""
    stage = make_stage(members=64, blocks=(8, 2))
    expected, before = run(tmp_path / "whole.zarr", stage), {}
    code = "import sys; from store_writers import *; run(sys.argv[1], make_stage(members=64, blocks=(8, 2)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    for wanted in (2, 7, 11):
        process = subprocess.Popen([sys.executable, "-c", code, url], env=environment)
        end = time.monotonic() + 60
        while time.monotonic() < end and len(folder_at(url).children("ledger/members/entries/c")) < wanted:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = {tile: entry.time for tile, entry in open_store(url).entries().items()}
        assert len(after) >= wanted and before.items() <= after.items()
        before = after
    assert run(url, stage) == expected
    assert before.items() <= {tile: entry.time for tile, entry in open_store(url).entries().items()}.items()
    assert verify_store(url) == []


def test_what_cannot_be_used_is_refused_in_one_sentence(url, tmp_path, monkeypatch):
    with pytest.raises(StoreRefused, match="there is no such bucket"):
        run("s3://nobody/field.zarr")
    with pytest.raises(StoreRefused, match="there is no store"):
        open_store(url)
    for text, message in [
        ("  ", "blank"),
        ("s3://", "no address of a store"),
        ("s3://bucket", "no address of a store"),
        ("ftp://host/name", "no address of a store; allowed: s3://BUCKET/NAME"),
        ("s3://user:password@bucket/name", "must not hold a password"),
        ("s3://bucket/name?secret=1", "more than a bucket and a path"),
    ]:
        with pytest.raises(StoreRefused, match=message) as refused:
            place(text)
        assert "password@" not in str(refused.value) and "secret=" not in str(refused.value)
    folder_at(url).write("notes.txt", b"mine")
    with pytest.raises(StoreRefused, match="other things in it"):
        run(url)
    run(url.replace("field", "sound"))
    folder_at(url.replace("field", "sound")).write("members/soc/c/0/0/0/0", b"no numbers")
    with pytest.raises(Damaged, match=r"s3://bucket/.*members/soc/c/0/0/0/0"):
        open_store(url.replace("field", "sound")).read_tile("members", 0)
