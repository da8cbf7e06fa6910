"""YAML files that know their line numbers, so that an error can point at the line.

Duplicate keys are refused: YAML would silently keep the last one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from defender.errors import SpaceError

KeyPath = tuple[str, ...]
DEEPEST = 20
_MEND = "expected keys and values there; correct the file, then run the same command again"


@dataclass(frozen=True)
class Document:
    """A parsed YAML mapping with the line of every key.

    Attributes:
        path: where it came from, as given.
        data: plain dicts, lists, strings and numbers.
        lines: key path -> 1-based line number; list entries use their index as text.
    """

    path: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def where(self, *keys: str) -> str:
        """Return "file line N" for the deepest of ``keys`` that exists."""
        for depth in range(len(keys), 0, -1):
            line = self.lines.get(tuple(keys[:depth]))
            if line is not None:
                return f"{self.path} line {line}"
        return self.path


def read_yaml(path: Path) -> Document:
    """Read a YAML mapping.

    Raises:
        SpaceError: missing file, malformed YAML (with line and column), a duplicate key, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpaceError(f"no file {path}; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"cannot read {path}: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, path: str) -> Document:
    """Parse YAML text; ``path`` is used in messages. Raises SpaceError as ``read_yaml`` does."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpaceError(f"{path}{place}: not valid YAML: {error.problem or error.context}; {_MEND}") from None
    except yaml.reader.ReaderError as error:
        place = f" line {text.count(chr(10), 0, error.position) + 1}"
        why = f"{error.reason} (U+{error.character:04X})"
        raise SpaceError(f"{path}{place}: not valid YAML: {why}; {_MEND}") from None
    except RecursionError:
        raise SpaceError(f"{path}: nested more than {DEEPEST} levels deep") from None
    lines: dict[KeyPath, int] = {}
    if not isinstance(node, yaml.MappingNode):
        raise SpaceError(f"{path}: expected a mapping of keys to values at the top")
    data = _construct(node, (), lines, path)
    return Document(path, data, lines)


def _construct(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: str) -> Any:
    """Build plain values from a node tree, noting lines."""
    if len(at) > DEEPEST:  # an alias that contains itself never ends
        raise SpaceError(f"{path} line {node.start_mark.line + 1}: nested more than {DEEPEST} levels deep")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node.value, Hashable) else repr(key_node.value)
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise SpaceError(f"{path} line {line}: key '{key}' is given twice")
            _check_whole(key, f"{path} line {line}")
            lines[(*at, key)] = line
            mapping[key] = _construct(value_node, (*at, key), lines, path)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        values = []
        for index, child in enumerate(node.value):
            lines[(*at, str(index))] = child.start_mark.line + 1
            values.append(_construct(child, (*at, str(index)), lines, path))
        return values
    place = f"{path} line {node.start_mark.line + 1}"
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:  # an impossible date, a tag that does not fit
        raise SpaceError(f"{place}: cannot read {node.value!r}: {error}; quote it if it is meant as text") from None
    if isinstance(value, str):
        _check_whole(value, place)
    return value


def _check_whole(text: str, place: str) -> None:
    """Refuse half a character (a lone surrogate, U+D800 to U+DFFF): no model can be sent it, no file keep it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SpaceError(
            f"{place}: {text!r} holds half a character at place {error.start + 1}; write the character itself"
        ) from None
