"""A chat-completions server in a thread of the test: answers as it is told, and writes down who asked what, when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from defender.records import Request, Response, Sampling
from tests.engines.fault_server import completion, models


@dataclass(frozen=True)
class Asked:
    """One request that reached the server. ``who`` is the first part of the path it came by."""

    who: str
    request: Request
    at: float


class CountingServer:
    """Use it as a context manager. Every caller has a base URL of its own: ``url("a")``.

    Args:
        answer: the model.
        seconds: how long an answer takes.
    """

    def __init__(self, answer: Callable[[Request], Response | str], seconds: float = 0.0) -> None:
        self.asked: list[Asked] = []
        self.seconds = seconds
        self._answer = answer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._port = 0
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> CountingServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def quiet(self) -> bool:
        """Tell whether nobody is connected: all that was sent by those who are gone has been read."""
        return self._runner is None or self._runner.server is None or not self._runner.server.connections

    def url(self, who: str) -> str:
        return f"http://127.0.0.1:{self._port}/{who}/v1"

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/{who}/v1/models", self._models)
        app.router.add_post("/{who}/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]

    async def _models(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(models("tiny"))

    async def _chat(self, asked: web.Request) -> web.StreamResponse:
        body = await asked.json()
        drawn = Sampling(float(body["temperature"]), body["max_tokens"], top_logprobs=body.get("top_logprobs"))
        request = Request(tuple((m["role"], m["content"]) for m in body["messages"]), drawn, body.get("seed"))
        self.asked.append(Asked(asked.match_info["who"], request, time.monotonic()))
        await asyncio.sleep(self.seconds)
        said = self._answer(request)
        if isinstance(said, str):
            return web.json_response(completion(said))
        if said.error is not None:
            return web.json_response({"error": {"message": said.detail, "type": "x", "code": None}}, status=400)
        answer = completion(said.text, said.finish_reason or "stop")
        top = [{"token": token, "logprob": logprob} for token, logprob in said.first_token or ()]
        if top:
            answer["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return web.json_response(answer)
