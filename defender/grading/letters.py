"""Reading the chosen option of a multiple-choice answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from defender.grading import patterns
from defender.grading.claims import corrects, hedged, leads
from defender.grading.closing import substance
from defender.grading.options import Options
from defender.grading.patterns import LetterPatterns, letter_patterns
from defender.grading.reading import WEAK_TIERS, Reading, lowered, plain
from defender.grading.turns import turns

_ARTICLE_ENDS = re.compile(
    r"\s+(?:because|since|as|for|is|which|that|and|or|but|due|given|in (?:this|the given)|from|would|not|rather|"
    r"instead)\b|\s*[-(/&|=]",
    re.I,
)
_NAMED = re.compile(r"\s*(?:the\s+)?(?:option|choice|letter)\b", re.I)
_CLOSING_BRACKETS = re.compile(r"\s?[\"')\]}>*]*")
_JOINS = re.compile(r"\b(?:so|thus|therefore|hence|and|or|the|my|final|correct|best)\b|[^\w]", re.I)
_NEGATED = re.compile(
    r"\b(?:not|never|isn't|aren't|wasn't|doesn't|don't|incorrect|wrong|false that|except|rather than|instead of|unlike|"
    r"cannot|can't|neither|nor)\b",
    re.I,
)
_CONCLUDES = re.compile(r"\b(?:so|therefore|thus|hence|which is|that is|namely)\b", re.I)
BEFORE_CHARACTERS = 60
"""How far back the words that claim a letter begin."""
_CYRILLIC = str.maketrans("АВСЕавс", "ABCEabc")
_CYRILLIC_LETTER = re.compile(r"(?<!\w)[АВСЕ](?=\W*$)", re.M)


@dataclass(frozen=True, slots=True)
class _Claim:
    letters: frozenset[str]
    start: int
    end: int


def read_letter(text: str, options: Sequence[str], cut: bool = False) -> Reading[str]:
    """Return the letter ("A", "B", ...) an answer settles on.

    Tiers, strongest first: "answer line" (the last "Answer: X"), "boxed", "stated" ("the answer is X", "X is
    correct"), "marked" (the one option ticked where others are crossed), "alone" (nothing but a letter on the decisive
    line), "option text" (the option's own words). Within a tier the last claim counts, since models correct
    themselves. "contradictory": two letters claimed at once, or a weaker tier that afterwards claims another letter
    without taking the first one back. The article "A" is never a choice. Where the answer runs on into another
    question, what stands before counts. A letter counts even with another option's words beside it: letters are what
    the question asks for.

    Args:
        text: the answer as received.
        options: the options' texts, in order.
        cut: the text ended at the token limit; its last line is then no conclusion.
    """
    answer = plain(text)
    if not answer.isascii():
        answer = _CYRILLIC_LETTER.sub(lambda found: found.group().translate(_CYRILLIC), answer)
    known = Options(options)
    for turn in turns(answer):
        before = answer[: turn.at].rstrip()
        reading = _Reader(before, known, cut=False).read()
        settled = reading.tier == "contradictory" or reading.value is not None
        weak = reading.tier in WEAK_TIERS and known.exactly(before) is None
        if settled and not weak and (turn.named or reading.tier != "stated"):
            return reading
    return _Reader(answer, known, cut).read()


class _Reader:
    def __init__(self, answer: str, options: Options, cut: bool) -> None:
        self.answer = answer
        self.cut = cut
        self.options = options
        self.patterns: LetterPatterns = letter_patterns(len(options.letters))

    def read(self) -> Reading[str]:
        """Read the strongest tier that claims something."""
        cut = self.cut
        tiers = self.explicit()
        for tier, claims in tiers.items():
            if claims:
                return self.settle(tier, claims, tiers)
        if (marked := self.marked()) is not None and not cut:
            return Reading(marked, "marked")
        if not cut and (whole := self.options.exactly(self.answer)) is not None:
            return Reading(whole, "option text")
        if (alone := self.alone()) is not None:
            return Reading(alone, "alone")
        if not cut and (restated := self.restated()) is not None:
            return Reading(restated, "option text")
        return Reading(None, "no answer" if self.answer else "empty")

    def settle(self, tier: str, claims: list[_Claim], tiers: dict[str, list[_Claim]]) -> Reading[str]:
        """Take the last claim of the strongest tier, or a later one that corrects it."""
        final = claims[-1]
        later = [c for other in tiers.values() for c in other if c.start >= final.end and c.letters != final.letters]
        if later and corrects(self.answer[final.end : min(claim.end for claim in later)]):
            final, tier = max(later, key=lambda claim: claim.end), "stated"
            later = []
        if len(final.letters) > 1 or later or self.side_by_side(claims):
            return Reading(None, "contradictory")
        return Reading(next(iter(final.letters)), tier)

    def side_by_side(self, claims: list[_Claim]) -> bool:
        """Two different letters claimed with no word between them: not a correction, a contradiction."""
        if len(claims) < 2 or claims[-1].letters == claims[-2].letters:
            return False
        return claims[-1].start >= claims[-2].end and not _JOINS.sub("", self.answer[claims[-2].end : claims[-1].start])

    def explicit(self) -> dict[str, list[_Claim]]:
        """Collect the claims by tier, in order; "####" announces a letter as an answer line does."""
        tiers: dict[str, list[_Claim]] = {"answer line": [], "boxed": [], "stated": []}
        for lead in leads(self.answer):
            # "The answer is a", cut there, goes on with a noun.
            if self.cut and lead.tier == "stated" and self.answer[lead.end :] == "a":
                continue
            if lead.tier in tiers and (claim := self.claim(lead.start, lead.end)) is not None:
                tiers[lead.tier].append(claim)
        tiers["stated"] += self.chosen()
        for claims in tiers.values():
            claims.sort(key=lambda claim: claim.end)
        return tiers

    def chosen(self) -> Iterator[_Claim]:
        """Yield the letters that a verb chooses ("I'd go with B"), a label names or a sentence calls correct."""
        small = lowered(self.answer)
        for found in self.patterns.single.finditer(self.answer):
            at = found.start()
            if at and patterns.INSIDE_WORD.match(self.answer[max(0, at - 2) : at]):
                continue
            before = small[max(0, at - BEFORE_CHARACTERS) : at]
            if (start := self.reason(before, found)) is not None:
                first = at - len(before) + start
                if not hedged(self.answer, first, found.end()):
                    yield _Claim(frozenset(found.group().upper()), first, found.end())

    def reason(self, before: str, found: re.Match[str]) -> int | None:
        """Return where in the words before a letter its claim begins, or None when nothing claims it."""
        letter, end = found.group(), found.end()
        naming = patterns.NAMING.search(before)
        verbs = before[: naming.start()] if naming is not None else ""
        if naming is not None and verbs.endswith(patterns.CHOOSING_ENDS):
            verb = patterns.CHOOSING.search(verbs)
            closed = naming["open"] and patterns.CLOSES.match(self.answer, end)
            text = verbs.endswith(patterns.CLEARLY) and patterns.TEXT_FOLLOWS.match(self.answer, end)
            plainly = letter != "a" and (naming["named"] or text or patterns.BARE_ENDS.match(self.answer, end))
            if verb is not None and (closed or plainly) and not patterns.WEIGHED.match(self.answer, end):
                return verb.start()
        if not letter.isupper():
            return None
        label = patterns.LABELS.search(before)
        if label is not None:
            return label.start()
        turn = patterns.TURN_LABEL.search(before)
        if turn is not None and patterns.TURN_ENDS.match(self.answer, end):
            return turn.start()
        makes = patterns.MAKES.search(before)
        if makes is not None and patterns.MADE.match(self.answer, end):
            return makes.start()
        subject = patterns.BEFORE.search(before)
        return subject.start() if subject and patterns.AFTER.match(self.answer, end) else None

    def claim(self, start: int, at: int) -> _Claim | None:
        """Read what stands at ``at``: a letter, several, an option's text, or text with "(X)" at its end."""
        line_end = self.answer.find("\n", at)
        line = self.answer[at : min(line_end if line_end >= 0 else len(self.answer), at + self.options.reach)]
        if (lone := self.patterns.lone.fullmatch(line)) is not None:
            return _Claim(frozenset(lone[1].upper()), start, at + len(line))
        if (
            whole := self.options.exactly(line.split("}", 1)[0] if "boxed" in self.answer[start:at] else line)
        ) is not None:
            return _Claim(frozenset(whole), start, at + len(line))
        marked = self.patterns.bracketed.findall(line)
        named = self.options.at(line)
        if named is not None and set(marked) == {named}:  # "Answer: B. F. Skinner (C)"
            return _Claim(frozenset(named), start, at + len(line))
        found = self.patterns.token.match(self.answer, at)
        if found is not None and not self.article(found):
            return self.lettered(found, start, line[found.end("letter") - at :])
        if len(set(marked)) == 1 and not _NEGATED.search(line):
            return _Claim(frozenset(marked), start, at + len(line))
        return _Claim(frozenset(named), start, at + len(line)) if named is not None else None

    def lettered(self, found: re.Match[str], start: int, rest: str) -> _Claim:
        """Make the claim of a letter, and of a second one beside it ("A or B") unless that is the option's own text."""
        letters, end = {found["letter"].upper()}, found.end()
        own = self.options.text_of(found["letter"].upper())
        close = _CLOSING_BRACKETS.match(found["close"])
        # "Answer: A, C" puts the comma into the closing marks; look again from the letter itself.
        more = self.patterns.also.match(self.answer, found.end("letter") + (close.end() if close else 0))
        if more is not None and not (own and own in rest.casefold()):
            letters.add(more["letter"].upper())
            end = more.end()
        return _Claim(frozenset(letters), start, end)

    def article(self, found: re.Match[str]) -> bool:
        """Say whether a bare "A"/"a" is an article: undressed, with more words after it."""
        dressed = found["open"].strip() or found["close"].strip() or "box" in found.group()
        if found["letter"].upper() != "A" or dressed or _NAMED.match(found.group()):
            return False
        rest = self.answer[found.end("letter") : found.end("letter") + self.options.reach]
        line = rest.split("\n", 1)[0]
        if not line.strip():
            return False
        first = self.options.text_of("A")
        if found["letter"] == "A" and first and self.options.at(line) == "A":
            return self.options.at(f"a {line}") not in (None, "A")
        return found["letter"] == "a" or _ARTICLE_ENDS.match(rest) is None

    def marked(self) -> str | None:
        """Read the one option a list ticks, or calls correct, where it crosses at least one other."""
        right, wrong = set(), 0
        for line in self.answer.splitlines() if self.patterns.verdict.search(self.answer) else ():
            listed = self.patterns.listed.match(line)
            letter = listed["letter"] if listed else self.options.at(line)
            verdicts = {verdict.casefold() for verdict in self.patterns.verdict.findall(line)}
            if letter and verdicts and verdicts <= self.patterns.positive:
                right.add(letter)
            elif letter and verdicts and not verdicts & self.patterns.positive:
                wrong += 1
        return right.pop() if len(right) == 1 and wrong else None

    def alone(self) -> str | None:
        """Read a decisive line, the only, first or last one, that holds a letter and at most its option's text."""
        bare, lead, cut = self.patterns.bare, self.patterns.opening, self.cut
        lines = [line.strip() for line in self.answer.splitlines() if line.strip()]
        if len(lines) == 1 and (found := bare.fullmatch(lines[0])):
            return found[1].upper()
        named: list[tuple[int, str, bool]] = []
        for index, line in enumerate(lines):
            if (found := bare.fullmatch(line)) and (found[1].isupper() or "(" in line or ")" in line):
                named.append((index, found[1].upper(), True))
            elif found := lead.fullmatch(line):
                named.append((index, found[1].upper(), False))
        last = len(lines) - 1
        if named and named[-1][0] == last and named[-1][2] and not cut:
            others = {letter for _, letter, whole in named if whole}
            return named[-1][1] if len(others) == 1 else None
        if [letter for _, letter, _ in named[:-1]] == [*self.options.letters] and named[-1][0] == last and not cut:
            return named[-1][1]  # the options listed, then one of them again
        if len({letter for _, letter, _ in named}) != 1:
            return None
        index, letter, whole = named[0]
        if index == 0:
            return letter
        ends = named[-1][0] == last and not cut
        return letter if ends and (whole or self.options.at(lead.sub(r"\2", lines[last])) == letter) else None

    def restated(self) -> str | None:
        """Read an option's own words: as the whole answer, or as the only option named in its last sentence."""
        said = substance(self.answer)
        if not said or self.patterns.listed.match(self.answer.splitlines()[-1]):
            return None
        last = said[-1]
        if (whole := self.options.exactly(last)) is not None:
            return whole
        last = last.rsplit("; ", 1)[-1]
        affirmed = _NEGATED.split(last, maxsplit=1)[0]
        if hedged(last, len(last), len(last)) or (affirmed != last and not affirmed.rstrip().endswith((",", ";"))):
            return None
        named = self.options.within(affirmed)
        return named or self.options.within(_CONCLUDES.split(affirmed)[-1])
