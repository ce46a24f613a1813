"""The design of a variance decomposition: rows of members that share some inputs and redraw others.

A row holds two independent points, A and B, and one member for every block. A block keeps some groups of
inputs at their values in A and redraws the rest, from B and, where inputs are correlated across groups,
from their distribution given what is kept (Saltelli et al. 2010, doi 10.1016/j.cpc.2009.09.018; Kucherenko
et al. 2012, doi 10.1016/j.cpc.2011.12.020). A and B are the halves of one scrambled Sobol point; row r is
draw r of the Sobol design, so a longer design only appends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from ensemble.design.base import fingerprint
from ensemble.design.points import SOBOL_DIMENSIONS, sobol_points
from ensemble.design.sampled import REPLICATES

Groups = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class PickFreezeDesign:
    """Blocks, groups and dependence of a pick-freeze design.

    Args:
        inputs: streams that are one number a member, in the order of the dimensions of a point.
        series: streams that are drawn from a key (noise, weather, numbers drawn at every site): their draw
            index is kept or redrawn.
        groups: ``((group, (stream, ...)), ...)``; every stream is in exactly one.
        blocks: for every member of a row, the positions of the groups it keeps from A.
        rows: number of rows, a multiple of ``replicates``.
        seed: the study's seed.
        correlation: latent normal correlation of ``inputs`` (d rows of d); ``None`` for independent ones.
        replicates: independent scrambles of the Sobol sequence.
        first_row: row that member 0 is in; a continuation starts where the design before it ended.
    """

    inputs: tuple[str, ...]
    series: tuple[str, ...]
    groups: Groups
    blocks: tuple[tuple[int, ...], ...]
    rows: int
    seed: int
    correlation: tuple[tuple[float, ...], ...] | None = None
    replicates: int = REPLICATES
    first_row: int = 0

    @property
    def kind(self) -> str:
        """``pick_freeze``."""
        return "pick_freeze"

    @property
    def members(self) -> int:
        """Rows times blocks."""
        return self.rows * len(self.blocks)

    @property
    def note(self) -> str:
        """What the design costs, in one sentence."""
        return f"{self.rows} rows of {len(self.blocks)} members decompose {len(self.groups)} inputs or groups"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the groups."""
        return tuple(name for name, _ in self.groups)

    def digest(self) -> str:
        """SHA-256 of everything that decides a member's draws; equal for a design and its continuation."""
        fields = ("kind", "inputs", "series", "groups", "blocks", "seed", "correlation", "replicates")
        return fingerprint(**{name: getattr(self, name) for name in fields})

    def replicate(self, members: np.ndarray) -> np.ndarray:
        """Scramble of each member, ``(n,)``; members of one row share it."""
        return self._places(members)[0] % self.replicates

    def draw_index(self, stream: str, members: np.ndarray) -> np.ndarray:
        """Draw of a stream, ``(n,)``: 2 r where row r keeps it from A, 2 r + 1 where it takes it from B.

        A stream that is in no group (the error of a future measurement) keeps its draw.
        """
        rows, blocks = self._places(members)
        group = group_of(self.groups, stream)
        kept = np.array([group is None or group in block for block in self.blocks])
        return 2 * rows + np.where(kept[blocks], 0, 1)

    def uniforms(self, streams: Sequence[str], members: np.ndarray) -> np.ndarray:
        """Uniform numbers of members, ``(n, len(streams))``, before the copula makes them dependent.

        Raises:
            ValueError: a stream is not one of ``inputs``.
        """
        for stream in streams:
            if stream not in self.inputs:
                raise ValueError(f"the design has no input '{stream}'; allowed: {', '.join(self.inputs)}")
        columns = [self.inputs.index(stream) for stream in streams]
        rows, blocks = self._places(members)
        size = len(self.inputs)
        unique, back = np.unique(rows, return_inverse=True)
        points = sobol_points(self.seed, 2 * size, self.replicates, unique)[back]
        a, b = points[:, :size], points[:, size:]
        if not crossed_pairs(self):
            return np.where(self.kept[blocks], a, b)[:, columns]
        keep, redraw = self._innovations
        normals = np.empty_like(a)
        for block in np.unique(blocks):
            here = blocks == block
            normals[here] = ndtri(a[here]) @ keep[block].T + ndtri(b[here]) @ redraw[block].T
        return ndtr(normals)[:, columns]

    def doubled(self) -> PickFreezeDesign:
        """The same design with twice the rows; its first half are the rows of this one."""
        return replace(self, rows=2 * self.rows)

    def continuation(self, first_row: int) -> PickFreezeDesign:
        """The rows from ``first_row`` on, as a design of their own."""
        return replace(self, rows=self.rows - first_row, first_row=first_row)

    def _places(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and block of each member."""
        rows, blocks = np.divmod(np.asarray(members, dtype=np.int64), len(self.blocks))
        return rows + self.first_row, blocks

    @cached_property
    def kept(self) -> np.ndarray:
        """Whether a block keeps an input, ``(blocks, inputs)``."""
        return np.array([[group_of(self.groups, name) in block for name in self.inputs] for block in self.blocks])

    @cached_property
    def _innovations(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrices ``(blocks, d, d)`` from the normals of A and of B to the independent normals of a block.

        With R = L L', what is kept is z = L w_A; the rest is its mean given that plus the root of its
        conditional covariance times w_B. The copula multiplies by L again, so L's inverse is applied here.
        """
        correlation = np.array(self.correlation)
        lower, size = np.linalg.cholesky(correlation), len(self.inputs)
        keep, redraw = np.zeros((2, len(self.blocks), size, size))
        for block, kept in enumerate(self.kept):
            rest = ~kept
            slope = np.linalg.solve(correlation[np.ix_(kept, kept)], correlation[np.ix_(kept, rest)]).T
            keep[block][kept], keep[block][rest] = lower[kept], slope @ lower[kept]
            spread = correlation[np.ix_(rest, rest)] - slope @ correlation[np.ix_(kept, rest)]
            redraw[block][np.ix_(rest, rest)] = np.linalg.cholesky(spread)
        return np.linalg.solve(lower, keep), np.linalg.solve(lower, redraw)


def group_of(groups: Groups, stream: str) -> int | None:
    """Position of the group that a stream is in; ``None`` where it is in none."""
    return next((k for k, (_, members) in enumerate(groups) if stream in members), None)


def crossed_pairs(design: PickFreezeDesign) -> list[tuple[str, str]]:
    """Pairs of correlated inputs that are in different groups."""
    correlation = design.correlation or np.eye(len(design.inputs))
    pairs = [(i, j) for i in range(len(design.inputs)) for j in range(i) if correlation[i][j] != 0.0]
    names = [(design.inputs[j], design.inputs[i]) for i, j in pairs]
    return [(a, b) for a, b in names if group_of(design.groups, a) != group_of(design.groups, b)]


def pick_freeze(
    inputs: Sequence[str],
    rows: int,
    seed: int,
    groups: Mapping[str, Sequence[str]] | None = None,
    series: Sequence[str] = (),
    correlation: np.ndarray | None = None,
    second: bool = False,
    dependent: bool = False,
    replicates: int = REPLICATES,
) -> PickFreezeDesign:
    """The design for first-order, total and, on request, closed second-order effects of inputs or groups.

    Args:
        inputs: streams that are one number a member.
        rows: rows wanted; rounded up to ``replicates`` times a power of two.
        seed: the study's seed.
        groups: name to streams; a stream that no group names is a group of its own.
        series: streams drawn from a key.
        correlation: latent normal correlation of ``inputs``, (d, d).
        second: add the blocks for closed second-order effects (2 g + 2 members a row instead of g + 2).
        dependent: allow correlations across groups; rows are then conditional samples, of 2 g + 2 members,
            for Kucherenko's effects.
        replicates: independent scrambles, at least 16.

    Raises:
        ValueError: fewer than 2 inputs or groups; a group that is empty, names no stream, or shares one
            with another group; too few scrambles; too many inputs for Sobol points; a correlation across
            groups that is not allowed, or together with ``second``.
    """
    named = _named_groups(groups or {}, (*inputs, *series))
    if replicates < REPLICATES:
        raise ValueError(f"{replicates} scrambles are too few for an interval; allowed: at least {REPLICATES}")
    if 2 * len(inputs) > SOBOL_DIMENSIONS:
        raise ValueError(f"a decomposition takes at most {SOBOL_DIMENSIONS // 2} scalar inputs; found {len(inputs)}")
    every = tuple(range(len(named)))
    others = tuple(tuple(k for k in every if k != g) for g in every)
    points = 1 << (max(1, -(-rows // replicates)) - 1).bit_length()
    tied = correlation is not None and np.any(correlation != np.eye(len(inputs)))
    latent = tuple(map(tuple, np.asarray(correlation, float).tolist())) if tied else None
    fields = (tuple(inputs), tuple(series), named)
    plain = PickFreezeDesign(*fields, (every, (), *others), points * replicates, seed, latent, replicates)
    crossed = crossed_pairs(plain)
    if crossed and not dependent:
        raise ValueError(_no_sobol(plain, crossed))
    if crossed and second:
        raise ValueError("second-order effects do not exist where a correlation crosses groups; use Shapley effects")
    if not second and not crossed:
        return plain
    alone = tuple((g,) for g in every)
    return PickFreezeDesign(*fields, (*plain.blocks, *alone), plain.rows, seed, latent, replicates)


def _no_sobol(design: PickFreezeDesign, crossed: list[tuple[str, str]]) -> str:
    """Why there are no Sobol indices, what to use, and which grouping would allow them."""
    merged: list[set[str]] = []
    for pair in crossed:
        touched = {name for one in pair for _, members in design.groups if one in members for name in members}
        joined = [group for group in merged if group & touched]
        merged = [group for group in merged if not group & touched] + [touched.union(*joined)]
    offer = "; ".join("[" + ", ".join(name for name in design.inputs if name in group) + "]" for group in merged)
    return (
        f"'{crossed[0][0]}' and '{crossed[0][1]}' are correlated, so Sobol indices of each do not exist: "
        f"use indices: shapley or kucherenko, or make one group of {offer}"
    )


def _named_groups(groups: Mapping[str, Sequence[str]], allowed: Sequence[str]) -> Groups:
    owner: dict[str, str] = {}
    for group, members in groups.items():
        if not members:
            raise ValueError(f"the group '{group}' names nothing; allowed: {', '.join(allowed)}")
        for member in members:
            if member not in allowed:
                raise ValueError(
                    f"the group '{group}' names '{member}', which is not uncertain; allowed: {', '.join(allowed)}"
                )
            if member in owner:
                raise ValueError(f"'{member}' is in the groups '{owner[member]}' and '{group}'; one is allowed")
            owner[member] = group
    alone = tuple((name, (name,)) for name in allowed if name not in owner)
    named = (*((name, tuple(members)) for name, members in groups.items()), *alone)
    if len(named) < 2:
        raise ValueError(f"a decomposition needs at least 2 uncertain inputs or groups; found {len(named)}")
    return named
