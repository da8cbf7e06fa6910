"""Growth: now and then somebody writes new clauses from what was measured, and the space takes those that may enter.

Every writing is kept with what came of it, failures too. A replay takes it from there and asks nobody, so it makes the
same space at the same moment, also where the writer has become another or is down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from defender.admission import Admission, printable, tidy
from defender.contracts import ClauseWriter, GrowingProposer, Store
from defender.decide import rank
from defender.effects import clause_effects
from defender.evidence import Clause, Draft, Evidence, failures, losses
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Decision, Trial
from defender.space import Space

WRITING = -2
"""Where decisions about clauses stand in the log."""

QUOTING = ("it shares", "it says the whole")
"""Refusals whose clause is not repeated in the log: it may hold a benchmark's text."""


@dataclass(frozen=True)
class Schedule:
    """When and how much is written: ``clauses`` of at most ``tokens`` tokens before every ``every``-th generation."""

    every: int = 2
    clauses: int = 3
    tokens: int = 60


@dataclass
class Growth:
    """Refreshes a proposer with written clauses; what ``Search`` awaits before every generation.

    After a writing that failed the next one is left out, after two in a row the next two, and so on: a writer that
    is down or slow costs the search little.

    Attributes:
        writer, proposer: who writes, and whose space grows.
        space: as it was before any clause was written.
        admission: which clauses may enter.
        schedule: when to write.
        measurer, panel: where the evidence is: the cells of the search panel.
        store: where writings are kept.
        warn: told when a writing failed; the search goes on without it.
    """

    writer: ClauseWriter
    proposer: GrowingProposer
    space: Space
    admission: Admission
    schedule: Schedule
    measurer: Measurer
    panel: Panel
    store: Store
    warn: Callable[[str], None] = lambda _words: None
    _generation: int = -1
    _failed: int = 0
    _resting: int = 0
    _refused: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, trials: Sequence[Trial], log: Callable[[Decision], None]) -> None:
        """Write clauses when it is time, and let the proposer say those admitted.

        Raises:
            BudgetSpent, StoreError: as the writer does; nothing of this writing was taken.
        """
        self._generation += 1
        if self._generation == 0 or self._generation % self.schedule.every:
            return
        if self._resting:
            self._resting -= 1
            return
        key = f"{self._generation:04d}"
        kept: Any = self.store.notes("writing").get(key)
        if kept is None:
            kept = await self._written(trials)
            self.store.note("writing", key, kept)
        self._failed = self._failed + 1 if kept["trouble"] else 0
        self._resting = self._failed
        self._take(kept, log)

    async def _written(self, trials: Sequence[Trial]) -> dict[str, Any]:
        """Have clauses written; return what came of it as plain JSON values."""
        evidence = self.evidence(trials)
        draft = Draft(trouble="nothing is measured yet") if evidence is None else await self.writer.write(evidence)
        said = self._said()
        admitted, refused = [], []
        for clause in draft.clauses:
            text = tidy(clause.text)
            reason = self.admission.refusal(text, said)
            if reason:
                refused.append({"text": text, "reason": reason})
            else:
                said.append(text)
                admitted.append({"text": text, "aim": printable(clause.aim)})
        return {"admitted": admitted, "refused": refused, "trouble": printable(draft.trouble, 300)}

    def _take(self, kept: dict[str, Any], log: Callable[[Decision], None]) -> None:
        """Let the proposer say what was admitted, and log what was not."""
        clauses = [Clause(found["text"], found["aim"]) for found in kept["admitted"]]
        if clauses:
            grown = {clause.idea: clause.text for clause in clauses}
            self.proposer.grow(grown)
            self.space = self.space.with_clauses(grown)
        for clause in clauses:
            log(Decision("", clause.idea, WRITING, 0, "admitted", f"'{clause.text}' aims at: {clause.aim}"))
        for found in kept["refused"]:
            text, reason = found["text"], found["reason"]
            self._refused.append((text, reason))
            shown = reason if reason.startswith(QUOTING) else f"{reason}: '{printable(text)}'"
            log(Decision("", Clause(text).idea, WRITING, 0, "refused", shown))
        if kept["trouble"]:
            log(Decision("", "writer", WRITING, 0, "failed", kept["trouble"]))
            self.warn(f"no new clauses this time: {kept['trouble']}")

    def evidence(self, trials: Sequence[Trial]) -> Evidence | None:
        """Return what a writer may know, None while nothing is measured: the best prompt so far, and all effects."""
        best = next((trial for trial in rank(trials) if trial.estimate is not None), None)
        if best is None or best.estimate is None:
            return None
        identities = self.panel.identities
        texts = {(idea, way): text for idea, ways in self.space.clauses.items() for way, text in ways.items()}
        return Evidence(
            best=best.candidate.system(""),
            pb=best.estimate.pb,
            losses=losses(best.estimate, identities),
            failures=failures(self.measurer.matrices(best.candidate, self.panel), self.panel.items, identities),
            effects=clause_effects(trials, texts),
            said=tuple(self._said()),
            refused=tuple(self._refused),
            wanted=self.schedule.clauses,
            tokens=self.schedule.tokens,
        )

    def _said(self) -> list[str]:
        """Return every clause of the space, with the openings."""
        clauses = [text for ways in self.space.clauses.values() for text in ways.values()]
        return [*self.space.openings.values(), *clauses]
