"""The validation report: what a reviewer of a model expects, with a table of pass and fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble import __version__
from ensemble.report.content import Figure, Panel, Remark, ReportContent, Section, Table
from ensemble.report.drawing import FAINT, colour, draw
from ensemble.report.numbers import number, percent, plural, signed
from ensemble.report.page import render
from ensemble.validation.rules import GROUP, Check

NO_APPROVAL = (
    "This is no approval by any registry, standard or reviewer. It is a computation in the shape that VMD0053 asks for; "
    "an independent modelling expert and the validation body decide."
)
SECOND_HAND = (
    "Rules marked second hand were read in descriptions of VMD0053 v2.1, not in the document: grouping, bias against the pooled "
    "measurement uncertainty, 90 % coverage, domain, independence of sites. Opened and read: VM0042 v2.2 (same model and "
    "parameters, median duration)."
)


@dataclass(frozen=True)
class Validation:
    """Everything the report says.

    Args:
        title: of the study.
        rows: measurements with mean, low and high.
        groups: from :func:`~ensemble.validation.rules.group_table`.
        checks: every rule.
        facts: rows of two texts: model, version, calibration, seeds, digests.
        parameters: name, value, source of every parameter set.
        citations: of the data.
        unit: of the output.
    """

    title: str
    rows: pd.DataFrame
    groups: pd.DataFrame
    checks: Sequence[Check]
    facts: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, ...], ...]
    citations: tuple[str, ...]
    unit: str

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(check.passed for check in self.checks)


def validation_page(found: Validation) -> str:
    """The report."""
    failed = [check for check in found.checks if not check.passed]
    head = (
        "Every rule that was checked holds."
        if not failed
        else f"{plural(len(failed), 'rule')} of {len(found.checks)} do not hold."
    )
    subtitle = f"Validation of a model on {plural(len(found.rows), 'measurement')} in {plural(len(set(found.rows['experiment'])), 'experiment')}"
    sections = (_verdict(found), _bias(found), _residuals(found), _model(found))
    content = ReportContent(found.title, subtitle, head, (), sections, f"ensemble {__version__}. {NO_APPROVAL}")
    return render(content)


def _verdict(found: Validation) -> Section:
    rows = tuple((c.rule, c.about, c.found, "pass" if c.passed else "FAIL", c.known) for c in found.checks)
    table = Table(("rule", "about", "found", "verdict", "rule read"), rows, "Every rule.")
    remarks = (Remark("plain", NO_APPROVAL), Remark("plain", SECOND_HAND))
    return Section("Pass and fail", "What was asked, what was found.", remarks, tables=(table,))


def _bias(found: Validation) -> Section:
    rows = tuple(
        (", ".join(str(r[k]) for k in GROUP), str(r["n"]), str(r["experiments"]), signed(r["bias"]), number(r["pmu"]),
         number(r["pmu_n"]), number(r["mse"]), number(r["residual_sd"]), percent(r["inside"]), percent(r["inside_normal"]))
        for r in found.groups.to_dict("records")
    )  # fmt: skip
    header = (
        "group",
        "n",
        "experiments",
        "bias",
        "PMU, n − 1",
        "PMU, n",
        "MSE",
        "residual sd",
        "in 90 %",
        "in mean ± 1.64 sd",
    )
    by_group = Table(
        header,
        rows,
        f"By practice, crop group and source; {found.unit}. Bias is modelled less measured, mean over experiments.",
    )
    miss = (found.rows["mean"] - found.rows["value"]).to_numpy(float)
    names = found.rows["experiment"].to_numpy(str)
    by_name = {name: miss[names == name] for name in dict.fromkeys(names.tolist())}
    ranked = sorted(by_name.items(), key=lambda item: -abs(item[1].mean()))
    each = tuple((name, signed(float(part.mean())), str(len(part))) for name, part in ranked)
    experiments = Table(("experiment", "bias", "n"), each, "Bias of each experiment, the largest first.")
    note = "The two published weightings of the pooled measurement uncertainty disagree; the verdict uses n − 1."
    return Section(
        "Bias and measurement uncertainty",
        "Whether the model is off by more than the measurements can tell.",
        tables=(by_group, experiments),
        notes=(note,),
    )


def _residuals(found: Validation) -> Section:
    rows, unit = found.rows, found.unit
    mean, value = rows["mean"].to_numpy(float), rows["value"].to_numpy(float)
    low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)

    def against(figure: Drawing, axes: Axes) -> None:
        axes.errorbar(
            value, mean, yerr=[mean - low, high - mean], fmt="o", color=colour(0), markersize=4, elinewidth=0.8
        )
        ends = [min(value.min(), low.min()), max(value.max(), high.max())]
        axes.plot(ends, ends, color=FAINT, linewidth=1.0)
        axes.set_xlabel(f"measured, {unit}")
        axes.set_title("modelled with 90 % interval")

    def scatter(figure: Drawing, axes: Axes) -> None:
        axes.axhline(0.0, color=FAINT, linewidth=1.0)
        axes.plot(mean, mean - value, "o", color=colour(0), markersize=4)
        axes.set_xlabel(f"modelled, {unit}")
        axes.set_title("modelled less measured")

    def histogram(figure: Drawing, axes: Axes) -> None:
        axes.hist(mean - value, bins=min(15, max(5, len(mean) // 3)), color=colour(0))
        axes.axvline(0.0, color=FAINT, linewidth=1.0)
        axes.set_xlabel(f"modelled less measured, {unit}")
        axes.set_title("how many")

    what = f"{len(rows)} measurements, mean residual {float((mean - value).mean()):+.3g}, sd {float((mean - value).std()):.3g}"
    panels: tuple[Panel, ...] = tuple(
        draw(f"validation-{name}", f"{name}: {what}", paint)
        for name, paint in (("against", against), ("scatter", scatter), ("histogram", histogram))
    )
    caption = f"Measured and modelled {unit}; intervals are the 90 % predictive ones."
    return Section("Residuals", f"{what[:1].upper()}{what[1:]}.", figures=(Figure(panels, caption),))


def _model(found: Validation) -> Section:
    tables = (
        Table(("what", "which"), found.facts, "Model, calibration, seeds and digests."),
        Table(
            ("parameter", "value", "source"), found.parameters, "All parameter sets.", folded=len(found.parameters) > 16
        ),
    )
    cited = tuple(found.citations) or ("The table cites no source for its data (column citation).",)
    return Section("Model, parameters, data", "What was run, with what, against what.", tables=tables, notes=cited)
