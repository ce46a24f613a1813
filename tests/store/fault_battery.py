"""The fault battery: kill, damage, fill and misname stores, and print a table of what held.

    python tests/store/fault_battery.py [--short] [row ...]

Exits with 1 if anything was lost. `make test-faults` runs all of it; `make test` the short version.
"""

import os
import random
import sys
import tempfile
import time
from pathlib import Path

FULL = {
    "tiles": 100, "statistics": 50, "workers": 50, "bytes": 300, "disk": 1, "paths": 1, "leftovers": 1, "many": 10_000,
    "sigterm": 40, "command": 10, "run": 14,
}  # fmt: skip
SHORT = {
    "tiles": 5,
    "statistics": 3,
    "workers": 3,
    "bytes": 36,
    "disk": 40,
    "paths": 1,
    "leftovers": 1,
    "many": 300,
    "sigterm": 3,
}


def rows(folder, counts):
    """Every row as it is finished: what, tried, held, remark."""
    import fault_files as files
    import fault_kills as kills
    from toy_models import write_toy

    chance, study = random.Random(8), write_toy(folder)
    table = {
        "tiles": lambda count: kills.kill_in_tiles(folder, count, chance),
        "statistics": lambda count: kills.kill_in_statistics(folder, count, chance),
        "workers": lambda count: kills.kill_one_of_two(folder, count, chance),
        "bytes": lambda count: files.damaged_bytes(folder, count, chance),
        "disk": lambda step: files.full_disk(folder, step),
        "paths": lambda _: files.paths(folder),
        "leftovers": lambda _: files.leftovers_and_versions(folder),
        "many": lambda count: files.many_tiles(folder, count),
        "sigterm": lambda count: kills.end_by_sigterm(folder, "SIGTERM of a writer", kills.stoppable, count, chance),
        "command": lambda count: kills.end_by_sigterm(
            folder, "SIGTERM of ensemble run", kills.whole_command(study), count, chance
        ),
        "run": lambda count: files.full_disk_of_a_run(folder, study, count),
    }
    for name, row in table.items():
        if name in counts:
            yield row(counts[name])


def main():
    """Print the table; whether all held."""
    counts, good = SHORT if "--short" in sys.argv else FULL, True
    chosen = [name for name in sys.argv[1:] if name in counts]
    counts = {name: count for name, count in counts.items() if name in chosen or not chosen}
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
