"""Page and figure of a simulation-based calibration: ranks of the truth against what they should be."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ensemble.report.content import Figure, Panel, Remark, ReportContent, Section, Table
from ensemble.report.drawing import FAINT, colour, draw, swatch, tint
from ensemble.report.page import render


def rank_panel(
    name: str, title: str, found: np.ndarray, grid: np.ndarray, low: np.ndarray, high: np.ndarray, outside: np.ndarray
) -> Panel:
    """ECDFs of ranks less the diagonal, all quantities in one panel, with their simultaneous band.

    Args:
        name: unique on the page.
        title: over the panel.
        found: (points, quantities).
        grid, low, high: diagonal and band, (points,).
        outside: quantities that leave the band, (quantities,) of bool.
    """

    def paint(figure: Drawing, axes: Axes) -> None:
        axes.fill_between(grid, low - grid, high - grid, color=tint(FAINT, 0.3), linewidth=0)
        for column, wrong in zip(found.T, outside, strict=True):
            axes.plot(grid, column - grid, color=colour(1 if wrong else 0), linewidth=1.2 if wrong else 0.8)
        axes.set_title(title)
        axes.set_xlabel("rank of the truth, as a share")
        axes.set_ylabel("ECDF less the diagonal")

    alt = f"{title}: {int(outside.sum())} of {len(outside)} quantities leave the band"
    return draw(name, alt, paint)


def rank_page(
    title: str,
    names: tuple[str, ...],
    departures: np.ndarray,
    count: int,
    draws: int,
    level: float,
    panel: Panel,
) -> tuple[str, tuple[str, ...]]:
    """The page, and what it says, one sentence a line; the first one is the verdict.

    Args:
        title: of the study.
        names: test quantities.
        departures: largest departure of each, as a multiple of the band, (quantities,).
        count, draws: data sets, and draws of each posterior.
        level: of the simultaneous band.
        panel: from :func:`rank_panel`.
    """
    wrong = [name for name, size in zip(names, departures, strict=True) if size > 1.0]
    verdict = f"The ranks of all {len(names)} quantities are uniform within the simultaneous {100 * level:g} % band."
    if wrong:
        verdict = f"The ranks of {', '.join(wrong)} are not uniform: the calibration of this study is wrong somewhere."
    lead = f"{count} data sets were simulated from the prior and fitted, {draws} nearly independent draws each."
    rows = tuple((name, f"{size:.2f}") for name, size in zip(names, departures, strict=True))
    caption = "Largest departure of the ECDF of the ranks from the diagonal; 1 is the edge of the band."
    legend = (
        (swatch("band", tint(FAINT, 0.3)), f"{100 * level:g} % band, simultaneous over points and quantities"),
        (swatch("line", colour(0)), "a quantity inside"), (swatch("line", colour(1)), "a quantity outside"),
    )  # fmt: skip
    section = Section(
        "Does the calibration find what it should?",
        lead,
        (Remark("bad" if wrong else "good", verdict),),
        (Figure((panel,), "Simulation-based calibration.", legend),),
        (Table(("quantity", "departure / band"), rows, caption),),
    )
    content = ReportContent(title, "Simulation-based calibration", verdict, (), (section,))
    return render(content), (verdict, lead)
