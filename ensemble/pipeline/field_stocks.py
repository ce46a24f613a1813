"""The command `ensemble stocks`: a table of sampled layers to stocks with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast, get_args

import numpy as np
import pandas as pd

from ensemble.crediting.sample_size import minimum_detectable_change
from ensemble.errors import InputError
from ensemble.inputs.layer_table import read_layer_table
from ensemble.inputs.profiles import CARBON_FACTOR, DensityBasis
from ensemble.inputs.stocks import SOURCES, FieldStock, MeasurementErrors, field_stocks
from ensemble.pipeline.named_numbers import named_numbers

MEANING = {
    "fine_earth": "fine soil per volume of fine soil",
    "fine_per_total": "fine soil per whole volume",
    "total": "whole soil, stones included, per whole volume",
}


@dataclass(frozen=True)
class StocksResult:
    """Stocks of all fields.

    Args:
        table: one row a field: stock, sd, 90 % interval, half-ranges by source, t C/ha.
        lines: what to print.
    """

    table: pd.DataFrame
    lines: tuple[str, ...]


def stocks_table(
    file: Path,
    depth: float,
    mass: float | None,
    errors: Sequence[str],
    draws: int,
    seed: int,
    basis: str = "fine_earth",
    carbon_factor: float = CARBON_FACTOR,
    out: Path | None = None,
) -> StocksResult:
    """Stocks of a table of layers.

    Args:
        file: see :func:`ensemble.inputs.layer_table.read_layer_table`.
        depth, mass, basis: as in :func:`ensemble.inputs.stocks.field_stocks`.
        errors: ``name=value`` of :class:`ensemble.inputs.stocks.MeasurementErrors`.
        draws, seed: of the Monte Carlo run.
        carbon_factor: carbon in organic matter, where the table has ``som``.
        out: CSV to write; none if ``None``.

    Raises:
        InputError: anything is wrong with the table, the errors or the file to write.
    """
    density = _check_options(depth, mass, draws, basis, out)
    settings = _errors(errors)
    try:
        sampled = read_layer_table(file, carbon_factor)
        found = field_stocks(sampled, settings, draws, seed, depth, mass, density)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error), file) from None
    table = pd.DataFrame([_row(stock) for stock in found])
    lines = _lines(found, table, depth, mass)
    lines += _assumed(settings, any(field.converted for field in sampled), carbon_factor, density)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(out, index=False)
        lines.append(f"table: {out}")
    return StocksResult(table, tuple(lines))


def _check_options(depth: float, mass: float | None, draws: int, basis: str, out: Path | None) -> DensityBasis:
    """Refuse what the command line should not say, before a file is read."""
    if not 0 < depth <= 1000:
        raise InputError(f"--depth {depth:g} is not allowed; allowed: above 0 to 1000 cm")
    if mass is not None and not 0 < mass < float("inf"):
        raise InputError(f"--mass {mass:g} is not allowed; allowed: above 0, Mg/ha of fine soil")
    if draws < 100:
        raise InputError(f"--draws {draws} is not allowed; allowed: 100 or more")
    if basis not in get_args(DensityBasis):
        raise InputError(f"--density {basis} is not allowed; allowed: {', '.join(get_args(DensityBasis))}")
    if out is not None and (out.is_dir() or any(parent.is_file() for parent in out.parents)):
        raise InputError(f"--out {out}: this is a folder or lies below a file; give the name of a CSV file")
    return cast(DensityBasis, basis)


def _errors(written: Sequence[str]) -> MeasurementErrors:
    known = [item.name for item in fields(MeasurementErrors)]
    given = named_numbers("--error", written, "bulk_density=0.08")
    for name in given:
        if name not in known:
            raise InputError(f"--error {name}: there is no error '{name}'; allowed: {', '.join(known)}")
    try:
        return MeasurementErrors(**given)
    except ValueError as error:
        raise InputError(f"--error: {error}") from None


def _row(stock: FieldStock) -> dict[str, object]:
    low, high = np.quantile(stock.draws, [0.05, 0.95])
    row: dict[str, object] = {
        "field": stock.name, "stock": stock.central, "sd": stock.draws.std(ddof=1), "lower": low, "upper": high,
        "half_range": float(np.sqrt(sum(half**2 for half in stock.half_range.values()))), "floored": stock.floored,
    }  # fmt: skip
    return row | {f"half_range_{name}": half for name, half in stock.half_range.items()}


def _lines(found: Sequence[FieldStock], table: pd.DataFrame, depth: float, mass: float | None) -> list[str]:
    where = f"0-{depth:g} cm" if mass is None else f"{mass:g} Mg/ha of fine soil"
    lines = [
        f"organic-carbon stock, {where}, t C/ha (90 % interval of measurement error); sd of the draws, and half-ranges "
        "in squares beside it"
    ]
    for row in table.to_dict("records"):
        interval = f"{row['stock']:.1f} ({row['lower']:.1f} to {row['upper']:.1f})"
        moved = f", {row['floored']} draws moved to the edge of what is possible" if row["floored"] else ""
        lines.append(f"  {row['field']}: {interval}, sd {row['sd']:.2f}, half-range {row['half_range']:.2f}{moved}")
    half = {name: np.mean([stock.half_range[name] for stock in found]) for name in found[0].half_range}
    lines.append("half-range by error, mean of fields: " + ", ".join(f"{name} {v:.2f}" for name, v in half.items()))
    return lines + (_of_all(found) if len(found) > 1 else [])


def _of_all(found: Sequence[FieldStock]) -> list[str]:
    """Mean of the fields, and the smallest change that they can tell from none."""
    mean = np.mean([stock.draws for stock in found], axis=0)
    low, high = np.quantile(mean, [0.05, 0.95])
    between = float(np.std([stock.central for stock in found], ddof=1))
    own = float(np.sqrt(np.mean([stock.own_sd**2 for stock in found]) * 2))
    again = minimum_detectable_change(own, len(found))
    return [
        f"mean of {len(found)} fields: {mean.mean():.2f} ({low:.2f} to {high:.2f}); sd between fields {between:.2f}",
        "minimum detectable change (5 %, power 80 %), new fields each time: "
        f"{minimum_detectable_change(between, len(found), False):.2f} t C/ha",
        f"minimum detectable change, the same fields and laboratory again: at least {again:.2f} t C/ha, from measurement "
        "error alone",
    ]


def _assumed(errors: MeasurementErrors, converted: bool, carbon_factor: float, basis: DensityBasis) -> list[str]:
    """What the numbers rest on."""
    shown = [name for name in SOURCES if name != "conversion" or converted]
    lines = [
        "errors assumed (cv; depth in cm): " + ", ".join(f"{name} {getattr(errors, name):g}" for name in shown),
        f"errors of carbon and bulk density are correlated by {errors.correlation:g}, as declared"
        if errors.correlation
        else "errors of carbon and bulk density are independent (measured values)",
        f"bulk density is taken as {MEANING[basis]}",
    ]
    return [*lines, f"carbon is {carbon_factor:g} of organic matter"] if converted else lines
