"""Records of the formulas of one soil layer: stock and saturation."""

from __future__ import annotations

from ensemble.models.base import Model

MODELS: tuple[Model, ...] = ()
