from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from defender.engines.served import Endpoint, Served
from defender.errors import ConfigError, EngineDown
from defender.records import ModelCard, Request, Sampling
from tests.contracts.engine import Allowance
from tests.engines import fault_server as on
from tests.engines.fault_server import Act, FaultServer, models

QUESTION = Request((("user", "2+2?"),), Sampling(max_tokens=5))


async def card_from(listing: Act, **endpoint: Any) -> ModelCard:
    async with FaultServer(listing=listing) as server:
        return await card_at(server.base_url, **endpoint)


async def card_at(base_url: str, **endpoint: Any) -> ModelCard:
    engine = Served(Endpoint(base_url, **{"timeout_s": 60.0, "backoff_s": 0.01, **endpoint}))
    try:
        await engine.start()
        return engine.card
    finally:
        await engine.close()


async def refusal(listing: Act, **endpoint: Any) -> str:
    with pytest.raises(EngineDown) as caught:
        await card_from(listing, **endpoint)
    return str(caught.value)


async def test_a_dead_endpoint_is_named_with_what_was_seen_and_what_to_run() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(EngineDown, match="Connect") as caught:
            await card_at(dead)
    assert dead in str(caught.value)
    assert "defender doctor" in str(caught.value)


async def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(EngineDown, match=r"no-such-host\.invalid"):
        await card_at("http://no-such-host.invalid/v1")


async def test_a_wrong_key_names_the_variable_and_never_the_key() -> None:
    async with FaultServer(key="right") as server:
        with pytest.raises(EngineDown, match="TEAM_KEY") as caught:
            await card_at(server.base_url, api_key="secret-123", api_key_env="TEAM_KEY")
    assert "401" in str(caught.value)
    assert "secret-123" not in str(caught.value)
    assert "secret-123" not in repr(Endpoint("http://x/v1", api_key="secret-123"))


async def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", "right\n")
    async with FaultServer(key="right") as server:
        assert (await card_at(server.base_url, api_key_env="TEAM_KEY")).model == "tiny"


async def test_a_model_that_is_not_served_lists_those_that_are() -> None:
    message = await refusal(on.says(models("alpha", "beta")), model="gamma")
    assert "'gamma' is not served" in message
    assert "alpha, beta" in message


async def test_several_models_and_none_named_lists_them() -> None:
    assert "alpha, beta" in await refusal(on.says(models("beta", "alpha")))


async def test_the_only_model_served_is_taken() -> None:
    assert (await card_from(on.says(models("alpha")))).model == "alpha"


async def test_a_web_page_is_no_server_and_the_missing_v1_is_asked_about() -> None:
    message = await refusal(on.sends("<html>Welcome</html>", content_type="text/html"))
    assert "text/html" in message
    assert "Welcome" in message
    assert "/v1" in message


@pytest.mark.parametrize("body", [[], {"data": None}, {"models": []}])
async def test_json_that_is_no_listing_is_no_server(body: Any) -> None:
    assert "GET /models" in await refusal(on.says(body), model="tiny")


async def test_a_server_that_is_still_starting_is_said_to_be() -> None:
    assert "503" in await refusal(on.fails(503, "loading"))


async def test_a_card_holds_only_what_survives_a_restart_on_another_port() -> None:
    first = await card_from(on.says(models("m", owned_by="vllm", root="org/m", created=1)), name="lab")
    again = await card_from(on.says(models("m", owned_by="vllm", root="org/m", created=2)), name="lab")
    assert first == again == ModelCard("m", "org/m", "vllm 0.99.1", "lab")


async def test_the_context_a_server_lists_is_in_the_card_and_not_in_its_fingerprint() -> None:
    long, short, odd = [
        await card_from(on.says(models("m", owned_by="vllm", max_model_len=length)), name="lab")
        for length in (4096, 1024, "1024")
    ]
    assert (long.context, short.context, odd.context) == (4096, 1024, None)
    assert long.fingerprint == short.fingerprint == odd.fingerprint


async def test_without_a_name_the_address_is_in_the_card_in_one_spelling() -> None:
    async with FaultServer() as server:
        port = server.base_url.split(":")[2].split("/")[0]
        spellings = [f"http://127.0.0.1:{port}/v1", f"HTTP://127.0.0.1:{port}/v1/"]
        cards = [await card_at(base_url) for base_url in spellings]
    assert cards[0] == cards[1] == ModelCard("tiny", endpoint=spellings[0])


def test_an_ipv6_address_keeps_its_brackets() -> None:
    assert Endpoint("http://[::1]:8000/v1/").url == "http://[::1]:8000/v1"


async def test_an_extra_body_changes_answers_so_it_changes_the_fingerprint_and_is_sent() -> None:
    thinking = {"chat_template_kwargs": {"enable_thinking": False}}
    async with FaultServer() as server:
        plain = await card_at(server.base_url)
        engine = Served(Endpoint(server.base_url, extra_body=thinking))
        await engine.start()
        await engine.complete(QUESTION)
        await engine.close()
    assert engine.card.fingerprint != plain.fingerprint
    assert json.loads(server.bodies[0])["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_a_server_without_listing_is_probed_with_one_paid_token(status: int) -> None:
    meter = Allowance()
    async with FaultServer(listing=on.fails(status)) as server:
        engine = Served(Endpoint(server.base_url, model="tiny"), meter)
        await engine.start()
        await engine.start()
        await engine.close()
    assert engine.card.model == "tiny"
    assert meter.admitted == len(server.bodies) == 1
    assert json.loads(server.bodies[0])["max_tokens"] == 1


async def test_a_server_without_listing_needs_the_model_named() -> None:
    assert "name the one to use" in await refusal(on.fails(404))


async def test_a_probe_that_fails_says_how() -> None:
    async with FaultServer(listing=on.fails(404), then=on.fails(404, "no such model")) as server:
        with pytest.raises(EngineDown, match=r"not_found.*no such model"):
            await card_at(server.base_url, model="tiny")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"base_url": "localhost:8000"}, "http://localhost:8000/v1"),
        ({"base_url": "http://localhost:abc/v1"}, "http://localhost:8000/v1"),
        ({"base_url": "http://[::1/v1"}, "http://localhost:8000/v1"),
        ({"base_url": ""}, "http://localhost:8000/v1"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"extra_body": {"temperature": 1}}, "temperature"),
    ],
)
def test_a_wrong_endpoint_is_refused_before_anything_is_sent(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Endpoint(**{"base_url": "http://localhost:1/v1", **settings})


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_server_that_sends_on_is_not_followed_and_says_where_to(status: int) -> None:
    async with FaultServer(listing=on.fails(status, location="https://elsewhere.example/login")) as server:
        with pytest.raises(EngineDown, match=r"sends GET /models on to https://elsewhere\.example/login"):
            await Served(Endpoint(server.base_url)).start()


@pytest.mark.parametrize("end", ["?api-version=2024-10-21", "#models"])
def test_what_stands_behind_the_path_of_an_address_is_refused_not_dropped(end: str) -> None:
    with pytest.raises(ConfigError, match=r"base_url: expected an address and nothing more.*got 'http://h/v1' and"):
        Endpoint(f"http://h/v1{end}")
