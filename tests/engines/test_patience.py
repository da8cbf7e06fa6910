"""How long a request waits before it is asked again, and when no more, against a real server."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from defender.errors import EngineDown
from tests.engines import fault_server as on
from tests.engines.test_served import QUESTION, ask, serving


async def test_retry_after_in_seconds_is_waited_for() -> None:
    async with serving(on.fails(429, retry_after="0.3")) as (engine, server):
        response = await engine.complete(QUESTION)
    assert response.error is None
    assert server.times[1] - server.times[0] >= 0.29


async def test_retry_after_as_a_date_is_waited_for() -> None:
    async def busy(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        due = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return await on.fails(429, retry_after=due)(request, body)

    async with serving(busy) as (engine, server):
        await engine.complete(QUESTION)
    assert server.times[1] - server.times[0] >= 0.5


@pytest.mark.parametrize("wanted", ["3600", "86400", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_wait_of_an_hour_is_not_sat_out_and_is_told(wanted: str) -> None:
    response, paid = await ask(then=on.fails(429, retry_after=wanted))
    assert (response.error, paid) == ("rate_limited", 1)
    assert re.match(r"asks to wait \d{4,} s, and 120 s is the longest we wait: HTTP 429", response.detail)


async def test_a_server_that_sends_everybody_away_for_a_day_ends_the_run_and_says_for_how_long() -> None:
    async with serving(max_in_flight=1, breaker_s=1000, then=on.fails(429, retry_after="86400")) as (engine, server):
        with pytest.raises(EngineDown, match="rate_limited: asks to wait 86400 s"):
            await asyncio.gather(*(engine.complete(QUESTION) for _ in range(50)))
        assert len(server.bodies) == 8


@pytest.mark.parametrize("wanted", ["-5", "nan", "soon", "0", "1e9", "Thu, 31 Dec 2015 00:00:30 GMT"])
async def test_a_wait_that_says_nothing_is_our_own_and_never_none(wanted: str) -> None:
    act = on.fails(503, retry_after=wanted)
    async with serving(act, act, backoff_s=0.1) as (engine, server):
        response = await engine.complete(QUESTION)
    assert (response.error, response.attempts) == (None, 3)
    assert server.times[2] - server.times[0] >= 0.14


@pytest.mark.parametrize(("status", "patience"), [(503, 1), (429, 4)])
async def test_without_retry_after_the_waits_grow_and_a_rate_limit_is_waited_for_longer(
    status: int, patience: int
) -> None:
    async with serving(then=on.fails(status), backoff_s=0.02, max_attempts=4) as (engine, server):
        await engine.complete(QUESTION)
    waits = [later - earlier for earlier, later in pairwise(server.times)]
    assert len(waits) == 3
    assert all(wait >= 0.5 * patience * 0.02 * 2**step * 0.9 for step, wait in enumerate(waits))
