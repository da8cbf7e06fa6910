"""Where an answer commits itself: the places after which the final value stands, strongest kind first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Tier = Literal["answer line", "####", "boxed", "stated"]

_WORD = r"(?:answers?|ans|respuesta|antwort|réponse|risposta|resposta|ответ)"
_LEADING = r"(?:(?:so|thus|hence|therefore|and|the|my|your|our|final|correct|best|right|is)\b,?\s*)*"
_LABEL = (
    rf"(?:{_WORD}(?:\s+(?:is|choice|letter|option|key))?|(?:correct|final|best|right)\s+(?:option|choice|letter))"
    r"\s*(?::|=|\s-\s)[ \t*]*\n?[ \t]*"
)
_LINE = re.compile(
    rf"(?:^[^\w\n]*|(?<=[.!?;)]\s)){_LEADING}{_LABEL}"
    rf"|^[^\w\n]*{_LEADING}answer[ \t]+(?=[^\w\n]*[A-J][^\w\n]*$)"
    r"|[\"'](?:final[_ ]|correct[_ ])?answer[\"']\s*:\s*|<answer>\s*"
    r"|(?:答案|答え)(?:是|为|は)?\s*:?\s*",
    re.I | re.M,
)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?=\S*\d)", re.M)
_BOXED = re.compile(r"\\f?boxed\s*\{")
_FILLER = (
    r"(?:[ ,:]+(?:therefore|thus|then|clearly|definitely|certainly|probably|likely|indeed|simply|just|actually|also|"
    r"equal to|equals|approximately|about|exactly|most likely|given by|as follows)\b)*"
)
_BE = r"(?:is|are|was|would be|should be|must be|has to be|will be|ends up being|comes out to(?: be)?)"
_OF = (
    r"(?:\s+(?:here|choice|option|to (?:this|the|your) (?:\w+ )?(?:question|problem)|"
    r"for (?:this|the) (?:question|problem)))?"
)
_STATED = re.compile(
    rf"\b(?:{_WORD}{_OF}|(?:correct|right|best|proper|appropriate) (?:option|choice|one|letter){_OF})\s+{_BE}"
    rf"{_FILLER}\s*[:,]?\s*",
    re.I,
)
_HEDGED = re.compile(
    r"\b(?:some(?: \w+)? (?:may|might|would|people)|someone|people|one (?:might|may|could)|you (?:might|may|could)|"
    r"tempt\w*|suppose|assum(?:e|ing) (?:that )?the|whether|n't mean|not mean|n't think|initially|at first|"
    r"what if|not that|unclear|don't know|not sure (?:what|which|if|that)|cannot (?:say|tell)|unless)\b",
    re.I,
)
_IF_WOULD = re.compile(r"\bif\b.*\bwould\b", re.I | re.S)
_CLAUSE_END = re.compile(r"[.!?\n;](?=\s|$)|\b(?:but|however|so|therefore)\b", re.I)
CLAUSE_CHARACTERS = 300
"""How far back a hedge is looked for; answers that loop would otherwise take quadratic time."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The words that announce a value: ``text[start:end]``; the value begins at ``end``."""

    tier: Tier
    start: int
    end: int


def leads(text: str) -> Iterator[Lead]:
    """Yield every announcement in ``text`` (already `plain`), in order of tier; "stated" ones only when not hedged."""
    for tier, pattern in (("answer line", _LINE), ("####", _HASHES), ("boxed", _BOXED)):
        for found in pattern.finditer(text):
            yield Lead(tier, found.start(), found.end())  # type: ignore[arg-type]
    for found in _STATED.finditer(text):
        if not hedged(text, found.start(), found.end()):
            yield Lead("stated", found.start(), found.end())


def hedged(text: str, start: int, end: int) -> bool:
    """Say whether the clause up to ``end`` weighs a possibility rather than claims it."""
    before = text[max(0, start - CLAUSE_CHARACTERS) : start]
    ends = [found.end() for found in _CLAUSE_END.finditer(before)]
    clause = before[ends[-1] if ends else 0 :] + text[start:end]
    return bool(_HEDGED.search(clause) or _IF_WOULD.search(clause))
