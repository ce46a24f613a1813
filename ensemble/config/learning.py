"""The key `mapping.learn` of a study: maps learned from samples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ensemble.config.record import Number, Record

Share = Annotated[float, Field(gt=0, le=1)]


class Trees(Record):
    """Boosted regression trees, in the meaning of the R package gbm."""

    trees: Annotated[int, Field(ge=1, le=100_000)] = Field(default=1600, description="number of trees (gbm: n.trees)")
    splits: Annotated[int, Field(ge=1, le=15)] = Field(
        default=9, description="splits of a tree, grown best first (gbm: interaction.depth); 9 makes 10 leaves"
    )
    shrinkage: Share = Field(default=0.0025, description="what is taken of each tree (gbm: shrinkage)")
    minimum_leaf: Annotated[int, Field(ge=1)] = Field(default=10, description="samples in a leaf (gbm: n.minobsinnode)")
    bag_fraction: Share = Field(default=0.65, description="share of the samples that a tree sees (gbm: bag.fraction)")


class Target(Record):
    """What is learned. A target whose name is an input of the model feeds it (`uncertain: {NAME: {realizations: ...}}`)."""

    column: str | None = Field(default=None, description="column of the samples (default: the target's name)")
    units: str = Field(default="1", description="unit of that column and of the map")
    transform: Literal["none", "log"] = Field(
        default="none", description="learn the logarithm, for skewed values above 0"
    )
    above: list[Number] = Field(default=[], description="maps of the probability of exceeding each of these values")
    trees: Trees | None = Field(default=None, description="settings of its own (default: those of `learn.trees`)")


class Validation(Record):
    """How the maps are checked."""

    folds: Annotated[int, Field(ge=2)] = Field(default=10, description="parts of the samples left out in turn")
    repeats: Annotated[int, Field(ge=1)] = Field(default=10, description="random divisions into folds (the paper: 100)")
    block: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="side of the spatial blocks that are left out whole, km (default: a tenth of the region)",
    )
    coverage: bool = Field(
        default=True, description="learn again without each of five parts and count how often intervals hold them"
    )


class Tune(Record):
    """Candidates among which an inner cross-validation chooses, within every outer fold."""

    trees: list[Annotated[int, Field(ge=1)]] = Field(default=[], description="numbers of trees to try")
    splits: list[Annotated[int, Field(ge=1, le=15)]] = Field(default=[], description="numbers of splits to try")
    shrinkage: list[Share] = Field(default=[], description="shrinkages to try")
    minimum_leaf: list[Annotated[int, Field(ge=1)]] = Field(default=[], description="sizes of the smallest leaf to try")
    bag_fraction: list[Share] = Field(default=[], description="bag fractions to try")


class Learn(Record):
    """Maps learned from samples by boosted regression trees."""

    samples: str = Field(
        description="CSV with one row a sample: a column of each target, longitude and latitude (or x_km and y_km), "
        "and the covariates where the sites are no rasters"
    )
    targets: Annotated[dict[str, Target], Field(min_length=1)] = Field(description="what is learned, by name")
    covariates: Annotated[list[str], Field(min_length=1)] = Field(
        description="layers of the site rasters (taken at each sample's point), or columns of the samples and of the site table"
    )
    categories: list[str] = Field(default=[], description="covariates whose values are names or codes, not numbers")
    by: str | None = Field(default=None, description="layer or column that names the class of a site, such as land use")
    average: list[str] = Field(
        default=[],
        description="targets that are models of one quantity: their mean, R2-weighted mean and stacked mean too",
    )
    trees: Trees = Field(default=Trees(), description="settings of the trees")
    tune: Tune | None = Field(default=None, description="choose settings by nested cross-validation")
    validation: Validation = Field(default=Validation(), description="how the maps are checked")
    bootstraps: Annotated[int, Field(ge=0)] = Field(
        default=20, description="models of samples drawn with replacement, for the part of the model in the uncertainty"
    )
    realizations: Annotated[int, Field(ge=16)] = Field(default=128, description="realisations of the maps")
    next_samples: Annotated[int, Field(ge=0)] = Field(default=10, description="proposed new sites; 0 for none")

    @model_validator(mode="after")
    def _known(self) -> Learn:
        unknown = [name for name in self.categories if name not in self.covariates]
        if unknown:
            raise ValueError(f"categories: '{unknown[0]}' is not among the covariates: {', '.join(self.covariates)}")
        unknown = [name for name in self.average if name not in self.targets]
        if unknown or len(self.average) == 1:
            raise ValueError(f"average: give two or more of the targets: {', '.join(self.targets)}")
        twice = [name for name in self.covariates if self.covariates.count(name) > 1]
        if twice:
            raise ValueError(f"covariates: '{twice[0]}' is there twice")
        return self
