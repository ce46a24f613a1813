"""The study: one frozen record for each key of a study file.

These records say what is *written*; whether it fits the model (does this input exist, is this number
possible) is checked when the study is bound to its model, in :mod:`ensemble.plan.bind`. The field
descriptions are the only text of the study-file reference in the documentation.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ensemble.config.calibration import Calibrate
from ensemble.config.execution import Execution
from ensemble.config.given import Inputs, Observations, RasterSites, Scenario
from ensemble.config.record import Number, Record
from ensemble.config.stages import Credits, Decompose, Indicator, Inventory, Mapping, Recovery, Sequestration, Totals
from ensemble.config.twin import Criterion, Twin
from ensemble.config.uncertain import Correlation, SpatialField, Uncertain

FORMAT = 1


class Steps(Record):
    """Evenly spaced levels."""

    start: Number = Field(description="first level")
    stop: Number = Field(description="last level, where a step fits")
    step: Number = Field(description="distance of two levels")


class Stop(Record):
    """Draw more members until the results are known well enough: their number is doubled, those there are kept."""

    output: str | None = Field(
        default=None, description="output that `mean` and `quantiles` are of (default: the main one)"
    )
    mean: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="standard error wanted of its mean at the end of the run, at every site, in its unit"
    )
    quantiles: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="the same for each of outputs.quantiles"
    )
    credited: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="standard error wanted of the credited amount, t CO2e/ha"
    )
    max_members: Annotated[int, Field(ge=16, le=100_000_000)] = Field(
        default=65536, description="members at which doubling stops in any case"
    )

    @model_validator(mode="after")
    def _some(self) -> Stop:
        if self.mean is None and self.quantiles is None and self.credited is None:
            raise ValueError("give mean, quantiles or credited: the standard error that is wanted")
        return self


class Design(Record):
    """How members are drawn."""

    type: Literal["sobol", "latin_hypercube", "monte_carlo", "factorial", "sweep", "half_range"] = Field(
        default="sobol", description="scrambled Sobol points in 16 scrambles, or another design"
    )
    members: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        default=1024, description="members wanted; rounded up to what the design needs (sobol: 16 x 2^k)"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=1, description="the study's seed")
    levels: dict[str, list[Number | str | bool] | Steps] | None = Field(
        default=None,
        description="levels of each input, or options.NAME: a list, or start, stop and step (factorial, sweep)",
    )
    errors: dict[str, Number] | None = Field(default=None, description="one error of each input (half_range)")
    stop: Stop | None = Field(
        default=None, description="double the members until results are known to a given standard error"
    )

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
        if self.stop is not None and needs is not None:
            raise ValueError(f"a {self.type} design has a fixed number of members; stop needs a design that draws")
        return self


class Outputs(Record):
    """What is kept of the model's answer."""

    variables: list[str] | None = Field(default=None, description="outputs to store (default: all of the model's)")
    frequency: Literal["monthly", "yearly"] | None = Field(
        default=None, description="one record a month or a year (default: yearly)"
    )
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.05, 0.25, 0.5, 0.75, 0.95], min_length=1, description="quantiles over members"
    )
    above: dict[str, list[Number]] = Field(
        default={}, description="probability that an output exceeds each of these values"
    )


class Tile(Record):
    """Shape of the unit of work; chosen by the tool where it is not given."""

    members: Annotated[int, Field(ge=16, multiple_of=16)] | None = Field(
        default=None, description="members in a tile, a multiple of 16"
    )
    sites: Annotated[int, Field(ge=1)] | None = Field(default=None, description="sites in a tile")


class StoreOptions(Record):
    """What is written, and in which pieces."""

    path: str | None = Field(
        default=None,
        description="where it lies: a folder, or s3://BUCKET/NAME (default: results/STUDY.zarr; `store: PATH` is the short form)",
    )
    members: Literal["auto", "keep", "drop"] = Field(
        default="auto", description="keep every member, or only statistics (auto: keep up to 2 GB)"
    )
    tile: Tile = Field(default=Tile(), description="shape of the unit of work")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class ReportOptions(Record):
    """What the report shows first."""

    output: str | None = Field(default=None, description="main output (default: the first of outputs.variables)")
    sites: list[str] | None = Field(default=None, description="sites shown in full (default: the first four)")


class StudyRecord(Record):
    """A whole study file."""

    format: Literal[1] = Field(default=FORMAT, description="version of the study-file format")
    title: str = Field(default="", description="one line for the report")
    institution: str = Field(default="", description="who made it, for the store's attributes")
    license: str = Field(default="", description="licence of the results, for the store's attributes")
    model: str = Field(description="name from `ensemble models`, or FILE.py:NAME for a model of your own")
    options: dict[str, Any] = Field(default={}, description="the model's static choices")
    precision: Literal["float32", "float64"] = Field(default="float32", description="arithmetic of the run")
    sites: str | RasterSites | None = Field(
        default=None, description="CSV with one row a site: column site, and columns that inputs name; or rasters"
    )
    inputs: Inputs = Field(
        default_factory=lambda: Inputs.model_validate({}),
        description="value of each input, and where the driver series come from",
    )
    uncertain: dict[str, Uncertain] = Field(default={}, description="what is not known exactly")
    correlation: list[Correlation] = Field(default=[], description="correlations between entries of `uncertain`")
    fields: dict[str, SpatialField] = Field(default={}, description="entries of `uncertain` that are alike in space")
    scenarios: dict[str, Scenario] = Field(default={}, description="arms of the study, by name")
    observations: Observations | None = Field(default=None, description="measurements to compare with")
    design: Design = Field(default=Design(), description="how members are drawn")
    outputs: Outputs = Field(default=Outputs(), description="what is kept")
    store: StoreOptions = Field(default=StoreOptions(), description="what is written")
    execution: Execution = Field(default=Execution(), description="how it is carried out")
    calibrate: Calibrate | None = Field(default=None, description="Bayesian calibration with the observations")
    decompose: Decompose | None = Field(default=None, description="which input causes the variance")
    mapping: Mapping | None = Field(default=None, description="zones of potential against uncertainty")
    totals: Totals | None = Field(default=None, description="totals of regions by class")
    sequestration: Sequestration | None = Field(
        default=None, description="stocks and rates of scenarios per site, as FAO GSOCseq"
    )
    recovery: Recovery | None = Field(
        default=None, description="years until scenarios reach the stock of another again, against their deficit"
    )
    inventory: Inventory | None = Field(default=None, description="uncertainty table of an inventory (IPCC)")
    credits: Credits | None = Field(default=None, description="carbon credits from two scenarios")
    indicators: dict[str, Indicator] = Field(
        default={}, description="statistics of each member's series or map, by name"
    )
    criteria: dict[str, Criterion] = Field(
        default={}, description="limits fixed before anything is fitted, by name; `ensemble assess` checks them"
    )
    twin: Twin | None = Field(default=None, description="how `ensemble update` takes in new measurements")
    report: ReportOptions = Field(default=ReportOptions(), description="what the report shows")
