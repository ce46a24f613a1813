"""The contract of a model: one immutable record and one pure function for one member at one site.

A model never sees a batch axis, a file, a random number or a unit conversion. Batching is added once, in
:mod:`ensemble.propagate`; everything else that perturbs, calibrates or decomposes a model needs no more
than this record. Formulas (saturation, weathering) and time-stepping models (RothC, the column) share it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.specs import InputSpec, OptionSpec, OutputSpec, TimeAxis

__all__ = ["BuildSettings", "Mismatch", "Model", "Ridge", "Simulate", "TimeAxis", "Wall", "resolve"]

Arrays = Mapping[str, Any]
Simulate = Callable[[Arrays], dict[str, Any]]


class Mismatch(ValueError):
    """Inputs or options that are possible one by one and do not fit together.

    Args:
        text: the sentence for the user.
        names: inputs that it is about, or ``options.NAME``, the likeliest mistake first; it is shown at the first
            of them that the study gives.
    """

    def __init__(self, text: str, *names: str) -> None:
        super().__init__(text)
        self.names = names


@dataclass(frozen=True)
class BuildSettings:
    """What is fixed when a model is compiled.

    Args:
        options: value of every option that the model declares.
        steps_per_record: steps grouped into one output record (1, or ``TimeAxis.per_year``).
        outputs: names of the outputs that are wanted; a model may return more, they are dropped.
    """

    options: Mapping[str, Any]
    steps_per_record: int = 1
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ridge:
    """A curved ridge of the likelihood: one input can make up for others along a known curve.

    Args:
        input: the positive input that makes up for the others.
        centre: ``"package.module:function"`` or function from the other inputs (as ``simulate`` takes them) and
            the observed decline of one site (``{"first": , "last": , "years": , "variable": }``) to the logarithm
            of the value that keeps the fit, up to a constant; a scalar, finite for all inputs.
        variable: output whose first and last observation fix the constants of the curve.
    """

    input: str
    centre: str | Callable[[Arrays, Arrays], Any]
    variable: str


@dataclass(frozen=True)
class Wall:
    """A value that an input cannot pass without spoiling the fit, so that the posterior ends steeply there.

    Args:
        input: the input.
        limit: ``"package.module:function"`` or function from the observed decline (as in :class:`Ridge`) to the value.
        variable: output whose first and last observation fix it.
    """

    input: str
    limit: str | Callable[[Arrays], float]
    variable: str


@dataclass(frozen=True)
class Model:
    """A registered model. Plain data: the code behind ``build`` and ``coordinates`` is loaded late.

    Args:
        name: registry name.
        title: one line for listings.
        inputs: every parameter, site property, initial state and driver.
        outputs: everything it can return.
        options: static choices.
        time: its time axis; ``None`` for a formula without one.
        build: ``"package.module:function"`` or the function itself. Called with
            :class:`BuildSettings`, returns ``simulate(inputs) -> outputs``: a pure JAX function from a
            mapping of input name to array (scalars have shape ``()``, series ``(lead + n,)``) to a mapping
            of output name to array (time series have shape ``(n / steps_per_record,)``).
        coordinates: ``"package.module:function"`` or function from the options to the values of the
            axes other than time, ``{"depth": ..., "depth_bounds": ...}``; ``None`` where there are none.
        balance: name of the extra scalar that ``simulate`` returns with the largest imbalance of its
            mass budget, relative to initial stock plus cumulative input; ``None`` for a formula.
        cost: about how many floating-point operations one step (or one formula) takes.
        source: papers.
        derives: input name this model was made to provide to others (a model of an input).
        pools: outputs that add up to the first one, from the slowest to the fastest, for figures.
        at_records: ``"package.module:function"`` or function from :class:`BuildSettings` and a tuple of record
            numbers, rising, to a function like ``simulate`` whose series hold these records alone, equal to those of
            ``simulate`` to rounding, or ``None`` where these settings have no such form. Calibration uses it.
        members_last: ``simulate`` also takes arrays with further axes of members after their own, which broadcast
            against each other, and returns them last. Propagation then maps over members along contiguous memory.
        check: ``"package.module:function"`` or function from the options and the concrete inputs of one site to
            sentences to warn with, or nothing; raises ValueError with one sentence where inputs that are possible one
            by one do not fit together.
        pool_maps: ``"package.module:function"`` or function from :class:`BuildSettings` and record numbers to a function
            from the inputs to the affine maps of the intervals between these records, the pools before the first, and
            for each output the vector that takes the pools to it (up to a constant); ``None`` where it is not linear.
        ridges, walls: nonlinear coordinates in which a posterior is nearer to a Gaussian.
    """

    name: str
    title: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    build: str | Callable[[BuildSettings], Simulate]
    options: tuple[OptionSpec, ...] = ()
    time: TimeAxis | None = None
    coordinates: str | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    balance: str | None = None
    cost: float = 100.0
    source: str = ""
    derives: str | None = None
    pools: tuple[str, ...] = ()
    at_records: str | Callable[[BuildSettings, tuple[int, ...]], Simulate | None] | None = None
    members_last: bool = False
    check: str | Callable[[Mapping[str, Any], Arrays], Iterable[str] | None] | None = None
    pool_maps: str | Callable[[BuildSettings, tuple[int, ...]], Callable[[Arrays], tuple[Any, Any, Any]]] | None = None
    ridges: tuple[Ridge, ...] = ()
    walls: tuple[Wall, ...] = ()

    def default_options(self) -> dict[str, Any]:
        """Value of every option when a study is silent."""
        return {option.name: option.default for option in self.options}

    def simulator(self, settings: BuildSettings) -> Simulate:
        """Load the model's code and build its pure function for one member at one site.

        Raises:
            ValueError: an option has a value that the model refuses; one sentence says what is allowed.
        """
        return resolve(self.build)(settings)


def resolve(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """The callable behind ``"package.module:function"``; a callable is returned as it is."""
    if callable(target):
        return target
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
