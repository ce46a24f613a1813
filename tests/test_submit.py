"""Job scripts, what a study may put into them, and following jobs from their files alone."""

import json
import subprocess

import pytest
from studies import write_study
from toy_models import STUDY, write_toy
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.config import InputError, load_study
from ensemble.models.registry import NO_USER_CODE
from ensemble.store import jobs_folder

QUEUE = """
execution:
  slurm:
    jobs: 6
    partition: main
    gpus: 1
    time: 02:30:00
    cpus: 4
    memory: 8G
    modules: [cuda/12.4]
    environment: {XLA_FLAGS: "--xla_gpu_deterministic_ops=true; rm -rf /"}
store: {tile: {members: 16}}
"""


def ensemble(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_a_dry_run_prints_a_script_that_bash_accepts_and_writes_nothing(tmp_path):
    study = write_toy(tmp_path, STUDY + QUEUE)
    before = sorted(tmp_path.rglob("*"))
    done = ensemble("submit", study, "--dry-run", "--out", tmp_path / "a b.zarr", "--seed", 5, "--setup", "echo here")
    assert done.exit_code == 0, done.output
    assert sorted(tmp_path.rglob("*")) == before
    for line in (
        "array:  6 elements for 8 tiles",
        "memory: 8G an element",
        "6 x 02:30:00 = 60 core-hours and 15 GPU-hours",
        "#SBATCH --array=0-5",
        "#SBATCH --partition=main",
        "#SBATCH --gpus=1",
        "#SBATCH --mem=8G",
        "module load cuda/12.4",
        "export XLA_FLAGS='--xla_gpu_deterministic_ops=true; rm -rf /'",
        f"work '{tmp_path}/a b.zarr' --study {study} --seed 5 &",
        f"run {study} --out '{tmp_path}/a b.zarr' --seed 5 &",
    ):
        assert line in done.output, line
    script = done.output[done.output.index("#!/bin/bash") :]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_names_are_quoted_as_slurm_reads_them_and_never_become_lines(tmp_path):
    folder = tmp_path / 'a "b" #1 %j'
    folder.mkdir()
    study = write_toy(folder)
    done = ensemble("submit", study, "--dry-run", "--out", folder / "s.zarr")
    assert done.exit_code == 0, done.output
    name = str(folder).replace('"', r"\"").replace("%", "%%")
    assert f'#SBATCH --output="{name}/s.jobs/work-%A_%a.log"' in done.output.splitlines()
    done = ensemble("submit", study, "--dry-run", "--out", f"{tmp_path}/x\nrm -rf y/s.zarr")
    assert done.exit_code == 2 and "cannot stand in a job script" in done.stderr


def test_jobs_refuse_user_code_where_the_submitter_does(tmp_path, monkeypatch):
    monkeypatch.setenv(NO_USER_CODE, "")  # restored afterwards: the option sets it
    done = ensemble("--no-user-code", "submit", write_study(tmp_path), "--dry-run", "--out", tmp_path / "s.zarr")
    assert done.exit_code == 0, done.output
    assert done.output.count("ensemble --no-user-code work") == done.output.count("ensemble --no-user-code run") == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("partition", "main; rm -rf /", "execution.slurm.partition"),
        ("modules", '["x\\ny"]', "execution.slurm.modules"),
        ("environment", "{LD_PRELOAD: /tmp/x.so}", "execution.slurm.environment"),
        ("environment", '{XLA_FLAGS: "a\\nb"}', "execution.slurm.environment"),
        ("time", "soon", "execution.slurm.time"),
    ],
)
def test_a_study_puts_no_code_into_a_script(tmp_path, key, value, message):
    with pytest.raises(InputError, match=message):
        load_study(write_toy(tmp_path), [f"execution.slurm.{key}={value}"])


def test_where_there_is_no_slurm_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = ensemble("submit", write_toy(tmp_path), "--out", tmp_path / "s.zarr")
    assert done.exit_code == 2
    assert "sbatch is not on this machine; submit where SLURM is" in done.stderr


def test_status_follows_files_when_the_scheduler_is_down(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    store = tmp_path / "s.zarr"
    folder = jobs_folder(store)
    folder.mkdir()
    note = {"array": "12", "finish": "13", "elements": 4, "submitted": 0.0}
    (folder / "submitted.json").write_text(json.dumps(note))
    for number, state in enumerate(("done", "running", "failed")):
        (folder / f"work-12_{number}.state").write_text(f"{state} 1 node\n")
    (folder / "work-12_1.log").write_text("first\rlast words\n\n")
    done = ensemble("status", store)
    assert done.exit_code == 0, done.output
    assert "array 12: 1 pending, 1 running, 1 done, 1 failed; job 13 that reduces: pending" in done.output
    assert "last log line: last words" in done.output
    found = json.loads(ensemble("status", store, "--json").output)
    assert found["jobs"]["failed"] == 1 and not found["complete"]


def test_an_adaptive_study_ends_its_array_with_the_next_round(tmp_path):
    study, stop = write_toy(tmp_path), "design.stop={mean: 0.01, max_members: 1024}"
    done = ensemble(
        "submit", study, "--out", tmp_path / "s.zarr", "--set", stop, "--setup", "module load x", "--dry-run"
    )
    assert done.exit_code == 0, done.output
    script = done.output[done.output.rindex("#!/bin/bash") :]
    assert f" submit {study} --out {tmp_path}/s.zarr --set '{stop}' --setup 'module load x' --round &" in script
