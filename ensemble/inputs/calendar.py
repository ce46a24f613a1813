"""The time axis of a run: calendar months, or years counted from the start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.specs import TimeAxis


@dataclass(frozen=True)
class Calendar:
    """Steps of the driver series, after the lead (the equilibrium year).

    Args:
        axis: the model's time axis.
        first: first step as ``year * per_year + (step in year - 1)``.
        steps: number of steps after the lead.
    """

    axis: TimeAxis
    first: int
    steps: int

    @property
    def length(self) -> int:
        """Length of a driver series, lead included."""
        return self.axis.lead + self.steps

    def years(self) -> np.ndarray:
        """Calendar year of each step after the lead, shape (steps,)."""
        return (self.first + np.arange(self.steps)) // self.axis.per_year

    def months(self) -> np.ndarray:
        """Month (1-12) of each step after the lead, shape (steps,)."""
        return (self.first + np.arange(self.steps)) % self.axis.per_year + 1

    def record_times(self, steps_per_record: int) -> np.ndarray:
        """End of each output record: the last day of its last month (datetime64[s]), or years since the start."""
        ends = np.arange(steps_per_record, self.steps + 1, steps_per_record)
        if self.axis.step == "year":
            return ends.astype(np.float64)
        month_after = np.datetime64("0000-01", "M") + (self.first + ends)
        return (month_after.astype("datetime64[D]") - np.timedelta64(1, "D")).astype("datetime64[s]")

    def record_years(self, steps_per_record: int) -> np.ndarray:
        """End of each record as a decimal year, for axes and for matching observations."""
        ends = self.first + np.arange(steps_per_record, self.steps + 1, steps_per_record)
        return ends / self.axis.per_year

    def record_of_year(self, year: int, steps_per_record: int) -> int | None:
        """Index of the record that ends with (or last within) a calendar year, if the run covers it."""
        after_year = (year + 1) * self.axis.per_year - self.first
        if not 0 < after_year <= self.steps:
            return None
        return after_year // steps_per_record - 1


def instant(time: float) -> str:
    """A time in years as people write it: 2011.0 is when 2010 ends, so it is "the end of 2010"."""
    return f"the end of {time - 1.0:.6g}" if float(time).is_integer() else f"{time:.6g}"
