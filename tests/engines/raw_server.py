"""A server that says on the wire exactly what it is told to, also what is no HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tests.engines.fault_server import completion, models

Say = Callable[[asyncio.StreamWriter, str, int], Awaitable[None]]
"""Says something to the n-th question."""


def http(body: bytes | Mapping[str, Any], status: str = "200 OK", **headers: str) -> bytes:
    """Return an HTTP answer; header names are written with underscores, and stand for those that are right."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = {"Content-Type": "application/json", "Content-Length": str(len(raw))}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in said.items() if value), "", ""]
    return "\r\n".join(lines).encode() + raw


def answer(question: str) -> bytes:
    """Return a right answer, one that names its question."""
    return http(completion(f"You asked: {question}"))


class RawServer:
    """Lists a model as any server does; what it says to a question is up to ``say``. ``asked``: the questions read."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._server: asyncio.Server | None = None
        self.asked: list[str] = []
        self.base_url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = head.partition("content-length:")[2].partition("\r\n")[0].strip() or "0"
                body = await reader.readexactly(int(size))
                if head.startswith("get"):
                    writer.write(http(models("tiny")))
                else:
                    self.asked.append(json.loads(body)["messages"][-1]["content"])
                    await self._say(writer, self.asked[-1], len(self.asked))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
