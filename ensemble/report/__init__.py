"""The report: figures, tables and one self-contained page. Imports no JAX and changes no global state.

Each stage builds :class:`Section` records; :func:`render` lays them out.
"""

from ensemble.report.content import Answer, Figure, Panel, Remark, ReportContent, Section, Table
from ensemble.report.decomposition import decomposition_sections
from ensemble.report.drawing import draw, swatch
from ensemble.report.page import render
from ensemble.report.results import Results, Tornado
from ensemble.report.spine import run_report

__all__ = [
    "Answer",
    "Figure",
    "Panel",
    "Remark",
    "ReportContent",
    "Results",
    "Section",
    "Table",
    "Tornado",
    "decomposition_sections",
    "draw",
    "render",
    "run_report",
    "swatch",
]
