"""Make the made-up emission series for `ensemble forecast-emissions`: no region on Earth, no statistics in them.

Eight regions, 1997 to 2017, seven drivers, and emissions from a formula with 3 % noise; then two paths of the drivers
of region 4 to 2060 with the characters of the scenarios A2 (growth goes on) and B1 (it turns).

    python configs/data/make_emission_series.py
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
DRIVERS = (
    "population", "urbanisation", "gdp", "secondary_share", "energy_intensity", "energy_use", "energy_structure",
)  # fmt: skip
GROWTH = np.array([0.006, 0.02, 0.08, -0.004, -0.035, 0.045, -0.006])
PATHS = {
    "A2": np.array([0.004, 0.008, 0.035, -0.004, -0.015, 0.02, -0.004]),
    "B1": np.array([0.000, 0.006, 0.045, -0.012, -0.04, 0.005, -0.03]),
}


def main() -> None:
    """Write the training rows and the two paths."""
    rng = np.random.default_rng(2060)
    years = np.arange(1997, 2018)
    start = np.array([40.0, 0.35, 0.3, 0.46, 2.5, 0.8, 0.72]) * rng.lognormal(0, 0.25, (8, 7))
    growth = GROWTH + rng.normal(0, 0.006, (8, 7))
    steps = np.cumsum(rng.normal(0, 0.01, (8, len(years), 7)), axis=1)
    drivers = start[:, None] * np.exp(growth[:, None] * (years - 1997)[:, None] + steps)
    emitted = 180 * drivers[..., 5] * drivers[..., 6] + 0.25 * drivers[..., 0] * (1 + drivers[..., 3])
    emitted *= rng.normal(1, 0.03, emitted.shape)
    lines = ["region,year," + ",".join(DRIVERS) + ",emissions"]
    for region in range(8):
        for k, year in enumerate(years):
            numbers = ",".join(f"{value:.4g}" for value in (*drivers[region, k], emitted[region, k]))
            lines.append(f"region {region + 1},{year},{numbers}")
    (FOLDER / "made_up_emissions.csv").write_text("\n".join(lines) + "\n")
    lines = ["scenario,year," + ",".join(DRIVERS)]
    for name, rates in PATHS.items():
        for year in range(2018, 2061):
            path = drivers[3, -1] * (1 + rates) ** (year - 2017)
            lines.append(f"{name},{year}," + ",".join(f"{value:.4g}" for value in path))
    (FOLDER / "made_up_emission_paths.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
