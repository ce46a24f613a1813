"""What the documentation shows is run."""

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from studies import write_study
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.config import load_study
from ensemble.config.reference import study_reference
from ensemble.models.registry import builtin_models
from ensemble.pipeline import load_plan, run_plan
from ensemble.plan import make_plan
from ensemble.store import open_store

ERRORS = ("StoreRefused", "StoreFull", "Stopped", "Damaged")
ROOT = Path(__file__).parents[1]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def test_study_reference_is_the_schema():
    assert (ROOT / "docs" / "study_file.md").read_text() == study_reference(), "run python -m ensemble.config.reference"


def test_python_page(tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names: dict = {}
        for code in blocks("docs/python.md", "python"):
            exec(code, names)
    assert "('scenario', 'site', 'time')" in printed.getvalue()


def test_stocks_page(tmp_path, monkeypatch):
    """The example that users are told to copy."""
    (shown,) = blocks("docs/stocks.md", "bash")
    table, command = re.fullmatch(r"cat > my_fields.csv <<'END'\n(.*?)END\nensemble (.*)\n", shown, re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_fields.csv").write_text(table)
    found = CliRunner().invoke(app, shlex.split(command))
    assert found.exit_code == 0, found.output
    assert "Home meadow: 71.0 (62." in found.output
    assert len((tmp_path / "my_stocks.csv").read_text().splitlines()) == 3


def test_own_model_page(tmp_path):
    (code,) = blocks("docs/own_model.md", "python")
    (study,) = blocks("docs/own_model.md", "yaml")
    (tmp_path / "my_model.py").write_text(code)
    (tmp_path / "my_study.yaml").write_text(study)
    result = run_plan(load_plan(tmp_path / "my_study.yaml", (), None, 64), tmp_path / "out.zarr", quiet=True)
    assert result.failed == 0
    soc = open_store(tmp_path / "out.zarr").dataset("members").soc
    assert soc.shape == (64, 1, 1, 30) and float(soc.std("member").min()) > 0


def test_soil_page(tmp_path):
    """The two studies of the page give the figures that it prints."""
    found = []
    for number, study in enumerate(blocks("docs/models/soil.md", "yaml")):
        (tmp_path / f"{number}.yaml").write_text(study)
        path = tmp_path / f"{number}.zarr"
        run_plan(load_plan(tmp_path / f"{number}.yaml", (), None, None), path, quiet=True)
        found.append(open_store(path).dataset("statistics").squeeze())
    stock, saturation = found
    assert stock.soc_stock_mean == pytest.approx(48.0, abs=0.05)
    assert stock.soc_stock_sd == pytest.approx(4.3, abs=0.05)
    assert stock.soc_stock_sd_delta == pytest.approx(float(stock.soc_stock_sd), rel=0.01)
    np.testing.assert_allclose(stock.soc_stock_quantile.sel(quantile=[0.05, 0.95]), [41.3, 55.3], atol=0.05)
    assert stock.soc_stock_probability_above == pytest.approx(0.755, abs=5e-4)
    for name, mean, sd in [("hassink", 5.93, 0.99), ("elustondo", 5.93, 0.99), ("mean", 5.93, 0.92)]:
        assert saturation[f"potential_{name}_mean"] == pytest.approx(mean, abs=5e-3)
        assert saturation[f"potential_{name}_sd"] == pytest.approx(sd, abs=5e-3)


@pytest.mark.parametrize("config", sorted(p.name for p in (ROOT / "configs").glob("*.yaml")))
def test_every_config_is_a_valid_study(config):
    plan = make_plan(load_study(ROOT / "configs" / config))
    assert plan.members >= 1 and plan.tiling.count >= 1


def test_readme_study_is_valid(tmp_path):
    study = next(b for b in blocks("README.md", "yaml") if "forcing: my_site.csv" in b)
    write_study(tmp_path)
    (tmp_path / "forcing.csv").rename(tmp_path / "my_site.csv")
    (tmp_path / "field.yaml").write_text(study)
    assert make_plan(load_study(tmp_path / "field.yaml")).members == 4096


def test_every_model_has_a_page():
    pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "models").glob("*.md"))
    for name in builtin_models():
        assert f"`{name}`" in pages, name


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def clauses(node):
    """Parts of a message that are always the same, without marks."""
    parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    cut = [plain(clause) for part in parts for clause in re.split(r"[;:(),]", part)]
    return [clause for clause in cut if len(clause) >= 10]


def plain(text):
    return re.sub(r"[`\s]+", " ", text).strip()


def test_every_message_about_a_store_or_a_run_is_explained():
    """The page names each sentence by one of its clauses; messages about a study say themselves what is allowed."""
    page, kinds, missing, found = plain((ROOT / "docs/trouble.md").read_text()), set(ERRORS), [], 0
    for file in sorted((ROOT / "ensemble").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and getattr(node.exc.func, "id", "") in kinds
            ):
                found += 1
                if not any(clause in page for clause in clauses(node.exc.args[0])):
                    missing.append(f"{file.name}:{node.lineno}")
    assert found > 40
    assert not missing, missing
