"""Stores to read, to damage and to resume."""

import os
import shutil

import pytest
from store_writers import run


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    """Flushing is for power cuts, which no test makes; the order of writes is tested by itself."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "field.zarr"


@pytest.fixture(scope="session")
def pattern(tmp_path_factory):
    """A finished store and its digest, to be copied."""
    path = tmp_path_factory.mktemp("pattern") / "field.zarr"
    return path, run(path)


@pytest.fixture
def finished(pattern, path):
    """A finished store of one's own."""
    shutil.copytree(pattern[0], path)
    return path
