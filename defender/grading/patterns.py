"""The expressions that find a letter, by how many options there are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from defender.grading.options import ALPHABET

_KIND = r"(?:option|choice|letter|answer|opción|opção|alternativa|letra|lettera|lettre|buchstabe|буква)"
_SURELY = (
    r"(?:(?:most )?(?:probably|likely|definitely|clearly|certainly)\s+|I (?:think|believe|would say|'d say)(?: that)?\s+|"
    r"(?:it's|it is|would be|must be)\s+)?"
)
_OPEN = rf"{_SURELY}(?:(?:the\s+)?{_KIND}\s*[:#]?\s*)?(?:\\f?box(?:ed)?\s*\{{?)?(?P<open>[\s\"'(\[{{<*]{{0,9}})"
_CLOSE = r"(?P<close>\s?[\"')\]}>*.:;,!]*)"
_ENDS = r"(?!'?[A-Za-z0-9_\u00c0-\u024f])"
_ALSO = r"\s*\(?(?:,|/|&|\+|\band\b|\bor\b|\band/or\b|\bor maybe\b)\s*(?:option\s+)?[\"'(\[]*"
_REVERSED_BE = (
    r"(?:(?:is|must be|would be|seems to be|should be|has to be|remains)\s+(?:\w+ly\s+|also\s+|indeed\s+|thus\s+|the\s+|"
    r"my\s+|your\s+|our\s+|single\s+|most\s+|only\s+|one\s+){0,4}"
    r"(?:correct|right|best|true|answer|final answer|accurate|appropriate|choice|(?:one|option) that fits)\b|"
    r"(?:fits|matches|works|answers)\s+(?:the\s+\w+\s+)?best\b|it is(?=\W*$))"
)
_CHOOSING = (
    r"(?:\bI(?:'d| would| will|'ll|'m| am)?(?:\s+(?:rather|therefore|have to|going to|still|also|confidently))?\s+"
    r"(?:choos(?:e|ing)|pick(?:ing)?|select(?:ing)?|go(?:ing)? (?:with|for)|say(?:ing)?|answer(?:ing)?|guess(?:ing)?|"
    r"lean(?:ing)? (?:towards?|to)|opt(?:ing)? for)|(?:^|(?<=[.!?:;,]\s))(?:please )?(?:choose|select|pick|mark|option|choice)|"
    r"\b(?:it (?:must|has to) be|must be|(?:that|which|it) would be|corresponds? to|match(?:es)?|leav(?:es|ing)(?: only)?|"
    r"so it's|so|therefore|thus|hence|it's|it is|we (?:choose|get|pick)))"
)
_LABELS = (
    r"(?:final|solution|pick|choice|option|selection|conclusion|verdict|result|correct|decision|prediction|response)"
)


@dataclass(frozen=True, slots=True)
class LetterPatterns:
    """Compiled expressions; what each finds is in its group "letter", 1 or whichever is set.

    ``token``: the letter a claim begins with; ``also``: a second one beside it; ``lone``: a line that is a letter;
    ``bare``: the same with "option" before it; ``bracketed``: "(B)"; ``opening``: a line that begins with a letter and
    a mark; ``listed``: such a line in a list of options; ``verdict``: what a list says of an option; ``stated``: the
    phrases that claim a letter.
    """

    token: re.Pattern[str]
    also: re.Pattern[str]
    lone: re.Pattern[str]
    bare: re.Pattern[str]
    bracketed: re.Pattern[str]
    opening: re.Pattern[str]
    listed: re.Pattern[str]
    verdict: re.Pattern[str]
    positive: frozenset[str]
    stated: tuple[re.Pattern[str], ...]


@cache
def letter_patterns(options: int) -> LetterPatterns:
    """Return the patterns for a number of options."""
    letters = ALPHABET[:options]
    both = f"{letters}{letters.lower()}"
    return LetterPatterns(
        token=re.compile(rf"{_OPEN}(?P<letter>[{both}]){_ENDS}{_CLOSE}", re.I),
        also=re.compile(rf"{_ALSO}(?P<letter>[{letters}])(?!'?\w)(?!\s+\w)"),
        lone=re.compile(rf"\W*(?:\\f?box(?:ed)?\s*\{{?)?\W*([{both}])\W*"),
        bare=re.compile(rf"(?:option|choice|letter)?\W*([{both}])\W*", re.I),
        bracketed=re.compile(rf"\(([{letters}])\)"),
        opening=re.compile(
            rf"(?:(?:option|choice)\s+)?\W*([{letters}]|[{letters.lower()}](?=[).]))\s*"
            r"(?:[).:\]]|\s-|,?\s(?=because\b|since\b))\s*(\S.*)"
        ),
        listed=re.compile(rf"^\W*(?:[Oo]ption\s+)?(?P<letter>[{letters}])\s*[).:\]](?P<rest>.*)$", re.M),
        verdict=re.compile(
            r"[✅✔✓☑❌✗✘✖]|(?<=[-:(]\s)(?:in)?correct\b|(?<=[-:(]\s)wrong\b|(?<=[-:(]\s)right\b|(?<=[-:(]\s)not correct\b",
            re.I,
        ),
        positive=frozenset("✅✔✓☑") | {"correct", "right"},
        stated=(_choosing(letters), _reversed(letters), _labelled(letters)),
    )


def _choosing(letters: str) -> re.Pattern[str]:
    both = f"{letters}{letters.lower()}"
    return re.compile(
        rf"{_CHOOSING}[,:]?\s+(?:that\s+)?(?:\(\s*(?P<dressed>[{both}])\s*\)|"
        rf"(?:option|choice|letter|answer)\s+\(?(?P<named>[{letters}])\)?(?!'?\w)|"
        rf"(?P<plain>[{letters}])(?=[.!,;]?\s*(?:\n|\Z)|,?\s+(?:instead|rather|over|because|since|as|here)\b))"
        r"(?!\s+(?:is|was|isn't|wasn't|are|can|can't|cannot|could|would|has|does|doesn't|must|might|may|seems)\b)",
        re.I | re.M,
    )


def _reversed(letters: str) -> re.Pattern[str]:
    return re.compile(
        r"(?:^|(?<=[.!?:;,]\s)|\b(?i:so|thus|therefore|hence|that|and|but|option|choice|answer|letter|think|believe|only)\s+)"
        rf"[\"'(\[]*(?P<letter>[{letters}])(?!\w)[\"')\]:.]*(?:(?<=[:.)])\s[^.\n(]{{1,80}}?)?,?\s+{_REVERSED_BE}",
        re.M,
    )


def _labelled(letters: str) -> re.Pattern[str]:
    """Build "Choice: (B)" and ``"choice": "B"``, "选B" and "Answer → B" among them."""
    return re.compile(
        rf"(?:^[^\w\n]*(?i:{_LABELS})[ \t]?:[\s\"'(\[*]{{0,6}}|[\"'](?i:(?:correct_|selected_)?{_LABELS})[\"']\s?:\s?[\"'(]{{0,3}}|"
        rf"^[Aa]:[ \t]{{0,3}}\(?(?=[{letters}]\W*$)|(?:故|应|所以|因此|，|,)选(?:择)?[:\s(]{{0,4}})(?P<letter>[{letters}])(?![A-Za-z0-9_'])",
        re.M,
    )
