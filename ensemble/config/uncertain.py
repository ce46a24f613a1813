"""What a study calls uncertain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from ensemble.config.record import Number, Record


class Uncertain(Record):
    """One source of uncertainty. Its key is its name, and the input it acts on unless `input` says another."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    input: str | None = Field(default=None, description="input it acts on, or options.NAME for a structural choice")
    as_: Literal["value", "offset", "factor"] = Field(
        default="value", alias="as", description="the draw replaces the input, is added to it, or multiplies it"
    )
    per: Literal["member", "site"] = Field(
        default="member", description="one draw for all sites of a member, or an independent draw at each site"
    )
    distribution: str | None = Field(default=None, description="family; see docs/uncertainty.md for the list")
    mean: Number | str | None = Field(
        default=None, description="mean of the final distribution (a column of the site table: its name)"
    )
    sd: Number | str | None = Field(default=None, description="standard deviation of the final distribution")
    cv: Number | str | None = Field(default=None, description="coefficient of variation, sd / mean")
    median: Number | str | None = Field(default=None, description="median of the final distribution")
    mode: Number | str | None = Field(default=None, description="most likely value (triangular, pert)")
    minimum: Number | str | None = Field(default=None, description="smallest value (triangular, pert, uniform, beta)")
    maximum: Number | str | None = Field(default=None, description="largest value (triangular, pert, uniform, beta)")
    quantiles: dict[Number, Number | str] | None = Field(
        default=None, description="value at each probability, {0.05: 10, 0.95: 30}"
    )
    lower: Number | None = Field(
        default=None, description="truncate below; the distribution is renormalised, never clipped"
    )
    upper: Number | None = Field(default=None, description="truncate above")
    alpha: Number | None = Field(default=None, description="first shape of a beta distribution")
    beta: Number | None = Field(default=None, description="second shape of a beta distribution")
    shape: Number | None = Field(default=None, description="shape of a gamma or PERT distribution")
    scale: Number | None = Field(default=None, description="scale of a gamma distribution")
    values: list[Number | str | bool] | None = Field(default=None, description="values of a discrete distribution")
    probabilities: list[Number] | None = Field(default=None, description="probability of each value (default: equal)")
    method: Literal["interpolate", "resample"] | None = Field(
        default=None, description="empirical: interpolate, or resample the values"
    )
    file: str | None = Field(default=None, description="CSV of an empirical distribution, or of the weather history")
    column: str | None = Field(default=None, description="column of `file` for an empirical distribution")
    autocorrelation: Number | None = Field(
        default=None,
        description="the draw is new in every step, with this correlation between neighbours (AR(1) noise)",
    )
    weather: Literal["years", "realization"] | None = Field(
        default=None,
        description="resample whole years of `file`, or pick one realization of it, for all its columns together",
    )
    block: int = Field(default=1, ge=1, description="consecutive years kept together when weather years are resampled")
    units: str | None = Field(default=None, description="unit of the numbers given here (default: the model's)")
    posterior: str | None = Field(
        default=None, description="store of a calibration: its joint posterior (`posterior: STORE`, a text, is enough)"
    )
    realizations: str | None = Field(
        default=None,
        description="store of `ensemble map`: one realisation of all its maps that are inputs of the model",
    )
    unchecked: bool = Field(default=False, description="posterior: use it although its diagnostics failed")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"posterior": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _kind(self) -> Uncertain:
        given = [
            name for name in ("distribution", "weather", "posterior", "realizations") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of distribution, weather, posterior and realizations; found {' and '.join(given) or 'none'}"
            )
        if self.weather is not None and self.file is None:
            raise ValueError("weather needs a file of past or projected years")
        if self.autocorrelation is not None and not -1.0 < self.autocorrelation < 1.0:
            raise ValueError(f"autocorrelation {self.autocorrelation:g} is not allowed; allowed: between -1 and 1")
        return self


class Correlation(Record):
    """Correlation of two uncertain inputs, by a Gaussian copula."""

    between: Annotated[list[str], Field(min_length=2, max_length=2)] = Field(description="names under `uncertain`")
    value: Annotated[float, Field(ge=-1, le=1)] = Field(description="correlation coefficient")
    kind: Literal["rank", "pearson"] = Field(
        default="rank", description="Spearman's rank or Pearson's linear correlation"
    )


class SpatialField(Record):
    """An error that is alike at sites near each other. Its key is an entry of `uncertain` with `per: site`."""

    model: Literal["exponential", "matern"] = Field(
        default="exponential", description="correlation function of distance"
    )
    range: Annotated[float, Field(gt=0)] = Field(description="distance over which errors are alike, km")
    range_is: Literal["parameter", "effective"] = Field(
        default="parameter", description="l of exp(-h/l), or the distance at which the correlation has fallen to 0.05"
    )
    nugget: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the variance that no neighbour shares"
    )
    smoothness: Annotated[float, Field(gt=0)] = Field(default=1.5, description="Matérn smoothness nu")
    support: Literal["block", "point"] = Field(
        default="block", description="what the stated sd is the error of: the mean of a site's area, or one point in it"
    )
