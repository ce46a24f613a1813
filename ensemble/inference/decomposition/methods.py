"""The two methods on one sample: pick-freeze rows, and a cross-fitted surrogate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ensemble.design.pick_freeze import PickFreezeDesign, group_of
from ensemble.inference.decomposition.basis import Family
from ensemble.inference.decomposition.control import controlled, polynomial_effects
from ensemble.inference.decomposition.dependence import ConditionalMeans, degree_caps
from ensemble.inference.decomposition.effects import Effects, effects
from ensemble.inference.decomposition.moments import Moments, collect
from ensemble.inference.decomposition.sample import Sample, blocks_of, member_points
from ensemble.inference.decomposition.surrogate import CHOOSING, FITTING, CrossFit, choose_bases, cross_fit, folds_of


def fit_surrogate(sample: Sample, families: tuple[Family, ...]) -> CrossFit:
    """The cross-fitted surrogate of all columns, from the members of complete rows."""
    caps = degree_caps(latent_correlation(sample.design))
    u, y, fold = (np.concatenate(part) for part in zip(*_points(sample, CHOOSING), strict=True))
    return cross_fit(choose_bases(u, y, fold, families, caps), _points(sample, FITTING))


def _points(sample: Sample, limit: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Probabilities, outputs and folds of the first complete members, at most ``limit``, block by block."""
    design = sample.design
    for rows, y in blocks_of(design, sample.outputs):
        kept = np.repeat(sample.complete[rows], len(design.blocks))
        members = np.flatnonzero(kept)[:limit]
        limit -= len(members)
        if len(members):
            u, scramble = member_points(design, rows)
            yield u[members], y.reshape(len(u), -1)[members], folds_of(scramble[members])
        if limit <= 0:
            return


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
    design, layout = sample.design, sample.layout
    moments, squares = None, np.zeros(len(sample.places))
    for rows, y in blocks_of(design, sample.outputs):
        usable = sample.usable[rows][:, sample.places]
        sums = collect(y, usable, layout, sample.mean, design.replicates)
        if fit is not None:
            predicted = _held_out(fit, design, rows).reshape(y.shape)
            squares += (np.where(usable[:, None], y - predicted, 0.0) ** 2).sum((0, 1))
            if not layout.dependent:
                own = collect(predicted, usable, layout, sample.mean, design.replicates)
                sums = Moments(sums.count, sums.total - own.total, sums.product - own.product)
        moments = sums if moments is None else moments.plus(sums)
    assert moments is not None
    if fit is not None and not layout.dependent:
        moments = _with_expectations(moments, sample, fit)
    ways = effects(moments.pooled(), layout), effects(moments.without_each(), layout)
    known = sample.varying
    joined = [np.where(known, np.concatenate([a[None], b]), np.nan) for a, b in zip(*ways, strict=True)]
    variance = np.where(known, joined[0][0], 1.0) * len(design.blocks) * moments.count.sum(0)
    return RowEstimates(Effects(*joined), squares / variance)


def _held_out(fit: CrossFit, design: PickFreezeDesign, rows: slice) -> np.ndarray:
    """Prediction (members, columns) of the members of some rows by the surrogate that has not seen them."""
    u, scramble = member_points(design, rows)
    fold = folds_of(scramble)
    predicted = np.empty((len(u), fit.coefficients[0].shape[1]))
    for k in np.unique(fold):
        basis, coefficients = fit.without(int(k))
        predicted[fold == k] = basis.columns(u[fold == k]).T @ coefficients
    return predicted


def _with_expectations(residual: Moments, sample: Sample, fit: CrossFit) -> Moments:
    """Sums of the residuals of every scramble, with what the surrogate's own sums are expected to be."""
    parts = [
        controlled(one, *fit.without(scramble), sample.design.kept, sample.layout, sample.mean)
        for scramble, one in enumerate(Moments(*parts) for parts in zip(*residual, strict=True))
    ]
    return Moments(*(np.stack(part) for part in zip(*parts, strict=True)))


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
