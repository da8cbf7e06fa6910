"""Verdicts by content: what was judged once is not judged again, also when many ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from defender.records import Grade


class Verdicts(Protocol):
    """Keeps scored verdicts by content key, for a run or for ever. A plain dict is one.

    The key covers the judge with its rubric's version, its model, the question and the response text. Unscored
    verdicts never come here: a later run may read them.
    """

    def get(self, key: str, /) -> Grade | None:
        """Return the verdict kept under a key, or None."""

    def __setitem__(self, key: str, grade: Grade, /) -> None:
        """Keep a verdict; the same key is always given the same verdict."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A grade, and whether asking again in this run could change it (``passing``: a timeout, a busy server)."""

    grade: Grade
    passing: bool = False


@dataclass(slots=True, eq=False)
class _Flight:
    """One verdict being reached, and how many wait for it."""

    task: asyncio.Task[Grade]
    waiting: int = 0


class Memory:
    """Reaches each verdict once.

    Scored verdicts go to ``kept``; unscored ones that would come out the same again are remembered here, so that an
    answer 31 identities share is not paid for 31 times. An error raised by the judge's engine goes to everyone who
    waits and is not remembered.
    """

    def __init__(self, kept: Verdicts | None = None) -> None:
        self._kept: Verdicts = {} if kept is None else kept
        self._unread: dict[str, Grade] = {}
        self._flights: dict[str, _Flight] = {}

    async def recall(self, key: str, reach: Callable[[], Coroutine[Any, Any, Ruling]]) -> Grade:
        """Return the verdict under a key, reached now by ``reach`` where nobody has yet."""
        known = self._kept.get(key) or self._unread.get(key)
        if known is not None:
            return known
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(self._settle(key, reach)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()  # nobody waits any more; does nothing to a finished one

    async def _settle(self, key: str, reach: Callable[[], Coroutine[Any, Any, Ruling]]) -> Grade:
        ruling = await reach()
        if ruling.grade.score is not None:
            self._kept[key] = ruling.grade
        elif not ruling.passing:
            self._unread[key] = ruling.grade
        return ruling.grade
