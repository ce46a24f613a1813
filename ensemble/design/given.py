"""A design whose uniform numbers are given: samples of methods that bring their own (Morris, FAST)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class GivenDesign:
    """Members at given probabilities; every series keeps one draw, so that only the inputs differ.

    Args:
        kind: name of the method.
        inputs: streams, in the order of the columns.
        points: probabilities (members, inputs), strictly between 0 and 1.
    """

    kind: str
    inputs: tuple[str, ...]
    points: np.ndarray

    @property
    def members(self) -> int:
        """Number of points."""
        return len(self.points)

    @property
    def replicates(self) -> int:
        """Always 1."""
        return 1

    @property
    def note(self) -> str:
        """What the design is, in one sentence."""
        return f"{self.members} members of a {self.kind} sample"

    def replicate(self, members: np.ndarray) -> np.ndarray:
        """Zeros, ``(n,)``."""
        return np.zeros(np.shape(members), dtype=np.int64)

    def draw_index(self, stream: str, members: np.ndarray) -> np.ndarray:
        """Draw 0 of every stream, ``(n,)``."""
        return np.zeros(np.shape(members), dtype=np.int64)

    def uniforms(self, streams: Sequence[str], members: np.ndarray) -> np.ndarray:
        """The given probabilities, ``(n, len(streams))``."""
        return self.points[np.asarray(members)][:, [self.inputs.index(stream) for stream in streams]]

    def digest(self) -> str:
        """SHA-256 of the points."""
        return hashlib.sha256(np.ascontiguousarray(self.points).tobytes()).hexdigest()
