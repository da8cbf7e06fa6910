"""The grammar of amounts: how models write one number, and which exact fraction it is."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_EURO_EVIDENCE = re.compile(r"\d\.\d{3},\d|(?<![\d.])\d{1,3}(?:\.\d{3}){2,}(?![\d.])")
_EURO_LANGUAGES = ("respuesta", "antwort", "réponse", "risposta", "resposta")
_EURO_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![\d.]|,\d{3}(?!\d))")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+),(\d{1,2})(?![\d,]|\.\d)")
_GROUPED = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(?!\d|,\d)")
_SPLIT_GROUPS = re.compile(r"(?<=\d)(?:'(?=\d{3}(?!\d))|_(?=\d)|,? (?=000(?![\d,]|\.\d{3})))")
_SPACED = re.compile(r"(?<![\d.,/])[1-9]\d{0,2}(?: \d{3})+(?![\d/]|[.,]\d{3}| \d)")
_CODES = ("USD", "EUR", "GBP", "INR", "AUD", "CAD", "JPY", "CNY", "RMB", "US", "Rs")
_CURRENCY = re.compile(
    rf"(?<![A-Za-z])(?:US|AU?|CA?|NZ|HK|S)?[€£¥₹₽₩₺₦฿₫¢]|\b(?:{'|'.join(_CODES)})\.?\s{{0,3}}(?=[-\d.])|"
    rf"(?<=\d)\s?(?:{'|'.join(_CODES[:-2])})\b"
)
_CALCULATION = re.compile(r"<<[^<>\n]{0,80}>>")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*([^{}]{1,40})\s*\}\s*\{\s*([^{}]{1,40})\s*\}|(\d)\s*(\d))")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile(r"(?<=[\d)])[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_SIGNS = re.compile(r"\\(?:approx|simeq|sim|cong|doteq)\b|(?<!\w)~(?=\s?[-\d])")
_IMPLIES = re.compile(r"\\(?:Rightarrow|implies|rightarrow|to|therefore|longrightarrow)\b|[⇒→➡➔⟹]|[-=]+>")
_DEGREE = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°")
_TIMES = re.compile(r"\\(?:times|cdot|ast)\b|[×·∙⋅]")
_DIVIDED = re.compile(r"\\div\b|÷")
_RESTORE_SIGN = re.compile(r"([:=])[ \t]*-[ \t]+(?=[\d.])")
_BELOW_ZERO = re.compile(
    r"(?<![-\d.])(\d+(?:\.\d+)?(?:\s*degrees?)?(?:\s*[CF]\b|\s(?:celsius|fahrenheit))?\s+below (?:zero|0)\b)", re.I
)
_SPACED_SIGN = re.compile(r"(?<=[-+]) (?=\d+/\d)")

_DECIMAL = r"(?:\d+(?:\.\d+)?|\.\d+)"
_POWER = r"(?:[eE](?P<e>[+-]?\d{1,3})(?!\w)|\s*[x*]\s*10\s*(?:\^|\*\*)\s*\{?\s*(?P<ten>[+-]?\d{1,3})\s*\}?)"
_SCALE = r"(?:\s*(?P<scale>hundred|thousand|million|billion|trillion)\b|(?P<short>k|(?-i:M)|bn)(?![\w²³^]))"
NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)\]}}%.])[-+])?(?P<whole>{_DECIMAL})"
    rf"(?:(?P<mixed>\s+(?:and\s+)?\d+/\d+)(?![\d.])|\s*/\s*(?P<under>{_DECIMAL})(?!\s*/|\d)|{_POWER})?{_SCALE}?",
    re.I,
)
_SCALES = {
    **{"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12},
    **{"k": 10**3, "m": 10**6, "bn": 10**9},
}

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_UNITS = {word: value for value, word in enumerate(_SMALL.split())}
_ROUND = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_ROUND.split(), start=2)}
_BIG = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "dozen": 12}
_PARTS = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "eighth": 8,
    "tenth": 10,
}
_PART = "|".join(f"{part}s?" for part in _PARTS)
_WORD = "|".join([*_UNITS, *_TENS, *_BIG, _PART, "a", "an"])
WORDS = re.compile(rf"(?:{_WORD})(?:(?:[\s-]{{1,3}}and)?[\s-]{{1,3}}(?:{_WORD})){{0,12}}(?![\w-])", re.I)


def numeric(text: str) -> str:
    """Return `plain` text with every number in one form: no separators or currency, fractions on one line, ASCII signs.

    A point before three digits is a decimal point unless the text writes decimal commas elsewhere, or is in a language
    that does.
    """
    text = text.replace("−", "-")
    if "\\" in text:
        text = _FRACTION.sub(lambda m: f" {m[1] or m[3]}/{m[2] or m[4]}", text)
        text = _DEGREE.sub(" degrees", text).replace("\\%", "%").replace("\\#", "#")
    if not text.isascii() or "\\" in text or ">" in text:
        text = _TIMES.sub("*", _IMPLIES.sub(" => ", _SIGNS.sub(" ≈ ", text)))
        text = _DIVIDED.sub("/ ", text)
        text = _RAISED.sub(lambda found: "^" + found.group().translate(_SUPERSCRIPTS), text)
        text = (
            "".join(_vulgar(c) if unicodedata.category(c) == "No" else c for c in text) if not text.isascii() else text
        )
    if "<<" in text:
        text = _CALCULATION.sub("", text)
    if not text.isascii() or any(code in text for code in _CODES):
        text = _CURRENCY.sub("", text)
    text = _SPLIT_GROUPS.sub("", _SPACED_SIGN.sub("", text.replace("&=", "=")))
    if "." in text and (_EURO_EVIDENCE.search(text) or any(word in text.lower() for word in _EURO_LANGUAGES)):
        text = _EURO_GROUPS.sub(lambda found: found.group().replace(".", ""), text)
    text = _GROUPED.sub(lambda found: found.group().replace(",", ""), text)
    text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    if "below" in text:
        text = _BELOW_ZERO.sub(r"-\1", text)
    return _RESTORE_SIGN.sub(r"\1 -", text)


def joined(fragment: str) -> str:
    """Return ``fragment`` with groups of three digits that blanks part joined ("1 234"); only safe in a claim."""
    return _SPACED.sub(lambda found: found.group().replace(" ", ""), fragment)


def _vulgar(character: str) -> str:
    if "FRACTION" not in unicodedata.name(character, ""):
        return character
    value = Fraction(unicodedata.numeric(character)).limit_denominator(100)
    return f" {value.numerator}/{value.denominator}"


def amount(found: re.Match[str]) -> Fraction | None:
    """Return what a match of ``NUMBER`` is worth, or None for a division by zero."""
    whole = Fraction(found["whole"])
    if found["mixed"]:
        over, under = found["mixed"].split()[-1].split("/")
        if int(under) == 0:
            return None
        whole += Fraction(int(over), int(under))
    if found["under"]:
        below = Fraction(found["under"])
        if below == 0:
            return None
        whole /= below
    power = found["e"] or found["ten"]
    if power:
        whole *= Fraction(10) ** int(power)
    scale = found["scale"] or found["short"]
    if scale:
        whole *= _SCALES[scale.lower()]
    return -whole if found["sign"] == "-" else whole


def spelled(words: str) -> Fraction | None:
    """Return what a match of ``WORDS`` is worth ("one hundred and five", "two and a half", "two thirds"), or None."""
    pieces = [re.split(r"[\s-]+", piece) for piece in re.split(r"[\s-]+and[\s-]+", words.lower())]
    ending = pieces[-1][-1]
    part = _PARTS.get(ending) or _PARTS.get(ending.removesuffix("s"))
    if part is None:
        return _counted([token for piece in pieces for token in piece])
    over = _counted(pieces[-1][:-1])
    if over is None and not (pieces[-1][:-1] or ending in ("half", "quarter")):
        return None  # "third" is a place, not a part
    return (_counted([token for piece in pieces[:-1] for token in piece]) or 0) + (over or 1) * Fraction(1, part)


def _counted(tokens: list[str]) -> Fraction | None:
    """Return what number words say together; an article counts as one before a round number only."""
    if not tokens:
        return None
    total, current = Fraction(0), None
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in _BIG:
            current = (1 if current is None else current) * _BIG[token]
            if token != "hundred":
                total, current = total + current, None
        elif token in ("a", "an"):
            if following not in _BIG:
                return None
        elif token in _UNITS or token in _TENS:
            current = (current or 0) + _UNITS.get(token, _TENS.get(token, 0))
        else:
            return None
    return None if current is None and not total else total + (current or 0)
