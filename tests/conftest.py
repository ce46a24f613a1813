"""Shared fixtures."""

import tempfile
from pathlib import Path

import jax
import pytest

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure(config):
    """Programs that tests of one process have in common are compiled once; children of tests do not share them."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    jax.config.update("jax_compilation_cache_dir", folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture
def shared():
    """Folder of the reference data that does not travel with the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data at {SHARED}")
    return SHARED


@pytest.fixture
def x64():
    """Run the test in float64 without changing the global setting."""
    with jax.enable_x64(True):
        yield
