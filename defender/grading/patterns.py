"""The expressions that find a letter, by how many options there are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from defender.grading.options import ALPHABET

_KIND = r"(?:option|choice|letter|answer|opción|opção|alternativa|letra|lettera|lettre|buchstabe|буква)"
_SURELY = (
    r"(?:(?:most )?(?:probably|likely|definitely|clearly|certainly)\s+|I (?:think|believe|would say|"
    r"'d say)(?: that)?\s+|(?:it's|it is|would be|must be)\s+)?"
)
_OPEN = rf"{_SURELY}(?:(?:the\s+)?{_KIND}\s*[:#]?\s*)?(?:\\f?box(?:ed)?\s*\{{?)?(?P<open>[\s\"'(\[{{<*]{{0,9}})"
_CLOSE = r"(?P<close>\s?[\"')\]}>*.:;,!]*)"
_ENDS = r"(?!'?[A-Za-z0-9_\u00c0-\u024f])"
_ALSO = r"\s*\(?(?:,|/|&|\+|\band\b|\bor\b|\band/or\b|\bor maybe\b)\s*(?:option\s+)?[\"'(\[]*"
_REVERSED_BE = (
    r"(?:(?:is|must be|would be|seems to be|should be|has to be|remains)\s+(?:\w+ly\s+|also\s+|indeed\s+|thus\s+|"
    r"the\s+|my\s+|your\s+|our\s+|single\s+|most\s+|only\s+|one\s+){0,4}"
    r"(?:correct|right|best|true|answer|final answer|accurate|appropriate|choice|(?:one|option) that fits)\b|"
    r"(?:fits|matches|works|answers)\s+(?:the\s+\w+\s+)?best\b|it is(?=\W*$))"
)
_DRESS = r"[\"'(\[]{0,3}"
BEFORE = re.compile(
    rf"(?:^|\n|[.!?:;,]\s|(?<!\w)(?:so|thus|therefore|hence|that|and|but|option|choice|answer|letter|think|believe|"
    rf"only)\s+){_DRESS}\Z"
)
"""What may stand in front of a letter that is the subject of its sentence; fit for small letters."""
_CHOOSING_WORDS = (
    "choose|choosing|pick|picking|select|selecting|mark|go with|going with|go for|say|saying|answer|answering|"
    "guess|guessing|lean towards|lean toward|leaning towards|leaning to|leaning toward|lean to|opt for|"
    "opting for|has to be|must be|would be|correspond to|match|corresponds to|matches|leaves|leaving|leaves only|"
    "leaving only|leaves us with|leaving us with|left with|so|it's|therefore|thus|hence|it is|get|option|choice|i.e.|"
    "namely|looks like|probably|likely|definitely|clearly|certainly"
)
CHOOSING_ENDS = tuple(_CHOOSING_WORDS.split("|"))
CHOOSING = re.compile(
    r"(?:(?<!\w)i(?:'d| would| will|'ll|'m| am)?(?:\s+(?:rather|therefore|have to|going to|still|also|confidently))?\s+"
    r"(?:choos(?:e|ing)|pick(?:ing)?|select(?:ing)?|go(?:ing)? (?:with|for)|say(?:ing)?|answer(?:ing)?|guess(?:ing)?|"
    r"lean(?:ing)? (?:towards?|to)|opt(?:ing)? for)|"
    r"(?:^|\n|[.!?:;,]\s)\W*(?:please )?(?:choose|select|pick|mark|option|choice)|"
    r"(?<!\w)(?:it (?:must|has to) be|must be|(?:that|which|it) would be|corresponds? to|match(?:es)?|"
    r"leav(?:es|ing)(?: us| only| with){0,3}|left with|i\.e\.|namely|looks like|so it's|so|therefore|thus|hence|"
    r"it's|it is|we (?:choose|get|pick))|(?:^|\n)\W*(?:most )?(?:probably|likely|definitely|clearly|certainly))\Z"
)
"""Verbs that choose what comes next; fit for small letters."""
NAMING = re.compile(
    r"[,:]?\s+(?:that\s+)?(?:the\s+)?(?P<named>(?:option|choice|letter)\s+)?(?P<open>[\"'(\[<{]{0,2}\s?)\Z"
)
"""What may stand between such a verb and its letter."""
WEIGHED = re.compile(
    r"[\"')\]>}]{0,2}\s+(?:is|was|isn't|wasn't|are|can|can't|cannot|could|would|has|does|doesn't|must|might|may|"
    r"seems)\b"
)
"""What shows that a letter after a choosing verb is only talked about."""
CLOSES = re.compile(r"\s?[\"')\]>}]")
BARE_ENDS = re.compile(
    r"[.!,;:]?\s*(?:\n|\Z)|\s+[-(]|,?\s+(?:instead|rather|over|because|since|as|here|not|and not|but|although|though)\b"
)
TEXT_FOLLOWS = re.compile(r"[).:]\)?\s")
"""What may stand behind a letter so that it is chosen: nothing more, a reason, or for the clearest verbs its text."""
CLEARLY = ("choose", "choosing", "pick", "picking", "select", "selecting", "with", "for", "say", "answer", "option")
AFTER = re.compile(rf"[\"')\]:.]{{0,3}}(?:(?<=[:.)])\s[^.\n(]{{1,80}}?)?,?\s+{_REVERSED_BE}", re.M)
"""What makes the subject of a sentence the answer."""
MAKES = re.compile(r"(?<!\w)(?:makes?|making|leaves?|leaving)(?: option| choice)?\s+[\"'(\[]{0,2}\Z")
MADE = re.compile(
    r"[\"')\]]{0,2}(?: as)? the (?:only |single )?(?:correct|right|best|most \w+|answer|only (?:correct|right|"
    r"possible))\b"
)
"""The words around a letter that something "makes the correct choice"."""
INSIDE_WORD = re.compile(r".?[A-Za-z0-9_\u00c0-\u024f]\Z|\w'\Z", re.S)
"""The two characters in front of a letter that is part of a word."""
_SUPPOSED = (
    r"(?:(?:I (?:think|believe|guess|suppose)|(?:most )?(?:probably|likely)|for sure|of course|"
    r"definitely|obviously|clearly|certainly)\W*)?"
)
_LABELS = (
    r"(?:final|solution|pick|choice|option|selection|conclusion|verdict|result|correct|decision|prediction|response)"
)
LABELS = re.compile(
    rf"(?:(?:^|\n)[^\w\n]*(?:my |best |final ){{0,3}}{_LABELS}[ \t]?:[\s\"'(\[*]{{0,6}}|[\"'](?:correct_|"
    rf"selected_)?{_LABELS}[\"']\s?:\s?[\"'(]{{0,3}}|"
    r"(?:故|应|所以|因此|，|,)选(?:择)?[:\s(]{0,4})\Z"
)
"""Labels other than "answer", right before a letter; fit for small letters."""
TURN_LABEL = re.compile(r"(?:^|\n)a:[ \t]{0,3}\(?\Z")
TURN_ENDS = re.compile(r"[ .)]{0,3}(?:\n|\Z)")
"""The "A:" of a dialogue, and that nothing but the letter stands behind it."""


@dataclass(frozen=True, slots=True)
class LetterPatterns:
    """Compiled expressions; what each finds is in its group "letter" or 1.

    ``token``: the letter a claim begins with; ``also``: a second one beside it; ``lone``: a line that is a letter;
    ``bare``: the same with "option" before it; ``bracketed``: "(B)"; ``opening``: a line that begins with a letter and
    a mark; ``listed``: such a line in a list of options; ``verdict``: what a list says of an option; ``single``: a
    letter that stands by itself.
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
    single: re.Pattern[str]


@cache
def letter_patterns(options: int) -> LetterPatterns:
    """Return the patterns for a number of options."""
    letters = ALPHABET[:options]
    both = f"{letters}{letters.lower()}"
    return LetterPatterns(
        token=re.compile(rf"{_OPEN}(?P<letter>[{both}]){_ENDS}{_CLOSE}", re.I),
        also=re.compile(rf"{_ALSO}(?P<letter>[{letters}])(?!'?\w)(?!\s+\w)"),
        lone=re.compile(rf"[^\w~¬/+]*(?:\\f?box(?:ed)?\s*\{{?)?[^\w~¬/+]*([{both}])[^\w/+]*"),
        bare=re.compile(rf"(?:option|choice|letter)?\W*([{both}])\W*{_SUPPOSED}", re.I),
        bracketed=re.compile(rf"\(([{letters}])\)"),
        opening=re.compile(
            rf"(?:(?:option|choice)\s+)?\W*([{letters}]|[{letters.lower()}](?=[).]))\s*"
            r"(?:[).:\]]|\s-|,?\s(?=because\b|since\b))\s*(\S.*)"
        ),
        listed=re.compile(rf"^[^\w\n]*(?:[Oo]ption\s+)?(?P<letter>[{letters}])\s*[).:\]](?P<rest>.*)$", re.M),
        verdict=re.compile(
            r"[✅✔✓☑❌✗✘✖]|(?<=[-:(]\s)(?:in)?correct\b|(?<=[-:(]\s)wrong\b|(?<=[-:(]\s)right\b|"
            r"(?<=[-:(]\s)not correct\b",
            re.I,
        ),
        positive=frozenset("✅✔✓☑") | {"correct", "right"},
        single=re.compile(rf"[{both}](?![A-Za-z0-9_])(?!'[A-Za-z])"),
    )
