"""Report of a calibration: whether to trust it, prior against posterior, fit, and what the data cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble.inputs.calendar import instant
from ensemble.report.content import Figure, Panel, Remark, ReportContent, Section, Table
from ensemble.report.drawing import FAINT, INK, colour, draw, swatch, time_axis, tint
from ensemble.report.numbers import interval, number, percent
from ensemble.report.page import render

PERFECT_MODEL = (
    "The posterior is conditional on a perfect model: no error of the model itself is in the likelihood, so its "
    "intervals are narrower than they should be."
)
# Sensitivities above this count (Kallioinen et al. 2024), and k-hat above which a left-out number is unreliable.
SENSITIVE, RELIABLE_K = 0.05, 0.7
# Panels of the pair plot: the most correlated parameters.
_PAIRED = 4


def calibration_page(
    data: xr.Dataset, posterior: xr.Dataset, prior: xr.Dataset, title: str, units: Mapping[str, str]
) -> str:
    """The page of a calibration.

    Args:
        data: the group ``calibration_checks``.
        posterior, prior: the groups of the same name.
        title: of the study.
        units: of the outputs, by name.
    """
    lines = calibration_lines(data)
    subtitle = f"Bayesian calibration, {posterior.sizes['chain']} chains of {posterior.sizes['draw']} draws"
    return render(ReportContent(title, subtitle, lines[0], (), calibration_sections(data, posterior, prior, units)))


def texts(data: xr.Dataset, name: str) -> list[str]:
    """Sentences of an attribute that holds one or several."""
    return [str(text) for text in np.atleast_1d(data.attrs[name]) if str(text)]


def calibration_lines(data: xr.Dataset) -> tuple[str, ...]:
    """What a calibration says, one sentence a line; the first one says whether it may be used."""
    problems = texts(data, "problems")
    if problems:
        verdict = f"The posterior must not be used: {'; '.join(problems)}."
    elif data.attrs["method"] == "laplace":
        k = float(data.attrs["approximation_k"])
        verdict = f"A Gaussian approximation at the mode, not a sample of the posterior (Pareto k-hat {k:.2f})."
    else:
        rhat, bulk, tail = (
            float(data[name].max() if name == "rhat" else data[name].min()) for name in ("rhat", "ess_bulk", "ess_tail")
        )
        verdict = f"The posterior may be used: R-hat up to {rhat:.4f}, effective sample sizes from {min(bulk, tail):.0f}, no divergent step."
    more = [] if data.attrs["model_error"] else [PERFECT_MODEL]
    return (verdict, *texts(data, "warnings"), *texts(data, "notes"), *more)


def calibration_sections(
    data: xr.Dataset, posterior: xr.Dataset, prior: xr.Dataset, units: Mapping[str, str]
) -> tuple[Section, ...]:
    """Sections of a calibration: verdict, parameters, fit to the observations, and the search for modes."""
    return (_verdict(data), _parameters(data, posterior, prior), _fit(data, units), _search(data))


def _verdict(data: xr.Dataset) -> Section:
    lines = calibration_lines(data)
    good = not texts(data, "problems")
    remarks = [Remark("good" if good else "bad", lines[0])]
    remarks += [Remark("plain", line) for line in lines[1:]]
    return Section(
        "May this posterior be used?",
        "Rules: R-hat up to 1.01, effective sample sizes of 400 or more, no divergences, BFMI of 0.3 or more.",
        tuple(remarks),
    )


def _parameters(data: xr.Dataset, posterior: xr.Dataset, prior: xr.Dataset) -> Section:
    rows = []
    for k, name in enumerate(data["parameter"].values):
        before, after = (data[f"{which}_quantile"].isel(parameter=k).values for which in ("prior", "posterior"))
        scale = (after[-1] - after[0]) / 4
        found = [
            number(float(after[2]), scale),
            interval(float(after[0]), float(after[-1])),
            interval(float(before[0]), float(before[-1])),
        ]
        found += [percent(float(data["contraction"][k]))]
        found += [f"{float(data[f'{which}_sensitivity'][k]):.2f}" for which in ("prior", "likelihood")]
        if "rhat" in data:
            found += [
                f"{float(data['rhat'][k]):.4f}",
                f"{float(data['ess_bulk'][k]):.0f}",
                f"{float(data['ess_tail'][k]):.0f}",
            ]
        rows.append((str(name), *found))
    header = (
        "parameter",
        "median",
        "posterior 90 %",
        "prior 90 %",
        "contraction",
        "prior sensitivity",
        "likelihood sensitivity",
    )
    header += ("R-hat", "ESS bulk", "ESS tail") if "rhat" in data else ()
    caption = (
        "Contraction is 1 - variance after / variance before, on the scale on which the prior is normal. A sensitivity "
        f"above {SENSITIVE:g} means that the marginal moves when the prior or the likelihood is raised to a power near 1."
    )
    names = list(posterior.data_vars)
    panels = tuple(_marginal(str(name), posterior[name], prior[name]) for name in names if posterior[name].ndim == 2)
    legend = ((swatch("band", tint(FAINT, 0.3)), "prior"), (swatch("line", colour(0)), "posterior"))
    figures = [Figure(panels, "Density of each parameter before and after the calibration.", legend)]
    pairs = _pairs(data, posterior)
    if pairs is not None:
        figures.append(pairs)
    return Section(
        "What was learnt about the parameters",
        "Prior and posterior side by side.",
        figures=tuple(figures),
        tables=(Table(header, tuple(rows), caption),),
    )


def _marginal(name: str, after: xr.DataArray, before: xr.DataArray) -> Panel:
    a, b = after.values.ravel(), before.values.ravel()
    low, high = np.quantile(np.concatenate([a, b]), (0.005, 0.995))
    edges = np.linspace(low, high, 41)
    unit = str(after.attrs.get("display_units", "1"))

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.hist(b, edges, density=True, color=tint(FAINT, 0.3))
        axes.hist(a, edges, density=True, histtype="step", color=colour(0), linewidth=1.8)
        axes.set_title(name)
        axes.set_xlabel("" if unit == "1" else unit)
        axes.set_yticks([])

    median = number(float(np.median(a)), float(a.std()))
    return draw(f"marginal-{name}".replace("_", "-"), f"{name}: posterior median {median}", paint)


def _pairs(data: xr.Dataset, posterior: xr.Dataset) -> Figure | None:
    """Scatter of the most correlated pairs of parameters."""
    names = [str(name) for name in data["parameter"].values]
    strength = np.abs(np.tril(data["correlation"].values, -1))
    order = np.column_stack(np.unravel_index(np.argsort(-strength, axis=None), strength.shape))
    shown = {name: _numbers(posterior, name) for name in names}
    chosen = [
        (names[j], names[i], float(data["correlation"][i, j]))
        for i, j in order
        if i > j and shown[names[i]] is not None and shown[names[j]] is not None
    ]
    chosen = [pair for pair in chosen if abs(pair[2]) > 0.1][:_PAIRED]
    if not chosen:
        return None
    panels = []
    for first, second, correlation in chosen:
        x, y = (
            column[:: max(1, column.size // 1000)] for column in (shown[first], shown[second]) if column is not None
        )

        def paint(
            figure: Drawing, axes: Axes, x: Any = x, y: Any = y, first: str = first, second: str = second
        ) -> None:
            axes.plot(x, y, ".", color=colour(0), markersize=2.5, alpha=0.5)
            axes.locator_params(axis="x", nbins=5)
            axes.set_xlabel(first)
            axes.set_ylabel(second)

        alt = f"{first} against {second}: correlation {correlation:.2f}"
        panels.append(draw(f"pair-{first}-{second}".replace("_", "-"), alt, paint))
    return Figure(tuple(panels), "The most correlated pairs of parameters, posterior draws.")


def _numbers(posterior: xr.Dataset, name: str) -> np.ndarray | None:
    """Draws of a coordinate that is one number: a parameter, or what is common to the groups of one that varies."""
    name = f"{name}_common" if f"{name}_common" in posterior else name
    return posterior[name].values.ravel() if name in posterior and posterior[name].ndim == 2 else None


def _fit(data: xr.Dataset, units: Mapping[str, str]) -> Section:
    figures = []
    for variable in dict.fromkeys(data["variable"].values.tolist()):
        panels = [
            _course(data.isel(observation=np.flatnonzero(mask)), f"{variable}-{arm}-{site}", _title(data, arm, site))
            for arm, site, mask in _pairs_of(data, variable)
        ]
        caption = f"{variable}, {units[str(variable)]}: posterior bands of the model, bands of a new measurement, and the measurements."
        figures.append(Figure(tuple(panels), caption, _signs(data)))
    table = skill(data)
    axes = [
        name for name in ("variable", "scenario", "site") if table[name].nunique() > 1 + ("all" in set(table[name]))
    ]
    table = table.drop_duplicates(["held_out", *axes])  # of one site in one scenario, that and all are the same
    rows = [_skill_row(row, axes) for row in table.itertuples(index=False)]
    header = ("rows", *axes, "n", "RMSE", "bias", "CRPS", "in 50 %", "in 90 %")
    header += ("RMSE before", "bias before", "CRPS before", "in 50 % before", "in 90 % before")
    caption = "Median prediction and predictive bands against the measurements, in the unit of the output; before: the prior's."
    tables = [Table(header, tuple(rows), caption)]
    tables += [_left_out(data, name) for name in ("row", "date", "plot") if f"elpd_{name}" in data]
    return Section(
        "How well it fits",
        "Bands hold the error of the measurements as well as of the model.",
        figures=tuple(figures),
        tables=tuple(tables),
    )


def _signs(data: xr.Dataset) -> tuple[tuple[str, str], ...]:
    """The legend of :func:`_course`: kinds of measurements that there are."""
    below, held = data["below_detection"].values > 0, data["held_out"].values > 0
    kinds = (
        (~below & ~held, swatch("point", INK), "measured"),
        (~below & held, swatch("outside", colour(1)), "measured, held out"),
        (below, swatch("limit", INK), "below this limit, not scored"),
    )
    return (
        (swatch("band", tint(colour(0), 0.35)), "90 %, model"),
        (swatch("outline", colour(0)), "90 %, with all errors"),
        *((sign, text) for there, sign, text in kinds if there.any()),
    )


def _pairs_of(data: xr.Dataset, variable: str) -> list[tuple[str, str, np.ndarray]]:
    frame = pd.DataFrame({name: [str(v) for v in data[name].values] for name in ("variable", "scenario", "site")})
    here = frame[frame["variable"] == variable].drop_duplicates()
    return [
        (a, s, ((frame["variable"] == variable) & (frame["scenario"] == a) & (frame["site"] == s)).to_numpy())
        for a, s in zip(here["scenario"], here["site"], strict=True)
    ]


def _title(data: xr.Dataset, arm: str, site: str) -> str:
    """Site and scenario, each where there are others; the site where there is one of both."""
    parts = [name for name, axis in ((site, "site"), (arm, "scenario")) if len(set(data[axis].values.tolist())) > 1]
    return ", ".join(parts) or site


def _course(data: xr.Dataset, name: str, title: str) -> Panel:
    data = data.sortby("time")
    time, value, held, below = (data[name].values for name in ("time", "value", "held_out", "below_detection"))
    model, whole = data["model_quantile"].values, data["predictive_quantile"].values

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.fill_between(time, model[0], model[-1], color=tint(colour(0), 0.35), linewidth=0)
        axes.plot(time, model[2], color=colour(0))
        for bound in (whole[0], whole[-1]):
            axes.plot(time, bound, "--", color=colour(0), linewidth=1.1)
        seen, apart, limit = (below == 0) & (held == 0), (below == 0) & (held > 0), below > 0
        axes.plot(time[seen], value[seen], "o", color=INK, markersize=4.5)
        axes.plot(time[apart], value[apart], "D", color=colour(1), markersize=5, markerfacecolor="none")
        axes.plot(time[limit], value[limit], "v", color=INK, markersize=6, markerfacecolor="none")
        axes.set_title(title)
        time_axis(axes, time, "year", margin=0.05)

    return draw(f"course-{name}".replace("_", "-").replace(" ", "-"), f"{name}: {len(time)} measurements", paint)


def skill(data: xr.Dataset) -> pd.DataFrame:
    """RMSE, bias, CRPS and coverage by variable, scenario and site, and of all, before and after the calibration.

    Rows below a detection limit have no score.

    Args:
        data: the group ``calibration_checks``.

    Returns:
        Columns held_out, variable, scenario, site, n, then rmse, bias, crps, in_50, in_90 of the posterior, and the same
        with the prefix ``prior_``.
    """
    data = data.isel(observation=np.flatnonzero(data["below_detection"].values == 0))
    columns = ("scenario", "site", "variable", "value", "held_out", "crps", "prior_crps")
    frame = pd.DataFrame({name: data[name].values.tolist() for name in columns})
    for prefix in ("", "prior_"):
        low_90, low_50, median, high_50, high_90 = data[f"{prefix}predictive_quantile"].values
        frame[f"{prefix}miss"] = median - frame["value"]
        frame[f"{prefix}in_50"] = (frame["value"] >= low_50) & (frame["value"] <= high_50)
        frame[f"{prefix}in_90"] = (frame["value"] >= low_90) & (frame["value"] <= high_90)
    keys = ["held_out", "variable", "scenario", "site"]
    rows: list[tuple[Any, ...]] = []
    for count in (4, 2):
        for _, part in frame.groupby(keys[:count], sort=False):
            named = part[keys].iloc[0].tolist()
            rows.append((*named[:count], *["all"] * (4 - count), *_scores(part)))
    scores = ("rmse", "bias", "crps", "in_50", "in_90")
    return pd.DataFrame(rows, columns=[*keys, "n", *scores, *(f"prior_{name}" for name in scores)])


def _scores(part: pd.DataFrame) -> tuple[float, ...]:
    """Number of rows; RMSE and bias of the median, mean CRPS, share inside the 50 and 90 % bands, after and before."""
    found: list[float] = [len(part)]
    for prefix in ("", "prior_"):
        miss = part[f"{prefix}miss"].to_numpy(float)
        found += [float(np.sqrt((miss**2).mean())), float(miss.mean())]
        found += [float(part[f"{prefix}{name}"].mean()) for name in ("crps", "in_50", "in_90")]
    return tuple(found)


def _skill_row(row: Any, axes: Sequence[str]) -> tuple[str, ...]:
    which = "held out" if row.held_out else "fitted"
    numbers = (f"{row.rmse:.2f}", f"{row.bias:+.2f}", f"{row.crps:.2f}", percent(row.in_50), percent(row.in_90))
    before = (f"{row.prior_rmse:.2f}", f"{row.prior_bias:+.2f}", f"{row.prior_crps:.2f}")
    inside = percent(row.prior_in_50), percent(row.prior_in_90)
    return which, *(str(getattr(row, name)) for name in axes), str(row.n), *numbers, *before, *inside


def _left_out(data: xr.Dataset, name: str) -> Table:
    k = data[f"pareto_k_{name}"].values
    rows = tuple(
        (
            label if name == "plot" else _dated(label),
            f"{float(e):.2f}",
            f"{kk:.2f}" + ("" if kk <= RELIABLE_K else " (unreliable)"),
        )
        for label, e, kk in zip(data[f"left_{name}"].values.tolist(), data[f"elpd_{name}"].values, k, strict=True)
    )
    total = float(data[f"elpd_{name}"].sum())
    caption = f"Log predictive density of every {name} left out, by importance weights from the full posterior; sum {total:.1f}. k-hat above {RELIABLE_K:g} is not to be relied on."
    return Table((name, "log density", "k-hat"), rows, caption, folded=len(rows) > 8)


def _dated(label: str) -> str:
    """The name of what was left out with its time, which comes last, in words."""
    head, comma, time = label.rpartition(", ")
    return f"{head}{comma}{instant(float(time))}"


def _search(data: xr.Dataset) -> Section:
    rows = tuple(
        (
            str(k + 1),
            f"{float(data['start_log_posterior'][k]):.4f}",
            f"{float(data['start_gradient'][k]):.1e}",
            "not converged" if int(data["start_mode"][k]) < 0 else str(int(data["start_mode"][k]) + 1),
        )
        for k in range(data.sizes["start"])
    )
    count = int(data["start_mode"].max()) + 1
    lead = "All starts that converged ended in one mode." if count == 1 else f"{count} modes were found."
    caption = "Each start of the search for modes, best first: unnormalised log posterior, largest gradient, mode."
    return Section(
        "The search for modes",
        lead,
        tables=(Table(("start", "log posterior", "gradient", "mode"), rows, caption, folded=True),),
    )


__all__ = ["calibration_lines", "calibration_page", "calibration_sections", "skill"]
