"""Designs whose values are chosen, not drawn: factorial, sweep, half-range, corners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ensemble.design.base import fingerprint

BASE = -1


@dataclass(frozen=True)
class ChosenDesign:
    """Members that differ because their inputs were set.

    Every member uses draw 0 of every stream that is not set (a noise series, weather), so differences
    between members are differences between their settings.

    - ``factorial``: every combination of the levels; the last input varies fastest.
    - ``sweep``: member 0 is the base; then each input in turn takes its levels, the others at their base.
    - ``half_range``: member 0 is the base; then each input in turn is its base minus one error, and plus
      one error (Zhou et al. 2023); the half range |y(plus) - y(minus)| / 2 is that input's uncertainty.
    - ``corners``: member 0 is the base; in member 1 every input is at its first level, in member 2 at its second
      (FAO GSOCseq Eqs 12.3, 12.4).

    Args:
        kind: how levels become members.
        levels: for each input its levels; in ``half_range`` and ``corners`` what is added to the base: two numbers.
    """

    kind: Literal["factorial", "sweep", "half_range", "corners"]
    levels: tuple[tuple[str, tuple[Any, ...]], ...]

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError(f"a {self.kind} design needs at least one input with levels")
        for name, values in self.levels:
            if not values:
                raise ValueError(f"'{name}' has no levels; allowed: at least one")
            if self.kind != "corners" and len(set(map(repr, values))) < len(values):
                raise ValueError(f"the levels of '{name}' name one value twice: {', '.join(map(str, values))}")

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs that are set."""
        return tuple(name for name, _ in self.levels)

    @property
    def members(self) -> int:
        """Number of members: the product of the levels, or one plus their sum."""
        if self.kind == "corners":
            return 3
        counts = [len(values) for _, values in self.levels]
        return int(np.prod(counts, dtype=np.int64)) if self.kind == "factorial" else 1 + sum(counts)

    @property
    def replicates(self) -> int:
        """Always 1: nothing is drawn, so nothing has a standard error."""
        return 1

    @property
    def note(self) -> str:
        """How many members the levels make, in one sentence."""
        sizes = ", ".join(f"{name} {len(values)}" for name, values in self.levels)
        return f"the {self.kind} design makes {self.members} members from its levels ({sizes})"

    def replicate(self, members: np.ndarray) -> np.ndarray:
        """Zeros, ``(n,)``."""
        return np.zeros(np.shape(members), dtype=np.int64)

    def draw_index(self, stream: str, members: np.ndarray) -> np.ndarray:
        """Draw 0 of every stream, ``(n,)``."""
        return np.zeros(np.shape(members), dtype=np.int64)

    def uniforms(self, streams: Sequence[str], members: np.ndarray) -> np.ndarray:
        """Refused, but for no streams at all: an input that would have to be drawn is not set.

        Raises:
            ValueError: ``streams`` names an input.
        """
        if streams:
            raise ValueError(
                f"a {self.kind} design draws nothing: give '{streams[0]}' levels or leave it out of uncertain"
            )
        return np.empty((len(members), 0))

    def codes(self, name: str, members: np.ndarray) -> np.ndarray:
        """Level of an input in each member, integers ``(n,)``; -1 where it is at its base.

        Raises:
            ValueError: the design does not set this input, or has no such member.
        """
        members = np.asarray(members, dtype=np.int64)
        if name not in self.streams:
            raise ValueError(f"the design does not set '{name}'; it sets {', '.join(self.streams)}")
        if np.any((members < 0) | (members >= self.members)):
            raise ValueError(f"members must lie between 0 and {self.members - 1}")
        if self.kind == "corners":
            return members - 1
        place, counts = self.streams.index(name), [len(values) for _, values in self.levels]
        if self.kind == "factorial":
            return members // int(np.prod(counts[place + 1 :], dtype=np.int64)) % counts[place]
        code = members - 1 - sum(counts[:place])
        return np.where((code >= 0) & (code < counts[place]), code, BASE)

    def values(self, name: str, members: np.ndarray, base: Any) -> np.ndarray:
        """Values of a numeric input.

        Args:
            name: an input that the design sets.
            members: member indices ``(n,)``.
            base: its base value, a number, or ``(sites,)`` where it differs by site.

        Returns:
            ``(n,)`` float64, or ``(n, sites)``.

        Raises:
            ValueError: as :meth:`codes`; or the levels are names, which only :meth:`codes` can give.
        """
        levels = dict(self.levels)
        codes = self.codes(name, members)
        if any(isinstance(level, str) for level in levels[name]):
            raise ValueError(f"the levels of '{name}' are names, not numbers")
        level = np.array([*levels[name], 0.0], dtype=float)[codes]
        base = np.asarray(base, dtype=float)
        level, codes = level.reshape(-1, *(1,) * base.ndim), codes.reshape(-1, *(1,) * base.ndim)
        return base + level if self.kind in ("half_range", "corners") else np.where(codes == BASE, base, level)

    def digest(self) -> str:
        """SHA-256 of the kind, the inputs and their levels."""
        return fingerprint(kind=self.kind, levels=self.levels)


def factorial(levels: Mapping[str, Any]) -> ChosenDesign:
    """Every combination of levels; see :func:`read_levels` for how they are written."""
    return ChosenDesign("factorial", _levels(levels))


def sweep(levels: Mapping[str, Any]) -> ChosenDesign:
    """One input at a time through its levels, around the base; see :func:`read_levels`."""
    return ChosenDesign("sweep", _levels(levels))


def half_range(errors: Mapping[str, float]) -> ChosenDesign:
    """The base, and each input at its base minus and plus one error.

    Raises:
        ValueError: no input, or an error that is not above 0.
    """
    for name, error in errors.items():
        if not (np.isfinite(error) and error > 0.0):
            raise ValueError(f"the error of '{name}' is {error:g}; allowed: above 0")
    return ChosenDesign("half_range", tuple((name, (-float(error), float(error))) for name, error in errors.items()))


def corners(changes: Mapping[str, float]) -> ChosenDesign:
    """The base, every input at its base minus its change, and every input at its base plus its change.

    Args:
        changes: by input, signed: a negative change goes down where the others go up; 0 stays at the base.
    """
    return ChosenDesign("corners", tuple((name, (-float(change), float(change))) for name, change in changes.items()))


def _levels(levels: Mapping[str, Any]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    return tuple((name, read_levels(name, written)) for name, written in levels.items())


def read_levels(name: str, written: Any) -> tuple[Any, ...]:
    """Levels of one input: a list, or ``{start, stop, step}``, which reaches ``stop`` where a step fits.

    Raises:
        ValueError: neither of the two, or a step of the wrong sign or of zero.
    """
    if isinstance(written, Mapping):
        if set(written) != {"start", "stop", "step"}:
            raise ValueError(f"the levels of '{name}' are a list, or start, stop and step; found {', '.join(written)}")
        start, stop, step = (float(written[key]) for key in ("start", "stop", "step"))
        if step == 0.0 or (stop - start) / step < 0.0:
            raise ValueError(f"a step of {step:g} does not lead from {start:g} to {stop:g} (levels of '{name}')")
        count = int(np.floor((stop - start) / step + 1e-9)) + 1
        return tuple(float(f"{start + step * index:.12g}") for index in range(count))
    if isinstance(written, str) or not isinstance(written, Sequence):
        raise ValueError(f"the levels of '{name}' are a list, or start, stop and step; found {written!r}")
    return tuple(written)


def keep_inside(values: np.ndarray, support: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Move half-range values to the nearest edge of the physical support, and say which were moved.

    Only a half-range design or corners may need it: base minus one error can fall below zero on a poor soil. Drawn
    values never do, because their distributions are renormalised.

    Args:
        values: any shape.
        support: closed range.

    Returns:
        The values inside the range, and a mask of those that were moved, both of the shape of ``values``. What only
        rounding puts outside (0.87 - 0.77 below 0.1) is not counted as moved.
    """
    kept = np.clip(values, *support)
    return kept, ~np.isclose(values, kept, rtol=1e-12, atol=1e-12)
