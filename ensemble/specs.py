"""Records that name a quantity once: its unit, default, support, meaning and source.

Everything a user sees about a quantity (validation messages, the documentation tables, CF attributes in
the store, axis labels) is derived from these records. They are plain immutable data and import no JAX, so
that listing the models is instant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Names of the axes of the store, in the order in which they appear on an array.
DIMENSIONS = ("member", "scenario", "site", "y", "x", "parameter", "depth", "time", "quantile", "chain", "draw")

OutputKind = Literal["state", "flux", "rate"]


@dataclass(frozen=True)
class InputSpec:
    """One input of a model: a parameter, a site property, an initial state or a driver series.

    Args:
        name: the field's standard name, the key under ``inputs`` of a study.
        units: internal unit (see :mod:`ensemble.units`); a bare number in a study is in this unit.
        long_name: one phrase for tables and axis labels.
        dims: ``()`` for a scalar, ``("time",)`` for a driver series, other names for coordinate axes that
            the model declares (``("depth",)``, ``("fuel",)``).
        default: value used when the study is silent; ``None`` makes the input required.
        support: closed physical range outside of which a value is refused.
        plausible: range outside of which a value is possible but suspicious, and warned about.
        hint: said when a value is refused, for the usual unit mistake ("clay is in %, not a fraction").
        source: paper or code the default and support come from.
        used_when: ``((option, (value, ...)), ...)``: the input is used, and without a default required,
            only where every named option has one of these values; empty means always.
    """

    name: str
    units: str
    long_name: str
    dims: tuple[str, ...] = ()
    default: float | None = None
    support: tuple[float, float] = (-math.inf, math.inf)
    plausible: tuple[float, float] | None = None
    hint: str = ""
    source: str = ""
    used_when: tuple[tuple[str, tuple[object, ...]], ...] = ()

    def used(self, options: Mapping[str, object]) -> bool:
        """Whether the model reads this input under these options."""
        return all(options.get(name) in values for name, values in self.used_when)


@dataclass(frozen=True)
class OutputSpec:
    """One output of a model.

    Args:
        name, units, long_name, dims, source: as in :class:`InputSpec`.
        kind: ``state`` is the value at the end of a record, ``flux`` the sum over it, ``rate`` its mean.
        support: physical range; a member that leaves it by more than rounding has failed.
        standard_name: CF standard name, where one exists.
        cell_methods: CF cell methods of axes other than time (time's follow from ``kind``).
        given_when: ``((option, (value, ...)), ...)``: the output exists only where every named option has
            one of these values; empty means always.
    """

    name: str
    units: str
    long_name: str
    dims: tuple[str, ...] = ()
    kind: OutputKind = "state"
    support: tuple[float, float] = (-math.inf, math.inf)
    standard_name: str | None = None
    cell_methods: str | None = None
    source: str = ""
    given_when: tuple[tuple[str, tuple[object, ...]], ...] = ()

    def given(self, options: Mapping[str, object]) -> bool:
        """Whether the model returns this output under these options."""
        return all(options.get(name) in values for name, values in self.given_when)


@dataclass(frozen=True)
class OptionSpec:
    """One static choice of a model: it selects the code that is compiled, never a number inside it.

    Args:
        name: key under ``options`` of a study.
        default: value used when the study is silent.
        choices: allowed values; empty for a free value that the model checks itself when it is built.
        long_name: what is being chosen.
        source: where the alternatives come from.
    """

    name: str
    default: object
    choices: tuple[object, ...] = ()
    long_name: str = ""
    source: str = ""


@dataclass(frozen=True)
class TimeAxis:
    """How a model steps through time.

    Args:
        step: name of one step of its driver series, ``"month"`` or ``"year"``.
        lead: steps at the head of every series that come before the first output (RothC: the twelve
            months of the equilibrium year, as in the official input file).
        per_year: steps in a year; yearly records group this many steps.
    """

    step: str
    lead: int = 0
    per_year: int = 12
