"""What a result depends on: the study, its input files, the versions of the code and the platform.

Nothing here imports JAX when the module is loaded, so that a store can be examined from files alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform as host
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Keys of a study that never change a number.
LEFT_OUT = ("title", "institution", "license", "execution", "report", "criteria", "twin")
# Packages whose version is recorded; those of PLATFORM_PACKAGES decide the last bits of a number.
RECORDED_PACKAGES = (
    "jax", "jaxlib", "numpy", "scipy", "numpyro", "optax", "xarray", "zarr", "numcodecs", "dask", "arviz", "pandas",
)  # fmt: skip
PLATFORM_PACKAGES = ("jax", "jaxlib", "numpy", "scipy")
# Instruction sets that change how XLA orders floating-point operations, widest first, by NumPy's feature name.
INSTRUCTION_SETS = (("AVX512F", "avx512"), ("AVX2", "avx2"), ("AVX", "avx"), ("SSE42", "sse4.2"), ("NEON", "neon"))
_BLOCK = 2**20


def canonical_json(value: Any) -> str:
    """Text of plain nested data that does not depend on the order of keys.

    Raises:
        TypeError: the data holds something that JSON has no form for.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest_of(value: Any) -> str:
    """SHA-256 of plain nested data (mappings, sequences, text, numbers, booleans, ``None``), hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def numbers_that_matter(study: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved study without the keys that never change a number (title, execution, report, criteria, twin)."""
    return {key: value for key, value in study.items() if key not in LEFT_OUT}


def study_digest(study: Mapping[str, Any], inputs: Mapping[str, str], seed: int) -> str:
    """Digest of a study, its input files (SHA-256 by name) and its seed, without what never changes a number."""
    return digest_of({"study": numbers_that_matter(study), "inputs": dict(inputs), "seed": seed})


def checksum(data: bytes | None) -> str:
    """SHA-256 of bytes, hexadecimal; empty for ``None``."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def file_checksum(path: Path | str) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    total = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def file_checksums(files: Iterable[Path | str], root: Path | str) -> dict[str, str]:
    """SHA-256 of files, by their path relative to ``root`` with forward slashes (as given where they lie elsewhere)."""
    checksums = {}
    for file in files:
        path = Path(file)
        name = path.relative_to(root) if path.is_relative_to(root) else path
        checksums[name.as_posix()] = file_checksum(path)
    return checksums


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two pieces of plain nested data differ: (dotted key, old value, new value); ``None`` where absent."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}, key=str):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{path}[{index}]")
    elif old != new:
        yield path, old, new


def describe_differences(old: Any, new: Any, limit: int = 3) -> str:
    """The first differences of two pieces of plain data, as ``key: old -> new``, for a message."""
    found = list(differences(old, new))
    parts = [f"{key}: {_short(a)} -> {_short(b)}" for key, a, b in found[:limit]]
    if len(found) > limit:
        parts.append(f"and {len(found) - limit} more")
    return ", ".join(parts)


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def versions() -> dict[str, str]:
    """Version of Python, of this package and of each recorded package that is installed."""
    found = {"python": host.python_version(), "ensemble": _version("soc-ensemble")}
    return found | {name: _version(name) for name in RECORDED_PACKAGES if _version(name)}


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        if package == "soc-ensemble":
            from ensemble import __version__

            return __version__
        return ""


def instruction_set() -> str:
    """Widest vector instructions that compiled code uses here: ``avx512, avx2, avx, sse4.2, neon`` or ``baseline``.

    XLA's own limit (``--xla_cpu_max_isa`` in the environment variable ``XLA_FLAGS``) is respected.
    """
    from numpy._core._multiarray_umath import __cpu_features__ as features  # the only list that all systems have

    order = [name for _, name in INSTRUCTION_SETS] + ["baseline"]
    here = next((i for i, (feature, _) in enumerate(INSTRUCTION_SETS) if features.get(feature)), len(order) - 1)
    limit = re.search(r"--xla_cpu_max_isa=(\w+)", os.environ.get("XLA_FLAGS", ""))
    asked = limit.group(1).lower().replace("_", ".") if limit else ""
    return order[max(here, next((i for i, name in enumerate(order) if asked.startswith(name)), 0))]


def device_kind() -> str:
    """Kind of the devices that JAX computes on: ``cpu``, or platform and model such as ``gpu NVIDIA H200``.

    Loads JAX.
    """
    import jax

    device = jax.devices()[0]
    return "cpu" if device.platform == "cpu" else f"{device.platform} {device.device_kind}"


@dataclass(frozen=True)
class Platform:
    """Everything besides the study that the last bits of a number depend on.

    Args:
        ensemble: version of this package.
        packages: version of each of ``jax, jaxlib, numpy, scipy``.
        machine: processor family ("x86_64").
        instructions: see :func:`instruction_set`.
        device: see :func:`device_kind`.
    """

    ensemble: str
    packages: Mapping[str, str]
    machine: str
    instructions: str
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as it is stored."""
        return asdict(self)


def this_platform(device: str | None = None) -> Platform:
    """The platform of this process.

    Args:
        device: kind of device; ``None`` asks JAX, which loads it.
    """
    return Platform(
        _version("soc-ensemble"),
        {name: _version(name) for name in PLATFORM_PACKAGES},
        host.machine(),
        instruction_set(),
        device if device is not None else device_kind(),
    )


@dataclass(frozen=True)
class Provenance:
    """What a store is made from.

    Args:
        study: the resolved study as plain data.
        seed: seed of all randomness.
        platform: what the last bits depend on.
        inputs: SHA-256 of each input file, by its name.
    """

    study: Mapping[str, Any]
    seed: int
    platform: Platform
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """See :func:`study_digest`."""
        return study_digest(self.study, self.inputs, self.seed)

    def as_attributes(self) -> dict[str, Any]:
        """Root attributes of a store."""
        return {
            "study": dict(self.study),
            "study_digest": self.digest,
            "seed": self.seed,
            "inputs": dict(self.inputs),
            "platform": self.platform.as_dict(),
            "versions": versions(),
        }
