"""Where an answer stops being an answer to the question asked: models run on into questions of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ASKER = (
    r"(?:(?:next|new|another|follow-?up|example|sample)\s+)?(?:question|problem|exercise|instruction|prompt|input|"
    r"human|user|q|pregunta|frage|问题|题目|問題|질문)"
)
_TURN = re.compile(
    rf"^[^\w\n]*(?:###\s*)?{_ASKER}\s{{0,3}}#?(?P<number>\d{{1,3}})?[ \t'\")*]*(?::|\.\s|\)\s|$)", re.I | re.M
)
_INSTRUCTION = re.compile(
    r"^[^\w\n]*(?:pick|choose|select|answer(?!\s*[:=-])|work out|solve|write|complete|read|"
    r"consider)\b[^\n]{0,60}\b(?:question|problem|task|options?|puzzle|program|exercise)s?\b[^\n]{0,40}(?:below|"
    r"following|above|given|step by step|:|\.)",
    re.I | re.M,
)
_LISTED = re.compile(r"^[^\n]{10,900}\?[ \t]*\n\s{0,4}[^\w\n]{0,3}A\s?[).:]", re.M)
_ASKED = re.compile(r"^[^\n]{60,900}\?[ \t]*$", re.M)
_ASKING = re.compile(
    r"\b(?:how (?:many|much|long|old|far|tall)|which (?:of|one|city)|what (?:is|was|are|were|will|would|percent\w*))\b",
    re.I,
)
_GOING_ON = re.compile(r"[^\w]*(?:now|next|then|so|but|wait|finally|and|first|however|also|hmm|did|does|is)\b", re.I)
MOST_TURNS = 8
"""How many places are looked at; an answer that rambles on has given its own answer before the first few."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where another question may begin. ``named``: a label says so; else it only reads like one."""

    at: int
    named: bool


def turns(answer: str) -> Iterator[Turn]:
    """Yield the places in a `plain` answer where a question other than the one asked may begin, in order.

    A repeated question at the start is none. Questions that the answer numbers from 1 are its own steps.
    """
    named = list(_TURN.finditer(answer))
    if any(found["number"] == "1" for found in named):
        return
    places = {found.start(): True for found in (*named, *_INSTRUCTION.finditer(answer), *_LISTED.finditer(answer))}
    for found in _ASKED.finditer(answer):
        before, asked = answer[max(0, found.start() - 9) : found.start()].rstrip(" \t"), found.group()
        if before.endswith("\n\n") and _ASKING.search(asked) and not _GOING_ON.match(asked):
            places.setdefault(found.start(), False)
    yield from (Turn(at, places[at]) for at in sorted(places)[:MOST_TURNS] if answer[:at].strip())
