"""Internal units and the only conversions in and out.

Inside, every quantity is in the unit that its :class:`~ensemble.specs.InputSpec` or
:class:`~ensemble.specs.OutputSpec` names. A study may give another unit of the same kind; it is converted
here, once, at the door.
"""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """One way to write a unit: base value = number x ``factor`` + ``offset``."""

    kind: str
    factor: float
    offset: float = 0.0


# 12 g of carbon are 44 g of carbon dioxide (12.011 and 44.009 g/mol, rounded as carbon accounting does).
CO2_PER_C = 44.0 / 12.0

_TABLE: dict[str, dict[str, Unit]] = {
    "dimensionless": {"1": Unit("dimensionless", 1.0), "%": Unit("dimensionless", 0.01)},
    "mass concentration in soil": {
        "g/kg": Unit("mass concentration in soil", 1.0),
        "% (mass)": Unit("mass concentration in soil", 10.0),
        "g/100g": Unit("mass concentration in soil", 10.0),
        "mg/kg": Unit("mass concentration in soil", 0.001),
    },
    "density": {
        "g cm-3": Unit("density", 1.0),
        "Mg m-3": Unit("density", 1.0),
        "t m-3": Unit("density", 1.0),
        "kg dm-3": Unit("density", 1.0),
        "kg m-3": Unit("density", 0.001),
        "cg cm-3": Unit("density", 0.01),
    },
    "length": {
        "mm": Unit("length", 0.1),
        "cm": Unit("length", 1.0),
        "dm": Unit("length", 10.0),
        "m": Unit("length", 100.0),
        "km": Unit("length", 1.0e5),
    },
    "temperature": {"degC": Unit("temperature", 1.0), "K": Unit("temperature", 1.0, -273.15)},
    "carbon per area": {
        "t C/ha": Unit("carbon per area", 1.0),
        "Mg C/ha": Unit("carbon per area", 1.0),
        "kg C/ha": Unit("carbon per area", 0.001),
        "kg C m-2": Unit("carbon per area", 10.0),
        "kg m-2": Unit("carbon per area", 10.0),
        "g C m-2": Unit("carbon per area", 0.01),
        "t CO2/ha": Unit("carbon per area", 1.0 / CO2_PER_C),
    },
    "dry matter per area": {
        "t/ha": Unit("dry matter per area", 1.0),
        "Mg/ha": Unit("dry matter per area", 1.0),
        "kg/ha": Unit("dry matter per area", 0.001),
        "g m-2": Unit("dry matter per area", 0.01),
    },
    "rate": {"yr-1": Unit("rate", 1.0), "month-1": Unit("rate", 12.0), "d-1": Unit("rate", 365.25)},
    "area": {"ha": Unit("area", 1.0), "km2": Unit("area", 100.0), "m2": Unit("area", 1e-4)},
    "carbon mass": {
        "t C": Unit("carbon mass", 1.0),
        "Mg C": Unit("carbon mass", 1.0),
        "Mt C": Unit("carbon mass", 1e6),
        "Tg C": Unit("carbon mass", 1e6),
        "Pg C": Unit("carbon mass", 1e9),
        "t CO2": Unit("carbon mass", 1.0 / CO2_PER_C),
        "Mt CO2": Unit("carbon mass", 1e6 / CO2_PER_C),
        "Tg CO2": Unit("carbon mass", 1e6 / CO2_PER_C),
        "Pg CO2": Unit("carbon mass", 1e9 / CO2_PER_C),
    },
}
_UNITS = {name: unit for group in _TABLE.values() for name, unit in group.items()}
# A fraction of soil mass may be written as a percentage as well; kinds that share a ratio are linked here.
_MASS_PERCENT = {"%": Unit("mass concentration in soil", 10.0), "1": Unit("mass concentration in soil", 1000.0)}


def _lookup(written: str, internal: str) -> tuple[Unit, Unit]:
    target = _UNITS.get(internal)
    source = _UNITS.get(written)
    if target is not None and target.kind == "mass concentration in soil" and written in _MASS_PERCENT:
        source = _MASS_PERCENT[written]
    if target is None or source is None or source.kind != target.kind:
        raise ValueError(f"unit '{written}' is not allowed here; allowed: {', '.join(alternatives(internal))}")
    return source, target


def alternatives(internal: str) -> tuple[str, ...]:
    """Every way to write the kind of unit that ``internal`` is, itself first."""
    unit = _UNITS.get(internal)
    if unit is None:
        return (internal,)
    same = [name for name, other in _UNITS.items() if other.kind == unit.kind and name != internal]
    if unit.kind == "mass concentration in soil":
        same += [name for name in _MASS_PERCENT if name not in same]
    return (internal, *same)


def conversion(written: str, internal: str) -> tuple[float, float]:
    """Factor and offset that take a number in unit ``written`` to unit ``internal``.

    Raises:
        ValueError: the unit is unknown or of another kind; the sentence lists what is allowed.
    """
    if written == internal:
        return 1.0, 0.0
    source, target = _lookup(written, internal)
    return source.factor / target.factor, (source.offset - target.offset) / target.factor


# How internal units are spelled for CF (UDUNITS); what an amount is of stands in the long name.
_CF = {
    "t C/ha": "t ha-1",
    "Mg C/ha": "Mg ha-1",
    "kg C m-2": "kg m-2",
    "g C m-2": "g m-2",
    "t/ha": "t ha-1",
    "yr-1": "year-1",
    "% (mass)": "%",
    "permil": "1e-3",
    "t CO2/ha": "t ha-1",
}


def cf_units(internal: str) -> str:
    """An internal unit as UDUNITS spells it, for the ``units`` attribute of a stored array."""
    if internal in _CF:
        return _CF[internal]
    return " ".join(part for part in internal.split() if part not in ("C", "CO2"))
