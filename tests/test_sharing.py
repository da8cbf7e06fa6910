"""An engine whose requests are answered by workers, on a real queue."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from defender.address import address_of
from defender.costs import Limits
from defender.engines.scripted import Scripted
from defender.errands import Errand
from defender.errors import BudgetSpent, EngineDown, StoreError
from defender.journal import Journal
from defender.ledger import Ledger
from defender.records import ModelCard, Request, Response, Sampling
from defender.sharing import Shared
from defender.store import SqlStore
from defender.store.queue import SqlQueue
from defender.working import LeaseLost, Leases, Patience, WhileHeld, Worker
from tests.postgres import Postgres
from tests.test_journal import frames

CARD = ModelCard("scripted", server="defender")
LEASE_S = 6.0
"""Long enough that nobody loses what it holds on a machine that stands still for a while."""
REQUESTS = [Request((("user", f"question {n}"),), Sampling()) for n in range(80)]


@dataclass
class Bench:
    """A run's owner, and what makes a worker for it."""

    store: SqlStore
    shared: Shared
    worker: Callable[[str], Worker]
    asked: Counter[str]
    said: list[str]


@asynccontextmanager
async def bench(server: Postgres, answer: Callable[[Request], str], limit: int | None = None) -> AsyncIterator[Bench]:
    """Open a run whose workers are all in this process; each has a ledger of its own on the one budget."""
    asked: Counter[str] = Counter()
    said: list[str] = []

    def counted(request: Request) -> Response | str:
        asked[request.messages[0][1]] += 1
        return answer(request)

    store = SqlStore(address_of(server.url(), f"sharing-{uuid.uuid4().hex}"))
    async with Journal(store) as journal:
        queue = SqlQueue(store.database)

        def worker(name: str) -> Worker:
            ledger = Ledger(journal, store.spend(), Limits(limit))
            engine = Scripted(counted, CARD, ledger)
            return Worker(name, queue, engine, journal, 8, Patience(LEASE_S, 600), ledger.hold, said.append)

        shared = Shared(Scripted(counted, CARD), queue, store, Ledger(journal, {}, Limits(limit)), None, said.append)
        await shared.start()
        try:
            yield Bench(store, shared, worker, asked, said)
        finally:
            await shared.close()
    store.close()


def alike(request: Request) -> str:
    return f"to {request.messages[0][1]}"


async def test_every_request_is_answered_once_whoever_asks_and_what_waits_together_is_asked_once(
    postgres: Postgres,
) -> None:
    async with bench(postgres, alike) as at:
        workers = [asyncio.create_task(at.worker(name).run()) for name in "ab"]
        answers = await asyncio.gather(*(at.shared.complete(request) for request in REQUESTS + REQUESTS))
        await at.shared.close()
        assert await asyncio.wait_for(asyncio.gather(*workers), 120) == ["the run has ended"] * 2
    assert [answer.text for answer in answers] == [alike(request) for request in REQUESTS] * 2
    assert set(at.asked.values()) == {1}


async def test_a_budget_that_workers_share_is_never_overshot_by_one_and_its_end_is_told_to_whoever_waits(
    postgres: Postgres,
) -> None:
    async with bench(postgres, alike, limit=50) as at:
        workers = [asyncio.create_task(at.worker(name).run()) for name in "abc"]
        found = await asyncio.gather(*(at.shared.complete(r) for r in REQUESTS), return_exceptions=True)
        assert sum(isinstance(one, BudgetSpent) for one in found) == 30
        assert sum(isinstance(one, Response) for one in found) == 50
        assert at.asked.total() == at.store.spend()["reserved"] == 50
        await at.shared.close()
        await asyncio.wait_for(asyncio.gather(*workers), 120)


async def test_what_a_worker_held_when_it_was_lost_is_asked_by_another_once_its_lease_has_ended(
    postgres: Postgres,
) -> None:
    async with bench(postgres, alike) as at:
        answers = [asyncio.create_task(at.shared.complete(request)) for request in REQUESTS[:20]]
        queue, leased = at.worker("lost").queue, list[Errand]()
        while not leased:
            leased = list(await asyncio.to_thread(queue.lease, "lost", 5, 1.0))
        worker = asyncio.create_task(at.worker("other").run())
        done = await asyncio.wait_for(asyncio.gather(*answers), 120)
        assert [answer.text for answer in done] == [alike(request) for request in REQUESTS[:20]]
        await at.shared.close()
        assert await asyncio.wait_for(worker, 120) == "the run has ended"


async def test_when_the_run_is_stopped_only_what_is_in_flight_is_asked(postgres: Postgres) -> None:
    async with bench(postgres, alike) as at:
        waiting = [asyncio.create_task(at.shared.complete(request)) for request in REQUESTS]
        await asyncio.sleep(0.2)
        at.shared.stop()
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 120)
        assert all(isinstance(one, EngineDown) for one in found)
        assert at.asked.total() == 0


async def test_a_worker_whose_engine_is_down_gives_back_what_it_holds_and_says_why(postgres: Postgres) -> None:
    def broken(request: Request) -> str:
        raise EngineDown("nobody listens")

    async with bench(postgres, broken) as at:
        waiting = [asyncio.create_task(at.shared.complete(request)) for request in REQUESTS[:9]]
        with pytest.raises(EngineDown, match="nobody listens"):
            await asyncio.wait_for(at.worker("a").run(), 120)
        queue = at.worker("b").queue
        assert len(await asyncio.to_thread(queue.lease, "b", 99, 1.0)) == 9
        for one in waiting:
            one.cancel()


async def test_a_worker_that_is_stopped_finishes_what_it_asked_and_gives_back_the_rest(postgres: Postgres) -> None:
    async with bench(postgres, alike) as at:
        waiting = [asyncio.create_task(at.shared.complete(request)) for request in REQUESTS]
        worker = at.worker("a")
        running = asyncio.create_task(worker.run())
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        worker.stop("enough")
        assert await asyncio.wait_for(running, 120) == "enough"
        assert worker.answered == at.asked.total() == at.store.spend()["answers"] < 80
        other = asyncio.create_task(at.worker("b").run())
        await asyncio.wait_for(asyncio.gather(*waiting), 120)
        assert set(at.asked.values()) == {1}
        await at.shared.close()
        assert await asyncio.wait_for(other, 120) == "the run has ended"


async def test_what_others_took_over_while_a_worker_could_not_pay_is_neither_asked_nor_paid_for(
    postgres: Postgres,
) -> None:
    async with bench(postgres, alike) as at:
        leases, journal = Leases(), at.worker("a").journal
        ledger = Ledger(journal, {}, Limits(5))
        meter = WhileHeld(ledger.till("model", None), leases, lambda request: request.key(CARD.fingerprint))
        engine, request = Scripted(alike, CARD, meter), REQUESTS[0]
        key = request.key(CARD.fingerprint)
        leases.take([key], time.monotonic() + 60.0)
        assert (await engine.complete(request)).text == alike(request)
        leases.renew([key], [], time.monotonic() + 60.0)
        with pytest.raises(LeaseLost):
            await engine.complete(request)
        await journal.flush()
        assert at.store.spend()["reserved"] == ledger.spent == 1


async def test_when_the_queue_is_lost_everybody_is_told_with_the_same_words_and_an_error_of_their_own(
    postgres: Postgres,
) -> None:
    async with bench(postgres, alike) as at:
        waiting = [asyncio.create_task(at.shared.complete(request)) for request in REQUESTS]
        await asyncio.sleep(0.05)
        await asyncio.to_thread(at.store.database.write, lambda open: open.execute(sa.text("DROP TABLE errands")))
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 120)
        later = await asyncio.gather(*(at.shared.complete(r) for r in REQUESTS * 5), return_exceptions=True)
        errors = [error for error in (*found, *later) if isinstance(error, StoreError)]
        assert len(errors) == 6 * len(REQUESTS)
        assert len(set(map(id, errors))) == len(errors)
        assert len(set(map(str, errors))) == 1
        assert 'relation "errands" does not exist' in str(errors[0])
        assert max(map(frames, errors)) < 60
