"""HTTP to one server: pooled connections, one POST an attempt. What it costs is most of what a request costs us.

The ``openai`` package settles who we are (key, organization, project); its request path costs five times the CPU of
this one, which is why the requests themselves do not go through it.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any, NamedTuple

import aiohttp
import httpx
from aiohttp.http_exceptions import ContentEncodingError
from openai import AsyncOpenAI, DefaultAioHttpClient

from defender.engines.proxy import proxy_for
from defender.records import Response

# vLLM closes idle connections after 5 s; dropping them first saves a paid attempt on a dead one.
KEEPALIVE_S = 3.0
LONGEST = 2**26
"""Bytes of a body that are read: a thousand times what the longest answer with log-probabilities takes."""
_IDENTITY = ("openai-organization", "openai-project")


class Answer(NamedTuple):
    """What one HTTP attempt brought back."""

    status: int
    raw: bytes
    content_type: str
    retry_after: str | None
    location: str = ""


class Transport:
    """Posts chat completions to one server. Create it inside the event loop.

    Args:
        url: the server's, up to and including ``/v1``.
        key: who we are there.
        timeout_s: seconds for one attempt, connecting included.
        connections: the most open at once.

    Attributes:
        client: asks the server everything else, the same way.
        proxy: what stands between, "" for nothing.

    Raises:
        ConfigError: the environment names a proxy that is not spoken here.
    """

    def __init__(self, url: str, key: str, timeout_s: float, connections: int) -> None:
        proxy = proxy_for(url)
        self.proxy = str(proxy.url) if proxy else ""
        trusted: Any = httpx.create_ssl_context() if url.startswith("https:") else True
        timeout = httpx.Timeout(timeout_s)
        http = DefaultAioHttpClient(
            timeout=timeout, follow_redirects=False, proxy=proxy, trust_env=False, verify=trusted
        )
        self.client = AsyncOpenAI(api_key=key, base_url=url, max_retries=0, timeout=timeout, http_client=http)
        self._url = f"{str(self.client.base_url).rstrip('/')}/chat/completions"
        self._timeout_s = timeout_s
        headers = {**_identity(self.client), "Content-Type": "application/json", "Accept": "application/json"}
        self._through = _through(proxy, headers, tunnel=url.startswith("https:")) if proxy else {}
        self._session = aiohttp.ClientSession(
            connector=_Fresh(limit=connections, keepalive_timeout=KEEPALIVE_S, ssl=trusted),
            headers=None if proxy else headers,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, body: bytes) -> Answer:
        """Make one attempt; redirects are answers too.

        Raises:
            TimeoutError: not whole in time. OSError, aiohttp.ClientError: no HTTP answer.
        """
        async with (
            asyncio.timeout(self._timeout_s),
            self._session.post(self._url, data=body, allow_redirects=False, **self._through) as answer,
        ):
            raw = await _read(answer)
            headers = answer.headers
            kind, again, elsewhere = (headers.get(name) for name in ("Content-Type", "Retry-After", "Location"))
            return Answer(answer.status, raw, kind or "", again, elsewhere or "")

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._session.close()
        await self.client.close()


UNREACHED = (OSError, aiohttp.ClientError)
"""What ``Transport.post`` raises where there is no HTTP answer; TimeoutError is an OSError."""


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return a body, decompressed; one without end is cut, so that it cannot be read as an answer."""
    parts: list[bytes] = []
    size = 0
    while part := await answer.content.readany():
        parts.append(part)
        size += len(part)
        if size > LONGEST:
            answer.close()
            break
    return b"".join(parts)[:LONGEST]


class _Fresh(aiohttp.TCPConnector):
    """Never reuses a connection on which something came unasked: it would be taken for the next answer."""

    async def connect(self, *asked: Any, **named: Any) -> aiohttp.connector.Connection:
        """Return a connection on which nothing waits to be read."""
        while True:
            connection = await super().connect(*asked, **named)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                return connection
            connection.close()


def unreached(error: BaseException, timeout_s: float) -> Response:
    """Return the response for an attempt without HTTP answer; one that cannot be read is ``malformed``."""
    if isinstance(error, TimeoutError):
        return Response(None, error="timeout", detail=f"no answer within {timeout_s:g} s")
    seen = f"{type(error).__name__}: {error}"
    if isinstance(error, aiohttp.ClientResponseError) or isinstance(error.__cause__, ContentEncodingError):
        return Response(None, error="malformed", detail=f"expected HTTP that can be read, got {seen}")
    return Response(None, error="connection", detail=seen)


def _through(proxy: httpx.Proxy, headers: dict[str, str], *, tunnel: bool) -> dict[str, Any]:
    """Return what a request by a proxy is made with; ``headers``: the server's, which a tunnel's proxy never sees.

    The session has none in common: aiohttp would tell those to the proxy too, our key among them.
    """
    user, password = proxy.raw_auth or (b"", b"")
    own = {"Proxy-Authorization": f"Basic {b64encode(user + b':' + password).decode()}"} if user else {}
    if tunnel:
        return {"proxy": str(proxy.url), "headers": headers, "proxy_headers": own}
    return {"proxy": str(proxy.url), "headers": headers | own}


def _identity(client: AsyncOpenAI) -> dict[str, str]:
    """Return the headers that say who asks; the others say with which program."""
    said = {name: v for name, v in client.default_headers.items() if name.lower() in _IDENTITY and isinstance(v, str)}
    return {**said, **client.auth_headers}
