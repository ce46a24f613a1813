"""Make the made-up grid of configs/land_sink_grid.yaml: no place on Earth, no measurement in it.

Twenty-five cells of half a degree in a warm, wet south-west to cold, dry north-east pattern, monthly from 1997 to
2017, with a slow warming, a greening that sets in after 2004 in the wetter half, and emissions that triple, half of
them in the middle cell.

    python configs/data/make_land_grid.py
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
ROWS, COLUMNS, YEARS = 5, 5, range(1997, 2018)


def main() -> None:
    """Write the site table and the monthly drivers."""
    rng = np.random.default_rng(2022)
    sites = ["site,longitude,latitude,area_km2,carbonate_share,shale_share,sandstone_share,shield_share"]
    drivers = ["site,year,month,temperature,precipitation,evapotranspiration,npp,emissions"]
    weather = rng.normal(0, 1, (len(YEARS), 12, 2))
    for row in range(ROWS):
        for column in range(COLUMNS):
            wet = 1 - (row + column) / (ROWS + COLUMNS - 2)
            latitude = 25 + 0.5 * row
            area = 111.2**2 * 0.25 * np.cos(np.radians(latitude))
            shares = np.round([0.6 * wet, 0.25, 0.15 + 0.3 * (1 - wet), 0.3 * (1 - wet)], 2)
            place = f"r{row + 1}c{column + 1}"
            sites.append(f"{place},{102 + 0.5 * column},{latitude},{area:.0f}," + ",".join(f"{s:g}" for s in shares))
            drivers += _series(place, wet, weather, 9.0 if (row, column) == (2, 2) else 0.4)
    (FOLDER / "made_up_grid.csv").write_text("\n".join(sites) + "\n")
    (FOLDER / "made_up_grid_drivers.csv").write_text("\n".join(drivers) + "\n")


def _series(place: str, wet: float, weather: np.ndarray, emitted: float) -> list[str]:
    lines = []
    for y, year in enumerate(YEARS):
        for month in range(12):
            season = -np.cos(2 * np.pi * (month - 0.5) / 12)
            warm = 6 + 12 * wet + (14 - 6 * wet) * season + 0.03 * y + 0.8 * weather[y, month, 0]
            rain = (20 + 75 * wet) * np.exp(0.9 * season + 0.25 * weather[y, month, 1])
            demand = 3.2 * max(warm, 0.0)
            evaporated = min(demand, 0.75 * rain + 6)
            greening = 1 + 0.12 * wet / (1 + np.exp(-(year - 2005) / 1.2))
            grown = 62 * wet**0.5 * greening * max(warm, 0.0) / (12 + max(warm, 0.0)) * rain / (rain + 25) + 12 * wet
            heating = emitted * (1 + 2 * y / (len(YEARS) - 1)) * (1 - 0.2 * season)
            driven = f"{warm:.1f},{rain:.0f},{evaporated:.0f},{grown:.1f},{heating:.2f}"
            lines.append(f"{place},{year},{month + 1},{driven}")
    return lines


if __name__ == "__main__":
    main()
