"""Several servers that die and come back: nothing is lost, and the end says what was seen of each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from defender.engines import lanes
from defender.engines.endpoint import Endpoint, Server
from defender.engines.lanes import Lane, Lanes
from defender.engines.served import Served
from defender.errors import EngineDown
from tests.contracts.engine import Allowance
from tests.engines import fault_server as on
from tests.engines.fault_server import FaultServer, slow, until
from tests.engines.test_lanes import ask, fleet, question


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at servers that are away more often than one would."""
    monkeypatch.setattr(lanes, "FIRST_LOOK_S", 0.02)
    monkeypatch.setattr(lanes, "LONGEST_LOOK_S", 0.05)


def numbers() -> Iterator[range]:
    return (range(at, at + 16) for at in itertools.count(0, 16))


async def answered(engine: Served, blocks: Iterator[range], server: FaultServer, more: int) -> None:
    """Ask until a server has answered so much more; every answer is to its own question."""
    before = len(server.bodies)
    while len(server.bodies) < before + more:
        block = next(blocks)
        said = await ask(engine, block)
        assert [one.text for one in said] == [f"You asked: {number}?" for number in block]


async def failing_for_ever(engine: Served, kind: str) -> None:
    """Ask on; nothing is answered."""
    for block in numbers():
        assert {one.error for one in await ask(engine, block)} == {kind}


async def test_a_server_that_dies_comes_back_and_dies_again_loses_no_answer() -> None:
    ailing, steady, meter, blocks = FaultServer(then=slow), FaultServer(then=slow), Allowance(), numbers()
    async with fleet(ailing, steady, meter=meter, max_in_flight=8) as engine:
        for _ in range(3):
            await answered(engine, blocks, ailing, 30)
            await ailing.stop()
            await answered(engine, blocks, steady, 60)
            await ailing.start()
        await answered(engine, blocks, ailing, 30)
        asked = next(blocks).start
    assert asked <= meter.admitted <= asked + 3 * 3 * 8, "what was in flight when it was left alone, each time"
    assert len(ailing.bodies) + len(steady.bodies) <= meter.admitted


async def test_when_all_die_and_one_comes_back_in_time_nothing_is_lost() -> None:
    first, second = FaultServer(then=slow), FaultServer(then=slow)
    async with fleet(first, second, breaker_s=300.0, max_attempts=9, max_in_flight=8) as engine:
        await ask(engine, range(16))
        for server in (first, second):
            await server.stop()
        asked = asyncio.create_task(ask(engine, range(16, 64)))
        await asyncio.sleep(0.2)
        assert not asked.done()
        await second.start()
        said = await asyncio.wait_for(asked, 120)
    assert [one.text for one in said] == [f"You asked: {number}?" for number in range(16, 64)]


async def test_when_all_stay_away_each_address_is_named_once_with_what_was_seen_then_and_since() -> None:
    deaf, failing = FaultServer(then=slow), FaultServer(then=on.fails(500, "no room"))
    async with fleet(deaf, failing, breaker_s=300.0, max_in_flight=8) as engine:
        held = engine._lanes
        assert held is not None
        await deaf.stop()
        failing.listing = on.fails(503, "starting up")
        asked = asyncio.gather(*(engine.complete(question(number)) for number in range(64)))
        await until(lambda: held.gone and all(lane.look for lane in held.lanes))
        held.patience_s = 0.4  # had it been so short from the beginning, a slow look would come too late
        held._wake_all()
        with pytest.raises(EngineDown) as caught:
            await asyncio.wait_for(asked, 120)
    message = str(caught.value)
    assert message.startswith("none of 2 servers could be used for 0.4 s: ")
    told = {server: message.partition(f"{server.base_url}: ")[2].partition(f"; {other.base_url}")[0]
            for server, other in ((deaf, failing), (failing, deaf))}  # fmt: skip
    assert "3 attempts in a row failed; the last one: connection: ClientConnectorError" in told[deaf]
    assert "looked at again: expected an OpenAI-compatible server, got no answer" in told[deaf]
    assert "3 attempts in a row failed; the last one: server_error: HTTP 500" in told[failing]
    assert "looked at again: expected the list of models from GET /models, got HTTP 503" in told[failing]
    assert [message.count(f"{server.base_url}: ") for server in (deaf, failing)] == [1, 1]
    assert "run the same command again: what was answered so far is kept" in message


async def test_servers_that_list_their_models_and_answer_nothing_end_the_run_with_both_named() -> None:
    servers = FaultServer(then=on.fails(500, "one")), FaultServer(then=on.fails(502, "two"))
    async with fleet(*servers, breaker_s=0.3, max_in_flight=4, max_attempts=2) as engine:
        with pytest.raises(EngineDown) as caught:
            await asyncio.wait_for(failing_for_ever(engine, "server_error"), 120)
    for server, status in zip(servers, (500, 502), strict=True):
        assert f"{server.base_url}: " in str(caught.value)
        assert f"HTTP {status}" in str(caught.value)


async def test_after_the_end_starting_again_looks_at_once_and_goes_on() -> None:
    servers = FaultServer(then=slow), FaultServer(then=slow)
    async with fleet(*servers, breaker_s=0.1, max_in_flight=4) as engine:
        for server in servers:
            await server.stop()
        with pytest.raises(EngineDown):
            await asyncio.gather(*(engine.complete(question(number)) for number in range(32)))
        with pytest.raises(EngineDown, match="got no answer"):
            await engine.start()
        await servers[1].start()
        await engine.start()
        assert (await engine.complete(question(1))).text == "You asked: 1?"


@pytest.mark.parametrize("wanted", ["86400", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_server_that_asks_for_a_day_is_left_to_the_others(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_S", 3600.0)  # after every look it is asked again
    monkeypatch.setattr(lanes, "LONGEST_LOOK_S", 3600.0)
    tired, free = FaultServer(then=on.fails(429, retry_after=wanted)), FaultServer(then=slow)
    async with fleet(tired, free, max_in_flight=8) as engine:
        said = await ask(engine, range(100))
    assert all(one.error is None for one in said)
    assert len(tired.bodies) <= 8, "what was on the way when it said so"


async def test_when_all_ask_for_a_day_the_end_says_so_of_each() -> None:
    servers = [FaultServer(then=on.fails(429, retry_after="86400")) for _ in range(2)]
    async with fleet(*servers, max_in_flight=4, breaker_s=0.3) as engine:
        with pytest.raises(EngineDown) as caught:
            await asyncio.wait_for(failing_for_ever(engine, "rate_limited"), 120)
    assert str(caught.value).count("asks to wait 86400 s, and 120 s is the longest we wait") >= 2


async def test_places_are_given_back_once_by_requests_that_are_refused_or_cancelled_while_they_move() -> None:
    servers = FaultServer(then=on.fails(500)), FaultServer(then=on.fails(500))
    async with fleet(*servers, breaker_s=60.0, max_attempts=9, max_in_flight=4) as engine:
        held = engine._lanes
        assert held is not None
        asked = [asyncio.create_task(engine.complete(question(number))) for number in range(32)]
        await until(lambda: held.gone)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert [lane.open for lane in held.lanes] == [0, 0]


async def test_a_server_that_is_away_for_hours_is_still_looked_at() -> None:
    seen: list[int] = []

    async def look(lane: Lane) -> str:
        seen.append(lane.looks)
        return "" if len(seen) > 3 else "away still"

    engine = Served(Endpoint(["http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"]))
    away, other = (engine._connect(Server(f"http://127.0.0.1:{port}/v1")) for port in (9, 10))
    both = Lanes((away, other), 30.0, look)
    away.looks = 5000
    both.leave(away, "gone")
    await until(lambda: not away.away)
    assert seen == [5001, 5002, 5003, 5004]
    await both.close()


async def test_a_server_that_hangs_ends_the_run_when_the_first_requests_have_waited_in_vain() -> None:
    meter = Allowance()
    async with FaultServer(then=on.hangs) as server:
        asking = Endpoint(server.base_url, timeout_s=0.2, backoff_s=0.01, breaker_s=0.3, max_in_flight=8)
        engine = Served(asking, meter)
        await engine.start()
        with pytest.raises(EngineDown, match="8 requests in a row failed"):
            await asyncio.gather(*(engine.complete(question(number)) for number in range(8)))
        await engine.close()
    assert meter.admitted == 16
