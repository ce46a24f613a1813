"""What a study asks for after the run: decomposition, totals, credits, indicators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ensemble.config.learning import Learn
from ensemble.config.record import Number, Record


class Decompose(Record):
    """Which input causes the variance: a design and members of its own, or the ANOVA of a factorial design."""

    outputs: list[str] | None = Field(default=None, description="outputs to decompose (default: outputs.variables)")
    groups: dict[str, list[str]] = Field(
        default={}, description="entries of `uncertain` that are taken together, by name"
    )
    indices: Literal["sobol", "kucherenko", "shapley"] = Field(
        default="sobol",
        description="sobol needs independent inputs or groups; the others allow correlation between them",
    )
    second_order: bool = Field(default=False, description="closed second-order effects and interactions too")
    rows: Annotated[int, Field(ge=16)] = Field(
        default=1024,
        description="rows of the design, rounded up to 16 x 2^k; each costs 2 members more than there are groups",
    )
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="double the rows until every interval half-width is below this"
    )
    max_rows: Annotated[int, Field(ge=16)] = Field(default=65536, description="rows at which doubling stops")
    surrogate: bool = Field(default=True, description="fit a polynomial surrogate, with the rows as its audit")
    screening: list[Literal["gradient", "morris", "fast", "pawn", "delta"]] = Field(
        default=[], description="screening measures beside the shares (all but gradient by SALib)"
    )
    references: dict[str, Number | str | bool] = Field(default={}, description="factorial: reference level of a factor")
    interactions: list[Annotated[list[str], Field(min_length=2)]] = Field(
        default=[], description="factorial: factors whose products are terms of the ANOVA"
    )


class Totals(Record):
    """Totals of a region by class, with errors independent, as modelled and fully dependent side by side."""

    output: str | None = Field(default=None, description="output per unit of area (default: the first output)")
    area: str = Field(
        default="area_ha", description="column of the site table with the area of each site; rasters have area_ha"
    )
    area_units: Literal["ha", "km2", "m2"] = Field(default="ha", description="unit of that column")
    by: str | None = Field(default=None, description="column of the site table that names the class of each site")


class Mapping(Record):
    """Maps: learned from samples, and zones made of the statistics of a raster study."""

    learn: Learn | None = Field(default=None, description="maps learned from samples, by `ensemble map STUDY`")
    zones: str | None = Field(default=None, description="output whose mean and standard deviation make the 3 x 3 zones")
    spread: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="mean absolute deviations between the mean of a map and a limit of its medium zone"
    )


class Sequestration(Record):
    """Stocks and yearly rates of scenarios from one year on, per site, beside FAO GSOCseq's two extreme runs."""

    usual: str = Field(description="scenario of business as usual, which relative rates are against")
    start: int = Field(description="last year before the scenarios part; its end is t0")
    end: int | None = Field(default=None, description="last year (default: the last of the run)")
    output: str = Field(default="soc", description="carbon stock, t C/ha")
    corners: dict[str, Number] = Field(
        default={},
        description="entries of `uncertain` and what is added to each in the run of most carbon, and taken away in the "
        "run of least: a factor's as a fraction (0.2), negative where less of it means more carbon (temperature)",
    )


class Recovery(Record):
    """Years that scenarios take to reach the stock of another scenario again, against their deficit."""

    start: int = Field(description="last year before they recover; deficits are at its end, years count from it")
    references: Annotated[dict[str, str], Field(min_length=1)] = Field(
        description="each scenario that recovers, and the scenario whose stock it is to reach in the same year"
    )
    outputs: list[str] | None = Field(
        default=None, min_length=1, description="carbon stocks, t C/ha (default: the first output)"
    )
    within: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1.0, description="distance from the reference at which a stock has recovered, t C/ha"
    )


class Inventory(Record):
    """The uncertainty table of an inventory: level of two years and trend, by category and region."""

    output: str = Field(default="soc", description="carbon stock per area")
    scenario: str | None = Field(default=None, description="scenario that is reported (default: the first)")
    of: Literal["change", "stock"] = Field(
        default="change", description="CO2 removed over the year (a loss is negative), or the carbon stock at its end"
    )
    base: int = Field(description="base year")
    year: int = Field(description="reporting year")
    category: str | None = Field(default=None, description="column of the site table with each site's category")
    region: str | None = Field(default=None, description="column of the site table with each site's region")
    area: str = Field(default="area_ha", description="column of the site table with the area of each site")
    area_units: Literal["ha", "km2", "m2"] = Field(default="ha", description="unit of that column")
    area_uncertainty: Annotated[float, Field(ge=0, lt=100)] = Field(
        default=0.0,
        description="half of the 95 % interval of each line's area, %; lines are independent, years share it",
    )


class AnalyticalError(Record):
    """Error of the model in one scenario, from trials, for the analytical route of VM0042 (Eqs 60-64)."""

    sd: Annotated[float, Field(ge=0)] = Field(description="standard deviation of the model's error, t C/ha")
    correlation: Annotated[float, Field(ge=-1, le=1)] = Field(
        default=0.0, description="correlation of the errors of baseline and project, from side-by-side trials"
    )


class Credits(Record):
    """A credited amount from two paired scenarios."""

    baseline: str = Field(description="scenario without the project")
    project: str = Field(description="scenario with it")
    output: str = Field(default="soc", description="carbon stock that is credited, t C/ha")
    rule: str = Field(default="vm0042-2.2", description="rule of the deduction; see docs/credits.md for the list")
    beside: list[str] = Field(
        default=["gold-standard-402-1.0", "ipcc-2019", "fao-gsocseq-1"], description="rules shown beside it"
    )
    start: int | None = Field(
        default=None, description="first project year; stocks start at the end of the year before"
    )
    end: int | None = Field(default=None, description="last project year (default: the last of the run)")
    strata: str | None = Field(
        default=None, description="column of the site table that names each sample point's stratum"
    )
    areas: dict[str, Annotated[float, Field(gt=0)]] | None = Field(default=None, description="area of each stratum, ha")
    area: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="area of the project, ha, where it has one stratum"
    )
    leakage: Annotated[float, Field(ge=0)] = Field(default=0.0, description="leakage over the period, t CO2e")
    buffer: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share held in the non-permanence buffer"
    )
    analytical: AnalyticalError | None = Field(
        default=None, description="show the analytical route beside the draws, with this error of the model"
    )
    wanted_deduction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="deduction that the report should say the sample size of"
    )
    practice_category: str = Field(default="", description="for the draw table")
    crop_functional_group: str = Field(default="", description="for the draw table")

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
    neighbours: Annotated[int, Field(ge=1)] | None = Field(default=None, description="nearest: how many")
    radius: Annotated[float, Field(gt=0)] | None = Field(default=None, description="distance: radius, km")
    power: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="distance: weights fall as distance to this power"
    )
    borders: str | None = Field(
        default=None, description="contiguity: CSV with the columns first and second, one border a row"
    )

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
    of: Literal["mean", "end"] = Field(
        default="mean", description="over sites: of the mean over time, or of the last record"
    )
    detrend: bool = Field(default=False, description="hurst: remove each series' line first")
    weights: SpatialWeights | None = Field(default=None, description="moran, local_moran: neighbours; rows sum to 1")
    permutations: Annotated[int, Field(ge=0, le=99_999)] = Field(
        default=199, description="moran: arrangements of the test"
    )

    @model_validator(mode="after")
    def _needs(self) -> Indicator:
        if (self.weights is not None) != (self.kind in ("moran", "local_moran")):
            raise ValueError(f"{self.kind} {'needs' if self.weights is None else 'does not take'} weights")
        return self
