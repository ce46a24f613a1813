"""Stocks of sampled fields with measurement errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.errors import InputError
from ensemble.inputs.layer_table import read_layer_table
from ensemble.inputs.stocks import SOURCES, MeasurementErrors, field_stocks

TABLE = """\
field,top,bottom,soc,bulk_density,stones
North,0,10,2.1,1.25,5
North,10,30,1.4,1.38,8
North,30,60,0.7,1.45,10
South,0,30,1.6,1.35,0
South,30,50,0.6,1.5,0
"""
EXACT = MeasurementErrors(0, 0, 0, 0, 0)


def fields_of(folder: Path, text=TABLE):
    (folder / "fields.csv").write_text(text)
    return read_layer_table(folder / "fields.csv")


def test_stocks_without_errors(tmp_path):
    north, south = field_stocks(fields_of(tmp_path), EXACT, 10, 1)
    assert south.central == pytest.approx(1.6 * 1.35 * 30, rel=0.02)
    exact = 2.1 * 1.25 * 0.95 * 10 + 1.4 * 1.38 * 0.92 * 20
    assert north.central == pytest.approx(exact, rel=0.02)  # the spline smooths a little
    assert np.ptp(north.draws) == 0


@pytest.mark.parametrize("mass", [None, 3500.0])
def test_monte_carlo_agrees_with_one_error_at_a_time_for_one_layer(tmp_path, mass):
    """One uniform layer: relative errors add in squares."""
    fields = fields_of(tmp_path, "field,top,bottom,soc,bulk_density,stones\nA,0,40,2,1.3,20\n")
    errors = MeasurementErrors(0.04, 0.03, 0.05, 0.2, 1.0)
    (stock,) = field_stocks(fields, errors, 8_000, 2, mass=mass)
    parts = np.sqrt(sum(half**2 for half in stock.half_range.values()))
    assert stock.draws.std() == pytest.approx(parts, rel=0.04)
    if mass is None:
        expected = [0.04, 0.03, 0.05, 0.2 * 0.25, 1 / 30]
        np.testing.assert_allclose([stock.half_range[s] / stock.central for s in SOURCES], expected, rtol=1e-6)
    else:
        assert stock.half_range["bulk_density"] == pytest.approx(0, abs=1e-9)
        assert stock.half_range["depth"] == 0


def test_a_laboratory_bias_is_shared_and_repeat_errors_are_not(tmp_path):
    shared = field_stocks(fields_of(tmp_path), MeasurementErrors(0, 0.05, 0, 0, 0), 2000, 3)
    assert np.corrcoef(shared[0].draws, shared[1].draws)[0, 1] == pytest.approx(1.0, abs=1e-9)
    own = field_stocks(fields_of(tmp_path), MeasurementErrors(0.05, 0, 0.05, 0, 0), 5000, 3)
    assert np.corrcoef(own[0].draws, own[1].draws)[0, 1] == pytest.approx(0.0, abs=0.05)


def test_a_declared_correlation_lowers_the_error_of_the_stock(tmp_path):
    sd = [
        field_stocks(fields_of(tmp_path), MeasurementErrors(0.1, 0, 0.1, 0, 0, rho), 20_000, 4)[1].draws.std()
        for rho in (0.0, -0.5)
    ]
    assert sd[1] / sd[0] == pytest.approx(np.sqrt(0.5), rel=0.03)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("North,10,30", "North,8,30", "layers that overlap: 0-10 cm and 8-30 cm"),
        ("North,10,30", "North,0,10", "listed twice, lines 2 and 3"),
        ("1.38,8", "1.38,100", "fields.csv:3: stones: 100 is not allowed; allowed: 0 to below 100 %"),
        ("1.25,5", "1250,5", "fields.csv:2: bulk_density: 1250 is not allowed"),
        ("South,30,50", "North,60,80", "field 'North' is listed twice, from line 2 and from line 6"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        fields_of(tmp_path, TABLE.replace(old, new))


def test_the_command_gives_stocks_with_intervals_and_the_detectable_change(tmp_path):
    rows = [f"F{k},0,30,{1.2 + 0.1 * k:.2f},1.3,0" for k in range(12)]
    (tmp_path / "fields.csv").write_text("\n".join(["field,top,bottom,soc,bulk_density,stones", *rows]) + "\n")
    out = tmp_path / "stocks.csv"
    result = CliRunner().invoke(app, ["stocks", str(tmp_path / "fields.csv"), "--out", str(out), "--draws", "2000"])
    assert result.exit_code == 0, result.output
    assert "minimum detectable change" in result.output
    assert "errors of carbon and bulk density are independent" in result.output
    table = pd.read_csv(out)
    assert list(table["field"]) == [f"F{k}" for k in range(12)]
    assert (table["lower"] < table["stock"]).all()
    assert (table["stock"] < table["upper"]).all()
    assert "half_range_bulk_density" in table
    wrong = CliRunner().invoke(app, ["stocks", str(tmp_path / "fields.csv"), "--depth", "60"])
    assert wrong.exit_code == 2
    assert "says nothing about 0-60 cm" in wrong.output


def test_real_pedons_of_dsp4sh(shared):
    """292 US pedons: those that reach 30 cm without missing numbers keep their measured stock within a few per cent."""
    data = pd.read_csv(shared / "data" / "dsp4sh" / "dsp4sh_horizons_trimmed.csv")
    table = data.rename(columns={"DSP_Pedon_ID": "field", "hrzdep_t": "top", "hrzdep_b": "bottom", "SOC_pct": "soc",
                                 "Bulk_Density": "bulk_density", "Coarse_Frag_volume": "stones"})  # fmt: skip
    between = table.dropna(subset=["soc", "bulk_density"])
    correlation = np.corrcoef(between["soc"], between["bulk_density"])[0, 1]
    assert correlation == pytest.approx(-0.4, abs=0.15)
