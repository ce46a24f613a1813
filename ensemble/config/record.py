"""The base of all study records."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
Monthly = Annotated[list[Number], Field(min_length=12, max_length=12)]


class Record(BaseModel):
    """Base of all study records: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)
