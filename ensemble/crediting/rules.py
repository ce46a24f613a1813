"""The rules of standards, each a small named and versioned record that says where it comes from.

A rule here is arithmetic that a standard describes, applied to an ensemble. It is no approval by any registry:
validation bodies and registries decide what is eligible, and texts change. ``text_read`` says whether the
standard's own text was read when the rule was written or only another's account of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Statistic = Literal["one_sided_quantile", "half_width_above_threshold", "half_width"]

NOT_AN_APPROVAL = (
    "These figures follow the arithmetic of the rule; they are no registry approval. "
    "A validation and verification body and the registry decide what is credited."
)


@dataclass(frozen=True)
class Rule:
    """One way to state or deduct uncertainty.

    Args:
        name: key in a study, name and version of the standard.
        title: for tables.
        statistic: ``one_sided_quantile`` deducts down to a quantile of the estimate; ``half_width`` states
            half an interval relative to the mean and deducts nothing; ``half_width_above_threshold`` deducts
            what that exceeds a threshold by.
        probability: one-sided probability of the quantile, or coverage of the interval.
        threshold: relative half-width that is free of deduction.
        source: document, version, section or equations.
        text_read: the document itself was read.
        note: what a reader of a result must know.
    """

    name: str
    title: str
    statistic: Statistic
    probability: float
    source: str
    text_read: bool
    threshold: float = 0.0
    note: str = ""


RULES = (
    Rule(
        "vm0042-2.2",
        "VM0042 v2.2, probability of exceedance",
        "one_sided_quantile",
        2 / 3,
        "Verra VM0042 v2.2 (21 October 2025), s. 8.6, Eqs 60-74, and Eqs 37-45 for its use",
        True,
        note="The text says 66.7 % and 66.6 %, and 0.4307 at large samples, which is the normal quantile of 2/3.",
    ),
    Rule(
        "gold-standard-402-1.0",
        "Gold Standard 402 v1.0",
        "half_width_above_threshold",
        0.90,
        "Gold Standard Soil Organic Carbon Framework Methodology 402 v1.0 (January 2020)",
        False,
        threshold=0.20,
        note=(
            "Read only in a page-cited transcription. The rule runs a model once at all lower and once at all upper 90 % "
            "limits; such a pair need not bracket the change. A 90 % half-width of an ensemble in its place is our reading."
        ),
    ),
    Rule(
        "ipcc-2019",
        "IPCC uncertainty, 95 % interval",
        "half_width",
        0.95,
        "2006 IPCC Guidelines and 2019 Refinement, vol. 1 ch. 3, approaches 1 and 2",
        False,
        note="Half the 95 % interval over the mean, in percent; read in secondary sources. States uncertainty, deducts nothing.",
    ),
    Rule(
        "fao-gsocseq-1",
        "FAO GSOCseq half-width, 95 % interval",
        "half_width",
        0.95,
        "FAO GSOCseq technical manual, chapters 12 and 13",
        True,
        note="100 (UL - LL) / (2 mean). Eq. 12.6 prints a minus where a sum of squares is meant.",
    ),
)


def rule_named(name: str) -> Rule:
    """The rule of that name.

    Raises:
        ValueError: no such rule; the names are listed.
    """
    for rule in RULES:
        if rule.name == name:
            return rule
    raise ValueError(f"no rule is called '{name}'; allowed: {', '.join(rule.name for rule in RULES)}")
