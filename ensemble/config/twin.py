"""The keys `criteria` and `twin` of a study: what a model must meet, and how it is kept in step with new measurements."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ensemble.config.record import Number, Record

Measure = Literal["bias", "rmse", "crps", "coverage_50", "coverage_90"]


class Criterion(Record):
    """One limit that is fixed before anything is fitted."""

    measure: Measure = Field(
        description="bias (forecast less measurement; its size counts), rmse, crps, or the share inside a central band"
    )
    of: Literal["run", "calibration", "twin"] = Field(
        default="run",
        description="run: forecast against all measurements; calibration: its held-out rows; twin: forecasts one step ahead",
    )
    variable: str | None = Field(default=None, description="output it is about (default: all that were measured)")
    by: list[Literal["scenario", "site", "variable"]] = Field(
        default=[], description="groups that must each meet it; none: all rows together"
    )
    at_most: Number | None = Field(default=None, description="largest allowed value, in the unit of the output")
    at_least: Number | None = Field(default=None, description="smallest allowed value")

    @model_validator(mode="after")
    def _limit(self) -> Criterion:
        if self.at_most is None and self.at_least is None:
            raise ValueError("give at_most, at_least or both")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}")
        return self


class Twin(Record):
    """A twin: what is known is updated with every new measurement, and every forecast is kept and scored."""

    method: Literal["smc", "es_mda", "enkf"] = Field(
        default="smc",
        description="particles with an exact filter of what they leave open, an ensemble smoother, or an ensemble filter",
    )
    particles: Annotated[int, Field(ge=32, le=1_000_000)] = Field(default=1024, description="particles, or members")
    forecast_draws: Annotated[int, Field(ge=32, le=100_000)] = Field(
        default=256, description="draws of each forecast that are archived"
    )
    horizon: Annotated[float, Field(gt=0)] = Field(default=20.0, description="years that a forecast looks ahead")
    continues: dict[str, str] = Field(
        default={},
        description="scenario that branches off today: scenario that is measured (both have the same inputs until then)",
    )
    inflation: Annotated[float, Field(ge=1)] = Field(
        default=1.0, description="enkf: factor on the spread of the ensemble before each date"
    )
    localisation: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="es_mda, enkf: distance, km, at which a measurement stops to inform the parameters of another site",
    )
    assimilations: Annotated[int, Field(ge=1, le=64)] = Field(
        default=4, description="es_mda: times that the data are taken in, each with their errors inflated"
    )
    false_alarms: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05, description="probability that a sound twin ever raises a drift alarm"
    )
