"""What an ablation changes in a prompt: one thing at a time, named. Pure.

A prompt that came from a space is a choice of it; every variant is another choice, so what is said stays what the
space says, word for word. A prompt from a file is read as sentences: the first is its opening, each other a clause.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from defender.errors import ConfigError
from defender.records import Candidate
from defender.space import Choice, Space

Kind = Literal["left out", "added", "order", "placement", "role", "wording", "opening"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=\S)")


@dataclass(frozen=True)
class Variant:
    """The prompt with one thing changed.

    Attributes:
        kind: what was changed. "role": the identity sentence moves to the other message.
        what: the clause (idea), or the change in words.
        candidate: the changed prompt, labelled by the change.
    """

    kind: Kind
    what: str
    candidate: Candidate


@dataclass(frozen=True)
class Subject:
    """A prompt that can be taken apart: the choice that says it, and the space it is a choice of."""

    candidate: Candidate
    choice: Choice
    space: Space

    @property
    def clauses(self) -> tuple[str, ...]:
        """The ideas it says, in order."""
        return tuple(idea for idea, _ in self.choice.clauses)

    def with_only(self, ideas: Collection[str], label: str = "") -> Candidate:
        """Return the prompt with some of its clauses, in their order."""
        said = tuple(pair for pair in self.choice.clauses if pair[0] in ideas)
        return self.space.render(replace(self.choice, clauses=said), label=label, origin="ablation")


def subject_of(candidate: Candidate, space: Space | None) -> Subject:
    """Return a prompt as a choice of a space; of its own sentences where no space says its very text.

    The space is taken without its limit on clauses: an ablation asks what one more would do.

    Raises:
        ConfigError: it is neither a choice of the space nor plain sentences after one another.
    """
    choice = Choice.of(candidate)
    if space is not None and choice is not None and _says(space, choice, candidate):
        return Subject(candidate, choice, replace(space, max_clauses=len(space.clauses)))
    opening, *sentences = _SENTENCE_END.split(candidate.before) if not candidate.after else [""]
    names = {f"sentence {number}": {"as it is": text} for number, text in enumerate(sentences, 2)}
    whole = Choice(
        "as it is", tuple((name, "as it is") for name in names), "user_turn" if candidate.seat == "user" else "last"
    )
    own = Space("its own sentences", {"as it is": opening}, names, len(names), ("last", "user_turn"), {})
    if not opening or own.render(whole).digest != candidate.digest:
        raise ConfigError(
            f"{candidate.name} cannot be taken apart: it is no choice of the run's space, and its text is not "
            "sentences with one blank between them; ablate another prompt with --prompt NAME"
        )
    return Subject(candidate, whole, own)


def _says(space: Space, choice: Choice, candidate: Candidate) -> bool:
    known = all(idea in space.clauses and way in space.clauses[idea] for idea, way in choice.clauses)
    if not known or choice.opening not in space.openings or choice.placement not in space.placements:
        return False
    return replace(space, max_clauses=len(space.clauses)).render(choice).digest == candidate.digest


def variants(subject: Subject, kinds: Collection[Kind] = KINDS) -> tuple[Variant, ...]:
    """Return every variant of the kinds asked for, in the order of ``KINDS``; each text once, never the prompt's own.

    A clause that is added comes last, in its first wording. Order: two neighbours change places.
    """
    found: dict[str, Variant] = {}
    for kind, what, choice in _choices(subject):
        if kind in kinds:
            candidate = subject.space.render(choice, label=_label(kind, what), origin="ablation")
            if candidate.digest != subject.candidate.digest:
                found.setdefault(candidate.digest, Variant(kind, what, candidate))
    return tuple(sorted(found.values(), key=lambda variant: KINDS.index(variant.kind)))


def _label(kind: Kind, what: str) -> str:
    return {"left out": f"without {what}", "added": f"with {what}"}.get(kind, what)


def _choices(subject: Subject) -> Iterator[tuple[Kind, str, Choice]]:
    said, space, choice = subject.choice.clauses, subject.space, subject.choice
    for place, (idea, _) in enumerate(said):
        yield "left out", idea, replace(choice, clauses=(*said[:place], *said[place + 1 :]))
    for idea, ways in space.clauses.items():
        if idea not in subject.clauses:
            yield "added", idea, replace(choice, clauses=(*said, (idea, next(iter(ways)))))
    for place in range(len(said) - 1):
        first, second = said[place : place + 2]
        swapped = (*said[:place], second, first, *said[place + 2 :])
        yield "order", f"{second[0]} before {first[0]}", replace(choice, clauses=swapped)
    for placement in space.placements:
        moved = "user_turn" in (placement, choice.placement)
        yield "role" if moved else "placement", f"identity {placement}", replace(choice, placement=placement)
    for place, (idea, wording) in enumerate(said):
        for other in space.clauses[idea]:
            if other != wording:
                changed = (*said[:place], (idea, other), *said[place + 1 :])
                yield "wording", f"{idea} as {other}", replace(choice, clauses=changed)
    for opening in space.openings:
        if opening != choice.opening:
            yield "opening", f"opening {opening}", replace(choice, opening=opening)
