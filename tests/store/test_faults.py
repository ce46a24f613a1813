"""The fault battery in short; `make test-faults` runs all of it and prints its table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the battery kills forked processes")


def battery(*options):
    """The table of a battery, printed; every row must have held."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    }
    command = [sys.executable, str(HERE / "fault_battery.py"), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_short_battery():
    assert battery("--short").count("\n") == 10


@pytest.mark.faults
def test_full_battery():
    assert battery().count("\n") == 12
