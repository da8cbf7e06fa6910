"""Reading the chosen option of a multiple-choice answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from defender.grading.claims import hedged, leads
from defender.grading.reading import Reading, plain

ALPHABET = "ABCDEFGHIJ"
_OPEN = r"(?:(?:the\s+)?(?:option|choice|letter|answer)\s*[:#]?\s*)?(?:\\f?boxed\s*\{)?(?P<open>[\s\"'(\[{<*]*)"
_CLOSE = r"(?P<close>\s?[\"')\]}>*.:;,!]*)"
_ARTICLE_ENDS = re.compile(
    r"\s+(?:because|since|as|for|is|which|that|and|or|but|due|given|in (?:this|the given)|from|would)\b|\s*[-(/&|=]",
    re.I,
)
_ALSO = r"\s*(?:,|/|&|\+|\band\b|\bor\b|\band/or\b|\bor maybe\b)\s*(?:option\s+)?[\"'(\[]*"
_CORRECTED = re.compile(r"\w")
_NEGATED = re.compile(
    r"\b(?:not|never|isn't|aren't|wasn't|doesn't|don't|incorrect|wrong|false that|except|rather than|instead of|unlike|"
    r"cannot|can't|neither|nor)\b",
    re.I,
)
_REVERSED_BE = (
    r"(?:is|must be|would be|seems to be|should be|has to be)\s+(?:\w+ly\s+|also\s+|indeed\s+|thus\s+|the\s+|my\s+|"
    r"single\s+|most\s+)*(?:correct|right|best|true|answer|final answer|accurate|appropriate)\b"
)


@dataclass(frozen=True, slots=True)
class _Claim:
    letters: frozenset[str]
    start: int
    end: int


def read_letter(text: str, options: Sequence[str], cut: bool = False) -> Reading[str]:
    """Return the letter ("A", "B", ...) an answer settles on.

    Tiers, strongest first: "answer line" (the last "Answer: X"), "boxed", "stated" ("the answer is X", "X is
    correct"), "alone" (nothing but a letter on the decisive line), "option text" (the option's own words). Within a
    tier the last claim counts, since models correct themselves. "contradictory": two letters claimed at once, or a
    weaker tier that afterwards claims another letter. The article "A" is never a choice.

    Args:
        text: the answer as received.
        options: the options' texts, in order.
        cut: the text ended at the token limit; its last line is then no conclusion.
    """
    answer = plain(text)
    reader = _Reader(answer, options)
    tiers = reader.explicit()
    for tier in ("answer line", "boxed", "stated"):
        claims = sorted(tiers[tier], key=lambda claim: claim.end)
        if not claims:
            continue
        final = claims[-1]
        later = [c for other in tiers.values() for c in other if c.start >= final.end and c.letters != final.letters]
        if len(final.letters) > 1 or later or _side_by_side(answer, claims):
            return Reading(None, "contradictory")
        return Reading(next(iter(final.letters)), tier)
    if not cut and (whole := reader.exactly(answer)) is not None:
        return Reading(whole, "option text")
    if (alone := reader.alone(cut)) is not None:
        return Reading(alone, "alone")
    if not cut and (restated := reader.restated()) is not None:
        return Reading(restated, "option text")
    return Reading(None, "no answer" if answer else "empty")


def _side_by_side(answer: str, claims: list[_Claim]) -> bool:
    """Two different letters claimed with no word between them: not a correction, a contradiction."""
    if len(claims) < 2 or claims[-1].letters == claims[-2].letters:
        return False
    between = answer[claims[-2].end : claims[-1].start]
    return claims[-1].start >= claims[-2].end and not _CORRECTED.search(between)


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", plain(text)).strip(" .,:;!?\"'()[]").casefold()


class _Reader:
    def __init__(self, answer: str, options: Sequence[str]) -> None:
        self.answer = answer
        self.texts = options
        self.reach = 2 * max(map(len, options)) + 80  # of a claim; more of a line cannot matter
        letters = ALPHABET[: len(options)]
        self.range = f"{letters}{letters.lower()}"
        self.token = re.compile(rf"{_OPEN}(?P<letter>[{self.range}])(?!'?\w){_CLOSE}", re.I)
        self.lone = re.compile(rf"\W*(?:\\f?boxed\s*\{{)?\W*([{self.range}])\W*")
        self.also = re.compile(rf"{_ALSO}(?P<letter>[{letters}])(?!'?\w)(?!\s+\w)")
        weak = (
            r"\b(?:I(?:'d| would| will|'ll|'m going to)?\s+(?:choose|pick|select|go with|say|answer|go for)|"
            r"it (?:must|has to) be|must be|corresponds? to|match(?:es)?|leav(?:es|ing)(?: only)?|so it's|so|therefore|"
            r"thus|hence|it's|it is|we (?:choose|get|pick))[,:]?\s+(?:that\s+)?"
            rf"(?:\(\s*(?P<l1>[{self.range}])\s*\)|(?:option|choice|letter|answer)\s+\(?(?P<l2>[{letters}])\)?(?!'?\w)|"
            rf"(?P<l3>[{letters}])(?=[.!,;]?\s*(?:\n|\Z)))"
            r"(?!\s+(?:is|was|isn't|wasn't|are|can|can't|cannot|could|would|has|does|doesn't|must|might|may|seems)\b)"
        )
        self.weak = re.compile(weak, re.I)
        self.reversed = re.compile(
            r"(?:^|(?<=[.!?:;,]\s)|\b(?i:so|thus|therefore|hence|that|and|but|option|choice|answer|letter|think|believe)\s+)"
            rf"[\"'(\[]*(?P<letter>[{letters}])[\"')\]]*(?::[^.\n]{{1,80}}?)?,?\s+{_REVERSED_BE}",
            re.M,
        )

    @cached_property
    def options(self) -> list[str]:
        """The options' texts, folded for comparison."""
        return [_folded(option) for option in self.texts]

    def explicit(self) -> dict[str, list[_Claim]]:
        """Collect the claims by tier; "####" announces numbers and is no tier of letters."""
        tiers: dict[str, list[_Claim]] = {"answer line": [], "boxed": [], "stated": []}
        for lead in leads(self.answer):
            if lead.tier in tiers and (claim := self.claim(lead.start, lead.end)) is not None:
                tiers[lead.tier].append(claim)
        for pattern in (self.weak, self.reversed):
            for found in pattern.finditer(self.answer):
                letter = next(group for group in found.groupdict().values() if group)
                article = found.groupdict().get("l2") == "a" or found.groupdict().get("l3") == "a"
                if not article and not hedged(self.answer, found.start(), found.end()):
                    tiers["stated"].append(_Claim(frozenset(letter.upper()), found.start(), found.end()))
        return tiers

    def claim(self, start: int, at: int) -> _Claim | None:
        """Read what stands at ``at``: a letter, several, an option's text, or text with "(X)" at its end."""
        line_end = self.answer.find("\n", at)
        line = self.answer[at : min(line_end if line_end >= 0 else len(self.answer), at + self.reach)]
        if (lone := self.lone.fullmatch(line)) is not None:
            return _Claim(frozenset(lone[1].upper()), start, at + len(line))
        if (whole := self.exactly(line)) is not None:
            return _Claim(frozenset(whole), start, at + len(line))
        marked = re.findall(rf"\(([{self.range[: len(self.options)]}])\)", line)
        named = self.option_at(line)
        if named is not None and set(marked) == {named}:  # "Answer: B. F. Skinner (C)"
            return _Claim(frozenset(named), start, at + len(line))
        found = self.token.match(self.answer, at)
        if found is not None and not self.article(found):
            letters = {found["letter"].upper()}
            end = found.end()
            own = self.options[ALPHABET.index(found["letter"].upper())]
            # "Answer: A, C" puts the comma into the closing marks; look again from the letter itself.
            more = self.also.match(self.answer, found.end("letter") + self.bracket(found))
            if more is not None and not (own and _folded(line[found.end("letter") - at :]).startswith(own)):
                letters.add(more["letter"].upper())
                end = more.end()
            return _Claim(frozenset(letters), start, end)
        if len(set(marked)) == 1 and not _NEGATED.search(line):
            return _Claim(frozenset(marked), start, at + len(line))
        return _Claim(frozenset(named), start, at + len(line)) if named is not None else None

    def bracket(self, found: re.Match[str]) -> int:
        """How many closing brackets follow the letter directly."""
        close = re.match(r"\s?[\"')\]}>*]*", found["close"])
        return len(close.group()) if close else 0

    def article(self, found: re.Match[str]) -> bool:
        """Say whether a bare "A"/"a" is an article: undressed, with more words after it."""
        dressed = found["open"].strip() or found["close"].strip() or "boxed" in found.group()
        named = re.match(r"\s*(?:the\s+)?(?:option|choice|letter)\b", found.group(), re.I)
        if found["letter"].upper() != "A" or dressed or named:
            return False
        rest = self.answer[found.end("letter") : found.end("letter") + self.reach]
        line = rest.split("\n", 1)[0]
        if not line.strip():
            return False
        if found["letter"] == "A" and self.options[0] and _folded(line).startswith(self.options[0]):
            return _folded(f"a {line}").startswith(tuple(o for o in self.options if o.startswith("a ")))
        return found["letter"] == "a" or _ARTICLE_ENDS.match(rest) is None

    def option_at(self, line: str) -> str | None:
        """Return the letter of the one option that ``line`` is, or begins with; the longest wins."""
        said = _folded(line)
        saids = (said, re.sub(r"^(?:an?|the)\s+", "", said))
        fitting = [
            (len(option), letter)
            for letter, option in zip(ALPHABET, self.options, strict=False)
            if option and any(s.startswith(option) and not s[len(option) :][:1].isalnum() for s in saids)
        ]
        longest = [letter for size, letter in fitting if size == max(fitting)[0]]
        return longest[0] if len(longest) == 1 else None

    def alone(self, cut: bool) -> str | None:
        """Read a decisive line, the only, first or last one, that holds a letter and at most its option's text."""
        lines = [line.strip() for line in self.answer.splitlines() if line.strip()]
        bare = re.compile(rf"(?:option|choice|letter)?\W*([{self.range}])\W*", re.I)
        lead = re.compile(
            rf"(?:(?:option|choice)\s+)?\W*([{self.range[: len(self.options)]}])\s*(?:[).:\]]|\s-)\s*(\S.*)"
        )
        if len(lines) == 1 and (found := bare.fullmatch(lines[0])):
            return found[1].upper()
        named: list[tuple[int, str, bool]] = []
        for index, line in enumerate(lines):
            if (found := bare.fullmatch(line)) and (found[1].isupper() or "(" in line or ")" in line):
                named.append((index, found[1].upper(), True))
            elif found := lead.fullmatch(line):
                named.append((index, found[1], False))
        last = len(lines) - 1
        if named and named[-1][0] == last and named[-1][2] and not cut:
            others = {letter for _, letter, whole in named if whole}
            return named[-1][1] if len(others) == 1 else None
        if len({letter for _, letter, _ in named}) != 1:
            return None
        index, letter, whole = named[0]
        if index == 0:
            return letter
        ends = named[-1][0] == last and not cut
        return letter if ends and (whole or self.option_at(lead.sub(r"\2", lines[last])) == letter) else None

    def restated(self) -> str | None:
        """Read an option's own words: as the whole answer, or as the only option named in its last sentence."""
        sentences = [s for s in re.split(r"(?<=[.!?])\s+|\n+", self.answer) if s.strip()]
        listed = rf"\W*[{self.range[: len(self.options)]}]\s*[).:\]]"
        if not sentences or re.match(listed, self.answer.splitlines()[-1]):
            return None
        last = _folded(sentences[-1])
        if (whole := self.exactly(sentences[-1])) is not None:
            return whole
        if _NEGATED.search(last) or hedged(last, len(last), len(last)):
            return None
        said = {
            letter: option
            for letter, option in zip(ALPHABET, self.options, strict=False)
            if option
            and re.search(rf"(?<!\w){re.escape(option)}(?!\w)", last)
            and (len(option) > 2 or option.isdigit())
        }
        outer = [a for a, o in said.items() if not any(o != p and o in p for p in said.values())]
        return outer[0] if len(outer) == 1 else None

    def exactly(self, said: str) -> str | None:
        """Return the letter of the one option that ``said`` is, word for word; a one-letter text is a letter."""
        folded = _folded(said)
        same = [letter for letter, option in zip(ALPHABET, self.options, strict=False) if option == folded]
        return same[0] if len(same) == 1 and folded not in self.range else None
