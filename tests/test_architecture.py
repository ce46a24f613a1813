"""The import rule of docs/architecture.md, read from the source."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import ensemble

ROOT = Path(ensemble.__file__).parent
# Rooms from the top of the house to the bottom; a module imports only what stands above its room.
ROOMS = (
    "specs", "errors", "units", "config", "keys", "provenance", "inputs", "design", "models", "plan", "propagate",
    "linearise", "store", "summary", "execute", "inference", "indicators", "mapping", "crediting", "validation",
    "twin", "report", "pipeline", "api", "listing", "cli", "__main__",
)  # fmt: skip
NO_JAX = (
    "specs",
    "errors",
    "units",
    "config",
    "provenance",
    "plan",
    "store",
    "summary",
    "report",
    "cli",
    "listing",
    "__main__",
)


@cache
def modules():
    return {path: ".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in ROOT.rglob("*.py")}


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@cache
def imports(path):
    """(module, at the top of the file) of every import of the package's own modules or of JAX."""
    return tuple(_imports(path))


def _imports(path):
    tree = ast.parse(path.read_text())
    top = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)}
    inner = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) in top - inner
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) in top - inner


def assert_runs(code):
    """Run code in a fresh interpreter; what it prints on its way down is the message."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_every_room_has_a_place_in_the_order():
    found = {room(name) for name in modules().values()} - {"__init__", ""}
    assert found <= set(ROOMS), found - set(ROOMS)


def test_imports_only_look_up():
    wrong = []
    for path, name in modules().items():
        here = room(name)
        if here in ("__init__", ""):
            continue
        for target, _ in imports(path):
            if not target.startswith("ensemble."):
                continue
            there = room(target)
            if there != here and ROOMS.index(there) > ROOMS.index(here):
                wrong.append(f"{name} imports {target}")
    assert not wrong, wrong


def test_propagate_and_store_do_not_know_each_other():
    for path, name in modules().items():
        targets = {room(target) for target, _ in imports(path) if target.startswith("ensemble.")}
        if room(name) == "propagate":
            assert "store" not in targets
        if room(name) == "store":
            assert "propagate" not in targets


def test_only_the_entry_points_import_the_pipeline():
    users = {room(n) for p, n in modules().items() for t, _ in imports(p) if t.startswith("ensemble.pipeline")}
    assert users <= {"cli", "api", "pipeline"}


def test_models_know_only_jax_specs_and_units():
    for path, name in modules().items():
        if room(name) == "models":
            targets = {room(target) for target, _ in imports(path) if target.startswith("ensemble.")}
            assert targets <= {"models", "specs", "units"}, (name, targets)


def test_no_circles_inside_a_room():
    own = set(modules().values())
    graph = {name: {t for t, _ in imports(p) if t in own} for p, name in modules().items()}

    def reaches(start, goal, seen):
        return any(t == goal or (t not in seen and reaches(t, goal, seen | {t})) for t in graph.get(start, ()))

    for name, targets in graph.items():
        for target in targets:
            if room(target) == room(name) and not name.endswith("__init__"):
                assert not reaches(target, name, {target}), f"{name} <-> {target}"


def test_help_and_listings_import_no_jax():
    code = (
        "import sys, ensemble, ensemble.cli, ensemble.listing, ensemble.config\n"
        "ensemble.listing.list_models(); ensemble.listing.show_model('rothc')\n"
        "assert 'jax' not in sys.modules, sorted(m for m in sys.modules if m.startswith('jax'))[:3]\n"
    )
    assert_runs(code)


def test_importing_changes_no_global_setting():
    code = (
        "import jax, os\n"
        "before = (dict(jax.config.values), dict(os.environ))\n"
        "import ensemble, ensemble.cli, ensemble.pipeline, ensemble.propagate\n"
        "assert before == (dict(jax.config.values), dict(os.environ))\n"
    )
    assert_runs(code)
