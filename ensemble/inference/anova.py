"""Type-II analysis of variance of factorial studies, with errors clustered by run.

A term's sum of squares is what it explains beyond all terms that do not contain it (Langsrud 2003, doi
10.1023/A:1023260610025). Rows of one run (its years, its depths) are not independent, so standard errors and
tests are cluster-robust with the usual small-sample factor (Liang & Zeger 1986, doi 10.1093/biomet/73.1.13;
Cameron & Miller 2015, doi 10.3368/jhr.50.2.317); eta squared and R2 are descriptive and need no errors.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class AnovaTable:
    """Type-II table and coefficients of one response.

    Args:
        terms: names, ``a`` or ``a:b``.
        sum_of_squares, freedom: of every term.
        eta_squared: sum of squares over the total sum of squares about the mean.
        f, p: classical F test of every term (independent errors).
        f_clustered, p_clustered: Wald F test with clustered errors; equal to the classical one's purpose,
            and the one to report where a run gives several rows; NaN without clusters.
        residual_sum_of_squares, residual_freedom: of the full model.
        total_sum_of_squares: about the mean.
        r2, adjusted_r2: of the full model.
        coefficients: name to value; ``a[x]`` is level x against the reference level of a.
        standard_errors: clustered where clusters are given, else classical.
        p_values: two-sided t tests of the coefficients (clusters - 1, else residual degrees of freedom).
        references: reference level of every categorical factor.
        rows, clusters: numbers of each; 0 clusters where none are given.
    """

    terms: tuple[str, ...]
    sum_of_squares: np.ndarray
    freedom: np.ndarray
    eta_squared: np.ndarray
    f: np.ndarray
    p: np.ndarray
    f_clustered: np.ndarray
    p_clustered: np.ndarray
    residual_sum_of_squares: float
    residual_freedom: int
    total_sum_of_squares: float
    r2: float
    adjusted_r2: float
    coefficients: Mapping[str, float]
    standard_errors: Mapping[str, float]
    p_values: Mapping[str, float]
    references: Mapping[str, Hashable]
    rows: int
    clusters: int


def anova(
    response: np.ndarray,
    factors: Mapping[str, ArrayLike],
    interactions: Sequence[tuple[str, ...]] = (),
    references: Mapping[str, Hashable] | None = None,
    clusters: ArrayLike | None = None,
) -> AnovaTable:
    """Type-II analysis of variance with treatment contrasts.

    Args:
        response: (n,) finite values, any unit.
        factors: name to (n,) values; numbers are continuous, everything else is categorical.
        interactions: factor names of every product term wanted, beside all main effects.
        references: reference level of categorical factors; the first in sorted order by default.
        clusters: (n,) the run of every row.

    Raises:
        ValueError: an unknown or constant factor, reference or response, terms that cannot be told apart.
    """
    y = np.asarray(response, dtype=np.float64)
    coded, names, chosen = _code(y, factors, references or {})
    terms = [(name,) for name in factors] + [tuple(term) for term in interactions]
    _check_terms(terms, factors)
    columns, labels = _expand(terms, coded, names)
    design = np.column_stack([np.ones(len(y)), *columns.values()])
    if (left := len(y) - design.shape[1]) < 1:
        raise ValueError(f"{len(y)} rows cannot hold {design.shape[1]} coefficients; leave out interactions")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError("the factors cannot be told apart in these rows; leave out a factor or an interaction")
    groups = None if clusters is None else _cluster_numbers(clusters, len(y))
    squares = np.array([_type_two(y, term, columns) for term in terms])
    model = _fit(y, design, groups)
    freedom = np.array([block.shape[1] for block in columns.values()])
    f = squares / freedom / (model.rss / left)
    wald = np.full(len(terms), np.nan) if groups is None else _wald(model.beta, model.covariance, freedom)
    total = float(((y - y.mean()) ** 2).sum())
    flat = ["intercept", *labels]
    errors = np.sqrt(np.diag(model.covariance))
    tails = 2.0 * stats.t.sf(np.abs(model.beta) / errors, model.freedom)
    return AnovaTable(
        terms=tuple(":".join(term) for term in terms),
        sum_of_squares=squares,
        freedom=freedom,
        eta_squared=squares / total,
        f=f,
        p=stats.f.sf(f, freedom, left),
        f_clustered=wald,
        p_clustered=stats.f.sf(wald, freedom, model.freedom),
        residual_sum_of_squares=model.rss,
        residual_freedom=left,
        total_sum_of_squares=total,
        r2=1.0 - model.rss / total,
        adjusted_r2=1.0 - (model.rss / left) / (total / (len(y) - 1)),
        coefficients=dict(zip(flat, model.beta.tolist(), strict=True)),
        standard_errors=dict(zip(flat, errors.tolist(), strict=True)),
        p_values=dict(zip(flat, tails.tolist(), strict=True)),
        references=chosen,
        rows=len(y),
        clusters=0 if groups is None else int(groups.max()) + 1,
    )


class _Fit(NamedTuple):
    """Least squares: coefficients, their covariance, residual sum of squares, degrees of freedom of the errors."""

    beta: np.ndarray
    covariance: np.ndarray
    rss: float
    freedom: int


def _fit(y: np.ndarray, design: np.ndarray, groups: np.ndarray | None) -> _Fit:
    """Fit a full model, with classical errors or, given clusters, robust ones."""
    left = len(y) - design.shape[1]
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    residual = y - design @ beta
    rss, bread = float(residual @ residual), np.linalg.inv(design.T @ design)
    if groups is None:
        return _Fit(beta, bread * rss / left, rss, left)
    return _Fit(beta, _clustered(design, residual, bread, groups), rss, int(groups.max()))


def _code(
    y: np.ndarray, factors: Mapping[str, ArrayLike], references: Mapping[str, Hashable]
) -> tuple[dict[str, np.ndarray], dict[str, list[str]], dict[str, Hashable]]:
    """Columns of every factor, their labels, and the reference levels."""
    if not np.ptp(y) > 0.0:
        raise ValueError("the response does not vary, so shares of its variance are 0/0")
    for name in references:
        if name not in factors:
            raise ValueError(f"there is no factor '{name}'; allowed: {', '.join(factors)}")
    coded, labels, chosen = {}, {}, {}
    for name, given in factors.items():
        values = np.asarray(given)
        if values.shape != y.shape:
            raise ValueError(f"the factor '{name}' has {values.size} values for {y.size} rows")
        levels = sorted(dict.fromkeys(values.tolist()), key=str)
        if len(levels) < 2:
            raise ValueError(f"the factor '{name}' has one level only; leave it out")
        if np.issubdtype(values.dtype, np.number) and name not in references:
            coded[name], labels[name] = values.astype(np.float64)[:, None], [name]
            continue
        chosen[name] = references.get(name, levels[0])
        if chosen[name] not in levels:
            raise ValueError(f"'{name}' has no level '{chosen[name]}'; allowed: {', '.join(map(str, levels))}")
        others = [level for level in levels if level != chosen[name]]
        coded[name] = np.column_stack([(values == level).astype(np.float64) for level in others])
        labels[name] = [f"{name}[{level}]" for level in others]
    return coded, labels, chosen


def _check_terms(terms: Sequence[tuple[str, ...]], factors: Mapping[str, ArrayLike]) -> None:
    for term in terms:
        for name in term:
            if name not in factors:
                raise ValueError(f"the interaction {':'.join(term)} names '{name}'; allowed: {', '.join(factors)}")


def _expand(
    terms: Sequence[tuple[str, ...]], coded: Mapping[str, np.ndarray], names: Mapping[str, list[str]]
) -> tuple[dict[tuple[str, ...], np.ndarray], list[str]]:
    """Columns of every term, products of its factors' columns, and their labels."""
    columns, labels = {}, []
    for term in terms:
        block, label = coded[term[0]], names[term[0]]
        for name in term[1:]:
            label = [f"{a}:{b}" for a in label for b in names[name]]
            block = (block[:, :, None] * coded[name][:, None, :]).reshape(len(block), -1)
        columns[term] = block
        labels += label
    return columns, labels


def _type_two(y: np.ndarray, term: tuple[str, ...], columns: Mapping[tuple[str, ...], np.ndarray]) -> float:
    """What a term explains beyond all terms that do not contain it."""
    without = [block for other, block in columns.items() if not set(term) <= set(other)]
    ones = np.ones((len(y), 1))
    return _residual(y, np.column_stack([ones, *without])) - _residual(
        y, np.column_stack([ones, *without, columns[term]])
    )


def _residual(y: np.ndarray, design: np.ndarray) -> float:
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(residual @ residual)


def _cluster_numbers(clusters: ArrayLike, rows: int) -> np.ndarray:
    values, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    if numbers.shape != (rows,):
        raise ValueError(f"{numbers.size} cluster names do not fit {rows} rows")
    if len(values) < 2:
        raise ValueError("errors clustered by run need at least 2 runs")
    return numbers


def _clustered(design: np.ndarray, residual: np.ndarray, bread: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sandwich covariance of the coefficients with scores summed within clusters."""
    count, (rows, width) = int(groups.max()) + 1, design.shape
    scores = np.zeros((count, width))
    np.add.at(scores, groups, design * residual[:, None])
    factor = count / (count - 1.0) * (rows - 1.0) / (rows - width)
    return factor * bread @ (scores.T @ scores) @ bread


def _wald(beta: np.ndarray, covariance: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """F statistic of the coefficients of every term."""
    ends = 1 + np.cumsum(freedom)
    found = []
    for start, end in zip(ends - freedom, ends, strict=True):
        part = slice(start, end)
        found.append(beta[part] @ np.linalg.solve(covariance[part, part], beta[part]) / (end - start))
    return np.array(found)
