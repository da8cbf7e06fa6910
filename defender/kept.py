"""An engine whose answers are durable before they are used, and asked for once: for requests that are no cells."""

from __future__ import annotations

from collections.abc import Callable

from defender.contracts import Engine
from defender.journal import Journal
from defender.records import ModelCard, Request, Response


class Kept:
    """An ``Engine`` in front of another, with the run's journal as its memory.

    The key is the whole request and the model's fingerprint, as for cells; a failed answer is asked for again.

    Args:
        engine: who answers.
        journal: of the run.
        met: told who answers, once, when that is known.
    """

    def __init__(self, engine: Engine, journal: Journal, met: Callable[[ModelCard], None] | None = None) -> None:
        self._engine = engine
        self._journal = journal
        self._met = met

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""
        return self._engine.card

    async def start(self) -> None:
        """Reach the model. Raises EngineDown, and BudgetSpent where reaching it takes a request."""
        await self._engine.start()
        if self._met is not None:
            met, self._met = self._met, None
            met(self._engine.card)

    async def complete(self, request: Request) -> Response:
        """Answer from what is kept, else ask and keep. Raises EngineDown, BudgetSpent, StoreError."""
        await self.start()
        key = request.key(self._engine.card.fingerprint)
        if (known := self._journal.find(key)) is not None:
            return known
        response = await self._engine.complete(request)
        await self._journal.append(key, response)
        return response

    async def close(self) -> None:
        """Release the engine. Idempotent."""
        await self._engine.close()
