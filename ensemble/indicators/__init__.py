"""Statistics of series and of places, computed for every member at once.

Batch axes (members, scenarios, sites) lead; the axis a statistic works along, time or place, is the last.
Every function therefore returns a distribution over members, not one number, and
:func:`~ensemble.indicators.members.distribution` sums it up.
"""

from ensemble.indicators.inequality import Gini, gini
from ensemble.indicators.members import MemberDistribution, distribution
from ensemble.indicators.persistence import Hurst, hurst, hurst_of_noise
from ensemble.indicators.spatial import GlobalMoran, LocalMoran, global_moran, local_moran
from ensemble.indicators.trends import LinearTrend, SequentialMannKendall, linear_trend, sequential_mann_kendall
from ensemble.indicators.weights import (
    Weights,
    contiguity_weights,
    distance_weights,
    grid_weights,
    nearest_weights,
)

__all__ = [
    "Gini",
    "GlobalMoran",
    "Hurst",
    "LinearTrend",
    "LocalMoran",
    "MemberDistribution",
    "SequentialMannKendall",
    "Weights",
    "contiguity_weights",
    "distance_weights",
    "distribution",
    "gini",
    "global_moran",
    "grid_weights",
    "hurst",
    "hurst_of_noise",
    "linear_trend",
    "local_moran",
    "nearest_weights",
    "sequential_mann_kendall",
]
