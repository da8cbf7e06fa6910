from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from defender.engines.endpoint import Endpoint
from defender.engines.served import Served
from defender.errors import EngineDown
from defender.records import Request, Sampling
from tests.contracts.engine import Allowance
from tests.engines import fault_server as on
from tests.engines.fault_server import FaultServer, words

QUESTION = Request((("system", "Be fair."), ("user", "2+2?")), Sampling(max_tokens=5))
ROLELESS = on.roleless(on.echoes)


def drops(messages: list[dict[str, str]]) -> int:
    """Tokenize with a template that looks at user messages only."""
    return words([message for message in messages if message["role"] == "user"])


def fills(messages: list[dict[str, str]]) -> int:
    """Tokenize with a template that has a long system text of its own where there is none."""
    return words(messages) + (0 if messages[0]["role"] == "system" else 30)


@asynccontextmanager
async def started(server: FaultServer, role: Any = "auto", meter: Allowance | None = None) -> AsyncIterator[Served]:
    async with server:
        engine = Served(Endpoint(server.base_url, system_role=role, backoff_s=0.01), meter)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.close()


async def test_a_template_that_refuses_system_messages_is_found_for_nothing_and_the_text_goes_to_the_user() -> None:
    server, meter = FaultServer(then=ROLELESS), Allowance()
    server.template = on.tokenizes_roleless
    async with started(server, meter=meter) as engine:
        assert meter.admitted == 0
        assert engine.card.system_role == "user"
        response = await engine.complete(QUESTION)
    assert response.text == "You asked: Be fair.\n\n2+2?"
    assert json.loads(server.bodies[0])["messages"] == [{"role": "user", "content": "Be fair.\n\n2+2?"}]


async def test_a_template_that_drops_system_messages_without_a_word_is_found_too() -> None:
    server = FaultServer()
    server.template = drops
    async with started(server) as engine:
        assert engine.card.system_role == "user"


@pytest.mark.parametrize("template", [words, fills])
async def test_a_template_that_shows_the_system_text_gets_it_in_its_own_message(template: Any) -> None:
    server = FaultServer()
    server.template = template
    async with started(server) as engine:
        assert engine.card.system_role == ""
        await engine.complete(QUESTION)
    assert json.loads(server.bodies[0])["messages"][0] == {"role": "system", "content": "Be fair."}


async def test_where_the_server_does_not_tell_for_nothing_two_tokens_at_most_are_paid_to_find_out() -> None:
    server, meter = FaultServer(then=ROLELESS), Allowance()
    server.template = None
    async with started(server, meter=meter) as engine:
        assert engine.card.system_role == "user"
        assert (await engine.complete(QUESTION)).error is None
    assert meter.admitted == len(server.bodies) == 3
    assert [json.loads(body)["max_tokens"] for body in server.bodies] == [1, 1, 5]


async def test_where_the_server_takes_it_one_token_is_paid() -> None:
    server, meter = FaultServer(), Allowance()
    server.template = None
    async with started(server, meter=meter) as engine:
        assert engine.card.system_role == ""
    assert meter.admitted == len(server.bodies) == 1


@pytest.mark.parametrize("role", ["system", "user"])
async def test_what_is_configured_is_not_asked(role: Any) -> None:
    server, meter = FaultServer(), Allowance()
    async with started(server, role, meter) as engine:
        assert engine.card.system_role == ("user" if role == "user" else "")
    assert meter.admitted == len(server.bodies) == 0


async def test_where_the_text_travels_is_part_of_what_is_paid_for() -> None:
    cards = []
    async with FaultServer() as server:
        for role in ("system", "user"):
            engine = Served(Endpoint(server.base_url, name="lab", system_role=role))
            await engine.start()
            cards.append(engine.card)
            await engine.close()
    assert QUESTION.key(cards[0].fingerprint) != QUESTION.key(cards[1].fingerprint)


async def test_a_template_that_refuses_everything_is_no_reason_to_move_the_text() -> None:
    server = FaultServer(then=on.fails(400, "unknown role in chat template"))
    server.template = None
    with pytest.raises(EngineDown, match="chat template"):
        async with started(server):
            pass


async def test_an_outage_while_asking_is_not_taken_for_a_refusal() -> None:
    server = FaultServer(on.fails(500), on.fails(503), then=ROLELESS)
    server.template = None
    async with started(server) as engine:
        assert engine.card.system_role == "user"
