"""Which of the numbers in a sentence is its result."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

from defender.grading.amounts import NUMBER, amount, joined

EQUALS = re.compile(r"=>|=|≈")
FORWARD = re.compile(
    r"[,;]\s*(?:and\s+)?(?:so|therefore|thus|hence|then|meaning)\b|"
    r"\b(?:which|that) is(?=\W{1,3}(?:about |approximately |exactly |equal to |a total of |worth )?[-\d(])|"
    r"\b(?:which|that) (?:means|gives|leaves|makes|equals|totals|comes to|amounts to|rounds? (?:up |down )?to)\b|"
    r"\bfor a total of\b|,\s*(?:and )?(?:giving|making|leaving|bringing)\b|\b(?:totall?ing|resulting in|"
    r"rounds? (?:up |down )?to|rounded (?:up |down )?to|equals|amounts to|comes (?:out )?to|adds? up to)\b",
    re.I,
)
_REASON = re.compile(
    r"[\s,]+(?:since|because|as|after|given|if|when|assuming|considering|compared|instead of|rather than|"
    r"plus the|including|(?<=,\s)(?:who|whose|where|while)|(?<=,\s)[a-z]{3,12}ing|"
    r"is the (?:product|sum|difference|quotient|result|total|average) (?:of|between))\b.*",
    re.I | re.S,
)
_PARENTHESES = re.compile(r"\([^()\n]{0,200}\)")
_CLOCK = re.compile(
    r"(?<![\d:])(?<!=)(?<!= )\d{1,2}:\d{2}(?!\d)(?:\s*[ap]\.?\s?m\b\.?)?|(?<!=)(?<!= )\b\d{1,2}\s*[ap]\.?m\b\.?", re.I
)
_IS_ANSWER = re.compile(
    rf"({NUMBER.pattern})(?:\s+[a-z]+)?\s+is (?:the|our|my) (?:final |correct |right )?answer\b", re.I
)
_ASIDE = re.compile(
    r"\b(?:from|by|at|in|over|with|within|during|per|every|each|than|not|out of|of (?:the|his|her|their|its|these|"
    r"those|all)|after|on|among|between|into|starting with)(?:\s+(?:\w+ing|the|her|his|their|its|a|all|those|these|"
    r"first|last|only|another|original|initial|remaining|total|other)){0,3}\s+$",
    re.I,
)
_PURPOSE = re.compile(
    r"\bto\s+[a-z]{2,12}\s+(?:(?:down|up|back|out|off|over|away|to|at|from|of)\s+){0,2}(?:(?:the|his|her|their|its|all|those)\s+){0,2}$",
    re.I,
)
_FOR = re.compile(r"\bfor\s+$", re.I)
_BESIDE = re.compile(r"^\s*(?:[a-z]+\s+)?(?:and|,|or|&|\*|x|times)\s*$", re.I)
_NUMBERING = re.compile(r"^\W*(?:(?:step|part|case|phase)\s*\d{1,2}\s*[:.)-]+|\d{1,2}[.)])\s*(?=\D)", re.I)
_EACH = re.compile(r"\s*(?:\w+\s+)?(?:each|apiece|a piece|per)\b", re.I)
_EITHER = re.compile(r"^\s*(?:%|[a-z]+)?\s*(?:or|to|and/or)\s+$", re.I)
_RANGE = re.compile(r"\b(?:between|either|from)\s+$", re.I)
_AND = re.compile(r"\band\b|[;&]")
_NOT = re.compile(r"\b(?:not|isn't|never)\s+(?:just\s+|simply\s+)?(?=[-+]?\.?\d)", re.I)
LOOK_BACK = 60
"""How many characters before a number are looked at for a preposition."""


def result(sentence: str, single: bool = False) -> tuple[Fraction | None, bool]:
    """Return (the number a sentence concludes with, whether it has any); (None, True) where it leaves a choice.

    After an equals sign the first number; else the last one of the concluding clause that no preposition makes an
    aside ("from 9 eggs", "at $2 each"), or simply the last.

    Args:
        sentence: `numeric` text.
        single: two numbers joined by "and" are a choice as well.
    """
    if (claimed := _IS_ANSWER.search(sentence)) is not None:
        return amount(claimed), True
    clause = _concluding(_without_asides(sentence))
    sides = EQUALS.split(clause)
    if len(sides) > 1 and (found := NUMBER.search(joined(sides[-1]))) is not None:
        return amount(found), True
    if len(sides) > 1 and sides[-1].strip(" .").isalpha():  # "20 = x"
        clause = re.split(r"\bor\b", sides[-2])[-1]
    found_all = [found for found in NUMBER.finditer(clause) if amount(found) is not None]
    if not found_all:
        return None, NUMBER.search(sentence) is not None
    main = _main(clause, found_all)
    if _choice(clause, found_all) or (single and _listed(clause, main)):
        return None, True
    return amount((main or found_all)[-1]), True


def unnumbered(sentence: str) -> str:
    """Take off the numbering of a step or list item."""
    return _NUMBERING.sub("", sentence)


def _without_asides(sentence: str) -> str:
    """Take out parentheses and times of day, as long as another number is left."""
    for aside in (_PARENTHESES, _CLOCK):
        shorter = aside.sub(" ", sentence)
        sentence = shorter if NUMBER.search(shorter) else sentence
    return sentence


def affirmed(sentence: str) -> bool:
    """Say whether a sentence has a number that it does not deny ("not 26")."""
    return NUMBER.search(sentence) is not None and len(NUMBER.findall(sentence)) > len(_NOT.findall(sentence))


def _concluding(sentence: str) -> str:
    """Return the last clause that has a number: behind "so" and "which is", in front of "since" and "after"."""
    for turn in reversed(list(FORWARD.finditer(sentence))):
        if NUMBER.search(sentence, turn.end()):
            sentence = sentence[turn.end() :]
            break
    if EQUALS.search(sentence) is not None:
        return sentence  # what comes out of the sum is its result, whatever clause the sum stands in
    shorter = _REASON.sub("", sentence, count=1)
    return shorter if NUMBER.search(shorter) else sentence


def _main(clause: str, numbers: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the numbers that no preposition makes an aside, nor an "and" behind such an aside."""
    main: list[re.Match[str]] = []
    for place, found in enumerate(numbers):
        before = numbers[place - 1] if place else None
        beside = before is not None and before not in main and _BESIDE.match(clause[before.end() : found.start()])
        if not beside and not _aside(clause, found, first=before is None):
            main.append(found)
    return main


def _aside(clause: str, found: re.Match[str], first: bool) -> bool:
    before = clause[max(0, found.start() - LOOK_BACK) : found.start()]
    if _FOR.search(before) is not None:
        return bool(_EACH.match(clause, found.end()) or _counted(clause, found))
    return _ASIDE.search(before) is not None or (not first and _PURPOSE.search(before) is not None)


def _counted(clause: str, found: re.Match[str]) -> bool:
    """Say whether the number counts things ("9 eggs")."""
    return re.match(r"\s+[a-z]{2,}", clause[found.end() : found.end() + LOOK_BACK]) is not None


def _listed(clause: str, numbers: list[re.Match[str]]) -> bool:
    return any(
        amount(one) != amount(other) and _AND.search(clause[one.end() : other.start()])
        for one, other in pairwise(numbers)
    )


def _choice(clause: str, numbers: list[re.Match[str]]) -> bool:
    """Say whether two different numbers end it side by side: "18 or 20", "between 18 and 20"."""
    for one, other in pairwise(numbers):
        between = clause[one.end() : other.start()]
        ranged = between.strip() in ("and", "to", "or") and _RANGE.search(
            clause[max(0, one.start() - 12) : one.start()]
        )
        either = _EITHER.match(between) and not between.strip().endswith("to")
        if amount(one) != amount(other) and (either or (ranged and other is numbers[-1])):
            return True
    return False
