"""Variance decomposition: which input causes the variance of which output."""

from ensemble.inference.decomposition.analysis import Decomposition, Shares, decompose
from ensemble.inference.decomposition.basis import Family, family_of
from ensemble.inference.decomposition.intervals import Estimate

__all__ = ["Decomposition", "Estimate", "Family", "Shares", "decompose", "family_of"]
