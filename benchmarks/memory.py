"""Peak memory against the size of an ensemble: tiles are streamed, so neither members nor sites should count.

    python benchmarks/memory.py members [number ...]      RothC, 100 years, one site, members not kept
    python benchmarks/memory.py sites [number ...]        stock of each pixel, 1,000 members, reduced to statistics

Each size is a process of its own. Largest resident memory, seconds of the whole run (start, compilation, tiles,
statistics, report), work done in a second, size of the store, and how the time of the tiles is used: `computing`
is the share of the time between the first and the last tile in which the compiled program ran, as measured by
computing the same tiles again without writing them; where computing and writing add up to more than the time
that both together took, they overlapped.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

YEARS = 100
MONTH = """
temperature: [3.7, 3.1, 5.5, 7.4, 10.9, 14.4, 16.3, 16.2, 13.8, 9.5, 6.2, 4.1]
precipitation: [74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71]
pan_evaporation: [8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8]
"""
MEMBERS = f"""
model: rothc
inputs:
  period: {{start: 1901, end: {1900 + YEARS}}}
  temperature: {{monthly: [3.7, 3.1, 5.5, 7.4, 10.9, 14.4, 16.3, 16.2, 13.8, 9.5, 6.2, 4.1]}}
  precipitation: {{monthly: [74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71]}}
  pan_evaporation: {{monthly: [8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8]}}
  plant_carbon: {{monthly: [0.1, 0.1, 0.2, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1]}}
  plant_cover: 1
  clay: {{value: 23.4, units: "%"}}
  depth: 23
  iom: 2.7
uncertain:
  clay: {{distribution: normal, mean: 23.4, sd: 2}}
  k_hum: {{distribution: lognormal, median: 0.02, cv: 0.1}}
  plant_carbon: {{as: factor, distribution: lognormal, median: 1, cv: 0.2}}
outputs: {{variables: [soc]}}
design: {{type: monte_carlo, members: 1000, seed: 1}}
store: {{members: drop}}
"""
SITES = """
model: stock
sites: sites.csv
inputs:
  soc_concentration: {column: soc}
  bulk_density: {column: density}
  depth: {value: 30, units: cm}
uncertain:
  soc_concentration: {as: factor, distribution: lognormal, median: 1, cv: 0.1}
  bulk_density: {as: factor, distribution: normal, mean: 1, sd: 0.05}
outputs: {variables: [soc_stock]}
design: {type: monte_carlo, members: 1000, seed: 1}
store: {members: drop}
"""
CHILD = """
import json, resource, sys, time
from pathlib import Path
from ensemble.pipeline import load_plan, run_plan
from ensemble.propagate import propagate
from ensemble.store import open_store
started = time.perf_counter()
plan = load_plan(sys.argv[1], [], None, int(sys.argv[2]) or None)
run_plan(plan, Path(sys.argv[3]), quiet=True)
seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = sorted(entry.time for entry in open_store(sys.argv[3]).entries().values())
again = range(min(len(times), 6))
marks = [time.perf_counter() for _ in propagate(plan, again)]
alone = (marks[-1] - marks[0]) / max(len(marks) - 1, 1)
both = (times[-1] - times[0]) / max(len(times) - 1, 1)
size = sum(file.stat().st_size for file in Path(sys.argv[3]).rglob("*") if file.is_file())
print(json.dumps([plan.members, len(plan.sites), len(times), peak, seconds, size, both, alone]))
"""


def measure(text: str, members: int, sites: int) -> list[float]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(text)
        if sites:
            with (folder / "sites.csv").open("w") as file:
                file.write("site,soc,density\n")
                file.writelines(f"p{i},{10 + i % 40},{1.1 + 0.001 * (i % 400):.3f}\n" for i in range(sites))
        command = [sys.executable, "-c", CHILD, str(folder / "study.yaml"), str(members), str(folder / "out.zarr")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    what, *numbers = sys.argv[1:] or ["members"]
    sizes = [int(text.replace("_", "")) for text in numbers]
    sizes = sizes or ([10_000, 100_000, 1_000_000, 10_000_000] if what == "members" else [1_000, 10_000, 100_000])
    unit = 1024 if sys.platform != "darwin" else 1
    work = "member-years/s" if what == "members" else "pairs/s"
    print(
        f"{what:>12} {'tiles':>6} {'peak MB':>8} {'seconds':>8} {work:>15} {'store MB':>9} {'s a tile':>9} {'computing':>10}"
    )
    for size in sizes:
        arguments = (MEMBERS, size, 0) if what == "members" else (SITES, 0, size)
        started = time.perf_counter()
        members, sites, tiles, peak, seconds, stored, both, alone = measure(*arguments)
        done = members * sites * (YEARS if what == "members" else 1)
        print(
            f"{size:>12,} {tiles:>6,} {peak * unit / 1e6:>8.0f} {seconds:>8.1f} {done / seconds:>15,.0f}"
            f" {stored / 1e6:>9.1f} {both:>9.2f} {alone:>10.2f}",
            flush=True,
        )
        del started


if __name__ == "__main__":
    assert hasattr(resource, "getrusage")
    main()
