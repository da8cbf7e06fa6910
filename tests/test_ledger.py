"""The ledger on a real journal and a real SQLite file: four currencies, none overshot by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from defender.costs import Limits, Price
from defender.errors import BudgetSpent
from defender.journal import Journal
from defender.ledger import Ledger
from defender.records import Charge, Request, Response, Sampling
from defender.store import SqlStore

ASKED = Request((("user", "?" * 56),), Sampling(max_tokens=100))
WORST = 300
"""Tokens: 56 of the text, 128 + 16 for a template, 100 for the answer."""
ANSWER = Response("x", "stop", prompt_tokens=20, completion_tokens=5)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(folder: Path, limits: Limits | None = None, clock: Clock | None = None) -> AsyncIterator[Ledger]:
    store = SqlStore(folder / "run.db")
    try:
        async with Journal(store) as journal:
            yield Ledger(journal, store.spend(), limits or Limits(), clock or Clock())
    finally:
        store.close()


def spent(folder: Path) -> dict[str, int]:
    store = SqlStore(folder / "run.db", readonly=True)
    try:
        return {name: count for name, count in store.spend().items() if count}
    finally:
        store.close()


async def ask(ledger: Ledger, response: Response | None = ANSWER) -> None:
    async with ledger.admit(ASKED) as bill:
        await asyncio.sleep(0)
        if response is not None:
            bill.settle(response)


async def test_requests_are_never_overshot_by_one_even_with_many_waiting(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(50)) as ledger:
        results = await asyncio.gather(*(ask(ledger) for _ in range(80)), return_exceptions=True)
        assert sum(isinstance(result, BudgetSpent) for result in results) == 30
        assert ledger.left == 0
    assert spent(tmp_path)["reserved"] == 50


async def test_what_is_in_flight_is_reserved_at_its_worst_and_settled_to_what_it_used(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger, ledger.admit(ASKED) as bill:
        assert spent(tmp_path) == {"reserved": 1, "tokens": WORST}
        bill.settle(ANSWER)
    assert spent(tmp_path) == {"reserved": 1, "tokens": 25}


async def test_an_attempt_that_ends_untold_stays_paid_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        with pytest.raises(ZeroDivisionError):
            async with ledger.admit(ASKED):
                raise ZeroDivisionError
        flying = asyncio.create_task(ask(ledger))
        await asyncio.sleep(0)
        flying.cancel()
    assert spent(tmp_path) == {"reserved": 2, "tokens": 2 * WORST}


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (Response(None, error="server_error"), 0),
        (Response(None, error="rate_limited"), 0),
        (Response(None, error="timeout"), WORST),
        (Response(None, error="connection"), WORST),
        (Response(None, error="malformed"), WORST),
        (Response("an answer whose server counts nothing", "stop"), WORST),
        (Response(None, "content_filter", "content_filter"), WORST),
        (Response(None, "length", "context_length", prompt_tokens=90, completion_tokens=3), 93),
    ],
)
async def test_a_failure_costs_nothing_only_where_the_server_said_so(
    tmp_path: Path, response: Response, tokens: int
) -> None:
    async with opened(tmp_path) as ledger:
        await ask(ledger, response)
    assert spent(tmp_path).get("tokens", 0) == tokens


async def test_tokens_are_never_overshot_and_are_used_to_the_last_request_that_fits(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(tokens=1000)) as ledger:
        results = await asyncio.gather(*(ask(ledger) for _ in range(80)), return_exceptions=True)
        answered = sum(result is None for result in results)
    assert spent(tmp_path)["tokens"] == 25 * answered
    assert 1000 - WORST < 25 * answered <= 1000, "refused only when the next one's worst case does not fit"


async def test_a_limit_that_pays_for_no_request_says_what_one_may_take(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(tokens=10)) as ledger:
        with pytest.raises(BudgetSpent, match=rf"raise --max-tokens \(a request may take {WORST} tokens, 10 tokens"):
            await ask(ledger)
    assert spent(tmp_path) == {}


async def test_what_may_still_come_back_is_waited_for_before_a_budget_is_called_spent(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(tokens=WORST)) as ledger:
        first = ledger.admit(ASKED)
        bill = await first.__aenter__()
        second = asyncio.create_task(ask(ledger))
        await asyncio.sleep(0.01)
        assert not second.done()
        bill.settle(Response("", "stop", prompt_tokens=0, completion_tokens=0, error=None, detail=""))
        bill.settle(Response(None, error="server_error"))
        await first.__aexit__(None, None, None)
        await second
    assert spent(tmp_path) == {"reserved": 2, "tokens": 25}


async def test_dollars_are_never_overshot_at_the_price_of_whoever_asks(tmp_path: Path) -> None:
    cheap, dear = Price(1.0, 2.0), Price(10.0, 20.0, 1.0)
    async with opened(tmp_path, Limits(usd=0.03)) as ledger:
        model, judge = ledger.till("model", cheap), ledger.till("judge", dear)

        async def both() -> None:
            for till in (model, judge):
                async with till.admit(ASKED) as bill:
                    bill.settle(ANSWER)

        await asyncio.gather(*(both() for _ in range(200)), return_exceptions=True)
    found = spent(tmp_path)
    judged = found["judge.reserved"]
    assert found["judge.nanousd"] == judged * (20 * 10_000 + 5 * 20_000)
    assert found["judge.tokens"] == 25 * judged
    assert found["nanousd"] == found["judge.nanousd"] + (found["reserved"] - judged) * (20 * 1000 + 5 * 2000)
    assert found["nanousd"] <= 30_000_000 < found["nanousd"] + (200 * 10_000 + 100 * 20_000)


async def test_cached_prompt_tokens_cost_what_the_table_says(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger, ledger.till("model", Price(1.0, 2.0, 0.25)).admit(ASKED) as bill:
        bill.settle(Response("x", prompt_tokens=20, completion_tokens=5, cached_tokens=16))
    assert spent(tmp_path)["nanousd"] == 4 * 1000 + 16 * 250 + 5 * 2000


async def test_a_new_process_goes_on_from_what_was_spent_in_every_currency(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock=clock) as ledger:
        clock.now = 1800.0
        await ask(ledger)
    clock.now = 0.0
    async with opened(tmp_path, Limits(2, 325, hours=0.75), clock) as ledger:
        assert ledger.spend == {"reserved": 1, "tokens": 25, "nanousd": 0, "milliseconds": 1_800_000}
        clock.now = 899.0
        await ask(ledger)
        assert spent(tmp_path)["milliseconds"] == 2_699_000
        with pytest.raises(BudgetSpent, match=r"2 requests is spent.*--max-requests"):
            await ask(ledger)


async def test_hours_end_a_run_also_after_a_resume(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(2):
        clock.now = 0.0
        async with opened(tmp_path, Limits(hours=0.5), clock) as ledger:
            clock.now = 899.0
            await ask(ledger)
    clock.now = 0.0
    async with opened(tmp_path, Limits(hours=0.5), clock) as ledger:
        await ask(ledger)
        clock.now = 2.0
        with pytest.raises(BudgetSpent, match=r"0\.5 hours is spent.*--max-hours"):
            await ask(ledger)
    assert spent(tmp_path)["reserved"] == 3


async def test_a_held_part_is_kept_for_later_in_every_currency(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(requests=10)) as ledger:
        ledger.hold(8)
        await ask(ledger)
        await ask(ledger)
        with pytest.raises(BudgetSpent, match="8 requests of it held"):
            await ask(ledger)
        ledger.hold(0)
        await ask(ledger)
        assert ledger.spent == 3


async def test_held_requests_are_worth_what_requests_cost_so_far(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(tokens=1000)) as ledger:
        ledger.hold(20)  # nothing is known yet: nothing is held
        await ask(ledger)
        assert ledger.affords() == 40
        for _ in range(19):
            if ledger.spend["tokens"] + WORST <= 500:
                await ask(ledger)
        with pytest.raises(BudgetSpent, match="500 tokens of it held"):
            await ask(ledger)
        assert 1000 - 500 - WORST < ledger.spend["tokens"] <= 500
        ledger.hold(0)
        for _ in range(20):
            await ask(ledger)
    assert spent(tmp_path)["tokens"] <= 1000


async def test_two_ledgers_that_share_one_budget_never_overshoot_it_together(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with Journal(store) as one, Journal(store) as other:
        ledgers = [Ledger(journal, limits=Limits(50, 30_000)) for journal in (one, other)]
        asked = [ask(ledger) for _ in range(40) for ledger in ledgers]
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, BudgetSpent) for result in results) == 30
    assert store.spend()["reserved"] == 50
    assert store.spend()["tokens"] == 50 * 25
    store.close()


async def test_a_limit_that_others_share_is_the_stores_to_grant(tmp_path: Path) -> None:
    async with opened(tmp_path, Limits(3)) as ledger:
        await ledger.journal.charge(Charge({"reserved": 2}))  # another process, of which this ledger knows nothing
        results = await asyncio.gather(*(ask(ledger) for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(result, BudgetSpent) for result in results) == 2
        assert ledger.spent == 1
    assert spent(tmp_path)["reserved"] == 3
