"""The command `ensemble remeasure`: Eqs 70-74 from a table of points, and its refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from typer.testing import CliRunner

from ensemble.cli import app

EXAMPLE = Path(__file__).parents[1] / "configs" / "data" / "remeasured_example.csv"
AREAS = ["--area", "north=120", "--area", "south=300"]


def run(*arguments):
    return CliRunner().invoke(app, ["remeasure", *map(str, arguments)])


def test_the_example_by_hand():
    """Mean, variance of visits less twice their covariance, project plus control, one-sided t, t CO2e."""
    data = pd.read_csv(EXAMPLE, comment="#")
    data["change"] = data["end"] - data["start"]
    area = {"north": 120.0, "south": 300.0}
    mean = variance = 0.0
    for (arm, stratum), rows in data.groupby(["arm", "stratum"]):
        weight = area[stratum] / 420
        mean += (1 if arm == "project" else -1) * weight * rows["change"].mean()
        parts = rows["end"].var() + rows["start"].var() - 2 * rows["end"].cov(rows["start"])
        variance += weight**2 * parts / len(rows)
    mean, error = mean * 44 / 12, np.sqrt(variance) * 44 / 12
    factor = t.ppf(2 / 3, len(data) - 4)
    credited = mean - factor * error
    out = run(EXAMPLE, *AREAS, "--buffer", 0.15, "--leakage", 100, "--wanted", 0.05)
    assert out.exit_code == 0, out.output
    assert f"change, project minus control: {mean:.2f} t CO2e/ha (standard error {error:.2f}) on 420 ha" in out.output
    assert f"credited: {credited:.2f} t CO2e/ha, {credited * 420:,.1f} t CO2e" in out.output
    assert f"net {credited * 420 * 0.85 - 100:,.1f}" in out.output
    assert "a deduction of at most 5 % needs 45 project points" in out.output
    assert "no registry approval" in out.output


def test_the_error_of_another_method_widens_the_deduction(tmp_path):
    """Eq. 73 enters for both visits of both arms; a deduction below what the method alone takes cannot be sampled away."""
    (tmp_path / "validation.csv").write_text("predicted,measured\n50,52\n61,60\n55,51\n48,49\n")
    plain, wide = (
        run(EXAMPLE, *AREAS),
        run(EXAMPLE, *AREAS, "--validation", tmp_path / "validation.csv", "--wanted", 0.05),
    )
    error = np.var([-2, 1, 4, -1], ddof=1)
    assert wide.exit_code == 0
    found = [float(out.output.split("standard error ")[1].split(")")[0]) for out in (plain, wide)]
    assert found[1] == pytest.approx(np.sqrt(found[0] ** 2 + 4 * error * (44 / 12) ** 2), abs=0.02)
    assert "cannot be reached by sampling" in wide.output


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (("P01,project", "P01,projekt"), AREAS, "'projekt' is not allowed; allowed: project, control"),
        (("P02,", "P01,"), AREAS, "'P01' is already in line 3; each point needs one row"),
        ((",start,", ",begin,"), AREAS, "the column 'start' is missing"),
        (("project", "control"), AREAS, "there is no project point"),
        (None, AREAS[:2], "no area is given for stratum south"),
        (None, [], "areas are missing"),
        (None, ["--area", "north"], "write NAME=number, for example --area north=120"),
        (None, [*AREAS, "--area", "north=7"], "'north' is given twice"),
        (None, [*AREAS, "--rule", "vm0042-1"], "no rule is called 'vm0042-1'"),
        (None, [*AREAS, "--buffer", "2"], "--buffer 2 is not allowed; allowed: 0 to 1"),
        (None, [*AREAS, "--leakage", "nan"], "--leakage nan is not allowed"),
        (None, [*AREAS, "--wanted", "2"], "--wanted 2 is not allowed; allowed: above 0 and below 1"),
    ],
)  # fmt: skip
def test_wrong_points_are_refused(tmp_path, change, arguments, message):
    text = EXAMPLE.read_text()
    if change:
        assert change[0] in text
        text = text.replace(*change)
    (tmp_path / "points.csv").write_text(text)
    out = run(tmp_path / "points.csv", *arguments)
    assert out.exit_code == 2 and message in out.output, out.output
