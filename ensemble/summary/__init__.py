"""From tiles to statistics: moments, quantiles and probabilities with standard errors, and two honest checks.

The order in which tiles were computed never matters. Imports no JAX.
"""

from ensemble.summary.dataset import cf_attributes, difference_spec, paired_differences, statistics_dataset
from ensemble.summary.delta import DeltaWarning, delta_sd, delta_warnings, first_order_contributions
from ensemble.summary.estimates import Estimates, estimate
from ensemble.summary.histogram import Bins, Quantiles, histogram_quantiles, pilot_bins, tile_histogram
from ensemble.summary.moments import Summary, merge_pair, tile_moments
from ensemble.summary.packing import Packing
from ensemble.summary.quantiles import exact_quantiles, stored_quantiles
from ensemble.summary.replicates import jackknife, student
from ensemble.summary.tiles import join_sites, merge, summarise_tile

__all__ = [
    "Bins",
    "DeltaWarning",
    "Estimates",
    "Packing",
    "Quantiles",
    "Summary",
    "cf_attributes",
    "delta_sd",
    "delta_warnings",
    "difference_spec",
    "estimate",
    "exact_quantiles",
    "first_order_contributions",
    "histogram_quantiles",
    "jackknife",
    "join_sites",
    "merge",
    "merge_pair",
    "paired_differences",
    "pilot_bins",
    "statistics_dataset",
    "stored_quantiles",
    "student",
    "summarise_tile",
    "tile_histogram",
    "tile_moments",
]
