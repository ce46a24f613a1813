"""Small studies that tests start from."""

from pathlib import Path

CLIMATE = {
    "temperature": [3.73, 3.08, 5.49, 7.40, 10.94, 14.40, 16.28, 16.24, 13.78, 9.51, 6.22, 4.09],
    "precipitation": [74, 59, 62, 51, 52, 57, 34, 55, 58, 56, 75, 71],
    "pan_evaporation": [8, 10, 27, 49, 83, 99, 103, 91, 69, 34, 16, 8],
}

FORCING_HEAD = (
    "year,month,temperature,precipitation,pan_evaporation,plant_carbon,manure_carbon,plant_cover,dpm_rpm_ratio"
)

TEXT = """\
title: test
model: rothc
inputs:
  forcing: forcing.csv
  clay: {value: 23.4, units: "%"}
  depth: 23
  iom: 2.7
uncertain:
  clay: {distribution: normal, mean: 23.4, sd: 2}
  plant_carbon: {as: factor, distribution: lognormal, median: 1, cv: 0.2}
correlation:
  - {between: [clay, plant_carbon], value: 0.3}
observations:
  file: observations.csv
  variable: soc
  error: {relative: 0.07}
design: {members: 64, seed: 5}
outputs:
  variables: [soc, co2]
"""


def forcing_rows(years=3):
    """Rows of a forcing table: the equilibrium year 0, then ``years`` years."""
    rows = []
    for year in range(years + 1):
        for month in range(12):
            climate = [CLIMATE[name][month] for name in CLIMATE]
            rows.append(
                [year, month + 1, *climate, 0.15 if 3 <= month <= 6 else 0.05, 0, 1 if 3 <= month <= 6 else 0, 1.44]
            )
    return rows


def write_forcing(file, rows, head=FORCING_HEAD):
    lines = [head, *(",".join(str(cell) for cell in row) for row in rows)]
    file.write_text("\n".join(lines) + "\n")


def write_study(folder: Path, text=TEXT, rows=None, observations="time,value\n1,40\n3,41\n") -> Path:
    """A study, its forcing table and its observations in a folder."""
    write_forcing(folder / "forcing.csv", forcing_rows() if rows is None else rows)
    (folder / "observations.csv").write_text(observations)
    study = folder / "study.yaml"
    study.write_text(text)
    return study
