"""A whole search against a server that fails three requests of ten, in every way a server can."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from defender.build import prepare
from defender.conclusion import conclude
from defender.config import RunConfig
from defender.confirm import SearchResult
from defender.contracts import Meter
from defender.costs import worst_case
from defender.engines import lanes, wire
from defender.engines.scripted import PlantedBias
from defender.engines.served import Endpoint, Served
from defender.journal import Journal
from defender.ledger import Ledger
from defender.records import Cell, Grade, Request, Response, Sampling
from defender.runs import open_run
from defender.session import Watch, run_search
from defender.store import SqlStore
from tests.engines import fault_server as on
from tests.engines.fault_server import Act, FaultServer
from tests.stored_run import settings, world

SHARE = 0.3


async def cut_gzip(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Send the beginning of a compressed answer, called whole."""
    raw = gzip.compress(json.dumps(on.completion("Answer: A")).encode())[:40]
    return web.Response(body=raw, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


async def cut_chunks(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Send a right answer in chunks, and lose the connection before the last."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(json.dumps(on.completion("Answer: A")).encode())
    return await on.resets(request, body)


def without_usage(text: str | None) -> Act:
    """Answer without saying what was used."""
    return on.says({key: value for key, value in on.completion(text).items() if key != "usage"})


async def out_of_order(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Fail later than those that were asked after it."""
    await asyncio.sleep(0.05)
    return await on.fails(502)(request, body)


FAULTS: tuple[Act, ...] = (
    on.fails(429),
    on.fails(429, retry_after="0.02"),
    on.fails(500),
    on.fails(503),
    on.resets,
    on.resets,
    on.sends('{"choices": [{"message": {"content": "Answer: A'),
    on.says({"choices": []}),
    on.says(on.completion(None)),
    on.sends("", content_type="text/plain"),
    on.sends("<!doctype html><html><body>Answer: A</body></html>", content_type="text/html"),
    on.fails(429, retry_after="Thu, 01 Jan 1970 00:00:00 GMT"),
    on.fails(503, retry_after="-1"),
    cut_gzip,
    cut_chunks,
    on.says({"error": {"message": "no room", "code": 503}}),
    on.says({**on.completion("Answer: A"), "error": {"message": "no room", "code": 503}}),
    on.says(on.completion("Answer: A", "error")),
    on.says(on.completion("Answer: A", "abort")),
    without_usage(None),
    out_of_order,
)


HANGING: tuple[Act, ...] = (on.hangs, on.drips)
"""What takes all of a patience, so that a search has little of it."""

LEFT_HANGING = dict(zip(("I am a rich person.", "I am a poor person."), HANGING, strict=True))
ONE_QUESTION, ONE_PROMPT = "Ben finds 14 apples today and 7 tomorrow.", "You are a helpful assistant. I am a"

NOTHING: tuple[Act, ...] = (
    on.fails(400), on.fails(401), on.fails(403), on.fails(404), on.fails(413), on.fails(422), on.fails(429),
    on.fails(500), on.fails(503), on.fails(302, location="http://127.0.0.1:9/"),
    on.says({"error": {"message": "no room", "code": 503}}),
)  # fmt: skip
"""What costs a request and no token: the server itself said that there is no answer."""

TOLD: tuple[Act, ...] = (
    on.says(on.completion("Fine.")),
    on.says(on.completion("Fine.", "length")),
    on.says(on.completion(None)),
    on.says(on.completion("Fi", "content_filter")),
    on.says(on.completion("Fi", "error")),
)
"""What costs the 14 tokens that the server counted."""

WORST: tuple[Act, ...] = (
    on.resets, on.hangs, on.drips, cut_gzip, cut_chunks, without_usage("Fine."), without_usage(None),
    on.says({"choices": []}), on.sends("<html>Fine.</html>", content_type="text/html"), on.sends("", status=204),
    on.sends('{"choices": [{"message": {"content": "Answer: A'), on.says({"error": "odd"}),
    on.says(on.completion("Fine.") | {"usage": {"prompt_tokens": 11}}),
    on.says(on.completion("Fine.") | {"usage": {"prompt_tokens": "many", "completion_tokens": 3}}),
    on.says(on.completion("Fine.") | {"usage": {"prompt_tokens": 10**30, "completion_tokens": 3}}),
)  # fmt: skip
"""What may have been answered and charged for: all that was reserved stays paid."""

PAID = [*((act, 0) for act in NOTHING), *((act, 14) for act in TOLD), *((act, None) for act in WORST)]


@pytest.mark.parametrize(("act", "tokens"), PAID)
async def test_each_fault_is_one_request_and_the_tokens_the_server_may_charge_for(
    tmp_path: Path, act: Act, tokens: int | None
) -> None:
    request = Request((("user", "2+2?"),), Sampling(max_tokens=3))
    store = SqlStore(tmp_path / "run.db")
    async with FaultServer(act) as server, Journal(store) as journal:
        timeout_s = 0.3 if act in HANGING else 60.0
        engine = Served(Endpoint(server.base_url, timeout_s=timeout_s, max_attempts=1), Ledger(journal))
        await engine.start()
        response = await engine.complete(request)
        await engine.close()
        await journal.flush()
    worst = worst_case(request, None, len(wire.encode(request, wire.Dialect("tiny")))).tokens
    spend = store.spend()
    store.close()
    assert (spend["reserved"], spend["tokens"]) == (1, worst if tokens is None else tokens)
    assert len(server.bodies) == 1 or act in HANGING, "what is given up may not have arrived"
    assert response.text in (None, "Fine.")
    assert (response.text is None) == (response.error is not None)


class Troubled(FaultServer):
    """Answers as the planted world does, but for a share of attempts, the same ones whatever comes first."""

    def __init__(self, answer: PlantedBias, share: float) -> None:
        super().__init__(then=self._play)
        self.share = share
        self.met: Counter[Act] = Counter()
        self._answer = answer
        self._draw = random.Random(7)
        self._attempts: Counter[str] = Counter()

    def _drawn(self, body: dict[str, Any]) -> Act | None:
        """Draw what happens to an attempt: by who asks what for the n-th time, so that it is always the same."""
        said, share = json.dumps(body), self.share
        self._attempts[said] += 1
        if share and self._attempts[said] == 1 and ONE_QUESTION in said and ONE_PROMPT in said:
            return next((act for who, act in LEFT_HANGING.items() if who in said), None)
        draw = random.Random(f"{self._attempts[said]}{said}")
        return draw.choice(FAULTS) if draw.random() < share else None

    async def _play(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if (act := self._drawn(body)) is not None:
            self.met[act] += 1
            return await act(request, body)
        messages = tuple((message["role"], message["content"]) for message in body["messages"])
        sampling = Sampling(body["temperature"], body["max_tokens"])
        said = self._answer(Request(messages, sampling, body.get("seed")))
        text = said.text if isinstance(said, Response) else said
        await asyncio.sleep(self._draw.uniform(0.0, 0.004))  # answers overtake each other
        return await on.says(on.completion(text))(request, body)


async def search(config: RunConfig, folder: Path, *servers: FaultServer, **patience: float) -> SearchResult:
    given = {"timeout_s": 4.0, "backoff_s": 0.002, "max_in_flight": 64} | patience
    prepared = prepare(config)
    run = open_run(config, folder, "one")

    def engine(_: RunConfig, meter: Meter) -> Served:
        return Served(Endpoint([one.base_url for one in servers], name="here", **given), meter)  # type: ignore[arg-type]

    result = await run_search(run, prepared, Watch(), engine)
    conclude(run)
    return result


def graded(folder: Path) -> tuple[dict[Cell, Grade], dict[str, int], list[str]]:
    """Return every grade of a run, its spend, and the errors among what it keeps."""
    store = SqlStore(folder / "one" / "run.db", readonly=True)
    try:
        found: dict[Cell, Grade] = {}
        for candidate in store.notes("candidate"):
            found |= store.grades(candidate)
        return found, dict(store.spend()), [d["reason"] for d in map(dict, store.notes("decision").values())]  # type: ignore[misc]
    finally:
        store.close()


def few(folder: Path) -> RunConfig:
    """Return a small search whose model goes by a name of its own."""
    small = {"items": 5, "candidates": 4, "generation": 4, "finalists": 1}
    model = {"name": "tiny", "base_url": "http://127.0.0.1:9/v1", "alias": "here"}
    config = settings(folder, model=model, search=small, confirm={"items": 5})
    return config.model_copy(update={"benchmarks": ("miniature_utility", "miniature_safety"), "scoring": "answer"})


class Mortal(Troubled):
    """Dies whenever it has been asked so much, and is there again after a while."""

    def __init__(self, answer: PlantedBias, life: int) -> None:
        super().__init__(answer, 0.0)
        self.lives = 0
        self.twice = asyncio.Event()
        self._life = life
        self._left = life
        self._fate: asyncio.Task[None] | None = None

    async def _play(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self._left -= 1
        if self._left == 0:
            self.lives += 1
            self._fate = asyncio.create_task(self._die())
        return await super()._play(request, body)

    async def _die(self) -> None:
        await self.stop()
        if self.lives == 2:
            self.twice.set()
        await asyncio.sleep(0.1)
        self._left = self._life
        await self.start()


class Companion(Troubled):
    """Takes half a second until the mortal one has died twice: most requests find a place there only, however slow
    the machine is.
    """

    def __init__(self, answer: PlantedBias, mortal: Mortal) -> None:
        super().__init__(answer, 0.0)
        self._mortal = mortal

    async def _play(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._mortal.twice.wait(), 0.5)
        return await super()._play(request, body)


async def test_while_a_server_of_two_keeps_dying_and_coming_back_a_search_ends_as_if_it_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "FIRST_LOOK_S", 0.05)
    config = few(tmp_path)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    async with Troubled(world(config), 0.0) as steady:
        quiet = await search(config, calm, steady)
    async with Mortal(world(config), 40) as mortal, Companion(world(config), mortal) as steady:
        loud = await search(config, rough, steady, mortal, timeout_s=60.0, max_in_flight=8)
        arrived = len(steady.bodies) + len(mortal.bodies)
    assert mortal.lives >= 2
    (grades, _, why), (those, spend, whys) = graded(calm), graded(rough)
    assert those == grades
    assert whys == why
    assert (loud.winner, loud.finalists, loud.comparisons) == (quiet.winner, quiet.finalists, quiet.comparisons)
    assert spend["reserved"] == spend["settled"] >= arrived, "knocking at a door that is closed is paid for too"


async def test_under_three_faults_in_ten_a_search_ends_as_if_there_were_none(tmp_path: Path) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    ended: dict[Path, tuple[SearchResult, Troubled, dict[Cell, Grade], dict[str, int], list[str]]] = {}
    for folder, share in ((calm, 0.0), (rough, SHARE)):
        config = few(tmp_path)
        async with Troubled(world(config), share) as server:
            result = await search(config, folder, server)
            ended[folder] = (result, server, *graded(folder))
    (quiet, _, grades, _, why), (loud, troubled, those, spend, whys) = ended[calm], ended[rough]
    assert troubled.met.total() > 0.2 * len(troubled.bodies) > 100, "there was trouble"
    assert troubled.met.keys() == {*FAULTS, *HANGING}
    assert those == grades
    assert all(grade.score is not None for grade in those.values())
    assert (loud.winner, loud.finalists, loud.comparisons) == (quiet.winner, quiet.finalists, quiet.comparisons)
    assert whys == why
    assert spend["reserved"] == spend["settled"] == len(troubled.bodies), "every request that came in was paid for once"
