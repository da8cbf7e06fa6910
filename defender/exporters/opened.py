"""An exported file, opened: its text, or the document in it. What cannot be read is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from defender.errors import ConfigError

_SHOWN = 40


def again(format_: str) -> str:
    """Return what to do about a file that is not usable."""
    return (
        f"export it again (defender export RUN --format {format_} --into FOLDER), or give the text of the system "
        "prompt as a .txt file"
    )


def opened(path: Path) -> str:
    """Return a file's text. Raises ConfigError where it is not there, cannot be read or is not UTF-8."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"no prompt file {path}; give the path of a text file or of an exported prompt") from None
    except OSError as error:
        raise ConfigError(
            f"cannot read the exported prompt {path}: {error.strerror}; give the path of a file you may read"
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ConfigError(
            f"{path} line {line}: expected UTF-8 text, got the byte 0x{byte:02x} ({error.reason}); {again('json')}"
        ) from None


def document(path: Path, text: str) -> Any:
    """Return the document that is a JSON file's text, or that of a YAML file of any other name.

    Raises:
        ConfigError: it is malformed; with the line and what stands there.
    """
    kind = "json" if path.suffix.lower() == ".json" else "yaml"
    place: int | None = None
    try:
        return json.loads(text) if kind == "json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        place, why = error.pos, error.msg
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place, why = mark.index if mark else None, error.problem or error.context or "malformed"
    except yaml.reader.ReaderError as error:
        place, why = error.position, error.reason
    except RecursionError:
        why = "nested too deep"
    except (ValueError, yaml.YAMLError) as error:  # an impossible date, a number with too many digits
        why = " ".join(str(error).split())
    at = (
        ""
        if place is None
        else f" line {text.count(chr(10), 0, place) + 1}, column {place - text.rfind(chr(10), 0, place)}"
    )
    got = why if place is None else f"{_there(text, place)} ({why})"
    raise ConfigError(f"{path}{at}: expected {kind.upper()}, got {got}; {again(kind)}")


def _there(text: str, place: int) -> str:
    """Return what stands at a place, up to the end of its line."""
    if not text[place:].strip():
        return "the end of the file"
    rest = text[place:].split("\n", 1)[0]
    return ascii(rest if len(rest) <= _SHOWN else f"{rest[:_SHOWN]}...") if rest.strip() else "the end of a line"
