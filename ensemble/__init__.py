"""ensemble: soil organic carbon with an honest error bar.

``study = ensemble.load("study.yaml"); result = study.run(); result.members.soc``. Names are loaded when they
are first used, so importing the package is instant and changes no global setting.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ensemble.api import Result, Study, load, open_result
    from ensemble.errors import InputError
    from ensemble.models.base import BuildSettings, Model
    from ensemble.specs import InputSpec, OptionSpec, OutputSpec, TimeAxis

_HOMES = {
    "Result": "ensemble.api",
    "Study": "ensemble.api",
    "load": "ensemble.api",
    "open_result": "ensemble.api",
    "InputError": "ensemble.errors",
    "BuildSettings": "ensemble.models.base",
    "Model": "ensemble.models.base",
    "InputSpec": "ensemble.specs",
    "OptionSpec": "ensemble.specs",
    "OutputSpec": "ensemble.specs",
    "TimeAxis": "ensemble.specs",
}

__all__ = [
    "BuildSettings",
    "InputError",
    "InputSpec",
    "Model",
    "OptionSpec",
    "OutputSpec",
    "Result",
    "Study",
    "TimeAxis",
    "__version__",
    "load",
    "open_result",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ensemble' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
