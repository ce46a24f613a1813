"""How everything is drawn: colours, type, and Matplotlib figures as small inline SVG.

One unit of a drawing is one CSS pixel at its natural width, so that type of 12 units reads as 12 pixels on a
phone and on a desk. Nothing here changes Matplotlib's global state.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ensemble.report.content import Panel

# Okabe & Ito's colours (jfly.uni-koeln.de/color), told apart by all common kinds of colour vision.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#a6558a", "#8a6d00", "#3b8fc2", "#555555")
INK, FAINT, GRID = "#1c2430", "#5b6472", "#e3e6ea"
WIDTH, HEIGHT = 372, 292  # natural size of a panel, in CSS pixels
TITLE = 42  # letters of a title that fit over a panel
_UNITS_PER_INCH = 72

_RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ensemble",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": "#9aa3ad",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "xtick.major.size": 3.5,
    "ytick.major.size": 0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "hatch.color": "#ffffff",
    "figure.constrained_layout.use": True,
}


def colour(index: int) -> str:
    """Colour of a scenario, the same on the whole page."""
    return PALETTE[index % len(PALETTE)]


def tint(shade: str, share: float) -> str:
    """A colour mixed with white; ``share`` is what remains of it, 0 to 1."""
    red, green, blue = (1.0 - share * (1.0 - part) for part in to_rgb(shade))
    return to_hex((red, green, blue))


def time_axis(axes: Axes, years: np.ndarray, label: str, margin: float = 0.02) -> None:
    """Limits and round ticks of an axis of decimal years; ``margin`` is a part of its length."""
    first, last = float(years[0]), float(years[-1])
    room = margin * (last - first) if last > first else 0.5
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlabel(label)


def draw(
    name: str, alt: str, paint: Callable[[Figure, Axes], None], width: float = WIDTH, height: float = HEIGHT
) -> Panel:
    """A panel with one pair of axes.

    Args:
        name: unique on the page; letters, digits and hyphens.
        alt: text alternative.
        paint: draws into the figure and its axes.
        width, height: natural size in CSS pixels.
    """
    with style.context(["default", _RC]):
        figure = Figure(figsize=(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH), facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
        paint(figure, axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Panel(_inline(buffer.getvalue(), name, alt, width), alt)


def _inline(svg: str, name: str, alt: str, width: float) -> str:
    """The ``<svg>`` element alone: unique ids, coordinates with one decimal, the page's type, a text alternative."""
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="([^"]*)"', body)
    assert view is not None
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\1{name}-", body)
    body = re.sub(r"<[^>]*>", lambda tag: _short_numbers(tag[0]), body)
    body = re.sub(r"font: ([^;\"]*?)(\d+(?:\.\d+)?)px [^;\"]*", r"font: \1\2px var(--type)", body)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    title = f"<title>{escape(alt)}</title>"
    shape = f'viewBox="{view[1]}" style="max-width:{1.3 * width:.0f}px" role="img" aria-label="{escape(alt)}"'
    return f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {shape}>{title}{body}</svg>'


def _short_numbers(tag: str) -> str:
    """Coordinates with one decimal; what stands between tags is text, and stays as it is."""
    return re.sub(r"-?\d+\.\d{2,}", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), tag)


def swatch(kind: str, shade: str) -> str:
    """A small sign for a legend: ``band``, ``outline``, ``line``, ``point``, ``outside`` or ``limit``."""
    marks = {
        "band": f'<rect x="1" y="2" width="22" height="10" fill="{shade}"/>',
        "outline": f'<path d="M1 3H23M1 11H23" stroke="{shade}" stroke-width="1.3" stroke-dasharray="4 2.4"/>',
        "line": f'<path d="M1 7H23" stroke="{shade}" stroke-width="2.2"/>',
        "point": f'<path d="M12 1V13" stroke="{shade}"/><circle cx="12" cy="7" r="3.4" fill="{shade}"/>',
        "outside": f'<path d="M12 1V13" stroke="{shade}"/>'
        f'<path d="M12 2.4L16.6 7L12 11.6L7.4 7Z" fill="#fff" stroke="{shade}" stroke-width="1.8"/>',
        "limit": f'<path d="M7.6 3H16.4L12 11.4Z" fill="#fff" stroke="{shade}" stroke-width="1.4"/>',
    }
    return f'<svg class="swatch" viewBox="0 0 24 14" aria-hidden="true">{marks[kind]}</svg>'
