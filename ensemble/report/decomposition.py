"""Sections about the decomposition: what drives the answer, how that changes, what to measure next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from ensemble.report.content import Figure, Panel, Remark, Section, Table
from ensemble.report.drawing import FAINT, INK, PALETTE, draw, swatch, tint
from ensemble.report.numbers import MISSING, number, percent, three_digits
from ensemble.report.results import decimal_years

# Inputs that are drawn one by one; the others are drawn together.
DRAWN = 7
# Strength of the colours in their order: neighbours differ in grey too.
SHADES = (1.0, 0.55, 0.85, 0.4, 0.7, 0.28, 0.5)


def decomposition_sections(data: xr.Dataset, main: str, titles: Mapping[str, str] | None = None) -> tuple[Section, ...]:
    """What a decomposition says about the main output, at the first site or of the region.

    Args:
        data: the group ``/decomposition``, or ``/decomposition_of_totals`` with its classes.
        main: the main output; the first one that was decomposed where it was not.
        titles: what scenarios are called.
    """
    if "coefficient" in data.coords:
        return (_anova_section(data, main),)
    found = [str(name).removesuffix("_variance") for name in data.data_vars if str(name).endswith("_variance")]
    view = _View(data, main if main in found else found[0], dict(titles or {}))
    return (_drivers_section(view), _measure_section(view))


class _View:
    """One output at the first site and depth, in plain arrays."""

    def __init__(self, data: xr.Dataset, output: str, titles: Mapping[str, str]) -> None:
        self.output, self.attrs = output, data.attrs
        self.region = "class" in data.dims
        here = data.isel({"class" if self.region else "site": 0})
        self.data = here.isel({dim: 0 for dim in ("depth",) if dim in here.dims})
        self.scenarios = [str(name) for name in data["scenario"].values]
        self.titles = {name: titles.get(name) or name.replace("_", " ") for name in self.scenarios}
        self.inputs = [str(name) for name in data["parameter"].values]
        variance = data[f"{output}_variance"].attrs
        noun, self.unit = (
            str(variance["long_name"]).split(":")[0],
            str(variance.get("display_units", variance["units"])).removeprefix("(").removesuffix(")2"),
        )
        self.noun = f"the {noun}" if self.region else noun
        self.timed = "time" in self.data[f"{output}_variance"].dims
        self.years = decimal_years(self.data["time"].values) if self.timed else np.zeros(1)

    def heading(self, whole: str, region: str) -> str:
        """A heading, of the answer or of the region's total."""
        return region if self.region else whole

    def panel(self, name: str) -> str:
        """Name of a panel, unique on the page."""
        return f"total-{name}" if self.region else name

    def has(self, name: str) -> bool:
        return f"{self.output}_{name}" in self.data

    def get(self, name: str, scenario: str) -> np.ndarray:
        """Values of one scenario, time last."""
        values = self.data[f"{self.output}_{name}"].sel(scenario=scenario).values
        return values if self.timed else values[..., None]

    def last(self, name: str, scenario: str) -> np.ndarray:
        return self.get(name, scenario)[..., -1]

    def order(self) -> np.ndarray:
        """Inputs by their largest total effect in any scenario at the last record."""
        largest = np.max([np.nan_to_num(self.last("total", s)) for s in self.scenarios], axis=0)
        return np.argsort(-largest, kind="stable")


def _drivers_section(view: _View) -> Section:
    scenario = view.scenarios[0]
    total = view.last("total", scenario)
    top = np.argsort(-np.nan_to_num(total), kind="stable")[:2]
    said = " and ".join(f"{_name(view.inputs[g])} ({percent(float(np.clip(total[g], 0, 1)))})" for g in top)
    lead = f"Most of the variance of {view.noun} at the end comes from {said}."
    figures = [_effects_figure(view)]
    if view.timed and len(view.years) > 1:
        figures.insert(0, _shares_figure(view))
    if view.has("interaction"):
        figures.append(_interaction_figure(view))
    notes = [str(note) for note in np.atleast_1d(view.attrs.get("notes", []))]
    kind = "bad" if any("disagrees" in note for note in notes) else "plain"
    remarks = tuple(Remark(kind, f"{note[:1].upper()}{note[1:]}.") for note in notes if "audit" in note)
    small = tuple(f"{note[:1].upper()}{note[1:]}." for note in notes if "audit" not in note)
    design = f"{int(view.attrs['members']):,} members of their own in {int(view.attrs['rows']):,} rows, 16 independent scrambles."
    title = view.heading("What drives the answer", "What drives the regional total")
    return Section(title, lead, remarks, tuple(figures), (_effects_table(view),), (*small, design))


def _shares_figure(view: _View) -> Figure:
    """Shares of the variance through time, stacked to 1, labelled in place."""
    shapley = view.has("shapley")
    order = view.order()
    panels = tuple(_stack(view, scenario, order, shapley) for scenario in view.scenarios)
    what = (
        "Shapley effects: what inputs cause together is shared between them, so the parts sum to 100 %."
        if shapley
        else "First-order effects; what is left to 100 % is caused by inputs together."
    )
    legend = tuple(
        (swatch("band", tint(PALETTE[k % len(PALETTE)], SHADES[k % len(SHADES)])), _name(view.inputs[g]))
        for k, g in enumerate(order[:DRAWN])
    )
    return Figure(panels, f"Share of the variance of {view.noun} at each time. {what}", legend, wide=len(panels) == 1)


def _label_place(years: np.ndarray, part: np.ndarray) -> int | None:
    """Record at which a band is widest, away from the ends where text would be cut; ``None`` where it has no room."""
    low, high = np.quantile(years, [0.15, 0.85])
    room = np.where((years >= low) & (years <= high), part, 0.0)
    at = int(np.argmax(room))
    return at if room[at] > 0.12 else None


def _stack(view: _View, scenario: str, order: np.ndarray, shapley: bool) -> Panel:
    shares = np.clip(np.nan_to_num(view.get("shapley" if shapley else "first_order", scenario)), 0.0, 1.0)
    known = np.isfinite(view.get("variance", scenario)) & (shares.sum(0) > 0.0)
    drawn = shares[order[:DRAWN]][:, known]
    rest = shares[order[DRAWN:]].sum(0)[known]
    years = view.years[known]

    def paint(figure: Drawing, axes: Axes) -> None:
        base = np.zeros(len(years))
        for k, part in enumerate(drawn):
            shade = tint(PALETTE[k % len(PALETTE)], SHADES[k % len(SHADES)])
            axes.fill_between(years, base, base + part, color=shade, linewidth=0.6, edgecolor="white")
            at = _label_place(years, part)
            if at is not None:
                axes.text(
                    years[at], base[at] + part[at] / 2.0, _name(view.inputs[order[k]]), ha="center", va="center", size=11,
                    color="white" if SHADES[k % len(SHADES)] > 0.6 else INK,
                    bbox={"facecolor": shade, "edgecolor": "none", "pad": 1.5},
                )  # fmt: skip
            base = base + part
        if rest.size and rest.max() > 0.001:
            axes.fill_between(years, base, base + rest, color="#d5d9de", linewidth=0)
        axes.set_ylim(0, 1)
        axes.set_xlim(years[0], years[-1])
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if len(view.scenarios) > 1:
            axes.set_title(view.titles[scenario], color=INK)

    ends = ", ".join(
        f"{_name(view.inputs[g])} {percent(shares[g, known][0])} at first and {percent(shares[g, known][-1])} at the end"
        for g in order[:DRAWN]
    )
    return draw(
        view.panel(f"shares-{view.scenarios.index(scenario)}"), f"Shares of the variance through time: {ends}.", paint
    )


def _effects_figure(view: _View) -> Figure:
    """First-order effect against total effect of every input, with intervals."""
    order = view.order()[:DRAWN]
    panels = tuple(_effects(view, scenario, order) for scenario in view.scenarios)
    legend = ((swatch("point", INK), "alone (first-order)"), (swatch("outside", INK), "alone and with others (total)"))
    caption = (
        f"Share of the variance of {view.noun} at the last record, with 95 % intervals. "
        "Where the two signs of an input lie apart, it acts together with other inputs."
    )
    return Figure(panels, caption, legend)


def _effects(view: _View, scenario: str, order: np.ndarray) -> Panel:
    rows = -np.arange(len(order), dtype=float)
    values = {kind: view.last(kind, scenario)[order] for kind in ("first_order", "total")}
    widths = {kind: view.last(f"{kind}_half_width", scenario)[order] for kind in values}

    def paint(figure: Drawing, axes: Axes) -> None:
        styles = {"first_order": ("o", INK, 0.13), "total": ("D", "white", -0.13)}
        for kind, (marker, face, lift) in styles.items():
            axes.errorbar(values[kind], rows + lift, xerr=widths[kind], fmt="none", ecolor=INK, elinewidth=1.2)
            axes.plot(
                values[kind],
                rows + lift,
                marker,
                markersize=6.5,
                markerfacecolor=face,
                markeredgecolor=INK,
                linestyle="none",
            )
        axes.set_yticks(rows, [_name(view.inputs[g]) for g in order])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-len(order) + 0.4, 0.6)
        axes.set_xlim(left=min(0.0, float(np.nanmin(values["first_order"] - widths["first_order"]))))
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        if len(view.scenarios) > 1:
            axes.set_title(view.titles[scenario], color=INK)

    listed = ", ".join(
        f"{_name(view.inputs[g])} {percent(max(float(values['first_order'][k]), 0.0))} alone, "
        f"{percent(max(float(values['total'][k]), 0.0))} in all"
        for k, g in enumerate(order)
    )
    return draw(
        view.panel(f"effects-{view.scenarios.index(scenario)}"),
        f"Shares: {listed}.",
        paint,
        height=64 + 33 * len(order),
    )


def _interaction_figure(view: _View) -> Figure:
    """What pairs of inputs cause together only, as a matrix with numbers."""
    order = view.order()[:DRAWN]
    panels = tuple(_matrix(view, scenario, order) for scenario in view.scenarios)
    return Figure(
        panels, f"Share of the variance of {view.noun} at the last record that two inputs cause only together, in %."
    )


def _matrix(view: _View, scenario: str, order: np.ndarray) -> Panel:
    matrix = view.last("interaction", scenario)[np.ix_(order, order)]
    lower = np.where(np.tril(np.ones_like(matrix, bool), -1), matrix, np.nan)
    reach = max(float(np.nanmax(np.abs(lower), initial=0.0)), 0.01)

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.imshow(np.abs(lower), cmap="Greys", vmin=0.0, vmax=1.6 * reach)
        for i, j in zip(*np.nonzero(np.isfinite(lower)), strict=True):
            dark = abs(lower[i, j]) > 0.9 * reach
            axes.text(
                j,
                i,
                number(100.0 * float(lower[i, j]), 0.1),
                ha="center",
                va="center",
                size=10.5,
                color="white" if dark else INK,
            )
        names = [_name(view.inputs[g]) for g in order]
        axes.set_xticks(range(len(order) - 1), names[:-1], rotation=40, ha="right")
        axes.set_yticks(range(1, len(order)), names[1:])
        axes.set_xlim(-0.5, len(order) - 1.5)
        axes.set_ylim(len(order) - 0.5, 0.5)
        axes.spines[:].set_visible(False)
        if len(view.scenarios) > 1:
            axes.set_title(view.titles[scenario], color=INK)

    i, j = np.unravel_index(np.nanargmax(np.nan_to_num(lower, nan=-np.inf)), lower.shape)
    alt = f"Interactions; the largest is {_name(view.inputs[order[i]])} with {_name(view.inputs[order[j]])}, {number(100 * lower[i, j], 0.1)} %."
    return draw(view.panel(f"interaction-{view.scenarios.index(scenario)}"), alt, paint, height=330)


def _effects_table(view: _View) -> Table:
    rows = []
    for scenario in view.scenarios:
        for g in view.order():
            cells = [view.titles[scenario], _name(view.inputs[g])]
            for kind in ("first_order", "total", "shapley"):
                if not view.has(kind):
                    cells.append(MISSING)
                    continue
                value, width = (float(view.last(kind + end, scenario)[g]) for end in ("", "_half_width"))
                cells.append(f"{number(value, width / 2)} ± {number(width)}" if np.isfinite(value) else MISSING)
            rows.append(tuple(cells))
    header = ("scenario", "input", "alone", "in all", "Shapley effect")
    return Table(
        header,
        tuple(rows),
        "Shares of the variance at the last record, with half-widths of 95 % intervals.",
        folded=True,
    )


def _measure_section(view: _View) -> Section:
    """The ranked table that says whose error is worth lowering."""
    scenario = view.scenarios[0]
    removed, halved = (view.last(f"fall_if_{what}", scenario) for what in ("removed", "halved"))
    variance = float(view.last("variance", scenario))
    order = np.argsort(-np.nan_to_num(removed), kind="stable")
    best = order[0]
    lead = (
        f"Knowing {_name(view.inputs[best])} exactly would lower the variance of {view.noun} by "
        f"{percent(float(np.clip(removed[best] / variance, 0, 1)))} on average"
    )
    lead += (
        f"; halving its error by {percent(float(np.clip(halved[best] / variance, 0, 1)))}."
        if np.isfinite(halved[best])
        else "."
    )
    some = bool(np.isfinite(halved).any())
    rows = tuple(
        (
            _name(view.inputs[g]),
            *((_fall(float(halved[g]), variance),) if some else ()),
            _fall(float(removed[g]), variance),
            three_digits(float(max(variance - max(removed[g], 0.0), 0.0) ** 0.5)),
        )
        for g in order
    )
    halving = ("variance falls if its error is halved", "if it is removed")
    falls = halving if some else ("variance falls if its error is removed",)
    header = ("input", *falls, f"standard deviation then ({view.unit})")
    caption = f"What to measure next: expected effect on {view.noun} at the last record; the standard deviation is now {three_digits(variance**0.5)} {view.unit}."
    if len(view.scenarios) > 1:
        caption += f" Scenario: {view.titles[scenario]}."
    return Section(
        view.heading("What to measure next", "What to measure next for the regional total"),
        lead,
        figures=(_falls_figure(view, order[:DRAWN]),),
        tables=(Table(header, rows, caption),),
        notes=() if some else ("What halving an error would bring needs the surrogate, which was skipped.",),
    )


def _falls_figure(view: _View, order: np.ndarray) -> Figure:
    scenario, rows = view.scenarios[0], -np.arange(len(order), dtype=float)
    variance = float(view.last("variance", scenario))
    removed, halved = (
        np.clip(view.last(f"fall_if_{w}", scenario)[order] / variance, 0.0, 1.0) for w in ("removed", "halved")
    )

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.barh(rows, removed, height=0.62, color=tint(PALETTE[0], 0.3), linewidth=0)
        axes.barh(rows, np.nan_to_num(halved), height=0.3, color=PALETTE[0], linewidth=0)
        axes.set_yticks(rows, [_name(view.inputs[g]) for g in order])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-len(order) + 0.4, 0.6)
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel("fall of the variance", color=FAINT)

    listed = ", ".join(f"{_name(view.inputs[g])} {percent(float(removed[k]))}" for k, g in enumerate(order))
    panel = draw(
        view.panel("falls"),
        f"Expected fall of the variance if an error were removed: {listed}.",
        paint,
        height=64 + 33 * len(order),
    )
    legend = ((swatch("band", PALETTE[0]), "error halved"), (swatch("band", tint(PALETTE[0], 0.3)), "error removed"))
    legend = legend if np.isfinite(view.last("fall_if_halved", scenario)).any() else legend[1:]
    return Figure((panel,), f"Expected fall of the variance of {view.noun} at the last record.", legend)


def _fall(value: float, variance: float) -> str:
    return percent(float(np.clip(value / variance, 0.0, 1.0))) if np.isfinite(value) else MISSING


def _anova_section(data: xr.Dataset, main: str) -> Section:
    found = [str(name).removesuffix("_eta_squared") for name in data.data_vars if str(name).endswith("_eta_squared")]
    name = main if main in found else found[0]
    eta = data[f"{name}_eta_squared"].values
    order = np.argsort(-eta, kind="stable")
    terms = [str(term) for term in data["parameter"].values]
    rows = tuple(
        (
            _name(terms[k]),
            percent(float(eta[k])),
            number(float(data[f"{name}_f_clustered"].values[k])),
            f"{float(data[f'{name}_p_clustered'].values[k]):.2g}",
        )
        for k in order
    )
    coefficients = tuple(
        (str(label), number(float(value), float(error) / 2), number(float(error)))
        for label, value, error in zip(
            data["coefficient"].values,
            data[f"{name}_coefficient_value"].values,
            data[f"{name}_standard_error"].values,
            strict=True,
        )
    )
    lead = f"{_name(terms[order[0]])} explains {percent(float(eta[order[0]]))} of the variance; all terms together have an adjusted R2 of {float(data[f'{name}_adjusted_r2']):.2f}."
    notes = tuple(f"{note[:1].upper()}{note[1:]}." for note in np.atleast_1d(data.attrs.get("notes", [])))
    tables = (
        Table(("term", "eta squared", "F (clustered by run)", "p"), rows, "Type-II analysis of variance."),
        Table(
            ("coefficient", "value", "standard error"),
            coefficients,
            f"Coefficients against {', '.join(np.atleast_1d(data.attrs['references']))}.",
            folded=True,
        ),
    )
    return Section("What the factors explain", lead, tables=tables, notes=notes)


def _name(label: str) -> str:
    return label.replace("_", " ").replace(":", " × ")
