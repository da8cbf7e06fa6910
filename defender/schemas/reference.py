"""The schema of run files, and their reference for people: both are read off the settings themselves."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from defender.config import RunConfig

Kind = Literal["run", "space", "identities"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: Kind) -> dict[str, Any]:
    """Return the JSON Schema of one kind of file."""
    if kind != "run":
        found: dict[str, Any] = json.loads((Path(__file__).parent / f"{kind}.json").read_text(encoding="utf-8"))
        return found
    schema = RunConfig.model_json_schema()
    sections = {cls.__name__: cls for cls in _sections(RunConfig)}
    for name, part in ({"RunConfig": schema} | schema.get("$defs", {})).items():
        for field, said in _said(sections[name]).items():
            part["properties"][field]["description"] = said
    return {"$schema": _DIALECT, **schema, "title": "defender run file"}


def reference() -> str:
    """Return the reference of run files in Markdown."""
    lines = ["| key | type | default | what it is |", "|---|---|---|---|"]
    lines += [f"| `{key}` | {kind} | {default} | {said} |" for key, kind, default, said in _rows(RunConfig, "")]
    return "\n".join(lines) + "\n"


def _rows(section: type[BaseModel], at: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted key, type, default, description) of every setting, sections opened in place."""
    said = _said(section)
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield f"{at}{name}", "section", "", _cell(said.get(name) or inspect.getdoc(inner) or "")
            # a section may have other defaults where it is used: the ones of this place count
            yield from _placed(inner, field.get_default(call_default_factory=True), f"{at}{name}.")
            continue
        default = _default(field.get_default(call_default_factory=True))
        yield f"{at}{name}", _cell(_type(field.annotation)), default, _cell(said.get(name, ""))


def _placed(section: type[BaseModel], here: BaseModel, at: str) -> Iterator[tuple[str, str, str, str]]:
    for key, kind, default, said in _rows(section, at):
        value: Any = here
        for name in key.removeprefix(at).split("."):
            value = getattr(value, name)
        yield key, kind, default if isinstance(value, BaseModel) else _default(value), said


def _default(value: object) -> str:
    return _cell(f"`{json.dumps(to_jsonable_python(value), ensure_ascii=False)}`")


def _type(annotation: Any) -> str:
    """Return a type in words a YAML writer knows."""
    choices = get_args(annotation)
    if annotation is type(None):
        return "null"
    if getattr(annotation, "__origin__", None) is Literal:
        return " or ".join(f"`{choice}`" for choice in choices)
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]
    origin = getattr(annotation, "__origin__", None)
    if origin is tuple:
        return f"list of {_type(choices[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {_type(choices[0])} to {_type(choices[1])}"
    if choices:
        return ", or ".join(_type(choice) for choice in choices)
    return str(getattr(annotation, "__name__", annotation))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _sections(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield section
    for field in section.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _sections(inner)


def _said(section: type[BaseModel]) -> dict[str, str]:
    """Return field -> the docstring under it. Read when asked for: every command would pay for it otherwise."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    said, field = {}, None
    for line in getattr(tree, "body", ()):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            field = line.target.id
        elif field and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            said[field], field = " ".join(str(line.value.value).split()), None
        else:
            field = None
    return said
