"""What `correlation` says: a copula for the numbers drawn per member, and one for those drawn per site."""

from __future__ import annotations

from ensemble.config import StudyFile
from ensemble.inputs.copula import GaussianCopula, build_copula
from ensemble.plan.bind import did_you_mean
from ensemble.plan.scalars import ScalarDraw


def read_copulas(study: StudyFile, scalars: tuple[ScalarDraw, ...]) -> dict[str, GaussianCopula] | None:
    """Copulas by ``per`` (member or site); ``None`` where all numbers are independent.

    Raises:
        InputError: an entry names no uncertain number, or the correlations cannot all hold.
    """
    by_label = {scalar.label: scalar for scalar in scalars}
    pairs: dict[str, list[tuple[str, str, float, str]]] = {}
    for index, entry in enumerate(study.record.correlation):
        first, second = entry.between
        for name in entry.between:
            if name not in by_label:
                text = f"'{name}' is not a number under uncertain; {did_you_mean(name, by_label)}"
                raise study.error(("correlation", index, "between"), text)
        if first == second:
            raise study.error(("correlation", index, "between"), "an input cannot be correlated with itself")
        if by_label[first].per != by_label[second].per:
            text = f"{first} is per {by_label[first].per}, {second} per {by_label[second].per}; correlated inputs share `per`"
            raise study.error(("correlation", index), text)
        pairs.setdefault(by_label[first].per, []).append((first, second, entry.value, entry.kind))
    copulas = {}
    for per, entries in pairs.items():
        members = {s.label: s.distribution for s in scalars if s.per == per and s.distribution is not None}
        try:
            copulas[per] = build_copula(members, entries)
        except ValueError as error:
            raise study.error(("correlation",), str(error)) from None
    return copulas or None
