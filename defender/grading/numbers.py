"""Reading the final number of a worked answer, as an exact fraction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from defender.grading.amounts import NUMBER, WORDS, amount, joined, numeric, spelled
from defender.grading.claims import Lead, corrects, leads
from defender.grading.clauses import EQUALS, FORWARD, affirmed, result, unnumbered
from defender.grading.closing import is_comment, sentences, substance
from defender.grading.reading import WEAK_TIERS, Reading, ends_open, plain
from defender.grading.turns import turns

CLAIM_CHARACTERS = 400
"""How much of a line after "Answer:" is the claim; answers that loop would otherwise take quadratic time."""
_UNIT = r"(?:%|[A-Za-z/²³]+(?:\s[a-z]+)?)"
_FILLER = re.compile(
    r"(?:\s*(?:≈|=|:|#|-(?=\s)|(?:approximately|about|around|roughly|nearly|almost|exactly|only|just|probably|equals?|"
    r"is|are|(?:I think )?(?:it is|it's)|a (?:total|sum|loss|profit|net total) of|a|an|the|total|of|=)(?=[\s:])))+\s*",
    re.I,
)
_BOUND = re.compile(r"(?:less|fewer|more|greater|higher|lower) than\b(?=\s+[\d.])", re.I)
_NEGATIVE = re.compile(r"(?:negative|minus)\s+(?=\S)", re.I)
_BOX = re.compile(r"\W*\\f?box(?:ed)?\s*\{(.*?)\}?\W*$", re.S)
_OPERATOR = re.compile(
    r"\s*(?:[A-Za-z%/]+\s+){0,3}?(?:=|≈|[+*^]\s*[\d(.]|/\s*\d|-\s*[\d.(]|x\s*\d)|[xyzn](?![\w])(?=\s*(?:[-+*/^=)]|$))"
)
_MORE = re.compile(rf"\s*{_UNIT}?\s*(?:,|;|&|and|,\s*and|plus|or|to|and/or|,\s*or)\s+[-+]?(?=[\d.]*\d)")
_PARTED = re.compile(
    r"\s*(?:hours?|hrs?|h|minutes?|mins?|feet|ft|foot|days?|weeks?|months?|years?|pounds?|lbs?|dollars?|meters?|m)"
    r"(?:\s*,)?(?:\s+and)?\s+\d",
    re.I,
)
_CENTS = re.compile(r"\s*dollars?\s*(?:,|and)?\s*(\d{1,2})\s*cents?\b", re.I)
_RANGED = re.compile(r"\s?-\s?\d")
_ROUNDED = re.compile(rf"\s*{_UNIT}?,?\s*(?:(?:which|and) )?(?:rounds?|rounded)\b(?! from)", re.I)
_CLOCK = re.compile(r"\s*:\s*(\d{1,9})")
_UNDETERMINED = re.compile(
    r"\b(?:not enough|insufficient|missing|lacks?|without (?:more|further|additional|"
    r"knowing)) (?:\w+ )?(?:information|info|data|details?|context)\b|\b(?:cannot|can't|can not|could not|unable to|"
    r"impossible to|not possible to) (?:be )?(?:\w+ly )?(?:determined?|answer(?:ed)?|solved?|calculated?|sa(?:y|id)|"
    r"computed?|found|find|know)\b|\b(?:do not|don't) know\b|\bmore information\b|\bno (?:answer|solution)\b",
    re.I,
)
_ONE = re.compile(
    r"(?:this|that|no|each|every|the|which|any|another|some)\s+one\b|\bone\s+(?:of|by|can|should|must)\b", re.I
)
_BOLDED = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_LONE = re.compile(rf"\W*?{NUMBER.pattern}\W*(?:%|percent|[A-Za-z]+(?:\s[a-z]+){{0,2}})?\W*", re.I)


@dataclass(frozen=True, slots=True)
class _Claim:
    """``value`` None: something is claimed that is no one number. ``firm``: the number itself, not read from a sum."""

    value: Fraction | None
    firm: bool
    start: int
    end: int


def read_number(text: str, cut: bool = False) -> Reading[Fraction]:
    """Return the number an answer settles on, exactly; separators, currency, units and a percent sign do not count.

    Tiers, strongest first: "answer line", "####", "boxed", "stated" ("the answer is ..."), "alone" (a first line that
    is nothing but a number), "last number" (the result of the last sentence that has a number, checks and courtesies
    left aside). Within a tier the last claim counts. "contradictory": alternatives ("18 or 20"), something that is no
    one number ("6:30"), or a weaker tier that afterwards claims another number without taking the first one back. An
    "Answer:" that heads the working announces nothing. Where the answer runs on into another question, what stands
    before counts.

    Args:
        text: the answer as received.
        cut: the text ended at the token limit: a number that touches its end may be half a number.
    """
    answer = numeric(plain(text))
    for turn in turns(answer):
        before = answer[: turn.at].rstrip()
        reading = _read(before, before, cut=False, open_end=False)
        settled = reading.value is not None or reading.tier == "contradictory"
        sure = reading.tier not in {*WEAK_TIERS, "stated"} or (turn.named and reading.tier != "last number")
        if settled and (sure or (turn.named and "=" in before)):
            return reading
    return _read(answer, text, cut, open_end=cut and ends_open(text))


def value_of(text: str) -> Fraction | None:
    """Return the one number ``text`` is ("1,234.50", "-3/4", "6e3"), or None. Raises nothing."""
    found = NUMBER.fullmatch(numeric(plain(text)).strip().rstrip(".%").strip())
    return amount(found) if found else None


def _read(answer: str, raw: str, cut: bool, open_end: bool) -> Reading[Fraction]:
    found: dict[str, list[_Claim]] = {}
    for lead in leads(answer):
        if (claim := _claim(answer, lead, open_end)) is not None:
            found.setdefault(lead.tier, []).append(claim)
    for tier, claims in list(found.items()):  # leads come strongest tier first
        final = claims[-1]
        later = [
            c for other in found.values() for c in other if c.start >= final.end and c.value != final.value and c.firm
        ]
        if later and corrects(answer[final.end : later[0].end]):
            return Reading(later[-1].value, "stated")
        beside = len(claims) > 1 and not re.search(r"\w", answer[claims[-2].end : final.start])
        if final.value is None or later or (beside and claims[-2].value != final.value):
            return Reading(None, "contradictory")
        return Reading(final.value, tier)
    if cut:
        return Reading(None, "no answer" if answer else "empty")
    return _last(answer, raw)


def _claim(answer: str, lead: Lead, open_end: bool) -> _Claim | None:
    fragment = _fragment(answer, lead)
    end = lead.end + len(fragment)
    value, firm, known = _claimed(fragment, open_end and end >= len(answer))
    if not known:
        return None
    if lead.tier == "answer line" and not firm and _heads_working(answer, fragment, end):
        return None
    return _Claim(value, firm, lead.start, end)


def _heads_working(answer: str, fragment: str, end: int) -> bool:
    """Say whether the working follows what stands after "Answer:", rather than a comment on it."""
    rest = answer[end:].lstrip()
    several = sum(1 for sentence in sentences(fragment) if NUMBER.search(sentence)) > 1
    return several or (NUMBER.search(rest) is not None and not is_comment(rest))


def _fragment(answer: str, lead: Lead) -> str:
    at = lead.end
    if lead.tier == "boxed" and answer[at - 1] == "{":
        depth, end = 1, at
        while end < min(len(answer), at + CLAIM_CHARACTERS) and depth:
            depth += {"{": 1, "}": -1}.get(answer[end], 0)
            end += 1
        return answer[at : end - 1 if not depth else end]
    line = answer[at : at + CLAIM_CHARACTERS].split("\n", 1)[0]
    return line if lead.tier != "stated" else re.split(r"(?<=[^\d])\.\s|\.\s+(?=[A-Z])", line, maxsplit=1)[0]


def _claimed(fragment: str, touches_end: bool) -> tuple[Fraction | None, bool, bool]:
    """Read the number of a claim: (value, firm, whether something was claimed); (None, _, True) is no one number."""
    boxed = _BOX.match(fragment)
    inner = joined(boxed[1] if boxed else fragment).strip(" \t*:\"'([{<")
    inner = inner[_length(_FILLER, inner) :]
    sign = -1 if _NEGATIVE.match(inner) else 1
    inner = inner[_length(_NEGATIVE, inner) :].lstrip("([{ ")
    if _BOUND.match(inner):
        return None, False, True
    words = WORDS.match(inner)
    if words is not None and (value := spelled(words.group())) is not None:
        return sign * value, True, True
    numbers = list(NUMBER.finditer(inner))
    if touches_end and numbers and numbers[-1].end() == len(inner):
        numbers.pop()
        inner = inner.rstrip("0123456789.,/")
    if not numbers:
        return None, False, False
    first, after = numbers[0], inner[numbers[0].end() :]
    if first.start() == 0 and not _OPERATOR.match(after) and not _ROUNDED.match(after):
        value, known = _leading(first, after, numbers)
        if not (value is None and EQUALS.search(after)):
            return None if value is None else sign * value, True, known
    if EQUALS.search(inner):
        return _equation(inner)
    if first.start() == 0 and not FORWARD.search(after):  # an expression that nobody worked out
        return None, False, True
    if not affirmed(inner):
        return None, False, False
    value, known = result(inner, single=True)
    return value, False, known


def _leading(first: re.Match[str], after: str, numbers: list[re.Match[str]]) -> tuple[Fraction | None, bool]:
    """Judge a number that opens a claim by what follows it."""
    value = amount(first)
    if (cents := _CENTS.match(after)) is not None and value is not None:
        return value + Fraction(int(cents[1]), 100), True
    if (clock := _CLOCK.match(after)) is not None:
        minutes = int(clock[1]) if len(clock[1]) == 2 else 60
        return (value + Fraction(minutes, 60), True) if value is not None and minutes < 60 else (None, True)
    more = _MORE.match(after) or _PARTED.match(after) or _RANGED.match(after)
    if more is not None and len(numbers) > 1 and amount(numbers[1]) != value:
        return None, True
    return value, value is not None


def _equation(inner: str) -> tuple[Fraction | None, bool, bool]:
    """Read the side of an equation that is one number: the last, else the first."""
    sides = EQUALS.split(inner)
    unknown = NUMBER.search("".join(sides[:-1])) is None
    last = NUMBER.search(sides[-1])
    if last is not None and not _OPERATOR.match(sides[-1][last.end() :]):
        return amount(last), unknown, True
    first = NUMBER.match(sides[0].strip())
    if first is not None and not _OPERATOR.match(sides[0].strip()[first.end() :]):
        return amount(first), True, True
    return None, False, True


def _length(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


def _last(answer: str, raw: str) -> Reading[Fraction]:
    nothing = "no answer" if answer else "empty"
    said = substance(answer)
    if not said or any(_UNDETERMINED.search(sentence) for sentence in said[-2:]):
        return Reading(None, nothing)
    with_number = [sentence for sentence in map(unnumbered, said) if affirmed(sentence)]
    if not with_number:
        words = WORDS.finditer(_ONE.sub(" ", said[-1]))
        values = [value for found in words if (value := spelled(found.group())) is not None]
        return Reading(values[0], "last number") if len(values) == 1 else Reading(None, nothing)
    if (lone := _opening(answer, raw)) is not None:
        return Reading(lone, "alone")
    emphasized = {value for bold in _BOLDED.findall(_last_line(raw)) if (value := _only(bold)) is not None}
    if len(emphasized) == 1:
        return Reading(emphasized.pop(), "last number")
    value, known = result(with_number[-1])
    return Reading(value, "last number" if value is not None else "contradictory" if known else nothing)


def _opening(answer: str, raw: str) -> Fraction | None:
    """Return the number an answer opens with: alone on its line with a break or a comment behind it, or as a price."""
    first, _, rest = answer.partition("\n")
    if rest.strip() and (rest.startswith("\n") or is_comment(rest)) and (lone := _LONE.fullmatch(first)):
        return amount(lone)
    if raw.lstrip("*_\\ \n")[:1] in tuple("$€£") and (lone := _LONE.fullmatch(sentences(first)[0])):
        return amount(lone)
    return None


def _last_line(raw: str) -> str:
    lines = [line for line in raw.rstrip().splitlines() if NUMBER.search(line)]
    return lines[-1] if lines else ""


def _only(bold: str) -> Fraction | None:
    """Return the one number among bold words, or None."""
    found = list(NUMBER.finditer(numeric(plain(bold))))
    return amount(found[0]) if len(found) == 1 else None
