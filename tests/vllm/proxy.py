"""A server between a judge and vLLM that keeps what passes, and may change what is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any

from aiohttp import ClientSession, web

Change = Callable[[dict[str, Any]], dict[str, Any]]


def unchanged(body: dict[str, Any]) -> dict[str, Any]:
    return body


def as_regex(body: dict[str, Any]) -> dict[str, Any]:
    """Ask for a body's JSON schema by a regular expression: a small model then ends its verdict, and ends it valid."""
    schema = body.pop("response_format")["json_schema"]["schema"]
    fields = []
    for name, field in schema["properties"].items():
        values = [json.dumps(value) for value in field.get("enum", ())]
        fields.append(f'"{name}": ' + (f"({'|'.join(values)})" if values else '"[a-z ]{1,20}"'))
    return {**body, "structured_outputs": {"regex": r"\{" + ", ".join(fields) + r"\}"}}


class Proxy:
    """Passes everything on to ``url`` (…/v1).

    Attributes:
        bodies: the chat completions asked for, as they came. ``replies``: the texts that answered them.
    """

    def __init__(self, url: str, change: Change = unchanged) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.replies: list[str] = []
        self.base_url = ""
        self._host = url.removesuffix("/v1")
        self._change = change
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Proxy:
        self._session = ClientSession()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked = request.path.endswith("/chat/completions")  # templates are looked at elsewhere, for nothing
        if asked:
            body: dict[str, Any] = json.loads(raw)
            self.bodies.append(body)
            raw = json.dumps(self._change(dict(body))).encode()
        assert self._session is not None
        headers = {"Content-Type": "application/json"}
        async with self._session.request(
            request.method, self._host + request.path_qs, data=raw or None, headers=headers
        ) as answer:
            content = await answer.read()
            if asked and answer.status == 200:
                self.replies.append(json.loads(content)["choices"][0]["message"]["content"])
            return web.Response(body=content, status=answer.status, content_type=answer.content_type)
