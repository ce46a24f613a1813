"""The built-in models by name, and user models by file.

A built-in model's record lives in ``ensemble/models/records``, in a module that imports no JAX and lists
its records in ``MODELS``; the record names its code by string.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from pathlib import Path

from ensemble.models.base import Model

# Modules that hold records. A record names its code by string, so none of these imports JAX.
RECORD_MODULES = (
    "ensemble.models.records.rothc",
    "ensemble.models.records.residues",
    "ensemble.models.records.feedback",
    "ensemble.models.records.soil",
    "ensemble.models.records.carbon",
    "ensemble.models.records.column",
)

# Set to anything in the environment (so that workers inherit it), it forbids models of a user's own.
NO_USER_CODE = "ENSEMBLE_NO_USER_CODE"


@cache
def builtin_models() -> dict[str, Model]:
    """Every built-in model by name, in listing order."""
    modules = (importlib.import_module(name) for name in RECORD_MODULES)
    return {model.name: model for module in modules for model in module.MODELS}


def load_model(reference: str, folder: Path | None = None) -> Model:
    """The model that a study names: a built-in name, or ``path/to/file.py:NAME`` for a user's own.

    Args:
        reference: value of ``model`` in a study.
        folder: folder that a relative path starts from (the study's).

    Raises:
        ValueError: no such model, file or name in the file; one sentence says which.
    """
    if ":" not in reference:
        if reference not in builtin_models():
            raise ValueError(
                f"no model is called '{reference}'; allowed: {', '.join(builtin_models())}, or FILE.py:NAME"
            )
        return builtin_models()[reference]
    if os.environ.get(NO_USER_CODE):
        raise ValueError(f"{reference} is Python code of its own, which --no-user-code forbids")
    file, _, name = reference.rpartition(":")
    path = (folder or Path()) / file
    if not path.is_file():
        raise ValueError(f"the model file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"ensemble_user_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"the model file {path} fails when it is read: {type(error).__name__}: {error}") from error
    model = getattr(module, name, None)
    if not isinstance(model, Model):
        raise ValueError(f"{path} has no ensemble Model called '{name}'")
    return model
