"""Statistics as an xarray dataset with CF attributes, as the store and the report use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ensemble.specs import OutputSpec
from ensemble.summary.estimates import Estimates, estimate
from ensemble.summary.histogram import Quantiles
from ensemble.summary.moments import Summary
from ensemble.units import cf_units

# CF cell methods of the time axis by kind of output (CF conventions, section 7.3 and appendix E).
TIME_METHODS = {"state": "time: point", "flux": "time: sum", "rate": "time: mean"}
USED, FAILED = "members_used", "members_failed"
ERROR_NOTE = "Monte Carlo standard error from the spread of the design's replicates"
ARROW = "minus the same member under"


def cf_attributes(spec: OutputSpec, method: str | None = None) -> dict[str, Any]:
    """CF attributes of an output, or of a statistic of it over members.

    Args:
        spec: the output.
        method: CF method over members (``mean``, ``standard_deviation``, ``minimum``, ...).
    """
    attributes: dict[str, Any] = {
        "units": cf_units(spec.units),
        "display_units": spec.units,
        "long_name": spec.long_name,
    }
    if spec.standard_name:
        attributes["standard_name"] = spec.standard_name
    parts = (
        TIME_METHODS[spec.kind] if "time" in spec.dims else None,
        spec.cell_methods,
        f"member: {method}" if method else None,
    )
    methods = " ".join(part for part in parts if part)
    return attributes | ({"cell_methods": methods} if methods else {})


def difference_spec(spec: OutputSpec, reference: str) -> OutputSpec:
    """The output of :func:`paired_differences`."""
    return replace(
        spec,
        name=f"{spec.name}_difference",
        long_name=f"{spec.long_name}, {ARROW} {reference}",
        support=(-np.inf, np.inf),
        standard_name=None,
    )


def paired_differences(outputs: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Differences of outputs from the first scenario, member by member, so that shared draws cancel.

    Args:
        outputs: by name, shape (members, scenarios, sites, *dims).
        names: outputs to subtract.

    Returns:
        ``<name>_difference``, the same shape; the first scenario is 0.
    """
    return {f"{name}_difference": outputs[name] - outputs[name][:, :1] for name in names}


def statistics_dataset(
    summaries: Mapping[str, Summary],
    specs: Mapping[str, OutputSpec],
    coordinates: Mapping[str, Any],
    quantiles: Mapping[str, Quantiles] | None = None,
    above: Mapping[str, Sequence[float]] | None = None,
) -> xr.Dataset:
    """Statistics over members of a block of sites.

    Variables of an output ``soc``: ``soc_mean``, ``soc_sd``, ``soc_minimum``, ``soc_maximum``, ``soc_quantile``
    (first axis ``quantile``), ``soc_probability_above`` (first axis ``soc_threshold``), and of each but the
    extremes ``..._standard_error``; ``soc_quantile_bin_error`` where quantiles come from a histogram. With them
    ``members_used`` and ``members_failed`` by site.

    Args:
        summaries: merged summary of each output.
        specs: by output name.
        coordinates: values of ``scenario``, ``site`` and every other axis (``time``, ``depth``).
        quantiles: by output name, all with the same levels.
        above: by output name, the thresholds that were counted.
    """
    quantiles, above = quantiles or {}, above or {}
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = dict(coordinates)
    for name, summary in summaries.items():
        variables |= _of_output(specs[name], summary, estimate(summary), tuple(above.get(name, ())))
        if name in quantiles:
            variables |= _quantiles(specs[name], quantiles[name])
            coords["quantile"] = ("quantile", quantiles[name].levels, {"units": "1", "long_name": "probability level"})
        if above.get(name):
            attributes = {"units": specs[name].units, "long_name": f"threshold of {specs[name].long_name}"}
            coords[f"{name}_threshold"] = (f"{name}_threshold", np.asarray(above[name], np.float64), attributes)
    summary = next(iter(summaries.values()))
    variables[USED] = ("site", summary.count.sum(axis=0), {"units": "1", "long_name": "members that succeeded"})
    variables[FAILED] = ("site", summary.failed, {"units": "1", "long_name": "members that failed in any scenario"})
    attributes = {"replicates": summary.count.shape[0], "degrees_of_freedom": summary.count.shape[0] - 1}
    return xr.Dataset(variables, coords, attributes)


def _of_output(spec: OutputSpec, summary: Summary, found: Estimates, above: tuple[float, ...]) -> dict[str, Any]:
    name, dims = spec.name, ("scenario", "site", *spec.dims)
    empty = found.count.reshape(1, -1, *(1,) * len(spec.dims)) == 0
    result = {
        **_with_error(spec, "mean", "mean", dims, found.mean, found.mean_standard_error),
        **_with_error(spec, "sd", "standard_deviation", dims, found.sd, found.sd_standard_error),
        f"{name}_minimum": (dims, np.where(empty, np.nan, summary.minimum), cf_attributes(spec, "minimum")),
        f"{name}_maximum": (dims, np.where(empty, np.nan, summary.maximum), cf_attributes(spec, "maximum")),
    }
    if above:
        chance = replace(spec, units="1", long_name=f"probability that {spec.long_name} exceeds", standard_name=None)
        values, error = found.probability_above, found.probability_above_standard_error
        result |= _with_error(chance, "probability_above", "mean", (f"{name}_threshold", *dims), values, error)
    return result


def _with_error(
    spec: OutputSpec, what: str, method: str | None, dims: tuple[str, ...], value: np.ndarray, error: np.ndarray
) -> dict[str, Any]:
    """A statistic and its standard error, linked by ``ancillary_variables``."""
    name = f"{spec.name}_{what}"
    attributes = cf_attributes(spec, method) | {"ancillary_variables": f"{name}_standard_error {USED} {FAILED}"}
    error_attributes: dict[str, Any] = {
        "units": cf_units(spec.units),
        "display_units": spec.units,
        "long_name": f"standard error of {name}",
        "comment": ERROR_NOTE,
    }
    if spec.standard_name and what == "mean":
        error_attributes["standard_name"] = f"{spec.standard_name} standard_error"
    return {name: (dims, value, attributes), f"{name}_standard_error": (dims, error, error_attributes)}


def _quantiles(spec: OutputSpec, found: Quantiles) -> dict[str, Any]:
    dims = ("quantile", "scenario", "site", *spec.dims)
    result = _with_error(spec, "quantile", None, dims, found.value, found.standard_error)
    if found.bin_error is not None:
        name = f"{spec.name}_quantile"
        result[f"{name}_standard_error"][2]["comment"] = "as for independent members (Woodruff 1952), from a histogram"
        result[name][2]["ancillary_variables"] += f" {name}_bin_error"
        text = {
            "units": cf_units(spec.units),
            "display_units": spec.units,
            "long_name": f"largest error that the histogram's bins add to {name}",
        }
        result[f"{name}_bin_error"] = (dims, found.bin_error, text)
    return result
