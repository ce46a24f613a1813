"""The Broadbalk and Geescroft wilderness against the anchored column: out of sample, nothing is fitted.

Arable land abandoned in the 1880s at Rothamsted grew into deciduous woodland. Measured carbon in soil of an
equivalent depth of 69 cm: Poulton et al. (2003), Global Change Biology 9, 942-955; climate: 1961-1990 means.

    python benchmarks/wilderness.py
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ensemble.models.base import BuildSettings
from ensemble.models.records.column import COLUMN

MEASURED = {
    "Broadbalk": {1881: 59.0, 1904: 74.0, 1964: 110.0, 1999: 123.0},
    "Geescroft": {1883: 61.0, 1904: 68.0, 1965: 83.0, 1999: 88.0},
}
TEMPERATURE = (3.05, 3.23, 5.27, 7.57, 10.90, 13.88, 15.89, 15.83, 13.54, 10.36, 5.98, 4.00)
PRECIPITATION = (65.4, 48.0, 57.2, 53.2, 52.9, 57.3, 47.0, 53.4, 54.7, 65.8, 64.4, 72.6)
EVAPORATION = (7.6, 10.3, 30.0, 52.3, 80.4, 94.8, 103.6, 95.8, 68.9, 36.1, 15.9, 8.0)
# Broadbalk has been limed and is calcareous; Geescroft is not and has become acid.
CALCITE = {"Broadbalk": 0.02, "Geescroft": 0.0}
LAYERS = (5.0,) * 13 + (4.0,)


def predicted(site: str, factor: float) -> np.ndarray:
    """Carbon (t C ha-1, 0-69 cm without the ectorganic layer) at the end of each year after abandonment."""
    years = MEASURED[site]
    start, count = next(iter(years.values())), 1999 - next(iter(years))
    middle = np.cumsum(LAYERS) - 0.5 * np.asarray(LAYERS)
    # arable soil: even over the ploughed 23 cm, then falling to a third over the next 46 cm
    profile = np.asarray(LAYERS) * np.where(middle < 23.0, 1.0, np.exp(-(middle - 23.0) / 42.0) * 0.6)
    given = {"temperature": TEMPERATURE, "precipitation": PRECIPITATION, "clay": 24.0, "silt": 59.0, "sand": 17.0,
             "potential_evapotranspiration": np.asarray(EVAPORATION), "forest": 1.0, "production_factor": factor,
             "drainage": 250.0, "calcite": CALCITE[site], "initial_soc": start * profile / profile.sum()}  # fmt: skip
    shapes = {(): (), ("time",): (count,), ("month",): (12,), ("depth",): (len(LAYERS),)}
    inputs = {s.name: jnp.broadcast_to(jnp.asarray(given.get(s.name, s.default), float), shapes[s.dims])
              for s in COLUMN.inputs if s.name in given or s.default is not None}  # fmt: skip
    options = {**COLUMN.default_options(), "layers": LAYERS, "initial": "given"}
    out = jax.jit(COLUMN.simulator(BuildSettings(options, 1, ("soc", "soc_ectorganic"))))(inputs)
    return np.asarray(out["soc"] - out["soc_ectorganic"])


def main() -> None:
    """Print measured and predicted stocks and rates."""
    with jax.enable_x64(True):
        for site, measured in MEASURED.items():
            first = next(iter(measured))
            for factor in (0.488, 0.662, 1.0):
                stock = predicted(site, factor)
                pairs = {
                    year: (value, round(float(stock[year - first - 1]), 1))
                    for year, value in measured.items()
                    if year > first
                }
                print(f"{site}, production factor {factor}: (measured, predicted) {pairs}, "
                      f"rate {(stock[-1] - measured[first]) / stock.size:.2f} t C/ha a year, "
                      f"measured {(measured[1999] - measured[first]) / stock.size:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
