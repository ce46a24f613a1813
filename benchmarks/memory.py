"""Peak memory against the number of members: constant, because tiles are streamed.

    python benchmarks/memory.py [members ...]

Runs the Hoosfield study without keeping members, each size in a process of its own, and prints the largest
resident memory and the time of each.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = Path(__file__).parents[1] / "configs" / "hoosfield.yaml"
CHILD = """
import resource, sys
from pathlib import Path
from ensemble.pipeline import load_plan, run_plan
plan = load_plan(sys.argv[1], ["store.members=drop"], None, int(sys.argv[2]))
run_plan(plan, Path(sys.argv[3]), quiet=True)
print(plan.members, plan.tiling.count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure(members: int) -> tuple[int, int, float, float]:
    """Members after rounding, tiles, peak memory (MB) and seconds of one run."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        arguments = [sys.executable, "-c", CHILD, str(STUDY), str(members), os.path.join(folder, "out.zarr")]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - started
    rounded, tiles, peak = map(int, done.stdout.split())
    unit = 1024 if sys.platform != "darwin" else 1024**2
    return rounded, tiles, peak / unit, seconds


def main() -> None:
    """Print the table."""
    sizes = [int(text) for text in sys.argv[1:]] or [16_384, 131_072, 1_048_576]
    print(f"{'members':>10} {'tiles':>6} {'peak MB':>8} {'seconds':>8} {'member-years/s':>15}")
    for size in sizes:
        members, tiles, peak, seconds = measure(size)
        print(
            f"{members:>10,} {tiles:>6} {peak:>8.0f} {seconds:>8.1f} {members * 149 * 3 / seconds:>15,.0f}", flush=True
        )


if __name__ == "__main__":
    assert hasattr(resource, "getrusage")
    main()
