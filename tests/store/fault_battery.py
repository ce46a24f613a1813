"""The fault battery: kill, damage, fill and misname stores, and print a table of what held.

    python tests/store/fault_battery.py [--short]

Exits with 1 if anything was lost. `make test-faults` runs all of it; `make test` the short version.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

FULL = {
    "tiles": 100,
    "statistics": 50,
    "workers": 50,
    "sigterm": 50,
    "bytes": 300,
    "step": 1,
    "run": 14,
    "many": 10_000,
}
SHORT = {"tiles": 5, "statistics": 3, "workers": 3, "sigterm": 0, "bytes": 36, "step": 40, "run": 0, "many": 300}


def rows(folder, counts):
    """Every row as it is finished: what, tried, held, remark."""
    import fault_files as files
    import fault_kills as kills
    from toy_models import write_toy

    chance, study = random.Random(8), write_toy(folder)
    yield kills.kill_in_tiles(folder, counts["tiles"], chance)
    yield kills.kill_in_statistics(folder, counts["statistics"], chance)
    yield kills.kill_one_of_two(folder, counts["workers"], chance)
    yield files.damaged_bytes(folder, counts["bytes"], chance)
    yield files.full_disk(folder, counts["step"])
    yield files.paths(folder)
    yield files.leftovers_and_versions(folder)
    yield files.many_tiles(folder, counts["many"])
    if counts["sigterm"]:
        yield kills.end_by_sigterm(folder, study, counts["sigterm"], chance)
    if counts["run"]:
        yield files.full_disk_of_a_run(folder, study, counts["run"])


def main():
    """Print the table; whether all held."""
    counts, good = SHORT if "--short" in sys.argv else FULL, True
    print(f"{'fault':<40} {'tried':>6} {'held':>6} {'seconds':>8}  remark", flush=True)
    with tempfile.TemporaryDirectory() as name:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{name}/compiled"  # runs of one study compile once
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        started = time.monotonic()
        for what, tried, held, remark in rows(Path(name), counts):
            now = time.monotonic()
            print(f"{what:<40} {tried:>6} {held:>6} {now - started:>8.1f}  {remark}", flush=True)
            started, good = now, good and held == tried
    return good


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
