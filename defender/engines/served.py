"""Any OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, a hosted API.

The client's own retries are off: the meter admits every wire attempt, so retrying is done here.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAioHttpClient

from defender.contracts import Meter
from defender.costs import Unmetered
from defender.engines import wire
from defender.engines.breaker import Breaker
from defender.engines.listing import learn
from defender.errors import ConfigError, EngineDown
from defender.records import ErrorKind, ModelCard, Request, Response, Sampling

# A failure of the whole server may pass; a hang or a garbled answer is asked again once, since it costs as much.
_TRIES: Mapping[ErrorKind, int | None] = MappingProxyType(
    {"connection": None, "rate_limited": None, "server_error": None, "timeout": 2, "malformed": 2}
)
_LONGEST_BACKOFF_S = 30.0
# Rate limits are counted over minutes, so a limit without Retry-After is waited for longer than a hiccup.
_RATE_LIMIT_PATIENCE = 4.0
_LONGEST_RETRY_AFTER_S = 120.0
# vLLM closes idle connections after 5 s; dropping them first saves a paid attempt on a dead one.
_KEEPALIVE_S = 3.0
_PROBE = Request(messages=(("user", "Hi"),), sampling=Sampling(max_tokens=1))


@dataclass(frozen=True)
class Endpoint:
    """Where the model is served, and how patiently to ask.

    Attributes:
        base_url: up to and including ``/v1``.
        model: the served name; "" takes the only one served.
        name: replaces the address in the model card, so that paid answers survive a move to another host or port.
        api_key: the key itself, or "" to read the environment variable ``api_key_env`` (absent: no key needed).
        timeout_s: seconds for one attempt, connecting included.
        max_in_flight: wire requests open at once.
        max_attempts: attempts for one request while the failure may pass.
        backoff_s: first wait before a retry; doubles, with jitter, unless the server says how long.
        breaker_s: how long every request must have failed before the endpoint counts as down.
        extra_body: fields added to every request body; they change answers, so they enter the model card.
    """

    base_url: str
    model: str = ""
    name: str = ""
    api_key: str = field(default="", repr=False)
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 120.0
    max_in_flight: int = 64
    max_attempts: int = 5
    backoff_s: float = 0.5
    breaker_s: float = 30.0
    extra_body: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _is_address(self.base_url):
            raise ConfigError(f"base_url: expected an address such as http://localhost:8000/v1, got {self.base_url!r}")
        if self.max_in_flight < 1 or self.max_attempts < 1 or self.timeout_s <= 0:
            raise ConfigError(
                f"endpoint {self.base_url}: expected max_in_flight and max_attempts of at least 1 and a timeout_s "
                f"above 0, got {self.max_in_flight}, {self.max_attempts} and {self.timeout_s}"
            )
        taken = sorted(wire.RESERVED & set(self.extra_body))
        if taken:
            raise ConfigError(
                f"endpoint {self.base_url}: extra_body may not set {', '.join(taken)}; "
                "those come from the benchmark's sampling and the prompt"
            )

    @property
    def url(self) -> str:
        """The address in one spelling: lower-case host, no credentials, no trailing slash."""
        url = urlsplit(self.base_url)
        host = url.netloc.rpartition("@")[2].lower()
        return f"{url.scheme}://{host}{url.path.rstrip('/')}"

    @property
    def key(self) -> str:
        """The API key; servers without keys accept any."""
        return (self.api_key or os.environ.get(self.api_key_env, "")).strip() or "none"


class Served:
    """The engine over one `Endpoint`. Listing the served models is free; every chat completion is admitted."""

    def __init__(self, endpoint: Endpoint, meter: Meter | None = None) -> None:
        self._endpoint = endpoint
        self._meter = meter or Unmetered()
        self._client: AsyncOpenAI | None = None
        self._card: ModelCard | None = None
        self._model = endpoint.model
        self._limit: wire.LimitField = "max_tokens"
        self._slots = asyncio.Semaphore(endpoint.max_in_flight)
        self._breaker = self._new_breaker()
        self._down = ""
        self._jitter = random.Random()

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""
        if self._card is None:
            raise EngineDown(f"{self._endpoint.url}: not started; the model card is known after start()")
        return self._card

    async def start(self) -> None:
        """Reach the endpoint and learn its card; after a breakdown, try again.

        Raises:
            EngineDown: dead endpoint, wrong key, unknown model, or no OpenAI-compatible server.
        """
        if self._card is not None and self._client is not None and not self._down:
            return
        self._down, self._breaker = "", self._new_breaker()
        if self._client is None:
            self._client = self._connect()
        try:
            found = await learn(self._client, self._endpoint.url, self._endpoint.model, self._endpoint.api_key_env)
            self._model = found.model
            if not found.seen:
                await self._probe()
        except BaseException:
            await self.close()
            raise
        where = self._endpoint.name or self._endpoint.url
        extra = wire.canonical(self._endpoint.extra_body) if self._endpoint.extra_body else ""
        self._card = ModelCard(found.model, found.revision, found.server, f"{where} {extra}".strip(), found.context)

    async def complete(self, request: Request) -> Response:
        """Answer one request; a request that cannot be answered is a `Response` with its error kind.

        A request keeps its place in flight while it waits to be asked again: a failing server is asked less.

        Raises:
            EngineDown: so many requests failed in a row that none can succeed.
        """
        async with self._slots:
            for attempt in count(1):
                client = self._live()
                limit = self._limit
                try:
                    body = wire.encode(request, self._model, limit, self._endpoint.extra_body)
                except ValueError as error:
                    return Response(
                        None, error="bad_request", detail=f"response_format is not JSON: {error}", attempts=0
                    )
                async with self._meter.admit(request, len(body)) as bill:
                    response, asked = await self._send(client, body)
                    bill.settle(response)
                response = wire.whole(response, request.sampling.max_tokens)
                if limit == "max_tokens" and _wants_new_limit(response):
                    self._limit = "max_completion_tokens"
                    continue
                wait = self._wait(response, attempt, asked)
                if wait is None:
                    break
                await asyncio.sleep(wait)
        seen = self._breaker.note(response, asyncio.get_running_loop().time())
        if seen is not None:
            self._down = seen
            raise self._is_down()
        return replace(response, attempts=attempt)

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connect(self) -> AsyncOpenAI:
        endpoint = self._endpoint
        if not endpoint.key.isascii():
            raise ConfigError(
                f"{endpoint.url}: the key in {endpoint.api_key_env} has characters no key has; set it anew"
            )
        timeout = httpx.Timeout(endpoint.timeout_s)
        limits = httpx.Limits(max_connections=endpoint.max_in_flight, keepalive_expiry=_KEEPALIVE_S)
        return AsyncOpenAI(
            api_key=endpoint.key,
            base_url=endpoint.url,
            max_retries=0,
            timeout=timeout,
            http_client=DefaultAioHttpClient(timeout=timeout, limits=limits, follow_redirects=False),
        )

    def _new_breaker(self) -> Breaker:
        return Breaker(max(8, self._endpoint.max_in_flight), self._endpoint.breaker_s)

    def _live(self) -> AsyncOpenAI:
        if self._down:
            raise self._is_down()
        if self._client is None:
            raise EngineDown(f"{self._endpoint.url}: not started, or closed; call start() first")
        return self._client

    def _is_down(self) -> EngineDown:
        return EngineDown(
            f"{self._endpoint.url}: {self._down}. Check the server, then run the same command again: "
            "what was answered so far is kept."
        )

    async def _probe(self) -> None:
        """Ask for one token where the server does not list its models."""
        response = await self.complete(_PROBE)
        if response.error is not None:
            raise EngineDown(
                f"{self._endpoint.url}: does not list its models and answered a one-token request for model "
                f"'{self._model}' with {response.error}: {response.detail}. Check base_url, model and key "
                f"({self._endpoint.api_key_env}), then run: defender doctor"
            )

    async def _send(self, client: AsyncOpenAI, body: bytes) -> tuple[Response, float | None]:
        """Make one wire attempt; return what came and the seconds the server asks to wait, if it says."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        asked = None
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                answer = await client.post("/chat/completions", cast_to=httpx.Response, content=body)
            response = wire.decode(answer.content, answer.headers.get("content-type", ""))
        except APIStatusError as error:
            response = wire.refused(error.status_code, error.response.content)
            asked = wire.retry_after(error.response.headers.get("retry-after"), datetime.now(UTC))
        except (APIConnectionError, TimeoutError) as error:
            response = _unreached(error, self._endpoint.timeout_s)
        return replace(response, seconds=loop.time() - begun), asked

    def _wait(self, response: Response, attempt: int, asked: float | None) -> float | None:
        """Return the seconds to wait before the next attempt, or None when this response is the last word."""
        if response.error is None or response.error not in _TRIES:
            return None
        tries = _TRIES[response.error] or self._endpoint.max_attempts
        if attempt >= min(tries, self._endpoint.max_attempts):
            return None
        if asked is not None:
            return asked if asked <= _LONGEST_RETRY_AFTER_S else None
        first = self._endpoint.backoff_s * (_RATE_LIMIT_PATIENCE if response.error == "rate_limited" else 1.0)
        backoff = min(first * 2.0 ** (attempt - 1), _LONGEST_BACKOFF_S)
        return backoff * self._jitter.uniform(0.5, 1.0)


def _is_address(base_url: str) -> bool:
    try:
        url = urlsplit(base_url)
        return url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def _wants_new_limit(response: Response) -> bool:
    """Tell whether the server refused ``max_tokens`` for its newer name."""
    return response.error == "bad_request" and "max_completion_tokens" in response.detail


def _unreached(error: BaseException, timeout_s: float) -> Response:
    """Return the response for an attempt without HTTP answer; the transport's own exception tells which kind.

    The aiohttp transport reports a closed connection as a connect timeout: only Python's own TimeoutError is believed.
    """
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return Response(None, error="timeout", detail=f"no answer within {timeout_s:g} s")
    root = causes[-1]
    return Response(None, error="connection", detail=f"{type(root).__name__}: {root}")
