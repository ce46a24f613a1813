"""What a study that somebody else wrote cannot do, and what a run never writes down."""

import re
import tempfile
from pathlib import Path

import pytest
from studies import write_study
from toy_models import STUDY, write_toy
from typer.testing import CliRunner

import ensemble as package
from ensemble.cli import app
from ensemble.errors import InputError
from ensemble.models.registry import NO_USER_CODE
from ensemble.pipeline import load_plan, run_plan


def test_no_user_code_refuses_a_model_file_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv(NO_USER_CODE, "")  # restored afterwards: the option sets it
    study = write_toy(tmp_path)
    (tmp_path / "my_model.py").write_text("raise SystemExit('the code ran')")
    done = CliRunner().invoke(app, ["--no-user-code", "run", str(study), "--out", str(tmp_path / "s.zarr")])
    assert done.exit_code == 2
    assert "model: my_model.py:DECAY is Python code of its own, which --no-user-code forbids" in done.stderr
    assert not (tmp_path / "s.zarr").exists()
    built_in = CliRunner().invoke(app, ["--no-user-code", "validate", str(write_study(tmp_path))])
    assert built_in.exit_code == 0, built_in.output


@pytest.mark.parametrize("path", ["/etc/passwd", "link.csv", "/proc/self/environ"])
def test_a_path_into_the_system_is_refused(tmp_path, path):
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    study = write_toy(tmp_path, STUDY + f"sites: {path}\n")
    with pytest.raises(InputError, match=rf"the path {path} leads to /(private/)?(etc|proc)/.* no data"):
        load_plan(study, [], None, None)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no disk in memory here")
def test_data_may_lie_on_a_disk_in_memory(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (Path(folder) / "sites.csv").write_text("site\na\nb\n")
        study = write_toy(tmp_path, STUDY + f"sites: {folder}/sites.csv\n")
        assert load_plan(study, [], None, None).sites == ("a", "b")


def test_secrets_of_the_environment_are_written_nowhere(tmp_path, monkeypatch):
    secret = "s3cr3t-" + "x" * 20
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    run_plan(load_plan(write_toy(tmp_path), ["design.members=16"], None, None), tmp_path / "s.zarr", quiet=True)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 20
    assert not [file for file in files if secret.encode() in file.read_bytes()]


def test_no_module_reads_pickles_or_evaluates_text():
    """The only code that a study can name is a model file, read in one place."""
    forbidden = re.compile(
        r"\b(pickle|cloudpickle|joblib|dill|marshal|shelve)\b|allow_pickle=True|\beval\(|\bexec\(|shell=True|os\.system"
    )
    found = [
        f"{p.name}: {m[0]}"
        for p in Path(package.__file__).parent.rglob("*.py")
        for m in forbidden.finditer(p.read_text())
    ]
    assert found == []
