"""Boosted regression trees: fitted by LightGBM, evaluated over rasters by bit masks.

The settings are those of the R package gbm (Friedman 2001, Ann. Stat. 29, doi 10.1214/aos/1013203451), which
Wang et al. (2026, Catena 110145) used. gbm's ``interaction.depth`` counts the splits of a tree that is grown best
first, so 9 means 10 leaves and not a tree of depth 9.

| gbm                 | here           | LightGBM                                      |
|---------------------|----------------|-----------------------------------------------|
| ``n.trees``         | `trees`        | ``num_iterations``                            |
| ``interaction.depth`` | `splits`     | ``num_leaves`` = splits + 1, best first       |
| ``shrinkage``       | `shrinkage`    | ``learning_rate``                             |
| ``n.minobsinnode``  | `minimum_leaf` | ``min_data_in_leaf``                          |
| ``bag.fraction``    | `bag_fraction` | ``bagging_fraction``, ``bagging_freq`` = 1    |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from lightgbm import Booster

Floats = NDArray[np.floating[Any]]

LARGEST_SPLITS = 15  # a leaf is a bit of 16
EXACT_SAMPLES = 1000  # up to here every distinct value of a covariate may split; beyond, 255 quantiles may
PIXELS_AT_ONCE = 64  # the masks of 64 pixels and 1600 trees stay in the cache


class TreeSettings(NamedTuple):
    """Settings of a boosted model, in gbm's meaning; the defaults are the paper's for its Hassink model.

    Args:
        trees: number of trees.
        splits: of each tree, 1 to 15.
        shrinkage: what is taken of each tree.
        minimum_leaf: samples that a leaf needs.
        bag_fraction: share of the samples, drawn without replacement, that each tree sees.
    """

    trees: int = 1600
    splits: int = 9
    shrinkage: float = 0.0025
    minimum_leaf: int = 10
    bag_fraction: float = 0.65


def fit_trees(x: ArrayLike, y: ArrayLike, settings: TreeSettings, seed: int) -> Booster:
    """Fit one boosted model with squared error, on one thread.

    Args:
        x: ``(sample, covariate)``.
        y: ``(sample,)``.
        settings: of the trees.
        seed: of the bags.

    Raises:
        ValueError: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise ValueError('maps need the extra packages of pip install "soc-ensemble[mapping]"') from None
    covariates, target = np.asarray(x, float), np.asarray(y, float)
    options = {
        "objective": "regression",
        "num_leaves": settings.splits + 1,
        "learning_rate": settings.shrinkage,
        "min_data_in_leaf": settings.minimum_leaf,
        "bagging_fraction": settings.bag_fraction,
        "bagging_freq": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "min_data_in_bin": 1,
        "max_bin": min(len(target), EXACT_SAMPLES) + 1 if len(target) <= EXACT_SAMPLES else 255,
        "feature_pre_filter": False,
        "force_row_wise": True,
        "num_threads": 1,
        "deterministic": True,
        "seed": seed % (2**31),
        "verbosity": -1,
    }
    data = lightgbm.Dataset(covariates, target, params=options)
    # the booster itself, not one read back from its text: the same trees, a seventh sooner
    return lightgbm.train(options, data, settings.trees, keep_training_booster=True)


def predict(model: Booster, x: ArrayLike) -> Floats:
    """The library's own prediction, ``(sample,)``, for ``x`` of ``(sample, covariate)``; good for few rows."""
    return np.asarray(model.predict(np.asarray(x, float), num_threads=1), float)


def split_gain(model: Booster) -> Floats:
    """``(covariate,)`` share of the fall in squared error that splits on each covariate brought; sums to 1."""
    gain = np.asarray(model.feature_importance("gain"), float)
    return gain / gain.sum() if gain.sum() > 0 else gain


class TreeTables(NamedTuple):
    """A boosted model as masks of leaves.

    A split that sends a pixel to the right rules out the leaves on its left. The leaf a pixel falls in is the
    leftmost that no split rules out (Lucchese et al. 2015, SIGIR, doi 10.1145/2766462.2767733). Which splits on one
    covariate send it right depends only on its rank among their thresholds, so the masks of all trees are one row of
    a table for each covariate.

    Args:
        thresholds: for each covariate, sorted, distinct.
        masks: for each covariate, ``(threshold + 1, tree)`` leaves that are left.
        values: ``(tree, 16)`` of the leaves.
    """

    thresholds: tuple[Floats, ...]
    masks: tuple[NDArray[np.uint16], ...]
    values: NDArray[np.float32]

    def predict(self, x: ArrayLike) -> Floats:
        """Prediction ``(pixel,)`` for ``x`` of ``(pixel, covariate)`` without missing values."""
        where = np.asarray(x, float)
        ranks = [np.searchsorted(t, where[:, k], side="left") for k, t in enumerate(self.thresholds)]
        first = np.arange(len(self.values), dtype=np.int32) * 16
        flat, result = self.values.ravel(), np.empty(len(where))
        used = [k for k, t in enumerate(self.thresholds) if len(t)]
        for start in range(0, len(where), PIXELS_AT_ONCE):
            here = slice(start, start + PIXELS_AT_ONCE)
            left = np.full((len(where[here]), len(self.values)), 0xFFFF, np.uint16)
            for k in used:
                left &= self.masks[k][ranks[k][here]]
            result[here] = flat[LOWEST_BIT[left] + first].sum(axis=1, dtype=np.float64)
        return result


def _lowest_bits() -> NDArray[np.uint8]:
    number = np.arange(1 << 16, dtype=np.int64)
    return np.log2(np.maximum(number & -number, 1)).astype(np.uint8)


LOWEST_BIT = _lowest_bits()


def tree_tables(model: Booster) -> TreeTables:
    """Tables of a fitted model; they predict what :func:`predict` does, to float32 of each leaf."""
    text = model.model_to_string()
    covariates = model.num_feature()
    trees = [_Tree.parse(part) for part in text.split("\nTree=")[1:]]
    values = np.zeros((len(trees), 16), np.float32)
    cuts: list[list[tuple[float, int, int]]] = [[] for _ in range(covariates)]
    for number, tree in enumerate(trees):
        order, ruled_out = tree.leaves_from_left()
        values[number, : len(order)] = tree.values[order]
        for split, mask in ruled_out.items():
            cuts[tree.covariate[split]].append((tree.threshold[split], number, mask))
    thresholds, masks = [], []
    for found in cuts:
        levels = np.unique([cut[0] for cut in found])
        table = np.full((len(levels) + 1, len(trees)), 0xFFFF, np.uint16)
        for level, number, mask in found:
            table[np.searchsorted(levels, level) + 1, number] &= np.uint16(mask)
        thresholds.append(levels)
        masks.append(np.bitwise_and.accumulate(table, axis=0))
    return TreeTables(tuple(thresholds), tuple(masks), values)


class _Tree(NamedTuple):
    """One tree as LightGBM writes it: a child below 0 is the leaf ``-child - 1``."""

    covariate: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: Floats

    @classmethod
    def parse(cls, text: str) -> _Tree:
        """A tree from its part of the model's text."""

        def numbers(name: str, kind: type) -> NDArray[Any]:
            found = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
            return np.array(found[1].split() if found else [], dtype=kind)

        return cls(
            numbers("split_feature", int), numbers("threshold", float), numbers("left_child", int),
            numbers("right_child", int), numbers("leaf_value", float),
        )  # fmt: skip

    def leaves_from_left(self) -> tuple[list[int], dict[int, int]]:
        """Leaves from left to right, and for each split the mask that rules out the leaves on its left."""
        order: list[int] = []
        masks: dict[int, int] = {}

        def walk(node: int) -> None:
            if node < 0:
                order.append(-node - 1)
                return
            first = len(order)
            walk(int(self.left[node]))
            masks[node] = 0xFFFF & ~(((1 << len(order)) - 1) ^ ((1 << first) - 1))
            walk(int(self.right[node]))

        walk(0 if len(self.left) else -1)
        return order, masks
