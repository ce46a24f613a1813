"""Peak memory against the size of an ensemble: tiles are streamed, so neither members nor sites should count.

    python benchmarks/memory.py members [number ...]      RothC, 100 years, one site, members not kept
    python benchmarks/memory.py sites [number ...]        stock of each pixel, 1,000 members, reduced to statistics
    python benchmarks/memory.py map [number ...]          RothC, 30 years at each pixel, 256 members, reduced

Each size is a process of its own. Largest resident memory, seconds of the whole run (start, compilation, tiles,
statistics, report), work done in a second, size of the store, and seconds of a tile in the run; `computing`
and `writing` are the seconds of a tile when the first tiles are computed again without being written, and when
they are summarised and written again without being computed; where the run took less than their sum, they
overlapped. All are medians over tiles; other programs on the cores spoil them, but not the memory.
"""

import json
import resource
import subprocess
import sys
import tempfile
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
MAP = """
model: rothc
sites: sites.csv
inputs:
  period: {start: 2001, end: 2030}
  temperature: {monthly: [3.7, 3.1, 5.5, 7.4, 10.9, 14.4, 16.3, 16.2, 13.8, 9.5, 6.2, 4.1]}
  precipitation: {monthly: [74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71]}
  pan_evaporation: {monthly: [8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8]}
  plant_carbon: {monthly: [0.1, 0.1, 0.2, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1]}
  plant_cover: 1
  clay: {column: clay}
  depth: 23
  iom: 2.7
uncertain:
  k_hum: {distribution: lognormal, median: 0.02, cv: 0.1}
  plant_carbon: {as: factor, distribution: lognormal, median: 1, cv: 0.2}
outputs: {variables: [soc]}
design: {type: monte_carlo, members: 256, seed: 1}
store: {members: drop}
"""
CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from ensemble.pipeline import load_plan, run_plan
from ensemble.pipeline.bins import bins_for
from ensemble.pipeline.layout import STAGE, root_attributes, stage_of
from ensemble.pipeline.tiles import provenance_of, tile_arrays
from ensemble.propagate import propagate
from ensemble.store import open_store, open_writer
started = time.perf_counter()
plan, store = load_plan(sys.argv[1], [], None, int(sys.argv[2]) or None), Path(sys.argv[3])
run_plan(plan, store, quiet=True)
seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = sorted(entry.time for entry in open_store(store).entries().values())
size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
marks, writing, bins = [], [], bins_for(plan, store)
results = list(propagate(plan, range(1)))  # the program is compiled
for result in propagate(plan, range(min(len(times), 7))):
    marks.append(time.perf_counter())
    results = [*results, result][-3:]
with open_writer(store.with_name("again.zarr"), provenance_of(plan), [stage_of(plan, bins)], root_attributes(plan)) as again:
    for result in results:
        begun = time.perf_counter()
        again.write_tile(STAGE, result.tile.index, tile_arrays(plan, result, bins.bins))
        writing.append(time.perf_counter() - begun)
middle = [float(np.median(np.diff(times))) if len(times) > 1 else 0.0, float(np.median(np.diff(marks))) if len(marks) > 1 else 0.0, float(np.median(writing))]
print(json.dumps([plan.members, len(plan.sites), len(times), peak, seconds, size, *middle]))
"""


CASES = {
    "members": (MEMBERS, YEARS, [10_000, 100_000, 1_000_000, 10_000_000]),
    "sites": (SITES, 1, [10_000, 100_000, 1_000_000]),
    "map": (MAP, 30, [1_000, 10_000]),
}


def measure(text: str, members: int, sites: int) -> list[float]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(text)
        if sites:
            with (folder / "sites.csv").open("w") as file:
                file.write("site,soc,density,clay\n")
                rows = (f"p{i},{10 + i % 40},{1.1 + 0.001 * (i % 400):.3f},{10 + i % 40}\n" for i in range(sites))
                file.writelines(rows)
        command = [sys.executable, "-c", CHILD, str(folder / "study.yaml"), str(members), str(folder / "out.zarr")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table."""
    what, *numbers = sys.argv[1:] or ["members"]
    text, years, sizes = CASES[what]
    sizes = [int(number.replace("_", "")) for number in numbers] or sizes
    unit = 1024 if sys.platform != "darwin" else 1
    work = "pairs/s" if years == 1 else "member-years/s"
    print(
        f"{what:>12} {'tiles':>6} {'peak MB':>8} {'seconds':>8} {work:>15} {'store MB':>9} {'s a tile':>9}"
        f" {'computing':>10} {'writing':>8}"
    )
    for size in sizes:
        arguments = (text, size, 0) if what == "members" else (text, 0, size)
        members, sites, tiles, peak, seconds, stored, both, computing, writing = measure(*arguments)
        print(
            f"{size:>12,} {tiles:>6,} {peak * unit / 1e6:>8.0f} {seconds:>8.1f}"
            f" {members * sites * years / seconds:>15,.0f} {stored / 1e6:>9.1f} {both:>9.2f}"
            f" {computing:>10.2f} {writing:>8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    assert hasattr(resource, "getrusage")
    main()
