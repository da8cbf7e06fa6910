"""The end of an answer: its last sentences of substance, without courtesies, notes and checks of the result."""

from __future__ import annotations

import re

_COURTESY = re.compile(
    r"\b(?:let me know|feel free|(?:I )?hope (?:this|that|it)|if you (?:have|need|want|would like|ha(?:ve|d) any)|"
    r"happy to|glad to|any (?:other|more|further) questions|would you like|need (?:any )?(?:more )?help|"
    r"is there anything|thank(?:s| you)|good luck|have a (?:great|nice|good)|you're welcome|do you (?:want|need)|"
    r"24/7)\b|^\W*$",
    re.I,
)
_CHECK = re.compile(
    r"^\W*(?:(?:to|let me|let's|we can|now|quick|sanity)\s+){0,3}"
    r"(?:(?:double|cross|sanity).?)?(?:check(?:ing)?|verif(?:y|ying|ication)|proof|confirm|note|disclaimer)\b(?! that)",
    re.I,
)
_COMMENT = re.compile(
    r"^\W*(?:explanation|reasoning|because|since|here's (?:why|how)|rationale|justification|steps?)\b", re.I
)
_CONCLUDES = re.compile(
    r"^\W*(?:so|therefore|thus|hence|finally|in (?:total|all|conclusion)|the (?:total|final|answer))\b", re.I
)
_DIGIT = re.compile(r"\d")
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(
    r"(?<=[^\d.\s][.!?])[ \t]+|(?<=\d[.!?])[ \t]+(?=[^a-z\d])|(?<=\.[\")])[ \t]+(?=[A-Z])|\n+|(?<=[。！？])"
)
TAIL_CHARACTERS = 4000
"""How much of an answer's end is looked at."""


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of ``text``."""
    return [piece.strip() for piece in _SENTENCE.split(text) if piece and piece.strip()]


def substance(text: str) -> list[str]:
    """Return the sentences of the last part of ``text``, without closing courtesies and checks of the result."""
    paragraphs = _PARAGRAPH.split(text[-TAIL_CHARACTERS:])
    while len(paragraphs) > 1 and (_CHECK.match(paragraphs[-1]) or not _kept(sentences(paragraphs[-1]))):
        paragraphs.pop()
    return [sentence for paragraph in paragraphs[:-1] for sentence in sentences(paragraph)] + _kept(
        sentences(paragraphs[-1])
    )


def _kept(said: list[str]) -> list[str]:
    while said and _COURTESY.search(said[-1]) and not _DIGIT.search(said[-1].replace("24/7", "")):
        said.pop()
    for place, sentence in enumerate(said):
        if place and _CHECK.match(sentence) and not any(_CONCLUDES.match(later) for later in said[place:]):
            return said[:place]
    return said


def is_comment(text: str) -> bool:
    """Say whether ``text`` opens as a check, note or explanation of what stands before it."""
    return bool(_CHECK.match(text) or _COMMENT.match(text))
