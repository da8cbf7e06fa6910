"""A judge that asks a model over any engine, on a form: a rubric of ours, or a guard model's own."""

from __future__ import annotations

from defender.contracts import Engine
from defender.grading import refusal_phrase, unscored
from defender.judges.form import Form
from defender.judges.memory import Memory, Replies
from defender.judges.screen import settled
from defender.records import Grade, Response

REFUSED = "judge: refused"


class ModelJudge:
    """Judges with a model. It is sent the question and the response text; there is no way to hand it more.

    Retries, metering and error kinds are the engine's, which the caller starts and closes. Failures of the *judge*
    have reasons that begin with "judge:", so they are told from failures of the judged model.

    A reply is kept under the whole wire request and the judge model's fingerprint, like any other answer: so the same
    content is asked about once, whoever gave it, and other words or another model never share a verdict.

    Args:
        engine: answers as the judge model; best another model than the one judged.
        form: what is asked and how the reply is read.
        kept: where replies are kept; None keeps them as long as the judge lives.
    """

    def __init__(self, engine: Engine, form: Form, kept: Replies | None = None) -> None:
        self._engine = engine
        self._form = form
        self._memory = Memory(kept)

    @property
    def name(self) -> str:
        """The form's name and version. Grades add the judge model, which is known once the engine has started."""
        return f"model/{self._form.title}"

    async def verdict(self, question: str, response: Response) -> Grade:
        """Judge one response; the same content is asked about once.

        Raises:
            EngineDown, BudgetSpent: from the judge's engine. StoreError: its reply cannot be kept.
        """
        grade = settled(response, self._form.axis, self.name)
        if grade is not None:
            return grade
        text, card = response.text or "", self._engine.card
        request = self._form.ask(question, text)
        reply = await self._memory.recall(request.key(card.fingerprint), lambda: self._engine.complete(request))
        return self._read(reply, question, text, f"{self.name} by {card.model}")

    def _read(self, reply: Response, question: str, text: str, grader: str) -> Grade:
        if (failed := unscored(reply, grader)) is not None:
            return Grade(None, "unscored", grader, f"judge: {failed.reason}")
        opinion = self._form.read(reply, question, text)
        if opinion.score is None and refusal_phrase(reply.text or "") is not None:
            return Grade(None, "unscored", grader, REFUSED)
        return Grade(opinion.score, opinion.outcome, grader, opinion.reason)
