"""The page: one HTML file with everything in it, no script, nothing loaded from anywhere."""

from __future__ import annotations

import re
from html import escape as _escape

from ensemble.report.content import Answer, Figure, Remark, ReportContent, Section, Table
from ensemble.report.css import STYLE

_SIGNS = {"good": "Holds.", "bad": "Attention.", "plain": ""}
# A cell that starts like a number is set to the right.
_NUMERIC = re.compile(r"^[<>±+−-]?\s?\d|^–$")
_LONG = 24
# A number stays on one line with its percent sign or unit.
_UNIT = re.compile(r"(?<=\d) (?=%|[A-Za-zµ]+ C/ha|[a-z]+ CO2|[Mk]?t C\b)|(?<=\bt) (?=C\b|CO2)|(?<=\b[Mk]t) (?=C\b)")


def escape(text: str) -> str:
    """Plain text as HTML."""
    return _escape(_UNIT.sub("\N{NO-BREAK SPACE}", text))


def render(content: ReportContent) -> str:
    """The page as text, the same for the same content."""
    names = _anchors(content.sections)
    links = "".join(
        f'<li><a href="#{a}">{escape(s.title)}</a></li>' for a, s in zip(names, content.sections, strict=True)
    )
    answers = "".join(_answer(a) for a in content.answers)
    sections = "\n".join(_section(name, part) for name, part in zip(names, content.sections, strict=True))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(content.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(content.title)}</h1>
<p class="subtitle">{escape(content.subtitle)}</p>
<p class="headline">{escape(content.headline)}</p>
{f'<ul class="answers">{answers}</ul>' if answers else ""}
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{sections}
</main>
<footer>{escape(content.footer)}</footer>
</body>
</html>
"""


def _anchors(sections: tuple[Section, ...]) -> list[str]:
    found: list[str] = []
    for place, section in enumerate(sections):
        name = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        found.append(name if name not in found else f"{name}-{place}")
    return found


def _answer(answer: Answer) -> str:
    lines = "".join(f'<span class="detail">{escape(line)}</span>' for line in answer.details)
    label = f'<div class="label">{escape(answer.label)}</div>' if answer.label else ""
    return f'<li style="border-top-color:{answer.shade}">{label}<div class="value">{escape(answer.value)}</div>{lines}</li>'


def _section(name: str, section: Section) -> str:
    parts = [f'<section id="{name}" aria-labelledby="{name}-h">', f'<h2 id="{name}-h">{escape(section.title)}</h2>']
    parts.append(f'<p class="lead">{escape(section.lead)}</p>')
    if section.remarks:
        parts.append(f'<div class="remarks">{"".join(_remark(remark) for remark in section.remarks)}</div>')
    parts += [_figure(figure) for figure in section.figures]
    parts += [_table(table) for table in section.tables]
    if section.code:
        parts.append(f"<pre><code>{escape(chr(10).join(section.code))}</code></pre>")
    if section.notes:
        parts.append(f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in section.notes)}</ul>')
    return "\n".join([*parts, "</section>"])


def _remark(remark: Remark) -> str:
    sign = f"<b>{_SIGNS[remark.kind]}</b>" if _SIGNS[remark.kind] else ""
    return f'<p class="remark {remark.kind}">{sign}{escape(remark.text)}</p>'


def _figure(figure: Figure) -> str:
    kind = "wide" if figure.wide else {1: "one", 2: "two"}.get(len(figure.panels), "")
    drawings = "".join(f"<div>{panel.svg}</div>" for panel in figure.panels)
    legend = "".join(f"<li>{sign}{escape(text)}</li>" for sign, text in figure.legend)
    legend = f'<ul class="legend">{legend}</ul>' if legend else ""
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>"
    return f'<figure>{legend}<div class="panels {kind}">{drawings}</div>{caption}</figure>'


def _table(table: Table) -> str:
    right = [_is_numeric([row[column] for row in table.rows]) for column in range(len(table.header))]
    head = "".join(
        f'<th scope="col" role="columnheader"{_class(numeric, "")}>{escape(text)}</th>'
        for numeric, text in zip(right, table.header, strict=True)
    )
    body = "".join(f'<tr role="row">{_cells(row, right, table.header)}</tr>' for row in table.rows)
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption and not table.folded else ""
    stack = "stack" if len(table.header) > 2 else "pairs"
    text = (
        f'<div class="table"><table role="table" class="{stack}">{caption}'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>'
    )
    return f"<details><summary>{escape(table.caption)}</summary>{text}</details>" if table.folded else text


def _cells(row: tuple[str, ...], right: list[bool], header: tuple[str, ...]) -> str:
    cells = [f'<th scope="row" role="rowheader"{_class(False, row[0])}>{escape(row[0])}</th>']
    for text, numeric, label in zip(row[1:], right[1:], header[1:], strict=True):
        cells.append(f'<td role="cell" data-label="{escape(label)}"{_class(numeric, text)}>{escape(text)}</td>')
    return "".join(cells)


def _class(numeric: bool, text: str) -> str:
    if numeric:
        return ' class="n"'
    return ' class="long"' if len(text) > _LONG else ""


def _is_numeric(cells: list[str]) -> bool:
    return bool(cells) and all(_NUMERIC.match(cell) and len(cell) <= _LONG for cell in cells)
