"""The report of a finished store, from the store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ensemble import __version__
from ensemble.design import factorial
from ensemble.models.registry import builtin_models
from ensemble.pipeline.comparison import OBSERVATIONS, SAMPLE, at_points, members_of
from ensemble.pipeline.credits import GROUP as CREDITS
from ensemble.pipeline.decomposing import GROUP as DECOMPOSITION
from ensemble.pipeline.decomposition_totals import GROUP as TOTALS_DECOMPOSITION
from ensemble.pipeline.half_ranges import GROUP as HALF_RANGE
from ensemble.pipeline.indicators import GROUP as INDICATORS
from ensemble.pipeline.inventories import GROUP as INVENTORY
from ensemble.pipeline.layout import FLAGS, STAGE
from ensemble.pipeline.recovery import GROUP as RECOVERY
from ensemble.pipeline.sequestration import GROUP as SEQUESTRATION
from ensemble.pipeline.sweeping import sweep_curves
from ensemble.pipeline.totals import GROUP as TOTALS
from ensemble.pipeline.zones import GROUP as ZONES
from ensemble.plan.bind import SINGLE_SCENARIO
from ensemble.plan.plan import measured_name
from ensemble.propagate import FAILURES
from ensemble.report import ReportContent, Results, Section, Tornado, decomposition_sections, render, run_report
from ensemble.report.checks import provenance_section
from ensemble.report.column import LEVELS, column_section
from ensemble.report.error_budget import error_budget_section
from ensemble.report.half_range import half_range_section
from ensemble.report.indicators import indicators_section
from ensemble.report.levels import Factor, levels_section
from ensemble.report.mapped import is_grid, maps_figure
from ensemble.report.observed import group_name
from ensemble.report.products import credits_section, sweep_section, totals_section, zones_section
from ensemble.report.rates import inventory_section, rates_section
from ensemble.report.recovery import recovery_section
from ensemble.store import Place, Store, open_store, write_whole
from ensemble.summary.skill import group_skill

# Not opened with a group: each time it would take more memory than what is looked up there.
NAMES = ("site",)
# What an uncertain input need not say of itself.
UNSAID = (("per", "member"), ("block", 1), ("unchecked", False))
# Failed pairs that are listed with their inputs.
LISTED_FAILURES = 50
LIMITS = (
    "The bands hold what the study calls uncertain, and nothing else: errors of the model's own structure are in them "
    "only where an option is uncertain.",
    "Predictive bands add the measurement error that the study states; they are what a measurement should be compared with.",
)
SET_LIMITS = (
    "Inputs were set, not drawn: the numbers say how the output answers to them, not how well it is known.",
    "One input is set at a time: what two of them do together is not seen.",
)


def report_store(path: Place) -> Place:
    """Write the report of a finished store again, beside it.

    Raises:
        StoreRefused: there is no store, or it is not finished.
    """
    return write_store_report(open_store(path))[0]


def write_store_report(store: Store) -> tuple[Place, tuple[str, ...]]:
    """Write the report of a finished store; returns its path and what it says in words."""
    sentences: list[str] = []
    if store.has_group(DECOMPOSITION) and not store.has_group("statistics"):
        content = _decomposition_alone(store)
    else:
        results = results_of(store)
        content = run_report(results, _more(store, results))
        groups = [] if results.groups is None else results.groups.to_dict("records")
        sentences = [f"{group_name(results, row)}: {row['sentence']}" for row in groups]
    path = store.path.with_name(f"{store.path.stem}.report.html")
    write_whole(path, render(content).encode())
    return path, (*content.sentences, *sentences)


def _decomposition_alone(store: Store) -> ReportContent:
    """The report of a study that was decomposed and not run."""
    study, sections = store.attrs["study"], []
    for group in (DECOMPOSITION, TOTALS_DECOMPOSITION):
        if store.has_group(group):
            data = store.dataset(group).load()
            sections += decomposition_sections(data, study.get("report", {}).get("output") or "", _titles(study))
    facts = tuple(row for row in _facts(store, study) if row[0] != "members")  # it has members of its own
    sections.append(provenance_section(facts, _provenance(store), *_again(store)))
    lead = sections[0].lead
    return ReportContent(str(store.attrs["title"]), "Decomposition", lead, (), tuple(sections), _footer(store), (lead,))


def _titles(study: Mapping[str, Any]) -> dict[str, str]:
    """What scenarios are called in figures, by name."""
    return {name: arm["title"] for name, arm in study.get("scenarios", {}).items() if arm.get("title")}


def _again(store: Store) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Input files with their digests, and the commands that made the store."""
    return tuple(store.attrs["inputs"].items()), tuple(str(store.attrs.get("history", "")).splitlines())


def _footer(store: Store) -> str:
    return f"ensemble {__version__}, study {store.attrs['study_digest'][:12]}"


def _more(store: Store, results: Results) -> tuple[Section, ...]:
    """Sections of the other stages that are there."""
    sections: list[Section] = []
    if maps := _maps(store, results):
        sections.append(maps)
    levels = levels_section(results, _factors(store))
    sections += [] if levels is None else [levels]
    curves = sweep_curves(store, results.main)
    if curves is not None:
        sections.append(sweep_section(curves))
    products: dict[str, Callable[[xr.Dataset], Section]] = {
        HALF_RANGE: lambda data: half_range_section(data, results.titles),
        SEQUESTRATION: lambda data: rates_section(data, _places(store), dict(results.titles)),
        RECOVERY: lambda data: recovery_section(data, results.titles),
        INVENTORY: inventory_section,
        CREDITS: credits_section,
        TOTALS: totals_section,
        ZONES: zones_section,
    }
    sections += [make(store.dataset(group).load()) for group, make in products.items() if store.has_group(group)]
    if store.has_group(DECOMPOSITION):
        data = store.dataset(DECOMPOSITION).load()
        sections += decomposition_sections(data, results.main, results.titles)
        budget = error_budget_section(data, results.statistics, results.main, results.titles)
        sections += [] if budget is None else [budget]
    if store.has_group(TOTALS_DECOMPOSITION):
        sections += _drivers_of_totals(store, results)
    if store.has_group(INDICATORS):
        sections.append(indicators_section(store.dataset(INDICATORS).load(), results.titles))
    if store.attrs["study"].get("model") == "column":
        column = column_section(store.dataset("members"), results.titles, levels=_levels_of_members(store))
        sections += [] if column is None else [column]
    return tuple(sections)


def _drivers_of_totals(store: Store, results: Results) -> list[Section]:
    """What drives the total of the region, and its error budget."""
    data, totals = store.dataset(TOTALS_DECOMPOSITION).load(), store.dataset(TOTALS).load()
    output = str(totals.attrs["output"])
    sections = list(decomposition_sections(data, output, results.titles))
    of_all = totals.isel({"class": -1}).sel(assumption="modelled")
    statistics = of_all[["mean", "sd"]].rename(mean=f"{output}_mean", sd=f"{output}_sd")
    budget = error_budget_section(data, statistics, output, results.titles)
    return sections if budget is None else [*sections, budget]


def _places(store: Store) -> xr.Dataset:
    """Statistics with the cells of the sites, where these are cells of a raster."""
    statistics, members = (store.dataset(group, without=NAMES) for group in ("statistics", "members"))
    known = ("grid_row", "grid_column", "crs", "latitude")
    found = {name: members.coords[name] for name in known if name in members.coords and name not in statistics.coords}
    return statistics.assign_coords(found)


def _maps(store: Store, results: Results) -> Section | None:
    """Maps of the main output of a raster study."""
    places = _places(store)
    if not is_grid(places) or f"{results.main}_sd" not in places:
        return None
    arm, zones = results.scenarios[0], None
    if store.has_group(ZONES) and store.dataset(ZONES, without=NAMES).attrs["output"] == results.main:
        zones = store.dataset(ZONES, without=NAMES)["zone"].sel(scenario=arm).values
    figure = maps_figure(places, results.main, results.noun, results.unit, arm, zones)
    return Section(
        "Maps", f"Mean and standard deviation of {results.noun}{results.at}, cell by cell.", figures=(figure,)
    )


def results_of(store: Store) -> Results:
    """What there is to say about a finished run."""
    study: dict[str, Any] = store.attrs["study"]
    statistics, members = store.dataset("statistics"), store.dataset("members", without=NAMES)
    settings = study.get("report", {})
    main = settings.get("output") or _first_output(statistics, study)
    kept = main in members or store.has_group(SAMPLE)
    observations, skill, groups = _compared(store, main)
    measured = measured_name(main)
    kind, (files, reproduce) = study["design"]["type"], _again(store)
    sampled = kind not in ("factorial", "half_range", "sweep")
    return Results(
        main=main,
        statistics=statistics,
        members=members_of(store, NAMES) if kept else None,
        measured=measured if f"{measured}_mean" in statistics else None,
        observations=observations,
        skill=skill,
        groups=groups,
        titles=_titles(study),
        sites=tuple(settings.get("sites") or ()),
        cells=is_grid(_places(store)),
        pools=_pools(study, statistics),
        tornado=_tornado(statistics, main),
        delta_sd=statistics[f"{main}_sd_delta"].values if f"{main}_sd_delta" in statistics else None,
        delta_leaves_out=_left_out(study),
        failures=_failures(store),
        facts=_facts(store, study),
        provenance=_provenance(store),
        files=files,
        reproduce=reproduce,
        limits=LIMITS if sampled else SET_LIMITS[: 1 if kind == "factorial" else None],
        title=str(store.attrs["title"]),
        footer=_footer(store),
        sampled=sampled,
    )


def _first_output(statistics: xr.Dataset, study: Mapping[str, Any]) -> str:
    wanted = study.get("outputs", {}).get("variables")
    if wanted:
        return wanted[0]
    model = builtin_models().get(study["model"])
    means = [str(name).removesuffix("_mean") for name in statistics.data_vars if str(name).endswith("_mean")]
    order = [spec.name for spec in model.outputs] if model else sorted(means)
    return next(name for name in order if name in means)


def _compared(store: Store, main: str) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame | None]:
    if not store.has_group(OBSERVATIONS):
        return pd.DataFrame(), None, None
    table = store.dataset(OBSERVATIONS).to_dataframe().reset_index(drop=True)
    for name in ("scenario", "site", "variable", "arm", "reference"):
        table[name] = table[name].astype(str)
    table = table.loc[table["variable"] == main].reset_index(drop=True)
    if table.empty:
        return pd.DataFrame(), None, None
    columns = ["scenario", "site", "time", "record", "variable", "value", "error"]
    simulated, measured = at_points(members_of(store), main, table)
    groups = group_skill(table, simulated, measured, ["variable", "scenario", "site"])
    return table.loc[table["reference"] == "", columns], table, groups


def _pools(study: Mapping[str, Any], statistics: xr.Dataset) -> tuple[str, ...]:
    model = builtin_models().get(study["model"])
    pools = model.pools if model else ()
    return tuple(pools) if pools and all(f"{pool}_mean" in statistics for pool in pools) else ()


def _tornado(statistics: xr.Dataset, main: str) -> Tornado | None:
    name = f"{main}_first_order"
    if name not in statistics:
        return None
    effects = statistics[name]
    effects = effects.isel({dim: -1 for dim in effects.dims if dim not in ("parameter", "scenario", "site")})
    effects = effects.transpose("parameter", "scenario", "site")
    return Tornado(tuple(str(label) for label in statistics["parameter"].values), effects.values)


def _left_out(study: Mapping[str, Any]) -> tuple[str, ...]:
    uncertain = study.get("uncertain", {})
    return tuple(label for label, e in uncertain.items() if "autocorrelation" in e or "weather" in e)


def _failures(store: Store) -> pd.DataFrame:
    """One row a failed pair, with what it drew; reads the flags of tiles with failures only."""
    found = [np.empty((0, 3), np.int64)]
    tiling = store.tiling(STAGE)
    for tile in sorted(tile for tile, entry in store.entries(STAGE).items() if entry.failed):
        if sum(map(len, found)) >= LISTED_FAILURES:
            break
        codes, region = store.read_tile(STAGE, tile, [FLAGS])[FLAGS], tiling.region(tile)
        rows, columns = np.nonzero(codes)
        first = (region["member"].start, region["site"].start)
        found.append(np.stack([rows + first[0], columns + first[1], codes[rows, columns]], axis=1))
    rows, columns, reasons = np.concatenate(found)[:LISTED_FAILURES].T
    if not len(rows):
        return pd.DataFrame()
    table = pd.DataFrame(
        {
            "member": rows,
            "site": [str(name) for name in store.dataset("members")["site"].values[columns]],
            "reason": [FAILURES[int(code)] for code in reasons],
        }
    )
    at = {"member": xr.DataArray(rows, dims="pair"), "site": xr.DataArray(columns, dims="pair")}
    for name, drawn in store.dataset("inputs").data_vars.items():
        table[str(name)] = drawn.isel({dim: at[str(dim)] for dim in drawn.dims}).values
    return table


def _facts(store: Store, study: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    tiling = store.tiling("members")
    facts = [
        ("model", str(store.attrs["source"])),
        ("options", ", ".join(f"{k} = {v}" for k, v in study.get("options", {}).items()) or "defaults"),
        ("members", f"{tiling.shape['member']:,} ({study['design']['type']} design, seed {store.attrs['seed']})"),
        ("sites", f"{tiling.shape['site']:,}"),
        ("scenarios", ", ".join(study.get("scenarios") or [SINGLE_SCENARIO])),
        ("precision", study["precision"]),
    ]
    facts += [(f"levels: {label}", _level(at)) for label, at in (study["design"].get("levels") or {}).items()]
    facts += [(f"error: {label}", f"± {size:g}") for label, size in (study["design"].get("errors") or {}).items()]
    facts += [(f"uncertain: {label}", _stated(entry)) for label, entry in study.get("uncertain", {}).items()]
    facts += [(f"alike in space: {label}", _stated(entry)) for label, entry in study.get("fields", {}).items()]
    for entry in study.get("correlation", []):
        facts.append((f"correlation: {' and '.join(entry['between'])}", f"{entry['kind']} {entry['value']:g}"))
    return tuple(facts)


def _factors(store: Store) -> dict[str, Factor]:
    """What a factorial design sets; empty for another design."""
    design = store.attrs["study"]["design"]
    if design["type"] != "factorial":
        return {}
    made = factorial(design["levels"])
    members = np.arange(made.members)
    return {
        name: Factor(tuple(_level([value]) for value in values), made.codes(name, members))
        for name, values in made.levels
    }


def _levels_of_members(store: Store) -> tuple[str, ...]:
    """What each member of a factorial design is; empty for another design, or one of more than can be told apart."""
    factors = _factors(store).values()
    members = store.tiling("members").shape["member"]
    if not factors or members > len(LEVELS):
        return ()
    return tuple(" ".join(factor.levels[int(factor.codes[member])] for factor in factors) for member in range(members))


def _level(at: Mapping[str, Any] | Sequence[Any]) -> str:
    """Levels of an input of a factorial or a sweep, as the study has them."""
    if isinstance(at, Mapping):
        return ", ".join(f"{key}: {value:g}" for key, value in at.items())
    return ", ".join(str(level) if isinstance(level, str | bool) else f"{level:g}" for level in at)


def _stated(entry: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in entry.items() if (key, value) not in UNSAID}
    return ", ".join(f"{key}: {value}" for key, value in shown.items())


def _provenance(store: Store) -> tuple[tuple[str, str], ...]:
    platform = store.attrs["platform"]
    rows = [("study digest", store.attrs["study_digest"]), ("store digest", store.digest())]
    rows += [(name, str(version)) for name, version in store.attrs["versions"].items()]
    return (*rows, ("machine", f"{platform['machine']}, {platform['instructions']}, {platform['device']}"))
