"""The stamp every exported file carries: whose text it is, its hash, and what was shown for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from defender.exporters.payload import plain, sha256
from defender.records import Candidate

NO_MODEL = "your-model"
NO_URL = "http://localhost:8000/v1"


class Served(NamedTuple):
    """The model the prompt was measured on, as an application would reach it."""

    model: str
    base_url: str


def stamp(candidate: Candidate, provenance: Mapping[str, object]) -> dict[str, object]:
    """Return the stamp as plain data: names, hashes of the text with and without identity, provenance.

    Raises:
        ConfigError: the text is not valid Unicode, or the provenance is not plain data.
    """
    return {
        "name": candidate.name,
        "candidate": candidate.id,
        "sha256": sha256(candidate.template),
        "sha256_without_identity": sha256(candidate.system("")),
        "provenance": plain(provenance, "provenance"),
    }


def stamp_lines(candidate: Candidate, provenance: Mapping[str, object], *how: str) -> list[str]:
    """Return the stamp as lines of ASCII without comment signs, after the lines that say how the file is used."""
    flat = stamp(candidate, provenance)
    shown = flat.pop("provenance")
    flat.update(shown if isinstance(shown, dict) else {})
    return [*how, *(f"{key}: {json.dumps(value)}" for key, value in flat.items())]


def stamp_in(text: str, sign: str) -> dict[str, Any]:
    """Return what ``stamp_lines`` wrote, from the lines of a text that begin with a sign."""
    found: dict[str, Any] = {}
    for line in text.split("\n"):
        key, colon, value = line.removeprefix(sign).partition(": ")
        if line.startswith(sign) and colon and key.isidentifier():
            with suppress(ValueError):  # a line that says how the file is used
                found.setdefault(key, json.loads(value))
    return found


def commented(lines: list[str], sign: str = "#") -> str:
    """Return lines as comments, each with its line end."""
    return "".join(f"{sign} {line}\n" for line in lines)


def served(provenance: Mapping[str, object]) -> Served:
    """Return the measured model's name and endpoint; placeholders where the provenance has none."""
    card = provenance.get("model")
    card = card if isinstance(card, Mapping) else {}
    endpoint = str(card.get("endpoint", "")).partition(" ")[0]
    url = endpoint if endpoint.startswith(("http://", "https://")) else NO_URL
    return Served(str(card.get("model") or NO_MODEL), url)
