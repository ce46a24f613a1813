"""The runs of a factorial design: every combination of levels, so there are values and ranges but no interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ensemble.report.content import Section, Table
from ensemble.report.numbers import count, number, plural
from ensemble.report.results import Results

ROWS = 24  # a longer table is closed until the reader opens it


class Factor(NamedTuple):
    """An input or option that a design sets.

    Args:
        levels: what it is set to, as people write it.
        codes: number of the level of each member, (members,).
    """

    levels: tuple[str, ...]
    codes: np.ndarray


def levels_section(results: Results, factors: Mapping[str, Factor]) -> Section | None:
    """The main output at the end of the run by level of every factor, at the first site; ``None`` without members or factors.

    Args:
        results: a finished run.
        factors: by name, in the order of the design.
    """
    if not factors or not results.shown_sites:
        return None
    site = results.shown_sites[0]
    found = {name: v for name in results.scenarios if (v := results.end_values(name, site)) is not None}
    if any(len(values) != len(factor.codes) for values in found.values() for factor in factors.values()) or not found:
        return None
    where = f" at {site}" if len(results.all_sites) > 1 else ""
    others = "; mean over the levels of the other inputs, from the lowest to the highest" if len(factors) > 1 else ""
    text = (
        f"{results.noun}{results.at}{where}, {results.unit}{others}. Inputs were set, not drawn: there is no interval."
    )
    tables = tuple(
        _table(results, found, name, f, f"By {_short(name)}: {text}", others != "") for name, f in factors.items()
    )
    return Section("Levels", _lead(results, found, factors), tables=tables, answer=True)


def _table(
    results: Results, found: Mapping[str, np.ndarray], name: str, factor: Factor, caption: str, mixed: bool
) -> Table:
    scale = _scale(found)
    rows = tuple(
        (
            results.title_of(scenario),
            *(_cell(values[factor.codes == k], mixed, scale) for k in range(len(factor.levels))),
        )
        for scenario, values in found.items()
    )
    return Table((_short(name), *factor.levels), rows, caption, folded=len(rows) > ROWS)


def _short(name: str) -> str:
    return name.removeprefix("options.")


def _cell(values: np.ndarray, mixed: bool, scale: float) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "failed"
    mean, low, high = (number(float(v), scale) for v in (known.mean(), known.min(), known.max()))
    return f"{mean} ({low} to {high})" if mixed else mean


def _scale(found: Mapping[str, np.ndarray]) -> float:
    """What sets the decimals of all numbers: a hundredth of their range."""
    values = np.concatenate(list(found.values()))
    known = values[np.isfinite(values)]
    return float(np.ptp(known) or np.abs(known).max()) / 100 if len(known) else 1.0


def _lead(results: Results, found: Mapping[str, np.ndarray], factors: Mapping[str, Factor]) -> str:
    """The lowest and the highest of all runs, and which these are."""
    runs = [(float(v), name, k) for name, values in found.items() for k, v in enumerate(values) if np.isfinite(v)]
    if not runs:
        return f"Every run of {results.noun} failed."
    low, high = min(runs), max(runs)
    ends = [
        f"{number(v, _scale(found))} {results.unit} ({_run(results, name, k, factors)})" for v, name, k in (low, high)
    ]
    arms = f" in {plural(len(found), 'scenario')}" if len(found) > 1 else ""
    members = count(len(next(iter(factors.values())).codes))
    noun = results.noun[:1].upper() + results.noun[1:]
    return f"{noun}{results.at} lies between {ends[0]} and {ends[1]} over {members} combinations of levels{arms}."


def _run(results: Results, scenario: str, member: int, factors: Mapping[str, Factor]) -> str:
    levels: Sequence[str] = [f"{_short(name)} {f.levels[int(f.codes[member])]}" for name, f in factors.items()]
    arm = [f"“{results.title_of(scenario)}”"] if len(results.scenarios) > 1 else []
    return ", ".join([*arm, *levels])


__all__ = ["Factor", "levels_section"]
