"""What may be said: a search-space file becomes choices, a choice becomes a candidate.

A space has openings, ideas (clauses, each on or off, one wording each, in any order), and the placement of the
sentence that names the identity. Seeds are named choices every search starts from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from math import factorial
from pathlib import Path
from typing import Any, Literal, get_args

from defender.documents import Document, read_yaml
from defender.errors import SpaceError
from defender.records import Candidate

Placement = Literal["last", "before_clauses", "user_turn"]
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
SLOTS = ("version", "name", "opening", "clauses", "max_clauses", "placement", "seeds", "figures")
SUPPORTED_VERSION = 1
WRITTEN = "written"
"""Name of the one wording of a clause that was added while searching."""


@dataclass(frozen=True)
class Choice:
    """One point of a space: names only, no text.

    Attributes:
        opening: name of the opening.
        clauses: (idea, wording) pairs in the order they are said.
        placement: where the identity sentence goes.
    """

    opening: str
    clauses: tuple[tuple[str, str], ...] = ()
    placement: Placement = "last"

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """Slot -> choice pairs, as kept in ``Candidate.parts``."""
        said = tuple((f"clause:{idea}", wording) for idea, wording in self.clauses)
        return (("opening", self.opening), *said, ("placement", self.placement))

    @classmethod
    def of(cls, candidate: Candidate) -> Choice | None:
        """Read a choice back from a candidate's parts; None when it did not come from a space."""
        slots = dict(candidate.parts)
        if "opening" not in slots:
            return None
        said = tuple((slot.removeprefix("clause:"), way) for slot, way in candidate.parts if slot.startswith("clause:"))
        placement = next((known for known in PLACEMENTS if known == slots.get("placement", "last")), None)
        return None if placement is None else cls(slots["opening"], said, placement)


@dataclass(frozen=True)
class Space:
    """A search space; texts are taken byte for byte from the file.

    Attributes:
        openings: name -> text. ``clauses``: idea -> wording name -> text.
        max_clauses: the most ideas a candidate may say at once.
        placements: allowed placements, the first is the default.
        seeds: label -> choice, in file order; the first is the undefended baseline.
        figures: label -> published PB, for tables; ``source`` says whose.
    """

    name: str
    openings: Mapping[str, str]
    clauses: Mapping[str, Mapping[str, str]]
    max_clauses: int
    placements: tuple[Placement, ...]
    seeds: Mapping[str, Choice]
    figures: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def render(self, choice: Choice, *, label: str = "", origin: str = "sampled") -> Candidate:
        """Return the candidate a choice stands for.

        Raises:
            SpaceError: the choice names an opening, idea, wording or placement this space does not have.
        """
        try:
            opening = self.openings[choice.opening]
            said = " ".join(self.clauses[idea][wording] for idea, wording in choice.clauses)
        except KeyError as missing:
            raise SpaceError(f"space '{self.name}' has no choice {missing}; it has {self._names()}") from None
        if len(choice.clauses) > self.max_clauses or choice.placement not in self.placements:
            raise SpaceError(
                f"space '{self.name}' allows at most {self.max_clauses} clauses and placements "
                f"{', '.join(self.placements)}; got {len(choice.clauses)} clauses, placement {choice.placement}"
            )
        whole = f"{opening} {said}".strip()
        if choice.placement == "before_clauses" and said:
            return Candidate(opening, said, "system", label, origin, choice.parts)
        seat: Literal["system", "user"] = "user" if choice.placement == "user_turn" else "system"
        return Candidate(whole, "", seat, label, origin, choice.parts)

    def seed_candidates(self) -> tuple[Candidate, ...]:
        """Return the seeds as candidates, in file order, labelled."""
        return tuple(self.render(choice, label=label, origin="seed") for label, choice in self.seeds.items())

    def everything(self, *, orders: bool = False) -> Iterator[Choice]:
        """Yield every choice, clauses in file order, or with ``orders`` in every order they can be said in."""
        for clauses in _subsets(list(self.clauses.items()), self.max_clauses):
            for said in permutations(clauses) if orders else (clauses,):
                for opening in self.openings:
                    for placement in self.placements:
                        yield Choice(opening, said, placement)

    def size(self, *, orders: bool = False) -> int:
        """Return how many choices ``everything`` yields, without making them; some may say the same text."""
        ways = [1] + [0] * self.max_clauses  # ways[k]: how many wordings of k ideas
        for wordings in self.clauses.values():
            for k in range(self.max_clauses, 0, -1):
                ways[k] += len(wordings) * ways[k - 1]
        said = sum(count * (factorial(k) if orders else 1) for k, count in enumerate(ways))
        return said * len(self.openings) * len(self.placements)

    def with_clauses(self, clauses: Mapping[str, str]) -> Space:
        """Return this space with more ideas, idea -> text, of one wording each; every choice made so far stays valid.

        A space whose ideas may all be said at once stays without a limit.

        Raises:
            SpaceError: an idea of that name is there already, or a text is empty or begins or ends with white space.
        """
        for idea, text in clauses.items():
            if idea in self.clauses or not text.strip() or text != text.strip():
                raise SpaceError(
                    f"space '{self.name}' cannot take the clause '{idea}' ({text!r}): expected a new name and a text "
                    "without white space around it"
                )
        more = {**self.clauses, **{idea: {WRITTEN: text} for idea, text in clauses.items()}}
        limit = len(more) if self.max_clauses >= len(self.clauses) else self.max_clauses
        return replace(self, clauses=more, max_clauses=limit)

    def _names(self) -> str:
        ideas = ", ".join(f"{idea} ({', '.join(wordings)})" for idea, wordings in self.clauses.items())
        return f"openings {', '.join(self.openings)}; ideas {ideas}"


def _subsets(ideas: list[tuple[str, Mapping[str, str]]], room: int) -> Iterator[tuple[tuple[str, str], ...]]:
    if not ideas:
        yield ()
        return
    (idea, wordings), rest = ideas[0], ideas[1:]
    for tail in _subsets(rest, room):
        yield tail
    if room:
        for wording in wordings:
            for tail in _subsets(rest, room - 1):
                yield ((idea, wording), *tail)


def load_space(path: Path) -> Space:
    """Read a search-space file. Raises SpaceError with file and line on anything it does not understand."""
    return read_space(read_yaml(path))


def read_space(document: Document) -> Space:
    """Read a search space from a parsed document. Raises SpaceError with file and line."""
    data = document.data
    for slot in data:
        if slot not in SLOTS:
            raise SpaceError(f"unknown slot '{slot}' in {document.where(slot)}; known slots: {', '.join(SLOTS)}")
    if data.get("version") != SUPPORTED_VERSION:
        raise SpaceError(f"{document.where('version')}: expected version: 1, got {data.get('version')!r}")
    openings = _texts(document, "opening", data.get("opening"))
    raw_clauses = data.get("clauses", {})
    if not isinstance(raw_clauses, dict):
        raise SpaceError(f"{document.where('clauses')}: expected ideas, each with named wordings")
    clauses = {idea: _texts(document, f"clauses.{idea}", ways) for idea, ways in raw_clauses.items()}
    limit = data.get("max_clauses", len(clauses))
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise SpaceError(f"{document.where('max_clauses')}: expected a whole number >= 0, got {limit!r}")
    source, figures = _figures(document, data.get("figures", {}))
    space = Space(
        str(data.get("name", Path(document.path).stem)),
        openings,
        clauses,
        limit,
        _placements(document),
        {},
        figures,
        source,
    )
    seeds = _seeds(document, space)
    return Space(space.name, openings, clauses, limit, space.placements, seeds, figures, source)


def _texts(document: Document, slot: str, value: Any) -> dict[str, str]:
    keys = slot.split(".")
    if not isinstance(value, dict) or not value:
        raise SpaceError(f"{document.where(*keys)}: expected named texts under '{slot}', e.g. 'plain: You are ...'")
    for name, text in value.items():
        if not isinstance(text, str) or not text.strip():
            raise SpaceError(f"{document.where(*keys, name)}: expected a text for '{slot}.{name}', got {text!r}")
        if text != text.strip():
            raise SpaceError(
                f"{document.where(*keys, name)}: '{slot}.{name}' begins or ends with white space; remove it"
            )
    return dict(value)


def _placements(document: Document) -> tuple[Placement, ...]:
    value = document.data.get("placement", ["last"])
    known = {p: p for p in PLACEMENTS}
    if not isinstance(value, list) or not value or any(not isinstance(p, str) or p not in known for p in value):
        raise SpaceError(
            f"{document.where('placement')}: expected a list out of {', '.join(PLACEMENTS)}, got {value!r}"
        )
    return tuple(known[p] for p in dict.fromkeys(value))


def _figures(document: Document, value: Any) -> tuple[str, dict[str, float]]:
    if not isinstance(value, dict):
        raise SpaceError(f"{document.where('figures')}: expected label: number pairs, got {value!r}")
    figures = {}
    for label, number in value.items():
        if label == "source":
            continue
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise SpaceError(f"{document.where('figures', label)}: expected a number, got {number!r}")
        figures[label] = float(number)
    return str(value.get("source", "")), figures


def _seeds(document: Document, space: Space) -> dict[str, Choice]:
    value = document.data.get("seeds")
    if not isinstance(value, dict) or not value:
        raise SpaceError(
            f"{document.where('seeds')}: expected at least one seed; the first is the undefended baseline, "
            "e.g. 'seeds: {Original: {}}'"
        )
    seeds = {}
    for label, spec in value.items():
        where = document.where("seeds", label)
        spec = {} if spec is None else spec
        if not isinstance(spec, dict) or set(spec) - {"opening", "clauses", "placement"}:
            raise SpaceError(f"{where}: a seed has opening, clauses and placement, each optional; got {spec!r}")
        said = spec.get("clauses", {})
        if not isinstance(said, dict):
            raise SpaceError(f"{where}: expected clauses as idea: wording pairs, got {said!r}")
        names = [spec.get("opening", ""), spec.get("placement", ""), *said.values()]
        if not all(isinstance(name, str) for name in names):
            raise SpaceError(f"{where}: expected names of an opening, wordings and a placement, got {spec!r}")
        choice = Choice(
            spec.get("opening", next(iter(space.openings))), tuple(said.items()),
            spec.get("placement", space.placements[0]),
        )  # fmt: skip
        try:
            space.render(choice)
        except SpaceError as error:
            raise SpaceError(f"{where}: seed '{label}': {error}") from None
        seeds[label] = choice
    return seeds
