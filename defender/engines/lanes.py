"""Which server the next request goes to: open places, weights, servers that are away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from openai import AsyncOpenAI

from defender.engines.endpoint import Server
from defender.engines.gate import Gate
from defender.engines.pace import Pace
from defender.engines.transport import Transport
from defender.errors import EngineDown
from defender.records import ErrorKind, Response

AWAY_AFTER = 3
"""Attempts in a row that failed at a server before it is left alone, where there are others."""

FIRST_LOOK_S, LONGEST_LOOK_S = 0.5, 15.0
"""Seconds until a server that is away is looked at again: at first, and at most."""

AHEAD = 2
"""Times a server's limit that requests may be open for it: half of them are paid for while the others are answered."""

_FAULTS: frozenset[ErrorKind] = frozenset(
    {"connection", "timeout", "server_error", "malformed", "unauthorized", "not_found"}
)


@dataclass
class Lane:
    """One server, and how it goes there.

    Attributes:
        gate: those that are at the server now.
        away: what was seen when it was left alone, "" while it is asked. ``look``: what the last look at it saw.
        last: the last failure, "" where the last attempt was answered.
        open: requests that have their place here and no answer yet. ``row``: attempts that failed in a row.
        paused: monotonic time until which it asked not to be asked.
        asked, failed: attempts so far, and those of them without an answer.
    """

    server: Server
    transport: Transport
    pace: Pace
    gate: Gate
    away: str = ""
    look: str = ""
    last: str = ""
    open: int = 0
    row: int = 0
    paused: float = 0.0
    looks: int = 0
    asked: int = 0
    failed: int = 0

    @property
    def client(self) -> AsyncOpenAI:
        """Asks the server what is no request."""
        return self.transport.client


@dataclass
class Lanes:
    """The servers of one endpoint. Everything happens on one event loop.

    Attributes:
        patience_s: how long every server may be away before that is the end.
        look: looks at a server that is away, returns why it stays away, or "" where it is back.
    """

    lanes: tuple[Lane, ...]
    patience_s: float
    look: Callable[[Lane], Awaitable[str]]
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _looking: set[asyncio.Task[None]] = field(default_factory=set)
    _gone_at: float = 0.0
    _called: int = 0

    def __post_init__(self) -> None:
        self._weighted = len({lane.server.weight for lane in self.lanes}) > 1
        self._ahead = 1 if self._weighted else AHEAD  # who waits for a server is no share of it

    async def take(self, tried: Collection[Lane] = ()) -> Lane:
        """Wait for a place at a server, one not in ``tried`` where such are up; ``give`` it back.

        Raises:
            EngineDown: every server has been away for ``patience_s``; what was seen of each.
        """
        lane = None if self._waiting else self._best(tried)
        while lane is None:
            await self._turn()
            lane = self._best(tried)
        lane.open += 1
        return lane

    def give(self, lane: Lane) -> None:
        """Give a place back."""
        lane.open -= 1
        self._wake()

    async def exchange(self, lane: Lane, tried: Collection[Lane]) -> Lane:
        """Give a place back for one elsewhere; who gets none has the old one still. Raises EngineDown."""
        self.give(lane)
        try:
            return await self.take(tried)
        except BaseException:
            lane.open += 1
            raise

    @property
    def gone(self) -> bool:
        """Whether every server is away."""
        return all(lane.away for lane in self.lanes)

    async def enter(self, lane: Lane, tried: Collection[Lane]) -> Lane:
        """Wait for a turn at the server of a place, at another's where this one went away; the gate is to be left.

        Raises:
            EngineDown: as ``take`` does; the place is still held.
        """
        await lane.gate.enter()
        if not lane.away or not self.others([lane]):
            return lane
        lane.gate.leave()
        other = await self.exchange(lane, [*tried, lane])
        try:
            await other.gate.enter()
        except BaseException:
            self.give(other)
            lane.open += 1
            raise
        return other

    def others(self, tried: Collection[Lane]) -> bool:
        """Tell whether a server that was not tried is up."""
        return any(not lane.away and lane not in tried for lane in self.lanes)

    def note(self, lane: Lane, response: Response) -> None:
        """Count an attempt; where there are other servers, one that keeps failing is left alone and looked at again."""
        lane.asked += 1
        lane.last = f"{response.error}: {response.detail}" if response.error else ""
        if response.error not in _FAULTS:
            lane.row = 0
            lane.looks = 0 if response.error is None else lane.looks
            return
        lane.failed += 1
        lane.row += 1
        if len(self.lanes) > 1 and lane.row >= AWAY_AFTER and not lane.away:
            self.leave(lane, f"{lane.row} attempts in a row failed; the last one: {lane.last}")

    def leave(self, lane: Lane, seen: str) -> None:
        """Ask a server no more until a look at it finds it well."""
        looked_at, lane.away, lane.look = bool(lane.away), seen, ""
        if self.gone:
            self._gone_at = asyncio.get_running_loop().time()
            self._wake_all()  # those who wait learn that it may be in vain
        if not looked_at:
            task = asyncio.create_task(self._watch(lane))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    def shun(self, lane: Lane, seen: str) -> None:
        """Leave a server alone that wants no request for longer than we wait, where there are others."""
        if len(self.lanes) > 1 and not lane.away:
            self.leave(lane, seen)

    def pause(self, lane: Lane, seconds: float) -> None:
        """Ask a server nothing new for so long, as it wished."""
        loop = asyncio.get_running_loop()
        lane.paused = max(lane.paused, loop.time() + seconds)
        loop.call_later(seconds + 0.001, self._wake_all)

    def seen(self) -> str:
        """Return what was seen of each server that is away or failed last, by its address."""
        told = []
        for lane in self.lanes:
            url = f"{lane.server.url}: "
            if seen := lane.away or lane.last:
                again = f"; looked at again: {lane.look.removeprefix(url)}" if lane.look else ""
                told.append(f"{url}{seen.removeprefix(url)}{again}")
        return "; ".join(told)

    async def close(self) -> None:
        """Stop looking, close the connections."""
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        for lane in self.lanes:
            await lane.transport.close()

    def _best(self, tried: Collection[Lane]) -> Lane | None:
        """Return the server that is least busy for its weight; None while it, or with equal weights all, are full."""
        up = [lane for lane in self.lanes if not lane.away]
        if any(lane.paused for lane in up):
            now = asyncio.get_running_loop().time()
            up = [lane for lane in up if lane.paused <= now]
        if not self._weighted:
            up = [lane for lane in up if self._room(lane)]
        best = min(up, key=lambda lane: (lane in tried, (lane.open + 1) / lane.server.weight), default=None)
        return best if best is not None and self._room(best) else None

    def _room(self, lane: Lane) -> int:
        """Return the places that are free."""
        return max(0, self._ahead * lane.pace.limit - lane.open)

    async def _turn(self) -> None:
        """Wait until a place may be free. Raises EngineDown."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        left = None
        if self.gone:
            left = self._gone_at + self.patience_s - loop.time()
            if left <= 0:
                self._waiting.remove(future)
                raise EngineDown(
                    f"none of {len(self.lanes)} servers could be used for {self.patience_s:g} s: {self.seen()}. Check "
                    "them, then run the same command again: what was answered so far is kept."
                )
        gone = False
        try:
            if left is None:
                await future
            else:
                async with asyncio.timeout(left):
                    await future
        except TimeoutError:
            self._forget(future)
        except asyncio.CancelledError:
            gone = True
            raise
        finally:
            if future.done() and not future.cancelled():
                self._called -= 1
            if gone:  # its turn goes to the next
                self._forget(future)
                self._wake()

    def _forget(self, future: asyncio.Future[None]) -> None:
        if future in self._waiting:
            self._waiting.remove(future)

    def _wake(self) -> None:
        """Let those who wait try again, as many as there are free places."""
        if self._waiting:
            places = sum(self._room(lane) for lane in self.lanes if not lane.away)
            self._call(places - self._called)

    def _wake_all(self) -> None:
        self._call(len(self._waiting))

    def _call(self, places: int) -> None:
        while self._waiting and places > 0:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                self._called += 1
                places -= 1

    async def _watch(self, lane: Lane) -> None:
        """Look at a server that is away, ever less often, until it is back."""
        while lane.away:
            await asyncio.sleep(min(FIRST_LOOK_S * 2.0 ** min(lane.looks, 16), LONGEST_LOOK_S))
            lane.looks += 1
            seen = await self.look(lane)
            if not seen:
                lane.away, lane.row = "", AWAY_AFTER - 1  # the next failure sends it away again
            lane.look = seen
        self._wake_all()
