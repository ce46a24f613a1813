"""Speed and memory of maps: a saturation potential and thirty years of RothC over made-up rasters.

    python benchmarks/maps.py                     potential at 1e4 and 1e6 pixels, RothC at 1e3 and 1e4
    python benchmarks/maps.py --quick             a hundredth of the pixels

Every case is a whole `ensemble run` in a process of its own: rasters read, members drawn, computed and stored, exact
quantiles of every pixel, report. Times leave out importing; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

POTENTIAL = """\
model: saturation
sites: {{rasters: {{soc: soc.tif, fine: fine.tif}}}}
inputs: {{soc_concentration: {{column: soc}}, silt_and_clay: {{column: fine}}, bulk_density: 1.3, depth: 30}}
uncertain:
  soc: {{input: soc_concentration, as: factor, distribution: lognormal, median: 1, cv: 0.2, per: site}}
  density: {{input: bulk_density, as: factor, distribution: lognormal, median: 1, cv: 0.08}}
  bias: {{input: soc_concentration, as: factor, distribution: lognormal, median: 1, cv: 0.05}}
design: {{members: {members}, seed: 1}}
outputs: {{variables: [potential_mean]}}
store: {{members: keep}}
"""
ROTHC = """\
model: rothc
options: {{spinup: inverse}}
sites: {{rasters: {{soc: soc.tif, clay: fine.tif}}}}
inputs:
  period: {{start: 2001, end: 2030}}
  soc_measured: {{column: soc}}
  iom: {{model: falloon_iom}}
  clay: {{column: clay}}
  depth: 30
  temperature: [-5, -3, 3, 10, 16, 21, 23, 22, 18, 11, 4, -2]
  precipitation: [50, 50, 70, 95, 105, 105, 100, 95, 85, 75, 75, 60]
  pan_evaporation: [15, 25, 60, 110, 150, 175, 185, 160, 115, 75, 35, 18]
  plant_cover: 1
  plant_carbon: 0.25
uncertain:
  soc: {{input: soc_measured, as: factor, distribution: lognormal, median: 1, cv: 0.2, per: site}}
  k_hum: {{distribution: lognormal, median: 0.02, cv: 0.2}}
  warmth: {{input: temperature, as: offset, distribution: normal, mean: 0, sd: 0.5}}
design: {{members: {members}, seed: 1}}
outputs: {{variables: [soc]}}
store: {{members: keep}}
"""
CASES = (
    ("potential", POTENTIAL, 10_000, 64),
    ("potential", POTENTIAL, 1_000_000, 64),
    ("rothc", ROTHC, 1_000, 64),
    ("rothc", ROTHC, 10_000, 64),
)


def write_rasters(folder: Path, pixels: int) -> None:
    """Carbon (t C/ha or g/kg) and fine soil (%) on a square grid of 1 km."""
    import rasterio
    from rasterio.transform import from_origin

    side = round(pixels**0.5)
    rng = np.random.default_rng(1)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "float32", "crs": "EPSG:32632"}
    for name, low, high in (("soc", 20, 80), ("fine", 12, 40)):
        with rasterio.open(
            folder / f"{name}.tif", "w", **profile, transform=from_origin(5e5, 5.5e6, 1000, 1000)
        ) as file:
            file.write(rng.uniform(low, high, (side, side)).astype("float32"), 1)


def worker(name: str, pixels: int, members: int) -> None:
    """One case; prints its numbers as JSON."""
    from ensemble.pipeline import load_plan, run_plan

    text = {"potential": POTENTIAL, "rothc": ROTHC}[name]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_rasters(folder, pixels)
        (folder / "map.yaml").write_text(text.format(members=members))
        before, cpu = time.perf_counter(), time.process_time()
        plan = load_plan(folder / "map.yaml", (), None, None)
        run_plan(plan, folder / "map.zarr", quiet=True)
        seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
        pairs = len(plan.sites) * plan.members
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "pairs": pairs,
                "pixels": len(plan.sites),
                "members": plan.members,
                "seconds": seconds,
                "cpu": cpu,
                "peak": peak,
            }
        )
    )


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the pixels")
    parser.add_argument("--worker", nargs=3, metavar=("NAME", "PIXELS", "MEMBERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker[0], int(arguments.worker[1]), int(arguments.worker[2]))
        return
    print(
        "| map | pixels | members | pixels x members / CPU second | CPU s | wall s | peak MB |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for name, _, pixels, members in CASES:
        size = max(100, pixels // (100 if arguments.quick else 1))
        command = [sys.executable, __file__, "--worker", name, str(size), str(members)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rate = found["pairs"] / found["cpu"]
        print(
            f"| {name} | {found['pixels']:,} | {found['members']} | {rate:,.0f} | {found['cpu']:.0f} | {found['seconds']:.0f} | {found['peak']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
