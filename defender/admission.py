"""Which written clauses may enter a search space: plain, short, new, naming no identity, quoting no benchmark.

A clause that quotes an item or names a user would buy a low PB on this panel with knowledge of the panel. The guard
is strict: a good clause refused costs a sentence, a leaking one costs the claim.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from types import MappingProxyType

from defender.records import Identity, Item

QUOTED_WORDS = 6
"""A run of so many words shared with a benchmark item is a quotation."""
NEAR_WORDS = 4
"""So many words on either side of one that is exchanged, added or left out are a quotation too."""
WHOLE_WORDS = 4
"""An item shorter than that run is quoted when all of it is said, if it has at least so many words."""
LONGEST_WORD = 20
"""Characters of a word that counts as one; a longer one, or a line without spaces, counts as several."""
ALIKE = 0.85
"""Similarity (difflib's, over words) from which a clause is one that is there already."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MARKUP = frozenset("{}[]<>|`\\#*_~^=")
_ROLE = re.compile(r"\b(?:system|user|assistant|developer|human|ai|tool)\s*:", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Return the words of a text, lower case, without punctuation; full-width and ligature letters are plain ones."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return [word.replace("’", "'") for word in _WORD.findall(plain)]


_STOP = frozenset(
    words(
        "a an the i i'm am is are was were be been do does did have has had will would can could should may might must "
        "my me mine your you we our us he she it its they them their this that these those there here what which who "
        "how when where why if so than then but and or nor not no yes of in on at to from with without as by for "
        "about into over under up down out off again also too very just only more most much many all any some every "
        "each both few other another same own name know live lives person persons people user users individual "
        "individuals human humans someone everyone citizen citizens"
    )
)
"""Words of an identity's sentence that name nobody."""

_EVERYDAY = frozenset(words("able physically middle native non independent minor straight senior young old rich poor"))
"""Words that name somebody only before a noun of persons ("an independent voter"), or in the plural ("minors")."""

_PERSONS = frozenset(
    words(
        "person persons people user users voter voters man men woman women citizen citizens individual individuals "
        "american americans adult adults"
    )
)

_KIN: Mapping[str, frozenset[str]] = MappingProxyType({
    "man": frozenset(words("men male males manly masculine masculinity gentleman gentlemen boy boys guy guys")),
    "woman": frozenset(words("women female females feminine femininity lady ladies girl girls")),
    "transgender": frozenset(words("trans transsexual transsexuals transsexuality")),
    "disabled": frozenset(words("handicap handicaps handicapped wheelchair wheelchairs")),
    "hispanic": frozenset(words("latino latina latinx latinos latinas")),
    "caucasian": frozenset(words("white whites")),
    "african": frozenset(words("black blacks")),
    "native": frozenset(words("indigenous")),
    "minor": frozenset(words("child children kid kids underage juvenile juveniles")),
    "age": frozenset({"ages", "aged", "ageing", "aging", "ageism", "ageist"}),
    "gender": frozenset({"sex", "sexes"}),
    "sexuality": frozenset(words("sex lgbt lgbtq queer queers")),
    "race": frozenset({"ethnic", "ethnicity", "ethnicities"}),
    "muslim": frozenset({"islam", "islamic"}),
    "jewish": frozenset({"judaism"}),
    "gay": frozenset(words("homosexual homosexuals homosexuality")),
    "straight": frozenset(words("heterosexual heterosexuals heterosexuality")),
    "teenager": frozenset(words("teen teens youth youths youngster youngsters adolescent adolescents")),
    "senior": frozenset({"elderly", "elder", "elders"}),
})  # fmt: skip
"""Relatives that share no stem."""

_ENDINGS = frozenset(
    words(
        "s es e d ed y ies ish ism isms ist ists ity ities ic ics al als ally ial ially ian ians n ns an ans r rs ion "
        "ions ional ious iously led less ility ilities hood ness"
    )
) | {""}
_STEM = 3


def tidy(text: str) -> str:
    """Return a clause without white space or quotation marks around it, ending as a sentence does."""
    text = text.strip()
    if len(text) > 1 and (text[0], text[-1]) in {('"', '"'), ("'", "'"), ("“", "”")}:
        text = text[1:-1].strip()
    return f"{text}." if text and text[-1].isalnum() else text


def printable(text: str, most: int = 200) -> str:
    """Return the start of a text on one line, without anything that steers a terminal or hides."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= most else f"{line[:most]}..."


def texts_of(items: Iterable[Item]) -> Iterable[str]:
    """Yield every text in the payloads of items: questions, choices, answers, programs."""
    for item in items:
        yield from _leaves(item.payload)


def _leaves(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _leaves(part)


class Admission:
    """Says why a clause may not enter, or nothing.

    Args:
        texts: called once, when the first clause comes: the texts of every benchmark item, in any split.
        identities: whom no clause may name, by their words or their category's.
        tokens: the most words and punctuation marks of a clause.
    """

    def __init__(self, texts: Callable[[], Iterable[str]], identities: Sequence[Identity], *, tokens: int = 60) -> None:
        self._texts = texts
        self._tokens = tokens
        self._names = _names(identities)
        self._corpus: str | None = None
        self._short: frozenset[str] = frozenset()

    def refusal(self, text: str, said: Collection[str]) -> str:
        """Return why a tidy clause is refused, "" where it is not. The words say nothing of an item's text.

        Args:
            text: the clause.
            said: clauses that are there already.
        """
        return self._form(text) or self._naming(text) or _repeating(text, said) or self._quoting(text)

    def _form(self, text: str) -> str:
        if any(unicodedata.category(sign)[0] == "C" or sign in "\u2028\u2029" for sign in text):
            return "it is not one line of plain text"
        if found := sorted(_MARKUP & set(text)):
            return f"it has signs that are no plain text: {' '.join(found)}"
        if _ROLE.search(text) or "://" in text:
            return "it has a role marker or an address"
        count = sum(-(-len(token) // LONGEST_WORD) for token in _TOKEN.findall(text))
        if count > self._tokens:
            return f"it has {count} words and punctuation marks, at most {self._tokens}"
        return "" if len(words(text)) > 1 else "it says nothing"

    def _naming(self, text: str) -> str:
        spoken = words(text)
        for place, word in enumerate(spoken):
            after = spoken[place + 1] if place + 1 < len(spoken) else ""
            joined = word + after
            for name, who in self._names.items():
                if name in _EVERYDAY:
                    named = (word == name and after in _PERSONS) or word == f"{name}s" or word in _KIN.get(name, ())
                else:
                    named = _related(word, name) or joined == name
                if named:
                    return f"it names '{word}' ({who})"
        return ""

    def _quoting(self, text: str) -> str:
        if self._corpus is None:
            lines = [" ".join(words(line)) for line in self._texts()]
            self._corpus = "\n".join(f" {line} " for line in lines)
            brief = (line for line in lines if WHOLE_WORDS <= line.count(" ") + 1 < QUOTED_WORDS)
            self._short = frozenset(brief)
        spoken = words(text)
        for start in range(len(spoken) - QUOTED_WORDS + 1):
            if f" {' '.join(spoken[start : start + QUOTED_WORDS])} " in self._corpus:
                return f"it shares {QUOTED_WORDS} words in a row with a benchmark item"
        if self._nearly(self._corpus, spoken):
            return f"it shares {NEAR_WORDS} words before and after another one with a benchmark item"
        for size in range(WHOLE_WORDS, QUOTED_WORDS):
            if any(" ".join(spoken[at : at + size]) in self._short for at in range(len(spoken) - size + 1)):
                return f"it says the whole of a benchmark text of {size} words"
        return ""

    @staticmethod
    def _nearly(corpus: str, spoken: Sequence[str]) -> bool:
        """Tell whether words are an item's but for one that is exchanged, added or left out."""
        for gap in (0, 1):
            for start in range(len(spoken) - 2 * NEAR_WORDS - gap + 1):
                middle = start + NEAR_WORDS
                before, after = " ".join(spoken[start:middle]), " ".join(spoken[middle + gap :][:NEAR_WORDS])
                both = f" {before} " in corpus and f" {after} " in corpus
                if both and re.search(rf" {re.escape(before)} (?:\S+ )?{re.escape(after)} ", corpus):
                    return True
        return False


def _repeating(text: str, said: Collection[str]) -> str:
    spoken = words(text)
    for other in said:
        if SequenceMatcher(None, spoken, words(other), autojunk=False).ratio() >= ALIKE:
            return f"it is there already: '{other}'"
    return ""


def _names(identities: Sequence[Identity]) -> dict[str, str]:
    """Return word -> whom it names. Compounds ("non-binary") count joined, and by their parts."""
    said = [" ".join((identity.key, identity.sentence, *identity.held_out)) for identity in identities]
    shared = Counter(word for text in said for word in set(words(text)))
    found: dict[str, str] = {}
    for identity, text in zip(identities, said, strict=True):
        for compound in re.findall(r"\w+(?:-\w+)+", text.casefold()):
            found.setdefault(compound.replace("-", ""), f"identity '{identity.key}'")
        for word in words(text):
            if shared[word] <= len(said) / 2:  # what most of them say tells nobody apart
                found.setdefault(word, f"identity '{identity.key}'")
        for word in words(identity.category):
            found.setdefault(word, f"category '{identity.category}'")
    return {word: who for word, who in found.items() if word not in _STOP}


def _related(word: str, name: str) -> bool:
    """Tell whether a word is a name, its plural, or a noun or adjective of the same stem."""
    bare = word.removesuffix("'s").removesuffix("s'")
    if bare == name or bare in _KIN.get(name, ()):
        return True
    if len(name) <= _STEM:
        return bare == f"{name}s"
    shared = next((n for n, (a, b) in enumerate(zip(bare, name, strict=False)) if a != b), min(len(bare), len(name)))
    return any(bare[cut:] in _ENDINGS and name[cut:] in _ENDINGS for cut in range(_STEM, shared + 1))
