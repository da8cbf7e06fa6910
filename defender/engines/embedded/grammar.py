"""Training texts: system prompts drawn from the search space and from a much wider grammar.

The wide grammar (templates, negation contrasts, keyword mixes, fillers, mutations) exists so that the network learns
what words mean and not which sentences exist. Held-out templates and hand-written prompts are kept for evaluation.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from defender.engines.embedded.lexicon import LEXICON, OPENINGS

PLAIN = "You are a helpful assistant."
_SLOT = re.compile(r"\{(\w+)\}")
_TABLES = Path(__file__).with_name("grammar.json")


@cache
def tables() -> dict[str, Any]:
    """Return the templates, slots and filler words (shared: do not change the dict)."""
    loaded: dict[str, Any] = json.loads(_TABLES.read_text(encoding="utf-8"))
    return loaded


@dataclass(frozen=True)
class Space:
    """The wordings of a search space: opening texts, wordings by clause, and the paper's prompts as full texts."""

    openings: tuple[str, ...]
    clauses: tuple[tuple[str, ...], ...]
    seeds: dict[str, str]
    max_clauses: int

    @staticmethod
    def load(path: Path) -> Space:
        """Read a search-space YAML file (`search_spaces/clauses.yaml`)."""
        import yaml

        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        seeds = {}
        for name, choice in raw["seeds"].items():
            said = [raw["clauses"][clause][wording] for clause, wording in choice.get("clauses", {}).items()]
            seeds[name] = " ".join([PLAIN, *said])
        wordings = tuple(tuple(clause.values()) for clause in raw["clauses"].values())
        return Space(tuple(raw["opening"].values()), wordings, seeds, raw["max_clauses"])

    def combination(self, rng: random.Random) -> str:
        """Draw an opening (plain half of the time) and 0 to `max_clauses` clauses in any order."""
        opening = PLAIN if rng.random() < 0.5 else rng.choice(self.openings)
        chosen = rng.sample(self.clauses, rng.choice(range(self.max_clauses + 1)))
        return " ".join([opening, *(rng.choice(wordings) for wordings in chosen)])


def draw(rng: random.Random, space: Space, seed_share: float = 0.1, space_share: float = 0.35) -> str:
    """Draw one system text of the training mix."""
    kind = rng.random()
    if kind < seed_share:
        return rng.choice(list(space.seeds.values()))
    if kind < seed_share + space_share:
        text = space.combination(rng)
        return mutate(text, rng) if rng.random() < 0.1 else text
    body = wide(rng, space)
    return " ".join(part for part in (_opening(rng, space), body) if part)


def wide(rng: random.Random, space: Space) -> str:
    """Draw clauses of the wide grammar, without an opening."""
    kind = rng.random()
    if kind < 0.03:
        return filler(rng)
    if kind < 0.12:
        return mutate(rng.choice(rng.choice(space.clauses)), rng)
    count = rng.choices([1, 2, 3, 4, 5, 6], [0.34, 0.26, 0.17, 0.11, 0.07, 0.05])[0]
    return " ".join(_sentence(rng, space, tables()["templates"]) for _ in range(count))


def held_out(rng: random.Random, space: Space) -> str:
    """Draw a full system text with templates the training never saw."""
    count = rng.choices([1, 2, 3, 4], [0.42, 0.33, 0.17, 0.08])[0]
    parts = [fill(rng.choice(tables()["held_templates"]), rng)]
    parts += [_sentence(rng, space, tables()["held_templates"]) for _ in range(count - 1)]
    return " ".join([PLAIN, *parts])


def hand_written() -> tuple[str, ...]:
    """Return full system texts written by hand, for evaluation only."""
    return tuple(f"{PLAIN} {text}" for text in tables()["hand_written"])


def fill(template: str, rng: random.Random) -> str:
    """Fill the slots of a template."""
    text = _SLOT.sub(lambda slot: rng.choice(tables()["slots"][slot.group(1)]), template)
    return text[0].upper() + text[1:]


def keywords(rng: random.Random) -> str:
    """Draw a string of concept words, stop words and filler without grammar."""
    filler_share = rng.choice([0.0, 0.2, 0.4, 0.6])
    words: list[str] = []
    for _ in range(rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 14])):
        kind = rng.random()
        if kind < filler_share:
            words.append(rng.choice(tables()["filler"]))
        elif kind < filler_share + 0.25 * (1 - filler_share):
            words.append(rng.choice(tables()["stop"]))
        elif kind < filler_share + 0.32 * (1 - filler_share):
            words += [rng.choice(["not", "never", "don't", "without"]), rng.choice(LEXICON["REF"] + LEXICON["DEP"])]
        else:
            words.append(_concept_word(rng))
    text = rng.choice([" ", " ", ", "]).join(words)
    return text[0].upper() + text[1:] + "."


def filler(rng: random.Random) -> str:
    """Draw a sentence that says nothing about bias."""
    words = [
        rng.choice(tables()["filler"] if rng.random() < 0.65 else tables()["stop"]) for _ in range(rng.randint(2, 10))
    ]
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


def mutate(text: str, rng: random.Random) -> str:
    """Drop, insert or replace one to three words."""
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(words))
        kind = rng.random()
        if kind < 0.4 and len(words) > 3:
            del words[at]
        elif kind < 0.6:
            words.insert(at, rng.choice(tables()["filler"]))
        elif kind < 0.8:
            words.insert(at, _concept_word(rng))
        else:
            words[at] = _concept_word(rng)
    return " ".join(words)


def _sentence(rng: random.Random, space: Space, templates: list[str]) -> str:
    kind = rng.random()
    if kind < 0.6:
        text = fill(rng.choice(templates), rng)
        return mutate(text, rng) if rng.random() < 0.15 else text
    if kind < 0.75:
        return rng.choice(rng.choice(space.clauses))
    if kind < 0.9:
        return keywords(rng)
    return filler(rng)


def _opening(rng: random.Random, space: Space) -> str:
    kind = rng.random()
    if kind < 0.65:
        return PLAIN
    if kind < 0.92:
        return rng.choice(space.openings)
    return "" if kind < 0.96 else mutate(rng.choice(list(OPENINGS)), rng)


def _concept_word(rng: random.Random) -> str:
    return rng.choice(LEXICON[rng.choice(list(LEXICON))])
