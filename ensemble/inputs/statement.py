"""What a study says about one distribution, checked and brought to arrays of one shape."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.inputs.families import FAMILIES, Family

# Keys that hold numbers, one or one a site.
_NUMBERS = ("mean", "median", "sd", "cv", "minimum", "mode", "maximum", "alpha", "beta", "shape", "scale")
_POSITIVE = ("sd", "cv", "alpha", "beta", "shape", "scale")
# Sizes that arithmetic in double precision can carry through; no soil quantity is near them.
LARGEST = 1e30
_SIZES = (1.0 / LARGEST, LARGEST)
_SHAPES = (1e-3, 1e9)
_NARROWEST = 1e-9
_DEFAULTS = {"beta": {"minimum": 0.0, "maximum": 1.0}, "pert": {"shape": 4.0}}


@dataclass(frozen=True, eq=False)
class Statement:
    """One checked statement of a distribution.

    Args:
        family: the family.
        form: keys that state it.
        numbers: value of each numeric key, ``()`` or ``(sites,)``.
        probabilities: of the stated quantiles, ``(q,)``, rising.
        quantiles: their values, ``(q,)`` or ``(q, sites)``.
        lower, upper: limits of the final distribution (stated and physical together), ``()`` or ``(sites,)``.
        table: keys of a discrete or empirical distribution as written.
    """

    family: Family
    form: tuple[str, ...]
    numbers: Mapping[str, np.ndarray]
    probabilities: np.ndarray
    quantiles: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    table: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """``()`` or ``(sites,)``."""
        parts = (*self.numbers.values(), *self.quantiles, self.lower, self.upper)
        return np.broadcast_shapes(*(np.shape(part) for part in parts))

    def describe(self, site: int | None = None) -> str:
        """What was stated, at one site where it differs between sites."""
        stated = {key: self.numbers[key] for key in self.form if key in self.numbers}
        words = [f"{key} {pick(value, site):g}" for key, value in stated.items()]
        words += [
            f"{100 * p:g} % quantile {pick(value, site):g}"
            for p, value in zip(self.probabilities, self.quantiles, strict=True)
        ]
        return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def pick(value: np.ndarray, site: int | None) -> float:
    """The value at one site of something that may be the same at all."""
    return float(value if np.ndim(value) == 0 or site is None else np.asarray(value)[site])


def read_statement(spec: Mapping[str, Any], support: tuple[Any, Any]) -> Statement:
    """Check the keys and numbers of a distribution.

    Raises:
        ValueError: one sentence naming the key, the value and what is allowed.
    """
    given = {key: value for key, value in spec.items() if value is not None}
    family = _family(given.pop("distribution", None))
    form = _form(family, given)
    numbers = {key: _number(key, given[key]) for key in _NUMBERS if key in given}
    for key, value in _DEFAULTS.get(family.name, {}).items():
        numbers.setdefault(key, np.asarray(value))
    probabilities, quantiles = _quantiles(family, given.get("quantiles", {}))
    statement = Statement(
        family,
        form,
        numbers,
        probabilities,
        quantiles,
        np.maximum(_number("lower", given["lower"]) if "lower" in given else -np.inf, _limit(support[0])),
        np.minimum(_number("upper", given["upper"]) if "upper" in given else np.inf, _limit(support[1])),
        {key: given[key] for key in ("values", "probabilities", "method") if key in given},
    )
    _check_shapes(statement)
    _check_order(statement)
    return statement


def _family(name: Any) -> Family:
    if name in FAMILIES:
        return FAMILIES[name]
    close = difflib.get_close_matches(str(name), FAMILIES, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ValueError(f"no distribution is called '{name}'; {hint}allowed: {', '.join(FAMILIES)}")


def _form(family: Family, given: Mapping[str, Any]) -> tuple[str, ...]:
    for key in given:
        if key not in family.keys:
            raise ValueError(f"a {family.name} distribution takes no '{key}'; allowed: {', '.join(family.keys)}")
    stated = {key for key in given if key not in family.optional}
    for form in family.forms:
        if stated == set(form):
            return form
    found = " + ".join(sorted(stated)) or "nothing"
    raise ValueError(f"a {family.name} distribution is stated by {family.describe_forms()}; found {found}")


def _number(key: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{key} {value!r} is not a number") from None
    if array.ndim > 1:
        raise ValueError(f"{key} has {array.ndim} axes; allowed: one number, or one number a site")
    if not np.isfinite(array).all():
        raise ValueError(f"{key} {array[~np.isfinite(array)].flat[0]} is not allowed; allowed: finite numbers")
    if key in _POSITIVE and not (array > 0.0).all():
        raise ValueError(f"{key} {array.min():g} is not allowed; allowed: above 0")
    low, high = _SHAPES if key in ("alpha", "beta", "shape") else _SIZES
    size = np.abs(array[array != 0.0])
    if not ((size >= low) & (size <= high)).all():
        wrong = size[(size < low) | (size > high)][0]
        raise ValueError(f"{key} of size {wrong:g} is not allowed; allowed: {low:g} to {high:g}")
    return array


def _limit(value: Any) -> np.ndarray:
    array = np.asarray(value, dtype=float)
    if np.isnan(array).any():
        raise ValueError("a limit is NaN; allowed: numbers, or none")
    return array


def _quantiles(family: Family, stated: Any) -> tuple[np.ndarray, np.ndarray]:
    if not stated:
        return np.empty(0), np.empty(0)
    try:
        keys = {p: float(p) for p in stated}
    except (TypeError, ValueError):
        keys = {}
    if not isinstance(stated, Mapping) or not keys:
        raise ValueError(f"quantiles {stated!r} are not allowed; allowed: {{probability: value}}")
    pairs = [(keys[p], _number("quantile", stated[p])) for p in sorted(keys, key=keys.__getitem__)]
    probabilities = np.array([p for p, _ in pairs])
    if len(pairs) != family.quantiles:
        raise ValueError(f"a {family.name} distribution is stated by {family.quantiles} quantiles; found {len(pairs)}")
    if not ((probabilities > 0.0) & (probabilities < 1.0)).all():
        raise ValueError(f"quantile probabilities {probabilities.tolist()} are not allowed; allowed: between 0 and 1")
    values = np.array(np.broadcast_arrays(*(value for _, value in pairs)))
    if not (np.diff(values, axis=0) > 0.0).all():
        raise ValueError("quantiles must rise with their probability")
    return probabilities, values


def _check_shapes(statement: Statement) -> None:
    try:
        shape = statement.shape
    except ValueError:
        raise ValueError("the numbers of a distribution that differ by site must have one value a site each") from None
    if len(shape) > 1:
        raise ValueError("a limit has more than one axis; allowed: one number, or one number a site")


def _check_order(statement: Statement) -> None:
    """Refuse numbers that contradict each other or the limits."""
    family, numbers, low, high = statement.family, statement.numbers, statement.lower, statement.upper
    if not np.all(low < high):
        raise ValueError(f"the limits {np.max(low):g} to {np.min(high):g} leave no room for a distribution")
    if family.requires_limits and np.any(np.isinf(low) & np.isinf(high)):
        raise ValueError(f"a {family.name} distribution needs lower or upper")
    for small, large in (("minimum", "mode"), ("mode", "maximum"), ("minimum", "maximum")):
        if small in numbers and large in numbers:
            equal_allowed = "mode" in (small, large) or "mode" in numbers
            right = numbers[small] <= numbers[large] if equal_allowed else numbers[small] < numbers[large]
            if not np.all(right):
                site = None if np.ndim(right) == 0 else int(np.argmin(right))
                raise ValueError(
                    f"{small} {pick(numbers[small], site):g} must lie below {large} {pick(numbers[large], site):g}"
                )
    placed = {key: numbers[key] for key in ("mean", "median") if key in numbers}
    placed |= {f"{100 * p:g} % quantile": x for p, x in zip(statement.probabilities, statement.quantiles, strict=True)}
    if family.positive:
        placed_above_zero = placed | {key: numbers[key] for key in ("minimum",) if key in numbers}
        _check_inside(
            placed_above_zero, np.asarray(0.0), np.asarray(np.inf), f"a {family.name} distribution lives above 0"
        )
    if family.name == "beta":
        _check_inside(placed, numbers["minimum"], numbers["maximum"], "it lives between its minimum and maximum")
    _check_inside(placed, low, high, f"the limits are {np.max(low):g} to {np.min(high):g}")
    _check_width(statement, placed)
    if "cv" in numbers and np.any(placed.get("mean", placed.get("median", 1.0)) == 0.0):
        raise ValueError("a cv says nothing about a distribution centred on 0; give its sd")


def _check_width(statement: Statement, placed: Mapping[str, np.ndarray]) -> None:
    """Refuse a distribution that rounding cannot tell from one number."""
    numbers, values = statement.numbers, list(placed.values())
    values += [numbers[key] for key in ("minimum", "maximum") if key in numbers and key in statement.form]
    if "cv" in numbers:
        narrow = numbers["cv"] < _NARROWEST
    elif "sd" in numbers:
        narrow = numbers["sd"] < _NARROWEST * np.abs(values[0])
    elif len(values) > 1:
        narrow = values[-1] - values[0] <= _NARROWEST * np.maximum(np.abs(values[0]), np.abs(values[-1]))
    else:
        return
    if np.any(narrow):
        raise ValueError(
            f"this {statement.family.name} distribution is too narrow to differ from one number: give the number"
        )


def _check_inside(placed: Mapping[str, np.ndarray], low: np.ndarray, high: np.ndarray, why: str) -> None:
    for name, value in placed.items():
        right = (value > low) & (value < high)
        if not np.all(right):
            site = None if np.ndim(right) == 0 else int(np.argmin(right))
            raise ValueError(f"{name} {pick(value, site):g} is not possible: {why}")
