"""A small study with known numbers, writers of it that run in processes of their own, and a look at its files."""

from pathlib import Path

import numpy as np
import xarray as xr

from ensemble.provenance import Platform, Provenance
from ensemble.store import ArrayTemplate, Stage, Tiling, open_worker, open_writer

PLATFORM = Platform("0.1.0", {"jaxlib": "0.10.2", "numpy": "2.4.0"}, "x86_64", "avx2", "cpu")
STUDY = {"title": "field", "model": "rothc", "design": {"seed": 7, "members": 40}, "report": {"output": "soc"}}
PROVENANCE = Provenance(STUDY, 7, PLATFORM, {"forcing.csv": "ab" * 32})
MONTHS = np.datetime64("1843-01", "M") + np.arange(1, 25)
TIMES = MONTHS.astype("datetime64[s]") - np.timedelta64(1, "D")


def make_stage(name="members", members=40, sites=3, blocks=(16, 2), times=TIMES, prefix=""):
    tiling = Tiling({"member": blocks[0], "site": blocks[1]}, {"member": members, "site": sites})
    axes = {"member": members, "scenario": 2, "site": sites, "time": len(times), "tile": tiling.count}

    def array(path, dims, dtype="float32", **attrs):
        return ArrayTemplate(f"{prefix}{path}", dims, tuple(axes[d] for d in dims), dtype, attrs)

    arrays = (
        array("members/soc", ("member", "scenario", "site", "time"), units="t C/ha", long_name="soil organic carbon"),
        array("members/failed", ("member", "site"), "uint8", flag_values=[0, 1], flag_meanings="succeeded not_finite"),
        array("inputs/clay", ("member",), "float64", units="%"),
        array("inputs/depth", ("site",), "float64", units="cm"),
        array("inputs/draw", ("member", "site"), "int32"),
        array("partial/mean", ("tile", "time"), "float64"),
    )
    coordinates = xr.Dataset(
        coords={
            "member": np.arange(members),
            "scenario": ("scenario", ["crop", "grass"]),
            "site": ("site", [f"plot {i}" for i in range(sites)], {"long_name": "plot"}),
            "latitude": ("site", np.linspace(50, 52, sites), {"units": "degrees_north"}),
            "time": ("time", times, {"standard_name": "time"} if times.dtype.kind == "M" else {"units": "year"}),
        }
    )
    groups = {f"{prefix}members": coordinates, f"{prefix}inputs": coordinates.drop_vars(["scenario", "time"])}
    attrs = {f"{prefix}members": {"comment": "all members"}}
    return Stage(name, tiling, arrays, groups, attrs, flags=f"{prefix}members/failed")


def whole(stage):
    """Every array of a stage in full, from its indices alone."""
    full = {}
    for number, array in enumerate(stage.arrays):
        grid = np.indices(array.shape).reshape(len(array.shape), -1)
        values = np.sin(1 + number + sum((i + 1.7) * g for i, g in enumerate(grid))).reshape(array.shape)
        if array.dtype == "uint8":
            values = values > 0.9
        full[array.path] = (values if values.dtype == bool else 100 * values).astype(array.dtype)
    for path in [p for p in full if p.endswith("/soc")]:
        failed = full[path.replace("soc", "failed")][:, None, :, None].astype(bool)
        full[path] = np.where(failed, np.float32(np.nan), full[path])
    return full


def tile_of(stage, full, tile):
    region = stage.tiling.region(tile)
    return {
        array.path: full[array.path][tuple(region.get(dim, slice(None)) for dim in array.dims)]
        for array in stage.arrays
    }


def statistics(store):
    return xr.Dataset({"soc_mean": store.dataset("members").soc.mean("member")}, attrs={"comment": "statistics"})


def run(path, stage=None, order=1):
    """What a run does: create or resume, compute what is missing, reduce."""
    stage = stage or make_stage()
    full = whole(stage)
    with open_writer(path, PROVENANCE, [stage], {"title": "field", "Conventions": "CF-1.11"}) as store:
        for tile in store.missing_tiles("members")[::order]:
            store.write_tile("members", tile, tile_of(stage, full, tile))
        if not store.has_group("statistics"):
            store.write_group("statistics", statistics(store))
        return store.digest()


def run_slowly(path):
    """A run of many tiles, to be killed on the way; runs in a process of its own."""
    run(Path(path), make_stage(members=200, blocks=(8, 2)))


def work(path, tiles, barrier):
    """A worker on an existing store; runs in a process of its own."""
    stage = make_stage()
    full = whole(stage)
    store = open_worker(Path(path), PLATFORM)
    barrier.wait()
    for tile in tiles:
        store.write_tile("members", tile, tile_of(stage, full, tile))


def hold(path, held, release):
    """Hold the writer's lock until told; runs in a process of its own."""
    with open_writer(Path(path), PROVENANCE, [make_stage()]):
        held.set()
        release.wait(60)


def files_of(path):
    return sorted(p for p in path.rglob("*") if p.is_file())


def stamps(path, pattern):
    return {p: p.stat().st_mtime_ns for p in path.glob(pattern) if p.is_file()}


def flip(data, at, bits=0x15):
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]
