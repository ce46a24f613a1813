"""Stocks of sampled fields with measurement errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ensemble.cli import app
from ensemble.errors import InputError, SuspiciousInput
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
HEAD = TABLE.splitlines()[0]


def fields_of(folder: Path, text=TABLE):
    (folder / "fields.csv").write_text(text)
    return read_layer_table(folder / "fields.csv")


@pytest.mark.parametrize(
    ("rows", "warned"),
    [
        (
            "A,0,30,26,1.2,4",
            r"fields.csv:2: soc: 26 is unusual for organic carbon in the fine soil .1 of 1 values.; usual: 0.1 to 15 %; .*g/kg",
        ),
        (
            "A,0,10,2,1.2,4\nA,20,30,1,1.3,4",
            "fields.csv:2: field 'A' has no sample from 10 to 20 cm; .* is interpolated",
        ),
    ],
)
def test_what_is_possible_and_suspicious_warns(tmp_path, rows, warned):
    with pytest.warns(SuspiciousInput, match=warned):
        assert len(fields_of(tmp_path, f"{HEAD}\n{rows}\n")) == 1


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
        np.testing.assert_allclose([stock.half_range[s] / stock.central for s in SOURCES[:-1]], expected, rtol=1e-6)
    else:
        assert stock.half_range["bulk_density"] == pytest.approx(0, abs=1e-9)
        assert stock.half_range["depth"] == 0


def test_a_laboratory_bias_is_shared_and_repeat_errors_are_not(tmp_path):
    shared = field_stocks(fields_of(tmp_path), MeasurementErrors(0, 0.05, 0, 0, 0), 2000, 3)
    assert np.corrcoef(shared[0].draws, shared[1].draws)[0, 1] == pytest.approx(1.0, abs=1e-9)
    own = field_stocks(fields_of(tmp_path), MeasurementErrors(0.05, 0, 0.05, 0, 0), 5000, 3)
    assert np.corrcoef(own[0].draws, own[1].draws)[0, 1] == pytest.approx(0.0, abs=0.05)


def test_carbon_from_organic_matter_has_the_error_of_its_factor(tmp_path):
    """The factor is one for all fields, so its error does not average out; it is left out of repeated visits."""
    (tmp_path / "fields.csv").write_text(TABLE.replace("soc", "som"))
    fields = read_layer_table(tmp_path / "fields.csv", 0.5)
    measured = fields_of(tmp_path)
    for one, other in zip(fields, measured, strict=True):
        np.testing.assert_allclose(one.soc, 0.5 * other.soc)
    exact = MeasurementErrors(0, 0, 0, 0, 0)
    for stock in field_stocks(fields, exact, 5000, 1):
        assert stock.draws.std() / stock.central == pytest.approx(0.05, rel=0.03)
        assert stock.half_range["conversion"] == pytest.approx(0.05 * stock.central)
        assert stock.own_sd == pytest.approx(0, abs=1e-9)
    assert all(
        np.ptp(stock.draws) == 0 and "conversion" not in stock.half_range
        for stock in field_stocks(measured, exact, 100, 1)
    )


def test_errors_that_fields_share_are_no_part_of_their_own(tmp_path):
    fields = fields_of(tmp_path)
    with_bias, without = (field_stocks(fields, MeasurementErrors(laboratory_bias=bias), 3000, 1) for bias in (0.2, 0.0))
    for one, other in zip(with_bias, without, strict=True):
        assert one.own_sd == pytest.approx(other.own_sd, rel=1e-12)
        assert one.draws.std() > 2 * other.draws.std()


def test_stones_count_by_what_bulk_density_is_of(tmp_path):
    """20 % of stones in a density of 1.3: fine soil 1.3 x 0.8; 1.3; and 1.3 - 0.2 x 2.65."""
    fields = fields_of(tmp_path, "field,top,bottom,soc,bulk_density,stones\nA,0,30,2,1.3,20\n")
    for basis, fine in (("fine_earth", 1.04), ("fine_per_total", 1.3), ("total", 0.77)):
        (stock,) = field_stocks(fields, EXACT, 100, 1, basis=basis)
        assert stock.central == pytest.approx(2 * fine * 30)


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
        ("North,0,10", ",0,10", "fields.csv:2: field: the cell is empty"),
        ("North,10,30", "North,70,90", "layers out of order: 30-60 cm stands below 70-90 cm"),
        ("stones", "som", "both columns 'soc' and 'som' are given"),
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
    assert "bulk density is taken as fine soil per volume of fine soil" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--depth", "60"], "says nothing about 0-60 cm"),
        (["--depth", "nan"], "--depth nan is not allowed"),
        (["--mass", "nan"], "--mass nan is not allowed"),
        (["--mass", "90000"], "field 'North': a reference soil mass of 90000 Mg/ha is outside the core"),
        (["--draws", "9"], "--draws 9 is not allowed"),
        (["--density", "fine"], "--density fine is not allowed; allowed: fine_earth, fine_per_total, total"),
        (["--error", "laboratory=3"], "must be from 0 to 1 (a fraction: 0.03 is 3 %), got 3"),
        (["--error", "laboratory=nan"], "write NAME=number"),
        (["--error", "depth=1", "--error", "depth=2"], "'depth' is given twice"),
        (["--error", "lab=0.1"], "there is no error 'lab'"),
        (["--out", "."], "this is a folder"),
    ],
)
def test_wrong_options_are_one_sentence_and_write_nothing(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fields.csv").write_text(TABLE)
    found = CliRunner().invoke(app, ["stocks", "fields.csv", "--out", "new/stocks.csv", *options])
    assert found.exit_code == 2
    assert message in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fields.csv"]


def test_real_pedons_of_dsp4sh(shared, tmp_path):
    """US pedons that are sampled to 30 cm without a gap: layers that end there keep their stock within 3 %.

    Where a layer goes on below, the spline knows that carbon falls with depth and leaves more of it above 30 cm.
    """
    data = pd.read_csv(shared / "data" / "dsp4sh" / "dsp4sh_horizons_trimmed.csv")
    columns = {"DSP_Pedon_ID": "field", "hrzdep_t": "top", "hrzdep_b": "bottom", "SOC_pct": "soc",
               "Bulk_Density": "bulk_density", "Coarse_Frag_volume": "stones"}  # fmt: skip
    table = data.rename(columns=columns)[list(columns.values())].fillna({"stones": 0.0})
    correlation = np.corrcoef(*table.dropna()[["soc", "bulk_density"]].to_numpy().T)[0, 1]
    assert correlation == pytest.approx(-0.42, abs=0.01)
    kept, measured = [], []
    for _, rows in table[table["top"] < 30].groupby("field", sort=False):
        layers = rows.sort_values("top")
        whole = layers["top"].iloc[0] == 0 and layers["bottom"].iloc[-1] >= 30
        if (
            whole
            and layers.notna().to_numpy().all()
            and (layers["top"].to_numpy()[1:] == layers["bottom"].to_numpy()[:-1]).all()
        ):
            kept.append(layers)
            thickness = layers["bottom"].clip(upper=30) - layers["top"]
            measured.append((layers["soc"] * layers["bulk_density"] * (1 - layers["stones"] / 100) * thickness).sum())
    pd.concat(kept).to_csv(tmp_path / "pedons.csv", index=False)
    with pytest.warns(SuspiciousInput, match="is unusual for mass of soil per volume .38 of 773 values"):
        fields = read_layer_table(tmp_path / "pedons.csv")
    found = field_stocks(fields, MeasurementErrors(), 200, 1)
    assert len(found) == 219
    ratio = np.array([stock.central for stock in found]) / measured
    ends = np.array([layers["bottom"].iloc[-1] == 30 for layers in kept])
    assert ends.sum() == 56 and np.abs(ratio[ends] - 1).max() < 0.03
    assert 1.0 < np.median(ratio[~ends]) < 1.03
    assert np.median([stock.draws.std() / stock.central for stock in found]) == pytest.approx(0.057, abs=0.003)
