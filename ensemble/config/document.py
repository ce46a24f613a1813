"""A YAML file that remembers where each key was written.

ruamel.yaml reads YAML 1.2, so ``1e-3`` is a number and ``no`` is text, and its round-trip loader keeps the
line of every key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ensemble.errors import InputError

KeyPath = tuple[str | int, ...]


class Document:
    """A study file as plain data plus the line of each key.

    Args:
        data: nested dicts, lists and scalars.
        lines: line of each key path that came from the file.
        file: the file; lines refer to it.
    """

    def __init__(self, data: dict[str, Any], lines: Mapping[KeyPath, int], file: Path) -> None:
        self.data, self.lines, self.file = data, dict(lines), file

    def line(self, path: Sequence[str | int]) -> int | None:
        """Line of the deepest part of ``path`` that was written in the file."""
        for length in range(len(path), 0, -1):
            if (found := self.lines.get(tuple(path[:length]))) is not None:
                return found
        return None

    def error(self, path: Sequence[str | int], message: str) -> InputError:
        """The error that names this key, its file and its line."""
        name = ".".join(str(part) for part in path)
        return InputError(f"{name}: {message}" if name else message, self.file, self.line(path))


def read_document(file: Path) -> Document:
    """Read one YAML mapping.

    Raises:
        InputError: the file is missing, cannot be read, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("the file does not exist", file) from None
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 text (byte {error.start})", file) from None
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", file) from None
    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        problem = str(error.problem).splitlines()[0]
        raise InputError(problem, file, _mark_line(error)) from None
    except MarkedYAMLError as error:
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise InputError(f"not valid YAML: {problem}", file, _mark_line(error)) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(
            f"not valid YAML: {str(error).splitlines()[0] if str(error) else 'nested too deeply'}", file
        ) from None
    if not isinstance(tree, Mapping):
        raise InputError("the file must hold keys and values (title: ..., model: ...)", file)
    lines: dict[KeyPath, int] = {}
    return Document(_plain(tree, (), lines), lines, file)


def parse_value(text: str) -> Any:
    """The YAML value of one ``--set`` argument."""
    try:
        return _plain(YAML(typ="rt", pure=True).load(text), (), {})
    except (YAMLError, ValueError) as error:
        raise InputError(f"--set: '{text}' is not a YAML value ({str(error).splitlines()[0]})") from None


def _mark_line(error: MarkedYAMLError) -> int | None:
    mark = error.problem_mark or error.context_mark
    return None if mark is None else mark.line + 1


def _plain(node: Any, path: KeyPath, lines: dict[KeyPath, int]) -> Any:
    """Strip ruamel's types; note the line of every key and list item."""
    marks: Any = getattr(getattr(node, "lc", None), "data", None) or {}
    if isinstance(node, Mapping):
        for key in node:
            if key in marks:
                lines[(*path, str(key))] = marks[key][0] + 1
        return {str(key): _plain(value, (*path, str(key)), lines) for key, value in node.items()}
    if isinstance(node, list):
        for index in range(len(node)):
            if index in marks:
                lines[(*path, index)] = marks[index][0] + 1
        return [_plain(value, (*path, index), lines) for index, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for scalar in (int, float, str):
        if isinstance(node, scalar):
            return scalar(node)
    return node
