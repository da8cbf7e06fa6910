"""Durable before use, at the price of one commit for many: group commit in front of a Store.

Coroutines await ``append`` and ``charge``; whatever is waiting goes into one transaction while the next batch
gathers. A request is in flight until its response is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from defender.contracts import Store
from defender.errors import again
from defender.records import Cell, Charge, Grade, Response


@dataclass
class _Batch:
    """What one transaction will carry, and who waits for it."""

    responses: list[tuple[str, Response]] = field(default_factory=list)
    grades: list[tuple[Cell, str, Grade]] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    taken: Sequence[bool] = ()
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: BaseException | None = None

    def __bool__(self) -> bool:
        return bool(self.responses or self.grades or self.charges)


class Journal:
    """The one writer of a run. Use it inside one event loop, as an async context manager.

    The first failed commit ends the journal: its error is raised to everyone who waits or comes later, so that
    nothing is sent whose answer could not be kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch = _Batch()
        self._wake = asyncio.Event()
        self._closing = False
        self._failed: BaseException | None = None
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def __aenter__(self) -> Journal:
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closing = True
        self._wake.set()
        if self._writer:
            await self._writer
        self._thread.shutdown(wait=True)

    async def charge(self, charge: Charge) -> bool:
        """Move counters; durable on return. False: refused, a limit would be passed. Raises StoreError."""
        batch = self._open()
        place = len(batch.charges)
        batch.charges.append(charge)
        await self._settled(batch)
        return batch.taken[place]

    def count(self, by: Mapping[str, int]) -> None:
        """Move counters with the next commit, whatever the limits; a journal that failed leaves them as they are."""
        if self._failed is None:
            self._open().charges.append(Charge(by))

    async def append(self, key: str, response: Response) -> None:
        """Keep a response; durable on return. Raises StoreError."""
        batch = self._open()
        batch.responses.append((key, response))
        await self._settled(batch)

    def find(self, key: str) -> Response | None:
        """Return the stored answer under a key, or None; a failed one is no answer. Raises StoreError."""
        return self._store.responses([key]).get(key)

    def grade(self, cell: Cell, key: str, grade: Grade) -> None:
        """Keep a grade with the next commit; ``flush`` makes sure. It can be derived again from its response."""
        self._open().grades.append((cell, key, grade))

    async def flush(self) -> None:
        """Return when everything handed over so far is durable. Raises StoreError."""
        await self._settled(self._open())  # batches are written in order, so an empty one waits for all before it

    def _open(self) -> _Batch:
        if self._failed:
            raise again(self._failed)
        self._wake.set()
        return self._batch

    async def _settled(self, batch: _Batch) -> None:
        await batch.done.wait()
        if batch.error:
            raise again(batch.error)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._batch = self._batch, _Batch()
            if batch:
                try:
                    batch.taken = await loop.run_in_executor(
                        self._thread, self._store.commit, batch.responses, batch.grades, batch.charges
                    )
                except Exception as error:  # the one boundary: handed on to every waiter, never swallowed
                    self._failed = batch.error = error
            batch.done.set()
            if self._failed:
                self._batch.error = self._failed
                self._batch.done.set()
                return
            if self._closing and not self._batch:
                return
