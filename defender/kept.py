"""An engine whose answers are durable before they are used, and asked for once: for requests that are no cells."""

from __future__ import annotations

from defender.contracts import Engine
from defender.journal import Journal
from defender.records import ModelCard, Request, Response


class Kept:
    """An ``Engine`` in front of another, with the run's journal as its memory.

    The key is the whole request and the model's fingerprint, as for cells; a failed answer is asked for again.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""
        return self._engine.card

    async def start(self) -> None:
        """Reach the model. Raises EngineDown."""
        await self._engine.start()

    async def complete(self, request: Request) -> Response:
        """Answer from what is kept, else ask and keep. Raises EngineDown, BudgetSpent, StoreError."""
        await self._engine.start()
        key = request.key(self._engine.card.fingerprint)
        if (known := self._journal.find(key)) is not None:
            return known
        response = await self._engine.complete(request)
        await self._journal.append(key, response)
        return response

    async def close(self) -> None:
        """Release the engine. Idempotent."""
        await self._engine.close()
