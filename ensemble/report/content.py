"""What a report holds. Plain records: a stage builds sections, the page only lays them out.

All text is plain text; the page escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Args:
        svg: an ``<svg>`` element, from :func:`ensemble.report.drawing.draw`.
        alt: what it shows, in words and numbers, for those who cannot see it.
    """

    svg: str
    alt: str


@dataclass(frozen=True)
class Figure:
    """Panels that share a caption, side by side where there is room.

    Args:
        panels: the drawings.
        caption: level of every interval, unit, number of members, source.
        legend: (swatch as ``<svg>``, text) of each mark that is not labelled in the panels.
        wide: panels may be as wide as the page.
    """

    panels: tuple[Panel, ...]
    caption: str
    legend: tuple[tuple[str, str], ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row.

    Args:
        header: one text a column.
        rows: as many texts each.
        caption: what the numbers are, with unit and level; may be empty where the header says it.
        folded: closed until the reader opens it, for long lists.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    folded: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row of '{self.caption}' has {len(row)} cells; the header has {len(self.header)}")


@dataclass(frozen=True)
class Answer:
    """One number that the study was made for.

    Args:
        label: what it is of.
        value: the number with its unit.
        details: interval with level, and what else belongs to it.
        shade: colour that it has in the figures.
    """

    label: str
    value: str
    details: tuple[str, ...]
    shade: str = "#0a4f86"


@dataclass(frozen=True)
class Remark:
    """A sentence that must not be overlooked."""

    kind: Literal["good", "bad", "plain"]
    text: str


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        title: heading.
        lead: the sentence that says what the section found.
        remarks: findings that must stand out.
        figures, tables: in order; figures come first.
        notes: sentences in small print.
        code: commands, shown as they are typed.
        answer: the lead answers the study, so the report begins with it.
    """

    title: str
    lead: str
    remarks: tuple[Remark, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    answer: bool = False


@dataclass(frozen=True)
class ReportContent:
    """A whole report.

    Args:
        title: title of the study.
        subtitle: what was computed, in one line.
        headline: the answer in one sentence.
        answers: the numbers behind the headline, one a scenario.
        sections: in order.
        footer: program, version, date-free provenance in one line.
        sentences: the headline and whatever else answers the study, for the end of a run.
    """

    title: str
    subtitle: str
    headline: str
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]
    footer: str = ""
    sentences: tuple[str, ...] = ()
