"""The design of a study in which nothing is uncertain: one member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.design.base import fingerprint


@dataclass(frozen=True)
class SingleDesign:
    """One deterministic member; it uses draw 0 of every stream."""

    kind: str = "single"
    members: int = 1
    replicates: int = 1
    note: str = ""

    def replicate(self, members: np.ndarray) -> np.ndarray:
        """Zeros, ``(n,)``."""
        return np.zeros(np.shape(members), dtype=np.int64)

    def draw_index(self, stream: str, members: np.ndarray) -> np.ndarray:
        """Draw 0, ``(n,)``."""
        return np.zeros(np.shape(members), dtype=np.int64)

    def uniforms(self, streams: Sequence[str], members: np.ndarray) -> np.ndarray:
        """Nothing, ``(n, 0)``.

        Raises:
            ValueError: an input would have to be drawn.
        """
        if streams:
            raise ValueError(f"a deterministic study draws nothing, so not '{streams[0]}'")
        return np.empty((len(members), 0))

    def digest(self) -> str:
        """SHA-256 of the kind."""
        return fingerprint(kind=self.kind)
