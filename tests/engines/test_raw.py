"""What no web framework would send: broken encodings, cut bodies, answers that come twice, no HTTP at all."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from defender.engines import transport
from defender.engines.served import Endpoint, Served
from defender.records import Request, Response, Sampling
from tests.contracts.engine import Allowance
from tests.engines.fault_server import completion
from tests.engines.raw_server import RawServer, Say, answer, http

BODY = json.dumps(completion("Fine.")).encode()


def question(number: int) -> Request:
    return Request((("user", f"{number}?"),), Sampling(max_tokens=5))


async def nothing() -> None:
    pass


async def talked(say: Say, *, questions: int = 1, between: Callable[[], Awaitable[object]] = nothing) -> list[Response]:
    """Ask one question after another; every attempt that the server read is paid for once, and no other."""
    meter = Allowance()
    async with RawServer(say) as server:
        engine = Served(
            Endpoint(server.base_url, backoff_s=0.01, timeout_s=60.0, max_in_flight=1, max_attempts=3), meter
        )
        await engine.start()
        said = []
        for number in range(questions):
            said.append(await engine.complete(question(number)))
            await between()
        await engine.close()
        assert meter.admitted == sum(one.attempts for one in said) == len(server.asked)
    return said


def says(raw: bytes, *, then_closes: bool = False) -> Say:
    async def say(writer: asyncio.StreamWriter, _question: str, _number: int) -> None:
        writer.write(raw)
        if then_closes:
            await writer.drain()
            writer.close()

    return say


@pytest.mark.parametrize(
    ("coding", "body"), [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("identity", BODY)]
)
async def test_a_compressed_answer_is_an_answer(coding: str, body: bytes) -> None:
    (said,) = await talked(says(http(body, Content_Encoding=coding)))
    assert (said.text, said.attempts) == ("Fine.", 1)


@pytest.mark.parametrize(
    "raw",
    [
        http(b"no gzip", Content_Encoding="gzip"),
        http(gzip.compress(BODY)[:-12], Content_Encoding="gzip"),
        http(gzip.compress(BODY)[:40], Content_Encoding="gzip"),
        http(BODY, Content_Encoding="br"),
        http(b'{"choices": [{"message": {"content": "\xff\xfe"}, "finish_reason": "stop"}]}'),
        b"SSH-2.0-OpenSSH_9.7\r\n\r\n",
        http(BODY, X_Long="y" * 100_000),
    ],
    ids=["no gzip", "gzip cut at the end", "gzip cut", "no brotli", "no utf-8", "no http", "endless header"],
)
async def test_what_cannot_be_read_is_malformed_missing_and_asked_again_once(raw: bytes) -> None:
    (said,) = await talked(says(raw, then_closes=True))
    assert (said.text, said.error, said.attempts) == (None, "malformed", 2)


@pytest.mark.parametrize(
    "raw",
    [
        http(BODY, Content_Length="", Transfer_Encoding="chunked")[: -len(BODY)] + b"20\r\n" + BODY[:20],
        http(BODY, Content_Length="", Transfer_Encoding="chunked")[: -len(BODY)]
        + f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n",
        http(BODY, Content_Length="2000"),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
    ],
    ids=["chunk cut", "last chunk missing", "body cut", "nothing", "header cut"],
)  # fmt: skip
async def test_an_answer_cut_off_by_a_lost_connection_is_missing_and_asked_again(raw: bytes) -> None:
    """A body that is whole but for the end mark might be a longer one: nothing says that it is not."""
    (said,) = await talked(says(raw, then_closes=True))
    assert (said.text, said.error, said.attempts) == (None, "connection", 3)


async def test_chunks_that_come_one_by_one_are_one_answer() -> None:
    async def say(writer: asyncio.StreamWriter, _question: str, _number: int) -> None:
        writer.write(http(b"", Content_Length="", Transfer_Encoding="chunked"))
        for place in range(0, len(BODY), 40):
            part = BODY[place : place + 40]
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    (said,) = await talked(say)
    assert (said.text, said.attempts) == ("Fine.", 1)


async def test_a_body_without_end_is_malformed_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST", 100_000)

    async def say(writer: asyncio.StreamWriter, _question: str, _number: int) -> None:
        writer.write(http(b"", Content_Length="", Transfer_Encoding="chunked"))
        while not writer.transport.is_closing():
            writer.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
            await writer.drain()

    (said,) = await talked(say)
    assert (said.text, said.error, said.attempts) == (None, "malformed", 2)
    bomb = gzip.compress(b'{"choices": "' + b"a" * 200_000 + b'"}')
    (said,) = await talked(says(http(bomb, Content_Encoding="gzip")))
    assert (said.text, said.error) == (None, "malformed")
    assert "not JSON" in said.detail


@pytest.mark.parametrize("late_s", [0.0, 0.02])
async def test_an_answer_that_comes_twice_is_never_taken_for_the_next_one(late_s: float) -> None:
    twice = asyncio.Event()

    async def say(writer: asyncio.StreamWriter, question: str, _number: int) -> None:
        writer.write(answer(question))
        await writer.drain()
        await asyncio.sleep(late_s)
        writer.write(answer(question))
        twice.set()

    async def heard() -> None:
        await asyncio.wait_for(twice.wait(), 60)
        twice.clear()
        await asyncio.sleep(0.03)  # so that it has arrived

    said = await talked(say, questions=4, between=heard)
    assert [one.text for one in said] == [f"You asked: {number}?" for number in range(4)]


async def test_a_server_that_closes_after_every_answer_costs_no_attempt() -> None:
    async def say(writer: asyncio.StreamWriter, question: str, _number: int) -> None:
        writer.write(answer(question))
        await writer.drain()
        writer.close()

    said = await talked(say, questions=5, between=partial(asyncio.sleep, 0.02))
    assert [(one.text, one.attempts) for one in said] == [(f"You asked: {number}?", 1) for number in range(5)]


async def test_a_server_that_drops_every_second_question_unanswered_is_asked_it_again() -> None:
    async def say(writer: asyncio.StreamWriter, question: str, number: int) -> None:
        if number % 2 == 0:
            writer.transport.abort()
        else:
            writer.write(answer(question))

    said = await talked(say, questions=5)
    assert [one.text for one in said] == [f"You asked: {number}?" for number in range(5)]
    assert sum(one.attempts for one in said) == 9


async def test_what_comes_before_the_answer_is_not_the_answer() -> None:
    async def say(writer: asyncio.StreamWriter, question: str, _number: int) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(question))

    (said,) = await talked(say)
    assert said.text == "You asked: 0?"
