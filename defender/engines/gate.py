"""How many requests are at one server at once: no more than its pace allows."""

from __future__ import annotations

import asyncio
from collections import deque

from defender.engines.pace import Pace


class Gate:
    """Lets requests through in the order they came, while fewer than the pace's limit are on the way.

    A request's reservation waits for the disk before it is sent. Were that time counted as being on the way, a server
    would have less to do than its pace says; so ``Lanes`` lets some more than the limit come this far.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.inside = 0

    @property
    def full(self) -> bool:
        """Whether as many are on the way as may be."""
        return self.inside >= self._pace.limit

    async def enter(self) -> None:
        """Wait for one's turn; ``leave`` when the answer is there."""
        if not self.full and not self._waiting:
            self.inside += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():  # let in and given up at the same moment
                self.leave()
            elif future in self._waiting:
                self._waiting.remove(future)
            raise

    def leave(self) -> None:
        """Let the next ones in."""
        self.inside -= 1
        while self._waiting and not self.full:
            future = self._waiting.popleft()
            if not future.done():  # given up, and not woken to say so yet
                future.set_result(None)
                self.inside += 1
