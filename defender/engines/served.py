"""Any OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, a hosted API; one server, or several with the same model.

Retries are made here, not below: the meter admits every wire attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from defender.contracts import Bill, Meter
from defender.costs import Unmetered
from defender.engines import metrics, wire
from defender.engines.breaker import Breaker
from defender.engines.endpoint import Endpoint, Server, SystemRole
from defender.engines.gate import Gate
from defender.engines.lanes import Lane, Lanes
from defender.engines.listing import Listed, Unready, learn, perhaps_v1
from defender.engines.pace import Pace
from defender.engines.patience import Patience, beyond, too_long
from defender.engines.proxy import NAMED
from defender.engines.seating import takes_system
from defender.engines.transport import UNREACHED, Answer, Transport, unreached
from defender.errors import ConfigError, EngineDown
from defender.records import ModelCard, Request, Response, Sampling

__all__ = ["Endpoint", "Served", "Server"]

_OVERLOAD = (429, 503, 529)
_PROBE = Request(messages=(("user", "Hi"),), sampling=Sampling(max_tokens=1))


class Served:
    """The engine over one `Endpoint`. Listing the served models is free; every chat completion is admitted."""

    def __init__(self, endpoint: Endpoint, meter: Meter | None = None) -> None:
        self._endpoint = endpoint
        self._meter = meter or Unmetered()
        self._lanes: Lanes | None = None
        self._found: Listed | None = None
        self._card: ModelCard | None = None
        self._dialect = wire.Dialect(endpoint.model, folded=endpoint.system_role == "user", extra=endpoint.extra_body)
        self._breaker = self._new_breaker()
        self._down = ""
        self._secret = endpoint.key.encode(errors="replace")
        self._patience = Patience(endpoint.max_attempts, endpoint.backoff_s)

    @property
    def card(self) -> ModelCard:
        """Who answers; known after ``start``."""
        if self._card is None:
            raise EngineDown(f"{self._endpoint.url}: not started; the model card is known after start()")
        return self._card

    def seat(self, role: SystemRole) -> None:
        """Say where the system text goes; before ``start``, by who knows it from earlier and need not ask again."""
        self._endpoint = replace(self._endpoint, system_role=role)
        self._dialect = replace(self._dialect, folded=role == "user")

    async def start(self) -> None:
        """Reach the servers and learn their card; after a breakdown, try again.

        A server of several that cannot be reached is looked at again while the others are asked.

        Raises:
            EngineDown: dead endpoint, wrong key, unknown model, no OpenAI-compatible server, or servers that differ.
        """
        if self._card is not None and self._lanes is not None and not self._down and not self._lanes.gone:
            return
        self._down, self._breaker = "", self._new_breaker()
        if self._lanes is None:
            self._lanes = Lanes(
                tuple(self._connect(server) for server in self._endpoint.servers), self._endpoint.breaker_s, self._look
            )
        try:
            await self._learn(self._lanes)
            if self._card is None:
                self._card = await self._introduce(self._lanes)
        except BaseException:
            await self.close()
            raise

    async def complete(self, request: Request) -> Response:
        """Answer one request; a request that cannot be answered is a `Response` with its error kind.

        A request keeps its place in flight while it waits to be asked again: a failing server is asked less. Where
        other servers are up it is asked there instead, at once.

        Raises:
            EngineDown: so many requests failed in a row that none can succeed, or every server is away.
        """
        lanes = self._live()
        tried: list[Lane] = []
        attempt = 0
        lane = await lanes.take()
        begun = asyncio.get_running_loop().time()
        try:
            while True:
                dialect = self._dialect
                try:
                    body = wire.encode(request, dialect)
                except ValueError as error:
                    detail = f"response_format is not JSON: {error}"
                    return Response(None, error="bad_request", detail=detail, attempts=0)
                self._live()
                async with self._meter.admit(request, len(body)) as bill:
                    lane = await self._entered(lanes, lane, tried, bill)
                    attempt += 1
                    response, asked = await self._send(lanes, lane, body, request.sampling.max_tokens)
                    bill.settle(response)
                if dialect.limit == "max_tokens" and wire.wants_new_limit(response):
                    self._dialect = replace(self._dialect, limit="max_completion_tokens")
                    continue
                tried.append(lane)
                wait = self._patience.wait(response, attempt, asked, elsewhere=lanes.others(tried))
                if wait is None:
                    break
                if lane.away or lanes.others(tried):
                    lane = await lanes.exchange(lane, tried)
                else:
                    await asyncio.sleep(wait)
        finally:
            lanes.give(lane)
        now = asyncio.get_running_loop().time()
        seen = self._breaker.note(response, now, begun=begun, final=beyond(asked))
        if seen is not None:
            self._down = f"{seen}; {lanes.seen()}" if len(lanes.lanes) > 1 else seen
            raise self._is_down()
        drawn = request.seed if response.seed is None and response.error is None else response.seed
        return replace(response, attempts=attempt, seed=drawn)

    async def prefix_cache(self) -> tuple[int, int]:
        """Return the prompt tokens that the servers looked up in their prefix caches and found, as far as they say."""
        lanes = [lane for lane in self._lanes.lanes if not lane.away] if self._lanes else []
        told = await asyncio.gather(*(metrics.prefix_cache(lane.client, lane.server.url) for lane in lanes))
        return sum(looked_up for looked_up, _ in told), sum(found for _, found in told)

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            await lanes.close()

    def _connect(self, server: Server) -> Lane:
        endpoint = self._endpoint
        if not endpoint.key.isascii():
            raise ConfigError(
                f"{endpoint.url}: the key in {endpoint.api_key_env} has characters no key has; set it anew"
            )
        most = server.max_in_flight or endpoint.max_in_flight
        pace = Pace(most)
        return Lane(server, Transport(server.url, endpoint.key, endpoint.timeout_s, most), pace, Gate(pace))

    def _new_breaker(self) -> Breaker:
        return Breaker(max(8, self._endpoint.max_in_flight), self._endpoint.breaker_s)

    def _live(self) -> Lanes:
        if self._down:
            raise self._is_down()
        if self._lanes is None:
            raise EngineDown(f"{self._endpoint.url}: not started, or closed; call start() first")
        return self._lanes

    def _is_down(self) -> EngineDown:
        return EngineDown(
            f"{self._endpoint.url}: {self._down}. Check the server, then run the same command again: "
            "what was answered so far is kept."
        )

    async def _learn(self, lanes: Lanes) -> None:
        """Ask every server what it serves; those that cannot say yet are away. Raises EngineDown."""
        seen = await asyncio.gather(*(self._listed(lane) for lane in lanes.lanes), return_exceptions=True)
        for lane, found in zip(lanes.lanes, seen, strict=True):
            if isinstance(found, Unready):
                continue
            if isinstance(found, BaseException):
                raise found
            self._agree(lane, found)
            lane.away = ""
        unready = [(lane, found) for lane, found in zip(lanes.lanes, seen, strict=True) if isinstance(found, Unready)]
        if len(unready) == len(lanes.lanes):
            raise EngineDown("; ".join(str(found) for _, found in unready))
        for lane, found in unready:
            lanes.leave(lane, str(found))

    async def _listed(self, lane: Lane) -> Listed:
        try:
            return await learn(lane.client, lane.server.url, self._endpoint.model, self._endpoint.api_key_env)
        except EngineDown as error:
            said = wire.without(self._secret, str(error).encode(errors="replace")).decode()
            if lane.transport.proxy:
                said += f" It was asked through {lane.transport.proxy}, {NAMED}"
            error.args = (said,)
            raise

    def _agree(self, lane: Lane, found: Listed) -> None:
        """Hold a server's card against the others'. Raises EngineDown with the difference."""
        first = self._found = self._found or found
        if found.same(first):
            return
        raise EngineDown(
            f"{lane.server.url}: serves {found.words()}, but another of the servers given serves {first.words()}; "
            "answers of the two would be mixed. Serve the same model, revision and server version at each, or give one"
        )

    async def _look(self, lane: Lane) -> str:
        """Look at a server that was away; return why it stays so, "" where it is well."""
        try:
            self._agree(lane, await self._listed(lane))
        except EngineDown as reason:
            return str(reason)
        return ""

    async def _introduce(self, lanes: Lanes) -> ModelCard:
        """Return the card, once the model is known; asks for a token where the servers do not tell enough."""
        found = self._found
        assert found is not None, "learned from the servers just before"
        self._dialect = replace(self._dialect, model=found.model)
        if not found.seen:
            await self._probe()
        if self._endpoint.system_role == "auto":
            lane = next(lane for lane in lanes.lanes if not lane.away)
            takes = await takes_system(lane.client, lane.server.url, found.model, self.complete)
            self._dialect = replace(self._dialect, folded=not takes)
        where = self._endpoint.name or self._endpoint.url.replace(", ", " ")
        extra = wire.canonical(self._endpoint.extra_body) if self._endpoint.extra_body else ""
        role = "user" if self._dialect.folded else ""
        return ModelCard(found.model, found.revision, found.server, f"{where} {extra}".strip(), found.context, role)

    async def _probe(self) -> None:
        """Ask for one token where the server does not list its models."""
        response = await self.complete(_PROBE)
        if response.error is not None:
            raise EngineDown(
                f"{self._endpoint.url}: does not list its models and answered a one-token request for model "
                f"'{self._dialect.model}' with {response.error}: {response.detail}. Check base_url, model and key "
                f"({self._endpoint.api_key_env}), then run: defender doctor.{perhaps_v1(self._endpoint.url)}"
            )

    async def _entered(self, lanes: Lanes, lane: Lane, tried: Collection[Lane], bill: Bill) -> Lane:
        """Wait for a turn at a server; where that ends in a breakdown, nothing was sent and nothing is paid."""
        try:
            return await lanes.enter(lane, tried)
        except BaseException:
            bill.void()
            raise

    async def _send(self, lanes: Lanes, lane: Lane, body: bytes, allowed: int) -> tuple[Response, float | None]:
        """Make one wire attempt and leave the server's gate.

        Returns:
            What came, and the seconds the server asks to wait, if it says.
        """
        now = asyncio.get_running_loop().time
        answer: Answer | Exception
        begun = now()
        try:
            answer = await lane.transport.post(body)
        except UNREACHED as error:
            answer = error
        finally:
            full = lane.gate.full
            lane.gate.leave()
        ended = now()
        asked, overload = None, False
        if isinstance(answer, Exception):
            response = unreached(answer, self._endpoint.timeout_s)
            overload = response.error == "timeout"
        elif 200 <= answer.status < 300:
            raw = wire.without(self._secret, answer.raw)
            response = wire.whole(wire.decode(raw, answer.content_type), allowed)
        else:
            response = wire.refused(answer.status, wire.without(self._secret, answer.raw), answer.location)
            asked = wire.retry_after(answer.retry_after, datetime.now(UTC))
            overload = answer.status in _OVERLOAD
        if overload:
            lane.pace.pushed_back(begun, ended)
            if asked is not None and beyond(asked):
                response = replace(response, detail=f"{too_long(asked)}: {response.detail}")
                lanes.shun(lane, response.detail)
            elif asked:
                lanes.pause(lane, asked)
        elif response.error is None:
            lane.pace.answered(begun, ended, full)
        lanes.note(lane, response)
        return replace(response, seconds=ended - begun), asked
