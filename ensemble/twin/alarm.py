"""A drift alarm whose rate of false alarms holds for the whole life of a twin.

If forecasts one step ahead are right, a value leaves its 90 % band with probability 0.1, whatever happened before. A bet
against that (a mixture of Bernoulli likelihood ratios over all larger probabilities) then is a test martingale that
starts at 1, and by Ville's inequality it exceeds 1/alpha ever with probability at most alpha. Nothing is chosen after
looking, and it may be looked at after every measurement. Source: Ramdas et al. (2023), doi 10.1214/23-STS894.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import betainc, betaln

OUTSIDE = 0.1


class Watch(NamedTuple):
    """One series of one-step forecasts.

    Args:
        name: scenario, site and output.
        count, outside: values, and those outside their 90 % band.
        evidence: the martingale after the last value.
        largest: the largest it ever was, which decides.
        limit: alarm at or above it.
        since: time of the value at which it first reached the limit, years; nan where it never did.
    """

    name: str
    count: int
    outside: int
    evidence: float
    largest: float
    limit: float
    since: float

    @property
    def alarm(self) -> bool:
        """Whether the forecasts left their bands more often than chance allows."""
        return self.largest >= self.limit


def evidence(outside: np.ndarray, rate: float = OUTSIDE) -> np.ndarray:
    """The martingale after each value: likelihood ratio of a rate above `rate`, averaged over them uniformly, to `rate`.

    Args:
        outside: 1 where a value left its band, (values,).
        rate: share that should.
    """
    counts, n = np.cumsum(outside), np.arange(1, len(outside) + 1)
    a, b = counts + 1.0, n - counts + 1.0
    with np.errstate(divide="ignore"):
        # integral of p^k (1-p)^(n-k) over rate..1, divided by its length
        mixture = betaln(a, b) + np.log1p(-betainc(a, b, rate)) - np.log1p(-rate)
    return np.exp(mixture - counts * np.log(rate) - (n - counts) * np.log1p(-rate))


def watch(rows: pd.DataFrame, false_alarms: float) -> list[Watch]:
    """Watch every series; the rate of false alarms is shared between them.

    Args:
        rows: scores one step ahead, in the order of time, with scenario, site, variable, time and the quantiles.
        false_alarms: probability that a sound twin ever raises one.
    """
    rows = rows.sort_values("time", kind="stable")
    names = rows["scenario"] + ", " + rows["site"] + ", " + rows["variable"]
    series = {name: rows.loc[(names == name).to_numpy()] for name in dict.fromkeys(names.tolist())}
    limit = len(series) / false_alarms
    found = []
    for name, part in series.items():
        out = part["outside"].to_numpy(bool)
        course = evidence(out.astype(float))
        reached = np.flatnonzero(course >= limit)
        since = float(part["time"].to_numpy(float)[reached[0]]) if len(reached) else float("nan")
        found.append(Watch(name, len(out), int(out.sum()), float(course[-1]), float(course.max()), limit, since))
    return found
