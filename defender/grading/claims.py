"""Where an answer commits itself: the places after which the final value stands, strongest kind first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Tier = Literal["answer line", "####", "boxed", "stated"]

_WORD = (
    r"(?:answers?|ans|respuesta|antwort|lösung|r[ée]ponse|risposta|resposta|ответ|jawaban|cevap|đáp án|odpowiedź|antwoord|"
    r"الإجابة|الاجابة|الجواب|उत्तर|جواب)"
)
_KIND = r"(?:\s+(?:correct[ao]?|corrett?[ao]|correcte|finale?|exacta|esatta|choice|letter|option|key|правильный|الصحيحة|النهائية))?"
_LEADING = (
    r"(?:(?:so|thus|hence|therefore|and|the|my|your|our|final|correct|corrected|revised|updated|best|right|is|la|die|"
    r"richtige|korrekte|bonne|правильный|итоговый|सही|अतः|step \d+)\b,?\s*|\d{1,2}[.)]\s+){0,6}"
)
_LABEL = (
    rf"(?:{_WORD}{_KIND}(?:\s+(?:is|est|es|ist))?|(?:correct|final|best|right)\s+(?:option|choice|letter|result|value|"
    r"number|amount|total|count|tally|statement))"
)
_SEPARATOR = r"[ \t]{0,4}(?:['\")*]{0,3}[ \t]?(?::|=>?|-+>|→|⇒|➡)|-{1,2}(?=[ \t]))['\"*]{0,3}\s{0,20}"
_ANSWER_LINE = re.compile(
    rf"(?:^[^\w\n]*|(?<=[.!?;)]\s)){_LEADING}(?:{_LABEL}(?:{_SEPARATOR}|[ \t]*\n\s{{0,20}})|ans\.\s{{0,4}})"
    rf"|^[^\w\n]*{_LEADING}answer[ \t]+(?=[^\w\n]*(?:[A-J]|\d[\d,.]*)[^\w\n]*$)"
    r"|[\"'](?:final[_ ]|correct[_ ]|my[_ ])?answer(?:[_ ](?:letter|choice|value|number))?[\"']\s{0,20}:\s{0,20}"
    r"|<(?:final[_ -]?|correct[_ -]?)?answer>\s{0,20}"
    r"|(?:(?:正确|最终|最佳)?答案|答え|正解|回答|정답|(?<!\w)답)[ \t]{0,4}(?:应该|应当|应)?(?:是|为|為|は|은|는|이)?[ \t]{0,4}:?\s{0,20}"
    r"|(?:正确|最佳)(?:的)?选项(?:是|为)?[ \t]{0,4}:?[ \t]{0,4}",
    re.I | re.M,
)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?=\S*\d)", re.M)
_BOXED = re.compile(r"\\f?box(?:ed)?\s{0,9}(?:\{|(?=[A-J\d]))")
_FILLER = (
    r"(?:[ ,:]+(?:therefore|thus|then|clearly|definitely|certainly|probably|likely|indeed|simply|just|actually|also|"
    r"equal to|equals|approximately|about|exactly|most likely|given by|as follows|either way fine)\b){0,4}"
)
_BE = (
    r"(?:is|are|was|(?:must|should|would|will|has to|can only|could only|ought to)(?: \w{2,12}ly| therefore| thus| then)? be|"
    r"ends up being|comes out (?:to(?: be)?|as)|turns out to be|remains|lautet|ist|wäre|est|es|è|é|هي|هو)(?!\w)"
)
_PARENTHESIS = r"(?:\s*,\s*(?:then|therefore|thus|hence|however|of course|as shown|in fact|so),)?"
_OF = (
    r"(?:\s+(?:here|choice|option|letter|to (?:this|the|your) (?:\w+ )?(?:question|problem)|among \w+(?: \w+){0,3}|"
    r"(?:for|in) (?:this|the) (?:question|problem|case)))?"
)
_BEST = r"(?:correct|right|best|proper|appropriate|final|closest|most \w{3,14}|only (?:correct|right|possible)|last remaining)"
_NOT_BUT = r"(?:\s+not\s+[^\n.]{1,60}?[,;]?\s+(?:but(?: rather)?|rather)(?=\s))?"
_STATED = re.compile(
    rf"(?:(?<!\w)(?:{_WORD}{_KIND}{_OF}|{_BEST} (?:option|choice|one|letter|pick|selection|response|statement){_OF}|"
    rf"(?:my|our) (?:best |final )?(?:guess|choice|pick|selection)|the (?:letter|option|choice)|opción correcta|richtige option|bonne option|"
    rf"opzione corretta|alternativa correta|ответом){_PARENTHESIS}\s+{_BE}{_FILLER}{_NOT_BUT}"
    rf"|सही उत्तर|उत्तर|الإجابة الصحيحة|правильный ответ\s*-)\s*[:,]?(?:\.\.\.)?\s{{0,20}}"
    r"(?:(?:(?:la|le|el|die|der|(?-i:a|o)|letra|lettera|lettre|opción|opção|alternativa|буква)\s+){1,3}"
    r"(?=\W{0,3}(?-i:[A-J\d])(?!\w)))?",
    re.I,
)
_HEDGED = re.compile(
    r"\b(?:some(?: \w+)? (?:may|might|would|people)|someone|people|one (?:might|may|could)|you (?:might|may|could)|"
    r"tempt\w*|suppose|assum(?:e|ing) (?:that )?the|whether|n't mean|not mean|n't think|initially|at first|"
    r"what if|not that|unclear|don't know|not sure (?:what|which|if|that)|cannot (?:say|tell)|unless|"
    r"(?:a|an) (?:wrong|incorrect|common|naive)|wrongly|mistakenly|if (?:you|we|she|he|they|one) (?:forgot|ignored?|mis))\b",
    re.I,
)
_IF_WOULD = re.compile(r"\bif\b(?! (?:I|we) (?:had to|have to|must)| forced| pressed).*\bwould\b", re.I | re.S)
_CLAUSE_END = re.compile(r"[.!?\n;](?=\s|$)|\b(?:but|however|so|therefore)\b", re.I)
_CORRECTS = re.compile(
    r"\b(?:wait|actually|correction|corrected|mistaken?\w*|apolog\w+|sorry|oops|hmm+|scratch that|misread|miscalculat\w+|"
    r"error|on (?:reflection|second thoughts?)|I meant|re-?(?:check|consider|calculat|comput|evaluat|examin|assess|visit|read|do)"
    r"\w*|looking at it again|let me (?:fix|try again|correct)|that(?:'s| is| was) (?:wrong|not right|incorrect)|"
    r"revised|updated|no[,:;.])",
    re.I,
)
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
    for tier, pattern in (("answer line", _ANSWER_LINE), ("####", _HASHES), ("boxed", _BOXED)):
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


def corrects(between: str) -> bool:
    """Say whether the words between two claims take the first one back."""
    return _CORRECTS.search(between) is not None
