"""What a study gives: inputs, sites, scenarios, observations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from ensemble.config.record import Monthly, Number, Record


class ScheduleRule(Record):
    """Twelve monthly values for some years; a later rule replaces an earlier one."""

    from_: int | None = Field(
        default=None, alias="from", description="first calendar year of the rule (default: the first)"
    )
    to: int | None = Field(default=None, description="last calendar year, inclusive (default: the last)")
    years: list[int] | None = Field(default=None, description="single years, instead of from and to")
    every: Annotated[int, Field(ge=1)] = Field(
        default=1, description="only every n-th year of from-to, the first included"
    )
    except_: list[int] = Field(
        default=[], alias="except", description="years inside from-to that the rule leaves alone"
    )
    value: Number | None = Field(default=None, description="the same value in every month")
    monthly: Monthly | None = Field(default=None, description="twelve values, January first")
    months: dict[int, Number] | None = Field(
        default=None, description="values of the named months (1-12); the others are 0"
    )
    annual: Number | None = Field(default=None, description="yearly sum, spread over the months by `shares`")
    shares: dict[int, Number] | None = Field(
        default=None, description="share of the yearly sum in each named month; sums to 1"
    )

    @model_validator(mode="after")
    def _one_way(self) -> ScheduleRule:
        given = [name for name in ("value", "monthly", "months", "annual") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of value, monthly, months, annual; found {given or 'none'}")
        if (self.annual is None) != (self.shares is None):
            raise ValueError("annual and shares go together")
        if self.shares is not None and abs(sum(self.shares.values()) - 1.0) > 1e-6:
            raise ValueError(f"shares sum to {sum(self.shares.values()):g}; they must sum to 1")
        for month in (*(self.months or ()), *(self.shares or ())):
            if not 1 <= month <= 12:
                raise ValueError(f"month {month} is not allowed; allowed: 1 to 12")
        return self


class YearRange(Record):
    """Calendar years, both inclusive."""

    start: int = Field(description="first year")
    end: int = Field(description="last year")

    @model_validator(mode="after")
    def _order(self) -> YearRange:
        if self.end < self.start:
            raise ValueError(f"end {self.end} comes before start {self.start}")
        return self


class RasterSeries(Record):
    """A monthly series for each cell of the grid that `sites: rasters` gives."""

    file: str = Field(description="NetCDF or Zarr with a time axis, or a GeoTIFF with one band a month")
    variable: str | None = Field(default=None, description="variable of a NetCDF or Zarr file")
    scale: Number = Field(default=1.0, description="factor on the stored numbers")
    nodata: Number | None = Field(
        default=None, description="stored number that means no data, where the file does not say so"
    )
    first_year: int | None = Field(
        default=None, description="year of the first twelve bands, where the file has no dates; 12 bands need none"
    )
    equilibrium: YearRange | None = Field(
        default=None, description="years whose mean is the equilibrium year (default: all before the run, or all)"
    )
    later: YearRange | None = Field(
        default=None, description="years whose mean stands for each year of the run after the file ends"
    )


class InputSource(Record):
    """Where one input comes from; a bare number or list stands for `value`."""

    value: Number | list[Number] | None = Field(
        default=None, description="a number, or one number per step of its axis"
    )
    column: str | None = Field(default=None, description="column of the site table, or of `file`")
    file: str | None = Field(
        default=None, description="CSV with year and month columns (and site), holding this series"
    )
    monthly: Monthly | None = Field(default=None, description="twelve values repeated every year, January first")
    schedule: list[ScheduleRule] | None = Field(default=None, description="rules by year, for management")
    raster: RasterSeries | None = Field(default=None, description="monthly grids, for sites that are cells of a raster")
    model: str | None = Field(default=None, description="model that derives this input from others, for every member")
    equilibrium: Number | Monthly | None = Field(
        default=None,
        description="values of the equilibrium year (one number or twelve), for series that do not come from a file",
    )
    units: str | None = Field(default=None, description="unit the numbers are written in (default: the model's)")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        bare = isinstance(data, (int, float, list)) and not isinstance(data, bool)
        return {"value": data} if bare else data

    @model_validator(mode="after")
    def _one_source(self) -> InputSource:
        ways = ("value", "monthly", "schedule", "raster", "model", "file", "column")
        given = [name for name in ways if getattr(self, name) is not None]
        if given not in (["file", "column"], *([name] for name in ways)):
            raise ValueError(
                f"give exactly one of {', '.join(ways)} (column may go with file); found {given or 'none'}"
            )
        return self


class Forcing(Record):
    """A table of monthly driver series."""

    file: str = Field(description="CSV with columns year, month and one per driver (and site, for several sites)")
    columns: dict[str, str] = Field(
        default={}, description="column name of an input, where it differs from the input's name"
    )
    units: dict[str, str] = Field(
        default={}, description="unit of an input's column, where it differs from the model's"
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data


class Period(Record):
    """First and last calendar year of the run, both inclusive."""

    start: int = Field(description="first year; it begins in January")
    end: int = Field(description="last year; it ends in December")

    @model_validator(mode="after")
    def _order(self) -> Period:
        if self.end < self.start:
            raise ValueError(f"end {self.end} comes before start {self.start}")
        return self


class Inputs(Record):
    """Every input by name, and two keys of their own: a table of driver series, and the period."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, InputSource]
    forcing: Forcing | None = Field(default=None, description="table of driver series; its rows set the time axis")
    period: Period | None = Field(
        default=None, description="calendar years of the run, where there is no forcing table"
    )

    def sources(self) -> dict[str, InputSource]:
        """The inputs that are given one by one."""
        return dict(self.__pydantic_extra__ or {})


class RasterLayer(Record):
    """One layer of a raster; a bare text stands for `file`."""

    file: str = Field(description="GeoTIFF, NetCDF or Zarr")
    variable: str | None = Field(default=None, description="variable of a NetCDF or Zarr file")
    band: Annotated[int, Field(ge=1)] = Field(default=1, description="band of a GeoTIFF")
    scale: Number = Field(
        default=1.0, description="factor on the stored numbers (SoilGrids: 0.1 from g/kg of clay to %)"
    )
    nodata: Number | None = Field(
        default=None, description="stored number that means no data, where the file does not say so"
    )
    zero_is_data: bool = Field(default=False, description="a frequent 0 is a value, not missing data")
    names: dict[int, str] = Field(default={}, description="what whole numbers of a layer of classes stand for")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data


class RasterSites(Record):
    """The cells of a grid as sites: a cell where every layer has a value. Layers are columns of the site table."""

    rasters: Annotated[dict[str, RasterLayer], Field(min_length=1)] = Field(
        description="layers by column name, on one grid"
    )


class Scenario(Record):
    """One arm of the study; arms share every draw, so their differences are paired."""

    title: str | None = Field(default=None, description="name in figures")
    inputs: dict[str, InputSource] = Field(default={}, description="inputs that differ from the study's")
    forcing: Forcing | None = Field(default=None, description="driver table of this scenario, over the same months")


class ErrorModel(Record):
    """Standard deviation of a measurement."""

    relative: Annotated[float, Field(gt=0, le=2)] | None = Field(
        default=None, description="as a fraction of the true value"
    )
    absolute: Annotated[float, Field(gt=0)] | None = Field(default=None, description="in the unit of the output")

    @model_validator(mode="after")
    def _some(self) -> ErrorModel:
        if self.relative is None and self.absolute is None:
            raise ValueError("give relative, absolute or both (their variances add)")
        return self


class StockPart(Record):
    """One measured part of a stock."""

    units: str | None = Field(default=None, description="unit of its column and its error")
    error: ErrorModel | None = Field(
        default=None, description="measurement error, where the table has no column NAME_error"
    )


class Pedotransfer(Record):
    """Bulk density where none was measured: intercept + slope x square root of organic carbon in %, g cm-3.

    The defaults are our regression on the 1,359 horizons of DSP4SH that have both (USDA, doi
    10.15482/USDA.ADC/25122323.v1); it explains 18 % of the variance, and the rest is `sd`.
    """

    intercept: Number = Field(default=1.656, description="g cm-3 at no carbon")
    slope: Number = Field(default=-0.249, description="g cm-3 per square root of a per cent")
    sd: Annotated[float, Field(gt=0)] = Field(
        default=0.284, description="standard deviation of soils around the regression, g cm-3"
    )


class StockParts(Record):
    """A stock of carbon by its parts: concentration x bulk density x depth x (1 - coarse fragments)."""

    concentration: StockPart = Field(
        default=StockPart(), description="organic carbon of the fine soil, column `concentration` (default unit: g/kg)"
    )
    bulk_density: StockPart = Field(
        default=StockPart(), description="of the fine soil, column `bulk_density` (default unit: g cm-3)"
    )
    depth: StockPart = Field(default=StockPart(), description="thickness sampled, column `depth` (default unit: cm)")
    coarse_fragments: StockPart = Field(
        default=StockPart(), description="stones, column `coarse_fragments`, % of volume (default: none)"
    )
    pedotransfer: Pedotransfer | None = Field(
        default=None, description="prior of a bulk density that was not measured; without it an empty cell is refused"
    )


class Observations(Record):
    """Measurements to compare with: one row each, columns scenario, site, time, variable, value, error."""

    file: str = Field(description="CSV or NetCDF; time is a year or a date; scenario and site where there are several")
    variable: str | None = Field(
        default=None, description="output that was measured, where the table has no such column"
    )
    error: ErrorModel | None = Field(default=None, description="measurement error, where the table has no error column")
    units: str | dict[str, str] | None = Field(
        default=None, description="unit of value and error, one for all or by output (default: the model's)"
    )
    parts: StockParts | None = Field(
        default=None, description="rows without `value` give a stock of carbon by its parts"
    )
