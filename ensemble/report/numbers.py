"""Numbers as people read them: as many digits as their error leaves standing, a true minus sign, units."""

from __future__ import annotations

import math
from textwrap import shorten

MISSING = "–"


def decimals(scale: float, significant: int | None = None) -> int:
    """Decimals that show an error (a standard deviation, a quarter of an interval).

    Args:
        scale: the error.
        significant: its significant digits; ``None`` for two where they start with 10 to 35, else one (the rule of
            the Particle Data Group, doi 10.1103/PhysRevD.110.030001, section 5.3 of the introduction).
    """
    if not math.isfinite(scale) or scale <= 0:
        return 1
    power = math.floor(math.log10(scale))
    if significant is None:
        significant = 2 if scale < 3.55 * 10**power else 1
    return max(0, min(8, significant - 1 - power))


def number(value: float, scale: float | None = None, significant: int | None = None) -> str:
    """A number with the decimals that its error deserves; without an error, two significant digits.

    A missing number is a dash.
    """
    if not math.isfinite(value):
        return MISSING
    places = decimals(abs(value), significant or 2) if scale is None else decimals(scale, significant)
    text = f"{value:,.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text.replace(",", "")) != 0 else text.replace("-", "")


def three_digits(value: float) -> str:
    """A number of three digits and no more, for a standard deviation: a total in tonnes is not known to seven."""
    return number(float(f"{value:.3g}"), significant=3)


def signed(value: float, scale: float | None = None) -> str:
    """A number with its sign spelt out; gains are +."""
    text = number(value, scale)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def interval(low: float, high: float, scale: float | None = None) -> str:
    """``low to high`` with the decimals of a scale, by default of a quarter of the width."""
    scale = (high - low) / 4.0 if scale is None else scale
    return f"{number(low, scale)}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{number(high, scale)}"


def percent(share: float, members: int | None = None) -> str:
    """A share as a percentage, never rounded to a certainty that it is not.

    Args:
        share: 0 to 1.
        members: how many it was counted over; none or all of them is then said in words.
    """
    if members is not None and share in (0, 1):
        return f"none of {count(members)} members" if share == 0 else f"all {count(members)} members"
    if not math.isfinite(share):
        return MISSING
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    value = 100.0 * share
    return f"{value:.1f} %" if 0 < share < 0.1 or 0.9 < share < 1 else f"{value:.0f} %"


def count(value: int) -> str:
    """A whole number with separators."""
    return f"{value:,}"


def fitted(text: str, letters: int) -> str:
    """A text that fits: cut at a word, with an ellipsis."""
    return text if len(text) <= letters else shorten(text, letters, placeholder=" …")


def plural(value: int, one: str, many: str | None = None) -> str:
    """A counted noun."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"
