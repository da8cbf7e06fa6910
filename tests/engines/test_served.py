from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from defender.contracts import Engine, Meter
from defender.engines.served import Endpoint, Served
from defender.errors import EngineDown
from defender.records import Request, Response, Sampling
from tests.contracts.engine import Allowance, EngineContract
from tests.engines import fault_server as on
from tests.engines.fault_server import Act, FaultServer, until

QUESTION = Request((("system", "Be fair."), ("user", "2+2?")), Sampling(max_tokens=5), seed=7)
HTML = "<!doctype html><html><body>Sign in</body></html>"


@asynccontextmanager
async def serving(
    *acts: Act, meter: Meter | None = None, then: Act = on.echoes, **endpoint: Any
) -> AsyncIterator[tuple[Served, FaultServer]]:
    """Give an engine that has started on a server that plays these acts."""
    settings: dict[str, Any] = {"backoff_s": 0.01, "timeout_s": 60.0, "api_key": "k", **endpoint}
    async with FaultServer(*acts, then=then) as server:
        engine = Served(Endpoint(server.base_url, **settings), meter)
        try:
            await engine.start()
            yield engine, server
        finally:
            await engine.close()


async def ask(*acts: Act, **endpoint: Any) -> tuple[Response, int]:
    """Return the response to one question and how often the meter was asked; the wire must agree with both."""
    meter = Allowance()
    async with serving(*acts, meter=meter, **endpoint) as (engine, server):
        response = await engine.complete(QUESTION)
        assert response.attempts == meter.admitted == len(server.bodies)
    return response, meter.admitted


class TestServed(EngineContract):
    server: FaultServer

    @asynccontextmanager
    async def opened(self, meter: Meter | None = None) -> AsyncIterator[Engine]:
        async with FaultServer() as self.server:
            engine = Served(Endpoint(self.server.base_url, backoff_s=0.01, timeout_s=60.0), meter)
            yield engine
            await engine.close()

    def reached(self) -> int:
        return len(self.server.bodies)

    def hopeless(self) -> Request:
        return Request((("user", "long " * 2000),), Sampling())


async def test_the_exact_bytes_of_one_request() -> None:
    async with serving() as (engine, server):
        await engine.complete(QUESTION)
    assert server.bodies == [
        b'{"model":"tiny","messages":[{"role":"system","content":"Be fair."},{"role":"user","content":"2+2?"}],'
        b'"temperature":0.0,"max_tokens":5,"seed":7}'
    ]


async def test_an_answer_cut_by_a_full_context_is_missing_paid_once_and_its_tokens_count() -> None:
    short = {**on.completion("It is", "length"), "usage": {"prompt_tokens": 1021, "completion_tokens": 3}}
    response, paid = await ask(on.says(short))
    assert (response.text, response.error, paid) == (None, "context_length", 1)
    assert (response.prompt_tokens, response.completion_tokens) == (1021, 3)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
async def test_a_passing_failure_is_asked_again(status: int) -> None:
    response, paid = await ask(on.fails(status), on.fails(status))
    assert response.text == "You asked: 2+2?"
    assert paid == 3


async def test_a_failure_that_stays_is_missing_with_its_kind_after_the_last_attempt() -> None:
    response, paid = await ask(then=on.fails(503, "warming up"), max_attempts=3)
    assert (response.text, response.error, paid) == (None, "server_error", 3)
    assert "warming up" in response.detail


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"),
        (401, "unauthorized"),
        (403, "unauthorized"),
        (404, "not_found"),
        (413, "bad_request"),
        (422, "bad_request"),
    ],
)
async def test_a_refusal_is_not_asked_again(status: int, kind: str) -> None:
    response, paid = await ask(then=on.fails(status))
    assert (response.text, response.error, paid) == (None, kind, 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_and_says_where_to(status: int) -> None:
    act = on.fails(status, location="https://elsewhere.example/v1")
    response, paid = await ask(then=act)
    assert (response.text, response.error, paid) == (None, "not_found", 1)
    assert f"HTTP {status}: sent on to https://elsewhere.example/v1" in response.detail
    async with serving(max_in_flight=1, breaker_s=1000, then=act) as (engine, server):
        with pytest.raises(EngineDown, match="sent on to https://elsewhere"):
            await asyncio.gather(*(engine.complete(QUESTION) for _ in range(50)))
        assert len(server.bodies) == 8


@pytest.mark.parametrize("status", [200, 201, 203])
async def test_a_right_body_under_another_status_of_success_was_paid_for_and_is_kept(status: int) -> None:
    response, paid = await ask(on.says(on.completion("Four."), status=status))
    assert (response.text, paid) == ("Four.", 1)


async def test_no_content_is_malformed() -> None:
    response, paid = await ask(then=on.sends("", status=204))
    assert (response.error, paid) == ("malformed", 2)


@pytest.mark.parametrize(
    ("act", "kind", "attempts"),
    [
        (on.says({"error": {"message": "slow down", "code": 429}}), "rate_limited", 3),
        (on.says({"error": {"message": "down", "code": 502}}), "server_error", 3),
        (on.says({"error": {"message": "odd"}}), "malformed", 2),
        (on.says({"error": {"message": "bad", "code": 400}}), "bad_request", 1),
        (on.says(on.completion("The answ", "error")), "server_error", 3),
        (on.says(on.completion("The answ", "abort")), "server_error", 3),
    ],
)
async def test_an_error_under_status_200_is_what_it_says_and_never_an_answer(
    act: Act, kind: str, attempts: int
) -> None:
    response, paid = await ask(then=act, max_attempts=3)
    assert (response.text, response.error, paid) == (None, kind, attempts)


@pytest.mark.parametrize("end", ["", "/", "//"])
async def test_an_address_may_end_in_slashes(end: str) -> None:
    async with FaultServer() as server:
        engine = Served(Endpoint(server.base_url + end))
        await engine.start()
        assert (await engine.complete(QUESTION)).error is None
        assert engine.card.endpoint == server.base_url
        await engine.close()


@pytest.mark.parametrize("model", ["", "tiny"])
@pytest.mark.parametrize("end", ["", "/"])
async def test_an_address_without_v1_is_asked_about(model: str, end: str) -> None:
    async with FaultServer() as server:
        engine = Served(Endpoint(server.base_url.removesuffix("/v1") + end, model=model))
        with pytest.raises(EngineDown, match="Is '/v1' missing from base_url"):
            await engine.start()


async def test_a_dropped_connection_is_asked_again() -> None:
    response, paid = await ask(on.resets)
    assert (response.error, paid) == (None, 2)


async def test_connections_that_keep_dropping_are_a_connection_failure_not_a_timeout() -> None:
    response, paid = await ask(then=on.resets, max_attempts=3)
    assert (response.error, paid) == ("connection", 3)


@pytest.mark.parametrize("act", [on.hangs, on.drips])
async def test_a_hang_is_a_timeout_missing_and_asked_again_only_once(act: Act) -> None:
    meter = Allowance()
    async with serving(then=act, meter=meter, timeout_s=0.15) as (engine, server):
        response = await engine.complete(QUESTION)
    assert (response.text, response.error, response.attempts) == (None, "timeout", 2)
    assert meter.admitted == 2 >= len(server.bodies), "one that was given up before it arrived is paid for too"
    assert response.seconds > 0.1


@pytest.mark.parametrize(
    "act",
    [
        on.sends('{"choices": [{"message": {"con'),
        on.sends(HTML, content_type="text/html"),
        on.sends("data: {}\n\n", content_type="text/event-stream"),
        on.says({"choices": []}),
        on.says(on.completion(None)),
        on.sends(""),
    ],
)
async def test_what_is_no_completion_is_malformed_and_asked_again_once(act: Act) -> None:
    response, paid = await ask(then=act)
    assert (response.text, response.error, paid) == (None, "malformed", 2)
    once, paid = await ask(act)
    assert (once.error, paid) == (None, 2)


async def test_a_cut_answer_keeps_its_text_and_says_so() -> None:
    all_used = {**on.completion("The answ", "length"), "usage": {"prompt_tokens": 11, "completion_tokens": 5}}
    response, _ = await ask(on.says(all_used))
    assert (response.text, response.finish_reason, response.error) == ("The answ", "length", None)


async def test_a_filtered_answer_is_missing_and_not_asked_again() -> None:
    response, paid = await ask(on.says(on.completion("", "content_filter")))
    assert (response.text, response.error, paid) == (None, "content_filter", 1)


async def test_a_server_that_wants_the_new_name_of_the_token_limit_gets_it_from_then_on() -> None:
    async def reasoning(request: Any, body: dict[str, Any]) -> Any:
        if "max_tokens" in body:
            return await on.fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.")(
                request, body
            )
        return await on.echoes(request, body)

    meter = Allowance()
    async with serving(then=reasoning, meter=meter, max_attempts=1) as (engine, server):
        first = await engine.complete(QUESTION)
        second = await engine.complete(QUESTION)
    assert (first.error, first.attempts) == (None, 2)
    assert (second.error, second.attempts) == (None, 1)
    assert meter.admitted == 3
    assert json.loads(server.bodies[-1])["max_completion_tokens"] == 5


async def test_no_more_requests_are_open_than_allowed() -> None:
    async with serving(then=on.slow, max_in_flight=5) as (engine, server):
        server.meet = 5
        await asyncio.gather(*(engine.complete(QUESTION) for _ in range(20)))
    assert server.widest == 5


async def test_a_server_that_dies_in_the_middle_ends_the_run_instead_of_failing_every_request() -> None:
    async with serving(max_in_flight=4, breaker_s=0.05, max_attempts=2) as (engine, server):
        assert (await engine.complete(QUESTION)).error is None
        await server.stop()
        kinds: list[object] = []

        async def ask_on() -> None:
            while len(kinds) < 1000:
                kinds.append((await engine.complete(QUESTION)).error)

        with pytest.raises(EngineDown, match=r"in a row failed.*connection") as caught:
            await ask_on()
        assert set(kinds) == {"connection"}
        assert 7 <= len(kinds) < 100
        assert server.base_url in str(caught.value)
        with pytest.raises(EngineDown):
            await engine.complete(QUESTION)


async def test_a_key_revoked_in_the_middle_ends_the_run_at_once() -> None:
    async with serving(max_in_flight=2, breaker_s=1000) as (engine, server):
        server.key = "another"
        with pytest.raises(EngineDown, match="unauthorized"):
            await asyncio.gather(*(engine.complete(QUESTION) for _ in range(50)))
        assert len(server.bodies) <= 10


async def test_starting_again_after_a_breakdown_tries_again() -> None:
    async with serving(max_in_flight=1, breaker_s=0, max_attempts=1) as (engine, server):
        server.then = on.fails(500)
        with pytest.raises(EngineDown):
            await asyncio.gather(*(engine.complete(QUESTION) for _ in range(20)))
        server.then = on.echoes
        await engine.start()
        assert (await engine.complete(QUESTION)).error is None


async def test_a_connection_the_server_closed_while_idle_costs_no_attempt() -> None:
    server = FaultServer()
    server.keepalive_s = 0.05
    async with server:
        engine = Served(Endpoint(server.base_url))
        await engine.start()
        first = await engine.complete(QUESTION)
        await until(lambda: not server.connections)
        await asyncio.sleep(0.01)
        second = await engine.complete(QUESTION)
        await engine.close()
    assert first.attempts == second.attempts == 1


async def test_the_engine_must_be_started() -> None:
    engine = Served(Endpoint("http://127.0.0.1:9/v1"))
    with pytest.raises(EngineDown, match="start"):
        await engine.complete(QUESTION)
    with pytest.raises(EngineDown, match="start"):
        _ = engine.card
