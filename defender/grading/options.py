"""The options of a multiple-choice question: finding which one a text names in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from defender.grading.reading import plain

ALPHABET = "ABCDEFGHIJ"
_SPACES = re.compile(r"\s+")
_ARTICLE = re.compile(r"^(?:an?|the)\s+")
_LEAST_WORD = 2


def bared(text: str) -> str:
    """Return ``text`` without dress, outer punctuation and repeated blanks."""
    return _SPACES.sub(" ", plain(text)).strip(" .,:;!?\"'()[]")


def folded(text: str) -> str:
    """Return `bared` text in small letters."""
    return bared(text).casefold()


class Options:
    """The options' texts in order; letters are "A", "B", ... by place."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self.letters = ALPHABET[: len(texts)]
        self.reach = 2 * max(map(len, texts)) + 80
        """How much of a line can matter to a claim."""

    @cached_property
    def texts(self) -> list[str]:
        """The texts, folded for comparison."""
        return [folded(text) for text in self._texts]

    def text_of(self, letter: str) -> str:
        """Return the folded text of an option."""
        return self.texts[ALPHABET.index(letter)]

    def exactly(self, said: str) -> str | None:
        """Return the letter of the one option that ``said`` is, word for word; a one-letter text is a letter.

        Where options differ in nothing but capitals ("Bb", "BB"), capitals count.
        """
        words = folded(said)
        if not words or words.upper() in tuple(self.letters):
            return None
        same = [letter for letter, text in zip(self.letters, self.texts, strict=True) if text == words]
        if len(same) > 1:
            exact = bared(said)
            same = [letter for letter in same if bared(self._texts[ALPHABET.index(letter)]) == exact]
        return same[0] if len(same) == 1 else None

    def at(self, line: str) -> str | None:
        """Return the letter of the one option that ``line`` is, or begins with; the longest wins."""
        said = folded(line)
        saids = (said, _ARTICLE.sub("", said))
        fitting = [
            (len(text), letter)
            for letter, text in zip(self.letters, self.texts, strict=True)
            if text and any(s.startswith(text) and not s[len(text) :][:1].isalnum() for s in saids)
        ]
        longest = [letter for size, letter in fitting if size == max(fitting)[0]]
        return longest[0] if len(longest) == 1 else None

    def within(self, sentence: str) -> str | None:
        """Return the letter of the one option whose words stand in ``sentence``; one inside another does not count."""
        said = folded(sentence)
        named = {
            letter: text
            for letter, text in zip(self.letters, self.texts, strict=True)
            if text
            and text in said
            and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", said)
            and (len(text) > _LEAST_WORD or text.isdigit())
        }
        outer = [a for a, text in named.items() if not any(text != other and text in other for other in named.values())]
        return outer[0] if len(outer) == 1 else None
