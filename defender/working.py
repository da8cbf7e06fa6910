"""A worker: leases owed requests of a run, asks its own engine, keeps every answer, and ends in order.

An errand is in flight from its admission until its response is durable. Whoever dies or is cut off leaves its leases
to run out; nothing is asked again but what was in flight then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TypeVar

from defender.contracts import Bill, Engine, Queue
from defender.errands import Errand, Presence
from defender.errors import BudgetSpent, DefenderError
from defender.journal import Journal
from defender.ledger import Till
from defender.records import Request

LEASE_S = 30.0
"""How long an errand stays with a worker that says nothing any more."""

WAIT_S = 300.0
"""How long a worker waits for whoever leads the run, gone without a word."""

BEAT_S = 5.0
"""How often whoever leads a run says so."""

SILENT_S = 4 * BEAT_S
"""Without a word for so long, it counts as gone until it is back."""

FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.5
"""Between two looks at an empty queue."""

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for what, in seconds."""

    lease: float = LEASE_S
    owner: float = WAIT_S


class LeaseLost(BudgetSpent):
    """An errand is no longer this worker's to ask; nothing was sent or paid."""


class Leases:
    """Until when errands are certainly a worker's, by its own clock: counted from before it asked for them."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    @property
    def keys(self) -> list[str]:
        """The errands at hand."""
        return list(self._until)

    def take(self, keys: Iterable[str], until: float) -> None:
        """Note what was leased."""
        self._until.update(dict.fromkeys(keys, until))

    def renew(self, asked: Iterable[str], kept: Iterable[str], until: float) -> None:
        """Note what of the errands asked for is still held; the others are another's, or done."""
        held = set(kept)
        for key in asked:
            if key in self._until:
                self._until[key] = until if key in held else 0.0

    def drop(self, key: str) -> None:
        """An errand is at hand no longer."""
        self._until.pop(key, None)

    def hold(self, key: str) -> bool:
        """Tell whether a request may be asked now: an errand that is still ours, or the engine's own."""
        return time.monotonic() < self._until.get(key, inf)


@dataclass(frozen=True)
class WhileHeld:
    """A ``Meter`` that pays only for errands that are still the worker's when they have been paid for.

    A worker that was cut off from the database may be granted what it asked for after others have taken over.
    """

    till: Till
    leases: Leases
    key: Callable[[Request], str]

    @asynccontextmanager
    async def admit(self, request: Request, size: int = 0) -> AsyncIterator[Bill]:
        """Pay for one attempt; see ``Meter``. Raises LeaseLost."""
        async with self.till.admit(request, size) as bill:
            if not self.leases.hold(self.key(request)):
                bill.void()
                raise LeaseLost("others have taken it over")
            yield bill


@dataclass
class Worker:
    """Answers the errands of one run until its owner ends.

    Attributes:
        name: of this worker, unlike any other's.
        queue: where errands come from.
        engine: who answers; started, its card the run's.
        journal: where answers are kept; writes to the run's store.
        in_flight: requests the engine takes at once; it says no to more itself, and they wait there.
        patience: how long what is waited for.
        hold: told, before errands are asked, which part of the budget they may not be paid from.
        tell: told in words what happens.
        leases: what is at hand; the engine's meter may know them (``WhileHeld``).
        answered: responses kept so far.
    """

    name: str
    queue: Queue
    engine: Engine
    journal: Journal
    in_flight: int
    patience: Patience = field(default_factory=Patience)
    hold: Callable[[int], None] = lambda _requests: None
    tell: Callable[[str], None] = lambda _words: None
    leases: Leases = field(default_factory=Leases)
    answered: int = 0
    _flying: set[asyncio.Task[None]] = field(default_factory=set)
    _landed: asyncio.Event = field(default_factory=asyncio.Event)
    _end: str | BaseException | None = None
    _alone: bool = False

    def stop(self, why: str | BaseException) -> None:
        """Take nothing more; what is in flight is finished and kept."""
        self._end = self._end or why
        self._landed.set()

    async def run(self) -> str:
        """Work until told to stop, or until the owner ends or stays away; return why, in words.

        Raises:
            EngineDown: the engine's; StoreError: the database was lost. What was not asked is given back.
        """
        heart = asyncio.create_task(self._beat())
        try:
            await self._take()
            while self._flying:
                await asyncio.wait(self._flying)
        finally:
            heart.cancel()
            await asyncio.wait([heart])
            await self._give_back()
        if isinstance(self._end, BaseException):
            raise self._end
        return self._end or ""

    async def _take(self) -> None:
        """Keep the engine busy with errands."""
        pause = FIRST_LOOK_S
        while self._end is None:
            self._landed.clear()
            # Half as many again wait at hand, so that the engine never waits for the queue.
            room = self.in_flight + self.in_flight // 2 - len(self._flying)
            if room >= max(1, self.in_flight // 4) and not self._alone:
                begun = time.monotonic()
                try:
                    errands = await _aside(partial(self.queue.lease, self.name, room, self.patience.lease))
                except DefenderError as reason:
                    self.stop(reason)
                    return
                self.leases.take((errand.key for errand in errands), begun + self.patience.lease)
                self._set_out(errands)
                pause = FIRST_LOOK_S if errands else min(LONGEST_LOOK_S, 2 * pause)
            with suppress(TimeoutError):  # something lands, or it is time to look again
                await asyncio.wait_for(self._landed.wait(), pause)

    def _set_out(self, errands: Sequence[Errand]) -> None:
        for errand in errands:
            self.hold(errand.held)
            task = asyncio.create_task(self._answer(errand))
            self._flying.add(task)
            task.add_done_callback(self._back)

    def _back(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._landed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stop(error)

    async def _answer(self, errand: Errand) -> None:
        if self._end is not None:
            return  # given back at the end
        try:
            if not self.leases.hold(errand.key):
                return
            response = await self.engine.complete(errand.request)
            await self.journal.append(errand.key, response)
            self.answered += 1
        except LeaseLost:
            return
        except BudgetSpent as spent:
            try:
                await _aside(partial(self.queue.refuse, [errand.key], str(spent)))
            except DefenderError as reason:
                self.stop(reason)
        except DefenderError as reason:
            self.stop(reason)
        finally:
            self.leases.drop(errand.key)

    async def _beat(self) -> None:
        """Renew the leases, and see whether the owner is there."""
        while True:
            begun, keys = time.monotonic(), self.leases.keys
            try:
                kept = await _aside(partial(self.queue.renew, self.name, keys, self.patience.lease))
                self.leases.renew(keys, kept, begun + self.patience.lease)
                self._look(await _aside(self.queue.owner))
            except DefenderError as reason:
                self.stop(reason)
            await asyncio.sleep(self.patience.lease / 5)

    def _look(self, owner: Presence | None) -> None:
        if owner is None:
            return
        if owner.ended:
            self.stop("the run has ended")
        elif owner.seconds > self.patience.owner:
            self.stop(f"nobody has led the run for {owner.seconds:.0f} s")
        elif (alone := owner.seconds > SILENT_S) != self._alone:
            self._alone = alone
            self.tell(
                f"whoever leads the run has not been seen for {owner.seconds:.0f} s: nothing new is asked; "
                f"waiting up to {self.patience.owner:.0f} s"
                if alone
                else "the run is led again"
            )

    async def _give_back(self) -> None:
        try:
            await _aside(partial(self.queue.release, self.name))
        except DefenderError:
            self.tell("what was not asked could not be given back; others get it when the leases end")


async def _aside(call: Callable[[], T]) -> T:
    """Make a blocking call on a thread."""
    return await asyncio.to_thread(call)
