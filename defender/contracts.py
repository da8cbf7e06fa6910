"""The protocols that cross a wall, with their obligations. No code.

Rooms implement these; the loops reach rooms only through them. ``tests/contracts`` ships a suite for each: a new
sibling subclasses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from defender.errands import Errand, Outcome, Presence
from defender.evidence import Draft, Evidence
from defender.marks import Mark
from defender.records import (
    Axis,
    Candidate,
    Cell,
    Charge,
    Export,
    Grade,
    Item,
    ModelCard,
    Request,
    Response,
    Sampling,
    Split,
    Trial,
)


class Bill(Protocol):
    """One admitted wire request."""

    def settle(self, response: Response) -> None:
        """Pay what the attempt used instead of its worst case. Left out (a crash, a cancellation): all stays paid."""

    def void(self) -> None:
        """Pay nothing: the attempt was never sent."""


@runtime_checkable
class Meter(Protocol):
    """Counts what is sent, in every currency of the budget."""

    def admit(self, request: Request, size: int = 0) -> AbstractAsyncContextManager[Bill]:
        """Pay for one wire request; entering returns once its worst case is reserved, durably.

        Every attempt is made inside a context of its own, ``async with meter.admit(request, len(body)) as bill``, and
        told to the bill: ``bill.settle(response)``, with the tokens of this attempt.

        Args:
            request: what is asked; bounds the tokens it may take.
            size: bytes of the body on the wire, 0 where there is none.

        Raises:
            BudgetSpent: on entering: it might overshoot the budget; nothing was counted. StoreError.
        """


@runtime_checkable
class Engine(Protocol):
    """Answers chat completions.

    Obligations: one failed request is a ``Response`` with an error kind, never an exception; ``EngineDown`` only
    when no request can succeed. Every wire attempt, retries included, is admitted by the meter first. No caching,
    no hidden text, no retry of a deterministic refusal (4xx). Many ``complete`` calls run at once.
    ``BudgetSpent`` from the meter passes through.
    """

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""

    async def start(self) -> None:
        """Reach the model, learn its card. Raises EngineDown with what was seen. Idempotent."""

    async def complete(self, request: Request) -> Response:
        """Answer one request."""

    async def close(self) -> None:
        """Release connections and processes. Idempotent."""


@runtime_checkable
class Caching(Protocol):
    """An engine whose server counts what its prefix cache saves."""

    async def prefix_cache(self) -> tuple[int, int]:
        """Return the prompt tokens looked up and found so far; zeros where the server does not say. Never raises."""


@runtime_checkable
class Benchmark(Protocol):
    """Asks and grades one benchmark on one axis.

    Obligations: item ids are stable across machines and versions; splits are disjoint; ``grade`` accepts the
    item's own ``gold`` with score 1; a failed response is unscored (None), a wrong, refused, truncated or
    unreadable *answer* is 0 with its own outcome; the grade never depends on identity or prompt.
    """

    @property
    def name(self) -> str:
        """The benchmark's name in configs, stores and reports."""

    @property
    def axis(self) -> Axis:
        """The axis its score moves."""

    @property
    def protocol(self) -> str:
        """What is estimated, in words for the report: wording, scoring, source and revision."""

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn for this benchmark."""

    @property
    def judge(self) -> Judge | None:
        """Who reads the answers; None where a rule does."""

    def items(self, split: Split) -> Sequence[Item]:
        """Return the items of a split, in a fixed order. Raises DataMissing."""

    def rows(self) -> Sequence[Item]:
        """Return an item for every row of the table, also for rows that repeat another. Raises DataMissing."""

    def ask(self, item: Item) -> str:
        """Return the user message that poses the item."""

    def gold(self, item: Item) -> Response | None:
        """Return a response that must be graded 1, or None where no gold answer exists."""

    async def grade(self, item: Item, response: Response) -> Grade:
        """Grade one response."""


@runtime_checkable
class Judge(Protocol):
    """Reads a response to an unsafe or harmless request.

    Obligations: never sees identity or system prompt; an unparsable or failed verdict is unscored; the rubric's
    version is in the grade.
    """

    @property
    def name(self) -> str:
        """Name and version."""

    async def verdict(self, question: str, response: Response) -> Grade:
        """Judge one response: score 1 is safe (or answered, on over_refusal), 0 is not."""


@runtime_checkable
class Proposer(Protocol):
    """Proposes candidates. Sees trials only, never engines or files; all randomness comes from its seed.

    Obligations: ``ask(n)`` returns at most n candidates, fewer when exhausted, never one it returned before.
    ``tell`` accepts trials in any order, foreign ones too; every asked candidate is told exactly once. The same
    seed and the same asks and tells give the same proposals.
    """

    def ask(self, n: int) -> Sequence[Candidate]:
        """Propose up to n new candidates."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of candidates."""


@runtime_checkable
class GrowingProposer(Proposer, Protocol):
    """A proposer whose space can grow while it searches.

    Obligations: growing forgets nothing that was asked or told, and belongs to what a replay repeats: the same seed,
    asks, tells and growths give the same proposals. Every new clause is proposed before the space is exhausted.
    """

    def grow(self, clauses: Mapping[str, str]) -> None:
        """Let more be said: new idea -> its text. Raises SpaceError (nothing changed)."""


@runtime_checkable
class ClauseWriter(Protocol):
    """Writes new clauses from what the measurements say.

    Obligations: sees the evidence only; at most ``evidence.wanted`` clauses; a model that is down or says nothing
    readable is a draft with its trouble in words, never an exception. Remembers nothing: a writer made anew goes on.
    """

    async def write(self, evidence: Evidence) -> Draft:
        """Write clauses. Raises BudgetSpent, StoreError."""


@runtime_checkable
class Marker(Protocol):
    """Marks whole prompts on single questions, each asked of every identity."""

    @property
    def questions(self) -> int:
        """How many questions there are; they are numbered from 0."""

    @property
    def calls(self) -> int:
        """Question x prompt pairs that the budget pays for."""

    def mark(self, text: str, places: Sequence[int]) -> Sequence[Mark]:
        """Mark a prompt on questions. Blocks; call it from a strategy's thread. Raises BudgetSpent, EngineDown."""


@runtime_checkable
class Strategy(Protocol):
    """Looks for prompts by a loop of its own.

    Obligations: everything it learns of a prompt comes from the marker; all randomness comes from its seed; it
    returns when the marker's calls are used up, or lets ``BudgetSpent`` pass.
    """

    def find(self, marker: Marker, seeds: Sequence[str]) -> None:
        """Search; runs in a thread of its own. ``seeds`` are system texts, the undefended baseline first."""


@runtime_checkable
class Store(Protocol):
    """Keeps a run. One writer; ``commit`` is durable when it returns (survives kill -9) and idempotent by key."""

    def commit(
        self,
        responses: Sequence[tuple[str, Response]] = (),
        grades: Sequence[tuple[Cell, str, Grade]] = (),
        charges: Sequence[Charge] = (),
    ) -> Sequence[bool]:
        """Write responses (key, response), grades (cell, request key, grade) and charges, at once.

        Returns:
            For each charge, in order, whether it was taken: none ever passes its limit, whoever else charges the same
            counters at the same time. Everything else is written whether charges are refused or not.

        Raises:
            StoreError: nothing of this call was written.
        """

    def responses(self, keys: Iterable[str]) -> dict[str, Response]:
        """Return the stored responses among ``keys``; failed ones (with an error) are not answers and are absent."""

    def grades(self, candidate: str) -> dict[Cell, Grade]:
        """Return every stored grade of one candidate."""

    def requests(self, candidate: str) -> dict[Cell, str]:
        """Return the request key of every graded cell of one candidate."""

    def spend(self) -> Mapping[str, int]:
        """Return every counter by name.

        ``reserved``: wire requests paid for. ``tokens``, ``nanousd``: paid for, what is in flight at its worst case.
        ``milliseconds``: at work. ``settled``, ``prompt_tokens``, ``completion_tokens``: attempts and tokens of stored
        responses. ``answers``, ``errors``. The part of the judge or writer has a prefix ("judge.reserved").
        """

    def note(self, kind: str, key: str, value: Mapping[str, object]) -> None:
        """Write one durable JSON document (candidate, trial, decision, card); the same (kind, key) replaces."""

    def notes(self, kind: str) -> dict[str, dict[str, object]]:
        """Return the documents of a kind by key, in order of first writing."""

    def close(self) -> None:
        """Release the database."""


@runtime_checkable
class Queue(Protocol):
    """Hands a run's owed requests to processes on other machines. One owner puts, many workers lease.

    Obligations: every call is durable when it returns. An errand is leased to one worker at a time, in the order they
    were put; a lease that is not renewed in time ends, and another worker may have the errand. It is done with the
    commit of a response under its key, in that transaction, and is not leased when an answer is stored already.
    """

    def exchange(self, gone: Sequence[str], owed: Sequence[Errand]) -> None:
        """Take back what is done with and put what is owed; keys that are there already stay as they are."""

    def outcomes(self) -> Sequence[Outcome]:
        """Return what was done and not taken back."""

    def withdraw(self) -> Sequence[str]:
        """Take back, and return, the keys of errands that nobody holds."""

    def lease(self, worker: str, most: int, seconds: float) -> Sequence[Errand]:
        """Return up to ``most`` errands that are the worker's for ``seconds``."""

    def renew(self, worker: str, keys: Sequence[str], seconds: float) -> Sequence[str]:
        """Say that the worker is there; keep these for ``seconds`` more, and return which of them it still holds."""

    def refuse(self, keys: Sequence[str], why: str) -> None:
        """Say that nobody may ask these."""

    def release(self, worker: str) -> None:
        """Give back what the worker holds and has not done; it is there no longer."""

    def announce(self, *, ended: bool = False) -> None:
        """Say that the owner is there, or has ended in order."""

    def owner(self) -> Presence | None:
        """Return when the owner was last seen; None before it ever was."""

    def workers(self, seconds: float) -> int:
        """Return how many workers were seen in the last ``seconds``."""


@runtime_checkable
class Exporter(Protocol):
    """Writes a prompt for one production format.

    Obligations: pure (same input, same bytes); the real consumer reads the system text back byte-equal.
    """

    @property
    def format(self) -> str:
        """The format's name on the command line."""

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write files into a folder and return them."""
