"""DSPy writes: a typed program reads what the measurements say and answers with new clauses.

It is shown numbers and names (``evidence``), never an item or an answer. It runs in a context of its own: no other
DSPy program in the process is touched. An answer in no readable form is asked for once more as JSON (ChatAdapter's
fallback), which is a second request from the same budget; an answer unreadable again is counted, and ends nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError, LMError
from pydantic import BaseModel, Field

from defender.admission import printable
from defender.errors import DefenderError, EngineDown
from defender.evidence import Clause, Draft, Effect, Evidence, Failure, Loss

SHOWN = 16
"""Lines of a kind at most; clauses that helped or hurt most come first and last."""


class NewClause(BaseModel):
    """One clause the writer proposes."""

    text: str = Field(description="one sentence for the system prompt, in plain text on one line")
    aims_at: str = Field(description="the weakness it aims at, in a few words")


class WriteClauses(dspy.Signature):  # type: ignore[misc]
    """Write new sentences for the system prompt of a deployed assistant.

    The prompt also tells the assistant one fact about its user, a different one for every user. Ideally that fact
    changes nothing: every user gets equally correct answers, and equally safe ones. The inputs show what was measured
    with the best prompt so far: which users get worse answers and where, and what each sentence tried so far did to
    the unfairness and to the quality of answers.

    Each new sentence must speak to the assistant about all users alike. It must not name or hint at any group of
    people or any trait of people, must not mention tests, questions or subjects, and must say something that no
    existing sentence says. Ways that failed are not worth repeating in other words. A sentence that makes the
    assistant refuse more or answer worse is useless, however fair.
    """

    best_prompt: str = dspy.InputField(desc="the fairest system prompt found so far")
    unfairness: float = dspy.InputField(desc="spread of scores over users with it, percentage points; 0 is fair")
    users_who_lose: list[str] = dspy.InputField(desc="who gets worse answers with it, and by how much")
    where_they_lose: list[str] = dspy.InputField(desc="kinds of requests in which groups of users get worse answers")
    effects: list[str] = dspy.InputField(desc="what each sentence tried did; negative unfairness is better")
    existing: list[str] = dspy.InputField(desc="sentences there are already")
    refused: list[str] = dspy.InputField(desc="sentences refused before, with the reason")
    wanted: int = dspy.InputField(desc="how many new sentences to write")
    longest: int = dspy.InputField(desc="the most words and punctuation marks a sentence may have")
    clauses: list[NewClause] = dspy.OutputField(desc="the new sentences, each with the weakness it aims at")


class Rewritten:
    """Implements ``ClauseWriter`` with a DSPy program.

    Args:
        lm: a DSPy language model; see ``language``.
        adapter: how the program is put into messages; ChatAdapter with its JSON fallback unless said otherwise.
        patience_s: the longest a writing may take, retries and fallback included; None waits as long as the engine.
    """

    def __init__(self, lm: Any, adapter: Any = None, patience_s: float | None = None) -> None:
        self._lm = lm
        self._patience_s = patience_s
        self._adapter = adapter or dspy.ChatAdapter()
        self._program = dspy.Predict(WriteClauses)

    async def write(self, evidence: Evidence) -> Draft:
        """Write up to ``evidence.wanted`` clauses; why there are none is in the draft.

        Raises:
            BudgetSpent, StoreError: as the engine does.
        """
        try:
            with dspy.context(lm=self._lm, adapter=self._adapter, disable_history=True, callbacks=[]):
                async with asyncio.timeout(self._patience_s):
                    answer = await self._program.acall(**shown(evidence))
        except TimeoutError:
            return Draft(trouble=f"the writer took longer than {self._patience_s:g} s")
        except AdapterParseError as error:
            return Draft(trouble=f"the writer's answer cannot be read: {printable(str(error))}")
        except LMError as error:
            if isinstance(error.__cause__, EngineDown):
                return Draft(trouble=f"the writer is down: {error.__cause__}")
            if isinstance(error.__cause__, DefenderError):
                raise error.__cause__ from None
            return Draft(trouble=f"the writer did not answer: {printable(str(error))}")
        except (RecursionError, ValueError) as error:  # what JSON parsers raise on brackets nested without end
            return Draft(trouble=f"the writer's answer cannot be read: {printable(str(error))}")
        written = [Clause(clause.text, clause.aims_at) for clause in answer.clauses]
        return Draft(tuple(written[: evidence.wanted]), "" if written else "the writer wrote nothing")


def shown(evidence: Evidence) -> dict[str, Any]:
    """Return the program's inputs: evidence as lines of text."""
    effects = _by_clause(evidence.effects)
    middle = len(effects) - SHOWN
    return {
        "best_prompt": evidence.best,
        "unfairness": round(evidence.pb, 2),
        "users_who_lose": [_loss(loss) for loss in evidence.losses[:SHOWN]],
        "where_they_lose": [_failure(failure) for failure in evidence.failures[:SHOWN]],
        "effects": effects if middle <= 0 else effects[: SHOWN // 2] + effects[-SHOWN // 2 :],
        "existing": list(evidence.said),
        "refused": [f"{printable(text)} ({printable(why)})" for text, why in evidence.refused[-SHOWN:]],
        "wanted": evidence.wanted,
        "longest": evidence.tokens,
    }


def _loss(loss: Loss) -> str:
    return f"{loss.axis}: '{loss.identity}' ({loss.category}) {loss.mean:.1f} %, all users {loss.average:.1f} %"


def _failure(failure: Failure) -> str:
    return (
        f"{failure.axis}, {failure.benchmark}, kind '{failure.stratum}': users of {failure.category} "
        f"{failure.mean:.1f} %, others {failure.others:.1f} % ({failure.items} questions)"
    )


def _by_clause(effects: tuple[Effect, ...]) -> list[str]:
    """Return one line a clause, in the order given."""
    lines: dict[str, list[str]] = {}
    for effect in effects:
        what = "unfairness squared" if effect.on == "PB^2" else effect.on
        lines.setdefault(effect.text, [f"said {effect.trials} times"]).append(
            f"{what} {effect.difference:+.2f} (error {effect.se:.2f})"
        )
    return [f"'{text}': {'; '.join(parts)}" for text, parts in lines.items()]
