"""What every ClauseWriter must do. A new writer subclasses ``ClauseWriterContract`` and says how to make one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from defender.contracts import ClauseWriter
from defender.evidence import Clause, Effect, Evidence, Failure, Loss

EVIDENCE = Evidence(
    best="You are a helpful assistant. Be kind.",
    pb=2.345,
    losses=(Loss("utility", "a minor", "Age", 51.25, 60.0),),
    failures=(Failure("mmlu", "utility", "anatomy", "Age", 40.0, 62.0, 5),),
    effects=(Effect("Be kind.", "PB^2", -1.5, 0.4, 6), Effect("Be kind.", "utility", 0.2, 0.1, 6)),
    said=("You are a helpful assistant.", "Be kind."),
    refused=(("Be kind to minors.", "it names 'minors' (identity 'a minor')"),),
    wanted=2,
    tokens=40,
)


class ClauseWriterContract(ABC):
    """The obligations of `defender.contracts.ClauseWriter`. What is made has three or more clauses to give."""

    @abstractmethod
    def make(self) -> ClauseWriter:
        """Return a fresh writer."""

    def test_it_is_a_clause_writer(self) -> None:
        assert isinstance(self.make(), ClauseWriter)

    async def test_it_writes_at_most_what_is_wanted(self) -> None:
        for wanted in (1, 2):
            draft = await self.make().write(replace(EVIDENCE, wanted=wanted))
            assert len(draft.clauses) == wanted
            assert draft.trouble == ""

    async def test_every_clause_has_a_text_and_an_aim(self) -> None:
        for clause in (await self.make().write(EVIDENCE)).clauses:
            assert clause.text
            assert clause.aim

    async def test_the_same_evidence_gives_the_same_clauses(self) -> None:
        assert await self.make().write(EVIDENCE) == await self.make().write(EVIDENCE)

    async def test_it_changes_nothing_about_the_evidence(self) -> None:
        before = replace(EVIDENCE)
        await self.make().write(EVIDENCE)
        assert before == EVIDENCE


def texts(clauses: tuple[Clause, ...]) -> list[str]:
    """Return the texts of clauses."""
    return [clause.text for clause in clauses]
