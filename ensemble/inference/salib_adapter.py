"""Morris, FAST, PAWN and delta by SALib, on this package's probabilities and members.

SALib works on one scalar output at a time and on inputs scaled to (0, 1); here the inputs are the
probabilities of the study's distributions, so its samples are members like any others, and given-data
methods (PAWN, delta) take independent members that were run anyway. Nothing of SALib is rewritten.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Given-data methods take independent members of a decomposition; the others need samples of their own.
GIVEN_DATA = ("pawn", "delta")
OWN_SAMPLE = ("morris", "fast")
METHODS = (*OWN_SAMPLE, *GIVEN_DATA)
MORRIS_LEVELS = 4
# Morris visits the ends of the range, where the quantiles of an unbounded input run away.
BOUNDS = {"morris": (0.01, 0.99)}
EDGE = 1e-6
# The numbers kept of each method's answer, with the key of a later SALib where it was renamed. FAST's
# intervals are left out: SALib itself calls them unreliable.
MEASURES = {
    "morris": {"mu_star": ("mu_star",), "mu_star_conf": ("mu_star_conf",), "sigma": ("sigma",)},
    "fast": {"S1": ("S1",), "ST": ("ST",)},
    "pawn": {"median": ("median",), "maximum": ("maximum",)},
    "delta": {"delta": ("delta", "delta_balanced"), "delta_conf": ("delta_conf", "delta_balanced_conf")},
}


class Screening(NamedTuple):
    """What a method says of every input and output column.

    Args:
        method: its name.
        measures: measure to (inputs, columns).
    """

    method: str
    measures: dict[str, np.ndarray]


def salib_sample(method: str, names: Sequence[str], size: int, seed: int) -> np.ndarray:
    """Probabilities (n, inputs), strictly between 0 and 1, of a method that needs its own sample.

    Args:
        method: ``morris`` (``size`` trajectories) or ``fast`` (``size`` members an input).
        names: independent inputs.
        size: as above.
        seed: of the sample.

    Raises:
        ValueError: no such method, or SALib is not installed.
    """
    if method not in OWN_SAMPLE:
        raise ValueError(f"'{method}' has no sample of its own; allowed: {', '.join(OWN_SAMPLE)}")
    module = _salib(f"sample.{'morris' if method == 'morris' else 'fast_sampler'}")
    extra = {"num_levels": MORRIS_LEVELS} if method == "morris" else {}
    return np.clip(module.sample(_problem(method, names), size, seed=seed, **extra), EDGE, 1.0 - EDGE)


def salib_analyse(method: str, names: Sequence[str], u: np.ndarray, outputs: np.ndarray, seed: int) -> Screening:
    """A method's measures for every output column.

    Args:
        method: one of :data:`METHODS`.
        names: independent inputs.
        u: probabilities (n, inputs) of the members: from :func:`salib_sample`, or independent members.
        outputs: (n, columns), finite; an analysis of fewer or other members than sampled is refused.
        seed: of the bootstrap.

    Raises:
        ValueError: no such method, outputs that do not fit, SALib is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"no screening method is called '{method}'; allowed: {', '.join(METHODS)}")
    if len(u) != len(outputs) or not np.isfinite(outputs).all():
        raise ValueError(f"{method} needs one finite result for each of its {len(u)} members")
    module = _salib(f"analyze.{method}")
    arguments: tuple[Any, ...] = (u,) if method != "fast" else ()
    extra: dict[str, Any] = {"morris": {"num_levels": MORRIS_LEVELS}, "delta": {"num_resamples": 10}}.get(method, {})
    found: dict[str, list[np.ndarray]] = {measure: [] for measure in MEASURES[method]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for column in np.asarray(outputs, np.float64).T:
            answer = module.analyze(_problem(method, names), *arguments, column, seed=seed, **extra)
            for measure, values in found.items():
                key = next(key for key in MEASURES[method][measure] if key in answer)
                values.append(np.asarray(answer[key], np.float64))
    return Screening(method, {measure: np.stack(values, axis=-1) for measure, values in found.items()})


def _problem(method: str, names: Sequence[str]) -> dict[str, Any]:
    bounds = list(BOUNDS.get(method, (0.0, 1.0)))
    return {"num_vars": len(names), "names": list(names), "bounds": [bounds] * len(names)}


def _salib(module: str) -> Any:
    try:
        return importlib.import_module(f"SALib.{module}")
    except ImportError:
        raise ValueError(
            "Morris, FAST, PAWN and delta come from SALib, which is not installed; pip install SALib"
        ) from None
