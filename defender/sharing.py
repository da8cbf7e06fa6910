"""An engine whose requests are answered by workers: it puts them into the run's queue and waits for what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from defender.contracts import Engine, Queue, Store
from defender.errands import Errand, Outcome
from defender.errors import BudgetSpent, DefenderError, EngineDown, again
from defender.ledger import Ledger
from defender.records import ModelCard, Request, Response
from defender.working import BEAT_S, LEASE_S, Worker

FIRST_LOOK_S, LONGEST_LOOK_S = 0.02, 0.2
LONELY_S = 30.0
"""How long requests may wait with no worker there before that is said."""

GIVE_UP_S = 600.0
"""How long before it ends the run, in order."""

HINT = "start one with: defender worker --run URL#RUN"


class Shared:
    """Implements ``Engine``: every answer comes from a worker, its own among them.

    A response it returns is durable already.

    Args:
        engine: says who answers; its card is the run's.
        queue, store: of the run.
        ledger: told what all processes together have spent.
        local: the worker of this process, or None.
        warn: told what the user should know.
    """

    def __init__(
        self,
        engine: Engine,
        queue: Queue,
        store: Store,
        ledger: Ledger,
        local: Worker | None = None,
        warn: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._store = store
        self._ledger = ledger
        self._local = local
        self._warn = warn
        self._owed: list[Errand] = []
        self._gone: list[str] = []
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._failed: Exception | None = None
        self._stopping = False
        self._lonely_since: float | None = None
        self._said = False

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""
        return self._engine.card

    async def start(self) -> None:
        """Reach the model, and open the queue. Raises EngineDown, StoreError. Idempotent."""
        await self._engine.start()
        if self._tasks:
            return
        await asyncio.to_thread(self._open)
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in (self._pump, self._beat)]
        if self._local is not None:
            self._tasks.append(asyncio.create_task(self._work(self._local)))

    async def complete(self, request: Request) -> Response:
        """Answer one request. Raises EngineDown, BudgetSpent, StoreError."""
        if self._failed is not None:
            raise again(self._failed)
        if self._stopping:
            raise _withdrawn()
        key = request.key(self.card.fingerprint)
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._owed.append(Errand(key, request, self._ledger.held))
            self._wake.set()
        return await asyncio.shield(future)

    def stop(self) -> None:
        """Take back what nobody asks yet; what is in flight is waited for."""
        self._stopping = True
        self._wake.set()

    async def close(self) -> None:
        """End the run for its workers, and release the engine. Idempotent."""
        tasks, self._tasks = self._tasks, []
        try:
            if tasks:
                if self._local is not None:
                    self._local.stop("done")
                    await asyncio.wait(tasks[2:])
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                if self._failed is None:
                    await asyncio.to_thread(self._end)
        finally:
            await self._engine.close()

    def _open(self) -> None:
        """Take back what an earlier owner left; what workers still ask stays with them."""
        self._queue.exchange([outcome.key for outcome in self._queue.outcomes()], [])
        self._queue.withdraw()
        self._queue.announce()

    def _end(self) -> None:
        self._queue.withdraw()
        self._queue.announce(ended=True)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Let everybody who waits know when the queue is lost."""
        try:
            await work()
        except Exception as error:  # handed on to everybody who waits, never swallowed
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = self._failed or error
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(again(self._failed))
                future.exception()  # marked as seen: who waited may be gone

    async def _pump(self) -> None:
        """Put what is owed, hand out what came back."""
        pause = FIRST_LOOK_S
        while True:
            self._wake.clear()
            moved = await self._exchange()
            if self._waiting:
                moved |= self._hand_out(await asyncio.to_thread(self._queue.outcomes))
            pause = FIRST_LOOK_S if moved else min(LONGEST_LOOK_S, 2 * pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _exchange(self) -> bool:
        """Tell the queue what is new and what is done with; True when there was something."""
        if self._stopping:
            unsent, self._owed = self._owed, []
            for key in [*(errand.key for errand in unsent), *await asyncio.to_thread(self._queue.withdraw)]:
                self._settle(key, _withdrawn())
        owed, gone, self._owed, self._gone = self._owed, self._gone, [], []
        if owed or gone:
            await asyncio.to_thread(self._queue.exchange, gone, owed)
        return bool(owed or gone)

    def _hand_out(self, outcomes: Sequence[Outcome]) -> bool:
        for outcome in outcomes:
            self._gone.append(outcome.key)
            self._settle(outcome.key, outcome.response or BudgetSpent(outcome.refusal))
        return bool(outcomes)

    def _settle(self, key: str, what: Response | DefenderError) -> None:
        future = self._waiting.pop(key, None)
        if future is None or future.done():
            return
        if isinstance(what, Response):
            future.set_result(what)
        else:
            future.set_exception(what)
            future.exception()

    async def _beat(self) -> None:
        """Say that the run is led, take over what was spent, and see whether anybody works."""
        while True:
            await asyncio.to_thread(self._queue.announce)
            self._ledger.catch_up(await asyncio.to_thread(self._store.spend))
            self._look(await asyncio.to_thread(self._queue.workers, LEASE_S))
            await asyncio.sleep(BEAT_S)

    def _look(self, workers: int) -> None:
        now = asyncio.get_running_loop().time()
        if workers or not self._waiting:
            self._lonely_since, self._said = None, False
            return
        self._lonely_since = self._lonely_since or now
        alone = now - self._lonely_since
        if alone > GIVE_UP_S:
            raise EngineDown(f"no worker was there for {alone:.0f} s while requests waited; {HINT}, then run it again")
        if alone > LONELY_S and not self._said:
            self._said = True
            self._warn(f"requests wait and no worker is there; {HINT} (waiting up to {GIVE_UP_S:.0f} s)")

    async def _work(self, local: Worker) -> None:
        """Answer errands in this process too; when its engine is down, others may go on."""
        try:
            await local.run()
        except EngineDown as down:
            if await asyncio.to_thread(self._queue.workers, LEASE_S):
                self._warn(f"this machine answers no longer, other workers go on: {down}")
            else:
                self._fail(down)
        except Exception as error:  # handed on to everybody who waits, never swallowed
            self._fail(error)


def _withdrawn() -> EngineDown:
    return EngineDown("taken back before anybody asked it: the run is ending")
