"""Where an answer commits itself: the places after which the final value stands, strongest kind first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from defender.grading.reading import lowered

Tier = Literal["answer line", "####", "boxed", "stated"]

_ANSWERS = (
    *("answers", "answer", "ans", "respuesta", "antwort", "lösung", "réponse", "reponse", "risposta", "resposta"),
    *("ответ", "jawaban", "cevap", "đáp án", "odpowiedź", "antwoord", "الإجابة", "الاجابة", "الجواب", "उत्तर"),
)
_CHOICES = (
    *("option", "choice", "letter", "one", "pick", "selection", "response", "statement", "guess"),
    *("opción", "opção", "alternativa", "opzione"),
)
_RESULTS = ("result", "value", "number", "amount", "total", "count", "tally", "cost", "price", "figure")
_NOUNS = {**dict.fromkeys(_ANSWERS, "answer"), **dict.fromkeys(_CHOICES, "choice"), **dict.fromkeys(_RESULTS, "result")}

_LEADING = re.compile(
    r"[^\w\n]*(?:(?:so|thus|hence|therefore|and|the|my|your|our|final|correct|corrected|revised|updated|best|right|is|"
    r"la|die|richtige|korrekte|bonne|правильный|итоговый|सही|अतः|step \d{1,2})\b,?\s*|\d{1,2}[.)]\s+){0,6}"
)
_SENTENCE_START = re.compile(r"(?:[.!?;)]\s)([^.!?;)\n]*)$")
_KIND = (
    r"(?:\s+(?:correct[ao]?|corrett?[ao]|correcte|finale?|exacta|esatta|choice|letter|option|key|правильный|الصحيحة|"
    r"النهائية))?"
)
_SEPARATOR = (
    r"[ \t]{0,4}(?:['\")*]{0,3}[ \t]?(?::|=>?|-+>|→|⇒|➡|\?(?=[ \t]+[a-j\d(*\"']{1,3}(?:\W|\Z)))|"
    r"-{1,2}(?=[ \t]))['\"*]{0,3}\s{0,20}"
)
_LABEL_TAIL = re.compile(
    rf"{_KIND}(?:\s+(?:is|est|es|ist))?(?:{_SEPARATOR}|[ \t]*\n\s{{0,20}})"
    r"|[ \t]+(?=[^\w\n]*(?:[a-j]|\d[\d,.]*)[^\w\n]*(?:\n|\Z))"
)
_ABBREVIATED = re.compile(r"\.\s{0,4}")
_ADJECTIVE = re.compile(
    r"(?<!\w)(?:correct|right|best|proper|appropriate|final|closest|most \w{3,14}|only (?:correct|right|possible)|last "
    r"remaining|richtige|bonne|la|my|our|my (?:best|final)|our (?:best|final))\s+\Z"
)
_THE = re.compile(r"(?<!\w)the\s+\Z")
_FILLER = (
    r"(?:[ ,:]+(?:therefore|thus|then|clearly|definitely|certainly|probably|likely|indeed|simply|just|actually|also|"
    r"equal to|equals|approximately|about|exactly|most likely|given by|as follows|either way fine|"
    r"donc|also|somit|daher|folglich|por (?:lo )?tanto|quindi|portanto|dunque)\b){0,4}"
)
_BE = (
    r"(?:is|are|was|(?:must|should|would|will|has to|can only|could only|ought to)(?: \w{2,12}ly| therefore| thus|"
    r" then)? be|ends up being|comes out (?:to(?: be)?|as)|turns out to be|remains|lautet|ist|wäre|est|es|è|"
    r"é(?: [ao])?|هي|هو)(?!\w)"
)
_OF = (
    r"(?:\s+(?:here|choice|option|letter|to (?:this|the|your) (?:\w{1,20} )?(?:question|problem)|among \w{1,20}"
    r"(?: \w{1,20}){0,3}|(?:for|in) (?:this|the) (?:question|problem|case)))?"
)
_PARENTHESIS = r"(?:\s*,\s*(?:then|therefore|thus|hence|however|of course|as shown|in fact|so),)?"
_NOT_BUT = r"(?:\s+not\s+[^\n.]{1,60}?[,;]?\s+(?:but(?: rather)?|rather)(?=\s))?"
_ARTICLES = (
    r"(?:(?:(?:la|le|el|die|der|letra|lettera|lettre|opción|opção|alternativa|буква|[ao](?= letra| alternativa|"
    r" opção)) ){1,3}(?=\W{0,3}[a-j\d](?!\w)))?"
)
_STATED_TAIL = re.compile(
    rf"{_KIND}{_OF}{_PARENTHESIS}(?:\s+{_BE}{_FILLER}{_NOT_BUT})\s*[:,]?(?:\.\.\.)?\s{{0,20}}{_ARTICLES}"
)
_VERBLESS = re.compile(r"\s+(?:الصحيحة\s+|-\s+)?")
_TAGGED = re.compile(
    r"[\"'](?:final[_ ]|correct[_ ]|my[_ ])?answer(?:[_ ](?:letter|choice|value|number))?[\"']\s{0,20}:\s{0,20}"
    r"|<(?:final[_ -]?|correct[_ -]?)?answer>\s{0,20}"
)
_EASTERN = re.compile(
    r"(?:(?:正确|最终|最佳)?答案|答え|正解|回答|정답|(?<!\w)답)[ \t]{0,4}(?:应该|应当|应)?"
    r"(?:是|为|為|は|은|는|이)?[ \t]{0,4}:?\s{0,20}|"
    r"(?:正确|最佳)(?:的)?选项(?:是|为)?[ \t]{0,4}:?[ \t]{0,4}"
)
# A number with a dot or bracket and words behind it heads a section ("#### 2. Multiply").
_HASHES = re.compile(r"(?<!#)#{4}[ \t]*(?=\S*\d)(?!\d+[.):]\s+[^\W\d])")
_BOXED = re.compile(r"\\f?box(?:ed)?\s{0,9}(?:\{|(?=[A-J\d]))")
_HEDGED = re.compile(
    r"\b(?:some(?: \w+)? (?:may|might|would|people)|someone|people|one (?:might|may|could)|you (?:might|may|could)|"
    r"tempt\w*|suppose|assum(?:e|ing) (?:that )?the|whether|n't mean|not mean|n't think|initially|at first|"
    r"what if|not that|unclear|don't know|not sure (?:what|which|if|that)|cannot (?:say|tell)|unless|"
    r"(?:a|an) (?:wrong|incorrect|common|naive)|wrongly|mistakenly|if (?:you|we|she|he|they|one) (?:forgot|ignored?|"
    r"mis))\b",
    re.I,
)
_IF_WOULD = re.compile(r"\bif\b(?! (?:I|we) (?:had to|have to|must)| forced| pressed).*\bwould\b", re.I | re.S)
_CLAUSE_END = re.compile(r"[.!?\n;](?=\s|$)|\b(?:but|however|so|therefore)\b", re.I)
_CORRECTS = re.compile(
    r"\b(?:wait|actually|correction|corrected|mistaken?\w*|apolog\w+|sorry|oops|hmm+|scratch that|misread|"
    r"miscalculat\w+|error|on (?:reflection|second thoughts?)|I meant|re-?(?:check|consider|calculat|comput|evaluat|"
    r"examin|assess|visit|read|do)\w*|looking at it again|let me (?:fix|try again|correct)|double.?check|that(?:'s|"
    r" is| was) (?:wrong|not right|incorrect)|revised|updated|no[,:;.])",
    re.I,
)
CLAUSE_CHARACTERS = 300
"""How far back a hedge is looked for; answers that loop would otherwise take quadratic time."""
MOST_LEADS = 64
"""How many announcements of a kind are looked at, from the end: the last one counts."""
LABEL_CHARACTERS = 80
"""How long the words in front of "answer" in a label can be."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The words that announce a value: ``text[start:end]``; the value begins at ``end``."""

    tier: Tier
    start: int
    end: int


def leads(text: str) -> Iterator[Lead]:
    """Yield every announcement in ``text`` (already `plain`), in order of tier; "stated" ones only when not hedged."""
    small = lowered(text)
    found: dict[Tier, list[Lead]] = {"answer line": [], "####": [], "boxed": [], "stated": []}
    for at, noun in _nouns(small):
        if (lead := _labelled(small, at, noun) or _stated(small, at, noun)) is not None:
            found[lead.tier].append(lead)
    if "answer" in small:
        found["answer line"] += (Lead("answer line", m.start(), m.end()) for m in _TAGGED.finditer(small))
    if not text.isascii():
        found["answer line"] += (Lead("answer line", m.start(), m.end()) for m in _EASTERN.finditer(text))
    if "####" in text:
        found["####"] += (Lead("####", m.start(), m.end()) for m in _HASHES.finditer(text))
    if "box" in text:
        found["boxed"] += (Lead("boxed", m.start(), m.end()) for m in _BOXED.finditer(text))
    for tier, kind in found.items():
        for lead in sorted(kind, key=lambda lead: lead.end)[-MOST_LEADS:]:
            if tier != "stated" or not hedged(text, lead.start, lead.end):
                yield lead


def _nouns(small: str) -> Iterator[tuple[int, str]]:
    """Yield where a word for the answer stands, and which; whole words only."""
    for noun in _NOUNS:
        at = small.find(noun)
        while at >= 0:
            end = at + len(noun)
            if not (at and small[at - 1].isalnum()) and not small[end : end + 1].isalnum():
                yield at, noun
            at = small.find(noun, end)


def _labelled(small: str, at: int, noun: str) -> Lead | None:
    """Return the lead of "Final answer: " at the start of a line or sentence."""
    kind = _NOUNS[noun]
    tail = _LABEL_TAIL.match(small, at + len(noun)) or (_ABBREVIATED.match(small, at + 3) if noun == "ans" else None)
    if tail is None:
        return None
    before = small[max(small.rfind("\n", 0, at) + 1, at - LABEL_CHARACTERS) : at]
    if kind != "answer" and not before.rstrip(" \t").endswith(("correct", "final", "best", "right")):
        return None
    start = _SENTENCE_START.search(before)
    if not _LEADING.fullmatch(before) and not (start and _LEADING.fullmatch(start[1])):
        return None
    return Lead("answer line", at - len(start[1] if start else before), tail.end())


def _stated(small: str, at: int, noun: str) -> Lead | None:
    """Return the lead of "the answer is "; a choice needs "best" or the like before it, a letter only "the"."""
    kind, start = _NOUNS[noun], at
    if kind == "result":
        return None
    if kind == "choice":
        before = small[max(0, at - 30) : at]
        adjective = (
            _ADJECTIVE.search(before) or (noun in ("letter", "option", "choice") and _THE.search(before)) or None
        )
        if adjective is None:
            return None
        start = at - len(before) + adjective.start()
    tail = _STATED_TAIL.match(small, at + len(noun))
    if tail is None and not noun.isascii():
        tail = _VERBLESS.match(small, at + len(noun))
    return Lead("stated", start, tail.end()) if tail is not None else None


def hedged(text: str, start: int, end: int) -> bool:
    """Say whether the clause up to ``end`` weighs a possibility rather than claims it."""
    before = text[max(0, start - CLAUSE_CHARACTERS) : start]
    ends = [found.end() for found in _CLAUSE_END.finditer(before)]
    clause = before[ends[-1] if ends else 0 :] + text[start:end]
    return bool(_HEDGED.search(clause) or _IF_WOULD.search(clause))


def corrects(between: str) -> bool:
    """Say whether the words between two claims take the first one back."""
    return _CORRECTS.search(between) is not None
