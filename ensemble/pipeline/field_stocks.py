"""The command `ensemble stocks`: a table of sampled layers to stocks with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from ensemble.crediting.sample_size import minimum_detectable_change
from ensemble.errors import InputError
from ensemble.inputs.layer_table import read_layer_table
from ensemble.inputs.stocks import FieldStock, MeasurementErrors, field_stocks


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
    file: Path, depth: float, mass: float | None, errors: Sequence[str], draws: int, seed: int
) -> StocksResult:
    """Stocks of a table of layers.

    Args:
        file: see :func:`ensemble.inputs.layer_table.read_layer_table`.
        depth, mass: as in :func:`ensemble.inputs.stocks.field_stocks`.
        errors: ``name=value`` of :class:`ensemble.inputs.stocks.MeasurementErrors`.
        draws, seed: of the Monte Carlo run.

    Raises:
        InputError: anything is wrong with the table or the errors.
    """
    if draws < 100:
        raise InputError(f"--draws {draws} is not allowed; allowed: 100 or more")
    settings = _errors(errors)
    sampled = read_layer_table(file)
    try:
        found = field_stocks(sampled, settings, draws, seed, depth, mass)
    except ValueError as error:
        raise InputError(str(error), file) from None
    table = pd.DataFrame([_row(stock) for stock in found])
    return StocksResult(table, tuple(_lines(found, table, settings, depth, mass)))


def _errors(written: Sequence[str]) -> MeasurementErrors:
    known = [item.name for item in fields(MeasurementErrors)]
    given = {}
    for text in written:
        name, _, value = text.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            raise InputError(f"--error {text}: write name=number, for example --error bulk_density=0.08") from None
        if name not in known:
            raise InputError(f"--error {text}: there is no error '{name}'; allowed: {', '.join(known)}")
    try:
        return MeasurementErrors(**given)
    except ValueError as error:
        raise InputError(str(error)) from None


def _row(stock: FieldStock) -> dict[str, object]:
    low, high = np.quantile(stock.draws, [0.05, 0.95])
    row: dict[str, object] = {
        "field": stock.name, "stock": stock.central, "sd": stock.draws.std(ddof=1), "lower": low, "upper": high,
        "half_range": float(np.sqrt(sum(half**2 for half in stock.half_range.values()))), "floored": stock.floored,
    }  # fmt: skip
    return row | {f"half_range_{name}": half for name, half in stock.half_range.items()}


def _lines(
    found: Sequence[FieldStock], table: pd.DataFrame, errors: MeasurementErrors, depth: float, mass: float | None
) -> list[str]:
    where = f"0-{depth:g} cm" if mass is None else f"{mass:g} Mg/ha of fine soil"
    lines = [
        f"organic-carbon stock, {where}, t C/ha, 90 % interval of measurement error; half-range in squares beside it"
    ]
    for row in table.to_dict("records"):
        interval = f"{row['stock']:.1f} ({row['lower']:.1f} to {row['upper']:.1f})"
        lines.append(f"  {row['field']}: {interval}, half-range {row['half_range']:.2f}")
    if errors.correlation:
        lines.append(f"errors of carbon and bulk density are correlated by {errors.correlation:g}, as declared")
    else:
        lines.append("errors of carbon and bulk density are independent (measured values)")
    if (floored := sum(stock.floored for stock in found)) > 0:
        lines.append(f"{floored} draws had a number moved to the edge of what is possible")
    if len(found) > 1:
        mean = np.mean([stock.draws for stock in found], axis=0)
        low, high = np.quantile(mean, [0.05, 0.95])
        between = float(np.std([stock.central for stock in found], ddof=1))
        lines.append(
            f"mean of {len(found)} fields: {mean.mean():.2f} ({low:.2f} to {high:.2f}); sd between fields {between:.2f}"
        )
        own = float(np.sqrt(np.mean([stock.draws.var(ddof=1) for stock in found]) * 2))
        lines += [
            f"minimum detectable change, new fields each time: {minimum_detectable_change(between, len(found), False):.2f} t C/ha",
            f"minimum detectable change, the same fields again, no change differing between them: at least "
            f"{minimum_detectable_change(own, len(found)):.2f} t C/ha from measurement error alone",
        ]
    return lines
