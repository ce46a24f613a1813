"""Our numbers for the paper's 25 claims, with the anchored column: prints JSON, one entry a claim.

python benchmarks/loess_claims.py > claims.json
"""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
from loess_runs import (
    ALL_RUNS,
    CLIMATES,
    END,
    MECHANISMS,
    PATHS,
    PHASES,
    RECOVERED,
    ROCKS,
    STOCKS,
    Run,
    simulate,
    smoothed,
)  # fmt: skip

from ensemble.inference.anova import anova

ANCHORED = {"production_factor_dry": 0.662, "production_factor_wet": 0.488, "drainage_dry": 96.3, "drainage_wet": 200.0}
# The paper's Table 3: eta squared (%), coefficients (t C/ha).
INTENSIVE = slice(9900, END)
Stocks = dict[str, dict[str, np.ndarray]]


def run_all(runs: tuple[Run, ...], years: int, mechanisms: tuple[str, ...], **options: Any) -> Stocks:
    """Yearly stocks by mechanism and output, each of shape (runs, years), float64."""
    outputs = (*STOCKS, "base_saturation")
    found = {}
    for name in mechanisms:
        program = jax.jit(lambda p, m=name: simulate(MECHANISMS[m], runs, years, p, outputs=outputs, **options))
        found[name] = {key: np.asarray(value) for key, value in program(ANCHORED).items()}
    return found


def at(climate: str, path: str) -> int:
    """Index of a run in ``ALL_RUNS``."""
    return [(run.climate, run.path) for run in ALL_RUNS].index((climate, path))


def table_3(stocks: Stocks, step: int = 10) -> dict[str, Any]:
    """The paper's regression on smoothed stocks: coefficients, eta squared (%), adjusted R2."""
    years = np.arange(step - 1, END, step)
    phase = np.searchsorted([stop for _, stop in PHASES], years, side="right")
    rows: dict[str, list] = {name: [] for name in ("stock", "protection", "climate", "erosion", "land", "year", "run")}
    for mechanism in stocks:
        for i, run in enumerate(ALL_RUNS):
            farmed, levels = PATHS[run.path]
            rows["stock"].append(smoothed(stocks[mechanism]["soc"][i, :END], run.path)[years])
            rows["protection"].append(np.full(years.size, mechanism))
            rows["climate"].append(np.full(years.size, run.climate))
            rows["erosion"].append(np.asarray(levels)[phase])
            rows["land"].append(np.where(farmed & (years >= 8000), "farmed", "natural"))
            rows["year"].append(years + 1.0)
            rows["run"].append(np.full(years.size, f"{mechanism} {run.climate} {run.path}"))
    columns = {name: np.concatenate(parts) for name, parts in rows.items()}
    response, clusters = columns.pop("stock"), columns.pop("run")
    references = {"protection": "n", "climate": "dry", "erosion": "E0", "land": "natural"}
    table = anova(response, columns, references=references, clusters=clusters)
    eta = dict(zip(table.terms, np.round(100.0 * table.eta_squared, 2).tolist(), strict=True))
    rounded = {name: round(value, 4 if name == "year" else 2) for name, value in table.coefficients.items()}
    errors = {name: round(value, 4 if name == "year" else 2) for name, value in table.standard_errors.items()}
    return {"coefficients": rounded, "clustered standard errors": errors, "eta2 %": eta,
            "adjusted R2": round(table.adjusted_r2, 3)}  # fmt: skip


def effects(stocks: Stocks) -> dict[str, Any]:
    """Claims 2 to 11: mechanisms, decalcification, time to equilibrium, farming."""
    dry = at("dry", "natural E0")
    bare = stocks["n"]["soc"][dry, :END]
    effect = {m: 100.0 * (stocks[m]["soc"][dry, :END] / bare - 1.0) for m in "acmpx"}
    after = np.arange(END) >= 1500
    crossing = int(np.argmax(after & (effect["a"] < effect["c"]))) + 1
    strongest = {year: max("acmp", key=lambda m: effect[m][year - 1]) for year in (1500, 8000)}
    farm = {m: stocks[m]["soc"][at("dry", "farmed E0"), 9899] for m in "acmp"}
    final = bare[7000:8000].mean()
    gone = {c: int(np.argmax(stocks["n"]["base_saturation"][at(c, "natural E0")] < 0.98 * stocks["n"]["base_saturation"][at(c, "natural E0"), 50])) + 1 for c in CLIMATES}  # fmt: skip
    ratio = {c: [round(float(stocks["n"]["soc"][at(c, "farmed E0"), y] / stocks["n"]["soc"][at(c, "natural E0"), y]), 3)
                 for y in (9899, 9999)] for c in CLIMATES}  # fmt: skip
    return {
        "2, 3, 5 effect at year 8000 %": {m: round(float(effect[m][7999]), 2) for m in "cpm"},
        "4, 6 aggregation at 1500 and 8000 %": [round(float(effect["a"][y]), 2) for y in (1499, 7999)],
        "7 crossing year, strongest": [crossing, strongest, max(farm, key=farm.__getitem__)],
        "8 bases of the upper 40 cm fall from year": gone,
        "9 years to within 1 % and 2 %": [int(np.argmax(np.abs(bare / final - 1.0) < t)) + 1 for t in (0.01, 0.02)],
        "10, 11 extensive and intensive / natural": ratio,
        "12 natural, n: dry, wet": [round(float(stocks["n"]["soc"][at(c, "natural E0"), 7999]), 1) for c in CLIMATES],
    }


def erosion_claims(stocks: Stocks, continuous: Stocks) -> dict[str, Any]:
    """Claims 14 and 16 to 18: E1 against E0 (raw, smoothed, continuous), E2 and E3, contrast, spread."""
    views = {
        "raw": lambda s, c, p: s["soc"][at(c, p)],
        "smoothed by phase": lambda s, c, p: smoothed(s["soc"][at(c, p)], p),
        "smoothed across phases": lambda s, c, p: smoothed(s["soc"][at(c, p)], p, restart=False),
    }
    fourteen: dict[str, Any] = {}
    for land, span in (("farmed", INTENSIVE), ("natural", slice(6000, 8000))):
        for name, view in views.items():
            fourteen[f"{land}, dry, {name}"] = {m: round(float((view(stocks[m], "dry", f"{land} E1") - view(stocks[m], "dry", f"{land} E0"))[span].mean()), 2) for m in MECHANISMS}  # fmt: skip
        fourteen[f"{land}, dry, continuous erosion"] = {m: round(float((views["raw"](continuous[m], "dry", f"{land} E1") - views["raw"](continuous[m], "dry", f"{land} E0"))[span].mean()), 2) for m in MECHANISMS}  # fmt: skip
    mean = {c: {e: float(smoothed(stocks["x"]["soc"][at(c, f"farmed {e}")], f"farmed {e}")[INTENSIVE].mean())
                for e in ("E0", "E1", "E2", "E3")} for c in CLIMATES}  # fmt: skip
    end = {c: {e: round(float(stocks["x"]["soc"][at(c, f"farmed {e}"), 9998] / stocks["x"]["soc"][at(c, "farmed E0"), 9998]), 3) for e in ("E2", "E3")} for c in CLIMATES}  # fmt: skip
    spread = {name: {c: {e: round(float(np.ptp(view(stocks["x"], c, f"farmed {e}")[INTENSIVE])), 1) for e in mean[c]}
                     for c in CLIMATES} for name, view in views.items()}  # fmt: skip
    return {
        "14 E1 - E0, t C/ha": fourteen,
        "16 mean of the intensive phase / E0": {c: {e: round(mean[c][e] / mean[c]["E0"], 3) for e in ("E2", "E3")} for c in CLIMATES},
        "16 year 9999 / E0, raw": end,
        "17 dry - wet": {e: round(mean["dry"][e] - mean["wet"][e], 1) for e in mean["dry"]},
        "18 range in the intensive phase": spread,
    }  # fmt: skip


def recovery(stocks: Stocks, within: float = 1.0) -> dict[str, Any]:
    """Claims 21 to 24: deficits at year 10,000 and years until the natural stock is reached."""
    points: dict[str, list[tuple[float, float]]] = {"soc_0_25": [], "soc_25_75": [], "soc_25_100": []}
    shown: dict[str, Any] = {}
    for climate in CLIMATES:
        for path in ("farmed E0", "farmed E1", "farmed E2", "farmed E3"):
            reference = "natural E0" if path == "farmed E0" else "natural E1"
            for name in points:
                stock = stocks["x"][name]
                gap = stock[at(climate, path)] - stock[at(climate, reference)]
                closed = np.abs(gap[END:]) <= within
                time = float(np.argmax(closed)) if closed.any() else float("nan")
                points[name].append((abs(float(gap[END - 2])), time))
                shown[f"{climate} {path} {name}"] = [round(float(gap[END - 2]), 1), time]
    lines = {}
    for name, pairs in points.items():
        gap, time = np.asarray([p for p in pairs if np.isfinite(p[1])]).T
        slope, _ = np.polyfit(gap, time, 1)
        lines[name] = {"slope yr/t": round(float(slope), 1), "R2": round(float(np.corrcoef(gap, time)[0, 1] ** 2), 2),
                       "mean yr": round(float(time.mean())), "range": [float(time.min()), float(time.max())]}  # fmt: skip
    return {"21-24 difference at year 9999 (t C/ha) and years to recover": shown, "23 regression": lines}


def rocks() -> dict[str, Any]:
    """Claim 25: stock with an addition less stock without, in years after 10,000."""
    runs = tuple(
        Run(c, "farmed E0", after, rock) for c in CLIMATES for after in ("natural", "farmed") for rock in ROCKS
    )
    stock = run_all(runs, RECOVERED, ("x",))["x"]["soc"]
    shown = {}
    for i, run in enumerate(runs):
        base = stock[runs.index(run._replace(rock="none"))]
        gain = (stock[i] - base)[END:]
        shown[f"{run.climate} {run.after} {run.rock}"] = [round(float(gain[y - 1]), 3) for y in (100, 500, 1000, 2000)]
    return {"25 gain after 100, 500, 1000, 2000 years": shown}


def main() -> None:
    """Compute and print everything."""
    with jax.enable_x64(True):
        stocks = run_all(ALL_RUNS, RECOVERED, tuple(MECHANISMS))
        continuous = run_all(ALL_RUNS, RECOVERED, tuple(MECHANISMS), erosion="continuous")
        found: dict[str, Any] = {"balance": max(float(s["balance"].max()) for s in stocks.values())}
        found |= {"13, 15, 19, 20 Table 3": table_3(stocks), "Table 3, continuous": table_3(continuous)}
        found |= effects(stocks) | erosion_claims(stocks, continuous) | rocks()
        found["recovery, event erosion"] = recovery(stocks)
        found["recovery, continuous erosion"] = recovery(continuous)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
