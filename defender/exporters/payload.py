"""What every export carries: the system text with its seams, the messages, and where it comes from."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.errors import ConfigError, StoreError
from defender.records import Candidate, Export

SCHEMA = "defender/prompt@1"
IDENTITY, QUESTION = "{identity}", "{question}"
_LONGEST_NAME = 60


def payload(candidate: Candidate, provenance: Mapping[str, object]) -> dict[str, object]:
    """Return the document that the JSON and YAML formats write.

    ``system.template`` and ``messages`` hold the literal placeholders ``{identity}`` and ``{question}``; other braces
    are text, so fill them by replacing, never with a formatter. Exact parts, for a prompt that itself contains such
    a placeholder: ``before``, the identity sentence (where ``seat`` is "system") and ``after``, the non-empty ones
    joined by one space where neither side has white space; ``without_identity`` is that text for an unknown user.

    Raises:
        ConfigError: the provenance holds something that is not plain data.
    """
    return {
        "schema": SCHEMA,
        "name": candidate.name,
        "id": candidate.id,
        "digest": candidate.digest,
        "sha256": sha256(candidate.template),
        "system": {
            "template": candidate.template,
            "without_identity": candidate.system(""),
            "before": candidate.before,
            "after": candidate.after,
            "seat": candidate.seat,
        },
        "messages": [
            {"role": "system", "content": candidate.template},
            {"role": "user", "content": candidate.user(IDENTITY, QUESTION)},
        ],
        "provenance": plain(provenance, "provenance"),
    }


def sha256(text: str) -> str:
    """Return the sha256 (hex) of a text's UTF-8 bytes. Raises ConfigError for a text that has none."""
    return hashlib.sha256(encoded(text)).hexdigest()


def encoded(text: str) -> bytes:
    """Return a text's UTF-8 bytes. Raises ConfigError for a lone surrogate: no file could carry it."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"expected a prompt that is valid Unicode, got {text[error.start : error.end]!r} at character "
            f"{error.start}; remove it from the clause or prompt file it came from"
        ) from None


def file_stem(candidate: Candidate) -> str:
    """Return a file name without suffix: the candidate's name where it is safe, else made safe and told apart."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", candidate.name).strip("-")[:_LONGEST_NAME]
    return safe if safe == candidate.name else f"{safe}-{candidate.id}".lstrip("-")


def placed(path: Path, text: str, carried: str, format_: str) -> Export:
    """Write ``text`` byte for byte and return its export; ``carried`` is the system text inside it.

    Raises:
        StoreError: the file cannot be written.
        ConfigError: the text is not valid Unicode.
    """
    content = encoded(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; free the place or name another folder") from error
    return Export(str(path), sha256(carried), format_)


def plain(value: object, where: str) -> object:
    """Return plain data that JSON and YAML both know; a number that is not finite becomes None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(inner, f"{where}[{n}]") for n, inner in enumerate(value)]
    raise ConfigError(f"expected text, numbers, lists and mappings, got {type(value).__name__} at {where}")
