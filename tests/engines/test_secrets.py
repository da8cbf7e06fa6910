"""The key and what an address may give away: in no message, and in nothing that is kept."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from defender.engines.endpoint import Endpoint, Server
from defender.engines.served import Served
from defender.errors import ConfigError, EngineDown
from tests.engines import fault_server as on
from tests.engines.fault_server import FaultServer
from tests.engines.test_served import QUESTION, serving

KEY = "sk-s3cr3t-0123456789"


async def repeats(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Refuse the key and say which it was, as some gateways do."""
    return await on.fails(500, f"Incorrect key: {request.headers['Authorization']}")(request, body)


async def repeats_in_no_json(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return await on.sends(f"<html>{request.headers['Authorization']}</html>", content_type="text/html")(request, body)


@pytest.mark.parametrize("act", [repeats, repeats_in_no_json])
async def test_a_key_that_the_server_repeats_is_not_kept(act: on.Act) -> None:
    async with serving(then=act, api_key=KEY, max_attempts=1) as (engine, _):
        response = await engine.complete(QUESTION)
    assert response.error is not None
    assert "s3cr3t" not in response.detail
    assert "Bearer (the key)" in response.detail


async def test_a_key_that_the_listing_repeats_is_not_told() -> None:
    async with FaultServer(listing=repeats) as server:
        with pytest.raises(EngineDown, match=r"Bearer \(the key\)") as caught:
            await Served(Endpoint(server.base_url, api_key=KEY)).start()
    assert "s3cr3t" not in str(caught.value)


async def test_a_word_that_stands_for_no_key_stays_in_what_servers_say() -> None:
    async with serving(then=on.fails(500, "none left"), max_attempts=1, api_key="none") as (engine, _):
        assert "none left" in (await engine.complete(QUESTION)).detail


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:s3cr3t@h/v1", "http://s3cr3t@h/v1", "http://h/v1?key=s3cr3t", "http://h/v1#s3cr3t",
        "http://ann:80/s3cr3t@h/v1", "ann:s3cr3t@h/v1", "http://ann:s3cr3t@h:port/v1", "http://ann:s3?cr3t@[::1/v1", "http://h:x/v1?key=s3cr3t",
    ],
)  # fmt: skip
def test_an_address_with_a_secret_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url: expected an address") as caught:
        Server(url)
    assert "cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h /v1", "http://h/v1\nX", "unix:///tmp/socket", "h:8000/v1", "http:///v1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address such as"):
        Server(url)
