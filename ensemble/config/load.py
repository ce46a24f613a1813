"""From a study file and ``--set`` arguments to one frozen record, or one clear sentence."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ensemble.config.document import Document, parse_value, read_document
from ensemble.config.given import InputSource
from ensemble.config.schema import StudyRecord
from ensemble.errors import InputError

# Kinds of mistakes that a group of keys makes where plain text or numbers are allowed too.
PLAIN_TYPES = ("string_type", "float_type", "int_type", "bool_type", "list_type", "tuple_type")
# Keys whose values are paths: relative to the study in a study file, to the working directory in --set.
PATH_KEYS = ("file", "forcing", "sites", "model", "store", "path")

# A study that somebody else wrote must not read these.
SYSTEM_PLACES = ("/boot", "/dev", "/etc", "/private/etc", "/proc", "/run/secrets", "/sys")
# Files in memory, which users put data into.
MEMORY_DISK = "/dev/shm"


@dataclass(frozen=True)
class StudyFile:
    """A validated study and the document it came from.

    Args:
        record: what the study says.
        document: where each key was written, for error messages.
        folder: folder of the study file; relative paths start there.
        options: what replaced keys of the study, as options of the command line.
    """

    record: StudyRecord
    document: Document
    folder: Path
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """File name without its ending; names the default store."""
        return self.document.file.stem

    @property
    def command(self) -> str:
        """The command that runs this study, in the folder of its file."""
        return shlex.join(["ensemble", "run", self.document.file.name, *self.options])

    def path(self, written: str) -> Path:
        """A path as written in the study.

        Raises:
            InputError: it leads into the files of the operating system.
        """
        path = self.folder / Path(written).expanduser()
        real = path.resolve()
        if any(real.is_relative_to(place) for place in SYSTEM_PLACES) and not real.is_relative_to(MEMORY_DISK):
            raise InputError(
                f"the path {written} leads to {real}, which is the system's and no data", self.document.file
            )
        return path

    def error(self, path: Sequence[str | int], message: str) -> InputError:
        """The error that names a key of the study, its file and line."""
        return self.document.error(path, message)

    def resolved(self) -> dict[str, Any]:
        """The study as plain data with every default filled in, as it is stored; not where the store lies."""
        return self.record.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"store": {"path"}})


def load_study(
    file: Path | str, overrides: Sequence[str] = (), seed: int | None = None, members: int | None = None
) -> StudyFile:
    """Read and validate a study.

    Args:
        file: YAML file.
        overrides: ``key.path=value`` texts; values are YAML.
        seed: replaces ``design.seed``.
        members: replaces ``design.members``.

    Raises:
        InputError: anything is wrong; the first mistake is named with its line.
    """
    document = read_document(Path(file))
    options: list[str] = []
    for text in overrides:
        _override(document, text)
        options += ["--set", text]
    for key, value in (("seed", seed), ("members", members)):
        if value is not None:
            _put(document, ["design", key], value)
            options += [f"--{key}", str(value)]
    return StudyFile(validate(document), document, Path(file).parent, tuple(options))


def study_from_record(study: Mapping[str, Any], file: Path) -> StudyFile:
    """A study from its resolved record (:meth:`StudyFile.resolved`), as a store keeps it.

    Args:
        study: the record as plain data.
        file: the study file it was read from; only its name and folder are used.

    Raises:
        InputError: the record is not one of this version.
    """
    document = Document(dict(study), {}, file)
    return StudyFile(validate(document), document, file.parent)


def validate(document: Document) -> StudyRecord:
    """The record of a document.

    Raises:
        InputError: the first mistake in the document, with file, line, key, value and what is allowed.
    """
    try:
        return StudyRecord.model_validate(document.data)
    except ValidationError as error:
        first = min(_told(error), key=lambda e: document.line(_key_path(document.data, e["loc"])) or 10**9)
        path = _key_path(document.data, first["loc"])
        raise document.error(path, _sentence(first, path)) from None


def _told(error: ValidationError) -> list[Any]:
    """Errors worth a sentence.

    A group of keys is not blamed for being no text where either is allowed, and a key is not called missing where
    an unknown one stands beside it, which is likely that key misspelt.
    """
    found = [e for e in error.errors() if not (isinstance(e["input"], Mapping) and e["type"] in PLAIN_TYPES)]
    misspelt = {e["loc"][:-1] for e in found if e["type"] == "extra_forbidden"}
    found = [e for e in found if not (e["type"] == "missing" and e["loc"][:-1] in misspelt)]
    return found or list(error.errors())


def _override(document: Document, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"--set {text}: write key=value, for example --set design.members=1024")
    path = key.split(".")
    parsed = parse_value(value)
    if path[-1] in PATH_KEYS and isinstance(parsed, str) and "://" not in parsed:
        parsed = _from_working_directory(parsed)
    _put(document, path, parsed)


def _from_working_directory(written: str) -> str:
    """A path (or FILE.py:NAME) typed on the command line, made independent of the study's folder."""
    file, colon, name = written.rpartition(":") if written.count(":") and ".py:" in written else (written, "", "")
    looks_like_path = "/" in file or "." in file
    return str(Path(file).expanduser().absolute()) + colon + name if looks_like_path else written


def _put(document: Document, path: Sequence[str], value: Any) -> None:
    """Set one key; a number set on an input that is written with a unit keeps the unit."""
    here: Any = document.data
    for depth, part in enumerate(path[:-1]):
        if isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        elif isinstance(here, dict):
            if part == "store" and isinstance(here.get(part), str):  # its short form
                here[part] = {"path": here[part]}
            here = here.setdefault(part, {})
        if not isinstance(here, dict | list):
            raise InputError(f"--set {'.'.join(path)}: {'.'.join(path[: depth + 1])} is not a group of keys")
    if isinstance(here, list):
        if not path[-1].isdigit() or int(path[-1]) >= len(here):
            raise InputError(f"--set {'.'.join(path)}: the list has {len(here)} entries, counted from 0")
        here[int(path[-1])] = value
        return
    old = here.get(path[-1])
    if path[0] == "inputs" and isinstance(old, Mapping) and "units" in old and isinstance(value, int | float):
        value = {"value": value, "units": old["units"]}
    here[path[-1]] = value
    for known in [p for p in document.lines if p[: len(path)] == tuple(path)]:
        del document.lines[known]
    if path[0] == "inputs" and len(path) == 2:
        _refuse_uncertain(document, path[1])


def _refuse_uncertain(document: Document, name: str) -> None:
    uncertain = document.data.get("uncertain")
    for label, entry in uncertain.items() if isinstance(uncertain, Mapping) else ():
        acts_on = entry.get("input", label) if isinstance(entry, Mapping) else label
        if acts_on == name and isinstance(entry, Mapping) and entry.get("as", "value") == "value":
            raise document.error(
                ("uncertain", label), f"--set inputs.{name} would have no effect: this input is uncertain by value"
            )


def _key_path(data: Any, loc: Sequence[str | int]) -> list[str | int]:
    """The part of a pydantic location that exists in the document (or would, for a missing key)."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if _holds(data, part):
            data = data[part]
        elif isinstance(data, Mapping) and position == len(loc) - 1:
            pass
        else:
            continue
        path.append(part)
    return path


def _holds(data: Any, part: str | int) -> bool:
    """Whether a mapping has this key, or a list this index."""
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _allowed_keys(path: Sequence[str | int]) -> list[str]:
    """Keys of the record that ``path`` lies in."""
    record: Any = StudyRecord
    named = False  # the next part is a name of the user's own, or a position in a list
    for part in path[:-1]:
        if named or not (isinstance(record, type) and issubclass(record, BaseModel)):
            named = False
            continue
        fields = {info.alias or name: info.annotation for name, info in record.model_fields.items()}
        annotation = fields.get(str(part))
        if annotation is None and record.model_config.get("extra") == "allow":
            annotation = InputSource
        else:
            named = _holds_many(annotation)
        record = _record_in(annotation)
    if isinstance(record, type) and issubclass(record, BaseModel):
        return [info.alias or name for name, info in record.model_fields.items()]
    return []


def _holds_many(annotation: Any) -> bool:
    """Whether an annotation is of records by name or in a list."""
    return get_origin(annotation) in (dict, list) or any(_holds_many(arg) for arg in get_args(annotation))


def _record_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _record_in(arg)) is not None), None)


def _sentence(error: Mapping[str, Any], path: Sequence[str | int]) -> str:
    """One sentence for a pydantic error: the value and what is allowed."""
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    shown = f"'{value}'" if isinstance(value, str) else repr(value)
    shown = shown if len(shown) < 60 else shown[:57] + "..."
    if kind == "extra_forbidden":
        allowed = _allowed_keys(path)
        close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"unknown key; {hint}allowed: {', '.join(allowed)}"
    if kind == "missing":
        return "this key is required"
    if kind == "value_error":
        return str(context.get("error", error["msg"])).removeprefix("Value error, ")
    if kind == "literal_error":
        return f"{shown} is not allowed; allowed: {context['expected']}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        plain = "a number, a list of numbers, or " if list(path[-2:-1]) == ["inputs"] else ""
        return f"{shown} is not allowed; allowed: {plain}a group of keys"
    return f"{shown} is not allowed; {error['msg'][0].lower()}{error['msg'][1:]}"
