"""Newton's method for many small systems at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Residual = Callable[[np.ndarray], np.ndarray]

_TOLERANCE = 1e-12
_ITERATIONS = 200
_HALVINGS = 20
_LONGEST_STEP = 1.5


def solve(residual: Residual, start: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root of ``residual`` by damped Newton with a difference Jacobian, every set on its own.

    A step is cut to 1.5 units and halved until the largest residual falls, so a set that has no root stops
    near its best point and is recognised by what is left.

    Args:
        residual: from coordinates ``(k, sets)`` to ``(k, sets)``; scaled so that 1 is a gross error.
        start: coordinates ``(k, sets)``.
        unit: typical size of a step in each coordinate, ``(k, sets)``.

    Returns:
        Coordinates ``(k, sets)`` and the largest absolute residual of each set ``(sets,)``.
    """
    with np.errstate(all="ignore"):
        x = np.array(start, dtype=float)
        r = residual(x)
        for _ in range(_ITERATIONS):
            if np.all((_size(r) <= _TOLERANCE) | ~np.isfinite(_size(r))):
                break
            longest = _LONGEST_STEP * np.maximum(unit, 0.5 * np.abs(x))
            x, new = _descend(residual, x, r, np.clip(_newton_step(residual, x, r, unit), -longest, longest))
            if np.all(_size(new) >= _size(r)):
                break
            r = new
        return x, _size(r)


def _size(r: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(r).all(0), np.abs(r).max(0), np.inf)


def _newton_step(residual: Residual, x: np.ndarray, r: np.ndarray, unit: np.ndarray) -> np.ndarray:
    count = len(x)
    jacobian = np.empty((x.shape[1], count, count))
    for column in range(count):
        shift = np.zeros_like(x)
        shift[column] = 1e-6 * unit[column]
        jacobian[:, :, column] = ((residual(x + shift) - residual(x - shift)) / (2.0 * shift[column])).T
    usable = np.isfinite(jacobian).all((1, 2)) & np.isfinite(r).all(0)
    jacobian[~usable], right = np.eye(count), np.where(usable, r, 0.0)
    # The pseudo-inverse steps along what the residual can see where a system is nearly singular.
    return -np.einsum("nij,jn->in", np.linalg.pinv(jacobian, rcond=1e-12), right)


def _descend(residual: Residual, x: np.ndarray, r: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The longest of step, step/2, step/4 ... at which the largest residual falls; else stay."""
    best, best_r = x.copy(), r.copy()
    waiting, length = _size(r) > _TOLERANCE, 1.0
    for _ in range(_HALVINGS):
        trial = x + length * step
        trial_r = residual(trial)
        better = waiting & (_size(trial_r) < _size(r))
        best[:, better], best_r[:, better] = trial[:, better], trial_r[:, better]
        waiting &= ~better
        if not waiting.any():
            break
        length /= 2.0
    return best, best_r
