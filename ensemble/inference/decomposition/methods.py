"""The two methods on one sample: pick-freeze rows, and a cross-fitted surrogate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.design.pick_freeze import PickFreezeDesign, crossed_pairs, group_of
from ensemble.inference.decomposition.basis import Family
from ensemble.inference.decomposition.control import controlled, polynomial_effects
from ensemble.inference.decomposition.dependence import ConditionalMeans, degree_caps
from ensemble.inference.decomposition.effects import Effects, effects
from ensemble.inference.decomposition.moments import COLUMNS, Layout, collect, layout_of, stack
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


def latent_correlation(design: PickFreezeDesign) -> np.ndarray:
    """Correlation (d, d) of the inputs' normal scores."""
    return np.eye(len(design.inputs)) if design.correlation is None else np.array(design.correlation)


@dataclass(frozen=True)
class RowEstimates:
    """What the rows say.

    Args:
        effects: parts of the variance; leading axis: all scrambles, then one left out each.
        unexplained: (columns,) squared error of the held-out surrogate over the variance; zeros without one.
    """

    effects: Effects
    unexplained: np.ndarray


def pick_freeze_estimates(sample: Sample, fit: CrossFit | None) -> RowEstimates:
    """Parts of the variance from the rows.

    With a surrogate, the prediction by the fit that has not seen a scramble is the control variate there;
    not where correlation crosses groups, because the blocks then share parts of inputs.
    """
    design, layout, count = sample.design, sample.layout, sample.design.replicates
    cube = sample.outputs.reshape(design.rows, len(design.blocks), -1)
    shift = _near_mean(cube[::count], sample.usable[::count])
    parts, squares = [], np.zeros(cube.shape[2])
    for scramble in range(count):
        y, usable = cube[scramble::count], sample.usable[scramble::count]
        sums = collect(y, usable, layout, shift)
        if fit is not None:
            basis, coefficients = fit.without(scramble)
            predicted = (basis.columns(_uniforms(design, scramble)).T @ coefficients).reshape(y.shape)
            squares += (np.where(usable[:, None], y - predicted, 0.0) ** 2).sum((0, 1))
            if not layout.dependent:
                own = collect(predicted, usable, layout, shift)
                sums = controlled(sums, own, basis, coefficients, design.kept, layout, shift)
        parts.append(sums)
    moments = stack(parts)
    ways = effects(moments.pooled(), layout), effects(moments.without_each(), layout)
    known = varying(sample)
    joined = [np.where(known, np.concatenate([a[None], b]), np.nan) for a, b in zip(*ways, strict=True)]
    variance = np.where(known, joined[0][0], 1.0) * len(design.blocks) * sample.usable.sum(0)
    return RowEstimates(Effects(*joined), squares / variance)


def _near_mean(y: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Mean of some rows (rows, blocks, columns), to subtract before squaring."""
    count = np.maximum(usable.sum(0), 1) * y.shape[1]
    return np.where(usable[:, None], y, 0.0).sum((0, 1), dtype=np.float64) / count


def _uniforms(design: PickFreezeDesign, scramble: int) -> np.ndarray:
    """Independent probabilities (members, inputs) of the rows of one scramble."""
    blocks = len(design.blocks)
    rows = np.arange(scramble, design.rows, design.replicates)
    return design.uniforms(design.inputs, (rows[:, None] * blocks + np.arange(blocks)).ravel())


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
