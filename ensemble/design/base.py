"""What every design answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Design(Protocol):
    """Which members there are, and which draw of each stream a member uses.

    Two members that use the same draw of a stream share it exactly. A stream is a scalar input, a noise
    series, a spatial field or a laboratory's bias.
    """

    @property
    def kind(self) -> str:
        """Value of ``design.type`` in a study."""
        ...

    @property
    def members(self) -> int:
        """Number of members, after rounding."""
        ...

    @property
    def replicates(self) -> int:
        """Number of independent randomisations; 1 where nothing is drawn."""
        ...

    @property
    def note(self) -> str:
        """One sentence for the user, or nothing."""
        ...

    def replicate(self, members: np.ndarray) -> np.ndarray:
        """Replicate of each member, ``(n,)``."""
        ...

    def draw_index(self, stream: str, members: np.ndarray) -> np.ndarray:
        """Draw of a stream that each member uses, ``(n,)``."""
        ...

    def uniforms(self, streams: Sequence[str], members: np.ndarray) -> np.ndarray:
        """Uniform numbers of scalar inputs, ``(n, len(streams))`` float64 in (0, 1)."""
        ...

    def digest(self) -> str:
        """SHA-256 of the design's type and settings."""
        ...


def fingerprint(**settings: Any) -> str:
    """SHA-256 of settings made of numbers, texts, booleans and tuples of them."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
