"""A judge that asks a model over any engine, on a form: a rubric of ours, or a guard model's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from defender.contracts import Engine
from defender.grading import unscored
from defender.judges.form import Form
from defender.judges.memory import Memory, Ruling, Verdicts
from defender.judges.screen import settled
from defender.records import ErrorKind, Grade, Response, digest_of

LASTING: frozenset[ErrorKind] = frozenset({"bad_request", "content_filter", "context_length"})
"""Failures of the judge's engine that the same question meets again: not asked twice in a run."""

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the judge gave no verdict, for distinct (question, response) pairs: how often, and the first case."""

    count: int
    example: str


class ModelJudge:
    """Judges with a model. It is sent the question and the response text; there is no way to hand it more.

    Retries, metering and error kinds are the engine's, which the caller starts and closes. Failures of the *judge*
    have reasons that begin with "judge:", so they are told from failures of the judged model.

    Args:
        engine: answers as the judge model; best another model than the one judged.
        form: what is asked and how the reply is read.
        kept: where scored verdicts are kept; None keeps them as long as the judge lives.
    """

    def __init__(self, engine: Engine, form: Form, kept: Verdicts | None = None) -> None:
        self._engine = engine
        self._form = form
        self._memory = Memory(kept)
        self._troubles: dict[str, Trouble] = {}

    @property
    def name(self) -> str:
        """The form's name and version. Grades add the judge model, which is known once the engine has started."""
        return f"model/{self._form.title}"

    @property
    def troubles(self) -> Mapping[str, Trouble]:
        """Reason -> why verdicts are missing, so far."""
        return dict(self._troubles)

    async def verdict(self, question: str, response: Response) -> Grade:
        """Judge one response; the same content is asked about once.

        Raises:
            EngineDown, BudgetSpent: from the judge's engine.
        """
        grade = settled(response, self._form.axis, self.name)
        if grade is not None:
            return grade
        text = response.text or ""
        key = digest_of([self.name, self._engine.card.fingerprint, question, text])
        return await self._memory.recall(key, lambda: self._ask(question, text))

    async def _ask(self, question: str, text: str) -> Ruling:
        grader = f"{self.name} by {self._engine.card.model}"
        reply = await self._engine.complete(self._form.ask(question, text))
        if (failed := unscored(reply, grader)) is not None:
            self._note(f"judge: {failed.reason}", reply.detail)
            passing = reply.error is not None and reply.error not in LASTING
            return Ruling(Grade(None, "unscored", grader, f"judge: {failed.reason}"), passing)
        opinion = self._form.read(reply, question, text)
        if opinion.score is None:
            self._note(opinion.reason, reply.text or "")
        return Ruling(Grade(opinion.score, opinion.outcome, grader, opinion.reason))

    def _note(self, reason: str, seen: str) -> None:
        before = self._troubles.get(reason) or Trouble(0, " ".join(seen.split())[:SHOWN])
        self._troubles[reason] = Trouble(before.count + 1, before.example)
