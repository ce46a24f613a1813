"""Designs that draw: scrambled Sobol, Latin hypercube, Monte Carlo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ensemble.design.base import fingerprint
from ensemble.design.counters import counter_uniforms
from ensemble.design.points import SOBOL_DIMENSIONS, latin_hypercube_points, sobol_points

# The fewest randomisations whose spread is worth calling a standard error (15 degrees of freedom).
REPLICATES = 16


@dataclass(frozen=True)
class SampledDesign:
    """Members that differ because they were drawn.

    Member i is draw i of every stream: point i // R of replicate i % R, with R replicates. A longer design
    only appends members; the digest therefore leaves out their number.

    Args:
        kind: the rule behind the uniform numbers.
        streams: the scalar uncertain inputs, in the order of the dimensions of a point.
        requested: members asked for; ``members`` is the number after rounding up.
        seed: the study's seed.
        replicates: independent randomisations, at least 16.
    """

    kind: Literal["sobol", "latin_hypercube", "monte_carlo"]
    streams: tuple[str, ...]
    requested: int
    seed: int
    replicates: int = REPLICATES
    members: int = field(init=False)

    def __post_init__(self) -> None:
        if self.requested < 1:
            raise ValueError(f"members {self.requested} is not allowed; allowed: at least 1")
        if self.replicates < REPLICATES:
            raise ValueError(f"replicates {self.replicates} is not allowed; allowed: at least {REPLICATES}")
        if len(set(self.streams)) < len(self.streams):
            raise ValueError(f"the streams {', '.join(self.streams)} name one input twice")
        if self.kind == "sobol" and len(self.streams) > SOBOL_DIMENSIONS:
            raise ValueError(
                f"a sobol design takes at most {SOBOL_DIMENSIONS} scalar inputs; found {len(self.streams)}: use monte_carlo"
            )
        points = -(-self.requested // self.replicates)
        if self.kind != "monte_carlo":
            points = 1 << (points - 1).bit_length()
        object.__setattr__(self, "members", points * self.replicates)

    @property
    def note(self) -> str:
        """One sentence for the user where the number of members was rounded up; empty otherwise."""
        if self.members == self.requested:
            return ""
        parts = f"{self.replicates} independent replicates of {self.members // self.replicates} points"
        return f"{self.requested} members are rounded up to {self.members}: {parts}"

    def replicate(self, members: np.ndarray) -> np.ndarray:
        """Replicate of each member, integers from 0 to ``replicates - 1``, shape ``(n,)``."""
        return np.asarray(members, dtype=np.int64) % self.replicates

    def draw_index(self, stream: str, members: np.ndarray) -> np.ndarray:
        """Draw of a stream that each member uses, ``(n,)``: its own, for every stream."""
        return np.asarray(members, dtype=np.int64)

    def draw_uniforms(self, streams: Sequence[str], draws: np.ndarray) -> np.ndarray:
        """Uniform numbers of draws of scalar inputs.

        Args:
            streams: some of ``self.streams``.
            draws: draw indices ``(n,)``, in any order.

        Returns:
            ``(n, len(streams))`` float64, strictly between 0 and 1; each number depends on the seed, the
            stream and its draw only, so any tiling gives the same.

        Raises:
            ValueError: a stream is not one of the design's.
        """
        for stream in streams:
            if stream not in self.streams:
                raise ValueError(f"the design has no input '{stream}'; allowed: {', '.join(self.streams)}")
        draws = np.asarray(draws, dtype=np.int64)
        if not streams:
            return np.empty((len(draws), 0))
        if self.kind == "monte_carlo":
            return np.stack([counter_uniforms(self.seed, stream, draws) for stream in streams], axis=1)
        points = sobol_points if self.kind == "sobol" else latin_hypercube_points
        columns = [self.streams.index(stream) for stream in streams]
        return points(self.seed, len(self.streams), self.replicates, draws)[:, columns]

    def uniforms(self, streams: Sequence[str], members: np.ndarray) -> np.ndarray:
        """Uniform numbers of members; arguments and result as in :meth:`draw_uniforms`."""
        return self.draw_uniforms(streams, np.asarray(members, dtype=np.int64))

    def digest(self) -> str:
        """SHA-256 of everything that decides a member's draws; equal for a design and its continuation."""
        return fingerprint(kind=self.kind, streams=self.streams, seed=self.seed, replicates=self.replicates)
