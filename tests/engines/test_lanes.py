from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from defender.contracts import Meter
from defender.engines import lanes
from defender.engines.endpoint import Endpoint, Server
from defender.engines.served import Served
from defender.errors import ConfigError, EngineDown
from defender.records import Request, Response, Sampling
from tests.contracts.engine import Allowance
from tests.engines import fault_server as on
from tests.engines.fault_server import FaultServer, models, slow, until


def question(number: int) -> Request:
    return Request((("user", f"{number}?"),), Sampling(max_tokens=5))


@asynccontextmanager
async def fleet(
    *servers: FaultServer, weights: tuple[float, ...] = (), meter: Meter | None = None, **endpoint: Any
) -> AsyncIterator[Served]:
    """Give an engine started on servers that are running."""
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        shares = weights or (1.0,) * len(servers)
        urls = [Server(server.base_url, weight) for server, weight in zip(servers, shares, strict=True)]
        engine = Served(Endpoint(urls, **{"backoff_s": 0.01, "timeout_s": 60.0, **endpoint}), meter)
        stack.push_async_callback(engine.close)
        await engine.start()
        yield engine


async def ask(engine: Served, numbers: range) -> list[Response]:
    return await asyncio.gather(*(engine.complete(question(number)) for number in numbers))


async def asked_again(engine: Served, server: FaultServer, more: int) -> None:
    """Ask on until a server was asked so much more."""
    wanted, number = len(server.bodies) + more, 0
    async with asyncio.timeout(120):
        while len(server.bodies) < wanted:
            await asyncio.sleep(0.02)
            await ask(engine, range(number, number + 8))
            number += 8


async def test_requests_are_shared_by_weight_and_every_one_gets_its_own_answer() -> None:
    servers = FaultServer(then=slow), FaultServer(then=slow)
    async with fleet(*servers, weights=(1.0, 3.0)) as engine:
        responses = await ask(engine, range(400))
    assert [response.text for response in responses] == [f"You asked: {number}?" for number in range(400)]
    light, heavy = (len(server.bodies) for server in servers)
    assert light + heavy == 400
    assert 2.0 < heavy / light < 4.5


async def test_a_server_takes_no_more_than_its_own_most() -> None:
    small, large = FaultServer(then=slow), FaultServer(then=slow)
    small.meet, large.meet = 3, 4
    async with small, large:
        engine = Served(Endpoint([Server(small.base_url, max_in_flight=3), large.base_url], max_in_flight=12))
        await engine.start()
        await ask(engine, range(100))
        await engine.close()
    assert small.widest == 3
    assert 3 < large.widest <= 12


async def test_a_server_that_dies_is_left_alone_and_the_others_answer_everything() -> None:
    dying, living, meter = FaultServer(then=slow), FaultServer(then=slow), Allowance()
    async with fleet(dying, living, meter=meter) as engine:
        before = await ask(engine, range(40))
        await dying.stop()
        responses = await ask(engine, range(40, 240))
        failed = sum(response.attempts - 1 for response in responses)
    assert all(response.error is None for response in responses)
    assert 1 <= failed <= 80, "only what was tried before it was left alone"
    assert meter.admitted == sum(response.attempts for response in (*before, *responses))


async def test_a_server_that_comes_back_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_S", 0.02)
    ailing, living = FaultServer(then=on.fails(500)), FaultServer(then=slow)
    async with fleet(ailing, living) as engine:
        await ask(engine, range(20))
        assert ailing.bodies
        ailing.then = slow
        await asked_again(engine, ailing, 20)


async def test_a_server_that_is_away_at_the_start_joins_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_S", 0.02)
    late, living = FaultServer(listing=on.fails(503)), FaultServer()
    async with fleet(late, living) as engine:
        await ask(engine, range(10))
        assert not late.bodies
        late.listing = on.says(models("tiny"))
        await asked_again(engine, late, 1)


async def test_when_all_are_gone_the_run_ends_in_the_stated_time_with_what_was_seen_of_each() -> None:
    servers = FaultServer(then=slow), FaultServer(then=slow)
    async with fleet(*servers, breaker_s=0.3, max_attempts=3) as engine:
        await ask(engine, range(20))
        for server in servers:
            await server.stop()
        began = asyncio.get_running_loop().time()
        with pytest.raises(EngineDown) as caught:
            async with asyncio.timeout(60):
                await asyncio.gather(*(ask(engine, range(at, at + 50)) for at in range(0, 200, 50)))
        assert asyncio.get_running_loop().time() - began > 0.25
    for server in servers:
        assert f"{server.base_url}: 3 attempts in a row failed" in str(caught.value)


async def test_all_gone_at_the_start_is_said_of_each() -> None:
    with pytest.raises(EngineDown) as caught:
        await Served(Endpoint(["http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"])).start()
    assert "127.0.0.1:9/v1" in str(caught.value)
    assert "127.0.0.1:10/v1" in str(caught.value)


@pytest.mark.parametrize("other", [models("tiny", root="org/other-7b"), models("tiny", owned_by="vllm")])
async def test_servers_that_serve_different_models_are_refused_with_the_difference(other: dict[str, Any]) -> None:
    with pytest.raises(EngineDown, match="another of the servers given serves 'tiny'"):
        async with fleet(FaultServer(), FaultServer(listing=on.says(other))):
            pass


async def test_a_server_that_comes_back_with_another_model_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_S", 0.02)
    changed, living = FaultServer(then=on.fails(500)), FaultServer()
    async with fleet(changed, living) as engine:
        changed.listing = on.says(models("tiny", root="org/other-7b"))
        await ask(engine, range(20))
        changed.then, seen = on.echoes, len(changed.bodies)
        held = engine._lanes
        assert held is not None
        await until(lambda: "another of the servers given serves" in held.seen())
        responses = await ask(engine, range(20))
    assert all(response.error is None for response in responses)
    assert len(changed.bodies) == seen


async def test_a_rate_limit_pauses_its_server_and_the_request_goes_to_another_at_once() -> None:
    limited, free = FaultServer(then=on.fails(429, retry_after="60")), FaultServer()
    async with fleet(limited, free) as engine:
        responses = await ask(engine, range(60))
    assert all(response.error is None for response in responses)
    assert len(limited.bodies) <= 31


async def test_the_card_names_all_servers_in_one_order_and_an_alias_stands_for_them() -> None:
    one, two = FaultServer(), FaultServer()
    async with fleet(one, two) as engine, fleet(FaultServer(), FaultServer(), name="lab") as named:
        both = engine.card.endpoint.split()
        assert both == sorted([one.base_url, two.base_url])
        assert named.card.endpoint == "lab"


@pytest.mark.parametrize("urls", [[], ["http://h/v1", "http://H/v1/"], ["http://h/v1", "nonsense"]])
def test_no_address_twice_the_same_or_none_at_all_is_refused(urls: list[str]) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        Endpoint(urls)


@pytest.mark.parametrize("settings", [{"weight": 0.0}, {"weight": -1.0}, {"max_in_flight": -1}])
def test_a_weight_or_limit_that_means_nothing_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="weight above 0"):
        Server("http://h/v1", **settings)


async def test_one_request_goes_out_once_even_where_two_servers_could_take_it() -> None:
    one, two = FaultServer(then=slow), FaultServer(then=slow)
    async with fleet(one, two) as engine:
        await ask(engine, range(100))
    asked = [json.loads(body)["messages"][-1]["content"] for body in one.bodies + two.bodies]
    assert sorted(asked) == sorted(f"{number}?" for number in range(100))


async def test_a_request_that_is_cancelled_while_it_waits_passes_its_turn_on() -> None:
    async with fleet(FaultServer(then=slow), max_in_flight=1) as engine:
        asked = [asyncio.create_task(engine.complete(question(number))) for number in range(30)]
        await asyncio.sleep(0.01)
        for task in asked[1::2]:
            task.cancel()
        async with asyncio.timeout(120):
            ended = await asyncio.gather(*asked, return_exceptions=True)
            assert (await engine.complete(question(99))).error is None
    assert [end.text for end in ended if isinstance(end, Response)] == [f"You asked: {n}?" for n in range(0, 30, 2)]
