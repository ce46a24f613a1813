"""The key `calibrate` of a study: which errors the measurements have, and how the posterior is found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ensemble.config.record import Record

# Parts of a stock that is composed of measured parts; pedotransfer is a bulk density that was not measured.
PARTS = ("concentration", "bulk_density", "depth", "coarse_fragments", "pedotransfer")
Part = Literal["concentration", "bulk_density", "depth", "coarse_fragments", "pedotransfer"]
# A standard deviation: a number, or a distribution as under `uncertain` where it is not known.
Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)] | dict[str, Any]


class ErrorSource(Record):
    """One source of error of the measurements, besides the error that the table states for each row."""

    relative: Spread | None = Field(
        default=None, description="standard deviation as a fraction: a number or a distribution"
    )
    absolute: Spread | None = Field(default=None, description="standard deviation in the unit of the output")
    of: Part | None = Field(
        default=None, description="part of a composed stock whose error it is, as large as the table says of each row"
    )
    shared_by: list[str] = Field(
        default=[],
        description="columns (time, site, scenario, method, ...): rows equal in all of them have one error; none: each row has its own",
    )
    variable: str | None = Field(default=None, description="output it belongs to (default: every observed one)")

    @model_validator(mode="after")
    def _one(self) -> ErrorSource:
        given = [name for name in ("relative", "absolute", "of") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of relative, absolute and of; found {' and '.join(given) or 'none'}")
        return self


class Vary(Record):
    """An entry of `uncertain` that differs between groups around a common value, by an amount that is learnt."""

    by: str = Field(
        default="site", description="column of the observations (site, scenario, ...) whose values are the groups"
    )
    spread: Spread = Field(
        description="standard deviation between groups, in standard deviations of the entry's own distribution"
    )


class ModelError(Record):
    """What the model itself gets wrong, beyond its parameters."""

    kind: Literal["random_walk", "ar1", "pools"] = Field(
        description="a random walk or stationary AR(1) of the predicted value, or process noise on the pools"
    )
    sd: Spread = Field(
        description="fraction of the value: per square root of a year (random_walk, pools), or at any time (ar1)"
    )
    timescale: Spread | None = Field(
        default=None, description="ar1: years after which the correlation has fallen to 1/e"
    )
    shared_by: list[str] = Field(
        default=["scenario", "variable"],
        description="columns: rows equal in all of them share one course of the error (pools: not used)",
    )

    @model_validator(mode="after")
    def _needs(self) -> ModelError:
        if (self.timescale is not None) != (self.kind == "ar1"):
            raise ValueError(f"{self.kind} {'needs' if self.kind == 'ar1' else 'does not take'} timescale")
        return self


class Calibrate(Record):
    """Bayesian calibration: `uncertain` is the prior, `observations` are the data."""

    likelihood: Literal["lognormal", "normal"] | dict[str, Literal["lognormal", "normal"]] = Field(
        default="lognormal",
        description="errors are relative and multiply (lognormal) or add up (normal); or one choice an output",
    )
    error_scale: Spread | None = Field(
        default=None, description="factor on the stated errors of the table: a number or a distribution (default: 1)"
    )
    errors: dict[str, ErrorSource] = Field(default={}, description="further sources of error, by name")
    vary: dict[str, Vary] = Field(
        default={}, description="entries of `uncertain` that differ between groups, with a learnt spread"
    )
    model_error: ModelError | None = Field(
        default=None, description="error of the model itself; without it the model is taken as perfect"
    )
    hold_out: dict[str, list[str]] = Field(
        default={}, description="rows kept for testing: column (site, scenario, time, ...) and its values"
    )
    method: Literal["nuts", "laplace"] = Field(
        default="nuts", description="NUTS, or the fast Gaussian approximation at the mode"
    )
    chains: Annotated[int, Field(ge=1, le=64)] = Field(default=4, description="chains, run side by side")
    warmup: Annotated[int, Field(ge=10)] = Field(
        default=1000, description="steps of each chain that adapt the sampler and are dropped"
    )
    draws: Annotated[int, Field(ge=10)] = Field(default=1000, description="draws kept from each chain")
    target_accept: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        default=0.9, description="acceptance rate that the step size aims at"
    )
    starts: Annotated[int, Field(ge=1, le=1024)] = Field(default=16, description="starts of the search for modes")
