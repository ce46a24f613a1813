"""The study: one frozen record for each key of a study file.

These records say what is *written*; whether it fits the model (does this input exist, is this number
possible) is checked when the study is bound to its model, in :mod:`ensemble.plan.bind`. The field
descriptions are the only text of the study-file reference in the documentation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT = 1
Number = Annotated[float, Field(allow_inf_nan=False)]
Monthly = Annotated[list[Number], Field(min_length=12, max_length=12)]


class Record(BaseModel):
    """Base of all study records: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ScheduleRule(Record):
    """Twelve monthly values for some years; a later rule replaces an earlier one."""

    from_: int | None = Field(None, alias="from", description="first calendar year of the rule (default: the first)")
    to: int | None = Field(None, description="last calendar year, inclusive (default: the last)")
    years: list[int] | None = Field(None, description="single years, instead of from and to")
    every: Annotated[int, Field(ge=1)] = Field(1, description="only every n-th year of from-to, the first included")
    except_: list[int] = Field([], alias="except", description="years inside from-to that the rule leaves alone")
    value: Number | None = Field(None, description="the same value in every month")
    monthly: Monthly | None = Field(None, description="twelve values, January first")
    months: dict[int, Number] | None = Field(None, description="values of the named months (1-12); the others are 0")
    annual: Number | None = Field(None, description="yearly sum, spread over the months by `shares`")
    shares: dict[int, Number] | None = Field(None, description="share of the yearly sum in each named month; sums to 1")

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


class InputSource(Record):
    """Where one input comes from; a bare number or list stands for `value`."""

    value: Number | list[Number] | None = Field(None, description="a number, or one number per step of its axis")
    column: str | None = Field(None, description="column of the site table, or of `file`")
    file: str | None = Field(None, description="CSV with year and month columns (and site), holding this series")
    monthly: Monthly | None = Field(None, description="twelve values repeated every year, January first")
    schedule: list[ScheduleRule] | None = Field(None, description="rules by year, for management")
    model: str | None = Field(None, description="model that derives this input from others, for every member")
    equilibrium: Number | Monthly | None = Field(
        None,
        description="values of the equilibrium year (one number or twelve), for series that do not come from a file",
    )
    units: str | None = Field(None, description="unit the numbers are written in (default: the model's)")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        bare = isinstance(data, (int, float, list)) and not isinstance(data, bool)
        return {"value": data} if bare else data

    @model_validator(mode="after")
    def _one_source(self) -> InputSource:
        ways = ("value", "monthly", "schedule", "model", "file", "column")
        given = [name for name in ways if getattr(self, name) is not None]
        if given not in (["file", "column"], *([name] for name in ways)):
            raise ValueError(
                f"give exactly one of {', '.join(ways)} (column may go with file); found {given or 'none'}"
            )
        return self


class Forcing(Record):
    """A table of monthly driver series."""

    file: str = Field(description="CSV with columns year, month and one per driver (and site, for several sites)")
    columns: dict[str, str] = Field({}, description="column name of an input, where it differs from the input's name")
    units: dict[str, str] = Field({}, description="unit of an input's column, where it differs from the model's")

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
    forcing: Forcing | None = Field(None, description="table of driver series; its rows set the time axis")
    period: Period | None = Field(None, description="calendar years of the run, where there is no forcing table")

    def sources(self) -> dict[str, InputSource]:
        """The inputs that are given one by one."""
        return dict(self.__pydantic_extra__ or {})


class Uncertain(Record):
    """One source of uncertainty. Its key is its name, and the input it acts on unless `input` says another."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    input: str | None = Field(None, description="input it acts on, or options.NAME for a structural choice")
    as_: Literal["value", "offset", "factor"] = Field(
        "value", alias="as", description="the draw replaces the input, is added to it, or multiplies it"
    )
    per: Literal["member", "site"] = Field(
        "member", description="one draw for all sites of a member, or an independent draw at each site"
    )
    distribution: str | None = Field(None, description="family; see docs/uncertainty.md for the list")
    mean: Number | str | None = Field(
        None, description="mean of the final distribution (a column of the site table: its name)"
    )
    sd: Number | str | None = Field(None, description="standard deviation of the final distribution")
    cv: Number | str | None = Field(None, description="coefficient of variation, sd / mean")
    median: Number | str | None = Field(None, description="median of the final distribution")
    mode: Number | str | None = Field(None, description="most likely value (triangular, pert)")
    minimum: Number | str | None = Field(None, description="smallest value (triangular, pert, uniform, beta)")
    maximum: Number | str | None = Field(None, description="largest value (triangular, pert, uniform, beta)")
    quantiles: dict[Number, Number | str] | None = Field(
        None, description="value at each probability, {0.05: 10, 0.95: 30}"
    )
    lower: Number | None = Field(None, description="truncate below; the distribution is renormalised, never clipped")
    upper: Number | None = Field(None, description="truncate above")
    alpha: Number | None = Field(None, description="first shape of a beta distribution")
    beta: Number | None = Field(None, description="second shape of a beta distribution")
    shape: Number | None = Field(None, description="shape of a gamma or PERT distribution")
    scale: Number | None = Field(None, description="scale of a gamma distribution")
    values: list[Number | str | bool] | None = Field(None, description="values of a discrete distribution")
    probabilities: list[Number] | None = Field(None, description="probability of each value (default: equal)")
    method: Literal["interpolate", "resample"] | None = Field(
        None, description="empirical: interpolate, or resample the values"
    )
    file: str | None = Field(None, description="CSV of an empirical distribution, or of the weather history")
    column: str | None = Field(None, description="column of `file` for an empirical distribution")
    autocorrelation: Number | None = Field(
        None, description="the draw is new in every step, with this correlation between neighbours (AR(1) noise)"
    )
    weather: Literal["years", "realization"] | None = Field(
        None, description="resample whole years of `file`, or pick one realization of it, for all its columns together"
    )
    block: int = Field(1, ge=1, description="consecutive years kept together when weather years are resampled")
    units: str | None = Field(None, description="unit of the numbers given here (default: the model's)")

    @model_validator(mode="after")
    def _kind(self) -> Uncertain:
        if (self.weather is None) == (self.distribution is None):
            raise ValueError("give either distribution or weather")
        if self.weather is not None and self.file is None:
            raise ValueError("weather needs a file of past or projected years")
        if self.autocorrelation is not None and not -1.0 < self.autocorrelation < 1.0:
            raise ValueError(f"autocorrelation {self.autocorrelation:g} is not allowed; allowed: between -1 and 1")
        return self


class Correlation(Record):
    """Correlation of two uncertain inputs, by a Gaussian copula."""

    between: Annotated[list[str], Field(min_length=2, max_length=2)] = Field(description="names under `uncertain`")
    value: Annotated[float, Field(ge=-1, le=1)] = Field(description="correlation coefficient")
    kind: Literal["rank", "pearson"] = Field("rank", description="Spearman's rank or Pearson's linear correlation")


class RasterLayer(Record):
    """One layer of a raster; a bare text stands for `file`."""

    file: str = Field(description="GeoTIFF, NetCDF or Zarr")
    variable: str | None = Field(None, description="variable of a NetCDF or Zarr file")
    band: Annotated[int, Field(ge=1)] = Field(1, description="band of a GeoTIFF")
    scale: Number = Field(1.0, description="factor on the stored numbers (SoilGrids: 0.1 from g/kg of clay to %)")
    nodata: Number | None = Field(None, description="stored number that means no data, where the file does not say so")
    zero_is_data: bool = Field(False, description="a frequent 0 is a value, not missing data")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"file": data} if isinstance(data, str) else data


class RasterSites(Record):
    """The cells of a grid as sites: a cell where every layer has a value. Layers are columns of the site table."""

    rasters: Annotated[dict[str, RasterLayer], Field(min_length=1)] = Field(
        description="layers by column name, on one grid"
    )


class SpatialField(Record):
    """An error that is alike at sites near each other. Its key is an entry of `uncertain` with `per: site`."""

    model: Literal["exponential", "matern"] = Field("exponential", description="correlation function of distance")
    range: Annotated[float, Field(gt=0)] = Field(description="distance over which errors are alike, km")
    range_is: Literal["parameter", "effective"] = Field(
        "parameter", description="l of exp(-h/l), or the distance at which the correlation has fallen to 0.05"
    )
    nugget: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the variance that no neighbour shares"
    )
    smoothness: Annotated[float, Field(gt=0)] = Field(1.5, description="Matérn smoothness nu")
    support: Literal["block", "point"] = Field(
        "block", description="what the stated sd is the error of: the mean of a site's area, or one point in it"
    )


class Scenario(Record):
    """One arm of the study; arms share every draw, so their differences are paired."""

    title: str | None = Field(None, description="name in figures")
    inputs: dict[str, InputSource] = Field({}, description="inputs that differ from the study's")
    forcing: Forcing | None = Field(None, description="driver table of this scenario, over the same months")


class ErrorModel(Record):
    """Standard deviation of a measurement."""

    relative: Annotated[float, Field(gt=0, le=2)] | None = Field(None, description="as a fraction of the true value")
    absolute: Annotated[float, Field(gt=0)] | None = Field(None, description="in the unit of the output")

    @model_validator(mode="after")
    def _some(self) -> ErrorModel:
        if self.relative is None and self.absolute is None:
            raise ValueError("give relative, absolute or both (their variances add)")
        return self


class Observations(Record):
    """Measurements to compare with: one row each, columns scenario, site, time, variable, value, error."""

    file: str = Field(description="CSV; time is a year or a date; scenario and site where there are several")
    variable: str | None = Field(None, description="output that was measured, where the table has no such column")
    error: ErrorModel | None = Field(None, description="measurement error, where the table has no error column")
    units: str | None = Field(None, description="unit of value and error (default: the model's)")


class Steps(Record):
    """Evenly spaced levels."""

    start: Number = Field(description="first level")
    stop: Number = Field(description="last level, where a step fits")
    step: Number = Field(description="distance of two levels")


class Design(Record):
    """How members are drawn."""

    type: Literal["sobol", "latin_hypercube", "monte_carlo", "factorial", "sweep", "half_range"] = Field(
        "sobol", description="scrambled Sobol points in 16 scrambles, or another design"
    )
    members: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        1024, description="members wanted; rounded up to what the design needs (sobol: 16 x 2^k)"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(1, description="the study's seed")
    levels: dict[str, list[Number | str | bool] | Steps] | None = Field(
        None, description="levels of each input, or options.NAME: a list, or start, stop and step (factorial, sweep)"
    )
    errors: dict[str, Number] | None = Field(None, description="one error of each input (half_range)")

    def written_levels(self) -> dict[str, Any] | None:
        """Levels as plain data: lists, or mappings of start, stop and step."""
        if self.levels is None:
            return None
        return {name: value.model_dump() if isinstance(value, Steps) else value for name, value in self.levels.items()}

    @model_validator(mode="after")
    def _needs(self) -> Design:
        needs = {"factorial": "levels", "sweep": "levels", "half_range": "errors"}.get(self.type)
        for name in ("levels", "errors"):
            if (getattr(self, name) is not None) != (name == needs):
                raise ValueError(f"a {self.type} design {'needs' if name == needs else 'does not take'} {name}")
        return self


class Outputs(Record):
    """What is kept of the model's answer."""

    variables: list[str] | None = Field(None, description="outputs to store (default: all of the model's)")
    frequency: Literal["monthly", "yearly"] | None = Field(
        None, description="one record a month or a year (default: yearly)"
    )
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.05, 0.25, 0.5, 0.75, 0.95], min_length=1, description="quantiles over members"
    )
    above: dict[str, list[Number]] = Field({}, description="probability that an output exceeds each of these values")


class Tile(Record):
    """Shape of the unit of work; chosen by the tool where it is not given."""

    members: Annotated[int, Field(ge=16)] | None = Field(None, description="members in a tile, a multiple of 16")
    sites: Annotated[int, Field(ge=1)] | None = Field(None, description="sites in a tile")


class StoreOptions(Record):
    """What is written, and in which pieces."""

    members: Literal["auto", "keep", "drop"] = Field(
        "auto", description="keep every member, or only statistics (auto: keep up to 2 GB)"
    )
    tile: Tile = Field(Tile(), description="shape of the unit of work")


class Execution(Record):
    """How the run is carried out; never changes a number."""

    max_failed: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="share of failed members that stops the run"
    )
    devices: Annotated[int, Field(ge=1)] | None = Field(
        None, description="devices to use (default: all of this machine)"
    )


class Decompose(Record):
    """Which input causes the variance: a design and members of its own, or the ANOVA of a factorial design."""

    outputs: list[str] | None = Field(None, description="outputs to decompose (default: outputs.variables)")
    groups: dict[str, list[str]] = Field({}, description="entries of `uncertain` that are taken together, by name")
    indices: Literal["sobol", "kucherenko", "shapley"] = Field(
        "sobol", description="sobol needs independent inputs or groups; the others allow correlation between them"
    )
    second_order: bool = Field(False, description="closed second-order effects and interactions too")
    rows: Annotated[int, Field(ge=16)] = Field(
        1024, description="rows of the design, rounded up to 16 x 2^k; each costs 2 members more than there are groups"
    )
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="double the rows until every interval half-width is below this"
    )
    max_rows: Annotated[int, Field(ge=16)] = Field(65536, description="rows at which doubling stops")
    surrogate: bool = Field(True, description="fit a polynomial surrogate, with the rows as its audit")
    screening: list[Literal["gradient", "morris", "fast", "pawn", "delta"]] = Field(
        [], description="screening measures beside the shares (all but gradient by SALib)"
    )
    references: dict[str, Number | str | bool] = Field({}, description="factorial: reference level of a factor")
    interactions: list[Annotated[list[str], Field(min_length=2)]] = Field(
        [], description="factorial: factors whose products are terms of the ANOVA"
    )


class Totals(Record):
    """Totals of a region by class, with errors independent, as modelled and fully dependent side by side."""

    output: str | None = Field(None, description="output per unit of area (default: the first output)")
    area: str = Field(
        "area_ha", description="column of the site table with the area of each site; rasters have area_ha"
    )
    area_units: Literal["ha", "km2", "m2"] = Field("ha", description="unit of that column")
    by: str | None = Field(None, description="column of the site table that names the class of each site")


class Credits(Record):
    """A credited amount from two paired scenarios."""

    baseline: str = Field(description="scenario without the project")
    project: str = Field(description="scenario with it")
    output: str = Field("soc", description="carbon stock that is credited, t C/ha")
    rule: str = Field("vm0042-2.2", description="rule of the deduction; see docs/credits.md for the list")
    beside: list[str] = Field(
        ["gold-standard-402-1.0", "ipcc-2019", "fao-gsocseq-1"], description="rules shown beside it"
    )
    start: int | None = Field(None, description="first project year; stocks start at the end of the year before")
    end: int | None = Field(None, description="last project year (default: the last of the run)")
    strata: str | None = Field(None, description="column of the site table that names each sample point's stratum")
    areas: dict[str, Annotated[float, Field(gt=0)]] | None = Field(None, description="area of each stratum, ha")
    area: Annotated[float, Field(gt=0)] | None = Field(
        None, description="area of the project, ha, where it has one stratum"
    )
    leakage: Annotated[float, Field(ge=0)] = Field(0.0, description="leakage over the period, t CO2e")
    buffer: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="share held in the non-permanence buffer")
    practice_category: str = Field("", description="for the draw table")
    crop_functional_group: str = Field("", description="for the draw table")

    @model_validator(mode="after")
    def _areas(self) -> Credits:
        if (self.strata is None) != (self.areas is None) or (self.strata is None) == (self.area is None):
            raise ValueError("give strata with areas (ha of each), or area (ha of the whole project)")
        return self


class SpatialWeights(Record):
    """Which sites are neighbours."""

    rule: Literal["nearest", "distance", "contiguity"] = Field(
        description="the k nearest sites, all sites within a radius, or sites that share a border"
    )
    neighbours: Annotated[int, Field(ge=1)] | None = Field(None, description="nearest: how many")
    radius: Annotated[float, Field(gt=0)] | None = Field(None, description="distance: radius, km")
    power: Annotated[float, Field(ge=0)] = Field(0.0, description="distance: weights fall as distance to this power")
    borders: str | None = Field(None, description="contiguity: CSV with the columns first and second, one border a row")

    @model_validator(mode="after")
    def _needs(self) -> SpatialWeights:
        needed = {"nearest": "neighbours", "distance": "radius", "contiguity": "borders"}[self.rule]
        if getattr(self, needed) is None:
            raise ValueError(f"the rule {self.rule} needs {needed}")
        return self


class Indicator(Record):
    """A statistic of the series or the map of every member."""

    kind: Literal["trend", "mann_kendall", "hurst", "moran", "local_moran", "gini"] = Field(
        description="along time: trend, mann_kendall, hurst; over sites: moran, local_moran, gini"
    )
    output: str = Field(description="output it is of")
    of: Literal["mean", "end"] = Field("mean", description="over sites: of the mean over time, or of the last record")
    detrend: bool = Field(False, description="hurst: remove each series' line first")
    weights: SpatialWeights | None = Field(None, description="moran, local_moran: neighbours; rows sum to 1")
    permutations: Annotated[int, Field(ge=0, le=99_999)] = Field(199, description="moran: arrangements of the test")

    @model_validator(mode="after")
    def _needs(self) -> Indicator:
        if (self.weights is not None) != (self.kind in ("moran", "local_moran")):
            raise ValueError(f"{self.kind} {'needs' if self.weights is None else 'does not take'} weights")
        return self


class ReportOptions(Record):
    """What the report shows first."""

    output: str | None = Field(None, description="main output (default: the first of outputs.variables)")
    sites: list[str] | None = Field(None, description="sites shown in full (default: the first four)")


class StudyRecord(Record):
    """A whole study file."""

    format: Literal[1] = Field(FORMAT, description="version of the study-file format")
    title: str = Field("", description="one line for the report")
    institution: str = Field("", description="who made it, for the store's attributes")
    license: str = Field("", description="licence of the results, for the store's attributes")
    model: str = Field(description="name from `ensemble models`, or FILE.py:NAME for a model of your own")
    options: dict[str, Any] = Field({}, description="the model's static choices")
    precision: Literal["float32", "float64"] = Field("float32", description="arithmetic of the run")
    sites: str | RasterSites | None = Field(
        None, description="CSV with one row a site: column site, and columns that inputs name; or rasters"
    )
    inputs: Inputs = Field(Inputs(), description="value of each input, and where the driver series come from")
    uncertain: dict[str, Uncertain] = Field({}, description="what is not known exactly")
    correlation: list[Correlation] = Field([], description="correlations between entries of `uncertain`")
    fields: dict[str, SpatialField] = Field({}, description="entries of `uncertain` that are alike in space")
    scenarios: dict[str, Scenario] = Field({}, description="arms of the study, by name")
    observations: Observations | None = Field(None, description="measurements to compare with")
    design: Design = Field(Design(), description="how members are drawn")
    outputs: Outputs = Field(Outputs(), description="what is kept")
    store: StoreOptions = Field(StoreOptions(), description="what is written")
    execution: Execution = Field(Execution(), description="how it is carried out")
    decompose: Decompose | None = Field(None, description="which input causes the variance")
    totals: Totals | None = Field(None, description="totals of regions by class")
    credits: Credits | None = Field(None, description="carbon credits from two scenarios")
    indicators: dict[str, Indicator] = Field({}, description="statistics of each member's series or map, by name")
    report: ReportOptions = Field(ReportOptions(), description="what the report shows")
