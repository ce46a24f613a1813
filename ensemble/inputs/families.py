"""The families of distributions and the ways to state them: one table, as plain data.

The study schema, the error messages and the table in ``docs/uncertainty.md`` are derived from it. Importing
it needs neither SciPy nor JAX.
"""

from __future__ import annotations

from dataclasses import dataclass

# What each key of a distribution means. The unit is that of the input it describes, unless said.
PARAMETERS: dict[str, str] = {
    "mean": "mean of the final distribution",
    "median": "median of the final distribution",
    "sd": "standard deviation of the final distribution",
    "cv": "coefficient of variation of the final distribution, sd divided by the absolute mean (a fraction)",
    "quantiles": "value at each probability of the final distribution, {0.05: 10, 0.95: 30}",
    "minimum": "smallest value of the curve before it is cut",
    "mode": "most likely value of the curve before it is cut",
    "maximum": "largest value of the curve before it is cut",
    "alpha": "first shape of a beta curve before it is cut (no unit)",
    "beta": "second shape of a beta curve before it is cut (no unit)",
    "shape": "shape of a gamma curve, or weight of the mode of a PERT curve (4), before it is cut (no unit)",
    "scale": "scale of a gamma curve before it is cut",
    "lower": "cut below this value and renormalise",
    "upper": "cut above this value and renormalise",
    "values": "values of a discrete distribution (numbers or names), or the sample of an empirical one",
    "probabilities": "probability of each value (default: equal)",
    "method": "empirical only: interpolate between sorted values (default), or resample the values themselves",
}

# A centre and a spread, or quantiles: these describe the final distribution, after truncation.
CENTRE_AND_SPREAD = (("mean", "sd"), ("mean", "cv"), ("median", "sd"), ("median", "cv"))
QUANTILES = (("quantiles",),)


@dataclass(frozen=True)
class Family:
    """One family of distributions.

    Args:
        name: value of ``distribution`` in a study.
        long_name: one phrase for tables.
        forms: the sets of keys that state it; exactly one set must be given.
        optional: keys that may come with any form.
        quantiles: how many quantiles the form ``quantiles`` takes.
        positive: it lives above zero only, so that stated values must be positive.
        requires_limits: refused where neither the study nor the physical support limits it.
        source: reference for the curve.
    """

    name: str
    long_name: str
    forms: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ("lower", "upper")
    quantiles: int = 2
    positive: bool = False
    requires_limits: bool = False
    source: str = "Johnson, Kotz & Balakrishnan (1994, 1995), Continuous Univariate Distributions"

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that this family takes."""
        return tuple(dict.fromkeys([key for form in self.forms for key in form] + list(self.optional)))

    def describe_forms(self) -> str:
        """The allowed sets of keys, for a message or a table."""
        native = [" + ".join(form) for form in self.forms if form not in CENTRE_AND_SPREAD + QUANTILES]
        spread = ["mean or median with sd or cv"] if set(CENTRE_AND_SPREAD) <= set(self.forms) else []
        quantiles = [f"{'two' if self.quantiles == 2 else 'three'} quantiles"] if QUANTILES[0] in self.forms else []
        return "; ".join(native + spread + quantiles)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("normal", "Gaussian", CENTRE_AND_SPREAD + QUANTILES),
        Family(
            "truncated_normal",
            "Gaussian cut at lower, upper or the physical limits",
            CENTRE_AND_SPREAD + QUANTILES,
            requires_limits=True,
        ),
        Family("lognormal", "normal in its logarithm", CENTRE_AND_SPREAD + QUANTILES, positive=True),
        Family(
            "uniform", "equally likely between two values", (("minimum", "maximum"), *CENTRE_AND_SPREAD, *QUANTILES)
        ),
        Family(
            "log_uniform",
            "uniform in its logarithm",
            (("minimum", "maximum"), *CENTRE_AND_SPREAD, *QUANTILES),
            positive=True,
        ),
        Family(
            "triangular", "straight up to the mode and down", (("minimum", "mode", "maximum"), *QUANTILES), quantiles=3
        ),
        Family(
            "pert",
            "beta curve through minimum, mode and maximum",
            (("minimum", "mode", "maximum"), *QUANTILES),
            optional=("shape", "lower", "upper"),
            quantiles=3,
            source="Malcolm et al. (1959), Operations Research 7(5), 646-669; Vose (2008), Risk Analysis, for the weight",
        ),
        Family(
            "beta",
            "beta curve between minimum (0) and maximum (1)",
            (("alpha", "beta"), *CENTRE_AND_SPREAD, *QUANTILES),
            optional=("minimum", "maximum", "lower", "upper"),
        ),
        Family("gamma", "gamma", (("shape", "scale"), *CENTRE_AND_SPREAD, *QUANTILES), positive=True),
        Family(
            "discrete",
            "one of a list of values or names",
            (("values",),),
            optional=("probabilities", "lower", "upper"),
            source="weights as stated",
        ),
        Family(
            "empirical",
            "values of a column, such as a measured or posterior sample",
            (("values",),),
            optional=("method", "lower", "upper"),
            source="Hyndman & Fan (1996), The American Statistician 50(4), 361-365, definition 7",
        ),
    )
}


def families_table() -> str:
    """The families as a Markdown table, as it stands in ``docs/uncertainty.md``."""
    head = ["| `distribution` | what it is | stated by | may add |", "|---|---|---|---|"]
    rows = [
        f"| `{family.name}` | {family.long_name} | {family.describe_forms()} | {', '.join(family.optional)} |"
        for family in FAMILIES.values()
    ]
    return "\n".join(head + rows)


def parameters_table() -> str:
    """The keys of a distribution as a Markdown table, as it stands in ``docs/uncertainty.md``."""
    return "\n".join(["| key | meaning |", "|---|---|", *(f"| `{key}` | {text} |" for key, text in PARAMETERS.items())])
