"""How a run is carried out: who computes its tiles, and where. None of it changes a number."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ensemble.config.record import Record


class Execution(Record):
    """How the run is carried out; never changes a number."""

    max_failed: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="share of failed members that stops the run"
    )
    devices: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="devices to use (default: all of this machine)"
    )
    take_over: Annotated[float, Field(gt=0)] = Field(
        default=120.0, description="seconds after which a worker may compute a tile that another one claimed"
    )
