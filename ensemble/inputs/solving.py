"""Newton's method for many small systems side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Residual = Callable[[np.ndarray, np.ndarray], np.ndarray]

_TOLERANCE = 1e-12
_ITERATIONS = 200
_HALVINGS = 20
_LONGEST_STEP = 1.5
# A step that shrinks the residual less than this is no way to a root.
_PROGRESS = 0.999


def solve(residual: Residual, start: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root of ``residual`` by damped Newton with a difference Jacobian, every set on its own.

    A step is shortened to 1.5 units and halved until the residual's length falls, so a set that has no
    root stops near its best point and is recognised by what is left. Sets that are done are left alone.

    Args:
        residual: from coordinates ``(k, m)`` of the sets numbered ``(m,)`` to ``(k, m)``; scaled so that 1
            is a gross error.
        start: coordinates ``(k, sets)``.
        unit: typical size of a step in each coordinate, ``(k, sets)``.

    Returns:
        Coordinates ``(k, sets)`` and the length of each set's residual ``(sets,)``.
    """
    x = np.array(start, dtype=float)
    active = np.arange(x.shape[1])
    with np.errstate(all="ignore"):
        r = residual(x, active)
        for _ in range(_ITERATIONS):
            active = active[np.isfinite(_length(r[:, active])) & (_length(r[:, active]) > _TOLERANCE)]
            if not len(active):
                break
            step = _newton_step(residual, x, r, unit, active)
            moved = _descend(residual, x, r, step, active)
            active = active[moved]
    return x, _length(r)


def _length(r: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(r).all(0), np.sqrt((r * r).sum(0)), np.inf)


def _newton_step(residual: Residual, x: np.ndarray, r: np.ndarray, unit: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Newton's step ``(k, active)``, shortened as a whole: only along its direction the residual must fall."""
    here, size, count = x[:, active], unit[:, active], len(x)
    jacobian = np.empty((len(active), count, count))
    for column in range(count):
        shift = np.zeros_like(here)
        shift[column] = 1e-7 * size[column]
        jacobian[:, :, column] = ((residual(here + shift, active) - r[:, active]) / shift[column]).T
    jacobian[~np.isfinite(jacobian).all((1, 2))] = 0.0
    # The pseudo-inverse steps along what the residual can see where a system is nearly singular.
    step = -np.einsum("nij,jn->in", np.linalg.pinv(jacobian, rcond=1e-12), r[:, active])
    longest = _LONGEST_STEP * np.maximum(size, 0.5 * np.abs(here))
    return step / np.maximum(np.abs(step) / longest, 1.0).max(0)


def _descend(residual: Residual, x: np.ndarray, r: np.ndarray, step: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Take the longest of step, step/2, step/4 ... that shrinks the residual; which of the active sets moved."""
    waiting = np.arange(len(active))
    for halving in range(_HALVINGS):
        sets = active[waiting]
        trial = x[:, sets] + step[:, waiting] / 2.0**halving
        trial_r = residual(trial, sets)
        better = _length(trial_r) < _PROGRESS * _length(r[:, sets])
        x[:, sets[better]], r[:, sets[better]] = trial[:, better], trial_r[:, better]
        waiting = waiting[~better]
        if not len(waiting):
            break
    moved = np.ones(len(active), dtype=bool)
    moved[waiting] = False
    return moved
