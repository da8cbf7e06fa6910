"""What judges said, by content: what was asked once is not asked again, by whomever and in whichever process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from defender.records import ErrorKind, Response

LASTING: frozenset[ErrorKind] = frozenset({"bad_request", "content_filter", "context_length"})
"""Failures of a judge that the same question meets again: not asked twice in a process."""


class Replies(Protocol):
    """Keeps what judges said, as a run keeps what models said; a run's journal is one.

    The key covers all a judge knows: its model, its instructions, the question and the response text. Kept is the
    reply and not the grade, so that a reply nobody could read is not paid for again either.
    """

    def find(self, key: str) -> Response | None:
        """Return the reply kept under a key, or None; a failed one is no reply."""

    async def append(self, key: str, response: Response) -> None:
        """Keep a reply; durable on return."""


class Shelf:
    """Replies kept as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, Response] = {}

    def find(self, key: str) -> Response | None:
        """Return the reply kept under a key, or None."""
        return self._kept.get(key)

    async def append(self, key: str, response: Response) -> None:
        """Keep a reply that is no failure."""
        if response.error is None:
            self._kept[key] = response


@dataclass(slots=True, eq=False)
class _Flight:
    """One reply being waited for, and how many wait."""

    task: asyncio.Task[Response]
    waiting: int = 0


class Memory:
    """Gets each reply once, also when many ask at the same time; nobody sees a reply before it is kept.

    Failures that would come again are remembered here, so that an answer 31 identities share is not refused 31 times
    for money; others are asked again when somebody asks again. An error raised by the judge's engine goes to everyone
    who waits and is not remembered.
    """

    def __init__(self, kept: Replies | None = None) -> None:
        self._kept: Replies = Shelf() if kept is None else kept
        self._lasting: dict[str, Response] = {}
        self._flights: dict[str, _Flight] = {}

    async def recall(self, key: str, ask: Callable[[], Coroutine[Any, Any, Response]]) -> Response:
        """Return the reply under a key, got now by ``ask`` where nobody has it yet."""
        flight = self._flights.get(key)
        if flight is None:
            known = self._lasting.get(key) or self._kept.find(key)
            if known is not None:
                return known
            flight = self._flights[key] = _Flight(asyncio.create_task(self._settle(key, ask)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()  # nobody waits any more; does nothing to a finished one

    async def _settle(self, key: str, ask: Callable[[], Coroutine[Any, Any, Response]]) -> Response:
        reply = await ask()
        await self._kept.append(key, reply)
        if reply.error in LASTING:
            self._lasting[key] = reply
        return reply
