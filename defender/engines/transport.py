"""HTTP to one server: pooled connections, one POST an attempt. What it costs is most of what a request costs us.

The ``openai`` package settles who we are (key, organization, project); its request path costs five times the CPU of
this one, which is why the requests themselves do not go through it.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.request import getproxies

import aiohttp
import httpx
from openai import AsyncOpenAI

from defender.records import Response

# vLLM closes idle connections after 5 s; dropping them first saves a paid attempt on a dead one.
KEEPALIVE_S = 3.0
_IDENTITY = ("openai-organization", "openai-project")


class Answer(NamedTuple):
    """What one HTTP attempt brought back."""

    status: int
    raw: bytes
    content_type: str
    retry_after: str | None


class Transport:
    """Posts chat completions to one server. Create it inside the event loop.

    Args:
        client: the server's address and who we are there.
        timeout_s: seconds for one attempt, connecting included.
        connections: the most open at once.
    """

    def __init__(self, client: AsyncOpenAI, timeout_s: float, connections: int) -> None:
        self._url = f"{str(client.base_url).rstrip('/')}/chat/completions"
        self._timeout_s = timeout_s
        secure = self._url.startswith("https:")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections, keepalive_timeout=KEEPALIVE_S, ssl=httpx.create_ssl_context() if secure else True
            ),
            headers={**_identity(client), "Content-Type": "application/json", "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=bool(getproxies()),  # looking for proxies at every request costs more than asking once
        )

    async def post(self, body: bytes) -> Answer:
        """Make one attempt; redirects are answers too.

        Raises:
            TimeoutError: not whole in time. OSError, aiohttp.ClientError: no HTTP answer.
        """
        async with (
            asyncio.timeout(self._timeout_s),
            self._session.post(self._url, data=body, allow_redirects=False) as answer,
        ):
            raw = await answer.read()
            headers = answer.headers
            return Answer(answer.status, raw, headers.get("Content-Type", ""), headers.get("Retry-After"))

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._session.close()


UNREACHED = (OSError, aiohttp.ClientError)
"""What ``Transport.post`` raises where there is no HTTP answer; TimeoutError is an OSError."""


def unreached(error: BaseException, timeout_s: float) -> Response:
    """Return the response for an attempt without HTTP answer."""
    if isinstance(error, TimeoutError):
        return Response(None, error="timeout", detail=f"no answer within {timeout_s:g} s")
    return Response(None, error="connection", detail=f"{type(error).__name__}: {error}")


def _identity(client: AsyncOpenAI) -> dict[str, str]:
    """Return the headers that say who asks; the others say with which program."""
    said = {name: v for name, v in client.default_headers.items() if name.lower() in _IDENTITY and isinstance(v, str)}
    return {**said, **client.auth_headers}
