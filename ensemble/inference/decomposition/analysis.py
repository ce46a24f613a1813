"""The decomposition of one sample: pick-freeze rows, surrogate, and which of the two to believe."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ensemble.design.pick_freeze import PickFreezeDesign
from ensemble.inference.decomposition.basis import Family
from ensemble.inference.decomposition.dependence import ConditionalMeans
from ensemble.inference.decomposition.effects import Effects
from ensemble.inference.decomposition.information import expected_falls
from ensemble.inference.decomposition.intervals import SHOWN_ROWS, Estimate, disagreement
from ensemble.inference.decomposition.methods import (
    fit_surrogate,
    input_groups,
    latent_correlation,
    noisy_groups,
    pick_freeze_estimates,
    surrogate_effects,
)
from ensemble.inference.decomposition.sample import MAX_FAILED, Outputs, Sample, make_sample
from ensemble.inference.decomposition.shapley import EXACT, shapley_exact, shapley_permutations, touching
from ensemble.inference.decomposition.surrogate import CrossFit
from ensemble.summary.replicates import jackknife, student

# Pairs of random orders for Shapley effects of more groups than can be enumerated.
PERMUTATIONS = 100
# Smallest share of complete rows from which a surrogate common to all columns is fitted.
COMMON_ROWS = 0.5


@dataclass(frozen=True)
class Shares:
    """Shares of the variance by one method; rows as in :meth:`.effects.Effects.shares`.

    Args:
        each: of every column, (rows, columns).
        pooled: of vector outputs, (rows, pools).
    """

    each: Estimate
    pooled: Estimate


@dataclass(frozen=True)
class Decomposition:
    """Shares of the variance of every output column; arrays end in (columns,).

    Args:
        design: what was analysed.
        variance: in the squared unit of the outputs.
        best: the shares to use.
        method: which of the two they are, ``surrogate`` or ``pick-freeze``.
        audit: from the rows, with the surrogate as control variate where there is one.
        surrogate: from the surrogate alone; ``None`` where it was skipped.
        shapley: shares that sum to 1, (groups, columns); ``None`` without a surrogate.
        removed, halved: expected fall of the variance, as a share of it, if the error of a group were
            removed or halved, (groups, columns); ``halved`` is NaN where only a surrogate could say.
        held_out_r2: of the surrogate on members it has not seen.
        dropped: rows that held a failed member.
        rough: whether there are fewer rows than the intervals' coverage has been shown for.
        notes: what the reader must know, one sentence each.
    """

    design: PickFreezeDesign
    variance: Estimate
    best: Shares
    method: str
    audit: Shares
    surrogate: Shares | None
    shapley: Estimate | None
    removed: Estimate
    halved: Estimate
    held_out_r2: np.ndarray | None
    dropped: np.ndarray
    rough: bool
    notes: tuple[str, ...]

    @property
    def widest(self) -> float:
        """Largest half-width of the intervals of first-order and total effects of any column."""
        widths = self.best.each.half_width[: 2 * len(self.design.groups)]
        return float(np.max(widths[np.isfinite(widths)], initial=0.0))


def decompose(
    design: PickFreezeDesign,
    outputs: Outputs,
    families: tuple[Family, ...] | None = None,
    places: np.ndarray | None = None,
    pools: np.ndarray | None = None,
    max_failed: float = MAX_FAILED,
) -> Decomposition:
    """Decompose the variance of all output columns at once.

    Args:
        design: the pick-freeze design.
        outputs: (members, columns), row by row, sliced a block of members at a time; a failed member is not
            finite.
        families: family of every input of the design; ``None`` skips the surrogate (discrete inputs).
        places: (columns,) site of every column; a failure at a site drops the row at that site only.
        pools: (columns, pools) 0/1, the columns of each vector output; all columns by default.
        max_failed: largest share of rows that failed members may drop.

    Raises:
        ValueError: outputs that do not fit the design, none that varies, too many failures.
    """
    sample = make_sample(design, outputs, places, max_failed)
    pools = np.ones((outputs.shape[1], 1)) if pools is None else pools
    fit, why = _surrogate(sample, families)
    rows = pick_freeze_estimates(sample, fit)
    found = _by_rows(sample, rows.effects, pools, why)
    return found if fit is None else _with_surrogate(found, sample, fit, rows.unexplained, pools)


def _surrogate(sample: Sample, families: tuple[Family, ...] | None) -> tuple[CrossFit | None, tuple[str, ...]]:
    """The surrogate, or ``None``, and what must be said about it."""
    if families is None:
        return None, ("the surrogate is skipped: an input is discrete, or it was not asked for",)
    if sample.complete.mean() < COMMON_ROWS:
        return None, ("the surrogate is skipped because too few members succeeded at all sites",)
    if not sample.design.inputs:
        return None, ("the surrogate is skipped because every input is a series",)
    left_out = sample.design.series
    said = (f"the surrogate leaves out {', '.join(left_out)}, which only the pick-freeze rows see",) if left_out else ()
    return fit_surrogate(sample, families), said


def _by_rows(sample: Sample, parts: Effects, pools: np.ndarray, notes: tuple[str, ...]) -> Decomposition:
    """What the rows alone say."""
    design, audit = sample.design, _from_rows(parts, pools)
    rough = design.rows // design.replicates < SHOWN_ROWS
    if rough:
        notes += (f"intervals of the rows are rough: fewer than {SHOWN_ROWS} rows a scramble",)
    dropped = sample.dropped
    if dropped.any():
        notes += (f"{int(dropped.max())} of {design.rows} rows held a failed member and were dropped",)
    removed = Estimate(*(part[..., : len(design.groups), :] for part in audit.each))
    return Decomposition(
        design=design,
        variance=_scrambles(parts.variance),
        best=audit,
        method="pick-freeze",
        audit=audit,
        surrogate=None,
        shapley=None,
        removed=removed,
        halved=Estimate(*(np.full_like(part, np.nan) for part in removed)),
        held_out_r2=None,
        dropped=dropped,
        rough=rough,
        notes=notes,
    )


def _with_surrogate(
    found: Decomposition, sample: Sample, fit: CrossFit, unexplained: np.ndarray, pools: np.ndarray
) -> Decomposition:
    """The same, judged against the surrogate, and with what only a surrogate can say."""
    design, variance = sample.design, found.variance.value
    missed = _missed(unexplained, found.audit, design)
    surrogate = _from_surrogate(surrogate_effects(sample, fit, variance), pools, variance, missed)
    best, method, verdict = _judge(surrogate, found.audit)
    shapley, halved = _beyond(design, fit, variance, missed, found.audit.each)
    return replace(
        found,
        best=best,
        method=method,
        surrogate=surrogate,
        shapley=shapley,
        removed=Estimate(*(part[..., : len(design.groups), :] for part in best.each)),
        halved=halved,
        held_out_r2=1.0 - unexplained,
        notes=(*found.notes, verdict),
    )


def _scrambles(parts: np.ndarray) -> Estimate:
    """Estimate from all scrambles (first) and leaving one out each (the others)."""
    return Estimate(parts[0], student(len(parts) - 1) * jackknife(parts[1:]), parts[1:])


def _from_rows(parts: Effects, pools: np.ndarray) -> Shares:
    return Shares(_scrambles(parts.shares()), _scrambles(parts.shares(pools)))


def _folds(parts: np.ndarray, missed: np.ndarray) -> Estimate:
    """Estimate whose interval holds the spread over folds and the variance that the surrogate misses."""
    return Estimate(parts[0], student(len(parts) - 1) * jackknife(parts[1:]) + missed, parts[1:])


def _from_surrogate(parts: Effects, pools: np.ndarray, variance: np.ndarray, missed: np.ndarray) -> Shares:
    known = np.nan_to_num(variance)
    pooled = np.divide((known * missed) @ pools, known @ pools, where=known @ pools > 0, out=np.zeros(pools.shape[1]))
    return Shares(_folds(parts.shares(), missed), _folds(parts.shares(pools), pooled))


def _missed(left: np.ndarray, audit: Shares, design: PickFreezeDesign) -> np.ndarray:
    """Share of the variance that inputs cause and the surrogate does not explain, from what it leaves in all."""
    noise = np.nan_to_num(audit.each.value[[len(design.groups) + g for g in noisy_groups(design)]]).sum(0)
    return np.maximum(left - noise, 0.0)


def _judge(surrogate: Shares, audit: Shares) -> tuple[Shares, str, str]:
    """The shares to use, the method's name, and why in one sentence."""
    largest, critical = disagreement(surrogate.each, audit.each)
    figures = f"largest difference {largest:.1f} standard errors, {critical:.1f} allowed over all outputs at once"
    if largest > critical:
        return (
            audit,
            "pick-freeze",
            f"the surrogate disagrees with its pick-freeze audit ({figures}): the audit is used",
        )
    known = np.isfinite(surrogate.each.half_width)
    if surrogate.each.half_width[known].mean() > audit.each.half_width[known].mean():
        return (
            audit,
            "pick-freeze",
            f"surrogate and audit agree ({figures}); the audit is used, its intervals are narrower",
        )
    chosen = Shares(*(_fill(a, b) for a, b in ((surrogate.each, audit.each), (surrogate.pooled, audit.pooled))))
    return chosen, "surrogate", f"surrogate and pick-freeze audit agree ({figures}); the surrogate is used"


def _fill(surrogate: Estimate, audit: Estimate) -> Estimate:
    """The surrogate's values, and the audit's where the surrogate cannot know."""
    known = np.isfinite(surrogate.half_width)
    return Estimate(
        np.where(known, surrogate.value, audit.value),
        np.where(known, surrogate.half_width, audit.half_width),
        audit.replicates,
    )


def _beyond(
    design: PickFreezeDesign, fit: CrossFit, variance: np.ndarray, missed: np.ndarray, audit: Estimate
) -> tuple[Estimate, Estimate]:
    """Shapley effects, and the fall if an error is halved, of the full surrogate and of every fold's, as shares."""
    groups = input_groups(design)
    correlation = latent_correlation(design)
    shapley, halved, drawn = [], [], np.zeros(())
    for basis, coefficients in zip(fit.bases, fit.coefficients, strict=True):
        means = ConditionalMeans(basis, coefficients, correlation)
        own = (coefficients[1:] ** 2).sum(0)
        known = np.where(np.isnan(variance), np.nan, variance if design.series else own)
        with np.errstate(divide="ignore", invalid="ignore"):
            halved.append(expected_falls(means, basis.families, groups)[1] / known)
            if len(touching(means, groups)) <= EXACT:
                effects = shapley_exact(means, groups)
            else:
                effects, drawn = shapley_permutations(means, groups, PERMUTATIONS, design.seed)
            shapley.append(_with_series(effects, design, known, audit) / known)
            drawn = drawn / known
    error = np.hypot(jackknife(np.stack(shapley[1:])), drawn)
    shares = Estimate(shapley[0], student(len(shapley) - 1) * error + missed, np.stack(shapley[1:]))
    falls = np.stack(halved)
    for g, group in enumerate(groups):
        if not group:
            falls[:, g] = np.nan
    return shares, _folds(falls, missed)


def _with_series(effects: np.ndarray, design: PickFreezeDesign, variance: np.ndarray, audit: Estimate) -> np.ndarray:
    """Give what the inputs do not explain to the groups with series, by their first and total effects in the rows.

    The mean of the two is the Shapley effect where interactions are between pairs.
    """
    noisy = noisy_groups(design)
    if noisy:
        groups = len(design.groups)
        weight = np.maximum((audit.value[:groups] + audit.value[groups : 2 * groups])[noisy], 1e-12)
        effects[noisy] += np.maximum(variance - effects.sum(0), 0.0) * weight / weight.sum(0)
    return effects
