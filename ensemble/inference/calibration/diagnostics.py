"""The gate: whether the draws of a sampler may be trusted. Rules: Vehtari et al. (2021), Bayesian Analysis 16, 667-718."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.inference.calibration.importance import arviz

LARGEST_RHAT, LEAST_ESS, LEAST_BFMI = 1.01, 400.0, 0.3
# Quantiles whose effective sample size is that of the tails; ArviZ 1 has no default of its own.
TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of every parameter and of the sampler.

    Args:
        names: parameters, and the log posterior last.
        rhat: rank-normalised split R-hat, the larger of bulk and folded, (names,).
        ess_bulk, ess_tail: effective sample sizes, (names,).
        divergences: number of divergent steps.
        bfmi: Bayesian fraction of missing information of each chain.
    """

    names: tuple[str, ...]
    rhat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    divergences: int
    bfmi: np.ndarray

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, one sentence each; empty where the draws may be used."""
        found = []
        worst = _worst(self.rhat, largest=True)
        if not self.rhat[worst] <= LARGEST_RHAT:
            found.append(f"R-hat of {self.names[worst]} is {self.rhat[worst]:.4g}; allowed: up to {LARGEST_RHAT:g}")
        for what, values in (("bulk", self.ess_bulk), ("tail", self.ess_tail)):
            worst = _worst(values, largest=False)
            if not values[worst] >= LEAST_ESS:
                text = f"the effective sample size ({what}) of {self.names[worst]} is {values[worst]:.0f}"
                found.append(f"{text}; allowed: {LEAST_ESS:g} or more")
        if self.divergences:
            found.append(f"{self.divergences} divergent steps; allowed: none")
        if not np.all(self.bfmi >= LEAST_BFMI):
            found.append(f"BFMI of a chain is {np.min(self.bfmi):.2g}; allowed: {LEAST_BFMI:g} or more")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def _worst(values: np.ndarray, largest: bool) -> int:
    """Place of the worst value; one that is not a number is the worst of all."""
    if np.isnan(values).any():
        return int(np.argmax(np.isnan(values)))
    return int(np.argmax(values) if largest else np.argmin(values))


def diagnose(
    names: tuple[str, ...], draws: np.ndarray, log_posterior: np.ndarray, energy: np.ndarray, diverging: np.ndarray
) -> Diagnostics:
    """Diagnose draws.

    Args:
        names: of the parameters.
        draws: shape (chains, draws, parameters).
        log_posterior, energy, diverging: shape (chains, draws).
    """
    columns = np.concatenate([draws, log_posterior[..., None]], axis=-1)
    columns = np.moveaxis(columns, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a chain that never moves gives NaN, which fails the gate
        rhat = np.array([_rhat(column) for column in columns])
        bulk = np.array([float(arviz.ess(column, method="bulk")) for column in columns])
        tail = np.array([float(arviz.ess(column, method="tail", prob=TAILS)) for column in columns])
    return Diagnostics((*names, "log_posterior"), rhat, bulk, tail, int(diverging.sum()), bfmi(energy))


def _rhat(column: np.ndarray) -> float:
    return float(arviz.rhat(column, method="rank")) if len(column) > 1 else float("nan")


def bfmi(energy: np.ndarray) -> np.ndarray:
    """Mean squared change of the energy over its variance, (chains,): Betancourt (2016), arXiv 1604.00695."""
    change = np.square(np.diff(energy, axis=1)).mean(axis=1)
    variance = energy.var(axis=1)
    return np.where(variance > 0.0, change / np.where(variance > 0.0, variance, 1.0), 0.0)
