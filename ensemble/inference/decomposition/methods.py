"""The two methods on one sample: pick-freeze rows, and a cross-fitted surrogate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.design.pick_freeze import PickFreezeDesign, crossed_pairs, group_of
from ensemble.inference.decomposition.basis import Family
from ensemble.inference.decomposition.control import controlled, polynomial_effects
from ensemble.inference.decomposition.dependence import ConditionalMeans, degree_caps
from ensemble.inference.decomposition.effects import Effects, effects
from ensemble.inference.decomposition.moments import COLUMNS, Layout, collect, layout_of
from ensemble.inference.decomposition.surrogate import CrossFit, choose_bases, cross_fit, folds_of

# Spread of an output, relative to its size and in units of its precision, that is rounding and not variance.
ROUNDING = 64.0


@dataclass(frozen=True)
class Sample:
    """Outputs of the members of a design, and what the columns are.

    Args:
        design: the pick-freeze design.
        outputs: (members, columns) row by row; a failed member is not finite.
        usable: (rows, columns) rows without a failed member.
        layout: roles of the blocks of a row.
    """

    design: PickFreezeDesign
    outputs: np.ndarray
    usable: np.ndarray
    layout: Layout

    @property
    def scramble(self) -> np.ndarray:
        """Scramble of every member."""
        return self.design.replicate(np.arange(self.design.members))

    @property
    def complete(self) -> np.ndarray:
        """Members of rows that are usable in all columns."""
        return np.repeat(self.usable.all(1), len(self.design.blocks))

    def uniforms(self) -> np.ndarray:
        """Independent probabilities of all members, (members, inputs)."""
        return self.design.uniforms(self.design.inputs, np.arange(self.design.members))


def make_sample(design: PickFreezeDesign, outputs: np.ndarray, usable: np.ndarray) -> Sample:
    """A sample of a design; see :class:`Sample`.

    Raises:
        ValueError: no output varies.
    """
    sample = Sample(design, outputs, usable, layout_of(design.blocks, bool(crossed_pairs(design))))
    if not varying(sample).any():
        raise ValueError("no output varies between the members, so shares of its variance are 0/0")
    return sample


def varying(sample: Sample) -> np.ndarray:
    """Columns (columns,) whose values differ by more than rounding."""
    if not sample.complete.any():
        return np.ones(sample.outputs.shape[1], bool)
    found = []
    for start in range(0, sample.outputs.shape[1], COLUMNS):
        y = sample.outputs[sample.complete, start : start + COLUMNS]
        precision = np.finfo(y.dtype).eps if np.issubdtype(y.dtype, np.floating) else 0.0
        found.append(np.ptp(y, axis=0) > ROUNDING * precision * np.abs(y).max(0))
    return np.concatenate(found)


def fit_surrogate(sample: Sample, families: tuple[Family, ...]) -> CrossFit:
    """The cross-fitted surrogate of all columns, from the members of complete rows."""
    rows, u, fold = np.flatnonzero(sample.complete), sample.uniforms(), folds_of(sample.scramble)
    caps = degree_caps(latent_correlation(sample.design))
    bases = choose_bases(u, sample.outputs, fold, families, caps, rows)
    return cross_fit(bases, u, sample.outputs, fold, rows)


def unexplained(sample: Sample, fit: CrossFit) -> np.ndarray:
    """Held-out squared error over the variance, (columns,); 0 where a column does not vary."""
    rows, u = sample.complete, sample.uniforms()[sample.complete]
    found = []
    for start in range(0, sample.outputs.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        y = sample.outputs[rows, columns].astype(np.float64)
        part = CrossFit(fit.bases, tuple(c[:, columns] for c in fit.coefficients), fit.fold[rows])
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(((y - part.held_out(u)) ** 2).mean(0) / y.var(0))
    return np.where(varying(sample), np.concatenate(found), 0.0)


def latent_correlation(design: PickFreezeDesign) -> np.ndarray:
    """Correlation (d, d) of the inputs' normal scores."""
    return np.eye(len(design.inputs)) if design.correlation is None else np.array(design.correlation)


def pick_freeze_effects(sample: Sample, fit: CrossFit | None) -> Effects:
    """Parts of the variance from the rows; leading axis: all scrambles, then one left out each.

    With a surrogate, its held-out prediction is the control variate; not where correlation crosses groups,
    because the blocks then share parts of inputs.
    """
    use = fit is not None and not sample.layout.dependent
    u = sample.uniforms() if use else np.empty((0, 0))
    scramble = sample.scramble[:: len(sample.design.blocks)]
    parts = []
    for start in range(0, sample.outputs.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        y, usable = sample.outputs[:, columns], sample.usable[:, columns]
        shift = y[sample.complete].mean(0, dtype=np.float64) if sample.complete.any() else np.zeros(y.shape[1])
        sums = collect(y, usable, scramble, sample.layout, shift)
        if use and fit is not None:
            part = CrossFit(fit.bases, tuple(c[:, columns] for c in fit.coefficients), fit.fold)
            own = collect(part.held_out(u), usable, scramble, sample.layout, shift)
            sums = controlled(sums, own, part, sample.design.kept, sample.layout, shift)
        ways = effects(sums.pooled(), sample.layout), effects(sums.without_each(), sample.layout)
        parts.append([np.concatenate([a[None], b]) for a, b in zip(*ways, strict=True)])
    joined = Effects(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))
    known = varying(sample)
    return Effects(*(np.where(known, part, np.nan) for part in joined))


def surrogate_effects(sample: Sample, fit: CrossFit, variance: np.ndarray) -> Effects:
    """Parts of the variance from the surrogate; leading axis: all members, then one fold left out each.

    NaN where the surrogate cannot know: groups with a series, which it leaves out, and then all totals,
    which would need interactions with the series.

    Args:
        sample: the sample.
        fit: the surrogate.
        variance: (columns,) from the rows; it is the variance where there are series.
    """
    design = sample.design
    groups = input_groups(design)
    member = np.array([[j in group for j in range(len(design.inputs))] for group in groups])
    closed = bool(sample.layout.alone) and not sample.layout.dependent
    found = [
        _dependent_effects(ConditionalMeans(basis, coefficients, latent_correlation(design)), groups)
        if sample.layout.dependent
        else polynomial_effects(basis, coefficients, member, closed)
        for basis, coefficients in zip(fit.bases, fit.coefficients, strict=True)
    ]
    result = Effects(*(np.stack(part) for part in zip(*found, strict=True)))
    result = Effects(*(np.where(np.isnan(variance), np.nan, part) for part in result))
    if not design.series:
        return result
    noisy = np.isin(np.arange(len(design.groups)), noisy_groups(design))
    first, closed_pairs = result.first.copy(), result.closed.copy()
    first[:, noisy] = np.nan
    pairs = np.column_stack(np.triu_indices(len(noisy), 1))
    if closed_pairs.shape[1]:
        closed_pairs[:, noisy[pairs].any(1)] = np.nan
    return Effects(np.broadcast_to(variance, result.variance.shape), first, np.full_like(first, np.nan), closed_pairs)


def noisy_groups(design: PickFreezeDesign) -> list[int]:
    """Positions of the groups that hold a series."""
    return [g for g, (_, members) in enumerate(design.groups) if any(name in design.series for name in members)]


def input_groups(design: PickFreezeDesign) -> list[list[int]]:
    """Input positions of every group; a group of series alone has none."""
    owner = [group_of(design.groups, name) for name in design.inputs]
    return [[j for j, g in enumerate(owner) if g == k] for k in range(len(design.groups))]


def _dependent_effects(means: ConditionalMeans, groups: list[list[int]]) -> Effects:
    """Kucherenko's first and total effects of a polynomial, exact."""
    squares = means.coefficients**2
    constant = (means.terms == 0).all(1)
    variance = squares[~constant].sum(0)

    def given(inputs: list[int]) -> np.ndarray:
        return (means.given(inputs)[~constant] ** 2).sum(0)

    first = np.stack([given(group) for group in groups])
    others = [[j for other in groups if other is not group for j in other] for group in groups]
    total = variance - np.stack([given(other) for other in others])
    return Effects(variance, first, total, np.empty((0, len(variance))))
