"""A real HTTP server on a free local port that speaks chat completions and misbehaves on request."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Act = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


async def until(what: Callable[[], bool]) -> None:
    """Wait for something to become so; fails after minutes, by turns and not by the clock."""
    for _ in range(12_000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it took too long")


def completion(text: str | None = "Fine.", finish: str = "stop", **message: object) -> dict[str, Any]:
    """Return a chat completion as a server would send it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-2024",
        "system_fingerprint": "fp_7",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


def says(body: Mapping[str, Any], status: int = 200) -> Act:
    """Answer with this JSON."""
    return sends(json.dumps(body), status=status)


def sends(text: str, status: int = 200, content_type: str = "application/json", **headers: str) -> Act:
    """Answer with these bytes, right or wrong; header names are written with underscores."""

    async def act(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(text=text, status=status, content_type=content_type, headers=named)

    return act


def fails(status: int, message: str = "no", **headers: str) -> Act:
    """Answer with an error status and OpenAI's error body."""
    return sends(json.dumps({"error": {"message": message, "type": "x", "code": None}}), status, **headers)


async def resets(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Drop the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Accept and never answer."""
    await asyncio.sleep(3600)
    return web.Response()


async def drips(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Send a byte now and then, never finishing."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def echoes(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Answer with the last message, and with log-probabilities where asked for; over-long prompts are refused."""
    question = body["messages"][-1]["content"]
    if len(question) > 5000:
        return await fails(400, "maximum context length is 1024 tokens")(request, body)
    answer = completion(f"You asked: {question}")
    if body.get("logprobs"):
        top = [{"token": "B", "logprob": math.log(0.2)}, {"token": " A", "logprob": math.log(0.7)}]
        answer["choices"][0]["logprobs"] = {"content": [{"token": " A", "logprob": -0.36, "top_logprobs": top}]}
    return web.json_response(answer)


async def slow(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Take a moment for the same answer."""
    await asyncio.sleep(0.02)
    return await echoes(request, body)


SYSTEM_REFUSAL = {"error": {"message": "System role not supported", "type": "BadRequestError", "code": 400}}


def roleless(then: Act) -> Act:
    """Answer as ``then``, but refuse a system message as Gemma's and Mistral's templates do."""

    async def act(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await (says(SYSTEM_REFUSAL, status=400) if _has_system(body["messages"]) else then)(request, body)

    return act


def tokenizes_roleless(messages: list[dict[str, str]]) -> int | web.Response:
    """Tokenize as vLLM does with such a template."""
    return web.json_response(SYSTEM_REFUSAL, status=400) if _has_system(messages) else words(messages)


def _has_system(messages: list[dict[str, str]]) -> bool:
    return any(message["role"] == "system" for message in messages)


def words(messages: list[dict[str, str]]) -> int:
    """Tokenize with a template that shows everything."""
    return sum(len(message["content"].split()) for message in messages)


class FaultServer:
    """Plays ``acts`` in order, then ``then`` for ever; keeps what was asked.

    Attributes:
        bodies: raw bodies of the chat completions received. ``times``: when, on the loop's clock.
        metrics: the text of GET /metrics.
        template: what a conversation becomes, in tokens; None where POST /tokenize is unknown.
        listing: what GET /models answers. ``key``: the only key accepted, "" for any.
        widest: most chat completions open at once. ``meet``: nothing is answered before so many were.
        keepalive_s: when an idle connection is closed.
    """

    def __init__(self, *acts: Act, then: Act = echoes, key: str = "", listing: Act | None = None) -> None:
        self.acts = deque(acts)
        self.then = then
        self.key = key
        self.keepalive_s = 75.0
        self.listing = listing or says(models("tiny"))
        self.template: Callable[[list[dict[str, str]]], int | web.Response] | None = words
        self.metrics = ""
        self.bodies: list[bytes] = []
        self.times: list[float] = []
        self.widest = 0
        self.meet = 0
        self._met = asyncio.Event()
        self._open = 0
        self._runner: web.AppRunner | None = None
        self._seat: socket.socket | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/version", self._version)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, keepalive_timeout=self.keepalive_s)
        await self._runner.setup()
        port = self._seated()
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        self.base_url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._seat is not None:
            self._seat.close()
            self._seat = None

    def _seated(self) -> int:
        """Return a port that stays ours while nobody listens there: else others could take it while we are away."""
        if self._seat is None:
            self._seat = socket.socket()
            self._seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._seat.bind(("127.0.0.1", 0))
        return int(self._seat.getsockname()[1])

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._runner.server.connections) if self._runner is not None and self._runner.server else 0

    async def start(self) -> None:
        """Come back after ``stop``, where it was."""
        await self.__aenter__()

    async def stop(self) -> None:
        """Go away, as a killed server does."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        if self._strange(request):
            return await fails(401, "invalid key")(request, {})
        return await self.listing(request, {})

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"version": "0.99.1"})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.metrics)

    async def _tokenize(self, request: web.Request) -> web.StreamResponse:
        if self.template is None:
            raise web.HTTPNotFound
        count = self.template((await request.json())["messages"])
        return web.json_response({"count": count, "tokens": []}) if isinstance(count, int) else count

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.times.append(asyncio.get_running_loop().time())
        if self._strange(request):
            return await fails(401, "invalid key")(request, {})
        act = self.acts.popleft() if self.acts else self.then
        self._open += 1
        self.widest = max(self.widest, self._open)
        if self.widest >= self.meet:
            self._met.set()
        try:
            await self._met.wait()
            return await act(request, json.loads(self.bodies[-1]))
        finally:
            self._open -= 1

    def _strange(self, request: web.Request) -> bool:
        return bool(self.key) and request.headers.get("Authorization") != f"Bearer {self.key}"


def models(*names: str, **fields: object) -> dict[str, Any]:
    """Return a listing of models."""
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 5, **fields} for name in names]}
