"""The study-file reference of the documentation, written from the schema.

``python -m ensemble.config.reference > docs/study_file.md`` makes it anew; a test holds the two together.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ensemble.config.given import InputSource
from ensemble.config.schema import StudyRecord

HEAD = """# Study file

A study is one YAML file (YAML 1.2: `1e-3` is a number, `no` is text). Paths in it start at its own folder;
paths in `--set` start at the working directory. Unknown keys are errors, with file and line.
`ensemble schema` prints the same as a JSON schema for editors. This page is written from the schema.
"""


def study_reference() -> str:
    """The reference as Markdown."""
    sections = [HEAD]
    for title, record in _records():
        sections.append(f"## {title}\n\n{_first_paragraph(record)}\n\n{_table(record)}\n")
    return "\n".join(sections)


def _records() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every record with the key it is written under, in the order of the study file."""
    yield "Top level", StudyRecord
    seen: set[type[BaseModel]] = {StudyRecord}
    queue: list[tuple[str, type[BaseModel]]] = [("", StudyRecord)]
    while queue:
        above, record = queue.pop(0)
        children = [
            (_path(above, _key(n, i), i.annotation), r) for n, i in _fields(record) for r in _inside(i.annotation)
        ]
        if record.model_config.get("extra") == "allow":
            children.append((f"{above}.NAME", InputSource))
        for path, child in children:
            if child not in seen:
                seen.add(child)
                yield f"`{path}`", child
                queue.append((path, child))


def _path(above: str, key: str, annotation: Any) -> str:
    path = f"{above}.{key}" if above else key
    text = str(annotation)
    return f"{path}.NAME" if "dict[str" in text else f"{path}[]" if "list[" in text else path


def _key(name: str, info: FieldInfo) -> str:
    return info.alias or name


def _fields(record: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return list(record.model_fields.items())


def _inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def _first_paragraph(record: type[BaseModel]) -> str:
    return (record.__doc__ or "").strip().split("\n\n")[0]


def _table(record: type[BaseModel]) -> str:
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, info in _fields(record):
        cells = (f"`{_key(name, info)}`", _type(info.annotation), _default(info), info.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel) or value in ([], {}, ""):
        return ""
    return f"`{value}`"


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])}: {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    return {float: "number", int: "whole number", str: "text", bool: "true or false", Any: "any"}.get(
        annotation, str(annotation)
    )


if __name__ == "__main__":
    print(study_reference(), end="")
