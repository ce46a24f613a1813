"""Report of learned maps: skill, coverage, the maps and where not to trust them, totals, covariates, new sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble.report.content import Figure, Panel, Remark, ReportContent, Section, Table
from ensemble.report.drawing import FAINT, INK, colour, draw, tint
from ensemble.report.numbers import count, interval, number, percent, plural
from ensemble.report.page import render
from ensemble.report.raster import map_panel, zone_panel

Groups = Mapping[str, xr.Dataset]

CURVES = 4  # covariates whose partial dependence is drawn
MEASURES = {"r2": "R2 = 1 - SSE/SST", "r2_pearson": "r squared", "pearson": "Pearson r", "rmse": "RMSE", "mae": "MAE", "concordance": "Lin's CCC", "bias": "bias"}  # fmt: skip


def map_page(groups: Groups, title: str) -> str:
    """The page of learned maps.

    Args:
        groups: of the maps' store: ``skill``, ``importance``, ``answers``, and ``maps``, ``map_totals``,
            ``next_samples`` where there are sites.
        title: of the study.
    """
    skill = groups["skill"]
    repeats = plural(skill.attrs["repeats"], "repeat")
    subtitle = (
        f"{count(skill.sizes['sample'])} samples, {plural(skill.sizes['target'], 'target')}, boosted regression trees, "
        f"{skill.attrs['number_of_folds']}-fold cross-validation, {repeats}"
    )
    sections = tuple(_sections(groups))
    return render(ReportContent(title, subtitle, map_lines(groups)[0], (), sections))


def map_lines(groups: Groups) -> tuple[str, ...]:
    """What the maps say, one sentence a line."""
    skill, lines = groups["skill"], []
    for target in skill["target"].values:
        r2 = [float(_score(skill, target, kind, "r2")) for kind in ("random", "blocked")]
        text = f"{target}: R2 {r2[0]:.2f} with random folds and {r2[1]:.2f} with blocks of {number(skill.attrs['block_km'])} km"
        held = skill["coverage"].sel({"target": target, "class": "all", "level": 0.9})
        inside = [float(held.sel(folds=k, interval="realisations")) for k in ("random", "blocked")]
        paper = float(held.sel(folds="random", interval="sd over repeated fits"))
        if np.isfinite(inside[0]):
            text += (
                f"; the 90 % interval holds {percent(inside[0])} of left-out samples ({percent(inside[1])} of left-out "
                f"blocks), that of the sd over repeated fits {percent(paper)}"
            )
        lines.append(f"{text}.")
    return (*lines, _outside(groups["maps"])) if "maps" in groups else tuple(lines)


def _outside(maps: xr.Dataset) -> str:
    share = 1 - float(maps["applicable"].mean())
    return f"{percent(share)} of the sites lie outside the area of applicability, where the skill says nothing."


def _score(skill: xr.Dataset, target: str, folds: str, measure: str, kind: str = "all") -> xr.DataArray:
    return skill["score"].sel(
        {"target": target, "folds": folds, "class": kind, "statistic": "mean", "measure": measure}
    )


def _units(data: xr.Dataset, target: str) -> str:
    return str(np.atleast_1d(data.attrs["units"])[list(data["target"].values).index(target)])


def _sections(groups: Groups) -> Iterator[Section]:
    skill = groups["skill"]
    yield _skill_section(skill)
    yield _uncertainty_section(skill)
    if "maps" in groups:
        for target in skill["target"].values:
            yield _map_section(groups["maps"], str(target), _units(skill, target))
        yield _trust_section(groups)
        yield _totals_section(groups["map_totals"])
    yield _covariate_section(groups)


def _skill_section(skill: xr.Dataset) -> Section:
    notes = tuple(str(n) for n in np.atleast_1d(skill.attrs["notes"]) if str(n))
    samples = skill.sizes["sample"]
    panels = tuple(_against(skill, str(t), k) for t in skill["target"].values for k in ("random", "blocked"))
    caption = (
        f"Observed against predicted at {count(samples)} samples, each predicted by trees that did not see it (mean over "
        "repeats); line 1:1. Left random folds, right spatial blocks left out whole."
    )
    tables = [_paper_table(skill, str(t)) for t in skill["target"].values]
    if "nested_score" in skill:
        rows = tuple(
            (str(t), *(f"{float(skill['nested_score'].sel(target=t, measure=m)):.2f}" for m in MEASURES))
            for t in skill["target"].values
        )
        tables.append(Table(("target", *MEASURES.values()), rows, "Skill with settings chosen anew within each fold."))
    lead = "Random folds say how well the map does between samples, spatial blocks how well away from them."
    return Section("Skill", lead, tuple(Remark("plain", n) for n in notes), (Figure(panels, caption),), tuple(tables))


def _against(skill: xr.Dataset, target: str, kind: str) -> Panel:
    observed = skill["observed"].sel(target=target).values
    predicted = skill["predicted" if kind == "random" else "predicted_blocked"].sel(target=target).values
    unit, r2 = _units(skill, target), float(_score(skill, target, kind, "r2"))
    ends = [float(min(observed.min(), predicted.min())), float(max(observed.max(), predicted.max()))]

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.plot(ends, ends, color=FAINT, linewidth=1)
        axes.plot(predicted, observed, "o", color=colour(0), markersize=3, alpha=0.5, markeredgewidth=0)
        axes.set_xlabel(f"predicted ({unit})")
        axes.set_ylabel(f"observed ({unit})")
        axes.set_title(f"{target}, {'random folds' if kind == 'random' else 'spatial blocks'}", fontsize=11.5)
        axes.text(0.03, 0.95, f"R2 {r2:.2f}", transform=axes.transAxes, va="top")

    return draw(f"against-{target}-{kind}".replace("_", "-"), f"{target}, {kind} folds: R2 {r2:.2f}.", paint, 330, 300)


def _paper_table(skill: xr.Dataset, target: str) -> Table:
    rows = []
    for folds in skill["folds"].values:
        for kind in skill["class"].values:
            part = skill["score"].sel({"target": target, "folds": folds, "class": kind})
            if not np.isfinite(part).all():
                continue
            for measure, label in MEASURES.items():
                values = [f"{float(part.sel(statistic=s, measure=measure)):.3f}" for s in part["statistic"].values]
                rows.append((f"{kind}, {folds}", label, *values))
    header = ("samples, folds", "measure", *(str(s) for s in skill["statistic"].values))
    text = f"{target}: scores over repeats ({_units(skill, target)}). Repeats differ in folds and bags only: their spread is no uncertainty of the map."
    return Table(header, tuple(rows), text, folded=True)


def _uncertainty_section(skill: xr.Dataset) -> Section:
    rows = []
    for target in skill["target"].values:
        for folds in skill["folds"].values:
            for way in skill["interval"].values:
                held = skill["coverage"].sel({"target": target, "folds": folds, "interval": way, "class": "all"})
                if np.isfinite(held).all():
                    rows.append((str(target), str(folds), str(way), *(percent(float(v)) for v in held)))
    parts = tuple(
        (
            str(t), *(percent(float(skill[f"field_{name}"].sel(target=t))) for name in ("spatial", "alike", "nugget")),
            number(float(skill["field_range"].sel(target=t))), percent(float(skill["model_share"].sel(target=t))),
        )
        for t in skill["target"].values
    )  # fmt: skip
    tables = [
        Table(
            ("target", "alike in space", "alike where covariates are", "nugget", "range (km)", "explained by bootstrap models"),
            parts, "Parts of the variance of cross-validated residuals (posterior means).",
        )
    ]  # fmt: skip
    if rows:
        text = "Left-out samples inside 50 and 90 % intervals; the whole procedure was learned again without them."
        tables.insert(0, Table(("target", "folds", "interval", "50 %", "90 %"), tuple(rows), text))
    panels = tuple(_variogram(skill, str(t)) for t in skill["target"].values)
    caption = "Semivariance of the normal scores of cross-validated residuals by distance; point size by pairs. A level line means that residuals are not alike in space."
    lead = "Residuals of trees that did not see a sample hold all errors of the map: nothing is added to them and nothing counted twice."
    return Section("Uncertainty", lead, figures=(Figure(panels, caption),), tables=tuple(tables))


def _variogram(skill: xr.Dataset, target: str) -> Panel:
    here = skill.sel(target=target)
    distance, value, pairs = (here[n].values for n in ("variogram_distance", "variogram", "variogram_pairs"))

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.scatter(distance, value, s=10 + 60 * pairs / max(pairs.max(), 1), color=colour(0), linewidths=0)
        axes.axhline(1.0, color=FAINT, linewidth=1)
        axes.set_ylim(0, max(1.4, 1.1 * float(np.nanmax(value))))
        axes.set_xlabel("distance (km)")
        axes.set_title(target)

    return draw(f"variogram-{target}".replace("_", "-"), f"Variogram of {target}.", paint, 260, 220)


def _map_section(maps: xr.Dataset, target: str, unit: str) -> Section:
    key = target.replace("_", "-")
    mean, zones = maps[f"{target}_mean"].values, maps[f"{target}_zone"].values
    low, high = (maps[f"{target}_quantile"].sel(quantile=q).values for q in (0.05, 0.95))
    half = (high - low) / 2
    panels = [
        map_panel(f"mean-{key}", "Mean", maps, mean, unit),
        map_panel(f"half-{key}", "Half-width of 90 %", maps, half, unit, "magma"),
    ]
    for name in maps.data_vars:
        if str(name).startswith(f"{target}_above_"):
            level = str(name).removeprefix(f"{target}_above_")
            panels.append(map_panel(f"above-{key}-{level.replace('.', 'p')}", f"Probability above {level} {unit}", maps, maps[name].values, "probability", "cividis", (0, 1)))  # fmt: skip
    panels.append(zone_panel(f"zones-{key}", "Zones", maps, zones))
    repeats = float(np.nanmedian(maps[f"{target}_repeats_sd"]))
    inside = maps["applicable"].values > 0
    same = float((zones == maps[f"{target}_repeats_zone"].values)[inside].mean()) if inside.any() else float("nan")
    lead = (
        f"The median half-width of the 90 % interval is {number(float(np.median(half)))} {unit}; 1.645 times the sd over repeated "
        f"fits would be {number(1.645 * repeats)} {unit}. Zones by that sd agree on {percent(same)} of the sites in the area of applicability."
    )
    caption = (
        f"{target}, {count(len(mean))} sites: mean, half-width of the central 90 % interval and probabilities over "
        "realisations; zones of the mean against the standard deviation over realisations, grey outside the area of "
        "applicability."
    )
    return Section(f"Map of {target}", lead, figures=(Figure(tuple(panels), caption),))


def _trust_section(groups: Groups) -> Section:
    maps = groups["maps"]
    chosen = groups.get("next_samples")
    marks = None if chosen is None else chosen["site"].values
    panels = (
        map_panel("dissimilarity", "Dissimilarity to samples", maps, maps["dissimilarity"].values, "mean distances", "magma"),
        map_panel("applicable", "Area of applicability", maps, maps["applicable"].values.astype(float), "1 inside", "cividis", (0, 1)),
        map_panel("extrapolated", "Covariates beyond samples", maps, maps["extrapolated"].values.astype(float), "number", "magma"),
        map_panel("nearest", "Distance to nearest sample", maps, maps["nearest_sample"].values, "km", "viridis", marks=marks),
    )  # fmt: skip
    caption = (
        "Dissimilarity in covariates weighted by importance; inside where it is below "
        f"{number(float(maps['dissimilarity'].attrs['threshold']))}, the largest of samples to those of other folds that is no outlier"
    )
    tables = ()
    if chosen is not None:
        caption += "; numbered circles: proposed new samples, in order"
        names = [n for n in ("x_km", "y_km", "z_km") if n in chosen]
        rows = tuple(
            (
                str(int(chosen["rank"][k])), str(np.atleast_1d(chosen.attrs["class"])[k]),
                *(f"{float(chosen[n][k]):.1f}" for n in names),
                number(float(chosen["nearest_sample"][k])), percent(float(chosen["sd_after"][k])),
            )
            for k in range(chosen.sizes["rank"])
        )  # fmt: skip
        text = f"Sites whose sampling would lower the variance of the total of {chosen.attrs['target']} most, each given those before it."
        tables = (Table(("rank", "class", *names, "nearest sample (km)", "sd of the total left"), rows, text),)
    return Section("Where not to trust the maps, and what to sample next", _outside(maps), figures=(Figure(panels, caption + "."),), tables=tables)  # fmt: skip


def _totals_section(totals: xr.Dataset) -> Section:
    rows = []
    for k, name in enumerate(totals["map"].values):
        unit, factor = _shown_unit(totals, k)
        for kind in totals["class"].values:
            here = totals.sel({"map": name, "class": kind})
            if float(here["area"]) == 0:
                continue
            sd = [factor * float(here["sd"].sel(assumption=a)) for a in totals["assumption"].values]
            low, high = (factor * float(here["quantile_of_total"].sel(quantile=q)) for q in (0.05, 0.95))
            mean = number(factor * float(here["mean"]), sd[1])
            area = number(float(here["area"]))
            rows.append((f"{name} ({unit})", str(kind), area, mean, interval(low, high, sd[1]), *map(number, sd)))
    first, (unit, factor) = totals.isel(map=0).sel({"class": "all"}), _shown_unit(totals, 0)
    sd = [factor * float(first["sd"].sel(assumption=a)) for a in totals["assumption"].values]
    lead = (
        f"Over all sites {totals['map'].values[0]} is {number(factor * float(first['mean']), sd[1])} {unit} with a standard "
        f"deviation of {number(sd[1])}; independent errors would give {number(sd[0])}, fully dependent ones {number(sd[2])}."
    )
    header = (
        "map",
        "class",
        "area (ha)",
        "mean",
        "90 % interval",
        "sd, independent",
        "sd, as modelled",
        "sd, dependent",
    )
    caption = f"Totals by class of {totals.attrs['realizations']} realisations; means over the area where the map is no carbon per area."
    notes = tuple(
        f"{name}: weights {', '.join(f'{w:.3f}' for w in np.atleast_1d(totals.attrs[f'weights_{name}']))} of {', '.join(np.atleast_1d(totals.attrs['averaged']))}"
        for name in totals["map"].values
        if f"weights_{name}" in totals.attrs
    )
    return Section("Totals", lead, tables=(Table(header, tuple(rows), caption),), notes=notes)


def _shown_unit(totals: xr.Dataset, row: int) -> tuple[str, float]:
    """Unit that a map's totals are shown in, and the factor to it: Mt C for regions."""
    unit = str(np.atleast_1d(totals.attrs["units"])[row])
    large = unit == "t C" and float(np.abs(totals["mean"][row]).max()) > 1e7
    return ("Mt C", 1e-6) if large else (unit, 1.0)


def _covariate_section(groups: Groups) -> Section:
    importance, answers = groups["importance"], groups["answers"]
    bars, curves, tables = [], [], []
    for target in importance["target"].values:
        bars.append(_bars(importance, str(target)))
        share = importance["gain"].sel({"target": target, "class": "all", "statistic": "mean"})
        for k in np.argsort(-share.values)[:CURVES]:
            curves.append(_curve(answers, str(target), str(importance["covariate"].values[k])))
        tables.append(_importance_table(importance, str(target)))
        tables.append(_pairs_table(answers.sel(target=target), str(target)))
    held = groups["skill"]["samples"]
    number_of = ", ".join(f"{kind} {int(held.sel({'class': kind}))}" for kind in answers["class"].values)
    bar_text = f"Share of the fall in squared error by splits on each covariate, mean over models of {int(held[0])} samples; lines: standard deviation over repeats."
    curve_text = f"Partial dependence of the four strongest covariates at all samples and those of each class with 40 or more ({number_of}): mean over models, band of one standard deviation over models for all samples."
    first = importance.isel(target=0).sel({"class": "all", "statistic": "mean"})["gain"]
    order = np.argsort(-first.values)[:3]
    names = [f"{importance['covariate'].values[k]} ({percent(float(first[k]))})" for k in order]
    lead = f"{importance['target'].values[0]} rests most on {', '.join(names)}."
    return Section(
        "Covariates",
        lead,
        figures=(Figure(tuple(bars), bar_text), Figure(tuple(curves), curve_text)),
        tables=tuple(tables),
    )


def _pairs_table(answers: xr.Dataset, target: str) -> Table:
    strength = answers["strength"].transpose("rank", "class").values
    rows = tuple(
        (str(pair), *(f"{value:.2f}" for value in line))
        for pair, line in zip(answers["pair"].values, strength, strict=True)
    )
    text = f"{target}: pairs of the five strongest covariates, H squared (share of a joint effect that the two have only together), at all samples and at those of each class."
    return Table(("pair", *(str(kind) for kind in answers["class"].values)), rows, text, folded=True)


def _bars(importance: xr.Dataset, target: str) -> Panel:
    part = importance["gain"].sel({"target": target, "class": "all"})
    mean, sd = (part.sel(statistic=s).values for s in ("mean", "sd over repeats"))
    order = np.argsort(mean)[-12:]
    names = importance["covariate"].values[order]

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.barh(range(len(order)), 100 * mean[order], color=tint(colour(0), 0.6), xerr=100 * sd[order], error_kw={"ecolor": INK, "elinewidth": 1})  # fmt: skip
        axes.set_yticks(range(len(order)), [str(n) for n in names])
        axes.set_xlabel("importance (%)")
        axes.set_title(target)

    return draw(
        f"importance-{target}".replace("_", "-"), f"Importance for {target}: {names[-1]} first.", paint, 330, 300
    )


def _curve(answers: xr.Dataset, target: str, covariate: str) -> Panel:
    unit = _units(answers, target)

    def paint(figure: Drawing, axes: Axes) -> None:
        for k, kind in enumerate(answers["class"].values):
            here = answers.sel({"target": target, "class": kind, "covariate": covariate})
            x, y, sd = (here[n].values for n in ("value", "answer", "answer_sd"))
            if k == 0:
                axes.fill_between(x, y - sd, y + sd, color=tint(INK, 0.25), linewidth=0)
            axes.plot(x, y, color=INK if k == 0 else colour(k - 1), linewidth=2 if k == 0 else 1.2, label=str(kind))
        axes.set_xlabel(covariate)
        axes.set_ylabel(unit)
        axes.set_title(target, fontsize=11.5)
        axes.legend(frameon=False, fontsize=9)

    name = f"curve-{target}-{covariate}".replace("_", "-").replace("=", "-")
    return draw(name, f"Partial dependence of {target} on {covariate}.", paint, 260, 230)


def _importance_table(importance: xr.Dataset, target: str) -> Table:
    rows = []
    for kind in importance["class"].values:
        for name in importance["covariate"].values:
            here = importance.sel({"target": target, "class": kind, "covariate": name})
            cells = [
                f"{100 * float(here[m].sel(statistic='mean')):.1f} ({100 * float(here[m].sel(statistic='sd over repeats')):.1f})"
                for m in ("gain", "permutation")
            ]
            rows.append((str(kind), str(name), *cells))
    text = f"{target}: importance (%) and its standard deviation over repeats; classes have models of their own."
    return Table(
        ("class", "covariate", "share of gain", "rise of error when exchanged"), tuple(rows), text, folded=True
    )
