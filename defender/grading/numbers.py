"""Reading the final number of a worked answer, as an exact fraction."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from defender.grading.claims import leads
from defender.grading.reading import Reading, plain

_CURRENCY = re.compile(
    r"(?<![A-Za-z])(?:US|A|C|NZ)?[€£¥₹₽₩₺]|\b(?:USD|EUR|GBP|INR|Rs\.?)\s*(?=[-\d.])|(?<=\d)\s?(?:USD|EUR|GBP)\b"
)
_FRACTION_MACRO = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d+)?|\.\d+)"
_POWER = (
    r"(?:[eE](?P<e>[+-]?\d{1,3})(?!\w)|\s*(?:x|×|\*|·|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*\{?(?P<ten>[+-]?\d{1,3})\}?)"
)
_SCALE = r"(?:\s*(?P<scale>thousand|million|billion)\b)"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)\]}}%.])[-+])?(?P<whole>{_DECIMAL})"
    rf"(?:(?P<mixed>\s+\d+/\d+)(?![\d.])|\s*/\s*(?P<under>{_DECIMAL})(?!\s*/)|{_POWER})?{_SCALE}?",
    re.I,
)
CLAIM_CHARACTERS = 400
"""How much of a line after "Answer:" is the claim; answers that loop would otherwise take quadratic time."""
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_OPERATOR = re.compile(r"\s*(?:[+*×÷=^]|/|-\s*\d|-\s+\d|x\s*\d|\\times|\\div|\\cdot)")
_ALTERNATIVE = re.compile(r"\s*(?:%|[a-z]+)?\s*(?:or|to|and/or)\s+[-+]?\d", re.I)
_CLOCK = re.compile(r"\s*:\s*\d")
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_WORDS = {word: value for value, word in enumerate(_SMALL.split())}
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_ROUND.split(), start=2)}
_WORD_NUMBER = re.compile(
    rf"(?:({'|'.join(_TENS)})(?:[- ]({'|'.join([*_WORDS][1:10])}))?|({'|'.join(_WORDS)}))\b", re.I
)


@dataclass(frozen=True, slots=True)
class _Claim:
    value: Fraction | None
    start: int
    end: int


def read_number(text: str, cut: bool = False) -> Reading[Fraction]:
    """Return the number an answer settles on, exactly; commas, currency, units and a percent sign do not count.

    Tiers, strongest first: "answer line", "####", "boxed", "stated" ("the answer is ..."), "last number" (the last
    number of the last sentence that has one; after an equals sign the first). Within a tier the last claim counts.
    "contradictory": alternatives ("18 or 20").

    Args:
        text: the answer as received.
        cut: the text ended at the token limit: a number that touches its end may be half a number.
    """
    answer = _numeric(text)
    found: dict[str, list[_Claim]] = {}
    for lead in leads(answer):
        fragment = _fragment(answer, lead.end, lead.tier)
        end = lead.end + len(fragment)
        value, known = _claimed(fragment, touches_end=cut and end >= len(answer))
        if known:
            found.setdefault(lead.tier, []).append(_Claim(value, lead.start, end))
    for tier, claims in found.items():  # leads come strongest tier first
        final = claims[-1]
        beside = len(claims) > 1 and not re.search(r"\w", answer[claims[-2].end : final.start])
        if final.value is None or (beside and claims[-2].value != final.value):
            return Reading(None, "contradictory")
        return Reading(final.value, tier)
    if not cut and (value := _last(answer)) is not None:
        return Reading(value, "last number")
    return Reading(None, "no answer" if answer else "empty")


def value_of(text: str) -> Fraction | None:
    """Return the one number ``text`` is ("1,234.50", "-3/4", "6e3"), or None. Raises nothing."""
    found = _NUMBER.fullmatch(_numeric(text).strip().rstrip(".%").strip())
    return _value(found) if found else None


def _numeric(text: str) -> str:
    """Plain text with currency gone and fractions on one line."""
    answer = plain(text).replace("−", "-")
    answer = _FRACTION_MACRO.sub(r" \1/\2", answer)
    answer = "".join(
        _vulgar(c) if unicodedata.category(c) == "No" and "FRACTION" in unicodedata.name(c, "") else c for c in answer
    )
    answer = re.sub(r"\\[%#]", lambda m: m.group()[1], answer)
    answer = re.sub(r"(?<=[-+]) (?=\d+/\d)", "", answer)
    answer = re.sub(r"(?<=\d) (?=000(?!\d))", "", _CURRENCY.sub("", answer))  # "118 000"
    return re.sub(r"([:=])[ \t]*-[ \t]+(?=[\d.])", r"\1 -", answer)


def _vulgar(character: str) -> str:
    value = Fraction(unicodedata.numeric(character)).limit_denominator(100)
    return f" {value.numerator}/{value.denominator}"


def _fragment(answer: str, at: int, tier: str) -> str:
    if tier == "boxed":
        depth, end = 1, at
        while end < min(len(answer), at + CLAIM_CHARACTERS) and depth:
            depth += {"{": 1, "}": -1}.get(answer[end], 0)
            end += 1
        return answer[at : end - 1 if not depth else end]
    line = answer[at : at + CLAIM_CHARACTERS].split("\n", 1)[0]
    return line if tier != "stated" else re.split(r"(?<=[^\d])\.\s|\.\s+(?=[A-Z])", line, maxsplit=1)[0]


def _claimed(fragment: str, touches_end: bool) -> tuple[Fraction | None, bool]:
    """Read the number of a claim: (value, whether something was claimed); (None, True) is a contradiction."""
    boxed = re.match(r"\W*\\f?boxed\s*\{(.*?)\}?\W*$", fragment)
    inner = (boxed[1] if boxed else fragment).strip(" \t*:\"'([{")
    if (word := _WORD_NUMBER.match(inner)) is not None:
        tens, one, small = (group.lower() if group else "" for group in word.groups())
        return Fraction(_TENS[tens] + _WORDS.get(one, 0) if tens else _WORDS[small]), True
    numbers = list(_NUMBER.finditer(inner))
    if not numbers or (touches_end and numbers[-1].end() == len(inner)):
        return None, False
    first = numbers[0]
    after = inner[first.end() :]
    equation = re.search(r"[=≈]", inner)
    if first.start() == 0 and not equation and (_ALTERNATIVE.match(after) or re.match(r"\s?-\s?\d", after)):
        return None, True
    if first.start() == 0 and not _OPERATOR.match(after):
        return (None, False) if _CLOCK.match(after) else (_value(first), True)
    if equation:
        sides = _NUMBER.search(re.split(r"[=≈]", inner)[-1])
        return (_value(sides), True) if sides else (None, False)
    values = {_value(number) for number in numbers}
    return (values.pop(), True) if len(values) == 1 else (None, False)


def _last(answer: str) -> Fraction | None:
    sentences = [s for s in re.split(r"(?<=[^\d.])[.!?]\s+|(?<=\d)[.!?]\s+(?=[A-Z])|\n+", answer) if _NUMBER.search(s)]
    if not sentences:
        return None
    sides = re.split(r"[=≈]", sentences[-1])
    after_equals = _NUMBER.search(sides[-1]) if len(sides) > 1 else None
    return _value(after_equals or list(_NUMBER.finditer(sentences[-1]))[-1])


def _value(found: re.Match[str]) -> Fraction | None:
    whole = Fraction(found["whole"].replace(",", ""))
    if found["mixed"]:
        over, under = found["mixed"].split("/")
        if int(under) == 0:
            return None
        whole += Fraction(int(over), int(under))
    if found["under"]:
        under_value = Fraction(found["under"].replace(",", ""))
        if under_value == 0:
            return None
        whole /= under_value
    power = found["e"] or found["ten"]
    if power:
        whole *= Fraction(10) ** int(power)
    if found["scale"]:
        whole *= _SCALES[found["scale"].lower()]
    return -whole if found["sign"] == "-" else whole
