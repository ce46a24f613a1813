"""A real SLURM on this machine: an array of workers, preempted, killed, requeued, and finished to the same bytes.

`make test-slurm` runs it. It needs root and the Debian packages slurm-wlm and munge.
"""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from toy_models import compiled_once, write_toy
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.pipeline import load_plan, run_plan
from ensemble.store import jobs_folder, open_store, read_claims, store_status

ROOT = Path(__file__).parents[1]
OVERRIDES = ["store.tile.members=16", "design.members=8192", "execution.slurm.jobs=2", "execution.slurm.cpus=1",
             "execution.slurm.memory=1500M", "execution.slurm.time=00:20:00"]  # fmt: skip
SETTINGS = [argument for override in OVERRIDES for argument in ("--set", override)]
# Nothing here is timed: this only ends a test that hangs, also on a busy machine.
PATIENCE = 600.0

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))),
        reason="a private SLURM needs root and the packages slurm-wlm and munge",
    ),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A private SLURM; gives nothing, sets SLURM_CONF."""
    folder = tmp_path_factory.mktemp("slurm")
    changed = {"SLURM_CONF": f"{folder}/slurm.conf", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | compiled_once(folder)
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    up = subprocess.run([ROOT / "scripts/slurm_up.sh", folder], check=False, capture_output=True, text=True)
    if up.returncode:
        subprocess.run([ROOT / "scripts/slurm_down.sh", folder], check=False)
        pytest.skip(f"a private SLURM does not start here: {up.stderr.strip()}")
    yield
    subprocess.run(["scancel", "--full", "--user=root"], check=False)
    subprocess.run([ROOT / "scripts/slurm_down.sh", folder], check=True)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def ask(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def wait_for(what, condition):
    """Poll until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen in {PATIENCE:.0f} s\n{ask('squeue')}"
        time.sleep(0.3)
    return found


def ensemble(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def status(store):
    return json.loads(ensemble("status", store, "--json"))


def tiles_done(store):
    return open_store(store).entries("members") if store.is_dir() else {}


def claim_of(store, array):
    """A claim of any element of an array."""
    claims = read_claims(store).get("members", ())
    return next((c for c in claims if c.owner is not None and str(c.owner.job).startswith(f"{array}_")), None)


def state(job):
    found = ask("scontrol", "show", "job", job)
    return re.search(r"JobState=(\w+)", found)[1], int(re.search(r"Restarts=(\d+)", found)[1])


# dask-jobqueue leaves its files of certificates to the garbage collector, which then warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_dask_workers_on_the_queue_end_with_the_same_bytes(tmp_path, slurm):
    study = write_toy(tmp_path)
    small = [*OVERRIDES, "design.members=512"]
    dask = [*small, "execution.backend=dask", "execution.dask.queue=slurm"]
    run_plan(load_plan(study, dask, None, None), tmp_path / "dask.zarr", quiet=True)
    run_plan(load_plan(study, small, None, None), tmp_path / "local.zarr", quiet=True)
    assert open_store(tmp_path / "dask.zarr").digest() == open_store(tmp_path / "local.zarr").digest()
    gc.collect()
    logs = [path for path in jobs_folder(tmp_path / "dask.zarr").rglob("*") if path.is_file()]
    assert logs and not [path for path in logs if b"PRIVATE KEY" in path.read_bytes()]


def test_an_adaptive_study_submits_one_array_a_round(tmp_path, slurm):
    study, store = write_toy(tmp_path), tmp_path / "adaptive.zarr"
    stop = ["design.members=256", "design.stop={mean: 1.0e-9, output: soc, max_members: 1024}"]
    overrides = [*OVERRIDES, *stop, "execution.slurm.jobs=1"]  # each element takes seconds to start
    settings = [argument for override in overrides for argument in ("--set", override)]
    ensemble("submit", study, "--out", store, *settings)
    wait_for("the end", lambda: status(store).get("jobs", {}).get("reduction") in ("done", "failed"))
    assert status(store)["jobs"]["reduction"] == "done" and (tmp_path / "adaptive.report.html").is_file()
    arrays = {path.name.split("_")[0] for path in jobs_folder(store).glob("work-*_*.state")}
    assert len(arrays) == 3  # one a round: 256, 512 and 1,024 members
    assert store_status(store).stages[0].members == 1024
    run_plan(load_plan(study, overrides, None, None), tmp_path / "local.zarr", quiet=True)
    assert open_store(store).digest() == open_store(tmp_path / "local.zarr").digest()


def test_an_array_is_preempted_killed_requeued_and_ends_with_the_bytes_of_a_local_run(tmp_path, slurm):
    study, store = write_toy(tmp_path), tmp_path / "array.zarr"
    submitted = ensemble("submit", study, "--out", store, *SETTINGS)
    array, finish = re.search(r"array (\d+), then job (\d+)", submitted).groups()
    again = CliRunner().invoke(app, ["submit", str(study), "--out", str(store), *SETTINGS])
    assert again.exit_code == 2 and "already work on this store" in again.stderr
    wait_for("the first tiles", lambda: len(tiles_done(store)) > 10)

    urgent = ask("sbatch", "--parsable", "--partition=urgent", "--cpus-per-task=2", "--mem=100M", "--output=/dev/null",
                 "--wrap=sleep 3").strip()  # fmt: skip
    wait_for("preemption", lambda: state(urgent)[0] in ("RUNNING", "COMPLETED"))
    kept = tiles_done(store)
    assert 10 < len(kept) < 512
    wait_for("the restart", lambda: state(f"{array}_0")[1] >= 1 and state(f"{array}_0")[0] == "RUNNING")
    wait_for("more tiles", lambda: len(tiles_done(store)) > len(kept) + 10)

    before = tiles_done(store)
    owner = wait_for("a claim", lambda: claim_of(store, array)).owner
    os.kill(owner.pid, signal.SIGKILL)
    wait_for("its end", lambda: state(owner.job)[0] == "FAILED")
    ask("scontrol", "requeue", owner.job)
    after = wait_for("more tiles", lambda: len(found := tiles_done(store)) > len(before) + 10 and found)
    for earlier in (kept, before):
        assert all(after[tile].time == entry.time for tile, entry in earlier.items())  # nothing is done twice

    wait_for("the end", lambda: status(store).get("jobs", {}).get("reduction") in ("done", "failed"))
    found = status(store)
    logs = "\n".join(path.read_text() for path in jobs_folder(store).glob("*.log"))
    assert found["complete"] and found["jobs"]["reduction"] == "done", logs
    assert "stopped; finished tiles are kept" in logs, logs  # SIGTERM came before SIGKILL
    assert (tmp_path / "array.report.html").is_file()
    wait_for("the queue to be empty", lambda: finish not in ask("squeue", "--noheader", "--format=%i"))
    run_plan(load_plan(study, OVERRIDES, None, None), tmp_path / "local.zarr", quiet=True)
    assert open_store(store).digest() == open_store(tmp_path / "local.zarr").digest()
