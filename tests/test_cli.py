"""The command line as a stranger meets it."""

import json
import re
import subprocess
import sys
import time

import pytest
from studies import TEXT, write_study
from toy_models import STUDY, write_toy
from typer.testing import CliRunner

from ensemble import __version__
from ensemble.cli import app
from ensemble.store import place


def ensemble(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["--version"], ["run", "--help"]])
def test_starts_without_jax(arguments):
    code = f"import sys; sys.argv = ['ensemble', *{arguments!r}]\nfrom ensemble.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code\nassert 'jax' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_version_needs_no_command():
    result = ensemble("--version")
    assert result.exit_code == 0 and result.output == f"ensemble {__version__}\n"


def test_the_package_itself_is_the_command():
    done = subprocess.run([sys.executable, "-m", "ensemble", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"ensemble {__version__}\n"


def test_wrong_input_is_one_sentence_code_2_and_nothing_written(tmp_path):
    study = write_study(tmp_path, TEXT.replace("design:", "desing:"))
    result = ensemble("run", study, "--out", tmp_path / "store.zarr")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {study}:17: desing: unknown key; did you mean 'design'?")
    assert not (tmp_path / "store.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "s.yaml", "--members", "1.5"], "'--members': 1.5 is not allowed; allowed: a whole number; see"),
        (["validate", "s.yaml", "--seed", "x"], "'--seed': x is not allowed; allowed: a whole number; see"),
        (["run"], "missing argument"),
        (["status", "s.zarr", "--jsn"], "no such option: --jsn"),
        (["reun"], "no such command 'reun'"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(arguments, message):
    result = ensemble(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and message in result.stderr and result.stderr.count("\n") == 1


def test_one_member_has_no_interval(tmp_path):
    certain = re.sub(r"uncertain:\n.*?(?=scenarios:)", "", STUDY, flags=re.DOTALL)
    alone = ["--members", "1", "--set", "report.output=soc"]
    result = ensemble("run", write_toy(tmp_path, certain), *alone, "--out", tmp_path / "o.zarr")
    assert result.exit_code == 0 and "t C/ha (one member, no spread)" in result.output
    assert re.search(r"holds 5\.\d t C/ha more\.", result.output), result.output
    assert "% interval" not in result.output + (tmp_path / "o.report.html").read_text()


def test_a_refused_path_with_dots_leaves_nothing_behind(tmp_path):
    study = write_toy(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    result = ensemble("run", study, "--out", f"{tmp_path}/a/b/../../mine")
    assert result.exit_code == 2 and "folder with other things in it" in result.stderr
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts] == before
    assert place(f"{tmp_path}/a/b/../../ok.zarr") == tmp_path / "ok.zarr"


@pytest.mark.parametrize("command", ["run", "validate", "status", "verify", "report", "export"])
def test_a_missing_path_is_code_2(command, tmp_path):
    result = ensemble(command, tmp_path / "nothing")
    assert result.exit_code == 2, result.output
    assert "nothing" in result.stderr and "Traceback" not in result.output


def test_validate_prints_the_plan_and_writes_nothing(tmp_path):
    study = write_study(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = ensemble("validate", study)
    assert result.exit_code == 0, result.output
    for word in ("members:   64", "tiles:", "bytes:", "memory:", "correlated"):
        assert word in result.output
    assert sorted(tmp_path.rglob("*")) == before


def test_from_run_to_export(tmp_path):
    study, store = write_toy(tmp_path), tmp_path / "out.zarr"
    result = ensemble("--quiet", "run", study, "--out", store, "--members", "64", "--seed", "9")
    assert result.exit_code == 0, result.output
    assert "90 % interval" in result.stdout and result.stdout.endswith(f"report: {tmp_path / 'out.report.html'}\n")
    assert (tmp_path / "out.report.html").stat().st_size > 10_000
    status = json.loads(ensemble("status", store, "--json").output)
    assert status["complete"] and status["stages"][0]["members"] == 64
    assert "no damage" in ensemble("verify", store).output
    exported = ensemble("export", store, "--as", "csv")
    assert exported.exit_code == 0 and any(line.endswith(".csv") for line in exported.output.split())
    assert ensemble("export", store, "--as", "excel").exit_code == 2
    assert ensemble("report", store).exit_code == 0


def test_an_output_folder_that_cannot_be_written(tmp_path):
    study = write_toy(tmp_path)
    (tmp_path / "file").write_text("in the way")
    result = ensemble("run", study, "--out", tmp_path / "file" / "out.zarr")
    assert result.exit_code == 2, result.output
    assert "file" in result.stderr and "Traceback" not in result.output


def test_new_studies_validate_as_they_stand(tmp_path):
    from ensemble.models.registry import builtin_models

    for name, model in builtin_models().items():
        file = tmp_path / f"{name}.yaml"
        if model.time is None and any("time" in spec.dims for spec in model.inputs):
            assert "is a model of an input" in ensemble("new", name, "--out", file).stderr
            continue
        assert ensemble("new", name, "--out", file).exit_code == 0
        result = ensemble("validate", file)
        assert result.exit_code == 0, (name, result.output)
        assert ensemble("new", name, "--out", file).exit_code == 2


def test_models_and_schema():
    assert "rothc" in ensemble("models").output
    shown = ensemble("models", "rothc").output
    assert "k_hum [yr-1]" in shown and "0.02" in shown
    assert json.loads(ensemble("models", "rothc", "--json").output)["name"] == "rothc"
    assert ensemble("models", "rothk").exit_code == 2
    assert "uncertain" in json.loads(ensemble("schema").output)["properties"]


def test_help_is_quick():
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "from ensemble.cli import app"], check=True)
    with_cli = time.monotonic() - started
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import jax"], check=True)
    assert with_cli < 2 * (time.monotonic() - started) + 0.5  # a ratio: the machine may be busy
