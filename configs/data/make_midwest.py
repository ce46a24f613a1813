"""Make the MADE-UP tables of the Midwest studies, with the published statistics of Zhou et al. (2023).

midwest_counties.csv has 293 counties, midwest_nine.csv nine of them, midwest_sources.csv 410 sites with two sources.
Published: 102 counties of Illinois, 99 of Iowa, 92 of Indiana; errors of 0.77 % SOC and 0.15 Mg m-3; NRMSE of
53.2 % and 11.3 %, which imply mean SOC of 1.45 % and bulk density of 1.33 Mg m-3; a first-order correlation of
-0.54 between the relative differences. Spreads, texture and the temperature gradient are our own judgement.
"""

from pathlib import Path

import numpy as np

COUNTIES = {"IL": (102, 40.0, -89.3), "IA": (99, 42.0, -93.5), "IN": (92, 39.9, -86.3)}
MEAN_SOC, MEAN_DENSITY, RHO = 1.45, 1.33, -0.54
RMSE_SOC, RMSE_DENSITY, SITES, NINE = 0.77, 0.15, 410, (8, 43, 78, 113, 148, 183, 213, 248, 283)


def main() -> None:
    """Write the three tables."""
    rng = np.random.default_rng(2023)
    rows = ["site,state,longitude,latitude,soc_percent,bulk_density,clay,silt,temperature_difference,area_ha"]
    for state, (count, latitude, longitude) in COUNTIES.items():
        places = np.column_stack([rng.uniform(-1.6, 1.6, count) + latitude, rng.uniform(-1.4, 1.4, count) + longitude])
        score = rng.multivariate_normal([0, 0], [[1, RHO], [RHO, 1]], count)
        northward = 0.18 * (places[:, 0] - 40.6)  # prairie soils of the north hold more carbon
        soc = MEAN_SOC * np.exp(0.38 * score[:, 0] + northward - 0.5 * 0.38**2)
        density = np.clip(MEAN_DENSITY + 0.09 * score[:, 1], 1.05, 1.65)
        clay, warmth = rng.uniform(16, 32, count), -1.1 * (places[:, 0] - 40.6)
        for k in range(count):
            rows.append(
                f"{state}{k + 1:03d},{state},{places[k, 1]:.3f},{places[k, 0]:.3f},{soc[k]:.2f},{density[k]:.2f},"
                f"{clay[k]:.1f},{84 - clay[k]:.1f},{warmth[k]:.2f},{rng.uniform(60_000, 160_000):.0f}"
            )
    write("midwest_counties.csv", rows)
    write("midwest_nine.csv", [rows[0], *(rows[k + 1] for k in NINE)])
    write("midwest_sources.csv", sources(rng))


def write(name: str, rows: list[str]) -> None:
    """Write one table beside this file."""
    Path(__file__).with_name(name).write_text("\n".join(rows) + "\n")


def sources(rng: np.random.Generator) -> list[str]:
    """Sites with two sources of carbon and density whose differences have the published size and correlation."""
    soc = MEAN_SOC * np.exp(rng.normal(0, 0.38, SITES) - 0.5 * 0.38**2)
    density = MEAN_DENSITY + rng.normal(0, 0.09, SITES)
    gap = rng.multivariate_normal([0, 0], [[1, RHO], [RHO, 1]], SITES) * [RMSE_SOC, RMSE_DENSITY]
    other = np.maximum(soc + gap[:, 0], 0.1), np.clip(density + gap[:, 1], 0.9, 1.75)
    clay, warmth = rng.uniform(16, 32, SITES), rng.normal(0, 1.4, SITES)
    rows = ["site,soc_raca,soc_gssurgo,density_raca,density_gssurgo,clay,silt,temperature_difference"]
    for k in range(SITES):
        numbers = [soc[k], other[0][k], density[k], other[1][k]]
        texture = f"{clay[k]:.1f},{84 - clay[k]:.1f},{warmth[k]:.2f}"
        rows.append(f"S{k + 1:03d}," + ",".join(f"{value:.2f}" for value in numbers) + f",{texture}")
    return rows


if __name__ == "__main__":
    main()
