"""Shared fixtures."""

from pathlib import Path

import jax
import pytest

SHARED = Path(__file__).parents[2] / "shared"


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
