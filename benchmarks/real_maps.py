"""Stocks learned from real samples: random folds against blocks, and how often intervals hold what was left out.

    python benchmarks/real_maps.py [raca] [dsp4sh] [--data ../shared/data] [--out results]

RaCA (Soil Survey Staff 2013, the Rapid Carbon Assessment): SOC stock to 30 cm of pedons all over the United States, with
land use and places that are general (0.01 degrees). DSP4SH (doi 10.15482/USDA.ADC/25122323.v1): horizons with bulk
density and stones. Neither comes with covariate rasters, so the study has no sites and the results are at points.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ensemble.config import load_study
from ensemble.pipeline.learning import learn_maps
from ensemble.store import place

DATA = Path(__file__).parents[2] / "shared" / "data"
DEPTH = 30
STUDY = """\
title: {title}
model: stock
mapping:
  learn:
    samples: {samples}
    covariates: [{covariates}]
    categories: [land_use]
    by: land_use
    targets:
      stock: {{units: t C/ha, transform: log}}
    trees: {{trees: 200, splits: 9, shrinkage: 0.02, minimum_leaf: 10, bag_fraction: 0.65}}
    validation: {{folds: 5, repeats: 10, block: 300}}
inputs: {{depth: {depth}}}
design: {{seed: 1}}
"""
COVARIATES = {
    "raca": ("longitude", "latitude", "land_use"),
    "dsp4sh": ("MAP", "MAT", "clay", "land_use"),
}


def raca(folder: Path) -> pd.DataFrame:
    """Pedons with a place and a stock above 0: t C/ha to 30 cm, land use, longitude, latitude."""
    pedons = pd.read_csv(folder / "raca" / "RaCA_SOC_pedons.csv")
    places = pd.read_csv(folder / "raca" / "RaCa_general_location.csv").drop_duplicates("RaCA_Id")
    joined = pedons.merge(places, left_on="rcasiteid", right_on="RaCA_Id")
    joined = joined[joined["SOCstock30"] > 0].dropna(subset=["Gen_lat", "Gen_long", "LU"])
    names = {"SOCstock30": "stock", "Gen_long": "longitude", "Gen_lat": "latitude", "LU": "land_use"}
    return joined.rename(columns=names)[list(names.values())]


def dsp4sh(folder: Path) -> pd.DataFrame:
    """Pedons that reach 30 cm without a gap, with texture: t C/ha to 30 cm, clay, climate, land use, place."""
    layers = pd.read_csv(folder / "dsp4sh" / "dsp4sh_horizons_trimmed.csv")
    found = [row for _, pedon in layers.groupby("DSP_Pedon_ID") if (row := _pedon(pedon)) is not None]
    return pd.DataFrame(found)


def _pedon(pedon: pd.DataFrame) -> dict[str, object] | None:
    part = pedon.sort_values("hrzdep_t")
    part = part[part["hrzdep_t"] < DEPTH]
    needed = ["SOC_pct", "Bulk_Density", "Clay_pct", "pedon_x", "pedon_y", "map_mm", "mat_C", "LU"]
    if part.empty or not part[needed].notna().all().all():
        return None
    tops, bottoms = part["hrzdep_t"].to_numpy(), part["hrzdep_b"].clip(upper=DEPTH).to_numpy()
    if tops[0] != 0 or bottoms[-1] < DEPTH or not np.allclose(tops[1:], bottoms[:-1]):
        return None
    thickness, first = bottoms - tops, part.iloc[0]
    stones = part["Coarse_Frag_volume"].fillna(0) / 100
    return {
        "stock": (part["SOC_pct"] * part["Bulk_Density"] * thickness * (1 - stones)).sum(),
        "longitude": first.pedon_x, "latitude": first.pedon_y, "land_use": first.LU,
        "MAP": first.map_mm, "MAT": first.mat_C, "clay": (part["Clay_pct"] * thickness).sum() / DEPTH,
    }  # fmt: skip


def learned(name: str, table: pd.DataFrame, folder: Path) -> xr.Dataset:
    """Scores and coverage of one set of samples; its report lies beside."""
    samples, study = folder / f"{name}_samples.csv", folder / f"{name}_map.yaml"
    table.round(4).to_csv(samples, index=False)
    text = {"title": f"{name.upper()} stocks to 30 cm", "samples": samples.name, "depth": DEPTH}
    study.write_text(STUDY.format(covariates=", ".join(COVARIATES[name]), **text))
    result = learn_maps(load_study(study), place(folder / f"{name}.maps.zarr"))
    print("\n".join(("", f"## {name}: {len(table):,} samples, {result.report}", "", *result.lines, "")))
    return xr.open_zarr(result.store, group="skill", consolidated=False).isel(target=0).load()


def tell(skill: xr.Dataset) -> None:
    """Tables for the documentation: scores and coverage by folds, and coverage by class."""
    print("| folds | R2 | R2 with neighbours | RMSE | concordance |\n| --- | --- | --- | --- | --- |")
    for folds in ("random", "blocked"):
        score = skill["score"].sel({"folds": folds, "class": "all", "statistic": "mean"})
        values = (float(score.sel(measure=m)) for m in ("r2", "rmse", "concordance"))
        near = float(skill["held_out_r2"].sel(folds=folds, prediction="with neighbours"))
        r2, rmse, concordance = values
        print(f"| {folds} | {r2:.2f} | {near:.2f} | {rmse:.1f} | {concordance:.2f} |")
    names = [str(n) for n in skill["interval"].values]
    header = " | ".join(f"{name}, {level}" for name in names for level in ("50 %", "90 %"))
    print(f"\n| folds | class | samples | {header} |\n|{' --- |' * (3 + 2 * len(names))}")
    for folds in ("random", "blocked"):
        for kind, count in zip(skill["class"].values, skill["samples"].values, strict=True):
            inside = skill["coverage"].sel({"folds": folds, "class": kind}).values.ravel()
            print(f"| {folds} | {kind} | {count} | {' | '.join(f'{100 * v:.0f} %' for v in inside)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=["raca", "dsp4sh"], choices=["raca", "dsp4sh", []])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("results"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for wanted in given.sets or ["raca", "dsp4sh"]:
        tell(learned(wanted, {"raca": raca, "dsp4sh": dsp4sh}[wanted](given.data), given.out))
