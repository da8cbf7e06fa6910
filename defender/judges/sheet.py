"""Finding the one JSON object in which a judge model gives its verdict; anything else is no verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

# What opens like an object; braces in prose ("{sic}") do not.
_OPENING = re.compile(r'\{\s*["}]')
_THOUGHT, _THOUGHT_END = "<think>", "</think>"


class _Twice(ValueError):
    """A key stands twice in one object, so it says two things."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _Twice("a key stands twice")
    return dict(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def after_thought(reply: str) -> str:
    """Return what follows the thoughts of a model whose server leaves them in the text; "" where they do not end."""
    rest = reply.rpartition(_THOUGHT_END)[2]
    return "" if rest.lstrip().startswith(_THOUGHT) else rest


def find_verdict(reply: str, about: Sequence[str], *, cut: bool = False) -> dict[str, Any] | None:
    """Return the only JSON object of a reply, or None.

    The reply is the object, or holds it alone: in a fence, or among words where a server ignored the schema. Two
    objects contradict each other, and something that opens like one without being one may hide the real verdict:
    both are None. So is an object that already stands in what was judged, for that is an echo and not a verdict.

    Args:
        reply: what the judge model wrote.
        about: the texts that were judged.
        cut: the reply ended at the token limit, so it counts only where it is one whole object.
    """
    found = _whole(reply) or _whole(after_thought(reply))
    if found is None and not cut:
        found = _alone(after_thought(reply))
    if found is None or any(found == quoted for text in about for quoted in _anywhere(text)):
        return None
    return found


def _whole(text: str) -> dict[str, Any] | None:
    text = text.strip()
    found = _object_at(text, 0) if text.startswith("{") else None
    return found[0] if found is not None and found[1] == len(text) else None


def _alone(text: str) -> dict[str, Any] | None:
    found, place = None, 0
    while (opening := _OPENING.search(text, place)) is not None:
        read = _object_at(text, opening.start())
        if read is None or found is not None:
            return None
        found, place = read
    return found


def _anywhere(text: str) -> Iterator[dict[str, Any]]:
    """Yield every object in a text, those inside others too."""
    for opening in _OPENING.finditer(text):
        if (read := _object_at(text, opening.start())) is not None:
            yield read[0]


def _object_at(text: str, place: int) -> tuple[dict[str, Any], int] | None:
    try:
        found, end = _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        return None
    return (found, end) if isinstance(found, dict) else None
