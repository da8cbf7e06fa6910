"""What an ablation takes over from the run whose prompt it takes apart: who is who, and every score on its cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from defender.bill import MOST_EXACT, Terms
from defender.contracts import Benchmark, Store
from defender.errors import ConfigError
from defender.evidence import Clause
from defender.plan import Panel, cells, request_for
from defender.records import Candidate, Cell, Grade
from defender.results import read_candidate
from defender.runs import RunFolder
from defender.seal import card_of
from defender.space import Space

KEPT = ("card", "benchmark", "seeds")
"""What the ablation takes over from its run: who answers, how it is asked and graded, whether seeds are honoured."""


@dataclass(frozen=True)
class Parent:
    """What the run's store says that an ablation needs."""

    winner: Candidate | None
    candidates: Mapping[str, Candidate]
    written: tuple[Mapping[str, str], ...]
    notes: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def named(self, prompt: str | None, run: RunFolder) -> Candidate:
        """Return the prompt of that name or id, or the winner. Raises ConfigError."""
        if prompt is None and self.winner is not None:
            return self.winner
        found = next((c for c in self.candidates.values() if prompt in (c.label, c.id)), None)
        if found is not None:
            return found
        names = [candidate.name for candidate in self.candidates.values()]
        rest = f" and {len(names) - 20} more" if len(names) > 20 else ""
        asked = f"has no prompt '{prompt}'" if prompt else "has no confirmed winner; name a prompt with --prompt NAME"
        raise ConfigError(f"{run.path} {asked}; it has {', '.join(names[:20])}{rest}")


def read_parent(parent: RunFolder) -> Parent:
    """Read what a run's store says. Raises ConfigError where nothing was measured yet, StoreError."""
    with _store(parent, readonly=True) as store:
        notes: dict[str, Any] = {kind: store.notes(kind) for kind in (*KEPT, "candidate", "writing", "result")}
    if "model" not in notes["card"]:
        raise ConfigError(f"{parent.path} holds no measurement yet; run 'defender {parent.config.command}' on it")
    candidates = {key: read_candidate(value) for key, value in notes["candidate"].items()}
    written = tuple(
        {Clause(found["text"], found["aim"]).idea: found["text"] for found in writing["admitted"]}
        for writing in notes["writing"].values()
    )
    done = notes["result"].get("search", {})
    return Parent(candidates.get(done.get("winner", "")), candidates, written, notes)


def grown(space: Space | None, written: Iterable[Mapping[str, str]]) -> Space | None:
    """Return the run's space with the clauses that were written while it searched."""
    if space is not None:
        for clauses in written:
            space = space.with_clauses(clauses)
    return space


def answered(parent: RunFolder, known: Parent, terms: Terms) -> dict[str, int]:
    """Return candidate id -> requests of the panel that the run has scores for."""
    found: dict[str, int] = {}
    with _store(parent, readonly=True) as source:
        for candidate in _prompts(terms):
            if candidate.id in known.candidates:
                graded = source.grades(candidate.id)
                scored = (cell for cell, _, _ in cells(candidate, terms.panel) if cell in graded)
                found[candidate.id] = sum(
                    terms.panel.price(cell.benchmark) for cell in scored if graded[cell].score is not None
                )
    return found


def adopt(parent: RunFolder, into: RunFolder, terms: Terms, benchmarks: Mapping[str, Benchmark]) -> None:
    """Take over what the run already knows: its model, its benchmarks, and every score on the ablation's cells.

    Scores only: an answer that nobody could score is asked for again. Idempotent; nothing is counted as paid.

    Raises:
        StoreError: a database cannot be read or written.
    """
    known = read_parent(parent)
    fingerprint = card_of(known.notes["card"]["model"]).fingerprint
    with _store(into) as store:
        for kind in KEPT:
            there = store.notes(kind)
            for key, value in known.notes[kind].items():
                if key not in there:
                    store.note(kind, key, value)
        with _store(parent, readonly=True) as source:
            for candidate in _prompts(terms):
                if candidate.id in known.candidates:
                    graded = source.grades(candidate.id)
                    store.commit(grades=list(_rows(candidate, terms.panel, benchmarks, graded, fingerprint)))


def _rows(
    candidate: Candidate,
    panel: Panel,
    benchmarks: Mapping[str, Benchmark],
    graded: Mapping[Cell, Grade],
    fingerprint: str,
) -> Iterator[tuple[Cell, str, Grade]]:
    """Yield the scores of a prompt on a panel, each under the key of its request."""
    for cell, identity, item in cells(candidate, panel):
        grade = graded.get(cell)
        if grade is not None and grade.score is not None:
            request = request_for(candidate, identity, benchmarks[cell.benchmark], item, cell.repeat)
            yield cell, request.key(fingerprint), grade


def _prompts(terms: Terms) -> Iterator[Candidate]:
    """Yield every prompt the ablation may measure on its panel that the run may have measured; each once."""
    subject = terms.subject
    listed = [subject.candidate, *(variant.candidate for variant in terms.variants)]
    sizes = range(len(subject.clauses) + 1) if len(subject.clauses) <= MOST_EXACT else (0,)
    listed += [subject.with_only(some) for size in sizes for some in combinations(subject.clauses, size)]
    yield from {candidate.id: candidate for candidate in listed}.values()


@contextmanager
def _store(folder: RunFolder, *, readonly: bool = False) -> Iterator[Store]:
    from defender.store import SqlStore

    store = SqlStore(folder.database, readonly=readonly)
    try:
        yield store
    finally:
        store.close()
